/* SPDX-License-Identifier: Apache-2.0 */
/* Log rows for those who watch them: read once for all, matched with each stream's filter, sent in
 * batches; statistics and histogram at most once a second. */
#include "api/stream_logs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/streams.h"
#include "store/log.h"
#include "store/user.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/limits.h"
#include "util/log.h"

#define BATCH_ROWS     50
#define DATA_MAX       ((size_t)4 << 20)
#define NOW_EVERY_MS   1000
#define RETRY_MS       50
#define DAY_MS	       86400000u
#define HISTOGRAM_MINS 15
#define MINUTE_MS      60000

/* A row in hand: what a filter looks at, and its JSON. */
struct item {
	int64_t id;
	uint64_t ts_ms;
	char *decky, *service, *event_type, *attacker_ip, *raw_line, *fields, *json;
};

struct items {
	struct item *v;
	size_t n, cap, bytes, max_bytes;
	bool more; /* a ceiling was reached: there may be more rows */
};

struct stream_logs {
	struct streams *streams;
	/* Rows. */
	struct pool_job job;
	bool running, again, failing, waits;
	struct loop_timer timer;
	int64_t after, head, floor, epoch;
	struct items items;
	struct err err;
	int r;
	/* Statistics and histogram. */
	struct pool_job now_job;
	bool now_running, now_dirty;
	bool owed; /* somebody was not greeted with them yet */
	/* The values in `now` came with a new viewer; the others have older ones. */
	bool behind_stats, behind_histogram;
	struct loop_timer now_timer;
	uint64_t now_minute; /* of the last look */
	struct stream_logs_now now, fresh;
	struct err now_err;
	int now_r;
};

/* ---- rows ---- */

static void
items_fini(struct items *l)
{
	for (size_t i = 0; i < l->n; i++) {
		struct item *it = &l->v[i];

		free(it->decky);
		free(it->service);
		free(it->event_type);
		free(it->attacker_ip);
		free(it->raw_line);
		free(it->fields);
		free(it->json);
	}
	free(l->v);
	*l = (struct items){0};
}

static int
items_add(void *user, const struct log_row *row)
{
	struct items *l = user;
	struct item *it;
	json_t *json;

	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 32;
		struct item *v = realloc(l->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		l->v = v;
		l->cap = cap;
	}
	json = log_json(row);
	it = &l->v[l->n++];
	*it = (struct item){
		.id = row->id,
		.ts_ms = row->ts_ms,
		.decky = sv_dup(sv_from(row->decky)),
		.service = sv_dup(sv_from(row->service)),
		.event_type = sv_dup(sv_from(row->event_type)),
		.attacker_ip = sv_dup(sv_from(row->attacker_ip)),
		.raw_line = sv_dup(sv_from(row->raw_line)),
		.fields = sv_dup(sv_from(row->fields)),
		.json = json ? json_text(json) : NULL,
	};
	json_decref(json);
	if (!it->decky || !it->service || !it->event_type || !it->attacker_ip || !it->raw_line ||
	    !it->fields || !it->json)
		return -ENOMEM;
	l->bytes += strlen(it->json);
	l->more = l->n == LIMIT_STREAM_CHUNK_ROWS || l->bytes >= l->max_bytes;
	return l->more;
}

static bool
passes(const struct stream_spec *spec, const struct item *it)
{
	const struct search_row row = {
		.decky = it->decky,
		.service = it->service,
		.event_type = it->event_type,
		.attacker_ip = it->attacker_ip,
		.raw_line = it->raw_line,
		.fields = it->fields,
	};

	return it->ts_ms >= spec->filter.start_ms && it->ts_ms <= spec->filter.end_ms &&
	       search_match(&spec->filter.search, &row);
}

/* Close the batch in `b`, if there is one. */
static int
batch_end(struct buf *b, int64_t first, int64_t last, uint32_t rows, struct frame_list *frames)
{
	struct frame *f = NULL;
	int r;

	if (rows == 0)
		return 0;
	r = buf_put(b, SV("]}"));
	if (r == 0)
		r = frame_new(SV("message"), last, buf_sv(b), &f);
	if (r < 0 || !f)
		return r;
	f->first_id = first;
	f->rows = rows;
	buf_reset(b);
	return frame_list_push(frames, f);
}

/* Frames of the rows that pass, of items up to `upto`. */
static int
make_frames(const struct stream_spec *spec, const struct items *l, int64_t upto,
	    struct frame_list *frames)
{
	int64_t first = 0, last = 0;
	uint32_t rows = 0;
	struct buf b;
	int r = 0;

	buf_init(&b, DATA_MAX);
	for (size_t i = 0; i < l->n && l->v[i].id <= upto && r == 0; i++) {
		const struct item *it = &l->v[i];
		size_t more = strlen(it->json) + 8;

		if (!passes(spec, it))
			continue;
		if (rows == BATCH_ROWS || (rows > 0 && b.n + more > LIMIT_STREAM_CHUNK_BYTES)) {
			r = batch_end(&b, first, last, rows, frames);
			rows = 0;
		}
		if (r == 0)
			r = buf_put(&b, rows ? SV(",") : SV("{\"type\":\"logs\",\"data\":["));
		if (r == 0)
			r = buf_put(&b, sv_from(it->json));
		if (rows++ == 0)
			first = it->id;
		last = it->id;
	}
	if (r == 0)
		r = batch_end(&b, first, last, rows, frames);
	buf_fini(&b);
	return r;
}

int
stream_logs_read(struct db *db, const struct stream_spec *spec, int64_t after, int64_t upto,
		 struct frame_list *ret_frames, int64_t *ret_reached, struct err *e)
{
	struct items items = {.max_bytes = LIMIT_STREAM_CHUNK_BYTES};
	int64_t head, floor;
	int r = log_bounds(db, &head, &floor, e);

	if (r == 0 && floor > after)
		return -ESTALE;
	if (r == 0)
		r = log_after(db, after, LIMIT_STREAM_CHUNK_ROWS, items_add, &items, e);
	if (r >= 0) {
		bool all = !items.more || items.v[items.n - 1].id >= upto;

		*ret_reached = all ? upto : items.v[items.n - 1].id;
		r = make_frames(spec, &items, *ret_reached, ret_frames);
	}
	items_fini(&items);
	return r;
}

static void
run_rows(struct pool_job *job, void *thread_state)
{
	struct stream_logs *logs = job->user;
	struct db *db = thread_state;
	int r = db_begin_read(db, &logs->err);

	logs->items.max_bytes = LIMIT_STREAM_READ_BYTES;
	if (r == 0)
		r = user_access_epoch(db, &logs->epoch, &logs->err);
	if (r == 0)
		r = log_bounds(db, &logs->head, &logs->floor, &logs->err);
	if (r == 0 && logs->floor <= logs->after && logs->head > logs->after)
		r = log_after(db, logs->after, LIMIT_STREAM_CHUNK_ROWS, items_add, &logs->items,
			      &logs->err);
	db_rollback(db);
	logs->r = r < 0 ? r : 0;
}

static void
give_rows(struct stream_logs *logs, int64_t reached)
{
	struct hub *hub = logs->streams->hub;
	struct hub_stream *to = NULL;

	while ((to = hub_next(hub, HUB_KIND_LOGS, to)) != NULL) {
		struct frame_list frames = {0};

		if (make_frames(hub_stream_user(to), &logs->items, reached, &frames) < 0) {
			/* Without memory: let its viewers ask for these rows. */
			frame_list_fini(&frames);
			hub_reset(hub, HUB_LOGS, reached);
			return;
		}
		for (size_t i = 0; i < frames.n; i++)
			hub_push(to, frames.v[i]);
		frame_list_fini(&frames);
	}
	hub_advance(hub, HUB_LOGS, reached);
}

static void read_rows(struct stream_logs *logs);

static void
done_rows(struct pool_job *job)
{
	struct stream_logs *logs = job->user;
	struct hub *hub = logs->streams->hub;
	bool full = logs->items.more;

	logs->running = false;
	if (logs->r < 0 && !logs->failing)
		log_event(LV_WARN, "streams.logs", KV_S("why", err_text(&logs->err)));
	logs->failing = logs->r < 0;
	if (logs->r == 0 && !streams_may_pass(logs->streams, logs->epoch)) {
		/* These rows are read again when everybody was looked at. */
		logs->waits = true;
		items_fini(&logs->items);
		return;
	}
	if (logs->r == 0 && (logs->floor > logs->after || logs->head < logs->after))
		hub_reset(hub, HUB_LOGS, logs->head);
	else if (logs->r == 0 && logs->items.n > 0)
		give_rows(logs, full ? logs->items.v[logs->items.n - 1].id : logs->head);
	if (logs->items.n > 0)
		stream_logs_changed(logs);
	items_fini(&logs->items);
	hub_flush(hub);
	if (logs->r == 0 && (full || logs->again))
		read_rows(logs);
}

static void
on_rows_retry(struct loop_timer *t)
{
	read_rows(t->user);
}

static void
read_rows(struct stream_logs *logs)
{
	struct streams *s = logs->streams;

	if (logs->waits)
		return;
	if (logs->running) {
		logs->again = true;
		return;
	}
	logs->again = false;
	if (hub_idle(s->hub, HUB_LOGS))
		return;
	logs->after = hub_seq(s->hub, HUB_LOGS);
	logs->job = (struct pool_job){.run = run_rows, .done = done_rows, .user = logs};
	logs->running = api_worker_submit(s->worker, &logs->job) == 0;
	if (!logs->running &&
	    loop_timer_set(s->worker->loop, &logs->timer, RETRY_MS, on_rows_retry, logs) < 0)
		logs->again = true;
}

void
stream_logs_poke(struct stream_logs *logs)
{
	uint64_t minute = loop_unix_ms(logs->streams->worker->loop) / MINUTE_MS;

	if (hub_idle(logs->streams->hub, HUB_LOGS))
		return;
	read_rows(logs);
	/* The histogram's day moves on though nothing is logged. */
	if (minute != logs->now_minute)
		stream_logs_changed(logs);
	logs->now_minute = minute;
}

/* ---- statistics and histogram ---- */

void
stream_logs_now_fini(struct stream_logs_now *now)
{
	free(now->stats);
	free(now->histogram);
	*now = (struct stream_logs_now){0};
}

static char *
wrap(const char *type, json_t *own_data)
{
	json_t *object = json_pack("{s:s, s:o}", "type", type, "data", own_data);
	char *text = object ? json_text(object) : NULL;

	json_decref(object);
	return text;
}

int
stream_logs_now(struct db *db, struct stream_logs_now *ret, struct err *e)
{
	uint64_t now_ms = clock_unix_ms();
	struct log_filter filter = {.start_ms = now_ms - DAY_MS, .end_ms = UINT64_MAX};
	json_t *stats = NULL, *histogram = NULL;
	int64_t floor;
	int r = search_parse(SV(""), &filter.search);

	if (r == 0)
		r = user_access_epoch(db, &ret->epoch, e);
	if (r == 0)
		r = log_bounds(db, &ret->head, &floor, e);
	if (r == 0)
		r = log_stats(db, &stats, e);
	if (r == 0)
		r = log_histogram(db, &filter, HISTOGRAM_MINS, &histogram, e);
	search_fini(&filter.search);
	if (r == 0) {
		ret->stats = wrap("stats", TAKE(stats));
		ret->histogram = wrap("histogram", TAKE(histogram));
		if (!ret->stats || !ret->histogram)
			r = -ENOMEM;
	}
	json_decref(stats);
	json_decref(histogram);
	if (r < 0)
		stream_logs_now_fini(ret);
	return r;
}

static void on_now(struct loop_timer *t);

static void
now_later(struct stream_logs *logs)
{
	/* Without the timer the next change tries again. */
	if (!logs->now_timer.loop && loop_timer_set(logs->streams->worker->loop, &logs->now_timer,
						    NOW_EVERY_MS, on_now, logs) < 0)
		logs->now_dirty = true;
}

static bool
differs(const char *was, const char *is)
{
	return !was || strcmp(was, is) != 0;
}

static void
take(struct stream_logs *logs, struct stream_logs_now *now)
{
	if (now->stats && now->head >= logs->now.head) {
		stream_logs_now_fini(&logs->now);
		logs->now = *now;
		*now = (struct stream_logs_now){0};
	}
	stream_logs_now_fini(now);
}

void
stream_logs_take(struct stream_logs *logs, struct stream_logs_now *now)
{
	bool watched = !hub_idle(logs->streams->hub, HUB_LOGS);

	if (now->stats && now->head >= logs->now.head) {
		logs->behind_stats |= watched && differs(logs->now.stats, now->stats);
		logs->behind_histogram |= watched && differs(logs->now.histogram, now->histogram);
	}
	take(logs, now);
	if (!logs->behind_stats && !logs->behind_histogram)
		return;
	/* Not at once: whoever watches gets them once a second, however many come. */
	logs->now_dirty = true;
	if (!logs->now_running)
		now_later(logs);
}

void
stream_logs_greet(struct stream_logs *logs, struct frame_list *ret_frames)
{
	const char *const texts[] = {logs->now.stats, logs->now.histogram};

	if (!streams_may_pass(logs->streams, logs->now.epoch)) {
		logs->owed = true;
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct frame *f;

		if (texts[i] && frame_new(SV("message"), 0, sv_from(texts[i]), &f) == 0 &&
		    frame_list_push(ret_frames, f) < 0)
			return;
	}
}

/* Everybody who watches gets a value. */
static void
give_value(struct stream_logs *logs, const char *text)
{
	struct hub_stream *to = NULL;
	struct frame *f;

	if (!text || frame_new(SV("message"), 0, sv_from(text), &f) < 0)
		return;
	while ((to = hub_next(logs->streams->hub, HUB_KIND_LOGS, to)) != NULL)
		hub_push(to, f);
	frame_unref(f);
}

static void
give_changed(struct stream_logs *logs, bool *behind, const char *was, const char *is)
{
	if (*behind || differs(was, is))
		give_value(logs, is);
	*behind = false;
}

void
stream_logs_go_on(struct stream_logs *logs)
{
	if (logs->owed) {
		logs->owed = false;
		give_value(logs, logs->now.stats);
		give_value(logs, logs->now.histogram);
	}
	if (logs->waits) {
		logs->waits = false;
		read_rows(logs);
	}
}

static void
run_now(struct pool_job *job, void *thread_state)
{
	struct stream_logs *logs = job->user;
	struct db *db = thread_state;

	logs->now_r = db_begin_read(db, &logs->now_err);
	if (logs->now_r == 0)
		logs->now_r = stream_logs_now(db, &logs->fresh, &logs->now_err);
	db_rollback(db);
}

static void
done_now(struct pool_job *job)
{
	struct stream_logs *logs = job->user;

	logs->now_running = false;
	if (logs->now_r == 0 && !streams_may_pass(logs->streams, logs->fresh.epoch)) {
		stream_logs_now_fini(&logs->fresh);
		logs->now_dirty = true;
	}
	if (logs->now_r == 0 && logs->fresh.stats && logs->fresh.head >= logs->now.head) {
		give_changed(logs, &logs->behind_stats, logs->now.stats, logs->fresh.stats);
		give_changed(logs, &logs->behind_histogram, logs->now.histogram,
			     logs->fresh.histogram);
		hub_flush(logs->streams->hub);
	}
	/* The store is away, or what was read was older than what a new viewer brought. */
	if (logs->now_r < 0 || logs->behind_stats || logs->behind_histogram)
		logs->now_dirty = true;
	take(logs, &logs->fresh);
	now_later(logs);
}

static void
read_now(struct stream_logs *logs)
{
	struct streams *s = logs->streams;

	logs->now_dirty = false;
	logs->now_job = (struct pool_job){.run = run_now, .done = done_now, .user = logs};
	logs->now_running = api_worker_submit(s->worker, &logs->now_job) == 0;
	if (!logs->now_running) {
		logs->now_dirty = true;
		now_later(logs);
	}
}

static void
on_now(struct loop_timer *t)
{
	struct stream_logs *logs = t->user;

	if (logs->now_dirty && !logs->now_running && !hub_idle(logs->streams->hub, HUB_LOGS))
		read_now(logs);
}

void
stream_logs_changed(struct stream_logs *logs)
{
	if (hub_idle(logs->streams->hub, HUB_LOGS))
		return;
	logs->now_dirty = true;
	/* The timer runs for a second after each reading. */
	if (!logs->now_running && !logs->now_timer.loop)
		read_now(logs);
}

int
stream_logs_new(struct streams *s, struct stream_logs **ret_logs)
{
	struct stream_logs *logs = calloc(1, sizeof(*logs));

	if (!logs)
		return -ENOMEM;
	logs->streams = s;
	*ret_logs = logs;
	return 0;
}

void
stream_logs_free(struct stream_logs *logs)
{
	if (!logs)
		return;
	loop_timer_clear(&logs->timer);
	loop_timer_clear(&logs->now_timer);
	items_fini(&logs->items);
	stream_logs_now_fini(&logs->now);
	stream_logs_now_fini(&logs->fresh);
	free(logs);
}
