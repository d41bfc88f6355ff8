/* SPDX-License-Identifier: Apache-2.0 */
/* Subnet arithmetic and the choice of free subnets and addresses. */
#include "topology/addr.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/sv.h"

static uint32_t
mask_of(unsigned bits)
{
	return bits == 0 ? 0 : UINT32_MAX << (32 - bits);
}

int
ip_parse(const char *text, uint32_t *ret)
{
	struct sv rest = sv_from(text);
	uint32_t ip = 0;

	for (int i = 0; i < 4; i++) {
		struct sv part = sv_cut(&rest, '.');
		uint64_t value;

		if (part.n > 3 || (part.n > 1 && part.p[0] == '0') || sv_u64(part, 255, &value) < 0)
			return -EBADMSG;
		/* A cut at the end and an empty rest look alike: the last part must end the text.
		 */
		if (i < 3 && part.p + part.n == text + strlen(text))
			return -EBADMSG;
		ip = ip << 8 | (uint32_t)value;
		if (i == 3 && part.p + part.n != text + strlen(text))
			return -EBADMSG;
	}
	*ret = ip;
	return 0;
}

void
ip_text(uint32_t ip, char dst[TOPO_IP_SIZE])
{
	(void)snprintf(dst, TOPO_IP_SIZE, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255,
		       ip & 255);
}

int
cidr_parse(const char *text, unsigned min_bits, unsigned max_bits, struct cidr *ret)
{
	struct sv rest = sv_from(text), head = sv_cut(&rest, '/');
	char ip[TOPO_IP_SIZE];
	struct cidr c;
	uint64_t bits;

	if (sv_copy(head, ip, sizeof(ip)) < 0 || ip_parse(ip, &c.base) < 0 || rest.n > 2 ||
	    (rest.n > 1 && rest.p[0] == '0') || sv_u64(rest, max_bits, &bits) < 0 ||
	    bits < min_bits)
		return -EBADMSG;
	c.bits = (unsigned)bits;
	if (c.base & ~mask_of(c.bits))
		return -EBADMSG;
	*ret = c;
	return 0;
}

/* The first address after those around `ip` that no host may have, or 0 when one may have it. */
static uint64_t
hostless_until(uint32_t ip)
{
	uint32_t octet = ip >> 24;

	return octet >= 224		    ? UINT64_C(1) << 32
	       : octet == 0 || octet == 127 ? ((uint64_t)octet + 1) << 24
					    : 0;
}

int
cidr_parse_lan(const char *text, struct cidr *ret)
{
	struct cidr c;

	if (cidr_parse(text, 16, 29, &c) < 0 || hostless_until(c.base) > 0)
		return -EBADMSG;
	*ret = c;
	return 0;
}

void
cidr_text(struct cidr c, char dst[TOPO_CIDR_SIZE])
{
	char ip[TOPO_IP_SIZE];

	ip_text(c.base, ip);
	(void)snprintf(dst, TOPO_CIDR_SIZE, "%s/%u", ip, c.bits % 100);
}

bool
cidr_holds(struct cidr c, uint32_t ip)
{
	return (ip & mask_of(c.bits)) == c.base;
}

bool
cidr_overlap(struct cidr a, struct cidr b)
{
	return cidr_holds(a, b.base) || cidr_holds(b, a.base);
}

/* The end (exclusive) of what cannot be had and overlaps c, or 0. */
static uint64_t
taken_until(const struct topo_world *w, const struct topo *t, struct cidr c)
{
	uint64_t hostless = hostless_until(c.base);
	struct cidr own;

	if (hostless > 0)
		return hostless;
	for (size_t i = 0; i < w->nused; i++)
		if (cidr_overlap(w->used[i].subnet, c))
			return (uint64_t)w->used[i].subnet.base +
			       (UINT64_C(1) << (32 - w->used[i].subnet.bits));
	for (size_t i = 0; t && i < t->nlans; i++)
		if (cidr_parse(t->lans[i].subnet, 0, 32, &own) == 0 && cidr_overlap(own, c))
			return (uint64_t)own.base + (UINT64_C(1) << (32 - own.bits));
	return 0;
}

int
topo_next_subnet(const struct topo_world *w, const struct topo *t, struct cidr base,
		 struct cidr *ret)
{
	uint64_t at = base.base, end = at + (UINT64_C(1) << (32 - base.bits)), next;

	if (base.bits > 24)
		return -EADDRNOTAVAIL;
	while (at < end) {
		struct cidr c = {(uint32_t)at, 24};

		next = taken_until(w, t, c);
		if (next == 0) {
			*ret = c;
			return 0;
		}
		/* Past the whole obstacle, up to the next /24. */
		next = (next + 255) & ~UINT64_C(255);
		at = next > at ? next : at + 256;
	}
	return -EADDRNOTAVAIL;
}

int
topo_next_ip(const struct topo *t, const struct topo_lan *lan, char dst[TOPO_IP_SIZE])
{
	struct cidr c;
	uint32_t last, ip, host;
	uint8_t used[65536 / 8] = {0}; /* a bit for each address of the widest LAN */

	if (cidr_parse(lan->subnet, 16, 30, &c) < 0)
		return -EADDRNOTAVAIL;
	/* .0 is the network, the first host is the gateway, the last address is the broadcast. */
	last = ~mask_of(c.bits);
	for (size_t i = 0; i < t->nedges; i++)
		if (strcmp(t->edges[i].lan_id, lan->id) == 0 &&
		    ip_parse(t->edges[i].ip, &ip) == 0 && cidr_holds(c, ip))
			used[(ip - c.base) / 8] |= (uint8_t)(1u << (ip - c.base) % 8);
	for (host = 2; host < last && (used[host / 8] >> host % 8 & 1); host++)
		;
	if (host >= last)
		return -EADDRNOTAVAIL;
	ip_text(c.base + host, dst);
	return 0;
}
