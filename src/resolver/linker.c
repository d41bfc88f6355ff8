/* SPDX-License-Identifier: Apache-2.0 */
/* The engine fed with rows, and its changes written down. */
#include "resolver/linker_state.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/why.h"
#include "util/id.h"

#define SECRET_BYTES 32

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

/* Final winners, ascending. */
struct finals {
	uint32_t *v;
	size_t n;
};

static int
ascending(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Who has to do with what really changed. */
static int
find_concerned(const struct identity_engine *engine, const struct identity_changes *c,
	       struct finals *ret)
{
	ret->n = 0;
	ret->v = malloc((2 * c->n + 1) * sizeof(*ret->v));
	if (!ret->v)
		return -ENOMEM;
	for (size_t i = 0; i < c->n; i++) {
		const struct identity_change *x = &c->v[i];

		if (x->kind == IDENTITY_CHANGED)
			continue;
		ret->v[ret->n++] = identity_engine_final(engine, x->identity);
		if (x->other != IDENTITY_NONE)
			ret->v[ret->n++] = identity_engine_final(engine, x->other);
	}
	qsort(ret->v, ret->n, sizeof(*ret->v), ascending);
	return 0;
}

static int
write_changes(const struct writer *w, const struct identity_changes *c,
	      const struct finals *concerned, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->n; i++) {
		const struct identity_change *x = &c->v[i];

		if (concerned && x->kind == IDENTITY_CHANGED &&
		    (concerned->n == 0 || !bsearch(&x->identity, concerned->v, concerned->n,
						   sizeof(*concerned->v), ascending)))
			continue;
		r = write_change(w, x, e);
	}
	return r;
}

static int
drain(struct writer *w, uint64_t now_ms, struct err *e)
{
	struct identity_changes changes;
	int r = 0;

	if (identity_engine_drain(w->l->engine, now_ms, &changes) < 0)
		return no_memory(e);
	r = write_changes(w, &changes, NULL, e);
	for (size_t i = 0; r == 0 && i < changes.nreasons; i++)
		r = write_reason(w, &changes.reasons[i], e);
	if (r == 0)
		r = why_write(&w->why, w->l->engine, &changes, w->db, now_ms, &w->l->reasons, e);
	why_fini(&w->why);
	return r;
}

/* Of everything that was just loaded, or that an analyst said, only what really changed is news,
 * and what the identities are that it changed. */
static int
drain_loaded(struct writer *w, struct err *e)
{
	uint64_t now_ms = w->l->state.time_ms;
	struct identity_changes changes;
	struct finals concerned;
	int r;

	if (identity_engine_drain(w->l->engine, now_ms, &changes) < 0 ||
	    find_concerned(w->l->engine, &changes, &concerned) < 0)
		return no_memory(e);
	r = write_changes(w, &changes, &concerned, e);
	if (r == 0 && concerned.n > 0)
		r = why_write(&w->why, w->l->engine, &changes, w->db, now_ms, &w->l->reasons, e);
	why_fini(&w->why);
	free(concerned.v);
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
	r = l->engine ? linker_catch_up(l, db, e) : linker_build(l, db, e);
	if (r == 0)
		r = drain_loaded(&w, e);
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
	int r = drain(&w, now_ms, e);

	l->state.time_ms = identity_engine_time(l->engine);
	if (r < 0 ||
	    (l->state.time_ms == l->stored.time_ms && l->state.position == l->stored.position))
		return r;
	r = er_state_put(db, &l->state, e);
	l->stored = l->state;
	return r;
}
