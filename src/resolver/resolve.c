/* SPDX-License-Identifier: Apache-2.0 */
/* Candidates from the store, decision from the rule, changes into the store. */
#include "resolver/resolve.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "identity/rule.h"
#include "util/buf.h"
#include "util/limits.h"

#define STACK_VALUES_MAX 48 /* newest signals of one observation that are compared */
#define CREDENTIALS_MAX	 16 /* newest credentials */
#define OTHERS_MAX	 16 /* candidates of one value: the oldest holders */
#define TEXTS_BYTES_MAX	 (64 * 1024)

/* An observation with the texts that it points at. */
struct loaded {
	struct identity_observation seen;
	char uuid[ID_UUID_SIZE], identity[ID_UUID_SIZE];
	char *texts[IDENTITY_SIGNALS_MAX]; /* values; credentials as user, line feed, digest */
};

static void
loaded_fini(struct loaded *l)
{
	for (size_t i = 0; i < IDENTITY_SIGNALS_MAX; i++)
		free(l->texts[i]);
}

/* `b` is the digest of a credential: of fixed length, so the joined text stands for one pair only.
 */
static int
add_value(struct loaded *l, enum identity_class class, const char *slot, struct sv a, struct sv b)
{
	size_t at = l->seen.nsignals, n = a.n + (b.n ? b.n + 1 : 0);
	char *text;

	if (at == IDENTITY_SIGNALS_MAX)
		return 0;
	text = malloc(n + 1);
	if (!text)
		return -ENOMEM;
	memcpy(text, a.p, a.n);
	if (b.n) {
		text[a.n] = '\n';
		memcpy(text + a.n + 1, b.p, b.n);
	}
	text[n] = '\0';
	l->texts[at] = text;
	l->seen.signals[at] =
		(struct identity_signal){.class = class, .slot = sv_from(slot), .value = {text, n}};
	l->seen.nsignals++;
	return 0;
}

static int
load_values(struct db *db, struct loaded *l, enum db_query q, int64_t limit, struct err *e)
{
	struct db_stmt *st = db_query(db, q);
	int r;

	db_bind_text(st, 1, l->uuid);
	db_bind_int(st, 2, limit);
	while ((r = db_step(st, e)) > 0) {
		enum identity_primitive p;

		if (q == Q_CREDENTIALS_NEWEST) {
			r = add_value(l, IDENTITY_CLASS_CREDENTIAL, "credential", db_col_sv(st, 0),
				      db_col_sv(st, 1));
		} else {
			p = identity_primitive_find(db_col_sv(st, 0));
			r = p == IDENTITY_SIGNAL_COUNT ||
					    identity_primitive_class(p) == IDENTITY_CLASS_NONE
				    ? 0
				    : add_value(l, identity_primitive_class(p),
						identity_primitive_name(p), db_col_sv(st, 1),
						(struct sv){NULL, 0});
		}
		if (r < 0) {
			(void)err_set(e, r, "out of memory");
			break;
		}
	}
	db_reset(st);
	return r;
}

static int
load_signals(struct db *db, struct loaded *l, struct err *e)
{
	int r = load_values(db, l, Q_ATTACKER_SIGNALS_NEWEST, STACK_VALUES_MAX, e);

	return r < 0 ? r : load_values(db, l, Q_CREDENTIALS_NEWEST, CREDENTIALS_MAX, e);
}

/* The final winner an observation belongs to, "" for none. 1; 0: no such row. */
static int
load_identity(struct db *db, struct loaded *l, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_OBSERVATION_IDENTITY);
	char literal[ID_UUID_SIZE] = "";
	int r;

	db_bind_text(st, 1, l->uuid);
	r = db_step(st, e);
	if (r > 0 && sv_copy(db_col_sv(st, 0), literal, sizeof(literal)) < 0)
		r = err_set(e, -EIO, "bad identity of an observation");
	db_reset(st);
	if (r <= 0 || !literal[0])
		return r;
	r = identity_final(db, literal, l->identity, e);
	if (r < 0)
		return r;
	l->seen.identity = l->identity;
	return 1;
}

struct candidates {
	struct loaded *v[IDENTITY_CANDIDATES_MAX];
	size_t n;
};

static void
candidates_fini(struct candidates *c)
{
	for (size_t i = 0; i < c->n; i++) {
		loaded_fini(c->v[i]);
		free(c->v[i]);
	}
}

/* Bind the two halves of a value where a statement of holders or others wants them. */
static void
bind_value(struct db_stmt *st, const struct identity_signal *s)
{
	struct sv rest = s->value, user;

	if (s->class != IDENTITY_CLASS_CREDENTIAL) {
		db_bind_sv(st, 1, s->slot);
		db_bind_sv(st, 2, s->value);
		return;
	}
	/* The digest has 64 characters; the user name may hold anything. */
	user = (struct sv){rest.p, rest.n - 65};
	db_bind_sv(st, 1, user);
	db_bind_sv(st, 2, sv_drop(rest, rest.n - 64));
}

static int
holders(struct db *db, const struct identity_signal *s, int64_t *ret, struct err *e)
{
	struct db_stmt *st =
		db_query(db, s->class == IDENTITY_CLASS_CREDENTIAL ? Q_CREDENTIAL_HOLDERS
								   : Q_SIGNAL_HOLDERS);
	int r;

	bind_value(st, s);
	db_bind_int(st, 3, (int64_t)identity_class_holders(s->class) + 1);
	r = db_one_int(st, ret, e);
	return r < 0 ? r : 0;
}

/* The oldest other holders of the value. Their number or a failure. */
static int
others(struct db *db, const struct loaded *self, const struct identity_signal *s,
       char ret[OTHERS_MAX][ID_UUID_SIZE], struct err *e)
{
	struct db_stmt *st = db_query(
		db, s->class == IDENTITY_CLASS_CREDENTIAL ? Q_CREDENTIAL_OTHERS : Q_SIGNAL_OTHERS);
	int n = 0, r;

	bind_value(st, s);
	db_bind_text(st, 3, self->uuid);
	db_bind_int(st, 4, OTHERS_MAX);
	while (n < OTHERS_MAX && (r = db_step(st, e)) > 0) {
		if (sv_copy(db_col_sv(st, 0), ret[n], ID_UUID_SIZE) == 0)
			n++;
	}
	db_reset(st);
	return n < OTHERS_MAX && r < 0 ? r : n;
}

static bool
known(const struct candidates *c, const char *uuid)
{
	for (size_t i = 0; i < c->n; i++)
		if (strcmp(c->v[i]->uuid, uuid) == 0)
			return true;
	return false;
}

/* Load one candidate unless it has no identity yet, is of ours already, or analysts keep it apart.
 */
static int
add_candidate(struct db *db, struct identity_tx *tx, const struct loaded *self, const char *uuid,
	      struct candidates *c, struct err *e)
{
	struct loaded *l;
	int r;

	if (c->n == IDENTITY_CANDIDATES_MAX || known(c, uuid))
		return 0;
	l = calloc(1, sizeof(*l));
	if (!l)
		return err_set(e, -ENOMEM, "out of memory");
	memcpy(l->uuid, uuid, sizeof(l->uuid));
	l->seen.uuid = l->uuid;
	r = load_identity(db, l, e);
	if (r > 0 && (!l->identity[0] || strcmp(l->identity, self->identity) == 0))
		r = 0;
	if (r > 0 && self->identity[0]) {
		r = identity_tx_apart(tx, self->identity, l->identity, e);
		r = r < 0 ? r : !r;
	}
	if (r > 0)
		r = load_signals(db, l, e);
	else
		r = r < 0 ? r : -ENOENT;
	if (r < 0) {
		loaded_fini(l);
		free(l);
		return r == -ENOENT ? 0 : r;
	}
	c->v[c->n++] = l;
	return 0;
}

static int
add_candidates(struct db *db, struct identity_tx *tx, struct loaded *self, struct candidates *c,
	       struct err *e)
{
	char uuids[OTHERS_MAX][ID_UUID_SIZE];
	int r = 0;

	for (size_t i = 0; r == 0 && i < self->seen.nsignals; i++) {
		struct identity_signal *s = &self->seen.signals[i];
		int64_t n = 0;
		int found;

		r = holders(db, s, &n, e);
		if (r < 0)
			return r;
		if (n > identity_class_holders(s->class)) {
			s->common = true;
			continue;
		}
		if (n < 2)
			continue;
		found = others(db, self, s, uuids, e);
		r = found < 0 ? found : 0;
		for (int k = 0; r == 0 && k < found; k++)
			r = add_candidate(db, tx, self, uuids[k], c, e);
	}
	return r;
}

/* What a credential shows in the evidence: the user and 16 digits of the digest. */
static void
evidence_text(const struct identity_evidence *why, char *dst, size_t size)
{
	struct sv v = why->value;

	if (strcmp(why->signal, "credential") == 0 && v.n > 64)
		(void)snprintf(dst, size, "%.*s:%.16s", (int)(v.n - 65), v.p, v.p + v.n - 64);
	else
		(void)snprintf(dst, size, "%.*s", (int)v.n, v.p ? v.p : "");
}

static int
tell_why(struct identity_tx *tx, const struct loaded *self, const struct loaded *other,
	 struct err *e)
{
	struct identity_evidence why[IDENTITY_EVIDENCE_MAX];
	char value[IDENTITY_VALUE_MAX + 32];
	size_t n = 0;
	int r = 0;

	(void)identity_compare(&self->seen, &other->seen, why, &n);
	for (size_t i = 0; r == 0 && i < n; i++) {
		evidence_text(&why[i], value, sizeof(value));
		r = identity_tx_evidence(tx, self->uuid, other->uuid, why[i].signal,
					 why[i].value.n ? value : NULL, why[i].weight, e);
	}
	return r;
}

static int
apply(struct identity_tx *tx, const struct loaded *self, const struct candidates *c,
      const struct identity_change *change, struct err *e)
{
	char formed[ID_UUID_SIZE];
	int r = 0;

	switch (change->kind) {
	case IDENTITY_FORM: return identity_tx_form(tx, self->uuid, formed, e);
	case IDENTITY_LINK:
		r = identity_tx_link(tx, change->identity, self->uuid,
				     identity_probability(change->bits), e);
		break;
	case IDENTITY_MERGE:
		r = identity_tx_apart(tx, change->identity, change->other, e);
		if (r != 0)
			return r < 0 ? r : 0;
		r = identity_tx_merge(tx, change->identity, change->other,
				      identity_probability(change->bits), e);
		break;
	}
	return r < 0 ? r : tell_why(tx, self, c->v[change->candidate], e);
}

static int
decide(struct identity_tx *tx, const struct loaded *self, const struct candidates *c, struct err *e)
{
	struct identity_change changes[IDENTITY_CHANGES_MAX];
	struct identity_observation *v = calloc(c->n + 1, sizeof(*v));
	size_t n;
	int r = 0;

	if (!v)
		return err_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < c->n; i++)
		v[i] = c->v[i]->seen;
	n = identity_decide(&self->seen, v, c->n, changes);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = apply(tx, self, c, &changes[i], e);
	free(v);
	return r;
}

int
resolve_attacker(struct db *db, struct identity_tx *tx, const struct attacker *a, bool again,
		 struct err *e)
{
	struct candidates c = {.n = 0};
	struct loaded *self = calloc(1, sizeof(*self));
	int r;

	if (!self)
		return err_set(e, -ENOMEM, "out of memory");
	memcpy(self->uuid, a->uuid, sizeof(self->uuid));
	self->seen.uuid = self->uuid;
	r = load_identity(db, self, e);
	if (r == 0 && !a->is_new && a->identity_id[0])
		r = err_set(e, -ENOENT, "observation %s is missing", a->uuid);
	if (r >= 0 && self->identity[0])
		r = identity_tx_touch(tx, self->identity, a->first_seen, a->last_seen, e);
	if (r >= 0 && again && self->identity[0])
		r = identity_tx_signals(tx, self->identity, a->uuid, e);
	if (r >= 0 && (again || !self->identity[0])) {
		r = load_signals(db, self, e);
		if (r == 0)
			r = add_candidates(db, tx, self, &c, e);
		if (r == 0)
			r = decide(tx, self, &c, e);
	}
	candidates_fini(&c);
	loaded_fini(self);
	free(self);
	return r < 0 ? r : 0;
}
