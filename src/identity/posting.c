/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of a value: a short list by hash, or a table with representatives and a sample kept. */
#include <errno.h>

#include "identity/state.h"

#define SHORT_MAX SAMPLE_MAX /* all of them are the sample */

const uint32_t *
posting_rows(const struct value *v)
{
	return v->n <= 2 ? v->one : v->n <= SHORT_MAX ? v->rows : v->big->rows;
}

const uint32_t *
posting_rep(const struct value *v, uint32_t *ret_n)
{
	*ret_n = v->n < REP_MAX ? v->n : REP_MAX;
	return v->n <= SHORT_MAX ? posting_rows(v) : v->big->rep;
}

const uint32_t *
posting_sample(const struct value *v, uint32_t *ret_n)
{
	*ret_n = v->n < SAMPLE_MAX ? v->n : SAMPLE_MAX;
	return v->n <= SHORT_MAX ? posting_rows(v) : v->big->sample;
}

void
posting_fetch(const struct value *v)
{
	if (v->n > SHORT_MAX)
		__builtin_prefetch(v->big->rep);
	else if (v->n > 2)
		__builtin_prefetch(v->rows);
}

static bool
among(const uint32_t *v, uint32_t n, uint32_t row)
{
	for (uint32_t i = 0; i < n; i++)
		if (v[i] == row)
			return true;
	return false;
}

bool
posting_in_rep(const struct value *v, uint32_t row)
{
	uint32_t n;
	const uint32_t *rep = posting_rep(v, &n);

	return among(rep, n, row);
}

bool
posting_in_sample(const struct value *v, uint32_t row)
{
	return v->n <= SHORT_MAX || among(v->big->sample, SAMPLE_MAX, row);
}

void
posting_fini(struct value *v)
{
	if (v->n > SHORT_MAX) {
		free(v->big->rows);
		free(v->big);
	} else if (v->n > 2) {
		free(v->rows);
	}
	v->n = 0;
}

/* Where the row keeps its place in the value's table. */
static uint32_t *
place_of(struct identity_engine *e, uint32_t v, uint32_t row)
{
	struct row *r = &e->rows[row];
	unsigned class = e->values[v].class;
	const uint32_t *ids = row_values(r, class);
	uint32_t lo = 0, hi = r->n[class];

	while (lo + 1 < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (ids[mid] <= v)
			lo = mid;
		else
			hi = mid;
	}
	return r->values + row_nvalues(r) + (size_t)(ids - r->values) + lo;
}

/* Into a sorted array of fixed size; what falls out, or NONE. */
static uint32_t
push_rep(struct identity_engine *e, struct big *b, uint32_t n, uint32_t row)
{
	uint32_t out = n == REP_MAX ? b->rep[REP_MAX - 1] : NONE, at = n;
	uint64_t hash = e->hashes[row];

	while (at > 0 && e->hashes[b->rep[at - 1]] > hash)
		at--;
	if (at == REP_MAX)
		return row;
	memmove(&b->rep[at + 1], &b->rep[at],
		((n < REP_MAX ? n : REP_MAX - 1) - at) * sizeof(b->rep[0]));
	b->rep[at] = row;
	return out;
}

static bool
push_sample(struct big *b, uint32_t n, uint32_t row, uint64_t mix)
{
	uint32_t at = n;
	size_t rest;

	while (at > 0 && b->mix[at - 1] > mix)
		at--;
	if (at == SAMPLE_MAX)
		return false;
	rest = (n < SAMPLE_MAX ? n : SAMPLE_MAX - 1) - at;
	memmove(&b->sample[at + 1], &b->sample[at], rest * sizeof(b->sample[0]));
	memmove(&b->mix[at + 1], &b->mix[at], rest * sizeof(b->mix[0]));
	b->sample[at] = row;
	b->mix[at] = mix;
	return true;
}

static int
grow_big(struct identity_engine *e, uint32_t v)
{
	struct value *value = &e->values[v];
	struct big *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->cap = 2 * SHORT_MAX;
	b->rows = malloc(b->cap * sizeof(*b->rows));
	if (!b->rows) {
		free(b);
		return -ENOMEM;
	}
	memcpy(b->rows, value->rows, SHORT_MAX * sizeof(*b->rows));
	memcpy(b->rep, value->rows, sizeof(b->rep));
	for (uint32_t i = 0; i < SHORT_MAX; i++) {
		uint32_t row = b->rows[i];

		(void)push_sample(b, i, row, identity_mix(e->hashes[row], value->key));
		*place_of(e, v, row) = i;
	}
	free(value->rows);
	value->big = b;
	return 0;
}

/* Back to a short list: SHORT_MAX rows are left. */
static int
shrink_big(struct identity_engine *e, struct value *value)
{
	struct big *b = value->big;
	uint32_t *rows = malloc(SHORT_MAX * sizeof(*rows));

	if (!rows)
		return -ENOMEM;
	for (uint32_t i = 0; i < SHORT_MAX; i++) {
		uint32_t row = b->rows[i], at = i;

		for (; at > 0 && e->hashes[rows[at - 1]] > e->hashes[row]; at--)
			rows[at] = rows[at - 1];
		rows[at] = row;
	}
	free(b->rows);
	free(b);
	value->rows = rows;
	return 0;
}

static int
add_short(struct identity_engine *e, uint32_t v, uint32_t row)
{
	struct value *value = &e->values[v];
	uint32_t n = value->n, at = n, *rows;

	if (n == 2 || (n > 2 && (n & (n - 1)) == 0)) {
		rows = malloc((n == 2 ? 4 : 2 * (size_t)n) * sizeof(*rows));
		if (!rows)
			return -ENOMEM;
		memcpy(rows, posting_rows(value), n * sizeof(*rows));
		if (n > 2)
			free(value->rows);
		value->rows = rows;
	}
	rows = n < 2 ? value->one : value->rows;
	for (; at > 0 && e->hashes[rows[at - 1]] > e->hashes[row]; at--)
		rows[at] = rows[at - 1];
	rows[at] = row;
	value->n++;
	/* Who was the last representative is none any more. */
	if (value->n > REP_MAX && at < REP_MAX)
		return pair_job(e, v, rows[REP_MAX]);
	return 0;
}

static int
add_big(struct identity_engine *e, uint32_t v, uint32_t row)
{
	struct value *value = &e->values[v];
	struct big *b;
	uint32_t out;

	if (value->n == SHORT_MAX && grow_big(e, v) < 0)
		return -ENOMEM;
	b = value->big;
	if (value->n == b->cap) {
		size_t cap = b->cap;

		if (table_grow((void **)&b->rows, &cap, cap + 1, sizeof(*b->rows)) < 0)
			return -ENOMEM;
		b->cap = (uint32_t)cap;
	}
	b->rows[value->n] = row;
	*place_of(e, v, row) = value->n;
	value->n++;
	if (push_sample(b, SAMPLE_MAX, row, identity_mix(e->hashes[row], value->key)))
		b->settled = false;
	out = push_rep(e, b, REP_MAX, row);
	return out == row ? 0 : pair_job(e, v, out);
}

int
posting_add(struct identity_engine *e, uint32_t v, uint32_t row)
{
	return e->values[v].n < SHORT_MAX ? add_short(e, v, row) : add_big(e, v, row);
}

/* Somebody left the representatives: the next one of the rows takes the place. */
static int
refill_rep(struct identity_engine *e, uint32_t v, uint32_t gone)
{
	struct value *value = &e->values[v];
	struct big *b = value->big;
	uint32_t at = 0, best = NONE;
	uint64_t last;

	while (b->rep[at] != gone)
		at++;
	last = e->hashes[b->rep[REP_MAX - 1]];
	memmove(&b->rep[at], &b->rep[at + 1], (REP_MAX - 1 - at) * sizeof(b->rep[0]));
	for (uint32_t i = 0; i < value->n; i++) {
		uint64_t hash = e->hashes[b->rows[i]];

		if (hash > last && (best == NONE || hash < e->hashes[best]))
			best = b->rows[i];
	}
	b->rep[REP_MAX - 1] = best;
	return pair_job(e, v, best);
}

static void
refill_sample(struct identity_engine *e, struct value *value, uint32_t gone)
{
	struct big *b = value->big;
	uint32_t at = 0, best = NONE;
	uint64_t last = b->mix[SAMPLE_MAX - 1], mix = 0;

	while (b->sample[at] != gone)
		at++;
	memmove(&b->sample[at], &b->sample[at + 1], (SAMPLE_MAX - 1 - at) * sizeof(b->sample[0]));
	memmove(&b->mix[at], &b->mix[at + 1], (SAMPLE_MAX - 1 - at) * sizeof(b->mix[0]));
	for (uint32_t i = 0; i < value->n; i++) {
		uint64_t m = identity_mix(e->hashes[b->rows[i]], value->key);

		if (m > last && (best == NONE || m < mix)) {
			best = b->rows[i];
			mix = m;
		}
	}
	b->sample[SAMPLE_MAX - 1] = best;
	b->mix[SAMPLE_MAX - 1] = mix;
	b->settled = false;
}

static int
remove_big(struct identity_engine *e, uint32_t v, uint32_t row)
{
	struct value *value = &e->values[v];
	struct big *b = value->big;
	uint32_t at = *place_of(e, v, row), moved = b->rows[value->n - 1];

	b->rows[at] = moved;
	*place_of(e, v, moved) = at;
	value->n--;
	if (value->n == SHORT_MAX) {
		bool was = among(b->rep, REP_MAX, row);

		if (shrink_big(e, value) < 0)
			return -ENOMEM;
		return was ? pair_job(e, v, value->rows[REP_MAX - 1]) : 0;
	}
	if (posting_in_sample(value, row))
		refill_sample(e, value, row);
	return among(b->rep, REP_MAX, row) ? refill_rep(e, v, row) : 0;
}

static int
remove_short(struct identity_engine *e, uint32_t v, uint32_t row)
{
	struct value *value = &e->values[v];
	uint32_t *rows = value->n <= 2 ? value->one : value->rows, at = 0;

	while (rows[at] != row)
		at++;
	memmove(&rows[at], &rows[at + 1], (value->n - 1 - at) * sizeof(*rows));
	value->n--;
	if (value->n == 2) {
		uint32_t a = rows[0], b = rows[1];

		free(rows);
		value->one[0] = a;
		value->one[1] = b;
	} else if (value->n >= REP_MAX && at < REP_MAX) {
		return pair_job(e, v, rows[REP_MAX - 1]);
	}
	return 0;
}

int
posting_remove(struct identity_engine *e, uint32_t v, uint32_t row)
{
	return e->values[v].n <= SHORT_MAX ? remove_short(e, v, row) : remove_big(e, v, row);
}
