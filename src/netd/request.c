/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to decnet-netd and its answers, as bytes. */
#include "netd/request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define REQUEST_MAGIC 0x31514e44u /* DNQ1 */
#define ANSWER_MAGIC  0x31414e44u /* DNA1 */
#define THING_SIZE    88

static const struct {
	const char *word;
	unsigned fields;
} ops[NETD_OP_COUNT] = {
#define NETD_OP(name, wrd, flds) [NETD_OP_##name] = {wrd, flds},
#include "netd/ops.def"
#undef NETD_OP
};

static const char *const personas[NETD_PERSONA_COUNT] = {
#define PERSONA(name, word, ...) [NETD_PERSONA_##name] = word,
#include "netd/persona.def"
#undef PERSONA
};

const char *
netd_op_word(enum netd_op op)
{
	return ops[op].word;
}

enum netd_persona
netd_persona_find(const char *nmap_os)
{
	for (unsigned i = 0; nmap_os && i < NETD_PERSONA_COUNT; i++)
		if (strcmp(personas[i], nmap_os) == 0)
			return (enum netd_persona)i;
	return NETD_PERSONA_LINUX;
}

/* -- identifiers and addresses -- */

bool
netd_id_none(const struct netd_id *id)
{
	static const struct netd_id none;

	return netd_id_eq(id, &none);
}

bool
netd_id_eq(const struct netd_id *a, const struct netd_id *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

int
netd_id_parse(struct sv text, struct netd_id *ret)
{
	return id_uuid_bytes(text, ret->b);
}

void
netd_id_text(const struct netd_id *id, char dst[ID_UUID_SIZE])
{
	id_uuid_text(id->b, dst);
}

uint32_t
netd_mask(unsigned bits)
{
	return bits ? UINT32_MAX << (32 - bits) : 0;
}

static bool
unicast(uint32_t ip)
{
	return ip >> 24 != 0 && ip >> 24 != 127 && ip >> 28 < 14;
}

bool
netd_subnet_ok(uint32_t base, unsigned bits)
{
	return bits >= 16 && bits <= 29 && (base & ~netd_mask(bits)) == 0 && unicast(base);
}

bool
netd_host_ok(uint32_t ip, unsigned bits)
{
	return bits >= 16 && bits <= 29 && unicast(ip) && (ip & ~netd_mask(bits)) != 0 &&
	       (ip | netd_mask(bits)) != UINT32_MAX;
}

/* -- bytes -- */

/* Both ways through a record; every field is at a place of its own, and the rest is zero. */
struct cursor {
	uint8_t *p;
	size_t at;
};

static void
put(struct cursor *c, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		c->p[c->at++] = (uint8_t)(value >> (8 * i));
}

static uint64_t
get(const uint8_t *p, size_t *at, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)p[(*at)++] << (8 * i);
	return value;
}

static void
put_bytes(struct cursor *c, const uint8_t *src, size_t n)
{
	memcpy(c->p + c->at, src, n);
	c->at += n;
}

static void
get_bytes(const uint8_t *p, size_t *at, uint8_t *dst, size_t n)
{
	memcpy(dst, p + *at, n);
	*at += n;
}

static void
put_thing(struct cursor *c, const struct netd_thing *t)
{
	size_t start = c->at;

	put_bytes(c, t->topology.b, sizeof(t->topology.b));
	put_bytes(c, t->decky.b, sizeof(t->decky.b));
	put_bytes(c, t->lan.b, sizeof(t->lan.b));
	put(c, t->ip, 4);
	put(c, t->via, 4);
	put(c, t->bits, 1);
	put(c, t->persona, 1);
	put(c, t->slot, 1);
	put_bytes(c, t->mac, sizeof(t->mac));
	put(c, t->port, 2);
	put(c, t->flags, 2);
	put(c, t->mark, 8);
	c->at = start + THING_SIZE;
}

/* False when the bytes between the last field and the end of the record are not zero. */
static bool
get_thing(const uint8_t *p, size_t *at, struct netd_thing *t)
{
	size_t end = *at + THING_SIZE;
	unsigned rest = 0;

	get_bytes(p, at, t->topology.b, sizeof(t->topology.b));
	get_bytes(p, at, t->decky.b, sizeof(t->decky.b));
	get_bytes(p, at, t->lan.b, sizeof(t->lan.b));
	t->ip = (uint32_t)get(p, at, 4);
	t->via = (uint32_t)get(p, at, 4);
	t->bits = (uint8_t)get(p, at, 1);
	t->persona = (uint8_t)get(p, at, 1);
	t->slot = (uint8_t)get(p, at, 1);
	get_bytes(p, at, t->mac, sizeof(t->mac));
	t->port = (uint16_t)get(p, at, 2);
	t->flags = (uint16_t)get(p, at, 2);
	t->mark = get(p, at, 8);
	while (*at < end)
		rest |= p[(*at)++];
	return rest == 0;
}

/* -- requests -- */

static bool
mac_ok(const uint8_t mac[6])
{
	/* Not a group's, not nobody's. */
	return (mac[0] & 1) == 0 && (mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5]) != 0;
}

static bool
mac_none(const uint8_t mac[6])
{
	return (mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5]) == 0;
}

static bool
address_ok(enum netd_op op, const struct netd_thing *t)
{
	switch (op) {
	case NETD_OP_LAN_ADD: return netd_subnet_ok(t->ip, t->bits);
	case NETD_OP_NIC_ADD: return netd_host_ok(t->ip, t->bits);
	case NETD_OP_ROUTE_ADD:
		/* The default route or a LAN. */
		return (t->ip == 0 && t->bits == 0) || netd_subnet_ok(t->ip, t->bits);
	case NETD_OP_HELLO:
	case NETD_OP_LIST:
	case NETD_OP_LAN_DEL:
	case NETD_OP_DECKY_ADD:
	case NETD_OP_DECKY_DEL:
	case NETD_OP_NIC_DEL:
	case NETD_OP_ROUTES_CLEAR:
	case NETD_OP_FORWARD:
	case NETD_OP_MARK:
	case NETD_OP_LISTEN:
	case NETD_OP_COUNT: break;
	}
	return false;
}

static unsigned
flags_of(enum netd_op op)
{
	return op == NETD_OP_LAN_ADD   ? NETD_DMZ
	       : op == NETD_OP_FORWARD ? NETD_FORWARD
	       : op == NETD_OP_LISTEN  ? NETD_UDP
				       : 0;
}

static bool
thing_ok(enum netd_op op, const struct netd_thing *t)
{
	unsigned has = ops[op].fields;

	/* An id is there or it is not; the same for each other field. */
	return netd_id_none(&t->topology) == !(has & NETD_T) &&
	       netd_id_none(&t->decky) == !(has & NETD_D) &&
	       netd_id_none(&t->lan) == !(has & NETD_L) &&
	       (has & NETD_A ? address_ok(op, t) : t->ip == 0 && t->bits == 0) &&
	       (has & NETD_V ? unicast(t->via) : t->via == 0) &&
	       (has & NETD_M ? mac_ok(t->mac) : mac_none(t->mac)) &&
	       (has & NETD_S || t->slot == 0) && (has & NETD_P) / NETD_P == (t->port != 0) &&
	       (has & NETD_O ? t->persona < NETD_PERSONA_COUNT : t->persona == 0) &&
	       (has & NETD_K || t->mark == 0) && (t->flags & ~flags_of(op)) == 0;
}

int
netd_request_parse(struct sv bytes, struct netd_request *ret)
{
	const uint8_t *p = (const uint8_t *)bytes.p;
	size_t at = 0;
	uint64_t op;

	*ret = (struct netd_request){.op = NETD_OP_COUNT};
	if (bytes.n != NETD_REQUEST_SIZE || get(p, &at, 4) != REQUEST_MAGIC)
		return -EBADMSG;
	op = get(p, &at, 4);
	ret->n = get(p, &at, 8);
	if (op >= NETD_OP_COUNT || ret->n == 0)
		return -EBADMSG;
	ret->op = (enum netd_op)op;
	if (!get_thing(p, &at, &ret->thing) || get(p, &at, 8) != 0)
		return -EBADMSG;
	return thing_ok(ret->op, &ret->thing) ? 0 : -EBADMSG;
}

void
netd_request_put(const struct netd_request *q, uint8_t dst[NETD_REQUEST_SIZE])
{
	struct cursor c = {dst, 0};

	memset(dst, 0, NETD_REQUEST_SIZE);
	put(&c, REQUEST_MAGIC, 4);
	put(&c, q->op, 4);
	put(&c, q->n, 8);
	put_thing(&c, &q->thing);
}

/* -- answers -- */

int
netd_answer_parse(struct sv bytes, struct netd_answer *ret)
{
	const uint8_t *p = (const uint8_t *)bytes.p;
	size_t at = 0;
	uint64_t kind;

	*ret = (struct netd_answer){.kind = NETD_KIND_COUNT};
	if (bytes.n != NETD_ANSWER_SIZE || get(p, &at, 4) != ANSWER_MAGIC)
		return -EBADMSG;
	kind = get(p, &at, 4);
	if (kind >= NETD_KIND_COUNT)
		return -EBADMSG;
	ret->kind = (enum netd_kind)kind;
	ret->n = get(p, &at, 8);
	ret->r = (int32_t)(uint32_t)get(p, &at, 4);
	if (get(p, &at, 4) != 0 || !get_thing(p, &at, &ret->thing) || ret->r > 0)
		return -EBADMSG;
	memcpy(ret->text, p + at, NETD_TEXT_MAX);
	return 0;
}

void
netd_answer_put(const struct netd_answer *a, uint8_t dst[NETD_ANSWER_SIZE])
{
	struct cursor c = {dst, 0};

	memset(dst, 0, NETD_ANSWER_SIZE);
	put(&c, ANSWER_MAGIC, 4);
	put(&c, a->kind, 4);
	put(&c, a->n, 8);
	put(&c, (uint32_t)a->r, 4);
	put(&c, 0, 4);
	put_thing(&c, &a->thing);
	memcpy(dst + c.at, a->text, strnlen(a->text, NETD_TEXT_MAX));
}
