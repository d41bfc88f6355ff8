/* SPDX-License-Identifier: Apache-2.0 */
/* Identity rows and what a viewer sees of them. */
#include "store/identity.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/attacker_view.h"
#include "store/rows.h"
#include "util/json.h"

static const char *const rollups[] = {
#define ROLLUP(column) #column,
#include "identity/rollup.def"
#undef ROLLUP
};

static int
no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

void
identity_fini(struct identity *i)
{
	json_decref(i->rollup);
	free(i->notes);
	*i = (struct identity){0};
}

json_t *
identity_rollup_new(void)
{
	json_t *rollup = json_object();

	for (size_t i = 0; rollup && i < ARRAY_LEN(rollups); i++) {
		if (json_object_set_new(rollup, rollups[i], json_array()) != 0) {
			json_decref(rollup);
			return NULL;
		}
	}
	return rollup;
}

static int
put_rollups(json_t *row, const json_t *rollup)
{
	int failed = 0;

	for (size_t i = 0; i < ARRAY_LEN(rollups); i++) {
		json_t *list = json_object_get(rollup, rollups[i]);

		/* A copy: the answer must not change when the row does. */
		failed |= json_object_set_new(row, rollups[i],
					      list ? json_deep_copy(list) : json_array());
	}
	return failed;
}

json_t *
identity_json(const struct identity *i)
{
	json_t *row = json_pack("{s:s, s:i, s:n, s:o, s:o, s:o, s:o, s:f, s:I}", "uuid", i->uuid,
				"schema_version", 1, "campaign_id", "first_seen_at",
				json_time(i->first_seen_at), "last_seen_at",
				json_time(i->last_seen_at), "created_at", json_time(i->created_at),
				"updated_at", json_time(i->updated_at), "confidence", i->confidence,
				"observation_count", (json_int_t)i->observation_count);
	int failed = !row;

	if (!failed)
		failed |= put_rollups(row, i->rollup);
	if (!failed) {
		failed |= json_object_set_new(
			row, "kd_digraph_simhash",
			json_text_or_null(i->kd_digraph_simhash[0] ? i->kd_digraph_simhash : NULL));
		failed |= json_object_set_new(
			row, "merged_into_uuid",
			json_text_or_null(i->merged_into[0] ? i->merged_into : NULL));
		failed |= json_object_set_new(row, "notes", json_text_or_null(i->notes));
	}
	if (failed) {
		json_decref(row);
		return NULL;
	}
	return row;
}

static int
read_row(struct db_stmt *st, struct identity *ret)
{
	struct identity i = {
		.first_seen_at = (uint64_t)db_col_int(st, 1),
		.last_seen_at = (uint64_t)db_col_int(st, 2),
		.created_at = (uint64_t)db_col_int(st, 3),
		.updated_at = (uint64_t)db_col_int(st, 4),
		.confidence = db_col_real(st, 5),
		.observation_count = db_col_int(st, 6),
		.rollup = json_stored(db_col_text(st, 7), "{}"),
		.notes = db_col_null(st, 10) ? NULL : sv_dup(db_col_sv(st, 10)),
	};

	if (!i.rollup || sv_copy(db_col_sv(st, 0), i.uuid, sizeof(i.uuid)) < 0 ||
	    sv_copy(db_col_sv(st, 8), i.kd_digraph_simhash, sizeof(i.kd_digraph_simhash)) < 0 ||
	    sv_copy(db_col_sv(st, 9), i.merged_into, sizeof(i.merged_into)) < 0) {
		identity_fini(&i);
		return -ENOMEM;
	}
	*ret = i;
	return 0;
}

int
identity_load(struct db *db, const char *uuid, struct identity *ret, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_IDENTITY_GET);
	int r;

	db_bind_text(st, 1, uuid);
	r = db_step(st, e);
	if (r > 0 && read_row(st, ret) < 0)
		r = no_memory(e);
	db_reset(st);
	return r;
}

int
identity_final(struct db *db, const char *uuid, char dst[ID_UUID_SIZE], struct err *e)
{
	struct db_stmt *st = db_query(db, Q_IDENTITY_POINTER);
	char at[ID_UUID_SIZE];
	int r = 1;

	if (sv_copy(sv_from(uuid), at, sizeof(at)) < 0)
		return err_set(e, -EINVAL, "not an identity");
	for (unsigned steps = 0; r > 0 && steps < IDENTITY_CHAIN_MAX; steps++) {
		db_bind_text(st, 1, at);
		r = db_step(st, e);
		if (r > 0 && db_col_null(st, 0))
			r = 0;
		if (r > 0)
			r = sv_copy(db_col_sv(st, 0), at, sizeof(at)) < 0 ? -EIO : 1;
		db_reset(st);
	}
	if (r < 0)
		return r;
	memcpy(dst, at, sizeof(at));
	return 0;
}

int
identity_resolve(struct db *db, const char *uuid, char dst[ID_UUID_SIZE], struct err *e)
{
	struct db_stmt *st = db_query(db, Q_IDENTITY_POINTER);
	int r;

	db_bind_text(st, 1, uuid);
	r = db_step(st, e);
	db_reset(st);
	if (r <= 0)
		return r;
	r = identity_final(db, uuid, dst, e);
	return r < 0 ? r : 1;
}

static json_t *
list_row(struct db *db, struct db_stmt *st, struct err *e)
{
	struct identity i = {0};
	json_t *row = NULL;

	(void)db;
	(void)e;
	if (read_row(st, &i) == 0)
		row = identity_json(&i);
	identity_fini(&i);
	return row;
}

static json_t *
uuid_row(struct db *db, struct db_stmt *st, struct err *e)
{
	(void)db;
	(void)e;
	return json_text_or_null(db_col_text(st, 0));
}

static json_t *
evidence_row(struct db *db, struct db_stmt *st, struct err *e)
{
	(void)db;
	(void)e;
	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o}", "a", db_col_text(st, 0), "b",
			 db_col_text(st, 1), "signal", db_col_text(st, 2), "value",
			 json_text_or_null(db_col_text(st, 3)), "weight",
			 db_col_null(st, 4) ? json_null() : json_real(db_col_real(st, 4)), "at",
			 json_time((uint64_t)db_col_int(st, 5)));
}

int
identity_list(struct db *db, int64_t limit, int64_t offset, json_t **ret_data, int64_t *ret_total,
	      struct err *e)
{
	struct db_stmt *st = db_query(db, Q_IDENTITY_LIST);
	int r = db_one_int(db_query(db, Q_IDENTITY_COUNT), ret_total, e);

	if (r < 0)
		return r;
	db_bind_int(st, 1, limit);
	db_bind_int(st, 2, offset);
	return rows_collect(db, st, list_row, ret_data, e);
}

static int
live_count(struct db *db, const char *uuid, int64_t *ret, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_IDENTITY_SPAN);
	int r;

	db_bind_text(st, 1, uuid);
	r = db_one_int(st, ret, e);
	return r < 0 ? r : 0;
}

/* Who has been merged into it, and how many observations they all have. Most identities never were,
 * and walking the family takes as long as all else that a request does. */
static int
load_family(struct db *db, const char *winner, json_t **ret_from, int64_t *ret_live, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_IDENTITY_HAS_MERGED);
	int r;

	db_bind_text(st, 1, winner);
	r = db_step(st, e);
	db_reset(st);
	if (r < 0)
		return r;
	if (r == 0) {
		st = db_query(db, Q_IDENTITY_OWN_COUNT);
		db_bind_text(st, 1, winner);
		r = db_one_int(st, ret_live, e);
		if (r < 0)
			return r;
		*ret_from = json_array();
		return *ret_from ? 0 : no_memory(e);
	}
	r = live_count(db, winner, ret_live, e);
	if (r < 0)
		return r;
	st = db_query(db, Q_IDENTITY_MERGED_FROM);
	db_bind_text(st, 1, winner);
	return rows_collect(db, st, uuid_row, ret_from, e);
}

/* The identity, or its final winner. 1, 0: none, or a negative errno. */
static int
load_winner(struct db *db, const char *uuid, struct identity *ret, struct err *e)
{
	char winner[ID_UUID_SIZE];
	struct identity i;
	int r = identity_load(db, uuid, &i, e);

	if (r > 0 && i.merged_into[0]) {
		identity_fini(&i);
		r = identity_final(db, uuid, winner, e);
		return r < 0 ? r : identity_load(db, winner, ret, e);
	}
	if (r > 0)
		*ret = i;
	return r;
}

int
identity_detail(struct db *db, const char *uuid, json_t **ret_row, struct err *e)
{
	json_t *row = NULL, *from = NULL;
	struct identity i = {0};
	int64_t live = 0;
	int r = load_winner(db, uuid, &i, e);

	if (r <= 0)
		return r;
	r = load_family(db, i.uuid, &from, &live, e);
	if (r == 0) {
		row = identity_json(&i);
		if (!row ||
		    json_object_set_new(row, "observation_count_live", json_integer(live)) != 0 ||
		    json_object_set(row, "merged_from", from) != 0)
			r = no_memory(e);
	}
	json_decref(from);
	identity_fini(&i);
	if (r < 0) {
		json_decref(row);
		return r;
	}
	*ret_row = row;
	return 1;
}

int
identity_observations(struct db *db, const char *uuid, int64_t limit, int64_t offset,
		      json_t **ret_data, int64_t *ret_total, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_IDENTITY_OBSERVATIONS);
	int r = live_count(db, uuid, ret_total, e);

	if (r < 0)
		return r;
	db_bind_text(st, 1, uuid);
	db_bind_int(st, 2, limit);
	db_bind_int(st, 3, offset);
	return rows_collect(db, st, attacker_row_json, ret_data, e);
}

int
identity_evidence(struct db *db, const char *uuid, int64_t limit, int64_t offset, json_t **ret_data,
		  int64_t *ret_total, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_EVIDENCE_COUNT);
	int r;

	db_bind_text(st, 1, uuid);
	r = db_one_int(st, ret_total, e);
	if (r < 0)
		return r;
	st = db_query(db, Q_EVIDENCE_LIST);
	db_bind_text(st, 1, uuid);
	db_bind_int(st, 2, limit);
	db_bind_int(st, 3, offset);
	return rows_collect(db, st, evidence_row, ret_data, e);
}
