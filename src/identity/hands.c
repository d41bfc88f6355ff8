/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A change of every tool at once: groups of different stacks join when evidence of the hands
 * touches several rows on either side, those with the most of it first. What lies between two
 * groups is summed up once, and the sums are added when groups join, so that thousands of groups
 * around one cost no more than their links.
 */
#include <errno.h>

#include "identity/cut.h"

/* All that was refused between two groups and speaks of the hands. */
struct bridge {
	uint64_t sum;
	uint32_t bank[2];    /* the groups, by number */
	uint32_t on[2];	     /* a row that it touches on either side */
	uint32_t next[2];    /* in the list of either group */
	uint32_t low;	     /* row of least id that it touches */
	uint32_t changes;    /* what waits with another number is not so any more */
	bool several[2];     /* it touches more rows there */
	bool gone, hopeless; /* part of another one; analysts want them apart */
};

struct waiting {
	uint64_t sum;
	uint32_t bridge, low, changes;
};

struct hands {
	struct cut *c;
	struct bridge *bridges;
	size_t nbridges, cbridges;
	struct waiting *heap;
	size_t nheap, cheap;
	uint32_t *number, *root, *head, *length; /* of groups: number by root, the rest by number */
	uint32_t nnumbers;
	uint32_t *slots; /* bridge + 1 by its two numbers */
	size_t mask, used;
};

/* -- bridges by their groups -- */

static size_t
slot_of(const struct hands *h, uint32_t a, uint32_t b)
{
	uint64_t key = a < b ? (uint64_t)a << 32 | b : (uint64_t)b << 32 | a;

	return (size_t)(key * 0x9E3779B97F4A7C15U >> 20) & h->mask;
}

static uint32_t
between(const struct hands *h, uint32_t a, uint32_t b)
{
	for (size_t i = slot_of(h, a, b); h->slots[i]; i = (i + 1) & h->mask) {
		const struct bridge *x = &h->bridges[h->slots[i] - 1];

		if ((x->bank[0] == a && x->bank[1] == b) || (x->bank[0] == b && x->bank[1] == a))
			return h->slots[i] - 1;
	}
	return NONE;
}

static void
place(struct hands *h, uint32_t bridge)
{
	const struct bridge *x = &h->bridges[bridge];
	size_t i = slot_of(h, x->bank[0], x->bank[1]);

	while (h->slots[i])
		i = (i + 1) & h->mask;
	h->slots[i] = bridge + 1;
	h->used++;
}

/* Who has moved is found by his old groups no more: those slots go with the next growth. */
static int
remember(struct hands *h, uint32_t bridge)
{
	size_t size = 2 * (h->mask + 1);
	uint32_t *v;

	if (2 * (h->used + 1) <= h->mask) {
		place(h, bridge);
		return 0;
	}
	v = calloc(size, sizeof(*v));
	if (!v)
		return -ENOMEM;
	free(h->slots);
	h->slots = v;
	h->mask = size - 1;
	h->used = 0;
	for (uint32_t i = 0; i < h->nbridges; i++)
		if (!h->bridges[i].gone)
			place(h, i);
	return 0;
}

/* -- the strongest first -- */

static bool
before(const struct hands *h, const struct waiting *a, const struct waiting *b)
{
	if (a->sum != b->sum)
		return a->sum > b->sum;
	return a->low != b->low && cut_id_less(h->c, a->low, b->low);
}

static int
wait_for(struct hands *h, uint32_t bridge)
{
	const struct bridge *x = &h->bridges[bridge];
	struct waiting w = {x->sum, bridge, x->low, x->changes};
	size_t i;

	if (!x->several[0] || !x->several[1] || x->hopeless)
		return 0;
	if (table_grow((void **)&h->heap, &h->cheap, h->nheap + 1, sizeof(*h->heap)) < 0)
		return -ENOMEM;
	for (i = h->nheap++; i > 0 && before(h, &w, &h->heap[(i - 1) / 2]); i = (i - 1) / 2)
		h->heap[i] = h->heap[(i - 1) / 2];
	h->heap[i] = w;
	return 0;
}

static void
drop_first(struct hands *h)
{
	struct waiting w = h->heap[--h->nheap];
	size_t i = 0, k;

	while ((k = 2 * i + 1) < h->nheap) {
		k += k + 1 < h->nheap && before(h, &h->heap[k + 1], &h->heap[k]);
		if (!before(h, &h->heap[k], &w))
			break;
		h->heap[i] = h->heap[k];
		i = k;
	}
	if (h->nheap > 0)
		h->heap[i] = w;
}

/* Its groups by name, the lesser id first. */
static void
banks(const struct hands *h, uint32_t bridge, uint32_t ret[2])
{
	const struct bridge *x = &h->bridges[bridge];
	uint32_t a = h->root[x->bank[0]], b = h->root[x->bank[1]];
	bool less = cut_id_less(h->c, a, b);

	ret[0] = less ? a : b;
	ret[1] = less ? b : a;
}

/* Of two that are as strong. */
static bool
names_before(const struct hands *h, uint32_t x, uint32_t y)
{
	uint32_t a[2], b[2];

	banks(h, x, a);
	banks(h, y, b);
	return a[0] != b[0] ? cut_id_less(h->c, a[0], b[0])
			    : a[1] != b[1] && cut_id_less(h->c, a[1], b[1]);
}

static bool
still_true(struct hands *h, const struct waiting *w)
{
	struct bridge *x = &h->bridges[w->bridge];

	if (x->gone || x->hopeless || x->changes != w->changes)
		return false;
	/* Groups only grow: who is to be apart once stays so. */
	x->hopeless = cut_apart(h->c, h->root[x->bank[0]], h->root[x->bank[1]]);
	return !x->hopeless;
}

/* NONE: no two groups are to join. */
static int
strongest(struct hands *h, uint32_t *ret)
{
	struct list32 as_strong = {.n = 0};
	struct waiting first = {.sum = 0};
	int r = 0;

	*ret = NONE;
	while (r == 0 && h->nheap > 0) {
		struct waiting w = h->heap[0];

		if (*ret != NONE && before(h, &first, &w))
			break;
		drop_first(h);
		if (!still_true(h, &w))
			continue;
		if (*ret == NONE) {
			first = w;
			*ret = w.bridge;
			continue;
		}
		if (names_before(h, w.bridge, *ret)) {
			r = list_push(&as_strong, *ret);
			*ret = w.bridge;
		} else {
			r = list_push(&as_strong, w.bridge);
		}
	}
	for (size_t i = 0; r == 0 && i < as_strong.n; i++)
		r = wait_for(h, as_strong.v[i]);
	free(as_strong.v);
	return r;
}

/* -- building, joining -- */

static uint32_t
number_of(struct hands *h, uint32_t root)
{
	if (h->number[root] == NONE) {
		h->number[root] = h->nnumbers;
		h->root[h->nnumbers] = root;
		h->head[h->nnumbers++] = NONE;
	}
	return h->number[root];
}

static void
enlist(struct hands *h, uint32_t bridge, unsigned side)
{
	struct bridge *x = &h->bridges[bridge];

	x->next[side] = h->head[x->bank[side]];
	h->head[x->bank[side]] = bridge;
	h->length[x->bank[side]]++;
}

static void
touch(const struct hands *h, struct bridge *x, unsigned side, uint32_t row)
{
	x->several[side] |= x->on[side] != row;
	if (cut_id_less(h->c, row, x->low))
		x->low = row;
}

static int
add_edge(struct hands *h, const struct edge *g)
{
	uint32_t x = cut_find(h->c, g->a), y = cut_find(h->c, g->b), a, b, at;
	struct bridge *k;
	bool turned;

	if (x == y || !(g->flags & HALF_HANDS))
		return 0;
	a = number_of(h, x);
	b = number_of(h, y);
	at = between(h, a, b);
	if (at == NONE) {
		if (table_grow((void **)&h->bridges, &h->cbridges, h->nbridges + 1,
			       sizeof(*h->bridges)) < 0)
			return -ENOMEM;
		at = (uint32_t)h->nbridges++;
		h->bridges[at] = (struct bridge){.bank = {a, b}, .on = {g->a, g->b}, .low = g->a};
		enlist(h, at, 0);
		enlist(h, at, 1);
		if (remember(h, at) < 0)
			return -ENOMEM;
	}
	k = &h->bridges[at];
	turned = k->bank[0] != a;
	touch(h, k, turned, g->a);
	touch(h, k, !turned, g->b);
	k->sum += g->score;
	return 0;
}

/* What led from `gone` to somewhere leads there from `to`, which has a bridge already. */
static void
add_up(const struct hands *h, const struct bridge *from, unsigned side, struct bridge *into,
       uint32_t to)
{
	unsigned at = into->bank[0] == to ? 0 : 1;

	for (unsigned i = 0; i < 2; i++) {
		unsigned s = i ? !side : side, t = i ? !at : at;

		into->several[t] |= from->several[s] || into->on[t] != from->on[s];
	}
	if (cut_id_less(h->c, from->low, into->low))
		into->low = from->low;
	into->sum += from->sum;
	into->hopeless |= from->hopeless;
	into->changes++;
}

static int
move_bridges(struct hands *h, uint32_t gone, uint32_t to)
{
	for (uint32_t i = h->head[gone], next; i != NONE; i = next) {
		struct bridge *x = &h->bridges[i];
		unsigned side = x->bank[0] == gone ? 0 : 1;
		uint32_t other = x->bank[!side], same;

		next = x->next[side];
		if (x->gone)
			continue;
		same = other == to ? NONE : between(h, to, other);
		x->gone = other == to || same != NONE;
		if (same != NONE) {
			add_up(h, x, side, &h->bridges[same], to);
			if (wait_for(h, same) < 0)
				return -ENOMEM;
		}
		if (x->gone)
			continue;
		x->bank[side] = to;
		enlist(h, i, side);
		if (remember(h, i) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int
join(struct hands *h, uint32_t bridge)
{
	uint32_t a = h->bridges[bridge].bank[0], b = h->bridges[bridge].bank[1], names[2], root;

	banks(h, bridge, names);
	cut_unite(h->c, names[0], names[1]);
	root = cut_find(h->c, names[0]);
	/* The one with fewer moves, whatever the group is called. */
	if (h->length[a] > h->length[b]) {
		uint32_t swap = a;

		a = b;
		b = swap;
	}
	h->root[b] = root;
	h->number[root] = b;
	return move_bridges(h, a, b);
}

static int
run(struct hands *h)
{
	uint32_t at = NONE;
	int r = 0;

	for (size_t i = 0; r == 0 && i < h->c->nrefused; i++)
		r = add_edge(h, &h->c->refused[i]);
	for (uint32_t i = 0; r == 0 && i < h->nbridges; i++)
		r = wait_for(h, i);
	if (r == 0)
		r = strongest(h, &at);
	while (r == 0 && at != NONE) {
		r = join(h, at);
		if (r == 0)
			r = strongest(h, &at);
	}
	return r;
}

int
hands_join(struct cut *c)
{
	struct hands h = {.c = c, .mask = 63};
	int r = -ENOMEM;

	if (c->nrefused == 0)
		return 0;
	h.slots = calloc(h.mask + 1, sizeof(*h.slots));
	h.number = malloc(c->n * sizeof(*h.number));
	h.root = malloc(c->n * sizeof(*h.root));
	h.head = malloc(c->n * sizeof(*h.head));
	h.length = calloc(c->n, sizeof(*h.length));
	if (h.slots && h.number && h.root && h.head && h.length) {
		for (size_t i = 0; i < c->n; i++)
			h.number[i] = NONE;
		r = run(&h);
	}
	free(h.bridges);
	free(h.heap);
	free(h.number);
	free(h.root);
	free(h.head);
	free(h.length);
	free(h.slots);
	return r;
}
