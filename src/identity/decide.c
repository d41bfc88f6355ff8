/* SPDX-License-Identifier: Apache-2.0 */
/* What analysts decided about observations, and the links that follow from it. */
#include <errno.h>

#include "identity/state.h"

struct decided_row {
	uint8_t id[IDENTITY_ID_BYTES];
	uint32_t *decisions; /* ascending */
	uint8_t *sides;
	uint32_t n;
};

void
decide_fini(struct identity_engine *e)
{
	for (size_t i = 0; i < e->ndecisions; i++) {
		free(e->decisions[i].ids);
		free(e->decisions[i].side);
	}
	for (size_t i = 0; i < e->ndecided; i++) {
		free(e->decided[i].decisions);
		free(e->decided[i].sides);
	}
	free(e->decisions);
	free(e->decided);
}

/* Where the id is, or would be, among the decided rows. */
static size_t
lookup(const struct identity_engine *e, const uint8_t *id, bool *ret_found)
{
	size_t lo = 0, hi = e->ndecided;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = memcmp(e->decided[mid].id, id, IDENTITY_ID_BYTES);

		if (c == 0) {
			*ret_found = true;
			return mid;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*ret_found = false;
	return lo;
}

static int
stale(struct identity_engine *e, uint32_t decision)
{
	if (e->decisions[decision].stale)
		return 0;
	e->decisions[decision].stale = true;
	return list_push(&e->stale, decision);
}

/* Everything that was decided about the row. */
static int
stale_of(struct identity_engine *e, const uint8_t *id)
{
	bool found;
	const struct decided_row *d = &e->decided[lookup(e, id, &found)];

	for (uint32_t i = 0; found && i < d->n; i++)
		if (stale(e, d->decisions[i]) < 0)
			return -ENOMEM;
	return 0;
}

static int
note(struct identity_engine *e, const uint8_t *id, uint32_t decision, uint8_t side)
{
	bool found;
	size_t at = lookup(e, id, &found);
	struct decided_row *d;
	uint32_t *decisions, row;
	uint8_t *sides;

	if (!found) {
		if (table_grow((void **)&e->decided, &e->cdecided, e->ndecided + 1,
			       sizeof(*e->decided)) < 0)
			return -ENOMEM;
		memmove(&e->decided[at + 1], &e->decided[at],
			(e->ndecided - at) * sizeof(*e->decided));
		e->decided[at] = (struct decided_row){.n = 0};
		memcpy(e->decided[at].id, id, IDENTITY_ID_BYTES);
		e->ndecided++;
		row = table_find_row(e, id);
		if (row != NONE && decide_row(e, row) < 0)
			return -ENOMEM;
	}
	d = &e->decided[at];
	decisions = realloc(d->decisions, (d->n + 1) * sizeof(*decisions));
	if (!decisions)
		return -ENOMEM;
	d->decisions = decisions;
	sides = realloc(d->sides, d->n + 1);
	if (!sides)
		return -ENOMEM;
	d->sides = sides;
	d->decisions[d->n] = decision;
	d->sides[d->n++] = side;
	return 0;
}

int
identity_engine_decide(struct identity_engine *e, uint64_t no, bool apart,
		       const uint8_t (*ids)[IDENTITY_ID_BYTES], const uint8_t *side, size_t n)
{
	struct decision *d;
	int r = 0;

	if (e->failed || table_grow((void **)&e->decisions, &e->cdecisions, e->ndecisions + 1,
				    sizeof(*e->decisions)) < 0)
		return -ENOMEM;
	d = &e->decisions[e->ndecisions];
	*d = (struct decision){.no = no, .apart = apart, .n = (uint32_t)n};
	d->ids = malloc((n + 1) * sizeof(*d->ids));
	d->side = malloc(n + 1);
	e->ndecisions++;
	if (!d->ids || !d->side) {
		e->failed = true;
		return -ENOMEM;
	}
	memcpy(d->ids, ids, n * sizeof(*d->ids));
	memcpy(d->side, side, n);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = note(e, ids[i], (uint32_t)(e->ndecisions - 1), side[i]);
	if (r == 0)
		r = stale(e, (uint32_t)(e->ndecisions - 1));
	e->failed |= r < 0;
	return r;
}

int
decide_row(struct identity_engine *e, uint32_t row)
{
	bool found;

	if (e->ndecided == 0 || (e->flags[row] & ROW_DECIDED))
		return 0;
	(void)lookup(e, e->rest[row].id, &found);
	if (!found)
		return 0;
	e->flags[row] |= ROW_DECIDED;
	if (e->rows[row].comp != NONE)
		e->comps[e->rows[row].comp].decided++;
	return stale_of(e, e->rest[row].id);
}

int
decide_row_gone(struct identity_engine *e, uint32_t row)
{
	return e->flags[row] & ROW_DECIDED ? stale_of(e, e->rest[row].id) : 0;
}

bool
decide_apart(const struct identity_engine *e, uint32_t a, uint32_t b)
{
	bool found_a, found_b;
	const struct decided_row *x = &e->decided[lookup(e, e->rest[a].id, &found_a)];
	const struct decided_row *y = &e->decided[lookup(e, e->rest[b].id, &found_b)];
	uint32_t i, k;

	if (!found_a || !found_b)
		return false;
	i = x->n;
	k = y->n;
	while (i > 0 && k > 0) {
		uint32_t p = x->decisions[i - 1], q = y->decisions[k - 1];

		if (p == q)
			return e->decisions[p].apart && x->sides[i - 1] != y->sides[k - 1];
		if (p > q)
			i--;
		else
			k--;
	}
	return false;
}

static int
drop_musts(struct identity_engine *e, uint32_t row)
{
	struct row *r = &e->rows[row];

	for (uint32_t i = r->nhalves; i-- > 0;) {
		if (i >= r->nhalves || !(r->halves[i].flags & HALF_MUST))
			continue;
		if (pair_row_dirty(e, r->halves[i].other, true) < 0 || forest_unlink(e, row, i) < 0)
			return -ENOMEM;
		i = r->nhalves;
	}
	return pair_row_dirty(e, row, true);
}

static int
must(struct identity_engine *e, uint32_t a, uint32_t b)
{
	struct half *h = forest_find(e, a, b);

	if (!h)
		return forest_link(e, a, b, UINT16_MAX, HALF_MUST);
	forest_rescore(e, a, h, UINT16_MAX, h->flags | HALF_MUST);
	return 0;
}

/* Link the rows of one side, or of both, unless a later decision parts them. */
static int
make_musts(struct identity_engine *e, const struct decision *d, unsigned side)
{
	struct list32 *reps = &e->seen;

	reps->n = 0;
	for (uint32_t i = 0; i < d->n; i++) {
		uint32_t row = d->apart && d->side[i] != side ? NONE : table_find_row(e, d->ids[i]);
		size_t k = 0;

		if (row == NONE)
			continue;
		while (k < reps->n && decide_apart(e, reps->v[k], row))
			k++;
		if (k < reps->n ? must(e, reps->v[k], row) < 0 : list_push(reps, row) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int
ascending(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* A link may be asked for by several: whatever shares a row with what is stale is made anew too,
 * and nothing else. */
static int
drop_stale(struct identity_engine *e)
{
	for (size_t i = 0; i < e->stale.n; i++) {
		uint32_t at = e->stale.v[i];

		for (uint32_t k = 0; k < e->decisions[at].n; k++) {
			uint32_t row = table_find_row(e, e->decisions[at].ids[k]);

			if (stale_of(e, e->decisions[at].ids[k]) < 0)
				return -ENOMEM;
			if (row != NONE &&
			    (drop_musts(e, row) < 0 || forest_touch(e, e->rows[row].comp) < 0))
				return -ENOMEM;
		}
	}
	return 0;
}

int
decide_drain(struct identity_engine *e)
{
	if (e->stale.n == 0)
		return 0;
	if (drop_stale(e) < 0)
		return -ENOMEM;
	qsort(e->stale.v, e->stale.n, sizeof(*e->stale.v), ascending);
	for (size_t i = 0; i < e->stale.n; i++) {
		struct decision *d = &e->decisions[e->stale.v[i]];

		d->stale = false;
		for (unsigned side = 0; side < (d->apart ? 2 : 1); side++)
			if (make_musts(e, d, side) < 0)
				return -ENOMEM;
	}
	e->stale.n = 0;
	return 0;
}
