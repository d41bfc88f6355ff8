/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeding the streams. The journal is read once for all viewers, in transactions that also see the
 * access epoch: rows that were committed after somebody's access ended are only passed on when his
 * viewers are gone.
 */
#include "api/streams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/stream_logs.h"
#include "api/stream_open.h"
#include "api/stream_store.h"
#include "bus/topic.h"
#include "store/user.h"
#include "trace/marks.h"
#include "util/json.h"
#include "util/limits.h"
#include "util/log.h"

#define READ_ROWS 512
#define POLL_MS	  500
#define RETRY_MS  50

static void read_on(struct streams *s);

/* ---- passing events on ---- */

/* Each encoding is made once, for the first stream that carries the event. */
struct passing {
	struct stream_event *ev;
	struct frame *frame[2]; /* short name, whole topic */
	unsigned streams;	/* that carry it */
};

static void
give(struct passing *p, struct hub_stream *to)
{
	bool full_name = hub_stream_kind(to) == HUB_KIND_EVENTS;

	if (!p->frame[full_name] &&
	    stream_event_frame(p->ev, full_name, &p->frame[full_name]) < 0) {
		p->frame[full_name] = NULL;
		return;
	}
	hub_push(to, p->frame[full_name]);
	p->streams++;
}

static void
give_if(struct passing *p, struct hub_stream *to)
{
	struct stream_spec *spec = hub_stream_user(to);

	/* What it was made from already holds this row. */
	if (spec->kind == HUB_KIND_ATTACKER && p->ev->seq > 0 && p->ev->seq <= spec->seq)
		return;
	if (stream_spec_carries(spec, p->ev, spec->identity))
		give(p, to);
}

static void
give_all(struct streams *s, struct passing *p, enum hub_kind kind)
{
	struct hub_stream *to = NULL;

	while ((to = hub_next(s->hub, kind, to)) != NULL)
		give_if(p, to);
}

static void
give_one(struct streams *s, struct passing *p, enum hub_kind kind, struct sv key)
{
	struct hub_stream *to = hub_find(s->hub, kind, key);

	if (to)
		give_if(p, to);
}

/* The number of streams that carry it. */
static unsigned
pass_on(struct streams *s, struct stream_event *ev)
{
	struct sv family = bus_topic_family(ev->topic);
	struct passing p = {.ev = ev};

	if (sv_eq(family, SV("identity"))) {
		give_one(s, &p, HUB_KIND_IDENTITIES, SV(""));
		give_all(s, &p, HUB_KIND_ATTACKER);
	} else if (sv_eq(family, SV("topology")) || sv_eq(family, SV("decky"))) {
		if (hub_next(s->hub, HUB_KIND_TOPOLOGY, NULL))
			give_one(s, &p, HUB_KIND_TOPOLOGY, stream_event_topology(ev));
	} else if (sv_eq(family, SV("attacker")) || sv_eq(family, SV("credential"))) {
		if (hub_next(s->hub, HUB_KIND_ATTACKER, NULL))
			give_one(s, &p, HUB_KIND_ATTACKER,
				 sv_from(json_get_text(stream_event_payload(ev), "attacker_uuid")));
	}
	give_all(s, &p, HUB_KIND_EVENTS);
	frame_unref(p.frame[0]);
	frame_unref(p.frame[1]);
	return p.streams;
}

static void
feed(struct streams *s, const struct journal_rows *rows)
{
	for (size_t i = 0; i < rows->n; i++) {
		const struct journal_row *row = &rows->v[i];
		struct stream_event ev = {
			.seq = row->seq,
			.topic = sv_from(row->topic),
			.ts_ms = row->ts_ms,
			.text = sv_from(row->payload),
		};
		uint64_t start_ns = trace_on() ? trace_now_ns() : 0;
		unsigned n;

		if (row->seq <= hub_seq(s->hub, HUB_JOURNAL))
			continue;
		n = pass_on(s, &ev);
		trace_mark_delivered(ev.seq, bus_topic_type(ev.topic), n, start_ns);
		stream_event_fini(&ev);
	}
}

/* ---- whose access has ended ---- */

static void
on_retry(struct loop_timer *t)
{
	read_on(t->user);
}

/* If even the timer cannot be had, the poll goes on. */
static void
retry(struct streams *s)
{
	if (loop_timer_set(s->worker->loop, &s->reader.timer, RETRY_MS, on_retry, s) < 0)
		s->reader.again = true;
}

/* Everybody who watches was looked at: what waited for it goes on. */
static void
set_epoch(struct streams *s, int64_t epoch)
{
	s->epoch = epoch;
	if (epoch > s->epoch_high)
		s->epoch_high = epoch;
	stream_store_release(s, epoch);
	stream_logs_go_on(s->logs);
}

/* The answer of a check: read on what waited for it. Nothing is passed on before one succeeds. */
static void
on_checked(struct streams *s, int r, int64_t epoch)
{
	s->access = NULL;
	if (r < 0) {
		s->failing = true; /* the next poll tries again */
		return;
	}
	if (s->epoch_min < epoch)
		s->epoch = -1;
	else
		set_epoch(s, epoch);
	read_on(s);
}

bool
streams_may_begin(const struct streams *s, int64_t epoch)
{
	return epoch >= s->epoch_high;
}

void
streams_note_epoch(struct streams *s, int64_t epoch)
{
	/* It is the only one, and was just looked at. */
	if (hub_viewers(s->hub) == 0 && !s->access)
		set_epoch(s, epoch);
	if (epoch < s->epoch_min)
		s->epoch_min = epoch;
}

bool
streams_may_pass(struct streams *s, int64_t epoch)
{
	if (epoch <= s->epoch || hub_viewers(s->hub) == 0 || s->stopping)
		return true;
	read_on(s);
	return false;
}

/* ---- the journal ---- */

static void
run_read(struct pool_job *job, void *thread_state)
{
	struct stream_reader *rd = job->user;
	struct db *db = thread_state;
	int64_t floor = 0;
	int r = db_begin_read(db, &rd->err);

	if (r == 0)
		r = user_access_epoch(db, &rd->epoch, &rd->err);
	if (r == 0)
		r = journal_head(db, &rd->head, &rd->err);
	if (r == 0)
		r = journal_floor(db, &floor, &rd->err);
	rd->stale = floor > rd->after || rd->head < rd->after;
	rd->rows.max_bytes = LIMIT_STREAM_READ_BYTES;
	if (r == 0 && !rd->idle && !rd->stale && rd->head > rd->after)
		r = journal_read(db, JOURNAL_ALL, NULL, rd->after, READ_ROWS, &rd->rows, &rd->err);
	db_rollback(db);
	rd->r = r < 0 ? r : 0;
}

static void
take_rows(struct streams *s)
{
	struct stream_reader *rd = &s->reader;

	/* Statistics change with rows that nobody may be watching. */
	if (rd->head != hub_seq(s->hub, HUB_JOURNAL))
		stream_logs_changed(s->logs);
	if (hub_idle(s->hub, HUB_JOURNAL)) {
		hub_advance(s->hub, HUB_JOURNAL, rd->head);
	} else if (rd->stale) {
		hub_reset(s->hub, HUB_JOURNAL, rd->head);
	} else if (rd->idle) {
		/* Somebody came meanwhile. */
		rd->again = true;
	} else {
		feed(s, &rd->rows);
		if (rd->rows.more)
			rd->again = true;
		hub_advance(s->hub, HUB_JOURNAL,
			    rd->rows.more ? rd->rows.v[rd->rows.n - 1].seq : rd->head);
	}
	hub_flush(s->hub);
}

static void
done_read(struct pool_job *job)
{
	struct stream_reader *rd = job->user;
	struct streams *s = CONTAINER_OF(rd, struct streams, reader);

	rd->running = false;
	if (rd->r < 0 && !s->failing)
		log_event(LV_WARN, "streams.journal", KV_S("why", err_text(&rd->err)));
	if (rd->r == 0 && s->failing)
		log_plain(LV_INFO, "streams.journal_back");
	s->failing = rd->r < 0;
	if (rd->r == 0 && rd->epoch != s->epoch && hub_viewers(s->hub) > 0) {
		/* These rows are read again when the check is done. */
		s->epoch_min = INT64_MAX;
		if (stream_access_check(s, on_checked, &s->access) < 0)
			retry(s);
	} else if (rd->r == 0) {
		if (rd->epoch != s->epoch)
			set_epoch(s, rd->epoch);
		take_rows(s);
	}
	journal_rows_fini(&rd->rows);
	if (rd->again && !s->access && rd->r == 0)
		read_on(s);
}

static void
read_on(struct streams *s)
{
	struct stream_reader *rd = &s->reader;

	if (rd->running || s->access) {
		rd->again = true;
		return;
	}
	rd->again = false;
	rd->after = hub_seq(s->hub, HUB_JOURNAL);
	rd->idle = hub_idle(s->hub, HUB_JOURNAL);
	rd->err.msg[0] = '\0';
	rd->job = (struct pool_job){.run = run_read, .done = done_read, .user = rd};
	rd->running = api_worker_submit(s->worker, &rd->job) == 0;
	if (!rd->running)
		retry(s);
}

void
streams_poke(struct streams *s)
{
	if (hub_viewers(s->hub) == 0 || s->stopping)
		return;
	read_on(s);
	stream_logs_poke(s->logs);
}

static void on_poll(struct loop_timer *t);

static void
poll_later(struct streams *s)
{
	if (loop_timer_set(s->worker->loop, &s->poll, POLL_MS, on_poll, s) < 0)
		log_plain(LV_WARN, "streams.no_timer");
}

/*
 * Hints may be lost, and there may be no bus at all. That somebody's access ended at another
 * gateway is no event and has no hint: this is what keeps the second that the contract gives.
 */
static void
on_poll(struct loop_timer *t)
{
	struct streams *s = t->user;

	streams_poke(s);
	poll_later(s);
}

/* ---- events of the bus ---- */

static void
op_event(void *user, struct sv topic, uint64_t ts_ms, struct sv payload)
{
	struct stream_event ev = {.topic = topic, .ts_ms = ts_ms, .text = payload};
	struct streams *s = user;

	if (hub_viewers(s->hub) == 0)
		return;
	(void)pass_on(s, &ev);
	stream_event_fini(&ev);
	hub_flush(s->hub);
}

/* ---- the whole ---- */

static void
op_open(void *user, struct call *own_call)
{
	stream_open(user, own_call);
}

static void
op_poke(void *user)
{
	streams_poke(user);
}

static void
op_stop(void *user)
{
	struct streams *s = user;

	s->stopping = true;
	loop_timer_clear(&s->poll);
	hub_end_all(s->hub, CLOSE_SHUTDOWN);
	stream_store_release(s, INT64_MAX);
}

static void
op_add_stats(void *user, struct hub_stats *sum)
{
	struct streams *s = user;
	struct hub_stats n;

	hub_stats(s->hub, &n);
	for (unsigned i = 0; i < HUB_KIND_COUNT; i++) {
		sum->streams[i] += n.streams[i];
		sum->frames[i] += n.frames[i];
	}
	for (unsigned i = 0; i < CLOSE_COUNT; i++)
		sum->closed[i] += n.closed[i];
	for (unsigned i = 0; i < HUB_SNAPSHOT_COUNT; i++)
		sum->snapshots[i] += n.snapshots[i];
	sum->ring_evicted += n.ring_evicted;
}

/* A change of access is seen by the next read, before anything that was committed after it. */
const struct api_stream_ops streams_ops = {
	.open = op_open,
	.poke = op_poke,
	.event = op_event,
	.stop = op_stop,
	.add_stats = op_add_stats,
};

static void
free_spec(void *user, enum hub_kind kind, void *stream_user)
{
	(void)user;
	(void)kind;
	stream_spec_free(stream_user);
}

static void
greet(void *user, struct hub_stream *to, struct frame_list *ret_frames)
{
	struct streams *s = user;

	if (hub_stream_kind(to) == HUB_KIND_LOGS)
		stream_logs_greet(s->logs, ret_frames);
}

static int
start_fetch(void *user, struct hub_fetch *f)
{
	return stream_store_fetch(user, f);
}

static const struct hub_ops hub_ops = {
	.read = start_fetch,
	.snapshot = start_fetch,
	.greet = greet,
	.stream_free = free_spec,
};

int
streams_new(struct api_worker *w, struct streams **ret_streams, struct err *e)
{
	struct streams *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_set(e, -ENOMEM, "no memory for the streams");
	s->worker = w;
	s->epoch = -1;
	s->epoch_min = INT64_MAX;
	list_init(&s->held);
	r = hub_new(w->loop, &hub_ops, s, &s->hub, e);
	if (r == 0)
		r = stream_logs_new(s, &s->logs);
	if (r < 0) {
		streams_free(s);
		return err_set(e, r, "cannot set up the streams");
	}
	poll_later(s);
	w->streams = &streams_ops;
	w->streams_user = s;
	*ret_streams = s;
	return 0;
}

void
streams_free(struct streams *s)
{
	if (!s)
		return;
	loop_timer_clear(&s->poll);
	loop_timer_clear(&s->reader.timer);
	stream_store_release(s, INT64_MAX);
	stream_logs_free(s->logs);
	hub_free(s->hub);
	free(s);
}
