/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the heartbeats. */
#include "store/worker.h"

#include <errno.h>
#include <string.h>

int
worker_beat(struct db *db, const char *name, int64_t pid, uint64_t started_at, uint64_t now_ms,
	    const char *extra, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_WORKER_BEAT);

	db_bind_text(st, 1, name);
	db_bind_int(st, 2, pid);
	db_bind_int(st, 3, (int64_t)started_at);
	db_bind_int(st, 4, (int64_t)now_ms);
	db_bind_text(st, 5, extra ? extra : "{}");
	return db_exec(st, NULL, e);
}

int
worker_remove(struct db *db, const char *name, int64_t pid, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_WORKER_REMOVE);

	db_bind_text(st, 1, name);
	db_bind_int(st, 2, pid);
	return db_exec(st, NULL, e);
}

int
worker_list(struct db *db, struct worker *ret, unsigned max, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_WORKER_LIST);
	unsigned n = 0;
	int r;

	db_bind_int(st, 1, max);
	while ((r = db_step(st, e)) == 1 && n < max) {
		struct worker *w = &ret[n];

		/* A row too long for the struct is not one of ours. */
		memset(w, 0, sizeof(*w));
		if (sv_copy(db_col_sv(st, 0), w->name, sizeof(w->name)) < 0 ||
		    sv_copy(db_col_sv(st, 4), w->extra, sizeof(w->extra)) < 0)
			continue;
		w->pid = db_col_int(st, 1);
		w->started_at = (uint64_t)db_col_int(st, 2);
		w->heartbeat_at = (uint64_t)db_col_int(st, 3);
		n++;
	}
	db_reset(st);
	return r < 0 ? r : (int)n;
}

int
worker_driver(struct db *db, const char *host, char ret_driver[16], struct err *e)
{
	struct db_stmt *st = db_query(db, Q_WORKER_DRIVER);
	int r;

	db_bind_text(st, 1, host);
	r = db_step(st, e);
	if (r == 1 && sv_copy(db_col_sv(st, 0), ret_driver, 16) < 0)
		r = 0;
	db_reset(st);
	return r;
}
