/* SPDX-License-Identifier: Apache-2.0 */
/* The log of the engine's reasons. */
#include "store/er_decision.h"

#include "store/rows.h"
#include "util/json.h"
#include "util/limits.h"

static const char *const kinds[] = {
	[ER_FORMED] = "formed", [ER_LINKED] = "linked",	    [ER_MOVED] = "moved",
	[ER_MERGED] = "merged", [ER_UNMERGED] = "unmerged",
};

int
er_decision_last(struct db *db, int64_t *ret, struct err *e)
{
	int r = db_one_int(db_query(db, Q_ER_DECISION_LAST), ret, e);

	return r < 0 ? r : 0;
}

int
er_decision_add(struct db *db, int64_t seq, uint64_t now_ms, const struct er_decision *d,
		struct err *e)
{
	struct db_stmt *st = db_query(db, Q_ER_DECISION_ADD);

	db_bind_int(st, 1, seq);
	db_bind_int(st, 2, (int64_t)now_ms);
	db_bind_borrowed(st, 3, kinds[d->kind]);
	db_bind_borrowed(st, 4, d->identity);
	db_bind_borrowed(st, 5, d->other);
	db_bind_borrowed(st, 6, d->observation);
	db_bind_borrowed(st, 7, d->via);
	if (d->scored)
		db_bind_int(st, 8, d->half_bits);
	else
		db_bind_null(st, 8);
	db_bind_borrowed(st, 9, d->evidence);
	return db_exec(st, NULL, e);
}

int
er_decision_trim(struct db *db, int64_t last, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_ER_DECISION_TRIM);

	if (last <= LIMIT_ER_DECISIONS)
		return 0;
	db_bind_int(st, 1, last - LIMIT_ER_DECISIONS);
	return db_exec(st, NULL, e);
}

static json_t *
row_json(struct db *db, struct db_stmt *st, struct err *e)
{
	(void)db;
	(void)e;
	return json_pack(
		"{s:I, s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "seq",
		(json_int_t)db_col_int(st, 0), "at", json_time((uint64_t)db_col_int(st, 1)), "kind",
		db_col_text(st, 2), "identity_uuid", db_col_text(st, 3), "other_uuid",
		json_text_or_null(db_col_text(st, 4)), "observation_uuid",
		json_text_or_null(db_col_text(st, 5)), "via_uuid",
		json_text_or_null(db_col_text(st, 6)), "score",
		db_col_null(st, 7) ? json_null() : json_real((double)db_col_int(st, 7) / 2),
		"evidence", json_text_or_null(db_col_text(st, 8)));
}

int
er_decision_list(struct db *db, const char *identity, int64_t limit, int64_t offset,
		 json_t **ret_data, int64_t *ret_total, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_ER_DECISION_COUNT);
	int r;

	db_bind_text(st, 1, identity);
	r = db_one_int(st, ret_total, e);
	if (r < 0)
		return r;
	st = db_query(db, Q_ER_DECISION_LIST);
	db_bind_text(st, 1, identity);
	db_bind_int(st, 2, limit);
	db_bind_int(st, 3, offset);
	return rows_collect(db, st, row_json, ret_data, e);
}
