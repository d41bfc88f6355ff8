/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's outside: rows in, changes out. */
#include "identity/engine.h"

#include <errno.h>
#include <stdio.h>

#include "identity/state.h"

#define SCRATCH_KEPT ((size_t)1 << 16)

int
identity_engine_new(const struct identity_secret *secret, struct identity_engine **ret_engine)
{
	struct identity_engine *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->secret = *secret;
	*ret_engine = e;
	return 0;
}

static void
free_lists(struct identity_engine *e)
{
	struct list32 *const lists[] = {
		&e->free_rows, &e->free_values, &e->free_comps, &e->free_idents, &e->tokens,
		&e->news,      &e->others,	&e->dirty,	&e->touched,	 &e->dead,
		&e->check,     &e->suspects,	&e->told,	&e->watched[0],	 &e->watched[1],
		&e->stale,     &e->seen,	&e->walk[0],	&e->walk[1],	 &e->group,
	};

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		free(lists[i]->v);
}

void
identity_engine_free(struct identity_engine *e)
{
	if (!e)
		return;
	for (size_t i = 0; i < e->nrows; i++) {
		free(e->rows[i].values);
		free(e->rows[i].halves);
	}
	for (size_t i = 0; i < e->nvalues; i++)
		posting_fini(&e->values[i]);
	free_lists(e);
	decide_fini(e);
	free(e->row_memory);
	free(e->rest);
	free(e->hashes);
	free(e->flags);
	free(e->values);
	free(e->comps);
	free(e->idents);
	free(e->row_index.slots);
	free(e->value_index.slots);
	free(e->ident_index.slots);
	free(e->jobs);
	free(e->done);
	free(e->marks);
	free(e->changes);
	free(e->reasons);
	free(e);
}

/* -- rows -- */

/* What a row is going to have: numbers of values by class, ascending. */
struct wanted {
	uint32_t v[IDENTITY_KEYS_MAX + IDENTITY_VALUES_KEYSTROKE];
	uint8_t n[CLASSES];
	unsigned total;
};

static void
insert(struct wanted *w, unsigned class, uint32_t value)
{
	unsigned at = w->total, first = at - w->n[class];

	for (; at > first && w->v[at - 1] > value; at--)
		w->v[at] = w->v[at - 1];
	w->v[at] = value;
	w->n[class]++;
	w->total++;
}

static int
number_values(struct identity_engine *e, const struct identity_features *f, struct wanted *w)
{
	uint32_t v;

	*w = (struct wanted){.total = 0};
	for (unsigned c = 0; c < IDENTITY_SET_CLASSES; c++) {
		const uint64_t *keys = identity_features_of(f, (enum identity_value_class)c);

		for (unsigned i = 0; i < f->n[c]; i++)
			table_fetch_value(e, keys[i], (enum identity_value_class)c);
	}
	for (unsigned c = 0; c < IDENTITY_SET_CLASSES; c++) {
		const uint64_t *keys = identity_features_of(f, (enum identity_value_class)c);

		for (unsigned i = 0; i < f->n[c]; i++) {
			if (table_value(e, keys[i], (enum identity_value_class)c, &v) < 0)
				return -ENOMEM;
			insert(w, c, v);
		}
	}
	/* Typing is compared as a whole; its four quarters only find whom to compare with. */
	for (unsigned i = 0; f->has_keystroke && i < IDENTITY_VALUES_KEYSTROKE; i++) {
		char quarter[2] = {(char)('0' + i), '\0'}, number[8];
		struct sv parts[2];

		(void)snprintf(number, sizeof(number), "%u",
			       (unsigned)(f->keystroke >> 16 * i & 0xffff));
		parts[0] = sv_from(quarter);
		parts[1] = sv_from(number);
		if (table_value(e, identity_key_of(&e->secret, KEYSTROKE, parts, 2), KEYSTROKE,
				&v) < 0)
			return -ENOMEM;
		insert(w, KEYSTROKE, v);
	}
	return 0;
}

static bool
same(const struct row *r, const struct identity_features *f, const struct wanted *w)
{
	return r->has_keystroke == f->has_keystroke && r->keystroke == f->keystroke &&
	       memcmp(r->n, w->n, sizeof(w->n)) == 0 &&
	       (w->total == 0 || memcmp(r->values, w->v, w->total * sizeof(*w->v)) == 0);
}

static bool
holds(const uint32_t *v, unsigned n, uint32_t value, unsigned *ret_at)
{
	for (unsigned i = 0; i < n; i++) {
		if (v[i] == value) {
			*ret_at = i;
			return true;
		}
	}
	return false;
}

static int
forget_value(struct identity_engine *e, uint32_t v, uint32_t row)
{
	struct value *value = &e->values[v];

	if (posting_remove(e, v, row) < 0)
		return -ENOMEM;
	if (value->n > 0)
		return level_queue(e, v, false);
	if (value->flags & VALUE_DEAD)
		return 0;
	value->flags |= VALUE_DEAD;
	return list_push(&e->dead, v);
}

/* The row leaves the values that it is not going to have; what stays keeps its place. */
static int
leave_values(struct identity_engine *e, uint32_t row, const struct wanted *w, uint32_t *places)
{
	struct row *r = &e->rows[row];
	unsigned total = row_nvalues(r), at;

	for (unsigned i = 0; i < total; i++)
		if (!holds(w->v, w->total, r->values[i], &at) &&
		    forget_value(e, r->values[i], row) < 0)
			return -ENOMEM;
	for (unsigned i = 0; i < total; i++)
		if (holds(w->v, w->total, r->values[i], &at))
			places[at] = r->values[total + i];
	return 0;
}

/* `had`: what the row had before, in any order. */
static int
enter_values(struct identity_engine *e, uint32_t row, const struct wanted *w, const uint32_t *had,
	     unsigned nhad)
{
	unsigned at;

	for (unsigned i = 0; i < w->total; i++) {
		if (holds(had, nhad, w->v[i], &at))
			continue;
		if (posting_add(e, w->v[i], row) < 0 || level_queue(e, w->v[i], false) < 0 ||
		    level_watch(e, w->v[i]) < 0)
			return -ENOMEM;
	}
	return 0;
}

static void
count_own(const struct identity_engine *e, struct row *r)
{
	for (unsigned c = CREDENTIAL; c <= COMMAND; c++) {
		const uint32_t *v = row_values(r, c);
		uint8_t own = 0;

		for (unsigned i = 0; i < r->n[c]; i++)
			own = (uint8_t)(own + ((e->values[v[i]].flags & VALUE_GOOD) != 0));
		r->own[c == COMMAND] = own;
	}
}

static int
set_values(struct identity_engine *e, uint32_t row, const struct wanted *w)
{
	struct row *r = &e->rows[row];
	size_t bytes = 2 * (size_t)w->total * sizeof(uint32_t);
	uint32_t *values = malloc(bytes ? bytes : 1), *old = r->values;
	unsigned total = row_nvalues(r);

	if (!values)
		return -ENOMEM;
	memset(values, 0, bytes);
	memcpy(values, w->v, w->total * sizeof(*values));
	if (leave_values(e, row, w, values + w->total) < 0) {
		free(values);
		return -ENOMEM;
	}
	for (unsigned c = TLS; c <= SSH; c++)
		level_total(e, c, w->n[c] - r->n[c]);
	r->values = values;
	memcpy(r->n, w->n, sizeof(r->n));
	if (enter_values(e, row, w, old, total) < 0) {
		free(old);
		return -ENOMEM;
	}
	free(old);
	count_own(e, r);
	return 0;
}

static int
put(struct identity_engine *e, const uint8_t *id, uint64_t hash, const struct identity_features *f,
    uint32_t *ret_row)
{
	uint32_t row = table_find_row(e, id);
	bool is_new = row == NONE;
	struct wanted w;

	if (number_values(e, f, &w) < 0 || (is_new && table_row(e, id, hash, &row) < 0))
		return -ENOMEM;
	*ret_row = row;
	if (!is_new && same(&e->rows[row], f, &w))
		return 0;
	if (!is_new)
		stack_leave(e, row);
	e->rows[row].has_keystroke = f->has_keystroke;
	e->rows[row].keystroke = f->keystroke;
	if (set_values(e, row, &w) < 0 || level_queue_row(e, row) < 0 ||
	    pair_row_dirty(e, row, true) < 0)
		return -ENOMEM;
	if (decide_row(e, row) < 0)
		return -ENOMEM;
	if (is_new)
		return forest_add_row(e, row) < 0 ? -ENOMEM : 1;
	stack_enter(e, row);
	return forest_touch(e, e->rows[row].comp) < 0 ? -ENOMEM : 1;
}

int
identity_engine_put(struct identity_engine *e, const uint8_t id[IDENTITY_ID_BYTES], uint64_t hash,
		    const struct identity_features *f, uint32_t *ret_row)
{
	int r = e->failed ? -ENOMEM : put(e, id, hash, f, ret_row);

	e->failed |= r < 0;
	return r;
}

static int
take_away(struct identity_engine *e, uint32_t row)
{
	static const struct wanted nothing = {.total = 0};
	struct row *r = &e->rows[row];

	if (decide_row_gone(e, row) < 0 || anchor_row_gone(e, row) < 0)
		return -ENOMEM;
	while (r->nhalves > 0)
		if (forest_unlink(e, row, r->nhalves - 1) < 0)
			return -ENOMEM;
	if (forest_remove_row(e, row) < 0 || set_values(e, row, &nothing) < 0)
		return -ENOMEM;
	return table_row_free(e, row);
}

int
identity_engine_remove(struct identity_engine *e, const uint8_t id[IDENTITY_ID_BYTES])
{
	uint32_t row = e->failed ? NONE : table_find_row(e, id);
	int r;

	if (e->failed)
		return -ENOMEM;
	if (row == NONE)
		return 0;
	r = take_away(e, row);
	e->failed |= r < 0;
	return r < 0 ? r : 1;
}

/* Only now, so that no number means two things within one batch. */
static int
bury(struct identity_engine *e)
{
	for (size_t i = 0; i < e->dead.n; i++) {
		struct value *v = &e->values[e->dead.v[i]];

		v->flags &= (uint8_t)~VALUE_DEAD;
		if (v->n == 0 && table_value_free(e, e->dead.v[i]) < 0)
			return -ENOMEM;
	}
	e->dead.n = 0;
	return 0;
}

/* What one large batch needed is not kept for the small ones that follow. */
static void
release(struct identity_engine *e)
{
	struct list32 *const lists[] = {&e->tokens,  &e->others, &e->news,    &e->dirty,
					&e->touched, &e->check,	 &e->told,    &e->suspects,
					&e->seen,    &e->group,	 &e->walk[0], &e->walk[1]};

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		if (lists[i]->cap <= SCRATCH_KEPT)
			continue;
		free(lists[i]->v);
		*lists[i] = (struct list32){.n = 0};
	}
	if (e->cjobs <= SCRATCH_KEPT)
		return;
	free(e->jobs);
	e->jobs = NULL;
	e->cjobs = 0;
}

int
identity_engine_drain(struct identity_engine *e, uint64_t now_ms, struct identity_changes *ret)
{
	int r = e->failed ? -ENOMEM : 0;

	identity_engine_set_time(e, now_ms);
	e->nreasons = 0;
	if (r == 0)
		r = level_drain(e);
	if (r == 0)
		r = decide_drain(e);
	if (r == 0)
		r = pair_drain(e);
	if (r == 0)
		r = anchor_drain(e);
	if (r == 0)
		r = bury(e);
	e->failed |= r < 0;
	if (e->failed)
		return -ENOMEM;
	release(e);
	*ret = (struct identity_changes){e->changes, e->nchanges, e->reasons, e->nreasons};
	return 0;
}

/* -- questions -- */

uint32_t
identity_engine_find(const struct identity_engine *e, const uint8_t id[IDENTITY_ID_BYTES])
{
	return table_find_row(e, id);
}

uint32_t
identity_engine_find_identity(const struct identity_engine *e,
			      const uint8_t uuid[IDENTITY_ID_BYTES])
{
	return table_find_ident(e, uuid);
}

const uint8_t *
identity_engine_row_id(const struct identity_engine *e, uint32_t row)
{
	return e->rest[row].id;
}

uint32_t
identity_engine_rows(const struct identity_engine *e)
{
	return (uint32_t)e->nrows;
}

const uint8_t *
identity_engine_uuid(const struct identity_engine *e, uint32_t identity)
{
	return e->idents[identity].uuid;
}

uint32_t
identity_engine_anchor(const struct identity_engine *e, uint32_t identity)
{
	return e->idents[identity].anchor;
}

uint32_t
identity_engine_row_of(const struct identity_engine *e, uint32_t row)
{
	return e->rows[row].literal;
}

uint32_t
identity_engine_final(const struct identity_engine *e, uint32_t identity)
{
	return anchor_final(e, identity);
}

uint32_t
identity_engine_nearest(const struct identity_engine *e, uint32_t row)
{
	const struct row *r = &e->rows[row];
	uint32_t final = anchor_final(e, r->literal), near = NONE;
	uint16_t best = 0;

	for (uint32_t i = 0; i < r->nhalves; i++) {
		const struct half *h = &r->halves[i];

		if ((near == NONE || h->score > best) &&
		    anchor_final(e, e->rows[h->other].literal) == final) {
			near = h->other;
			best = h->score;
		}
	}
	return near;
}

void
identity_engine_explain(struct identity_engine *e, uint32_t a, uint32_t b,
			struct identity_explanation *ret)
{
	struct overlap o;
	struct score s;

	*ret = (struct identity_explanation){.n = 0};
	score_sweep(e, a, &e->sweep);
	score_overlap(e, &e->sweep, b, &o);
	score_pair(e, a, b, &o, &s, ret);
	ret->bits = s.bits;
	ret->together = e->rows[a].literal != NONE && e->rows[b].literal != NONE &&
			anchor_final(e, e->rows[a].literal) == anchor_final(e, e->rows[b].literal);
}

void
identity_engine_stats(const struct identity_engine *e, struct identity_stats *ret)
{
	*ret = (struct identity_stats){
		.rows = e->live_rows,
		.values = e->live_values,
		.links = e->links,
		.identities = e->nidents,
		.scores = e->scores,
		.levels = e->levels,
		.bytes = e->crows * (sizeof(*e->rows) + sizeof(*e->rest) + sizeof(*e->hashes) +
				     sizeof(*e->flags) + sizeof(*e->marks)) +
			 e->cvalues * sizeof(*e->values) + e->ccomps * sizeof(*e->comps) +
			 e->cidents * sizeof(*e->idents),
	};
	for (size_t i = 0; i < e->nrows; i++)
		ret->bytes += e->rows[i].chalves * sizeof(struct half) +
			      2 * row_nvalues(&e->rows[i]) * sizeof(uint32_t);
	for (size_t i = 0; i < e->ncomps; i++)
		ret->contested += e->comps[i].size > 0 && (e->comps[i].flags & COMP_CUT) != 0;
}
