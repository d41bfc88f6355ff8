/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A component in which stacks contradict each other is cut anew: agglomeration from the strongest
 * link down, where groups of different stacks do not join. What was refused may still join when
 * evidence of the hands touches several rows on either side; a row between two groups that has no
 * stack of its own, or one half of each, stays alone.
 */
#include <errno.h>

#include "identity/cut.h"

static const double conflict_below = .15, at_home = .5;
enum { GROUP_MIN = 3, COMPARED_BITS = 10, LIST_MAX = 8, INDEX_MIN = 1024 };

/* Places in the cut go by hash, so that edges are ordered by them. */
struct place {
	uint64_t hash;
	uint32_t row;
};

uint32_t
cut_find(struct cut *c, uint32_t x)
{
	while (c->groups[x].parent != x) {
		c->groups[x].parent = c->groups[c->groups[x].parent].parent;
		x = c->groups[x].parent;
	}
	return x;
}

static const struct row *
row_at(const struct cut *c, uint32_t x)
{
	return &c->e->rows[c->rows[x]];
}

bool
cut_id_less(const struct cut *c, uint32_t x, uint32_t y)
{
	return memcmp(c->e->rest[c->rows[x]].id, c->e->rest[c->rows[y]].id, IDENTITY_ID_BYTES) < 0;
}

/* -- tallies by their value, where a group has many -- */

static struct spot *
spot_of(const struct cut *c, uint32_t group, uint32_t value)
{
	size_t i = (group * 0x9E3779B97F4A7C15U ^ value * 0xC2B2AE3D27D4EB4FU) >> 20 & c->mask;

	while (c->index[i].tally &&
	       (c->index[i].group != group || c->tallies[c->index[i].tally - 1].value != value))
		i = (i + 1) & c->mask;
	return &c->index[i];
}

static void
index_list(struct cut *c, uint32_t group, unsigned slot)
{
	for (uint32_t t = c->groups[group].first[slot]; t != NONE; t = c->tallies[t].next) {
		*spot_of(c, group, c->tallies[t].value) = (struct spot){group, t + 1};
		c->used++;
	}
}

/* Room for so many more; what groups had before they became part of another one goes. Without
 * memory there is no index, and lists are gone through. */
static void
make_room(struct cut *c, size_t more)
{
	size_t size = INDEX_MIN, live = more;

	if (c->index && 2 * (c->used + more) <= c->mask)
		return;
	for (size_t i = 0; i < c->n; i++)
		for (unsigned s = 0; s < 2; s++)
			if (c->groups[i].parent == i && c->groups[i].indexed[s])
				live += c->groups[i].kinds[s];
	while (size < 4 * live)
		size *= 2;
	free(c->index);
	c->index = calloc(size, sizeof(*c->index));
	c->mask = size - 1;
	c->used = 0;
	for (size_t i = 0; c->index && i < c->n; i++)
		for (unsigned s = 0; s < 2; s++)
			if (c->groups[i].parent == i && c->groups[i].indexed[s])
				index_list(c, (uint32_t)i, s);
}

static uint32_t
tally_of(const struct cut *c, const struct group *g, unsigned slot, uint32_t value)
{
	if (c->index && g->indexed[slot]) {
		uint32_t tally = spot_of(c, (uint32_t)(g - c->groups), value)->tally;

		return tally ? tally - 1 : NONE;
	}
	for (uint32_t t = g->first[slot]; t != NONE; t = c->tallies[t].next)
		if (c->tallies[t].value == value)
			return t;
	return NONE;
}

/* The tally is the last one of the group's list now. */
static void
index_last(struct cut *c, struct group *g, unsigned slot)
{
	uint32_t group = (uint32_t)(g - c->groups), t = g->last[slot];

	if (g->kinds[slot] <= LIST_MAX)
		return;
	make_room(c, g->kinds[slot]);
	if (!c->index)
		return;
	if (g->indexed[slot]) {
		*spot_of(c, group, c->tallies[t].value) = (struct spot){group, t + 1};
		c->used++;
		return;
	}
	g->indexed[slot] = true;
	index_list(c, group, slot);
}

static double
part_of(const struct cut *c, const struct group *g, unsigned slot, uint32_t value)
{
	uint32_t t = tally_of(c, g, slot, value);

	return t == NONE ? 0 : (double)c->tallies[t].n / g->total[slot];
}

/* The most that the two groups overlap in a slot is too little. */
static bool
compare(const struct cut *c, const struct group *x, const struct group *y)
{
	bool comparable = false;
	double best = 0;

	for (unsigned s = 0; s < 2; s++) {
		const struct group *few = x->kinds[s] <= y->kinds[s] ? x : y;
		const struct group *many = few == x ? y : x;
		double both = 0;

		if (x->total[s] == 0 || y->total[s] == 0)
			continue;
		for (uint32_t t = few->first[s]; t != NONE; t = c->tallies[t].next) {
			double p = (double)c->tallies[t].n / few->total[s];
			double q = part_of(c, many, s, c->tallies[t].value);

			both += p < q ? p : q;
		}
		best = both > best ? both : best;
		comparable = true;
	}
	return comparable && best < conflict_below;
}

/* Thousands of links may lie between two groups that do not grow meanwhile. */
static bool
conflict(const struct cut *c, uint32_t x, uint32_t y)
{
	const struct group *p = &c->groups[x], *q = &c->groups[y];
	struct compared *last =
		&c->compared[(x * 0x9E3779B1U ^ y * 0x85EBCA77U) >> (32 - COMPARED_BITS)];

	if (last->x != x || last->y != y || last->size_x != p->size || last->size_y != q->size)
		*last = (struct compared){x, y, p->size, q->size, compare(c, p, q)};
	return last->conflict;
}

bool
cut_apart(const struct cut *c, uint32_t x, uint32_t y)
{
	for (uint32_t i = c->groups[x].decided; i != NONE; i = c->words[i].next)
		for (uint32_t k = c->groups[y].decided; k != NONE; k = c->words[k].next)
			if (decide_apart(c->e, c->words[i].kind, c->words[k].kind))
				return true;
	return false;
}

static bool
has_word(const struct cut *c, const struct group *g, uint32_t kind)
{
	for (uint32_t i = g->decided; i != NONE; i = c->words[i].next)
		if (c->words[i].kind == kind)
			return true;
	return false;
}

/* Thousands of rows of a group may have the same. */
static void
move_words(struct cut *c, const struct group *from, struct group *to)
{
	for (uint32_t i = from->decided, next; i != NONE; i = next) {
		next = c->words[i].next;
		if (has_word(c, to, c->words[i].kind))
			continue;
		c->words[i].next = to->decided;
		to->decided = i;
	}
}

static void
move_tallies(struct cut *c, struct group *from, struct group *to, unsigned s)
{
	uint32_t t = from->first[s], next;

	for (; t != NONE; t = next) {
		uint32_t have = tally_of(c, to, s, c->tallies[t].value);

		next = c->tallies[t].next;
		if (have != NONE) {
			c->tallies[have].n += c->tallies[t].n;
			continue;
		}
		c->tallies[t].next = NONE;
		if (to->first[s] == NONE)
			to->first[s] = t;
		else
			c->tallies[to->last[s]].next = t;
		to->last[s] = t;
		to->kinds[s]++;
		index_last(c, to, s);
	}
	to->total[s] += from->total[s];
}

void
cut_unite(struct cut *c, uint32_t x, uint32_t y)
{
	struct group *from, *to;

	if (c->groups[x].size > c->groups[y].size) {
		uint32_t swap = x;

		x = y;
		y = swap;
	}
	from = &c->groups[x];
	to = &c->groups[y];
	move_tallies(c, from, to, 0);
	move_tallies(c, from, to, 1);
	from->parent = y;
	to->size += from->size;
	move_words(c, from, to);
}

static int
by_hash(const void *x, const void *y)
{
	const struct place *a = x, *b = y;

	return a->hash < b->hash ? -1 : a->hash > b->hash;
}

/* The members of the component by hash; `part` is the place of each for now. */
static int
place_rows(struct identity_engine *e, uint32_t comp)
{
	const struct comp *k = &e->comps[comp];
	struct place *v = malloc(k->size * sizeof(*v));
	uint32_t row = k->head;
	size_t n = 0;
	int r = v ? 0 : -ENOMEM;

	if (r == 0)
		do {
			v[n++] = (struct place){e->hashes[row], row};
			row = e->rest[row].next;
		} while (row != k->head);
	if (n > 1)
		qsort(v, n, sizeof(*v), by_hash);
	e->group.n = 0;
	for (size_t i = 0; r == 0 && i < n; i++) {
		e->rows[v[i].row].part = (uint32_t)i;
		r = list_push(&e->group, v[i].row);
	}
	free(v);
	return r;
}

/* By the end of larger hash. */
static void
list_edges(struct cut *c)
{
	for (size_t x = 0; x < c->n; x++) {
		const struct row *r = row_at(c, (uint32_t)x);

		for (uint32_t i = 0; i < r->nhalves; i++) {
			uint32_t other = c->e->rows[r->halves[i].other].part;

			if (other < x)
				c->edges[c->nedges++] = (struct edge){.a = other,
								      .b = (uint32_t)x,
								      .score = r->halves[i].score,
								      .flags = r->halves[i].flags};
		}
	}
}

enum sort_key { BY_LOWER, BY_SCORE_LOW, BY_SCORE_HIGH };

/* Larger scores come first. */
static uint32_t
digit(const struct edge *g, enum sort_key key)
{
	uint32_t rest = (uint32_t)UINT16_MAX - g->score;

	return key == BY_LOWER ? g->a : key == BY_SCORE_LOW ? rest & 0xff : rest >> 8;
}

/* One stable pass; `counts` has room for every digit and one more. */
static void
sort_pass(struct cut *c, enum sort_key key, uint32_t *counts, size_t digits)
{
	struct edge *sorted = c->other;

	memset(counts, 0, (digits + 1) * sizeof(*counts));
	for (size_t i = 0; i < c->nedges; i++)
		counts[digit(&c->edges[i], key) + 1]++;
	for (size_t i = 1; i <= digits; i++)
		counts[i] += counts[i - 1];
	for (size_t i = 0; i < c->nedges; i++)
		sorted[counts[digit(&c->edges[i], key)]++] = c->edges[i];
	c->other = c->edges;
	c->edges = sorted;
}

/* Strongest first, then by the hashes of both ends. */
static int
sort_edges(struct cut *c)
{
	size_t digits = c->n > 256 ? c->n : 256;
	uint32_t *counts = malloc((digits + 1) * sizeof(*counts));

	if (!counts)
		return -ENOMEM;
	list_edges(c);
	sort_pass(c, BY_LOWER, counts, c->n);
	sort_pass(c, BY_SCORE_LOW, counts, 256);
	sort_pass(c, BY_SCORE_HIGH, counts, 256);
	free(counts);
	return 0;
}

static void
start_group(struct cut *c, uint32_t x)
{
	const struct row *r = row_at(c, x);
	struct group *g = &c->groups[x];

	c->words[x] = (struct word){decide_kind(c->e, c->rows[x]), NONE};
	*g = (struct group){.parent = x,
			    .size = 1,
			    .first = {NONE, NONE},
			    .decided = c->words[x].kind != NONE ? x : NONE};
	for (unsigned s = 0; s < 2; s++) {
		if (r->n[s] == 0)
			continue;
		g->total[s] = 1;
		/* What nobody else has, no other group can have. */
		if (c->e->values[row_values(r, s)[0]].n < 2)
			continue;
		c->tallies[2 * (size_t)x + s] = (struct tally){row_values(r, s)[0], 1, NONE};
		g->first[s] = g->last[s] = 2 * x + s;
		g->kinds[s] = 1;
	}
}

static int
prepare(struct cut *c)
{
	size_t halves = 0;

	for (size_t i = 0; i < c->n; i++)
		halves += row_at(c, (uint32_t)i)->nhalves;
	c->groups = malloc(c->n * sizeof(*c->groups));
	c->tallies = malloc(2 * c->n * sizeof(*c->tallies));
	c->words = malloc(c->n * sizeof(*c->words));
	c->compared = calloc((size_t)1 << COMPARED_BITS, sizeof(*c->compared));
	c->edges = malloc((halves / 2 + 1) * sizeof(*c->edges));
	c->other = malloc((halves / 2 + 1) * sizeof(*c->other));
	c->refused = malloc((halves / 2 + 1) * sizeof(*c->refused));
	if (!c->groups || !c->tallies || !c->words || !c->compared || !c->edges || !c->other ||
	    !c->refused)
		return -ENOMEM;
	for (size_t i = 0; i < c->n; i++)
		start_group(c, (uint32_t)i);
	return sort_edges(c);
}

static void
agglomerate(struct cut *c)
{
	for (size_t i = 0; i < c->nedges; i++) {
		const struct edge *g = &c->edges[i];
		uint32_t x = cut_find(c, g->a), y = cut_find(c, g->b);
		const struct group *p = &c->groups[x], *q = &c->groups[y];

		if (x == y || cut_apart(c, x, y))
			continue;
		if ((p->size < q->size ? p->size : q->size) >= GROUP_MIN && conflict(c, x, y) &&
		    !(g->flags & HALF_MUST))
			c->refused[c->nrefused++] = *g;
		else
			cut_unite(c, x, y);
	}
}

/* -- who belongs to neither -- */

static bool
has_must(const struct row *r)
{
	for (uint32_t i = 0; i < r->nhalves; i++)
		if (r->halves[i].flags & HALF_MUST)
			return true;
	return false;
}

static void
judge(struct cut *c, uint32_t o, uint32_t p)
{
	const struct row *r = row_at(c, o);
	const struct group *x = &c->groups[cut_find(c, o)], *y = &c->groups[cut_find(c, p)];
	bool alone = r->n[TLS] == 0 && r->n[SSH] == 0;

	if (x == y)
		return;
	for (unsigned s = 0; s < 2; s++) {
		uint32_t v;

		if (r->n[s] == 0)
			continue;
		v = row_values(r, s)[0];
		alone |= part_of(c, x, s, v) < conflict_below && part_of(c, y, s, v) >= at_home;
	}
	c->groups[o].alone |= alone && !has_must(r);
}

static uint32_t
number_parts(struct cut *c)
{
	struct identity_engine *e = c->e;
	uint32_t n = 0, *names = e->walk[0].v;

	for (size_t i = 0; i < c->n; i++)
		names[i] = NONE;
	for (size_t i = 0; i < c->n; i++) {
		uint32_t root = cut_find(c, (uint32_t)i);
		struct row *r = &e->rows[c->rows[i]];

		if (c->groups[i].alone) {
			r->part = n++;
			continue;
		}
		if (names[root] == NONE)
			names[root] = n++;
		r->part = names[root];
	}
	return n;
}

int
cut_component(struct identity_engine *e, uint32_t comp, uint32_t *ret_n)
{
	struct cut c = {.e = e};
	int r = place_rows(e, comp);

	if (r < 0)
		return r;
	c.rows = e->group.v;
	c.n = e->group.n;
	r = table_grow((void **)&e->walk[0].v, &e->walk[0].cap, c.n, sizeof(*e->walk[0].v));
	if (r == 0)
		r = prepare(&c);
	if (r == 0) {
		agglomerate(&c);
		r = hands_join(&c);
	}
	if (r == 0) {
		for (size_t i = 0; i < c.nrefused; i++) {
			judge(&c, c.refused[i].a, c.refused[i].b);
			judge(&c, c.refused[i].b, c.refused[i].a);
		}
		*ret_n = number_parts(&c);
	}
	free(c.groups);
	free(c.tallies);
	free(c.words);
	free(c.index);
	free(c.compared);
	free(c.edges);
	free(c.other);
	free(c.refused);
	return r;
}
