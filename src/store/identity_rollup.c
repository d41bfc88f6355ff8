/* SPDX-License-Identifier: Apache-2.0 */
/* What an identity's row collects of its observations: added as they come, and given up as they go,
 * without going through a large identity for each that leaves it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "identity/signal.h"
#include "store/identity_held.h"
#include "util/limits.h"

#define RECOUNT_MAX 64	 /* observations: up to here everything is collected anew */
#define LOOK_MAX    4096 /* rows to look at for one value, or for the latest time, before that */
#define TYPISTS_MAX 64	 /* members to look at for another one who has typed */

static int
no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

/* Where the value is in the sorted list, or belongs. */
static bool
list_find(const json_t *list, const char *value, size_t *ret_at)
{
	size_t lo = 0, hi = json_array_size(list);

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = strcmp(value, json_string_value(json_array_get(list, mid)));

		if (c == 0) {
			*ret_at = mid;
			return true;
		}
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	*ret_at = lo;
	return false;
}

/* Put the value into the sorted list if it is not there. 1: it is in the list, 0: there is no room,
 * -ENOMEM. */
static int
list_add(json_t *list, const char *value)
{
	size_t at;

	if (list_find(list, value, &at))
		return 1;
	if (json_array_size(list) >= LIMIT_IDENTITY_ROLLUP)
		return 0;
	return json_array_insert_new(list, at, json_string(value)) == 0 ? 1 : -ENOMEM;
}

void
identity_held_widen(struct identity *row, uint64_t first_ms, uint64_t last_ms)
{
	if (row->first_seen_at == 0 || (first_ms && first_ms < row->first_seen_at))
		row->first_seen_at = first_ms;
	if (last_ms > row->last_seen_at)
		row->last_seen_at = last_ms;
}

/* -- what was read or written of observations -- */

/* Take one value in; `user` says where. 0 or a store failure. */
typedef int value_fn(void *user, enum identity_primitive p, const char *value, struct err *e);

/* The values of a bound statement (primitive, value). */
static int
each_of(struct db_stmt *st, value_fn *fn, void *user, struct err *e)
{
	int r;

	while ((r = db_step(st, e)) > 0) {
		enum identity_primitive p = identity_primitive_find(db_col_sv(st, 0));

		r = p < IDENTITY_SIGNAL_COUNT ? fn(user, p, db_col_text(st, 1), e) : 0;
		if (r < 0)
			break;
	}
	db_reset(st);
	return r;
}

static const struct observed *
find_observed(const struct identity_tx *tx, const char *observation)
{
	uint32_t at = uuid_map_get(&tx->observed_at, observation);

	return at == UUID_MAP_NONE ? NULL : &tx->observed[at];
}

/* All values of an observation, the newest first. */
static int
each_value(struct identity_tx *tx, const char *observation, value_fn *fn, void *user, struct err *e)
{
	const struct observed *o = find_observed(tx, observation);
	struct db_stmt *st;
	int r = 0;

	if (!o) {
		st = db_query(tx->db, Q_ATTACKER_SIGNALS_NEWEST);
		db_bind_text(st, 1, observation);
		db_bind_int(st, 2, LIMIT_ATTACKER_SIGNALS);
		return each_of(st, fn, user, e);
	}
	for (size_t i = o->signals.n; r == 0 && i-- > 0;)
		r = fn(user, o->signals.v[i].primitive, o->signals.v[i].value, e);
	return r;
}

static int
times_of(struct identity_tx *tx, const char *observation, uint64_t *ret_first, uint64_t *ret_last,
	 struct err *e)
{
	const struct observed *o = find_observed(tx, observation);
	struct db_stmt *st;
	int r;

	if (o) {
		*ret_first = o->first_ms;
		*ret_last = o->last_ms;
		return 0;
	}
	st = db_query(tx->db, Q_OBSERVATION_IDENTITY);
	db_bind_text(st, 1, observation);
	r = db_step(st, e);
	if (r > 0) {
		*ret_first = (uint64_t)db_col_int(st, 1);
		*ret_last = (uint64_t)db_col_int(st, 2);
	}
	db_reset(st);
	return r > 0   ? 0
	       : r < 0 ? r
		       : err_set(e, -ENOENT, "observation %s is missing", observation);
}

/* Seen again within the transaction: its new values join those that are known. */
static int
observe_again(struct observed *o, struct attacker *a, struct err *e)
{
	struct attacker_signals *to = &o->signals, *from = &a->fresh;
	struct attacker_signal *v;

	o->first_ms = a->first_seen;
	o->last_ms = a->last_seen;
	if (from->n == 0)
		return 0;
	v = realloc(to->v, (to->n + from->n) * sizeof(*v));
	if (!v)
		return no_memory(e);
	memcpy(v + to->n, from->v, from->n * sizeof(*v));
	to->v = v;
	to->cap = to->n += from->n;
	from->n = 0;
	return 0;
}

int
identity_tx_observed(struct identity_tx *tx, struct attacker *a, struct err *e)
{
	uint32_t at = uuid_map_get(&tx->observed_at, a->uuid);

	if (at != UUID_MAP_NONE)
		return observe_again(&tx->observed[at], a, e);
	if (!a->is_new)
		return 0;
	if (tx->nobserved == tx->cobserved) {
		size_t cap = tx->cobserved ? tx->cobserved * 2 : 64;
		struct observed *v = realloc(tx->observed, cap * sizeof(*v));

		if (!v)
			return no_memory(e);
		tx->observed = v;
		tx->cobserved = cap;
	}
	if (uuid_map_put(&tx->observed_at, a->uuid, (uint32_t)tx->nobserved) < 0)
		return no_memory(e);
	tx->observed[tx->nobserved++] = (struct observed){a->first_seen, a->last_seen, a->fresh};
	a->fresh = (struct attacker_signals){0};
	return 0;
}

void
identity_held_fini(struct identity_tx *tx)
{
	for (size_t i = 0; i < tx->nobserved; i++)
		attacker_signals_fini(&tx->observed[i].signals);
	free(tx->observed);
	uuid_map_fini(&tx->observed_at);
	free(tx->gone.times);
	for (size_t i = 0; i < ARRAY_LEN(tx->gone.values); i++)
		json_decref(tx->gone.values[i]);
}

/* -- more -- */

struct collect {
	struct identity *row;
	bool typing; /* the newest rhythm is there already */
};

static int
collect(void *user, enum identity_primitive p, const char *value, struct err *e)
{
	struct collect *c = user;
	const char *rollup = identity_primitive_rollup(p);

	if (p == IDENTITY_SIGNAL_MOTOR_DIGRAPH_SIMHASH && !c->typing)
		c->typing = sv_copy(sv_from(value), c->row->kd_digraph_simhash,
				    sizeof(c->row->kd_digraph_simhash)) == 0;
	if (rollup && list_add(json_object_get(c->row->rollup, rollup), value) < 0)
		return no_memory(e);
	return 0;
}

int
identity_held_add_signals(struct identity_tx *tx, struct identity *row, const char *observation,
			  struct err *e)
{
	struct collect c = {.row = row};

	return each_value(tx, observation, collect, &c, e);
}

int
identity_held_add(struct identity_tx *tx, struct identity *row, const char *observation,
		  struct err *e)
{
	uint64_t first, last;
	int r = times_of(tx, observation, &first, &last, e);

	if (r < 0)
		return r;
	identity_held_widen(row, first, last);
	row->observation_count++;
	return identity_held_add_signals(tx, row, observation, e);
}

int
identity_held_absorb(struct identity *winner, const struct identity *loser)
{
	const char *key;
	json_t *list, *value;
	size_t i;

	identity_held_widen(winner, loser->first_seen_at, loser->last_seen_at);
	winner->observation_count += loser->observation_count;
	if (!winner->kd_digraph_simhash[0])
		memcpy(winner->kd_digraph_simhash, loser->kd_digraph_simhash,
		       sizeof(winner->kd_digraph_simhash));
	json_object_foreach(loser->rollup, key, list)
	{
		json_array_foreach(list, i, value)
		{
			if (list_add(json_object_get(winner->rollup, key),
				     json_string_value(value)) < 0)
				return -ENOMEM;
		}
	}
	return 0;
}

/* Count and times of all that the row's family has. */
static int
read_span(struct identity_tx *tx, struct identity *row, struct err *e)
{
	struct db_stmt *st = db_query(tx->db, Q_IDENTITY_SPAN);
	int r;

	db_bind_text(st, 1, row->uuid);
	r = db_step(st, e);
	if (r > 0) {
		row->observation_count = db_col_int(st, 0);
		row->first_seen_at = (uint64_t)db_col_int(st, 1);
		row->last_seen_at = (uint64_t)db_col_int(st, 2);
	}
	db_reset(st);
	return r < 0 ? r : 0;
}

int
identity_held_recount(struct identity_tx *tx, struct identity *row, struct err *e)
{
	struct collect c = {.row = row};
	json_t *rollup = identity_rollup_new();
	struct db_stmt *st;
	int r;

	if (!rollup)
		return no_memory(e);
	json_decref(row->rollup);
	row->rollup = rollup;
	row->kd_digraph_simhash[0] = '\0';
	r = read_span(tx, row, e);
	if (r < 0)
		return r;
	st = db_query(tx->db, Q_IDENTITY_SIGNALS);
	db_bind_text(st, 1, row->uuid);
	return each_of(st, collect, &c, e);
}

/* -- less -- */

static int
note_gone(void *user, enum identity_primitive p, const char *value, struct err *e)
{
	struct identity_tx *tx = user;
	int r;

	if (!tx->gone.values[p])
		tx->gone.values[p] = json_array();
	r = tx->gone.values[p] ? list_add(tx->gone.values[p], value) : -ENOMEM;
	tx->gone.more |= r == 0;
	return r < 0 ? no_memory(e) : 0;
}

static int
note_times(struct identity_tx *tx, uint64_t first_ms, uint64_t last_ms, struct err *e)
{
	if (tx->gone.n == tx->gone.cap) {
		size_t cap = tx->gone.cap ? tx->gone.cap * 2 : 16;
		void *v = realloc(tx->gone.times, cap * sizeof(*tx->gone.times));

		if (!v)
			return no_memory(e);
		tx->gone.times = v;
		tx->gone.cap = cap;
	}
	tx->gone.times[tx->gone.n++] = (struct observed_times){first_ms, last_ms};
	return 0;
}

int
identity_held_leave(struct identity_tx *tx, const char *observation, struct err *e)
{
	uint64_t first, last;
	int r = times_of(tx, observation, &first, &last, e);

	if (r < 0)
		return r;
	r = note_times(tx, first, last, e);
	return r < 0 ? r : each_value(tx, observation, note_gone, tx, e);
}

int
identity_held_leave_all(struct identity_tx *tx, const struct identity *row, struct err *e)
{
	json_t *value;
	size_t i;
	int r = note_times(tx, row->first_seen_at, row->last_seen_at, e);

	for (unsigned p = 0; p < IDENTITY_SIGNAL_COUNT; p++) {
		const char *rollup = identity_primitive_rollup((enum identity_primitive)p);
		const json_t *list = rollup ? json_object_get(row->rollup, rollup) : NULL;

		tx->gone.more |= json_array_size(list) >= LIMIT_IDENTITY_ROLLUP;
		json_array_foreach(list, i, value)
		{
			if (r == 0)
				r = note_gone(tx, (enum identity_primitive)p,
					      json_string_value(value), e);
		}
	}
	return r;
}

/* Whether the statement, at a row of (identity_id, merged_into_uuid, ...), stands on the family. */
static bool
is_of(struct db_stmt *st, const char *identity)
{
	return sv_eq(db_col_sv(st, 0), sv_from(identity)) ||
	       sv_eq(db_col_sv(st, 1), sv_from(identity));
}

/* Whether anybody of the family has the value. 1, 0, -EAGAIN: too many others have it, or a store
 * failure. */
static int
still_shown(struct identity_tx *tx, const char *identity, enum identity_primitive p,
	    const char *value, struct err *e)
{
	struct db_stmt *st = db_query(tx->db, Q_SIGNAL_HOLDERS);
	bool found = false;
	int n = 0, r;

	db_bind_text(st, 1, identity_primitive_name(p));
	db_bind_text(st, 2, value);
	db_bind_int(st, 3, LOOK_MAX);
	while (!found && (r = db_step(st, e)) > 0) {
		found = is_of(st, identity);
		n++;
	}
	db_reset(st);
	return found ? 1 : r < 0 ? r : n == LOOK_MAX ? -EAGAIN : 0;
}

/* The list without what nobody of the family shows any more; what had no room in a full one does
 * not come back for it. 0, -EAGAIN or a store failure. */
static int
prune(struct identity_tx *tx, struct identity *row, enum identity_primitive p, struct err *e)
{
	const char *rollup = identity_primitive_rollup(p), *value;
	json_t *list = rollup ? json_object_get(row->rollup, rollup) : NULL;
	const json_t *gone = tx->gone.values[p];
	size_t at;
	int r;

	if (!list || !gone)
		return 0;
	for (size_t i = 0; i < json_array_size(gone); i++) {
		value = json_string_value(json_array_get(gone, i));
		if (!list_find(list, value, &at))
			continue;
		r = still_shown(tx, row->uuid, p, value, e);
		if (r < 0)
			return r;
		if (r == 0)
			(void)json_array_remove(list, at);
	}
	return 0;
}

/* The rhythm of an observation, if it has one. 1, 0 or a store failure. */
static int
typing_of(struct identity_tx *tx, const char *observation, struct identity *row, struct err *e)
{
	struct db_stmt *st = db_query(tx->db, Q_ATTACKER_SIGNALS_CURRENT);
	int found = 0, r;

	db_bind_text(st, 1, observation);
	while (!found && (r = db_step(st, e)) > 0)
		found = identity_primitive_find(db_col_sv(st, 0)) ==
				IDENTITY_SIGNAL_MOTOR_DIGRAPH_SIMHASH &&
			sv_copy(db_col_sv(st, 1), row->kd_digraph_simhash,
				sizeof(row->kd_digraph_simhash)) == 0;
	db_reset(st);
	return found ? 1 : r;
}

/* The latest members of the family, until `last` and typing are found. 0, -EAGAIN, or a store
 * failure. */
static int
find_latest(struct identity_tx *tx, struct identity *row, bool last, bool typing, struct err *e)
{
	struct db_stmt *st = db_query(tx->db, Q_ATTACKERS_LATEST);
	unsigned members = 0;
	int r = 0;

	db_bind_int(st, 1, (int64_t)row->last_seen_at);
	db_bind_int(st, 2, LOOK_MAX);
	while ((last || typing) && members < TYPISTS_MAX && (r = db_step(st, e)) > 0) {
		if (!is_of(st, row->uuid))
			continue;
		members++;
		if (last)
			row->last_seen_at = (uint64_t)db_col_int(st, 2);
		last = false;
		r = typing ? typing_of(tx, db_col_text(st, 3), row, e) : 0;
		typing = typing && r == 0;
		if (r < 0)
			break;
	}
	db_reset(st);
	return r < 0 ? r : last || typing ? -EAGAIN : 0;
}

/* As identity_held_shrink, by what is gone; -EAGAIN: to be collected anew. */
static int
give_up(struct identity_tx *tx, struct identity *row, struct err *e)
{
	bool last = false, typing = false;
	int r = tx->gone.more ? -EAGAIN : 0;

	for (size_t i = 0; i < tx->gone.n; i++) {
		last |= tx->gone.times[i].last_ms == row->last_seen_at;
		if (tx->gone.times[i].first_ms == row->first_seen_at)
			r = -EAGAIN;
	}
	for (unsigned p = 0; r == 0 && p < IDENTITY_SIGNAL_COUNT; p++)
		r = prune(tx, row, (enum identity_primitive)p, e);
	if (r == 0 && row->kd_digraph_simhash[0]) {
		r = still_shown(tx, row->uuid, IDENTITY_SIGNAL_MOTOR_DIGRAPH_SIMHASH,
				row->kd_digraph_simhash, e);
		typing = r == 0;
	}
	return r < 0 ? r : find_latest(tx, row, last, typing, e);
}

int
identity_held_shrink(struct identity_tx *tx, struct identity *row, int64_t left, struct err *e)
{
	int r = identity_held_written(tx, row->uuid, e);

	if (r == 0)
		r = left > RECOUNT_MAX ? give_up(tx, row, e) : -EAGAIN;
	return r == -EAGAIN ? identity_held_recount(tx, row, e) : r;
}
