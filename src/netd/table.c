/* SPDX-License-Identifier: Apache-2.0 */
/* The table of what there is. */
#include "netd/table.h"

#include <stdlib.h>
#include <string.h>

#include "util/limits.h"

void
table_fini(struct table *t)
{
	free(t->v);
	*t = (struct table){0};
}

static struct table_entry *
find(const struct table *t, enum netd_kind kind, const struct netd_id *decky,
     const struct netd_id *lan)
{
	for (size_t i = 0; i < t->n; i++) {
		struct table_entry *entry = &t->v[i];

		if (entry->kind == kind && (!decky || netd_id_eq(&entry->thing.decky, decky)) &&
		    (!lan || netd_id_eq(&entry->thing.lan, lan)))
			return entry;
	}
	return NULL;
}

struct table_entry *
table_lan(const struct table *t, const struct netd_id *lan)
{
	return find(t, NETD_LAN, NULL, lan);
}

struct table_entry *
table_decky(const struct table *t, const struct netd_id *decky)
{
	return find(t, NETD_DECKY, decky, NULL);
}

struct table_entry *
table_nic(const struct table *t, const struct netd_id *decky, const struct netd_id *lan)
{
	return find(t, NETD_NIC, decky, lan);
}

struct table_entry *
table_add(struct table *t, const struct table_entry *entry)
{
	if (t->n >= LIMIT_NETD_THINGS)
		return NULL;
	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 64;
		struct table_entry *v = realloc(t->v, cap * sizeof(*v));

		if (!v)
			return NULL;
		t->v = v;
		t->cap = cap;
	}
	t->v[t->n] = *entry;
	return &t->v[t->n++];
}

void
table_remove(struct table *t, struct table_entry *entry)
{
	*entry = t->v[--t->n];
}

bool
table_equal(const struct table *a, const struct table *b)
{
	for (size_t i = 0; i < a->n; i++) {
		const struct table_entry *x = &a->v[i];
		const struct table_entry *y =
			find(b, x->kind, x->kind == NETD_LAN ? NULL : &x->thing.decky,
			     x->kind == NETD_DECKY ? NULL : &x->thing.lan);

		if (!y || y->index != x->index || y->thing.flags != x->thing.flags ||
		    y->thing.ip != x->thing.ip)
			return false;
	}
	return a->n == b->n;
}
