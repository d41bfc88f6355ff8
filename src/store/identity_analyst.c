/* SPDX-License-Identifier: Apache-2.0 */
/* What analysts decide about identities: merge, split, notes; and whether they keep two apart. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "store/identity_held.h"
#include "util/limits.h"

static int
no_memory(struct err *e)
{
	(void)err_set(e, -ENOMEM, "out of memory");
	return -ENOMEM;
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

/* The loser gives way although it may be the older; whoever gave way to it does so no more. */
static int
yield(struct identity_tx *tx, const char *winner, const char *loser, struct err *e)
{
	struct db_stmt *st = db_query(tx->db, Q_IDENTITY_UNYIELD);
	int r;

	db_bind_text(st, 1, winner);
	db_bind_text(st, 2, loser);
	r = db_exec(st, NULL, e);
	if (r < 0)
		return r;
	st = db_query(tx->db, Q_IDENTITY_YIELD);
	db_bind_text(st, 1, winner);
	db_bind_text(st, 2, loser);
	return db_exec(st, NULL, e);
}

int
identity_tx_join(struct identity_tx *tx, const char *winner, const char *loser, struct err *e)
{
	int r = decide(tx, "merge", winner, loser, e);

	if (r == 0)
		r = yield(tx, winner, loser, e);
	return r < 0 ? r : identity_tx_merge(tx, winner, loser, e);
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
		r = identity_held_assign(tx, to, observations[i], e);
		if (r == 0)
			r = identity_held_note(tx, BUS_TOPIC_IDENTITY_OBSERVATION_UNLINKED,
					       json_pack("{s:s, s:s, s:s}", "identity_uuid", from,
							 "observation_uuid", observations[i], "by",
							 tx->by),
					       e);
		if (r == 0 && json_array_append_new(moved, json_string(observations[i])) != 0)
			r = no_memory(e);
	}
	if (r < 0) {
		json_decref(moved);
		return r;
	}
	return identity_held_note(tx, BUS_TOPIC_IDENTITY_FORMED,
				  json_pack("{s:s, s:o, s:s}", "identity_uuid", to,
					    "observation_uuids", moved, "by", tx->by),
				  e);
}

/* One text, if there is a row. 1, 0 or a store failure. */
static int
one_uuid(struct db_stmt *st, char dst[ID_UUID_SIZE], struct err *e)
{
	int r = db_step(st, e);

	if (r > 0 && sv_copy(db_col_sv(st, 0), dst, ID_UUID_SIZE) < 0)
		r = err_set(e, -EIO, "bad uuid in the store");
	db_reset(st);
	return r;
}

/* A merged identity that stands on nothing any more: what it had is the winner's, and who was
 * merged into it points at the winner, which is where it led anyway. */
static int
dissolve(struct identity_tx *tx, const char *winner, const char *identity, struct err *e)
{
	static const enum db_query steps[] = {Q_IDENTITY_HAND_OVER, Q_IDENTITY_REPOINT,
					      Q_IDENTITY_REYIELD};
	int r = identity_held_anchor(tx, identity, NULL, e);

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(steps); i++) {
		struct db_stmt *st = db_query(tx->db, steps[i]);

		db_bind_text(st, 1, winner);
		db_bind_text(st, 2, identity);
		r = db_exec(st, NULL, e);
	}
	return r;
}

/* The winner must stand on something, even on what one of the merged ones stands on. */
static int
take_heir(struct identity_tx *tx, const char *winner, const char *identity, struct err *e)
{
	struct db_stmt *st = db_query(tx->db, Q_IDENTITY_HEIR);
	char heir[ID_UUID_SIZE] = "", other[ID_UUID_SIZE];
	bool taken = false;
	int r;

	db_bind_text(st, 1, winner);
	db_bind_text(st, 2, identity);
	r = db_step(st, e);
	if (r > 0) {
		taken = db_col_int(st, 1) > 0;
		r = sv_copy(db_col_sv(st, 0), heir, sizeof(heir));
	}
	db_reset(st);
	if (r < 0)
		return r;
	if (!heir[0] || (taken && strcmp(winner, identity) != 0))
		return dissolve(tx, winner, identity, e);
	if (taken) {
		st = db_query(tx->db, Q_IDENTITY_ANCHORED);
		db_bind_text(st, 1, heir);
		r = one_uuid(st, other, e);
		if (r > 0)
			r = dissolve(tx, winner, other, e);
		if (r < 0)
			return r;
	}
	return identity_held_anchor(tx, identity, heir, e);
}

/* What stood on an observation that left stands on another one, or on none. */
static int
find_heirs(struct identity_tx *tx, const char *winner, struct err *e)
{
	char adrift[ID_UUID_SIZE];
	struct db_stmt *st;
	int r;

	do {
		st = db_query(tx->db, Q_IDENTITY_ADRIFT);
		db_bind_text(st, 1, winner);
		r = one_uuid(st, adrift, e);
		if (r > 0 && (r = take_heir(tx, winner, adrift, e)) == 0)
			r = 1;
	} while (r > 0);
	return r;
}

int
identity_tx_split(struct identity_tx *tx, const char *identity, const char *const *observations,
		  size_t n, char ret_uuid[ID_UUID_SIZE], size_t *ret_bad, struct err *e)
{
	struct identity *old = NULL, *fresh = NULL;
	char uuid[ID_UUID_SIZE];
	int r = check_members(tx, identity, observations, n, ret_bad, e);

	if (r == 0)
		r = identity_held_new(tx, observations[0], &fresh, e);
	if (r != 0)
		return r;
	memcpy(uuid, fresh->uuid, sizeof(uuid));
	r = move(tx, identity, uuid, observations, n, e);
	if (r == 0)
		r = find_heirs(tx, identity, e);
	if (r == 0)
		r = identity_held_recount(tx, fresh, e);
	if (r == 0)
		r = identity_held_take(tx, identity, &old, e);
	if (r == 0)
		r = identity_held_recount(tx, old, e);
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
	int r = identity_held_take(tx, identity, &row, e);

	if (r != 0)
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
