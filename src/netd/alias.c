/* SPDX-License-Identifier: Apache-2.0 */
/* The text on a link that says what it is for. */
#include "netd/alias.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void
ip_text(uint32_t ip, char dst[16])
{
	(void)snprintf(dst, 16, "%u.%u.%u.%u", ip >> 24, (ip >> 16) & 255, (ip >> 8) & 255,
		       ip & 255);
}

void
netd_alias_put(enum netd_kind kind, const struct netd_thing *t, char dst[NETD_ALIAS_SIZE])
{
	char topology[ID_UUID_SIZE], decky[ID_UUID_SIZE], lan[ID_UUID_SIZE], ip[16];

	netd_id_text(&t->topology, topology);
	netd_id_text(&t->decky, decky);
	netd_id_text(&t->lan, lan);
	ip_text(t->ip, ip);
	if (kind == NETD_LAN)
		(void)snprintf(dst, NETD_ALIAS_SIZE, "decnet1 lan %s %s %s/%u %s", topology, lan,
			       ip, t->bits, t->flags & NETD_DMZ ? "dmz" : "inner");
	else
		(void)snprintf(dst, NETD_ALIAS_SIZE,
			       "decnet1 nic %s %s %s %s/%u %02x:%02x:%02x:%02x:%02x:%02x %u %u %s "
			       "%016" PRIx64,
			       topology, decky, lan, ip, t->bits, t->mac[0], t->mac[1], t->mac[2],
			       t->mac[3], t->mac[4], t->mac[5], t->slot, t->persona,
			       t->flags & NETD_FORWARD ? "router" : "host", t->mark);
}

/* The next word as a number; what does not parse is told by a value above max. */
static uint64_t
word_number(struct sv *text, char sep, uint64_t max)
{
	uint64_t value = 0;

	return sv_u64(sv_cut(text, sep), max, &value) == 0 ? value : UINT64_MAX;
}

static int
hex_value(struct sv digits, uint64_t *ret)
{
	uint64_t value = 0;

	for (size_t i = 0; i < digits.n; i++) {
		char c = digits.p[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return -EBADMSG;
		value = value << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	*ret = value;
	return 0;
}

static int
get_subnet(struct sv word, struct netd_thing *t)
{
	uint32_t ip = 0;
	uint64_t part;

	for (unsigned i = 0; i < 4; i++) {
		part = word_number(&word, i < 3 ? '.' : '/', 255);
		if (part > 255)
			return -EBADMSG;
		ip = ip << 8 | (uint32_t)part;
	}
	part = word_number(&word, ' ', 32);
	if (part > 32)
		return -EBADMSG;
	t->ip = ip;
	t->bits = (uint8_t)part;
	return 0;
}

static int
get_mac(struct sv word, uint8_t mac[6])
{
	for (unsigned i = 0; i < 6; i++) {
		struct sv digits = sv_cut(&word, ':');
		uint64_t value;

		if (digits.n != 2 || hex_value(digits, &value) < 0)
			return -EBADMSG;
		mac[i] = (uint8_t)value;
	}
	return word.n ? -EBADMSG : 0;
}

static int
get_lan(struct sv text, struct netd_thing *t)
{
	struct sv word;

	if (netd_id_parse(sv_cut(&text, ' '), &t->topology) < 0 ||
	    netd_id_parse(sv_cut(&text, ' '), &t->lan) < 0 ||
	    get_subnet(sv_cut(&text, ' '), t) < 0 || !netd_subnet_ok(t->ip, t->bits))
		return -EBADMSG;
	word = sv_cut(&text, ' ');
	if (sv_eq(word, SV("dmz")))
		t->flags = NETD_DMZ;
	else if (!sv_eq(word, SV("inner")))
		return -EBADMSG;
	return text.n ? -EBADMSG : 0;
}

static int
get_nic(struct sv text, struct netd_thing *t)
{
	uint64_t slot, persona;
	struct sv word;

	if (netd_id_parse(sv_cut(&text, ' '), &t->topology) < 0 ||
	    netd_id_parse(sv_cut(&text, ' '), &t->decky) < 0 ||
	    netd_id_parse(sv_cut(&text, ' '), &t->lan) < 0 ||
	    get_subnet(sv_cut(&text, ' '), t) < 0 || !netd_host_ok(t->ip, t->bits) ||
	    get_mac(sv_cut(&text, ' '), t->mac) < 0)
		return -EBADMSG;
	slot = word_number(&text, ' ', NETD_SLOTS - 1);
	persona = word_number(&text, ' ', NETD_PERSONA_COUNT - 1);
	word = sv_cut(&text, ' ');
	if (sv_eq(word, SV("router")))
		t->flags = NETD_FORWARD;
	else if (!sv_eq(word, SV("host")))
		return -EBADMSG;
	if (slot >= NETD_SLOTS || persona >= NETD_PERSONA_COUNT || text.n != 16)
		return -EBADMSG;
	t->slot = (uint8_t)slot;
	t->persona = (uint8_t)persona;
	return hex_value(text, &t->mark);
}

int
netd_alias_parse(struct sv text, enum netd_kind *ret_kind, struct netd_thing *ret)
{
	struct sv kind;
	int r = -EBADMSG;

	*ret = (struct netd_thing){0};
	if (!sv_eq(sv_cut(&text, ' '), SV("decnet1")))
		return -EBADMSG;
	kind = sv_cut(&text, ' ');
	if (sv_eq(kind, SV("lan"))) {
		*ret_kind = NETD_LAN;
		r = get_lan(text, ret);
	} else if (sv_eq(kind, SV("nic"))) {
		*ret_kind = NETD_NIC;
		r = get_nic(text, ret);
	}
	return r;
}
