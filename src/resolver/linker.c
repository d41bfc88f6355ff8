/* SPDX-License-Identifier: Apache-2.0 */
/* The engine built from the store, fed with rows, and its changes written down. */
#include "resolver/linker.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/why.h"
#include "store/attacker.h"
#include "util/id.h"

#define SECRET_BYTES 32

struct linker {
	struct identity_engine *engine; /* NULL: to be built */
	struct er_state state, stored;
	struct identity_secret first;
	int64_t seq;	   /* of the newest row */
	int64_t reasons;   /* the engine's own that are written down, as many as ever were */
	int64_t decisions; /* of analysts, as many as were told to the engine */
};

static int
no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

int
linker_new(const struct identity_secret *secret, struct linker **ret_linker)
{
	struct linker *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	if (secret) {
		l->first = *secret;
	} else {
		l->first.n = SECRET_BYTES;
		id_random(l->first.key, l->first.n);
	}
	*ret_linker = l;
	return 0;
}

void
linker_free(struct linker *l)
{
	if (!l)
		return;
	identity_engine_free(l->engine);
	free(l);
}

void
linker_forget(struct linker *l)
{
	identity_engine_free(l->engine);
	l->engine = NULL;
}

const struct identity_secret *
linker_secret(const struct linker *l)
{
	return &l->state.secret;
}

struct identity_engine *
linker_engine(struct linker *l)
{
	return l->engine;
}

int64_t
linker_position(const struct linker *l)
{
	return l->state.position;
}

void
linker_set_position(struct linker *l, int64_t position)
{
	l->state.position = position;
}

uint64_t
linker_hash(const struct linker *l, const char *observation)
{
	struct sv name = sv_from(observation);

	return identity_hash(&l->state.secret, &name, 1);
}

void
linker_identity(const struct linker *l, const char *observation, char dst[ID_UUID_SIZE])
{
	uint8_t raw[16];
	uint32_t row = IDENTITY_NONE, identity = IDENTITY_NONE;

	if (id_uuid_bytes(sv_from(observation), raw) == 0)
		row = identity_engine_find(l->engine, raw);
	if (row != IDENTITY_NONE)
		identity = identity_engine_row_of(l->engine, row);
	dst[0] = '\0';
	if (identity != IDENTITY_NONE)
		id_uuid_text(
			identity_engine_uuid(l->engine, identity_engine_final(l->engine, identity)),
			dst);
}

/* -- building -- */

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
load_row(void *user, const char *observation, uint64_t hash, const struct identity_features *f,
	 const char *identity, struct err *e)
{
	struct load *in = user;
	struct linker *l = in->l;
	uint8_t raw[16];
	uint32_t row = IDENTITY_NONE;

	if (id_uuid_bytes(sv_from(observation), raw) < 0)
		return err_set(e, -EIO, "bad uuid of an observation");
	if (identity_engine_put(l->engine, raw, hash, f, &row) < 0 ||
	    room((void **)&in->rows, &in->crows, in->nrows, sizeof(*in->rows)) < 0)
		return no_memory(e);
	if (!identity || id_uuid_bytes(sv_from(identity), in->rows[in->nrows].identity) < 0)
		return 0;
	in->rows[in->nrows++].row = row;
	return 0;
}

static int
load_identity(void *user, const struct er_identity *i, struct err *e)
{
	struct load *in = user;
	uint8_t uuid[16], anchor[16];
	uint32_t row = IDENTITY_NONE;
	int r;

	if (id_uuid_bytes(sv_from(i->uuid), uuid) < 0)
		return err_set(e, -EIO, "bad uuid of an identity");
	if (id_uuid_bytes(sv_from(i->anchor), anchor) == 0)
		row = identity_engine_find(in->l->engine, anchor);
	if (room((void **)&in->v, &in->cap, in->n, sizeof(*in->v)) < 0)
		return no_memory(e);
	in->v[in->n].text = *i;
	r = identity_engine_restore(in->l->engine, uuid, row, &in->v[in->n].number);
	if (r < 0)
		return err_set(e, r, "identity %s: %s", i->uuid, strerror(-r));
	in->n++;
	return 0;
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

static int
build(struct linker *l, struct db *db, struct err *e)
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
		r = er_decisions(db, load_decision, &in, e);
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

/* -- changes -- */

struct writer {
	struct linker *l;
	struct db *db;
	struct identity_tx *tx;
	struct why why;
};

static const char *
identity_text(const struct writer *w, uint32_t identity, char dst[ID_UUID_SIZE])
{
	id_uuid_text(identity_engine_uuid(w->l->engine, identity), dst);
	return dst;
}

static const char *
row_text(const struct writer *w, uint32_t row, char dst[ID_UUID_SIZE])
{
	id_uuid_text(identity_engine_row_id(w->l->engine, row), dst);
	return dst;
}

static int
write_change(const struct writer *w, const struct identity_change *c, struct err *e)
{
	char identity[ID_UUID_SIZE], other[ID_UUID_SIZE];
	struct identity_tx *tx = w->tx;

	(void)identity_text(w, c->identity, identity);
	switch (c->kind) {
	case IDENTITY_UNLINKED:
		return identity_tx_unlink(tx, identity, row_text(w, c->row, other), e);
	case IDENTITY_FORMED: return identity_tx_form(tx, identity, row_text(w, c->row, other), e);
	case IDENTITY_JOINED:
		return identity_tx_join_formed(tx, identity, row_text(w, c->row, other), e);
	case IDENTITY_LINKED: return identity_tx_link(tx, identity, row_text(w, c->row, other), e);
	case IDENTITY_UNMERGED:
		return identity_tx_unmerge(tx, identity, identity_text(w, c->other, other), e);
	case IDENTITY_MERGED:
		return identity_tx_merge(tx, identity, identity_text(w, c->other, other), e);
	case IDENTITY_CHANGED:
		return identity_tx_settle(tx, identity, c->size, c->confidence, c->lost, e);
	}
	return 0;
}

/* The value both share, in words; credentials and the like are looked up with either. */
static int
write_term(const struct writer *w, const char *a, const char *b, const struct identity_term *t,
	   struct why_text *words, struct err *e)
{
	char *text = NULL;
	int r = 0;

	if (t->agrees && t->key)
		r = er_value_text(w->db, a, &w->l->state.secret, t->class, t->key, &text, e);
	if (r >= 0)
		r = identity_tx_evidence(w->tx, a, b, identity_value_signal(t->class), text,
					 round(t->bits * 100) / 100, e);
	why_term(words, identity_value_signal(t->class), t->bits, text);
	free(text);
	return r;
}

static int
write_reason(struct writer *w, const struct identity_reason *reason, struct err *e)
{
	struct identity_engine *engine = w->l->engine;
	struct identity_explanation why;
	char a[ID_UUID_SIZE], b[ID_UUID_SIZE];
	struct why_text words = {.n = 0};
	int r;

	if (identity_engine_row_of(engine, reason->a) == IDENTITY_NONE ||
	    identity_engine_row_of(engine, reason->b) == IDENTITY_NONE)
		return 0;
	(void)row_text(w, reason->a, a);
	(void)row_text(w, reason->b, b);
	/* Of a pair that was just seen for the first time nothing is written yet. */
	r = reason->known ? identity_tx_evidence_drop(w->tx, a, b, e) : 0;
	identity_engine_explain(engine, reason->a, reason->b, &why);
	for (size_t i = 0; r == 0 && i < why.n; i++)
		if (why.terms[i].bits != 0)
			r = write_term(w, a, b, &why.terms[i], &words, e);
	if (r == 0 && why_add(&w->why, reason, why.bits, &words) < 0)
		r = no_memory(e);
	return r;
}

/* Of everything that was just loaded nothing is news unless something really changed. */
static bool
anything(const struct identity_changes *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->v[i].kind != IDENTITY_CHANGED)
			return true;
	return false;
}

static int
drain(struct writer *w, uint64_t now_ms, bool loaded, struct err *e)
{
	struct identity_changes changes;
	int r = 0;

	if (identity_engine_drain(w->l->engine, now_ms, &changes) < 0)
		return no_memory(e);
	if (loaded && !anything(&changes))
		return 0;
	for (size_t i = 0; r == 0 && i < changes.n; i++)
		r = write_change(w, &changes.v[i], e);
	for (size_t i = 0; r == 0 && !loaded && i < changes.nreasons; i++)
		r = write_reason(w, &changes.reasons[i], e);
	if (r == 0)
		r = why_write(&w->why, w->l->engine, &changes, w->db, now_ms, &w->l->reasons, e);
	why_fini(&w->why);
	return r;
}

int
linker_open(struct linker *l, struct db *db, struct identity_tx *tx, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_COUNTER_GET);
	struct writer w = {.l = l, .db = db, .tx = tx};
	int64_t decisions = 0;
	int r;

	db_bind_text(st, 1, "decision");
	r = db_one_int(st, &decisions, e);
	if (r < 0)
		return r;
	if (l->engine && l->decisions == decisions)
		return 0;
	linker_forget(l);
	r = build(l, db, e);
	if (r == 0)
		r = drain(&w, l->state.time_ms, true, e);
	l->decisions = decisions;
	if (r < 0)
		linker_forget(l);
	return r;
}

int
linker_put(struct linker *l, struct db *db, const char *observation, uint64_t hash,
	   const struct identity_features *f, struct err *e)
{
	uint8_t raw[16];
	uint32_t row;
	bool is_new;
	int r;

	if (id_uuid_bytes(sv_from(observation), raw) < 0)
		return err_set(e, -EINVAL, "bad uuid of an observation");
	is_new = identity_engine_find(l->engine, raw) == IDENTITY_NONE;
	r = identity_engine_put(l->engine, raw, hash, f, &row);
	if (r <= 0)
		return r < 0 ? no_memory(e) : 0;
	return er_row_put(db, observation, is_new ? ++l->seq : 0, hash, f, e);
}

int
linker_settle(struct linker *l, struct db *db, struct identity_tx *tx, uint64_t now_ms,
	      struct err *e)
{
	struct writer w = {.l = l, .db = db, .tx = tx};
	int r = drain(&w, now_ms, false, e);

	l->state.time_ms = identity_engine_time(l->engine);
	if (r < 0 ||
	    (l->state.time_ms == l->stored.time_ms && l->state.position == l->stored.position))
		return r;
	r = er_state_put(db, &l->state, e);
	l->stored = l->state;
	return r;
}
