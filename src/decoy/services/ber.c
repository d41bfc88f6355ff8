/* SPDX-License-Identifier: Apache-2.0 */
/* Tags, lengths and the few types of SNMP. */
#include "decoy/services/ber.h"

#include <errno.h>
#include <string.h>

#define LENGTH_MAX 65535

int
ber_get(struct sv *in, uint8_t *ret_tag, struct sv *ret_value)
{
	const unsigned char *p = (const unsigned char *)in->p;
	size_t n, at = 2;

	if (in->n < 1)
		return 0;
	/* Tags of several bytes are none of SNMP's. */
	if ((p[0] & 0x1f) == 0x1f)
		return -EBADMSG;
	if (in->n < 2)
		return 0;
	n = p[1];
	if (n & 0x80) {
		size_t bytes = n & 0x7f;

		if (bytes == 0 || bytes > 4)
			return -EBADMSG;
		if (in->n < 2 + bytes)
			return 0;
		n = 0;
		for (; at < 2 + bytes; at++)
			n = n << 8 | p[at];
	}
	if (n > LENGTH_MAX)
		return -EBADMSG;
	if (in->n - at < n)
		return 0;
	*ret_tag = p[0];
	*ret_value = (struct sv){in->p + at, n};
	*in = sv_drop(*in, at + n);
	return 1;
}

int
ber_expect(struct sv *in, uint8_t tag, struct sv *ret_value)
{
	uint8_t got;

	return ber_get(in, &got, ret_value) == 1 && got == tag ? 0 : -EBADMSG;
}

int
ber_integer(struct sv *in, int64_t *ret)
{
	struct sv value;
	uint64_t n;

	if (ber_expect(in, BER_INTEGER, &value) < 0 || value.n == 0 || value.n > 8)
		return -EBADMSG;
	n = (unsigned char)value.p[0] & 0x80 ? UINT64_MAX : 0;
	for (size_t i = 0; i < value.n; i++)
		n = n << 8 | (unsigned char)value.p[i];
	*ret = (int64_t)n;
	return 0;
}

int
ber_arcs(struct sv value, struct ber_oid *ret)
{
	uint64_t arc = 0;
	bool open = false;

	ret->n = 0;
	if (value.n == 0)
		return -EBADMSG;
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];

		arc = arc << 7 | (c & 0x7f);
		open = c & 0x80;
		if (arc > UINT32_MAX)
			return -EBADMSG;
		if (open)
			continue;
		if (ret->n + 2 > BER_ARCS_MAX)
			return -EBADMSG;
		if (ret->n == 0) {
			/* The first two share a number. */
			ret->arc[0] = arc < 80 ? (uint32_t)arc / 40 : 2;
			arc -= UINT64_C(40) * ret->arc[0];
			ret->n = 1;
		}
		ret->arc[ret->n++] = (uint32_t)arc;
		arc = 0;
	}
	return open ? -EBADMSG : 0;
}

int
ber_oid_cmp(const struct ber_oid *a, const struct ber_oid *b)
{
	for (unsigned i = 0; i < a->n && i < b->n; i++)
		if (a->arc[i] != b->arc[i])
			return a->arc[i] < b->arc[i] ? -1 : 1;
	return a->n == b->n ? 0 : a->n < b->n ? -1 : 1;
}

struct ber_oid
ber_oid_of(const char *dotted)
{
	struct ber_oid o = {.n = 1};

	o.arc[0] = 0;
	for (; *dotted; dotted++) {
		if (*dotted == '.') {
			o.arc[o.n++] = 0;
			continue;
		}
		o.arc[o.n - 1] = o.arc[o.n - 1] * 10 + (uint32_t)(*dotted - '0');
	}
	return o;
}

void
ber_put_bytes(struct ber_out *o, struct sv bytes)
{
	if (o->failed || bytes.n > o->at) {
		o->failed = 1;
		return;
	}
	o->at -= bytes.n;
	if (bytes.n > 0)
		memcpy(o->base + o->at, bytes.p, bytes.n);
}

static void
put_byte(struct ber_out *o, unsigned char c)
{
	ber_put_bytes(o, (struct sv){(const char *)&c, 1});
}

void
ber_put_head(struct ber_out *o, uint8_t tag, size_t end)
{
	size_t n = end - o->at;
	unsigned char bytes = 0;

	if (n < 0x80) {
		put_byte(o, (unsigned char)n);
	} else {
		for (; n > 0; n >>= 8, bytes++)
			put_byte(o, n & 0xff);
		put_byte(o, 0x80 | bytes);
	}
	put_byte(o, tag);
}

void
ber_put_octets(struct ber_out *o, uint8_t tag, struct sv bytes)
{
	size_t end = o->at;

	ber_put_bytes(o, bytes);
	ber_put_head(o, tag, end);
}

void
ber_put_integer(struct ber_out *o, uint8_t tag, int64_t value)
{
	size_t end = o->at;

	/* As few bytes as keep the sign; an unsigned type is never negative here. */
	do {
		put_byte(o, (unsigned char)(value & 0xff));
		value >>= 8;
	} while (!o->failed && value != (o->base[o->at] & 0x80 ? -1 : 0));
	ber_put_head(o, tag, end);
}

void
ber_put_oid(struct ber_out *o, const struct ber_oid *oid)
{
	size_t end = o->at;

	for (unsigned i = oid->n; i-- > 1;) {
		uint64_t arc = i == 1 ? UINT64_C(40) * oid->arc[0] + oid->arc[1] : oid->arc[i];
		bool last = true;

		for (; last || arc > 0; arc >>= 7, last = false)
			put_byte(o, (unsigned char)((arc & 0x7f) | (last ? 0 : 0x80)));
	}
	ber_put_head(o, BER_OID, end);
}
