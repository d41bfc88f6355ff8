/* SPDX-License-Identifier: Apache-2.0 */
/* Log rows and what is counted of them. */
#include "store/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/rows.h"
#include "util/json.h"
#include "util/limits.h"

#define MINUTE_MS 60000

json_t *
log_json(const struct log_row *row)
{
	return json_pack("{s:I, s:o, s:o, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:n, s:n}", "id",
			 (json_int_t)row->id, "timestamp", json_time(row->ts_ms), "topology_id",
			 json_text_or_null(row->topology_id), "decky", row->decky, "service",
			 row->service, "event_type", row->event_type, "attacker_ip",
			 row->attacker_ip, "attacker_uuid", row->attacker_uuid, "raw_line",
			 row->raw_line, "fields", row->fields, "msg", json_text_or_null(row->msg),
			 "trace_id", "span_id");
}

static int
counter_add(struct db *db, const char *name, int64_t by, int64_t *ret, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_COUNTER_ADD);
	int64_t value = 0;
	int r;

	db_bind_int(st, 1, by);
	db_bind_text(st, 2, name);
	r = db_one_int(st, &value, e);
	if (r == 0)
		return err_set(e, -EIO, "counter %s is missing", name);
	if (r > 0 && ret)
		*ret = value;
	return r < 0 ? r : 0;
}

static int
minute_add(struct db *db, int64_t minute, int64_t by, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_LOG_MINUTE_ADD);

	db_bind_int(st, 1, minute);
	db_bind_int(st, 2, by);
	return db_exec(st, NULL, e);
}

static int
insert(struct db *db, const struct log_row *row, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_LOG_INSERT);

	db_bind_int(st, 1, row->id);
	db_bind_int(st, 2, (int64_t)row->ts_ms);
	db_bind_text(st, 3, row->topology_id);
	db_bind_text(st, 4, row->decky);
	db_bind_text(st, 5, row->service);
	db_bind_text(st, 6, row->event_type);
	db_bind_text(st, 7, row->attacker_ip);
	db_bind_text(st, 8, row->attacker_uuid);
	db_bind_text(st, 9, row->raw_line);
	db_bind_text(st, 10, row->fields);
	db_bind_text(st, 11, row->msg);
	return db_exec(st, NULL, e);
}

int
log_append(struct db *db, struct log_row *rows, size_t n, struct err *e)
{
	int64_t last = 0, minute = -1, in_minute = 0;
	int r;

	if (n == 0)
		return 0;
	r = counter_add(db, "log", (int64_t)n, &last, e);
	if (r == 0)
		r = counter_add(db, "logs_total", (int64_t)n, NULL, e);
	for (size_t i = 0; r == 0 && i < n; i++) {
		int64_t of = (int64_t)(rows[i].ts_ms / MINUTE_MS);

		rows[i].id = last - (int64_t)n + 1 + (int64_t)i;
		r = insert(db, &rows[i], e);
		if (r == 0 && of != minute && in_minute > 0) {
			r = minute_add(db, minute, in_minute, e);
			in_minute = 0;
		}
		minute = of;
		in_minute++;
	}
	return r < 0 ? r : minute_add(db, minute, in_minute, e);
}

static struct log_row
row_of(struct db_stmt *st)
{
	return (struct log_row){
		.id = db_col_int(st, 0),
		.ts_ms = (uint64_t)db_col_int(st, 1),
		.topology_id = db_col_text(st, 2),
		.decky = db_col_text(st, 3),
		.service = db_col_text(st, 4),
		.event_type = db_col_text(st, 5),
		.attacker_ip = db_col_text(st, 6),
		.attacker_uuid = db_col_text(st, 7),
		.raw_line = db_col_text(st, 8),
		.fields = db_col_text(st, 9),
		.msg = db_col_text(st, 10),
	};
}

static json_t *
row_json(struct db *db, struct db_stmt *st, struct err *e)
{
	struct log_row row = row_of(st);

	(void)db;
	(void)e;
	return log_json(&row);
}

static int
bind_filter(struct db_stmt *st, const struct log_filter *f, uint64_t start_ms, uint64_t end_ms)
{
	const struct search *s = &f->search;
	int r;

	db_bind_int(st, 1, start_ms > INT64_MAX ? INT64_MAX : (int64_t)start_ms);
	db_bind_int(st, 2, end_ms > INT64_MAX ? INT64_MAX : (int64_t)end_ms);
	db_bind_text(st, 3, s->decky ? s->decky : "");
	db_bind_text(st, 4, s->service ? s->service : "");
	db_bind_text(st, 5, s->event ? s->event : "");
	db_bind_text(st, 6, s->attacker ? s->attacker : "");
	r = rows_bind_json(st, 7, s->words);
	if (r == 0)
		r = rows_bind_json(st, 8, s->pairs);
	if (r < 0)
		db_reset(st);
	return r;
}

static bool
unbounded(const struct log_filter *f)
{
	return f->start_ms == 0 && f->end_ms >= INT64_MAX;
}

static int
count(struct db *db, const struct log_filter *f, int64_t *ret_total, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_COUNTER_GET);
	int r;

	if (unbounded(f) && search_empty(&f->search)) {
		db_bind_text(st, 1, "logs_total");
	} else {
		st = db_query(db, Q_LOG_COUNT);
		r = bind_filter(st, f, f->start_ms, f->end_ms);
		if (r < 0)
			return err_set(e, r, "out of memory");
	}
	r = db_one_int(st, ret_total, e);
	return r < 0 ? r : 0;
}

int
log_list(struct db *db, const struct log_filter *f, int64_t limit, int64_t offset,
	 json_t **ret_data, int64_t *ret_total, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_LOG_LIST_ALL);
	int at = 1, r;

	if (f->search.nothing) {
		*ret_data = json_array();
		*ret_total = 0;
		return *ret_data ? 0 : err_set(e, -ENOMEM, "out of memory");
	}
	r = count(db, f, ret_total, e);
	if (r < 0)
		return r;
	if (!unbounded(f) || !search_empty(&f->search)) {
		st = db_query(db, Q_LOG_LIST);
		r = bind_filter(st, f, f->start_ms, f->end_ms);
		if (r < 0)
			return err_set(e, r, "out of memory");
		at = 9;
	}
	db_bind_int(st, at, limit);
	db_bind_int(st, at + 1, offset);
	return rows_collect(db, st, row_json, ret_data, e);
}

/* Buckets under construction: minutes arrive ascending, so a bucket is closed by the next one. */
struct histogram {
	json_t *data;
	int64_t interval;
	int64_t bucket, n;
};

static int
close_bucket(struct histogram *h)
{
	json_t *entry;

	if (h->n == 0)
		return 0;
	entry = json_pack("{s:o, s:I}", "time",
			  json_time((uint64_t)(h->bucket * h->interval * MINUTE_MS)), "count",
			  (json_int_t)h->n);
	h->n = 0;
	return json_array_append_new(h->data, entry) == 0 ? 0 : -ENOMEM;
}

/* Rows (minute, count) of a bound statement; resets it. */
static int
add_minutes(struct histogram *h, struct db_stmt *st, struct err *e)
{
	int r;

	while ((r = db_step(st, e)) > 0) {
		int64_t bucket = db_col_int(st, 0) / h->interval;

		if (bucket != h->bucket && close_bucket(h) < 0) {
			r = err_set(e, -ENOMEM, "out of memory");
			break;
		}
		h->bucket = bucket;
		h->n += db_col_int(st, 1);
	}
	db_reset(st);
	return r;
}

static int
add_scan(struct db *db, struct histogram *h, const struct log_filter *f, uint64_t start_ms,
	 uint64_t end_ms, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_LOG_MINUTES_OF);
	int r;

	if (start_ms > end_ms)
		return 0;
	r = bind_filter(st, f, start_ms, end_ms);
	return r < 0 ? err_set(e, r, "out of memory") : add_minutes(h, st, e);
}

/*
 * Without a search the counted minutes answer; only the two minutes that a bound cuts are scanned.
 */
static int
add_counted(struct db *db, struct histogram *h, const struct log_filter *f, struct err *e)
{
	uint64_t end_ms = f->end_ms < INT64_MAX ? f->end_ms : INT64_MAX - 1;
	uint64_t first = (f->start_ms + MINUTE_MS - 1) / MINUTE_MS, past = (end_ms + 1) / MINUTE_MS;
	struct db_stmt *st = db_query(db, Q_LOG_MINUTES_BETWEEN);
	int r;

	if (f->start_ms > end_ms)
		return 0;
	if (first >= past)
		return add_scan(db, h, f, f->start_ms, end_ms, e);
	r = f->start_ms < first * MINUTE_MS
		    ? add_scan(db, h, f, f->start_ms, first * MINUTE_MS - 1, e)
		    : 0;
	if (r < 0)
		return r;
	db_bind_int(st, 1, (int64_t)first);
	db_bind_int(st, 2, (int64_t)past);
	r = add_minutes(h, st, e);
	return r < 0 ? r : add_scan(db, h, f, past * MINUTE_MS, end_ms, e);
}

int
log_histogram(struct db *db, const struct log_filter *f, int64_t interval_minutes,
	      json_t **ret_data, struct err *e)
{
	struct histogram h = {.data = json_array(), .interval = interval_minutes, .bucket = -1};
	int r = 0;

	if (!h.data)
		return err_set(e, -ENOMEM, "out of memory");
	if (!f->search.nothing)
		r = search_empty(&f->search) ? add_counted(db, &h, f, e)
					     : add_scan(db, &h, f, f->start_ms, f->end_ms, e);
	if (r == 0 && close_bucket(&h) < 0)
		r = err_set(e, -ENOMEM, "out of memory");
	if (r < 0) {
		json_decref(h.data);
		return r;
	}
	*ret_data = h.data;
	return 0;
}

int
log_stats(struct db *db, json_t **ret_stats, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_LOG_STATS);
	int r = db_step(st, e);

	if (r > 0)
		*ret_stats = json_pack("{s:I, s:I, s:I, s:I}", "total_logs",
				       (json_int_t)db_col_int(st, 0), "unique_attackers",
				       (json_int_t)db_col_int(st, 1), "active_deckies",
				       (json_int_t)db_col_int(st, 2), "deployed_deckies",
				       (json_int_t)db_col_int(st, 3));
	db_reset(st);
	if (r > 0 && !*ret_stats)
		return err_set(e, -ENOMEM, "out of memory");
	return r < 0 ? r : 0;
}

int
log_after(struct db *db, int64_t after, unsigned limit, log_row_fn *fn, void *user, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_LOG_AFTER);
	int n = 0, r;

	db_bind_int(st, 1, after);
	db_bind_int(st, 2, limit);
	while ((r = db_step(st, e)) > 0) {
		struct log_row row = row_of(st);

		r = fn(user, &row);
		if (r < 0)
			break;
		n++;
		if (r > 0)
			break;
	}
	db_reset(st);
	return r < 0 ? r : n;
}

int
log_bounds(struct db *db, int64_t *ret_head, int64_t *ret_floor, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_COUNTER_GET);
	int r;

	db_bind_text(st, 1, "log");
	r = db_one_int(st, ret_head, e);
	if (r < 0)
		return r;
	db_bind_text(st, 1, "log_floor");
	r = db_one_int(st, ret_floor, e);
	return r < 0 ? r : 0;
}

int
log_of_attacker(struct db *db, const char *attacker_uuid, const char *event_type, unsigned limit,
		json_t **ret_data, int64_t *ret_total, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_LOG_COUNT_OF_ATTACKER);
	int r;

	db_bind_text(st, 1, attacker_uuid);
	db_bind_text(st, 2, event_type);
	r = db_one_int(st, ret_total, e);
	if (r < 0)
		return r;
	st = db_query(db, Q_LOG_OF_ATTACKER);
	db_bind_text(st, 1, attacker_uuid);
	db_bind_text(st, 2, event_type);
	db_bind_int(st, 3, limit);
	return rows_collect(db, st, row_json, ret_data, e);
}

/* Take the minutes of the rows that are about to go out of the counts. */
static int
trim_minutes(struct db *db, int64_t upto, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_LOG_TRIM_MINUTES);
	int r;

	db_bind_int(st, 1, upto);
	while ((r = db_step(st, e)) > 0) {
		r = minute_add(db, db_col_int(st, 0), -db_col_int(st, 1), e);
		if (r < 0)
			break;
	}
	db_reset(st);
	return r < 0 ? r : db_exec(db_query(db, Q_LOG_MINUTES_EMPTY), NULL, e);
}

static int
trim_oldest(struct db *db, int64_t n, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_LOG_TRIM_UPTO);
	int64_t upto = 0, gone = 0;
	int r;

	db_bind_int(st, 1, n);
	r = db_one_int(st, &upto, e);
	if (r >= 0)
		r = trim_minutes(db, upto, e);
	if (r < 0)
		return r;
	st = db_query(db, Q_LOG_TRIM);
	db_bind_int(st, 1, upto);
	r = db_exec(st, &gone, e);
	if (r < 0)
		return r;
	st = db_query(db, Q_LOG_TRIM_FLOOR);
	db_bind_int(st, 1, upto);
	r = db_exec(st, NULL, e);
	if (r == 0)
		r = counter_add(db, "logs_total", -gone, NULL, e);
	return r < 0 ? r : (int)gone;
}

int
log_trim(struct db *db, uint64_t keep, unsigned most, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_COUNTER_GET);
	int64_t total = 0;
	int r;

	if (keep == 0)
		return 0;
	db_bind_text(st, 1, "logs_total");
	r = db_one_int(st, &total, e);
	if (r < 0)
		return r;
	if (total <= (int64_t)keep)
		return 0;
	total -= (int64_t)keep;
	return trim_oldest(db, total < most ? total : most, e);
}

int
capture_source_get(struct db *db, const char *source, int64_t *ret_no, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_CAPTURE_SOURCE_GET);
	int r;

	*ret_no = 0;
	db_bind_text(st, 1, source);
	r = db_one_int(st, ret_no, e);
	return r < 0 ? r : 0;
}

int
capture_source_channel(struct db *db, const char *source, const char *channel, uint64_t now_ms,
		       struct err *e)
{
	struct db_stmt *st = db_query(db, Q_CAPTURE_SOURCE_CHANNEL);

	db_bind_text(st, 1, source);
	db_bind_int(st, 2, (int64_t)now_ms);
	db_bind_text(st, 3, channel);
	return db_exec(st, NULL, e);
}

int
capture_source_put(struct db *db, const char *source, int64_t no, uint64_t now_ms, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_CAPTURE_SOURCE_PUT);
	int r;

	db_bind_text(st, 1, source);
	db_bind_int(st, 2, no);
	db_bind_int(st, 3, (int64_t)now_ms);
	r = db_exec(st, NULL, e);
	if (r < 0 || no > 1)
		return r;
	st = db_query(db, Q_CAPTURE_SOURCES_TRIM);
	db_bind_int(st, 1, LIMIT_CAPTURE_SOURCES);
	return db_exec(st, NULL, e);
}
