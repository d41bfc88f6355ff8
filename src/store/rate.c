/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the windows of rate limits. */
#include "store/rate.h"

#include <errno.h>

/* The window that the statement answers with: 1 and *ret, 0 without one, or a store failure. */
static int
read_window(struct db_stmt *st, struct rate_window *ret, struct err *e)
{
	int r = db_step(st, e);

	if (r == 1)
		*ret = (struct rate_window){db_col_int(st, 0), (uint64_t)db_col_int(st, 1)};
	db_reset(st);
	return r;
}

int
rate_get(struct db *db, const char *rule, const char *key, uint64_t now_ms, uint64_t window_ms,
	 struct rate_window *ret, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_RATE_GET);
	struct rate_window w;
	int r;

	db_bind_text(st, 1, rule);
	db_bind_text(st, 2, key);
	r = read_window(st, &w, e);
	if (r <= 0 || w.closes_ms <= now_ms || w.closes_ms > now_ms + window_ms)
		return r < 0 ? r : 0;
	*ret = w;
	return 1;
}

int
rate_hit(struct db *db, const char *rule, const char *key, uint64_t now_ms, uint64_t window_ms,
	 struct rate_window *ret, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_RATE_HIT);
	int r;

	db_bind_text(st, 1, rule);
	db_bind_text(st, 2, key);
	db_bind_int(st, 3, (int64_t)(now_ms + window_ms));
	db_bind_int(st, 4, (int64_t)now_ms);
	db_bind_int(st, 5, (int64_t)(now_ms + window_ms));
	r = read_window(st, ret, e);
	if (r == 0)
		r = err_set(e, -EIO, "no window");
	return r < 0 ? r : 0;
}

int
rate_trim(struct db *db, uint64_t now_ms, unsigned max, int64_t *ret_forgotten, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_RATE_SWEEP);
	int r;

	db_bind_int(st, 1, (int64_t)now_ms);
	r = db_exec(st, NULL, e);
	if (r < 0)
		return r;
	st = db_query(db, Q_RATE_TRIM);
	db_bind_int(st, 1, max);
	return db_exec(st, ret_forgotten, e);
}
