/* SPDX-License-Identifier: Apache-2.0 */
/* The engine told what is stored: everything at a start, later what analysts changed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/linker_state.h"
#include "store/er_decision.h"

static int
no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

/* What is loaded, and identities by text until all rows are there. */
struct load {
	struct linker *l;
	struct db *db;
	struct pending *v; /* identities */
	size_t n, cap;
	struct row_of *rows; /* which identity a row carries */
	size_t nrows, crows;
};

struct pending {
	struct er_identity text;
	uint32_t number;
};

struct row_of {
	uint32_t row;
	uint8_t identity[16];
};

static int
room(void **v, size_t *cap, size_t n, size_t item)
{
	size_t more = *cap ? 2 * *cap : 256;
	void *p;

	if (n < *cap)
		return 0;
	p = realloc(*v, more * item);
	if (!p)
		return -ENOMEM;
	*v = p;
	*cap = more;
	return 0;
}

static int
load_literal(struct load *in, uint32_t row, const char *identity, struct err *e)
{
	if (room((void **)&in->rows, &in->crows, in->nrows, sizeof(*in->rows)) < 0)
		return no_memory(e);
	if (!identity || id_uuid_bytes(sv_from(identity), in->rows[in->nrows].identity) < 0)
		return 0;
	in->rows[in->nrows++].row = row;
	return 0;
}

static int
load_row(void *user, const char *observation, uint64_t hash, const struct identity_features *f,
	 const char *identity, struct err *e)
{
	struct load *in = user;
	struct linker *l = in->l;
	uint8_t raw[16];
	uint32_t row = IDENTITY_NONE;

	if (id_uuid_bytes(sv_from(observation), raw) < 0)
		return err_set(e, -EIO, "bad uuid of an observation");
	if (identity_engine_put(l->engine, raw, hash, f, &row) < 0)
		return no_memory(e);
	return load_literal(in, row, identity, e);
}

static uint32_t
row_number(const struct linker *l, const char *observation)
{
	uint8_t raw[16];

	return id_uuid_bytes(sv_from(observation), raw) < 0 ? IDENTITY_NONE
							    : identity_engine_find(l->engine, raw);
}

/* `known`: the engine may have it already; then what it knew of it is forgotten. */
static int
load_one_identity(struct load *in, const struct er_identity *i, bool known, struct err *e)
{
	struct identity_engine *engine = in->l->engine;
	uint32_t anchor = known ? IDENTITY_NONE : row_number(in->l, i->anchor), number;
	uint8_t uuid[16];
	int r = 0;

	if (id_uuid_bytes(sv_from(i->uuid), uuid) < 0)
		return err_set(e, -EIO, "bad uuid of an identity");
	if (room((void **)&in->v, &in->cap, in->n, sizeof(*in->v)) < 0)
		return no_memory(e);
	number = known ? identity_engine_find_identity(engine, uuid) : IDENTITY_NONE;
	if (number != IDENTITY_NONE)
		identity_engine_release(engine, number);
	else
		r = identity_engine_restore(engine, uuid, anchor, &number);
	if (r < 0)
		return err_set(e, r, "identity %s: %s", i->uuid, strerror(-r));
	in->v[in->n++] = (struct pending){*i, number};
	return 0;
}

static int
load_identity(void *user, const struct er_identity *i, struct err *e)
{
	return load_one_identity(user, i, false, e);
}

static int
load_decision(void *user, int64_t id, bool apart, const uint8_t (*observations)[16],
	      const uint8_t *sides, size_t n, struct err *e)
{
	struct load *in = user;

	in->l->decisions = id;
	return identity_engine_decide(in->l->engine, (uint64_t)id, apart, observations, sides, n) <
			       0
		       ? no_memory(e)
		       : 0;
}

static uint32_t
number_of(const struct linker *l, const char *uuid)
{
	uint8_t raw[16];

	return id_uuid_bytes(sv_from(uuid), raw) < 0
		       ? IDENTITY_NONE
		       : identity_engine_find_identity(l->engine, raw);
}

/* Observations from before there was an engine: their keys come from what is stored of them. */
static int
adopt(struct load *in, struct err *e)
{
	struct db_stmt *st = db_query(in->db, Q_ER_ROWS_MISSING);
	char(*uuids)[ID_UUID_SIZE] = NULL;
	struct identity_features f;
	size_t n = 0, cap = 0;
	int r;

	while ((r = db_step(st, e)) > 0) {
		if (room((void **)&uuids, &cap, n, sizeof(*uuids)) < 0) {
			r = no_memory(e);
			break;
		}
		if (sv_copy(db_col_sv(st, 0), uuids[n], ID_UUID_SIZE) == 0)
			n++;
	}
	db_reset(st);
	for (size_t i = 0; r == 0 && i < n; i++) {
		r = er_project(in->db, uuids[i], &in->l->state.secret, &f, e);
		if (r == 0)
			r = er_row_put(in->db, uuids[i], ++in->l->seq, linker_hash(in->l, uuids[i]),
				       &f, e);
	}
	free(uuids);
	return r;
}

static void
restore_links(struct load *in)
{
	struct identity_engine *engine = in->l->engine;

	for (size_t i = 0; i < in->nrows; i++) {
		uint32_t x = identity_engine_find_identity(engine, in->rows[i].identity);

		if (x != IDENTITY_NONE)
			identity_engine_restore_row(engine, in->rows[i].row, x);
	}
	for (size_t i = 0; i < in->n; i++) {
		uint32_t to = number_of(in->l, in->v[i].text.points_to);
		uint32_t yields = number_of(in->l, in->v[i].text.yields_to);

		if (to != IDENTITY_NONE)
			identity_engine_restore_merge(engine, in->v[i].number, to);
		if (yields != IDENTITY_NONE)
			identity_engine_yield(engine, in->v[i].number, yields);
	}
}

/* Anchors that the engine had to choose: stored, so that they stay. */
static int
store_anchors(struct load *in, struct err *e)
{
	struct identity_engine *engine = in->l->engine;
	char text[ID_UUID_SIZE];
	int r = 0;

	for (size_t i = 0; r == 0 && i < in->n; i++) {
		uint32_t row = identity_engine_anchor(engine, in->v[i].number);
		struct db_stmt *st = db_query(in->db, Q_ER_SET_ANCHOR);

		if (row == IDENTITY_NONE)
			continue;
		id_uuid_text(identity_engine_row_id(engine, row), text);
		if (strcmp(text, in->v[i].text.anchor) == 0)
			continue;
		db_bind_text(st, 1, text);
		db_bind_text(st, 2, in->v[i].text.uuid);
		r = db_exec(st, NULL, e);
	}
	return r;
}

int
linker_build(struct linker *l, struct db *db, struct err *e)
{
	struct load in = {.l = l, .db = db};
	int r = er_state_open(db, &l->first, &l->state, e);

	l->stored = l->state;
	l->decisions = 0;
	if (r == 0 && identity_engine_new(&l->state.secret, &l->engine) < 0)
		r = no_memory(e);
	if (r == 0)
		r = er_seq_last(db, &l->seq, e);
	if (r == 0)
		r = er_decision_last(db, &l->reasons, e);
	if (r == 0)
		r = adopt(&in, e);
	if (r == 0)
		r = er_rows(db, load_row, &in, e);
	if (r == 0)
		r = er_identities(db, load_identity, &in, e);
	if (r == 0)
		r = er_decisions(db, 0, load_decision, &in, e);
	if (r == 0) {
		identity_engine_set_time(l->engine, l->state.time_ms);
		restore_links(&in);
		r = store_anchors(&in, e);
	}
	free(in.v);
	free(in.rows);
	if (r < 0)
		linker_forget(l);
	return r;
}

/* -- what analysts decided since -- */

static int
load_decided_identity(void *user, const struct er_identity *i, struct err *e)
{
	return load_one_identity(user, i, true, e);
}

static int
load_decided_row(void *user, const char *observation, const char *identity, struct err *e)
{
	struct load *in = user;
	uint32_t row = row_number(in->l, observation);

	return row == IDENTITY_NONE ? 0 : load_literal(in, row, identity, e);
}

/*
 * The decisions, and what they left behind in the store of who stands where: the engine is as if it
 * had been built now. Nothing but analysts changes identities beside it, so the rest is as it was.
 */
int
linker_catch_up(struct linker *l, struct db *db, struct err *e)
{
	struct load in = {.l = l, .db = db};
	int64_t after = l->decisions;
	int r = er_decisions(db, after, load_decision, &in, e);

	if (r == 0)
		r = er_decided_identities(db, after, load_decided_identity, &in, e);
	if (r == 0)
		r = er_decided_rows(db, after, load_decided_row, &in, e);
	/* Only when nobody stands anywhere: they may have changed places. */
	for (size_t i = 0; r == 0 && i < in.n; i++) {
		uint32_t anchor = row_number(l, in.v[i].text.anchor);

		if (anchor != IDENTITY_NONE)
			identity_engine_restore_anchor(l->engine, in.v[i].number, anchor);
	}
	if (r == 0) {
		restore_links(&in);
		r = store_anchors(&in, e);
	}
	free(in.v);
	free(in.rows);
	return r;
}
