/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pairs are compared: every value compares its rows with its few representatives, a star and
 * no clique. A link is there exactly when one end represents a value of the other and the score is
 * enough; pair_refresh makes that true for one pair, whatever happened before.
 */
#include <errno.h>
#include <math.h>

#include "identity/state.h"

#define DONE_BITS   15
#define LINE_VALUES 12 /* most rows have no more: their end may be in another line of the cache */

bool
pair_generates(const struct value *v)
{
	return v->n >= 2 && (!is_token(v->class) || (v->flags & VALUE_GOOD));
}

int
pair_row_dirty(struct identity_engine *e, uint32_t row, bool full)
{
	bool listed = (e->flags[row] & ROW_PENDING) != 0;

	e->flags[row] |= full ? ROW_FULL | ROW_PENDING | ROW_AHEAD : ROW_PENDING;
	return listed ? 0 : list_push(&e->dirty, row);
}

int
pair_job(struct identity_engine *e, uint32_t value, uint32_t row)
{
	/* Compared with everybody anyway. */
	if (e->flags[row] & ROW_FULL)
		return 0;
	if (table_grow((void **)&e->jobs, &e->cjobs, e->njobs + 1, sizeof(*e->jobs)) < 0)
		return -ENOMEM;
	e->jobs[e->njobs++] = (struct job){value, row};
	return 0;
}

static struct done *
done_slot(const struct identity_engine *e, uint32_t x, uint32_t y)
{
	return &e->done[(x * 0x9E3779B1U ^ y * 0x85EBCA77U) >> (32 - DONE_BITS)];
}

/* Levels and representatives do not move while pairs are compared: once a drain is enough. */
static bool
was_done(struct identity_engine *e, uint32_t a, uint32_t b)
{
	uint32_t x = a < b ? a : b, y = a < b ? b : a;
	struct done *d = done_slot(e, x, y);

	if (d->a == x && d->b == y && d->drain == e->drains)
		return true;
	*d = (struct done){x, y, e->drains};
	return false;
}

/* The row of the sweep and another one. */
static int
pair_refresh(struct identity_engine *e, uint32_t b)
{
	uint32_t a = e->sweep.row;
	struct score s = {.bits = -99};
	A_UNINIT struct overlap o;
	struct half *h;
	uint16_t score, flags;

	score_overlap(e, &e->sweep, b, &o);
	flags = o.flags;
	if (flags)
		score_pair(e, a, b, &o, &s, NULL);
	h = forest_find(e, a, b);
	if (h && (h->flags & HALF_MUST))
		return 0;
	if (s.bits < IDENTITY_LINK_BITS)
		return h ? forest_unlink(e, a, (uint32_t)(h - e->rows[a].halves)) : 0;
	if (s.hands)
		flags |= HALF_HANDS;
	score = (uint16_t)lround(s.bits * 1000);
	if (!h)
		return forest_link(e, a, b, score, flags);
	forest_rescore(e, a, h, score, flags);
	return 0;
}

int
pair_compare(struct identity_engine *e, uint32_t row, const struct list32 *others)
{
	if (others->n > 0)
		score_sweep(e, row, &e->sweep);
	for (size_t i = 0; i < others->n; i++)
		if (pair_refresh(e, others->v[i]) < 0)
			return -ENOMEM;
	return 0;
}

/* Rows to compare lie anywhere in memory: those that come soon are asked for in time. */
static void
fetch_row(const struct identity_engine *e, uint32_t row)
{
	__builtin_prefetch(&e->rows[row]);
}

static void
fetch_lists(const struct identity_engine *e, uint32_t row)
{
	__builtin_prefetch(e->rows[row].values);
	__builtin_prefetch(e->rows[row].values + LINE_VALUES);
	__builtin_prefetch(e->rows[row].halves);
}

static void
fetch_ahead(const struct identity_engine *e, size_t at)
{
	const struct list32 *l = &e->seen;

	for (size_t i = 0; at == 0 && i < 4 && i < l->n; i++)
		fetch_lists(e, l->v[i]);
	if (at + 8 < l->n)
		fetch_row(e, l->v[at + 8]);
	if (at + 4 < l->n)
		fetch_lists(e, l->v[at + 4]);
}

/* Everybody else among these rows but those with these flags. */
static int
see(struct identity_engine *e, uint32_t row, const uint32_t *v, uint32_t n, uint32_t mark,
    unsigned but)
{
	for (uint32_t i = 0; i < n; i++) {
		if (v[i] == row || e->marks[v[i]] == mark || (e->flags[v[i]] & but))
			continue;
		e->marks[v[i]] = mark;
		fetch_row(e, v[i]);
		if (list_push(&e->seen, v[i]) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Whether the other row has one of these values, whose levels changed. */
static bool
concerned(const struct identity_engine *e, const uint32_t *news, unsigned n, uint32_t other)
{
	const struct row *r = &e->rows[other];

	for (unsigned i = 0; i < n; i++) {
		unsigned class = e->values[news[i]].class;
		const uint32_t *v = row_values(r, class);

		for (unsigned k = 0; k < r->n[class] && v[k] <= news[i]; k++)
			if (v[k] == news[i])
				return true;
	}
	return false;
}

/*
 * A row of which everything counts is compared with whatever it may be linked to, so others leave
 * the pair to it. Of two equals the one that comes later compares them, where either represents the
 * value.
 */
static int
refresh_row(struct identity_engine *e, uint32_t row, bool full)
{
	const struct row *r = &e->rows[row];
	uint32_t mark = table_new_mark(e), n, news[IDENTITY_KEYS_MAX];
	unsigned k = row_nvalues(r), nnews = 0;
	unsigned but = full ? 0 : ROW_FULL, later = full ? ROW_AHEAD : ROW_FULL | ROW_PENDING;

	e->seen.n = 0;
	for (unsigned i = 0; i < k; i++)
		__builtin_prefetch(&e->values[r->values[i]]);
	for (unsigned i = 0; i < k; i++)
		posting_fetch(&e->values[r->values[i]]);
	for (unsigned i = 0; i < k; i++) {
		const struct value *v = &e->values[r->values[i]];
		const uint32_t *rep;
		bool ours;

		if (v->flags & VALUE_NEWS)
			news[nnews++] = r->values[i];
		if (!pair_generates(v))
			continue;
		rep = posting_rep(v, &n);
		ours = v->n <= REP_MAX || posting_in_rep(v, row);
		if (see(e, row, rep, n, mark, ours ? later : but) < 0 ||
		    (full && ours && v->n > REP_MAX &&
		     see(e, row, posting_rows(v), v->n, mark, ROW_FULL) < 0))
			return -ENOMEM;
	}
	/* Links that nothing speaks for any more. */
	for (uint32_t i = 0; i < r->nhalves; i++) {
		const struct half *h = &r->halves[i];

		if ((full || (h->flags & HALF_MINE)) &&
		    see(e, row, &h->other, 1, mark, full ? ROW_AHEAD : ROW_FULL) < 0)
			return -ENOMEM;
	}
	score_sweep(e, row, &e->sweep);
	for (size_t i = 0; i < e->seen.n; i++) {
		fetch_ahead(e, i);
		if ((full || (concerned(e, news, nnews, e->seen.v[i]) &&
			      !was_done(e, row, e->seen.v[i]))) &&
		    pair_refresh(e, e->seen.v[i]) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* The level of a value of few rows changed: every pair of them. */
static int
refresh_value(struct identity_engine *e, const struct value *v)
{
	const uint32_t *rows = posting_rows(v);

	for (uint32_t i = 0; i < v->n; i++)
		fetch_row(e, rows[i]);
	for (uint32_t i = 0; i < v->n; i++)
		fetch_lists(e, rows[i]);
	for (uint32_t i = 1; i < v->n; i++) {
		if (e->flags[rows[i]] & ROW_FULL)
			continue;
		score_sweep(e, rows[i], &e->sweep);
		for (uint32_t k = 0; k < i; k++)
			if (!(e->flags[rows[k]] & ROW_FULL) && !was_done(e, rows[i], rows[k]) &&
			    pair_refresh(e, rows[k]) < 0)
				return -ENOMEM;
	}
	return 0;
}

/*
 * Somebody became a representative of the value, or is one no longer: then nothing new is to be
 * compared, only links that rested on it may go.
 */
static int
run_job(struct identity_engine *e, const struct job *j)
{
	const struct value *v = &e->values[j->value];
	const struct row *r = &e->rows[j->row];
	uint32_t mark = table_new_mark(e);
	bool rep = posting_in_rep(v, j->row);

	if (!r->alive || (e->flags[j->row] & ROW_FULL))
		return 0;
	e->seen.n = 0;
	if (rep) {
		if (see(e, j->row, posting_rows(v), v->n, mark, ROW_FULL) < 0)
			return -ENOMEM;
	} else {
		for (uint32_t i = 0; i < r->nhalves; i++)
			if ((r->halves[i].flags & HALF_THEIRS) &&
			    see(e, j->row, &r->halves[i].other, 1, mark, ROW_FULL) < 0)
				return -ENOMEM;
	}
	if (e->seen.n > 0)
		score_sweep(e, j->row, &e->sweep);
	for (size_t i = 0; i < e->seen.n; i++) {
		fetch_ahead(e, i);
		if ((rep || concerned(e, &j->value, 1, e->seen.v[i])) &&
		    !was_done(e, j->row, e->seen.v[i]) && pair_refresh(e, e->seen.v[i]) < 0)
			return -ENOMEM;
	}
	return 0;
}

int
pair_drain(struct identity_engine *e)
{
	if (!e->done) {
		e->done = calloc((size_t)1 << DONE_BITS, sizeof(*e->done));
		if (!e->done)
			return -ENOMEM;
	}
	e->drains++;
	for (size_t i = 0; i < e->njobs; i++)
		if (run_job(e, &e->jobs[i]) < 0)
			return -ENOMEM;
	e->njobs = 0;
	for (size_t i = 0; i < e->news.n; i++) {
		const struct value *v = &e->values[e->news.v[i]];

		if (v->n <= SAMPLE_MAX && refresh_value(e, v) < 0)
			return -ENOMEM;
	}
	for (size_t i = 0; i < e->dirty.n; i++) {
		uint32_t row = e->dirty.v[i];
		if (i + 2 < e->dirty.n)
			fetch_row(e, e->dirty.v[i + 2]);
		if (i + 1 < e->dirty.n)
			fetch_lists(e, e->dirty.v[i + 1]);
		if (!(e->flags[row] & ROW_PENDING))
			continue;
		e->flags[row] &= (uint8_t) ~(ROW_PENDING | ROW_AHEAD);
		if (e->rows[row].alive && refresh_row(e, row, e->flags[row] & ROW_FULL) < 0)
			return -ENOMEM;
	}
	for (size_t i = 0; i < e->dirty.n; i++)
		e->flags[e->dirty.v[i]] &= (uint8_t)~ROW_FULL;
	e->dirty.n = 0;
	for (size_t i = 0; i < e->news.n; i++)
		e->values[e->news.v[i]].flags &= (uint8_t)~VALUE_NEWS;
	e->news.n = 0;
	return 0;
}
