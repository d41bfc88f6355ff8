/* SPDX-License-Identifier: Apache-2.0 */
/* The table of what there is. */
#include "netd/table.h"

#include <stdlib.h>
#include <string.h>

#include "util/hash.h"
#include "util/limits.h"

#define FIRST 64

void
table_fini(struct table *t)
{
	free(t->v);
	chain_fini(&t->by_key);
	chain_fini(&t->by_decky);
	chain_fini(&t->by_address);
	*t = (struct table){0};
}

void
table_clear(struct table *t)
{
	t->n = 0;
	chain_clear(&t->by_key);
	chain_clear(&t->by_decky);
	chain_clear(&t->by_address);
}

static const struct netd_id nobody;

static uint64_t
hash_id(const struct netd_id *id)
{
	return hash_bytes(HASH_START, id->b, sizeof(id->b));
}

static uint64_t
hash_ip(uint32_t ip)
{
	return hash_bytes(HASH_START, &ip, sizeof(ip));
}

static uint64_t
hash_key(enum netd_kind kind, const struct netd_id *decky, const struct netd_id *lan)
{
	return hash_bytes(hash_id(decky) + kind, lan->b, sizeof(lan->b));
}

static uint64_t
hash_entry(const struct table_entry *entry)
{
	return hash_key(entry->kind, entry->kind == NETD_LAN ? &nobody : &entry->thing.decky,
			entry->kind == NETD_DECKY ? &nobody : &entry->thing.lan);
}

static void
put_in(struct table *t, size_t at)
{
	const struct table_entry *entry = &t->v[at];

	chain_in(&t->by_key, hash_entry(entry), at);
	if (entry->kind != NETD_NIC)
		return;
	chain_in(&t->by_decky, hash_id(&entry->thing.decky), at);
	chain_in(&t->by_address, hash_ip(entry->thing.ip), at);
}

static struct table_entry *
find(const struct table *t, enum netd_kind kind, const struct netd_id *decky,
     const struct netd_id *lan)
{
	int32_t at = chain_first(&t->by_key, hash_key(kind, decky, lan));

	for (; at != CHAIN_END; at = t->by_key.next[at]) {
		struct table_entry *entry = &t->v[at];

		if (entry->kind == kind &&
		    (kind == NETD_LAN || netd_id_eq(&entry->thing.decky, decky)) &&
		    (kind == NETD_DECKY || netd_id_eq(&entry->thing.lan, lan)))
			return entry;
	}
	return NULL;
}

struct table_entry *
table_lan(const struct table *t, const struct netd_id *lan)
{
	return find(t, NETD_LAN, &nobody, lan);
}

struct table_entry *
table_decky(const struct table *t, const struct netd_id *decky)
{
	return find(t, NETD_DECKY, decky, &nobody);
}

struct table_entry *
table_nic(const struct table *t, const struct netd_id *decky, const struct netd_id *lan)
{
	return find(t, NETD_NIC, decky, lan);
}

struct table_entry *
table_next_nic(const struct table *t, const struct netd_id *decky, const struct table_entry *before)
{
	int32_t at = before ? t->by_decky.next[before - t->v]
			    : chain_first(&t->by_decky, hash_id(decky));

	while (at != CHAIN_END && !netd_id_eq(&t->v[at].thing.decky, decky))
		at = t->by_decky.next[at];
	return at == CHAIN_END ? NULL : &t->v[at];
}

bool
table_has_address(const struct table *t, uint32_t ip)
{
	int32_t at = chain_first(&t->by_address, hash_ip(ip));

	while (at != CHAIN_END && t->v[at].thing.ip != ip)
		at = t->by_address.next[at];
	return at != CHAIN_END;
}

/* Room for twice as many; false: without memory, and what is there stays. */
static bool
grow(struct table *t)
{
	size_t cap = t->cap ? t->cap * 2 : FIRST;
	struct chain key = {0}, decky = {0}, address = {0};
	struct table_entry *v = NULL;

	if (chain_resize(&key, cap) < 0 || chain_resize(&decky, cap) < 0 ||
	    chain_resize(&address, cap) < 0 || !(v = realloc(t->v, cap * sizeof(*v)))) {
		chain_fini(&key);
		chain_fini(&decky);
		chain_fini(&address);
		return false;
	}
	chain_fini(&t->by_key);
	chain_fini(&t->by_decky);
	chain_fini(&t->by_address);
	*t = (struct table){v, t->n, cap, key, decky, address};
	for (size_t i = 0; i < t->n; i++)
		put_in(t, i);
	return true;
}

struct table_entry *
table_add(struct table *t, const struct table_entry *entry)
{
	/* It may be one of this very table. */
	const struct table_entry copy = *entry;

	if (t->n >= LIMIT_NETD_THINGS || (t->n == t->cap && !grow(t)))
		return NULL;
	t->v[t->n] = copy;
	put_in(t, t->n);
	return &t->v[t->n++];
}

static void
take_out(struct table *t, size_t at)
{
	const struct table_entry *entry = &t->v[at];

	chain_out(&t->by_key, hash_entry(entry), at);
	if (entry->kind != NETD_NIC)
		return;
	chain_out(&t->by_decky, hash_id(&entry->thing.decky), at);
	chain_out(&t->by_address, hash_ip(entry->thing.ip), at);
}

void
table_remove(struct table *t, struct table_entry *entry)
{
	size_t at = (size_t)(entry - t->v), last = t->n - 1;

	take_out(t, at);
	if (at != last) {
		take_out(t, last);
		t->v[at] = t->v[last];
		put_in(t, at);
	}
	t->n--;
}

bool
table_equal(const struct table *a, const struct table *b)
{
	for (size_t i = 0; i < a->n; i++) {
		const struct table_entry *x = &a->v[i];
		const struct table_entry *y =
			find(b, x->kind, x->kind == NETD_LAN ? &nobody : &x->thing.decky,
			     x->kind == NETD_DECKY ? &nobody : &x->thing.lan);

		if (!y || y->index != x->index || y->thing.flags != x->thing.flags ||
		    y->thing.ip != x->thing.ip)
			return false;
	}
	return a->n == b->n;
}
