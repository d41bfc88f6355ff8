/* SPDX-License-Identifier: Apache-2.0 */
/* Changes to identities: rows in hand, what happened to them, and the journal rows that say so. */
#include "store/identity_tx.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bus/topic.h"
#include "store/identity_held.h"
#include "store/journal.h"
#include "util/json.h"

#define UNMERGED_NAMED_MAX 1000

/* Journal rows wait in one list a topic, in the order of the contract. */
static const enum bus_topic order[] = {
	BUS_TOPIC_IDENTITY_OBSERVATION_UNLINKED,
	BUS_TOPIC_IDENTITY_FORMED,
	BUS_TOPIC_IDENTITY_OBSERVATION_LINKED,
	BUS_TOPIC_IDENTITY_MERGED,
	BUS_TOPIC_IDENTITY_UNMERGED,
};
_Static_assert(ARRAY_LEN(order) == IDENTITY_HELD_TOPICS, "one list a topic");

static int
no_memory(struct err *e)
{
	(void)err_set(e, -ENOMEM, "out of memory");
	return -ENOMEM;
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
	identity_held_fini(tx);
	uuid_map_fini(&tx->held_at);
	free(tx->held);
	free(tx);
}

int
identity_held_note(struct identity_tx *tx, enum bus_topic t, json_t *own_payload, struct err *e)
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
	tx->held[tx->n] = (struct held){.row = *own_row, .before = own_before};
	if (uuid_map_put(&tx->held_at, own_row->uuid, (uint32_t)tx->n) < 0) {
		identity_fini(own_row);
		json_decref(own_before);
		return no_memory(e);
	}
	*ret = &tx->held[tx->n++].row;
	return 0;
}

int
identity_held_take(struct identity_tx *tx, const char *uuid, struct identity **ret, struct err *e)
{
	uint32_t at = uuid_map_get(&tx->held_at, uuid);
	struct identity row = {0};
	json_t *before;
	int r;

	if (at != UUID_MAP_NONE) {
		*ret = &tx->held[at].row;
		return 0;
	}
	r = identity_load(tx->db, uuid, &row, e);
	if (r == 0) {
		(void)err_set(e, -ENOENT, "identity %s is missing", uuid);
		r = -ENOENT;
	}
	if (r < 0)
		return r;
	before = identity_json(&row);
	if (!before) {
		identity_fini(&row);
		return no_memory(e);
	}
	return hold(tx, &row, before, ret, e);
}

int
identity_held_assign(struct identity_tx *tx, const char *identity, const char *observation,
		     struct err *e)
{
	struct db_stmt *st = db_query(tx->db, Q_ATTACKER_SET_IDENTITY);

	db_bind_borrowed(st, 1, identity);
	db_bind_borrowed(st, 2, observation);
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
insert(struct identity_tx *tx, const struct identity *row, const char *anchor, struct err *e)
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
	db_bind_text(st, 12, text_or_null(anchor));
	return db_exec(st, NULL, e);
}

int
identity_held_written(struct identity_tx *tx, const char *uuid, struct err *e)
{
	uint32_t at = uuid_map_get(&tx->held_at, uuid);
	struct held *h = at == UUID_MAP_NONE ? NULL : &tx->held[at];
	int r = h && h->unwritten ? insert(tx, &h->row, h->anchor, e) : 0;

	if (h && r == 0)
		h->unwritten = false;
	return r;
}

int
identity_held_anchor(struct identity_tx *tx, const char *identity, const char *anchor,
		     struct err *e)
{
	struct db_stmt *st = db_query(tx->db, Q_IDENTITY_ANCHOR);

	db_bind_text(st, 1, anchor);
	db_bind_text(st, 2, identity);
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
	db_bind_text(st, 8, row->notes);
	db_bind_text(st, 9, row->uuid);
	return db_exec(st, NULL, e);
}

/* A new row in hand that is not written yet. */
static int
hold_new(struct identity_tx *tx, const char *uuid, const char *anchor, struct identity **ret,
	 struct err *e)
{
	struct identity row = {
		.created_at = tx->now_ms,
		.updated_at = tx->now_ms,
		.confidence = 1.0,
		.rollup = identity_rollup_new(),
	};
	int r;

	if (uuid)
		memcpy(row.uuid, uuid, sizeof(row.uuid));
	else
		id_uuid7(row.uuid);
	if (!row.rollup)
		return no_memory(e);
	r = hold(tx, &row, NULL, ret, e);
	if (r < 0)
		return r;
	tx->held[tx->n - 1].unwritten = true;
	memcpy(tx->held[tx->n - 1].anchor, anchor, ID_UUID_SIZE);
	return 0;
}

int
identity_held_new(struct identity_tx *tx, const char *anchor, struct identity **ret, struct err *e)
{
	int r = hold_new(tx, NULL, anchor, ret, e);

	return r < 0 ? r : identity_held_written(tx, (*ret)->uuid, e);
}

int
identity_tx_form(struct identity_tx *tx, const char *uuid, const char *anchor, struct err *e)
{
	struct identity *row = NULL;
	int r = hold_new(tx, uuid, anchor, &row, e);

	return r < 0 ? r
		     : identity_held_note(tx, BUS_TOPIC_IDENTITY_FORMED,
					  json_pack("{s:s, s:[], s:s}", "identity_uuid", uuid,
						    "observation_uuids", "by", tx->by),
					  e);
}

/* The observation is of the row now, in its roll-ups too. */
static int
admit(struct identity_tx *tx, const char *identity, const char *observation, struct err *e)
{
	struct identity *row = NULL;
	int r = identity_held_take(tx, identity, &row, e);

	if (r == 0)
		r = identity_held_assign(tx, identity, observation, e);
	return r < 0 ? r : identity_held_add(tx, row, observation, e);
}

int
identity_tx_join_formed(struct identity_tx *tx, const char *identity, const char *observation,
			struct err *e)
{
	json_t *formed = tx->events[1], *last;
	int r = admit(tx, identity, observation, e);

	if (r < 0)
		return r;
	last = json_array_get(formed, json_array_size(formed) - 1);
	return json_array_append_new(json_object_get(last, "observation_uuids"),
				     json_string(observation)) == 0
		       ? 0
		       : no_memory(e);
}

int
identity_tx_link(struct identity_tx *tx, const char *identity, const char *observation,
		 struct err *e)
{
	int r = admit(tx, identity, observation, e);

	return r < 0 ? r
		     : identity_held_note(tx, BUS_TOPIC_IDENTITY_OBSERVATION_LINKED,
					  json_pack("{s:s, s:s, s:s}", "identity_uuid", identity,
						    "observation_uuid", observation, "by", tx->by),
					  e);
}

int
identity_tx_unlink(struct identity_tx *tx, const char *identity, const char *observation,
		   struct err *e)
{
	int r = identity_held_leave(tx, observation, e);

	return r < 0 ? r
		     : identity_held_note(tx, BUS_TOPIC_IDENTITY_OBSERVATION_UNLINKED,
					  json_pack("{s:s, s:s, s:s}", "identity_uuid", identity,
						    "observation_uuid", observation, "by", tx->by),
					  e);
}

/* Whoever points at `identity`, in any number of steps, ends where it does. */
static int
set_pointer(struct identity_tx *tx, const char *identity, const char *to, struct err *e)
{
	struct db_stmt *st = db_query(tx->db, Q_IDENTITY_POINT);
	int r = identity_held_written(tx, identity, e);

	if (r < 0)
		return r;
	db_bind_text(st, 1, to);
	db_bind_text(st, 2, to);
	db_bind_int(st, 3, (int64_t)tx->now_ms);
	db_bind_text(st, 4, identity);
	r = db_exec(st, NULL, e);
	if (r < 0)
		return r;
	st = db_query(tx->db, Q_IDENTITY_FOLLOW);
	db_bind_text(st, 1, identity);
	db_bind_text(st, 2, to ? to : identity);
	return db_exec(st, NULL, e);
}

/* Who came in the meantime has never seen the row, and nobody kept it true. */
static void
set_resurrected(struct identity_tx *tx, const char *identity)
{
	uint32_t at = uuid_map_get(&tx->held_at, identity);

	if (at == UUID_MAP_NONE)
		return;
	json_decref(tx->held[at].before);
	tx->held[at].before = NULL;
	tx->held[at].stale = true;
}

/* The row as it is when all that comes before a merge is done. */
static int
freshen(struct identity_tx *tx, const char *identity, struct err *e)
{
	uint32_t at = uuid_map_get(&tx->held_at, identity);

	if (at == UUID_MAP_NONE || !tx->held[at].stale)
		return 0;
	tx->held[at].stale = false;
	return identity_held_recount(tx, &tx->held[at].row, e);
}

int
identity_tx_merge(struct identity_tx *tx, const char *winner, const char *loser, struct err *e)
{
	struct identity *w = NULL, *l = NULL;
	int r = identity_held_take(tx, loser, &l, e);

	/* Twice: holding the second may have moved the first. */
	if (r == 0)
		r = identity_held_take(tx, winner, &w, e);
	if (r == 0)
		r = identity_held_take(tx, loser, &l, e);
	if (r == 0)
		r = freshen(tx, winner, e);
	if (r == 0)
		r = freshen(tx, loser, e);
	if (r != 0)
		return r;
	if (identity_held_absorb(w, l) < 0)
		return no_memory(e);
	memcpy(l->merged_into, w->uuid, sizeof(l->merged_into));
	l->updated_at = tx->now_ms;
	r = set_pointer(tx, loser, winner, e);
	if (r < 0)
		return r;
	return identity_held_note(tx, BUS_TOPIC_IDENTITY_MERGED,
				  json_pack("{s:s, s:s, s:s}", "winner_uuid", winner, "loser_uuid",
					    loser, "by", tx->by),
				  e);
}

int
identity_tx_unmerge(struct identity_tx *tx, const char *identity, const char *former, struct err *e)
{
	struct identity *row = NULL;
	int r = identity_held_take(tx, identity, &row, e);

	if (r < 0)
		return r;
	row->merged_into[0] = '\0';
	row->updated_at = tx->now_ms;
	set_resurrected(tx, identity);
	r = set_pointer(tx, identity, NULL, e);
	/* What it takes along is lost elsewhere. */
	if (r == 0)
		r = identity_held_recount(tx, row, e);
	if (r == 0)
		r = identity_held_leave_all(tx, row, e);
	if (r < 0)
		return r;
	return identity_held_note(tx, BUS_TOPIC_IDENTITY_UNMERGED,
				  json_pack("{s:s, s:s, s:n, s:s}", "resurrected_uuid", identity,
					    "former_winner_uuid", former, "observation_uuids", "by",
					    tx->by),
				  e);
}

int
identity_tx_settle(struct identity_tx *tx, const char *identity, int64_t observations,
		   double confidence, bool lost, struct err *e)
{
	struct identity *row = NULL;
	int r = identity_held_take(tx, identity, &row, e);

	if (r == 0)
		r = freshen(tx, identity, e);
	if (r == 0 && lost)
		r = identity_held_shrink(tx, row, observations, e);
	if (r < 0)
		return r;
	row->observation_count = observations;
	row->confidence = round(confidence * 1e4) / 1e4;
	return 0;
}

int
identity_tx_touch(struct identity_tx *tx, const char *identity, uint64_t first_ms, uint64_t last_ms,
		  struct err *e)
{
	struct identity *row = NULL;
	int r = identity_held_take(tx, identity, &row, e);

	if (r == 0)
		identity_held_widen(row, first_ms, last_ms);
	return r;
}

int
identity_tx_signals(struct identity_tx *tx, const char *identity, const char *observation,
		    struct err *e)
{
	struct identity *row = NULL;
	int r = identity_held_take(tx, identity, &row, e);

	return r < 0 ? r : identity_held_add_signals(tx, row, observation, e);
}

int
identity_tx_evidence_drop(struct identity_tx *tx, const char *a, const char *b, struct err *e)
{
	struct db_stmt *st = db_query(tx->db, Q_EVIDENCE_DROP);
	bool ordered = strcmp(a, b) <= 0;

	db_bind_borrowed(st, 1, ordered ? a : b);
	db_bind_borrowed(st, 2, ordered ? b : a);
	return db_exec(st, NULL, e);
}

int
identity_tx_evidence(struct identity_tx *tx, const char *a, const char *b, const char *signal,
		     const char *value, double weight, struct err *e)
{
	struct db_stmt *st = db_query(tx->db, Q_EVIDENCE_PUT);
	bool ordered = strcmp(a, b) <= 0;

	db_bind_borrowed(st, 1, ordered ? a : b);
	db_bind_borrowed(st, 2, ordered ? b : a);
	db_bind_borrowed(st, 3, signal);
	db_bind_borrowed(st, 4, value);
	if (isnan(weight))
		db_bind_null(st, 5);
	else
		db_bind_real(st, 5, weight);
	db_bind_int(st, 6, (int64_t)tx->now_ms);
	return db_exec(st, NULL, e);
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
	r = h->unwritten ? identity_held_written(tx, h->row.uuid, e) : update(tx, &h->row, e);
	if (r < 0) {
		json_decref(changed);
		return r;
	}
	*ret_event = json_pack("{s:s, s:o}", "identity_uuid", h->row.uuid, "changed", changed);
	return *ret_event ? 0 : no_memory(e);
}

/* Whether it is merged, or merged into, in this transaction: then it must stand alone first. */
static bool
merges_again(const struct identity_tx *tx, const json_t *unmerged)
{
	const char *uuid = json_get_text(unmerged, "resurrected_uuid");
	json_t *payload;
	size_t at;

	json_array_foreach(tx->events[3], at, payload)
	{
		if (strcmp(json_get_text(payload, "winner_uuid"), uuid) == 0 ||
		    strcmp(json_get_text(payload, "loser_uuid"), uuid) == 0)
			return true;
	}
	return false;
}

/* Whose observations came back; too many are not named. */
static int
name_members(struct identity_tx *tx, json_t *unmerged, struct err *e)
{
	struct db_stmt *st = db_query(tx->db, Q_IDENTITY_MEMBERS_FIRST);
	json_t *list = json_array();
	int r = list ? 1 : no_memory(e);

	db_bind_text(st, 1, json_get_text(unmerged, "resurrected_uuid"));
	db_bind_int(st, 2, UNMERGED_NAMED_MAX + 1);
	while (r > 0 && (r = db_step(st, e)) > 0)
		if (json_array_append_new(list, json_string(db_col_text(st, 0))) != 0)
			r = no_memory(e);
	db_reset(st);
	if (r == 0 && json_array_size(list) <= UNMERGED_NAMED_MAX &&
	    json_object_set(unmerged, "observation_uuids", list) != 0)
		r = no_memory(e);
	json_decref(list);
	return r;
}

static int
append_unmerged(struct identity_tx *tx, bool before_merges, struct err *e)
{
	json_t *payload;
	size_t at;
	int r = 0;

	json_array_foreach(tx->events[4], at, payload)
	{
		if (r < 0 || merges_again(tx, payload) != before_merges)
			continue;
		r = name_members(tx, payload, e);
		if (r == 0)
			r = append(tx, BUS_TOPIC_IDENTITY_UNMERGED, payload, e);
	}
	return r;
}

int
identity_tx_finish(struct identity_tx *tx, struct err *e)
{
	json_t *payload;
	size_t at;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(order) - 1; i++) {
		if (order[i] == BUS_TOPIC_IDENTITY_MERGED)
			r = append_unmerged(tx, true, e);
		json_array_foreach(tx->events[i], at, payload)
		{
			if (r == 0)
				r = append(tx, order[i], payload, e);
		}
	}
	if (r == 0)
		r = append_unmerged(tx, false, e);
	for (size_t i = 0; r == 0 && i < tx->n; i++) {
		r = settle(tx, &tx->held[i], &payload, e);
		if (r == 0 && payload)
			r = append(tx, BUS_TOPIC_IDENTITY_UPDATED, payload, e);
		json_decref(payload);
	}
	return r;
}
