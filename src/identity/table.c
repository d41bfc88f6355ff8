/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers for values, rows and identities: arrays with free places, and the indexes over them. */
#include <errno.h>

#include "identity/state.h"

#define INDEX_MIN 64

static size_t
more(size_t cap)
{
	return cap < 16 ? 16 : cap + cap / 2;
}

int
table_grow(void **v, size_t *cap, size_t need, size_t item)
{
	size_t n = more(*cap);
	void *p;

	if (need <= *cap)
		return 0;
	if (n < need)
		n = need;
	if (n > SIZE_MAX / item)
		return -ENOMEM;
	p = realloc(*v, n * item);
	if (!p)
		return -ENOMEM;
	*v = p;
	*cap = n;
	return 0;
}

/* To exactly `cap` rows, each of them in one line of the cache. */
static int
grow_lines(struct identity_engine *e, size_t cap)
{
	size_t was = (size_t)((char *)e->rows - e->row_memory), at;
	char *p;

	if (cap > SIZE_MAX / sizeof(*e->rows) - 1)
		return -ENOMEM;
	p = realloc(e->row_memory, (cap + 1) * sizeof(*e->rows));
	if (!p)
		return -ENOMEM;
	at = -(uintptr_t)p % sizeof(*e->rows);
	if (at != was)
		memmove(p + at, p + was, e->crows * sizeof(*e->rows));
	e->row_memory = p;
	e->rows = (struct row *)(void *)(p + at);
	e->crows = cap;
	return 0;
}

int
list_push(struct list32 *l, uint32_t x)
{
	if (l->n == l->cap && table_grow((void **)&l->v, &l->cap, l->n + 1, sizeof(*l->v)) < 0)
		return -ENOMEM;
	l->v[l->n++] = x;
	return 0;
}

/* -- indexes -- */

typedef uint64_t hash_fn(const struct identity_engine *e, uint32_t number);

static uint64_t
id_hash(const uint8_t *id)
{
	uint64_t a, b;

	memcpy(&a, id, sizeof(a));
	memcpy(&b, id + 8, sizeof(b));
	return identity_mix(a, b);
}

static uint64_t
row_hash(const struct identity_engine *e, uint32_t number)
{
	return id_hash(e->rest[number].id);
}

static uint64_t
ident_hash(const struct identity_engine *e, uint32_t number)
{
	return id_hash(e->idents[number].uuid);
}

static uint64_t
value_hash(const struct identity_engine *e, uint32_t number)
{
	return identity_mix(e->values[number].key, e->values[number].class);
}

static void
index_place(struct index *x, uint64_t hash, uint32_t number)
{
	size_t i = hash & x->mask;

	while (x->slots[i])
		i = (i + 1) & x->mask;
	x->slots[i] = number + 1;
	x->n++;
}

static int
index_add(const struct identity_engine *e, struct index *x, hash_fn *fn, uint32_t number)
{
	if (!x->slots || x->n * 2 > x->mask) {
		struct index bigger = {.mask = x->slots ? x->mask * 2 + 1 : INDEX_MIN - 1};

		bigger.slots = calloc(bigger.mask + 1, sizeof(*bigger.slots));
		if (!bigger.slots)
			return -ENOMEM;
		for (size_t i = 0; x->slots && i <= x->mask; i++)
			if (x->slots[i])
				index_place(&bigger, fn(e, x->slots[i] - 1), x->slots[i] - 1);
		free(x->slots);
		*x = bigger;
	}
	index_place(x, fn(e, number), number);
	return 0;
}

/* What stands behind the free place moves up, so that no search ends too early. */
static void
index_remove(const struct identity_engine *e, struct index *x, hash_fn *fn, uint32_t number)
{
	size_t i = fn(e, number) & x->mask, hole;

	while (x->slots[i] != number + 1)
		i = (i + 1) & x->mask;
	hole = i;
	x->slots[hole] = 0;
	x->n--;
	for (i = (i + 1) & x->mask; x->slots[i]; i = (i + 1) & x->mask) {
		size_t home = fn(e, x->slots[i] - 1) & x->mask;

		if (((i - home) & x->mask) < ((i - hole) & x->mask))
			continue;
		x->slots[hole] = x->slots[i];
		x->slots[i] = 0;
		hole = i;
	}
}

/* -- numbers -- */

static int
number(struct list32 *unused, size_t *n, void **v, size_t *cap, size_t item, uint32_t *ret)
{
	if (unused->n > 0) {
		*ret = unused->v[--unused->n];
		return 0;
	}
	if (*n >= NONE || table_grow(v, cap, *n + 1, item) < 0)
		return -ENOMEM;
	*ret = (uint32_t)(*n)++;
	return 0;
}

void
table_fetch_value(const struct identity_engine *e, uint64_t key, enum identity_value_class c)
{
	if (e->value_index.slots)
		__builtin_prefetch(&e->value_index.slots[identity_mix(key, (uint64_t)c) &
							 e->value_index.mask]);
}

int
table_value(struct identity_engine *e, uint64_t key, enum identity_value_class c, uint32_t *ret)
{
	struct index *x = &e->value_index;
	uint64_t hash = identity_mix(key, (uint64_t)c);

	for (size_t i = hash & x->mask; x->slots && x->slots[i]; i = (i + 1) & x->mask) {
		const struct value *v = &e->values[x->slots[i] - 1];

		if (v->key == key && v->class == (uint8_t)c) {
			*ret = x->slots[i] - 1;
			return 0;
		}
	}
	if (number(&e->free_values, &e->nvalues, (void **)&e->values, &e->cvalues,
		   sizeof(*e->values), ret) < 0)
		return -ENOMEM;
	e->values[*ret] = (struct value){.key = key,
					 .class = (uint8_t)c,
					 .level = INT8_MIN,
					 .share = 5,
					 .one = {NONE, NONE}};
	e->live_values++;
	return index_add(e, x, value_hash, *ret);
}

int
table_value_free(struct identity_engine *e, uint32_t v)
{
	index_remove(e, &e->value_index, value_hash, v);
	e->live_values--;
	return list_push(&e->free_values, v);
}

uint32_t
table_find_row(const struct identity_engine *e, const uint8_t *id)
{
	const struct index *x = &e->row_index;

	for (size_t i = id_hash(id) & x->mask; x->slots && x->slots[i]; i = (i + 1) & x->mask)
		if (memcmp(e->rest[x->slots[i] - 1].id, id, IDENTITY_ID_BYTES) == 0)
			return x->slots[i] - 1;
	return NONE;
}

static int
grow_rows(struct identity_engine *e, size_t cap)
{
	size_t caps[4] = {e->crows, e->crows, e->crows, e->crows};

	if (table_grow((void **)&e->rest, &caps[0], cap, sizeof(*e->rest)) < 0 ||
	    table_grow((void **)&e->hashes, &caps[1], cap, sizeof(*e->hashes)) < 0 ||
	    table_grow((void **)&e->flags, &caps[2], cap, sizeof(*e->flags)) < 0 ||
	    table_grow((void **)&e->marks, &caps[3], cap, sizeof(*e->marks)) < 0)
		return -ENOMEM;
	memset(e->marks + e->crows, 0, (cap - e->crows) * sizeof(*e->marks));
	memset(e->flags + e->crows, 0, cap - e->crows);
	return grow_lines(e, cap);
}

int
table_row(struct identity_engine *e, const uint8_t *id, uint64_t hash, uint32_t *ret)
{
	if (e->free_rows.n == 0 && e->nrows == e->crows && grow_rows(e, more(e->crows)) < 0)
		return -ENOMEM;
	if (number(&e->free_rows, &e->nrows, (void **)&e->rows, &e->crows, sizeof(*e->rows), ret) <
	    0)
		return -ENOMEM;
	e->rows[*ret] = (struct row){.comp = NONE, .literal = NONE, .alive = true};
	e->rest[*ret] = (struct rest){.anchored = NONE, .seq = e->seq++};
	memcpy(e->rest[*ret].id, id, IDENTITY_ID_BYTES);
	e->hashes[*ret] = hash;
	e->flags[*ret] = 0;
	e->live_rows++;
	return index_add(e, &e->row_index, row_hash, *ret);
}

int
table_row_free(struct identity_engine *e, uint32_t row)
{
	struct row *r = &e->rows[row];

	index_remove(e, &e->row_index, row_hash, row);
	free(r->values);
	free(r->halves);
	*r = (struct row){.comp = NONE, .literal = NONE};
	e->rest[row].anchored = NONE;
	e->flags[row] = 0;
	e->live_rows--;
	return list_push(&e->free_rows, row);
}

uint32_t
table_find_ident(const struct identity_engine *e, const uint8_t *uuid)
{
	const struct index *x = &e->ident_index;

	for (size_t i = id_hash(uuid) & x->mask; x->slots && x->slots[i]; i = (i + 1) & x->mask)
		if (memcmp(e->idents[x->slots[i] - 1].uuid, uuid, IDENTITY_ID_BYTES) == 0)
			return x->slots[i] - 1;
	return NONE;
}

int
table_ident(struct identity_engine *e, const uint8_t *uuid, uint32_t *ret)
{
	if (number(&e->free_idents, &e->nidents, (void **)&e->idents, &e->cidents,
		   sizeof(*e->idents), ret) < 0)
		return -ENOMEM;
	e->idents[*ret] = (struct ident){
		.anchor = NONE, .into = NONE, .yields = NONE, .next = *ret, .prev = *ret};
	memcpy(e->idents[*ret].uuid, uuid, IDENTITY_ID_BYTES);
	return index_add(e, &e->ident_index, ident_hash, *ret);
}

uint32_t
table_new_mark(struct identity_engine *e)
{
	if (++e->mark == 0) {
		memset(e->marks, 0, e->crows * sizeof(*e->marks));
		e->mark = 1;
	}
	return e->mark;
}
