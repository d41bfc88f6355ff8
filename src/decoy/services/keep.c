/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and values in a block: head, key, value, one after the other; removal closes the gap. */
#include "decoy/services/keep.h"

#include <errno.h>
#include <string.h>

struct head {
	uint64_t expires_ms;
	uint32_t value_n;
	uint16_t key_n;
	uint8_t db;
};

bool
keep_next(const struct keep *k, size_t *at, struct keep_entry *ret)
{
	struct head h;

	if (*at >= k->used)
		return false;
	memcpy(&h, k->bytes + *at, sizeof(h));
	ret->db = h.db;
	ret->expires_ms = h.expires_ms;
	ret->at = *at;
	ret->n = sizeof(h) + h.key_n + h.value_n;
	ret->key = (struct sv){k->bytes + *at + sizeof(h), h.key_n};
	ret->value = (struct sv){k->bytes + *at + sizeof(h) + h.key_n, h.value_n};
	*at += ret->n;
	return true;
}

static bool
alive(const struct keep_entry *e, uint64_t now_ms)
{
	return e->expires_ms == 0 || e->expires_ms > now_ms;
}

static bool
find(const struct keep *k, uint8_t db, struct sv key, struct keep_entry *ret)
{
	size_t at = 0;

	while (keep_next(k, &at, ret))
		if (ret->db == db && sv_eq(ret->key, key))
			return true;
	return false;
}

bool
keep_get(const struct keep *k, uint8_t db, struct sv key, uint64_t now_ms, struct keep_entry *ret)
{
	return find(k, db, key, ret) && alive(ret, now_ms);
}

static void
cut_out(struct keep *k, const struct keep_entry *e)
{
	memmove(k->bytes + e->at, k->bytes + e->at + e->n, k->used - e->at - e->n);
	k->used -= (uint32_t)e->n;
}

int
keep_put(struct keep *k, uint8_t db, struct sv key, struct sv value, uint64_t expires_ms)
{
	struct head h = {.expires_ms = expires_ms, .db = db};
	struct keep_entry old = {0};
	bool have = find(k, db, key, &old);
	size_t room = KEEP_BYTES - k->used + (have ? old.n : 0);

	if (key.n > UINT16_MAX || value.n > KEEP_BYTES || sizeof(h) + key.n + value.n > room)
		return -ENOBUFS;
	if (have)
		cut_out(k, &old);
	h.key_n = (uint16_t)key.n;
	h.value_n = (uint32_t)value.n;
	memcpy(k->bytes + k->used, &h, sizeof(h));
	k->used += sizeof(h);
	if (key.n)
		memcpy(k->bytes + k->used, key.p, key.n);
	k->used += (uint32_t)key.n;
	if (value.n)
		memcpy(k->bytes + k->used, value.p, value.n);
	k->used += (uint32_t)value.n;
	return 0;
}

bool
keep_del(struct keep *k, uint8_t db, struct sv key, uint64_t now_ms)
{
	struct keep_entry e;
	bool was;

	if (!find(k, db, key, &e))
		return false;
	was = alive(&e, now_ms);
	cut_out(k, &e);
	return was;
}

void
keep_flush(struct keep *k, uint8_t db)
{
	struct keep_entry e;
	size_t at = 0;

	while (keep_next(k, &at, &e)) {
		if (e.db != db)
			continue;
		at = e.at;
		cut_out(k, &e);
	}
}

unsigned
keep_count(const struct keep *k, uint8_t db, uint64_t now_ms, unsigned *ret_expiring)
{
	struct keep_entry e;
	unsigned n = 0;
	size_t at = 0;

	*ret_expiring = 0;
	while (keep_next(k, &at, &e)) {
		if (e.db != db || !alive(&e, now_ms))
			continue;
		n++;
		*ret_expiring += e.expires_ms != 0;
	}
	return n;
}
