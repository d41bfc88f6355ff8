/* SPDX-License-Identifier: Apache-2.0 */
/* Values that tell hands apart, as an attacker shows them: which is the current one, which is new.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/attacker_held.h"
#include "util/json.h"
#include "util/limits.h"

static int
no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

/* What is stored of an attacker that was known before: the current values, and how many there are.
 */
static int
load(struct db *db, struct attacker *a, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_ATTACKER_SIGNALS_CURRENT);
	int r;

	db_bind_borrowed(st, 1, a->uuid);
	while ((r = db_step(st, e)) > 0) {
		enum identity_primitive p = identity_primitive_find(db_col_sv(st, 0));

		if (p == IDENTITY_SIGNAL_COUNT || a->current[p])
			continue;
		a->current[p] = sv_dup(db_col_sv(st, 1));
		if (!a->current[p]) {
			r = no_memory(e);
			break;
		}
	}
	db_reset(st);
	if (r < 0)
		return r;
	st = db_query(db, Q_ATTACKER_SIGNALS_COUNT);
	db_bind_borrowed(st, 1, a->uuid);
	r = db_one_int(st, &a->signals, e);
	return r < 0 ? r : 0;
}

/* Once a transaction; of a new attacker nothing is stored. */
static int
know(struct db *db, struct attacker *a, struct err *e)
{
	int r = a->signals_known || a->is_new ? 0 : load(db, a, e);

	a->signals_known = r == 0;
	return r;
}

static int
insert(struct db *db, struct attacker *a, const struct attacker_place *at,
       enum identity_primitive p, const char *value, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_ATTACKER_SIGNAL_ADD);

	db_bind_borrowed(st, 1, a->uuid);
	db_bind_borrowed(st, 2, identity_primitive_name(p));
	db_bind_borrowed(st, 3, value);
	db_bind_borrowed(st, 4, at->service);
	db_bind_real(st, 5, identity_primitive_confidence(p));
	db_bind_int(st, 6, (int64_t)at->ts_ms);
	db_bind_int(st, 7, (int64_t)at->ts_ms);
	db_bind_int(st, 8, at->log_id);
	return db_exec(st, NULL, e);
}

/* Make the value the current one: an old one again, or a new row. 1: new, 0, or a failure. */
static int
make_current(struct db *db, struct attacker *a, const struct attacker_place *at,
	     enum identity_primitive p, const char *value, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_ATTACKER_SIGNAL_DROP_CURRENT);
	int64_t changed = 0;
	int r;

	/* Where no value is the current one there is none. */
	if (!a->current[p]) {
		r = insert(db, a, at, p, value, e);
		return r < 0 ? r : 1;
	}
	db_bind_borrowed(st, 1, a->uuid);
	db_bind_borrowed(st, 2, identity_primitive_name(p));
	r = db_exec(st, NULL, e);
	if (r < 0)
		return r;
	st = db_query(db, Q_ATTACKER_SIGNAL_SET_CURRENT);
	db_bind_int(st, 1, (int64_t)at->ts_ms);
	db_bind_borrowed(st, 2, a->uuid);
	db_bind_borrowed(st, 3, identity_primitive_name(p));
	db_bind_borrowed(st, 4, value);
	r = db_exec(st, &changed, e);
	if (r < 0 || changed > 0)
		return r;
	r = insert(db, a, at, p, value, e);
	return r < 0 ? r : 1;
}

/* Remember a new value for what else the transaction has to do with it. */
static int
note_fresh(struct attacker *a, enum identity_primitive p, const char *value)
{
	struct attacker_signals *s = &a->fresh;

	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 4;
		struct attacker_signal *v = realloc(s->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		s->v = v;
		s->cap = cap;
	}
	s->v[s->n] = (struct attacker_signal){p, strdup(value)};
	if (!s->v[s->n].value)
		return -ENOMEM;
	s->n++;
	return 0;
}

static int
tell(struct db *db, const struct attacker *a, const struct attacker_place *at,
     enum identity_primitive p, const char *value, const char *previous, struct err *e)
{
	json_t *payload = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:f, s:s, s:o, s:o, s:I}",
				    "attacker_uuid", a->uuid, "attacker_ip", a->ip, "decky",
				    at->decky, "service", at->service, "primitive",
				    identity_primitive_name(p), "value", value, "confidence",
				    identity_primitive_confidence(p), "source", at->service, "ts",
				    json_time(at->ts_ms), "previous", json_text_or_null(previous),
				    "rotation_count", (json_int_t)a->rotation_count);

	return attacker_tell(db, BUS_TOPIC_ATTACKER_FINGERPRINTED, at->now_ms, payload, e);
}

int
attacker_signal_add(struct db *db, struct attacker *a, const struct attacker_place *at,
		    enum identity_primitive p, const char *value, struct err *e)
{
	char *previous = NULL, *copy;
	int r = know(db, a, e), added;

	if (r < 0 || (a->current[p] && strcmp(a->current[p], value) == 0) ||
	    a->signals >= LIMIT_ATTACKER_SIGNALS)
		return r;
	copy = strdup(value);
	if (!copy)
		return no_memory(e);
	r = added = make_current(db, a, at, p, value, e);
	previous = a->current[p];
	a->current[p] = copy;
	if (r < 0)
		goto out;
	if (added > 0) {
		a->signals++;
		a->bounty_count++;
		a->counts_changed = true;
		if (note_fresh(a, p, value) < 0) {
			r = no_memory(e);
			goto out;
		}
	}
	if (previous) {
		a->rotation_count++;
		a->last_rotation_at = at->ts_ms;
	}
	r = tell(db, a, at, p, value, previous, e);
	if (r == 0)
		r = added;
out:
	free(previous);
	return r;
}
