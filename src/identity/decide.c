/* SPDX-License-Identifier: Apache-2.0 */
/* What analysts decided about observations, and the links that follow from it. */
#include <errno.h>

#include "identity/state.h"

/* Rows about which the same was decided: the latest decision, and what they were before. */
struct decided_kind {
	uint32_t decision, before; /* before: a kind or NONE */
	uint32_t walk;		   /* the last one that came by */
	uint8_t side;
};

struct decided_row {
	uint8_t id[IDENTITY_ID_BYTES];
	uint32_t kind;
};

void
decide_fini(struct identity_engine *e)
{
	for (size_t i = 0; i < e->ndecisions; i++) {
		free(e->decisions[i].ids);
		free(e->decisions[i].side);
	}
	free(e->decisions);
	free(e->decided);
	free(e->kinds);
}

/* -- rows and their kinds -- */

static int
by_id(const void *a, const void *b)
{
	return memcmp(a, b, IDENTITY_ID_BYTES);
}

/* The row among the decided ones, by uuid; NULL: nothing was decided about it. */
static struct decided_row *
lookup(const struct identity_engine *e, const uint8_t *id)
{
	return e->ndecided ? bsearch(id, e->decided, e->ndecided, sizeof(*e->decided), by_id)
			   : NULL;
}

static uint32_t
kind_of_id(const struct identity_engine *e, const uint8_t *id)
{
	const struct decided_row *d = lookup(e, id);

	return d ? d->kind : NONE;
}

uint32_t
decide_kind(const struct identity_engine *e, uint32_t row)
{
	return e->flags[row] & ROW_DECIDED ? kind_of_id(e, e->rest[row].id) : NONE;
}

bool
decide_apart(const struct identity_engine *e, uint32_t x, uint32_t y)
{
	while (x != NONE && y != NONE) {
		const struct decided_kind *a = &e->kinds[x], *b = &e->kinds[y];

		if (a->decision == b->decision)
			return e->decisions[a->decision].apart && a->side != b->side;
		if (a->decision > b->decision)
			x = a->before;
		else
			y = b->before;
	}
	return false;
}

/* Those of the ids that are not listed yet, each once, ascending; how many. */
static size_t
find_new(const struct identity_engine *e, const uint8_t (*ids)[IDENTITY_ID_BYTES], size_t n,
	 uint8_t (*ret)[IDENTITY_ID_BYTES])
{
	size_t count = 0, kept = 0;

	for (size_t i = 0; i < n; i++)
		if (!lookup(e, ids[i]))
			memcpy(ret[count++], ids[i], IDENTITY_ID_BYTES);
	if (count > 1)
		qsort(ret, count, sizeof(*ret), by_id);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || by_id(ret[kept - 1], ret[i]) != 0)
			memmove(ret[kept++], ret[i], IDENTITY_ID_BYTES);
	return kept;
}

/* One pass from the end, so that a decision about many costs no more than the list is long. */
static int
list_new(struct identity_engine *e, const uint8_t (*ids)[IDENTITY_ID_BYTES], size_t n)
{
	uint8_t(*fresh)[IDENTITY_ID_BYTES] = malloc((n + 1) * sizeof(*fresh));
	size_t k = fresh ? find_new(e, ids, n, fresh) : 0, from = e->ndecided, to = from + k;
	int r = 0;

	if (!fresh ||
	    table_grow((void **)&e->decided, &e->cdecided, to + 1, sizeof(*e->decided)) < 0) {
		free(fresh);
		return -ENOMEM;
	}
	e->ndecided = to;
	for (size_t left = k; left > 0;) {
		struct decided_row *d = &e->decided[--to];

		if (from > 0 && by_id(e->decided[from - 1].id, fresh[left - 1]) > 0) {
			*d = e->decided[--from];
			continue;
		}
		memcpy(d->id, fresh[--left], IDENTITY_ID_BYTES);
		d->kind = NONE;
	}
	for (size_t i = 0; r == 0 && i < k; i++) {
		uint32_t row = table_find_row(e, fresh[i]);

		if (row != NONE)
			r = decide_row(e, row);
	}
	free(fresh);
	return r;
}

struct noted {
	uint32_t kind, at; /* as it was; in e->decided */
	uint8_t side;
};

static int
by_kind(const void *a, const void *b)
{
	const struct noted *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return x->side - y->side;
}

/* Rows of one kind on one side are of one kind again. */
static int
note(struct identity_engine *e, uint32_t decision, struct noted *v, size_t n)
{
	const struct decision *d = &e->decisions[decision];

	for (size_t i = 0; i < n; i++) {
		struct decided_row *row = lookup(e, d->ids[i]);

		v[i] = (struct noted){row->kind, (uint32_t)(row - e->decided), d->side[i]};
	}
	if (n > 1)
		qsort(v, n, sizeof(*v), by_kind);
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || by_kind(&v[i - 1], &v[i]) != 0) {
			if (table_grow((void **)&e->kinds, &e->ckinds, e->nkinds + 1,
				       sizeof(*e->kinds)) < 0)
				return -ENOMEM;
			e->kinds[e->nkinds++] = (struct decided_kind){
				.decision = decision, .before = v[i].kind, .side = v[i].side};
		}
		e->decided[v[i].at].kind = (uint32_t)(e->nkinds - 1);
	}
	return 0;
}

static int
stale(struct identity_engine *e, uint32_t decision)
{
	if (e->decisions[decision].stale)
		return 0;
	e->decisions[decision].stale = true;
	return list_push(&e->stale, decision);
}

int
identity_engine_decide(struct identity_engine *e, uint64_t no, bool apart,
		       const uint8_t (*ids)[IDENTITY_ID_BYTES], const uint8_t *side, size_t n)
{
	struct decision *d;
	struct noted *v;
	int r = 0;

	if (e->failed || table_grow((void **)&e->decisions, &e->cdecisions, e->ndecisions + 1,
				    sizeof(*e->decisions)) < 0)
		return -ENOMEM;
	d = &e->decisions[e->ndecisions];
	*d = (struct decision){.no = no, .apart = apart, .n = (uint32_t)n};
	d->ids = malloc((n + 1) * sizeof(*d->ids));
	d->side = malloc(n + 1);
	v = malloc((n + 1) * sizeof(*v));
	e->ndecisions++;
	if (!d->ids || !d->side || !v)
		r = -ENOMEM;
	if (r == 0 && n > 0) {
		memcpy(d->ids, ids, n * sizeof(*d->ids));
		memcpy(d->side, side, n);
	}
	if (r == 0)
		r = list_new(e, ids, n);
	if (r == 0)
		r = note(e, (uint32_t)(e->ndecisions - 1), v, n);
	if (r == 0)
		r = stale(e, (uint32_t)(e->ndecisions - 1));
	free(v);
	e->failed |= r < 0;
	return r;
}

/* Everything that was decided about rows of the kind; `walk` came here once. */
static int
stale_of(struct identity_engine *e, uint32_t kind, uint32_t walk)
{
	for (; kind != NONE && e->kinds[kind].walk != walk; kind = e->kinds[kind].before) {
		e->kinds[kind].walk = walk;
		if (stale(e, e->kinds[kind].decision) < 0)
			return -ENOMEM;
	}
	return 0;
}

int
decide_row(struct identity_engine *e, uint32_t row)
{
	const struct decided_row *d;

	if (e->ndecided == 0 || (e->flags[row] & ROW_DECIDED))
		return 0;
	d = lookup(e, e->rest[row].id);
	if (!d)
		return 0;
	e->flags[row] |= ROW_DECIDED;
	if (e->rows[row].comp != NONE)
		e->comps[e->rows[row].comp].decided++;
	return stale_of(e, d->kind, ++e->walks);
}

int
decide_row_gone(struct identity_engine *e, uint32_t row)
{
	return stale_of(e, decide_kind(e, row), ++e->walks);
}

/* -- links -- */

/* Links that decisions want: both ends, the smaller number first. */
struct wishes {
	uint64_t *v;
	size_t n, cap;
};

static uint64_t
pair_of(uint32_t a, uint32_t b)
{
	return a < b ? (uint64_t)a << 32 | b : (uint64_t)b << 32 | a;
}

static int
ascending(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int
by_number(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* A link may be asked for by several: whatever shares a row with what is stale is looked at too,
 * and nothing else. All their rows, each once, into e->seen; their components are cut again. */
static int
spread(struct identity_engine *e)
{
	uint32_t mark = table_new_mark(e), walk = ++e->walks;

	e->seen.n = 0;
	for (size_t i = 0; i < e->stale.n; i++) {
		const struct decision *d = &e->decisions[e->stale.v[i]];

		for (uint32_t k = 0; k < d->n; k++) {
			uint32_t row = table_find_row(e, d->ids[k]);

			if (stale_of(e, kind_of_id(e, d->ids[k]), walk) < 0)
				return -ENOMEM;
			if (row == NONE || e->marks[row] == mark)
				continue;
			e->marks[row] = mark;
			if (list_push(&e->seen, row) < 0 || forest_touch(e, e->rows[row].comp) < 0)
				return -ENOMEM;
		}
	}
	if (e->stale.n > 1)
		qsort(e->stale.v, e->stale.n, sizeof(*e->stale.v), by_number);
	return 0;
}

/* The rows of one side, or of both, hang together unless a later decision parts them: each with the
 * first one before it that it is not to be apart from. */
static int
wish(struct identity_engine *e, const struct decision *d, unsigned side, struct wishes *w)
{
	struct list32 *first = &e->group, *kinds = &e->walk[0];

	first->n = kinds->n = 0;
	for (uint32_t i = 0; i < d->n; i++) {
		uint32_t row = d->apart && d->side[i] != side ? NONE : table_find_row(e, d->ids[i]);
		uint32_t kind = row == NONE ? NONE : decide_kind(e, row);
		size_t k = 0;

		if (row == NONE)
			continue;
		while (k < first->n && decide_apart(e, kinds->v[k], kind))
			k++;
		if (k == first->n) {
			if (list_push(first, row) < 0 || list_push(kinds, kind) < 0)
				return -ENOMEM;
			continue;
		}
		if (first->v[k] == row)
			continue;
		if (table_grow((void **)&w->v, &w->cap, w->n + 1, sizeof(*w->v)) < 0)
			return -ENOMEM;
		w->v[w->n++] = pair_of(first->v[k], row);
	}
	return 0;
}

static bool
wished(const struct wishes *w, uint32_t a, uint32_t b)
{
	uint64_t pair = pair_of(a, b);

	return w->n > 0 && bsearch(&pair, w->v, w->n, sizeof(*w->v), ascending);
}

/* Links of the row that nobody asks for any more; what else speaks for them is found again. */
static int
drop_links(struct identity_engine *e, uint32_t row, const struct wishes *w)
{
	struct row *r = &e->rows[row];
	struct list32 *others = &e->group;

	others->n = 0;
	for (uint32_t i = 0; i < r->nhalves; i++)
		if ((r->halves[i].flags & HALF_MUST) && !wished(w, row, r->halves[i].other) &&
		    list_push(others, r->halves[i].other) < 0)
			return -ENOMEM;
	for (size_t i = 0; i < others->n; i++) {
		const struct half *h = forest_find(e, row, others->v[i]);

		if (forest_unlink(e, row, (uint32_t)(h - r->halves)) < 0)
			return -ENOMEM;
	}
	return pair_compare(e, row, others);
}

static int
make_link(struct identity_engine *e, uint32_t a, uint32_t b)
{
	struct half *h = forest_find(e, a, b);

	if (!h)
		return forest_link(e, a, b, UINT16_MAX, HALF_MUST);
	if (!(h->flags & HALF_MUST))
		forest_rescore(e, a, h, UINT16_MAX, h->flags | HALF_MUST);
	return 0;
}

static int
make_true(struct identity_engine *e, struct wishes *w)
{
	for (size_t i = 0; i < e->stale.n; i++) {
		struct decision *d = &e->decisions[e->stale.v[i]];

		d->stale = false;
		for (unsigned side = 0; side < (d->apart ? 2 : 1); side++)
			if (wish(e, d, side, w) < 0)
				return -ENOMEM;
	}
	if (w->n > 1)
		qsort(w->v, w->n, sizeof(*w->v), ascending);
	for (size_t i = 0; i < e->seen.n; i++)
		if (drop_links(e, e->seen.v[i], w) < 0)
			return -ENOMEM;
	for (size_t i = 0; i < w->n; i++)
		if (make_link(e, (uint32_t)(w->v[i] >> 32), (uint32_t)w->v[i]) < 0)
			return -ENOMEM;
	return 0;
}

int
decide_drain(struct identity_engine *e)
{
	struct wishes w = {.n = 0};
	int r;

	if (e->stale.n == 0)
		return 0;
	r = spread(e);
	if (r == 0)
		r = make_true(e, &w);
	e->stale.n = 0;
	free(w.v);
	return r;
}
