/* SPDX-License-Identifier: Apache-2.0 */
/* Changes to identities: rows in hand, what happened to them, and the journal rows that say so. */
#include "store/identity_tx.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bus/topic.h"
#include "identity/signal.h"
#include "store/journal.h"
#include "util/json.h"
#include "util/limits.h"

struct held {
	struct identity row;
	json_t *before; /* as the viewer had it; NULL: formed in this transaction */
};

/* Journal rows wait here, one list a topic, in the order of the contract. */
static const enum bus_topic order[] = {
	BUS_TOPIC_IDENTITY_OBSERVATION_UNLINKED,
	BUS_TOPIC_IDENTITY_FORMED,
	BUS_TOPIC_IDENTITY_OBSERVATION_LINKED,
	BUS_TOPIC_IDENTITY_MERGED,
	BUS_TOPIC_IDENTITY_UNMERGED,
};

struct identity_tx {
	struct db *db;
	uint64_t now_ms;
	const char *by;
	struct held *held;
	size_t n, cap;
	json_t *events[ARRAY_LEN(order)];
	int splits; /* -1: not looked up; else whether any analyst ever split */
};

static int
no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

int
identity_tx_new(struct db *db, uint64_t now_ms, const char *by, struct identity_tx **ret_tx,
		struct err *e)
{
	struct identity_tx *tx = calloc(1, sizeof(*tx));

	if (!tx)
		return no_memory(e);
	tx->db = db;
	tx->now_ms = now_ms;
	tx->by = by;
	tx->splits = -1;
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		tx->events[i] = json_array();
		if (!tx->events[i]) {
			identity_tx_free(tx);
			return no_memory(e);
		}
	}
	*ret_tx = tx;
	return 0;
}

void
identity_tx_free(struct identity_tx *tx)
{
	if (!tx)
		return;
	for (size_t i = 0; i < tx->n; i++) {
		identity_fini(&tx->held[i].row);
		json_decref(tx->held[i].before);
	}
	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		json_decref(tx->events[i]);
	free(tx->held);
	free(tx);
}

/* Note an event; consumes the payload. */
static int
note(struct identity_tx *tx, enum bus_topic t, json_t *own_payload, struct err *e)
{
	size_t i = 0;

	while (order[i] != t)
		i++;
	return json_array_append_new(tx->events[i], own_payload) == 0 ? 0 : no_memory(e);
}

/* Consumes the row. */
static int
hold(struct identity_tx *tx, struct identity *own_row, json_t *own_before, struct identity **ret,
     struct err *e)
{
	if (tx->n == tx->cap) {
		size_t cap = tx->cap ? tx->cap * 2 : 16;
		struct held *v = realloc(tx->held, cap * sizeof(*v));

		if (!v) {
			identity_fini(own_row);
			json_decref(own_before);
			return no_memory(e);
		}
		tx->held = v;
		tx->cap = cap;
	}
	tx->held[tx->n] = (struct held){*own_row, own_before};
	*ret = &tx->held[tx->n++].row;
	return 0;
}

/* The row in hand; good until the next call. */
static int
take(struct identity_tx *tx, const char *uuid, struct identity **ret, struct err *e)
{
	struct identity row = {0};
	json_t *before;
	int r;

	for (size_t i = 0; i < tx->n; i++) {
		if (strcmp(tx->held[i].row.uuid, uuid) == 0) {
			*ret = &tx->held[i].row;
			return 0;
		}
	}
	r = identity_load(tx->db, uuid, &row, e);
	if (r <= 0)
		return r < 0 ? r : err_set(e, -ENOENT, "identity %s is missing", uuid);
	before = identity_json(&row);
	if (!before) {
		identity_fini(&row);
		return no_memory(e);
	}
	return hold(tx, &row, before, ret, e);
}

/* Put the value into the sorted list if it is not there. 1: the list changed, 0, -ENOMEM. */
static int
list_add(json_t *list, const char *value)
{
	size_t n = json_array_size(list), at = 0;

	for (; at < n; at++) {
		int c = strcmp(value, json_string_value(json_array_get(list, at)));

		if (c == 0)
			return 0;
		if (c < 0)
			break;
	}
	if (n >= LIMIT_IDENTITY_ROLLUP)
		return 0;
	return json_array_insert_new(list, at, json_string(value)) == 0 ? 1 : -ENOMEM;
}

/* The values of a bound statement (primitive, value; the newest first) join the row's roll-ups. */
static int
add_values(struct identity *row, struct db_stmt *st, struct err *e)
{
	bool keystrokes = false;
	int r;

	while ((r = db_step(st, e)) > 0) {
		enum identity_primitive p = identity_primitive_find(db_col_sv(st, 0));
		const char *rollup =
			p < IDENTITY_SIGNAL_COUNT ? identity_primitive_rollup(p) : NULL;

		if (p == IDENTITY_SIGNAL_MOTOR_DIGRAPH_SIMHASH && !keystrokes)
			keystrokes = sv_copy(db_col_sv(st, 1), row->kd_digraph_simhash,
					     sizeof(row->kd_digraph_simhash)) == 0;
		if (rollup &&
		    list_add(json_object_get(row->rollup, rollup), db_col_text(st, 1)) < 0) {
			r = no_memory(e);
			break;
		}
	}
	db_reset(st);
	return r;
}

static int
add_signals_of(struct identity_tx *tx, struct identity *row, enum db_query q, const char *uuid,
	       int64_t limit, struct err *e)
{
	struct db_stmt *st = db_query(tx->db, q);

	db_bind_text(st, 1, uuid);
	if (limit)
		db_bind_int(st, 2, limit);
	return add_values(row, st, e);
}

static void
widen(struct identity *row, uint64_t first_ms, uint64_t last_ms)
{
	if (row->first_seen_at == 0 || (first_ms && first_ms < row->first_seen_at))
		row->first_seen_at = first_ms;
	if (last_ms > row->last_seen_at)
		row->last_seen_at = last_ms;
}

static int
add_observation(struct identity_tx *tx, struct identity *row, const char *observation,
		struct err *e)
{
	struct db_stmt *st = db_query(tx->db, Q_OBSERVATION_IDENTITY);
	int r;

	db_bind_text(st, 1, observation);
	r = db_step(st, e);
	if (r > 0)
		widen(row, (uint64_t)db_col_int(st, 1), (uint64_t)db_col_int(st, 2));
	db_reset(st);
	if (r <= 0)
		return r < 0 ? r : err_set(e, -ENOENT, "observation %s is missing", observation);
	row->observation_count++;
	return add_signals_of(tx, row, Q_ATTACKER_SIGNALS_NEWEST, observation,
			      LIMIT_ATTACKER_SIGNALS, e);
}

static int
set_identity(struct identity_tx *tx, const char *identity, const char *observation, struct err *e)
{
	struct db_stmt *st = db_query(tx->db, Q_ATTACKER_SET_IDENTITY);

	db_bind_text(st, 1, identity);
	db_bind_text(st, 2, observation);
	return db_exec(st, NULL, e);
}

static int
bind_rollup(struct db_stmt *st, int at, const struct identity *row)
{
	char *text = json_text(row->rollup);

	if (!text)
		return -ENOMEM;
	db_bind_text(st, at, text);
	free(text);
	return 0;
}

static const char *
text_or_null(const char *text)
{
	return text[0] ? text : NULL;
}

static int
insert(struct identity_tx *tx, const struct identity *row, struct err *e)
{
	struct db_stmt *st = db_query(tx->db, Q_IDENTITY_INSERT);

	db_bind_text(st, 1, row->uuid);
	db_bind_int(st, 2, (int64_t)row->first_seen_at);
	db_bind_int(st, 3, (int64_t)row->last_seen_at);
	db_bind_int(st, 4, (int64_t)row->created_at);
	db_bind_int(st, 5, (int64_t)row->updated_at);
	db_bind_real(st, 6, row->confidence);
	db_bind_int(st, 7, row->observation_count);
	if (bind_rollup(st, 8, row) < 0) {
		db_reset(st);
		return no_memory(e);
	}
	db_bind_text(st, 9, text_or_null(row->kd_digraph_simhash));
	db_bind_text(st, 10, text_or_null(row->merged_into));
	db_bind_text(st, 11, row->notes);
	return db_exec(st, NULL, e);
}

static int
update(struct identity_tx *tx, const struct identity *row, struct err *e)
{
	struct db_stmt *st = db_query(tx->db, Q_IDENTITY_UPDATE);

	db_bind_int(st, 1, (int64_t)row->first_seen_at);
	db_bind_int(st, 2, (int64_t)row->last_seen_at);
	db_bind_int(st, 3, (int64_t)row->updated_at);
	db_bind_real(st, 4, row->confidence);
	db_bind_int(st, 5, row->observation_count);
	if (bind_rollup(st, 6, row) < 0) {
		db_reset(st);
		return no_memory(e);
	}
	db_bind_text(st, 7, text_or_null(row->kd_digraph_simhash));
	db_bind_text(st, 8, text_or_null(row->merged_into));
	db_bind_text(st, 9, row->notes);
	db_bind_text(st, 10, row->uuid);
	return db_exec(st, NULL, e);
}

/* A new row without observations, written and held. */
static int
new_identity(struct identity_tx *tx, struct identity **ret, struct err *e)
{
	struct identity row = {
		.created_at = tx->now_ms,
		.updated_at = tx->now_ms,
		.confidence = 1.0,
		.rollup = identity_rollup_new(),
	};
	int r;

	id_uuid7(row.uuid);
	if (!row.rollup)
		return no_memory(e);
	r = insert(tx, &row, e);
	if (r < 0) {
		identity_fini(&row);
		return r;
	}
	return hold(tx, &row, NULL, ret, e);
}

int
identity_tx_form(struct identity_tx *tx, const char *observation, char ret_uuid[ID_UUID_SIZE],
		 struct err *e)
{
	struct identity *row = NULL;
	int r = new_identity(tx, &row, e);

	if (r == 0)
		r = set_identity(tx, row->uuid, observation, e);
	if (r == 0)
		r = add_observation(tx, row, observation, e);
	if (r < 0)
		return r;
	memcpy(ret_uuid, row->uuid, ID_UUID_SIZE);
	return note(tx, BUS_TOPIC_IDENTITY_FORMED,
		    json_pack("{s:s, s:[s], s:s}", "identity_uuid", row->uuid, "observation_uuids",
			      observation, "by", tx->by),
		    e);
}

int
identity_tx_link(struct identity_tx *tx, const char *identity, const char *observation,
		 double confidence, struct err *e)
{
	struct identity *row = NULL;
	int r = take(tx, identity, &row, e);

	if (r == 0)
		r = set_identity(tx, identity, observation, e);
	if (r == 0)
		r = add_observation(tx, row, observation, e);
	if (r < 0)
		return r;
	if (confidence < row->confidence)
		row->confidence = confidence;
	return note(tx, BUS_TOPIC_IDENTITY_OBSERVATION_LINKED,
		    json_pack("{s:s, s:s, s:s}", "identity_uuid", identity, "observation_uuid",
			      observation, "by", tx->by),
		    e);
}

/* What the loser knew joins the winner's row. */
static int
absorb(struct identity *winner, const struct identity *loser)
{
	const char *key;
	json_t *list, *value;
	size_t i;

	widen(winner, loser->first_seen_at, loser->last_seen_at);
	winner->observation_count += loser->observation_count;
	if (loser->confidence < winner->confidence)
		winner->confidence = loser->confidence;
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

int
identity_tx_merge(struct identity_tx *tx, const char *winner, const char *loser, double confidence,
		  struct err *e)
{
	struct identity *w = NULL, *l = NULL;
	struct db_stmt *st = db_query(tx->db, Q_IDENTITY_REPOINT);
	int r = take(tx, loser, &l, e);

	/* Twice: holding the second may have moved the first. */
	if (r == 0)
		r = take(tx, winner, &w, e);
	if (r == 0)
		r = take(tx, loser, &l, e);
	if (r < 0)
		return r;
	if (absorb(w, l) < 0)
		return no_memory(e);
	if (confidence < w->confidence)
		w->confidence = confidence;
	memcpy(l->merged_into, w->uuid, sizeof(l->merged_into));
	l->updated_at = tx->now_ms;
	r = update(tx, l, e);
	if (r < 0)
		return r;
	/* Its own losers: one step to the end again. Rows in hand must not undo that. */
	for (size_t i = 0; i < tx->n; i++)
		if (strcmp(tx->held[i].row.merged_into, loser) == 0)
			memcpy(tx->held[i].row.merged_into, w->uuid, ID_UUID_SIZE);
	db_bind_text(st, 1, winner);
	db_bind_text(st, 2, loser);
	r = db_exec(st, NULL, e);
	if (r < 0)
		return r;
	return note(tx, BUS_TOPIC_IDENTITY_MERGED,
		    json_pack("{s:s, s:s, s:s}", "winner_uuid", winner, "loser_uuid", loser, "by",
			      tx->by),
		    e);
}

int
identity_tx_touch(struct identity_tx *tx, const char *identity, uint64_t first_ms, uint64_t last_ms,
		  struct err *e)
{
	struct identity *row = NULL;
	int r = take(tx, identity, &row, e);

	if (r == 0)
		widen(row, first_ms, last_ms);
	return r;
}

int
identity_tx_signals(struct identity_tx *tx, const char *identity, const char *observation,
		    struct err *e)
{
	struct identity *row = NULL;
	int r = take(tx, identity, &row, e);

	return r < 0 ? r
		     : add_signals_of(tx, row, Q_ATTACKER_SIGNALS_NEWEST, observation,
				      LIMIT_ATTACKER_SIGNALS, e);
}

int
identity_tx_evidence(struct identity_tx *tx, const char *a, const char *b, const char *signal,
		     const char *value, double weight, struct err *e)
{
	struct db_stmt *st = db_query(tx->db, Q_EVIDENCE_PUT);
	bool ordered = strcmp(a, b) <= 0;

	db_bind_text(st, 1, ordered ? a : b);
	db_bind_text(st, 2, ordered ? b : a);
	db_bind_text(st, 3, signal);
	db_bind_text(st, 4, value);
	if (isnan(weight))
		db_bind_null(st, 5);
	else
		db_bind_real(st, 5, weight);
	db_bind_int(st, 6, (int64_t)tx->now_ms);
	return db_exec(st, NULL, e);
}

int
identity_tx_apart(struct identity_tx *tx, const char *a, const char *b, struct err *e)
{
	struct db_stmt *st = db_query(tx->db, Q_DECISION_ANY_SPLIT);
	int64_t n = 0;
	int r;

	if (tx->splits < 0) {
		r = db_one_int(st, &n, e);
		if (r < 0)
			return r;
		tx->splits = n > 0;
	}
	if (!tx->splits)
		return 0;
	st = db_query(tx->db, Q_DECISION_APART);
	db_bind_text(st, 1, a);
	db_bind_text(st, 2, b);
	r = db_one_int(st, &n, e);
	return r < 0 ? r : n > 0;
}

static int
first_member(struct identity_tx *tx, const char *identity, char dst[ID_UUID_SIZE], struct err *e)
{
	struct db_stmt *st = db_query(tx->db, Q_IDENTITY_FIRST_MEMBER);
	int r;

	db_bind_text(st, 1, identity);
	r = db_step(st, e);
	if (r > 0)
		r = sv_copy(db_col_sv(st, 0), dst, ID_UUID_SIZE);
	else if (r == 0)
		r = err_set(e, -ENOENT, "identity %s has no observation", identity);
	db_reset(st);
	return r;
}

static int
add_side(struct identity_tx *tx, const char *identity, int64_t decision, int side, struct err *e)
{
	struct db_stmt *st = db_query(tx->db, Q_DECISION_SIDE_ADD);

	db_bind_text(st, 1, identity);
	db_bind_int(st, 2, decision);
	db_bind_int(st, 3, side);
	return db_exec(st, NULL, e);
}

/* What an analyst decided about the observations of two identities, and the evidence of it. */
static int
decide(struct identity_tx *tx, const char *kind, const char *a, const char *b, struct err *e)
{
	char of_a[ID_UUID_SIZE], of_b[ID_UUID_SIZE];
	struct db_stmt *st = db_query(tx->db, Q_COUNTER_ADD);
	int64_t decision = 0;
	int r;

	db_bind_int(st, 1, 1);
	db_bind_text(st, 2, "decision");
	r = db_one_int(st, &decision, e);
	if (r < 0)
		return r;
	st = db_query(tx->db, Q_DECISION_ADD);
	db_bind_int(st, 1, decision);
	db_bind_text(st, 2, kind);
	db_bind_int(st, 3, (int64_t)tx->now_ms);
	r = db_exec(st, NULL, e);
	if (r == 0)
		r = add_side(tx, a, decision, 0, e);
	if (r == 0)
		r = add_side(tx, b, decision, 1, e);
	if (r == 0)
		r = first_member(tx, a, of_a, e);
	if (r == 0)
		r = first_member(tx, b, of_b, e);
	return r < 0 ? r : identity_tx_evidence(tx, of_a, of_b, "analyst", kind, (double)NAN, e);
}

int
identity_tx_join(struct identity_tx *tx, const char *winner, const char *loser, struct err *e)
{
	int r = decide(tx, "merge", winner, loser, e);

	return r < 0 ? r : identity_tx_merge(tx, winner, loser, 1.0, e);
}

/* Count, times and roll-ups of a row from its observations as they are now. */
static int
recount(struct identity_tx *tx, struct identity *row, struct err *e)
{
	struct db_stmt *st = db_query(tx->db, Q_IDENTITY_SPAN);
	json_t *rollup = identity_rollup_new();
	int r;

	if (!rollup)
		return no_memory(e);
	json_decref(row->rollup);
	row->rollup = rollup;
	row->kd_digraph_simhash[0] = '\0';
	db_bind_text(st, 1, row->uuid);
	r = db_step(st, e);
	if (r > 0) {
		row->observation_count = db_col_int(st, 0);
		row->first_seen_at = (uint64_t)db_col_int(st, 1);
		row->last_seen_at = (uint64_t)db_col_int(st, 2);
	}
	db_reset(st);
	return r < 0 ? r : add_signals_of(tx, row, Q_IDENTITY_SIGNALS, row->uuid, 0, e);
}

static int
check_members(struct identity_tx *tx, const char *identity, const char *const *observations,
	      size_t n, size_t *ret_bad, struct err *e)
{
	struct db_stmt *st = db_query(tx->db, Q_IDENTITY_HAS_MEMBER);
	int64_t found, total = 0;
	int r;

	for (size_t i = 0; i < n; i++) {
		db_bind_text(st, 1, identity);
		db_bind_text(st, 2, observations[i]);
		r = db_one_int(st, &found, e);
		if (r < 0)
			return r;
		if (r == 0) {
			*ret_bad = i;
			return -ENOENT;
		}
	}
	st = db_query(tx->db, Q_IDENTITY_SPAN);
	db_bind_text(st, 1, identity);
	r = db_one_int(st, &total, e);
	if (r < 0)
		return r;
	return (int64_t)n >= total ? -ENOTEMPTY : 0;
}

/* The observations move from one row to the other. */
static int
move(struct identity_tx *tx, const char *from, const char *to, const char *const *observations,
     size_t n, struct err *e)
{
	json_t *moved = json_array();
	int r = moved ? 0 : no_memory(e);

	for (size_t i = 0; r == 0 && i < n; i++) {
		r = set_identity(tx, to, observations[i], e);
		if (r == 0)
			r = note(tx, BUS_TOPIC_IDENTITY_OBSERVATION_UNLINKED,
				 json_pack("{s:s, s:s, s:s}", "identity_uuid", from,
					   "observation_uuid", observations[i], "by", tx->by),
				 e);
		if (r == 0 && json_array_append_new(moved, json_string(observations[i])) != 0)
			r = no_memory(e);
	}
	if (r < 0) {
		json_decref(moved);
		return r;
	}
	return note(tx, BUS_TOPIC_IDENTITY_FORMED,
		    json_pack("{s:s, s:o, s:s}", "identity_uuid", to, "observation_uuids", moved,
			      "by", tx->by),
		    e);
}

int
identity_tx_split(struct identity_tx *tx, const char *identity, const char *const *observations,
		  size_t n, char ret_uuid[ID_UUID_SIZE], size_t *ret_bad, struct err *e)
{
	struct identity *old = NULL, *fresh = NULL;
	char uuid[ID_UUID_SIZE];
	int r = check_members(tx, identity, observations, n, ret_bad, e);

	if (r == 0)
		r = new_identity(tx, &fresh, e);
	if (r < 0)
		return r;
	memcpy(uuid, fresh->uuid, sizeof(uuid));
	r = move(tx, identity, uuid, observations, n, e);
	if (r == 0)
		r = recount(tx, fresh, e);
	if (r == 0)
		r = take(tx, identity, &old, e);
	if (r == 0)
		r = recount(tx, old, e);
	if (r == 0)
		r = decide(tx, "split", identity, uuid, e);
	if (r == 0)
		memcpy(ret_uuid, uuid, sizeof(uuid));
	return r;
}

int
identity_tx_note(struct identity_tx *tx, const char *identity, const char *line, char **ret_notes,
		 struct err *e)
{
	struct identity *row = NULL;
	char *notes = NULL, *copy = NULL;
	size_t have;
	int r = take(tx, identity, &row, e);

	if (r < 0)
		return r;
	have = row->notes ? strlen(row->notes) : 0;
	if (have + strlen(line) + 1 > LIMIT_IDENTITY_NOTES_BYTES)
		return 0;
	notes = malloc(have + strlen(line) + 2);
	copy = notes ? malloc(have + strlen(line) + 2) : NULL;
	if (!copy) {
		free(notes);
		return no_memory(e);
	}
	if (have) {
		memcpy(notes, row->notes, have);
		notes[have++] = '\n';
	}
	memcpy(notes + have, line, strlen(line) + 1);
	memcpy(copy, notes, strlen(notes) + 1);
	free(row->notes);
	row->notes = notes;
	*ret_notes = copy;
	return 1;
}

static int
append(struct identity_tx *tx, enum bus_topic t, const json_t *payload, struct err *e)
{
	char topic[BUS_SUBJECT_MAX + 1];
	int r = bus_topic_build(t, NULL, topic);

	return r < 0 ? r : journal_append(tx->db, topic, NULL, tx->now_ms, payload, NULL, e);
}

/* The columns that differ, without those that other events carry. */
static json_t *
difference(const json_t *before, json_t *after)
{
	json_t *changed = json_object(), *value;
	const char *key;

	json_object_foreach(after, key, value)
	{
		if (strcmp(key, "merged_into_uuid") == 0 || strcmp(key, "updated_at") == 0 ||
		    json_equal(value, json_object_get(before, key)))
			continue;
		if (json_object_set(changed, key, value) != 0) {
			json_decref(changed);
			return NULL;
		}
	}
	return changed;
}

/* Write one row if it changed and note its `updated`, or set *ret_event to NULL. */
static int
settle(struct identity_tx *tx, struct held *h, json_t **ret_event, struct err *e)
{
	json_t *after = identity_json(&h->row), *changed = NULL;
	int r = 0;

	*ret_event = NULL;
	if (!after)
		return no_memory(e);
	if (h->before) {
		changed = difference(h->before, after);
		if (changed && json_object_size(changed) == 0) {
			/* Untouched, or merged away: then it is written already. */
			json_decref(changed);
			json_decref(after);
			return 0;
		}
		h->row.updated_at = tx->now_ms;
	} else {
		changed = json_incref(after);
	}
	json_decref(after);
	if (!changed)
		return no_memory(e);
	r = update(tx, &h->row, e);
	if (r < 0) {
		json_decref(changed);
		return r;
	}
	*ret_event = json_pack("{s:s, s:o}", "identity_uuid", h->row.uuid, "changed", changed);
	return *ret_event ? 0 : no_memory(e);
}

int
identity_tx_finish(struct identity_tx *tx, struct err *e)
{
	json_t *payload;
	size_t at;
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		json_array_foreach(tx->events[i], at, payload)
		{
			if (r == 0)
				r = append(tx, order[i], payload, e);
		}
	}
	for (size_t i = 0; r == 0 && i < tx->n; i++) {
		r = settle(tx, &tx->held[i], &payload, e);
		if (r == 0 && payload)
			r = append(tx, BUS_TOPIC_IDENTITY_UPDATED, payload, e);
		json_decref(payload);
	}
	return r;
}
