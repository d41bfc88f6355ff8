/* SPDX-License-Identifier: Apache-2.0 */
/* The capture channel on the loop: batches in, acknowledgements and hints out, heartbeats. */
#include "resolver/resolver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bus/topic.h"
#include "resolver/batch.h"
#include "resolver/lives.h"
#include "resolver/report.h"
#include "resolver/traffic.h"
#include "store/log.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/limits.h"
#include "util/log.h"

#define MESSAGE_BYTES_MAX 262144 /* more than a socket buffer takes as one message */
#define MESSAGES_PER_TURN 32
#define GATHER_MS	  5 /* what belongs to one event mostly comes within this time */
#define RETRY_MS_MIN	  100
#define RETRY_MS_MAX	  2000
#define RESEND_MS	  1000 /* between two requests to send again */
#define GAP_ROUNDS_MAX	  3    /* requests before what is missing counts as lost */
#define TRIM_EVERY_MS	  30000
#define TRIM_ROWS_AT_ONCE 2000

/* One decoy process's; the first is that of connections, whose life is that of the decoys. */
struct channel {
	struct resolver *res;
	int fd; /* -1: there is none */
	bool ended;
	struct loop_io io;
};

/* Every process is told, and takes what is of its own source. One that is away holds up nobody. */
struct ack_slot {
	struct capture_ack ack;
	bool waiting[RESOLVER_CHANNELS];
};

/* A capture that came before its turn. */
struct gap {
	struct capture_ack lowest;
	unsigned rounds;
};

struct resolver {
	struct loop *loop;
	const struct conf *conf;
	struct pool *pool;
	struct bus_client *bus;
	struct channel channels[RESOLVER_CHANNELS];
	char *message;
	bool stopping;

	struct linker *linker; /* the store thread's */
	bool cache_set;
	struct batch_in filling, flight;
	struct pool_job job;
	bool flying;
	struct ingest_result result;
	struct err error;
	int outcome;
	uint64_t retry_ms;
	struct loop_timer gather, retry, resend, tell, trim;

	struct ack_slot acks[INGEST_SOURCES_MAX];
	struct gap gap;
	bool resend_asked; /* within RESEND_MS */
	struct capture_ack start;

	struct pool_job trim_job;
	bool trimming, grown;
	struct traffic traffic;
	struct report *report;
	struct lives *lives;
};

static void submit(struct resolver *res);
static void watch(struct resolver *res);
static void on_channel(struct loop_io *io, uint32_t events);

/* Only the growth of the loop's heap can fail, which then has no room for anything else either. */
static void
arm(struct resolver *res, struct loop_timer *t, uint64_t delay_ms, loop_timer_fn *fn)
{
	if (loop_timer_set(res->loop, t, delay_ms, fn, res) < 0)
		log_plain(LV_ERR, "resolver.timer");
}

/* -- acknowledgements -- */

static bool
send_ack(const struct channel *c, const struct capture_ack *ack)
{
	unsigned char raw[CAPTURE_ACK_BYTES];

	capture_ack_put(ack, raw);
	return send(c->fd, raw, sizeof(raw), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || errno != EAGAIN;
}

static bool
acks_waiting(const struct channel *c)
{
	const struct resolver *res = c->res;

	for (size_t i = 0; i < ARRAY_LEN(res->acks); i++)
		if (res->acks[i].waiting[c - res->channels])
			return true;
	return false;
}

static void
send_acks(struct resolver *res)
{
	for (size_t i = 0; i < ARRAY_LEN(res->acks); i++)
		for (size_t k = 0; k < RESOLVER_CHANNELS; k++)
			if (res->acks[i].waiting[k] &&
			    send_ack(&res->channels[k], &res->acks[i].ack))
				res->acks[i].waiting[k] = false;
	watch(res);
}

/* A later one of the same source stands for the earlier ones; the oldest slot gives way. */
static void
queue_ack(struct resolver *res, const struct capture_ack *ack)
{
	size_t i = 0;

	while (i + 1 < ARRAY_LEN(res->acks) && res->acks[i].ack.source != ack->source)
		i++;
	memmove(&res->acks[1], &res->acks[0], i * sizeof(res->acks[0]));
	res->acks[0] = (struct ack_slot){.ack = *ack};
	for (size_t k = 0; k < RESOLVER_CHANNELS; k++)
		res->acks[0].waiting[k] = res->channels[k].fd >= 0;
}

static void ask_again(struct resolver *res);

static void
on_resend(struct loop_timer *t)
{
	struct resolver *res = t->user;

	res->resend_asked = false;
	if (res->gap.lowest.no)
		ask_again(res);
}

/* Ask for everything unacknowledged, at most once in RESEND_MS. */
static void
ask_again(struct resolver *res)
{
	static const struct capture_ack all = {0, 0};

	if (res->resend_asked)
		return;
	res->resend_asked = true;
	res->gap.rounds++;
	queue_ack(res, &all);
	send_acks(res);
	if (loop_timer_set(res->loop, &res->resend, RESEND_MS, on_resend, res) < 0)
		res->resend_asked = false;
}

/*
 * Something before this capture is missing. Mostly it is on its way again; if it does not come
 * after several requests the decoy does not have it any more, and the lowest one seen is taken as
 * the start.
 */
static void
on_gap(struct resolver *res, const struct capture_ack *early)
{
	struct gap *g = &res->gap;

	if (g->lowest.source != early->source)
		*g = (struct gap){.lowest = *early};
	else if (early->no < g->lowest.no)
		g->lowest.no = early->no;
	if (g->rounds > GAP_ROUNDS_MAX) {
		log_event(LV_WARN, "resolver.gap", KV_U("lost_before", g->lowest.no));
		res->start = g->lowest;
		*g = (struct gap){0};
	}
	ask_again(res);
}

/* -- what was committed -- */

static void
tell_traffic(void *user, const struct traffic_entry *entry)
{
	struct resolver *res = user;
	char topic[BUS_SUBJECT_MAX + 1];
	json_t *payload = traffic_json(entry);
	char *text = payload ? json_text(payload) : NULL;

	if (text && bus_topic_build(BUS_TOPIC_DECKY_TRAFFIC, entry->decky, topic) == 0)
		(void)bus_publish_event(res->bus, topic, clock_unix_ms(), 0, text);
	json_decref(payload);
	free(text);
}

static void
on_tell(struct loop_timer *t)
{
	struct resolver *res = t->user;
	int64_t next = traffic_tell(&res->traffic, loop_now_ms(res->loop), tell_traffic, res);

	if (next >= 0)
		arm(res, &res->tell, (uint64_t)next, on_tell);
}

static void
publish(struct resolver *res)
{
	const struct ingest_result *got = &res->result;

	for (size_t i = 0; i < got->rows.n; i++) {
		const struct journal_row *row = &got->rows.v[i];

		(void)bus_publish_event(res->bus, row->topic, row->ts_ms, row->seq, row->payload);
	}
	if (got->flushed > 0) {
		report_log(res->report, got->flushed, got->position);
		res->grown = true;
	}
	for (size_t i = 0; i < res->flight.n; i++)
		traffic_note(&res->traffic, &res->flight.v[i]);
	on_tell(&res->tell);
}

static void
on_retry(struct loop_timer *t)
{
	struct resolver *res = t->user;

	if (pool_submit(res->pool, &res->job) < 0)
		arm(res, &res->retry, RETRY_MS_MAX, on_retry);
}

static void
retry(struct resolver *res)
{
	log_event(LV_ERR, "resolver.store", KV_S("why", err_text(&res->error)),
		  KV_U("rows", res->flight.n));
	if (res->stopping)
		return;
	res->retry_ms = res->retry_ms ? res->retry_ms * 2 : RETRY_MS_MIN;
	if (res->retry_ms > RETRY_MS_MAX)
		res->retry_ms = RETRY_MS_MAX;
	arm(res, &res->retry, res->retry_ms, on_retry);
}

static void
on_stored(struct pool_job *job)
{
	struct resolver *res = job->user;

	if (res->outcome < 0) {
		retry(res);
		return;
	}
	res->retry_ms = 0;
	res->start = (struct capture_ack){0};
	publish(res);
	report_batch(res->report, &res->flight, &res->result);
	for (size_t i = 0; i < res->result.nacks; i++) {
		queue_ack(res, &res->result.acks[i]);
		if (res->result.acks[i].source == res->gap.lowest.source && res->result.flushed)
			res->gap = (struct gap){0};
	}
	if (res->result.gap.no)
		on_gap(res, &res->result.gap);
	send_acks(res);
	journal_rows_fini(&res->result.rows);
	batch_reset(&res->flight);
	res->flying = false;
	lives_stored(res->lives);
	if (res->filling.n > 0)
		submit(res);
	watch(res);
}

static void
run_store(struct pool_job *job, void *thread_state)
{
	struct resolver *res = job->user;

	/* There is one store thread, with one connection. */
	if (!res->cache_set)
		db_cache(thread_state, LIMIT_RESOLVER_CACHE_KIB);
	res->cache_set = true;
	res->result = (struct ingest_result){0};
	res->outcome = batch_store(&res->flight, thread_state, res->linker, clock_unix_ms(),
				   res->start.no ? &res->start : NULL, &res->result, &res->error);
}

static void
submit(struct resolver *res)
{
	struct batch_in empty = res->flight;

	if (res->flying || res->stopping)
		return;
	loop_timer_clear(&res->gather);
	res->flight = res->filling;
	res->filling = empty;
	res->flying = true;
	lives_submitted(res->lives);
	res->job = (struct pool_job){.run = run_store, .done = on_stored, .user = res};
	if (pool_submit(res->pool, &res->job) < 0)
		arm(res, &res->retry, RETRY_MS_MIN, on_retry);
}

static void
on_gather(struct loop_timer *t)
{
	submit(t->user);
}

/* -- the channel -- */

static void
take_message(struct channel *c, struct sv message)
{
	struct resolver *res = c->res;
	struct capture_hello hello;

	if (capture_hello_get(message, &hello) == 0) {
		if (c == &res->channels[0])
			report_decoy(res->report, &hello);
		lives_hello(res->lives, (unsigned)(c - res->channels), hello.source,
			    res->filling.n > 0, res->flying);
		return;
	}
	if (batch_add(&res->filling, message, loop_unix_ms(res->loop)) < 0) {
		log_event(LV_ERR, "resolver.memory", KV_U("bytes", message.n));
		ask_again(res);
	}
}

/* The channel's other end is the supervisor's too, so it ends only when we are to end. */
static void
channel_gone(struct channel *c, const char *why)
{
	log_event(LV_WARN, "resolver.channel", KV_S("why", why));
	c->ended = true;
	watch(c->res);
}

static void
on_channel(struct loop_io *io, uint32_t events)
{
	struct channel *c = io->user;
	struct resolver *res = c->res;
	ssize_t n;

	if (events & EPOLLOUT)
		send_acks(res);
	for (unsigned i = 0; i < MESSAGES_PER_TURN && res->filling.n < LIMIT_INGEST_ROWS; i++) {
		n = recv(c->fd, res->message, MESSAGE_BYTES_MAX, MSG_DONTWAIT | MSG_TRUNC);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n <= 0) {
			channel_gone(c, n < 0 ? strerror(errno) : "closed");
			return;
		}
		if (n > MESSAGE_BYTES_MAX)
			res->filling.rejected[REJECT_FRAME]++;
		else
			take_message(c, (struct sv){res->message, (size_t)n});
	}
	if (res->filling.n >= LIMIT_INGEST_ROWS)
		submit(res);
	else if (res->filling.n > 0 && !res->flying && !res->gather.loop)
		arm(res, &res->gather, GATHER_MS, on_gather);
	watch(res);
}

/* Read while the batch has room, write while acknowledgements wait. */
static void
watch_channel(struct channel *c)
{
	struct resolver *res = c->res;
	uint32_t events = 0;

	if (!c->ended && res->filling.n < LIMIT_INGEST_ROWS)
		events |= EPOLLIN;
	if (acks_waiting(c))
		events |= EPOLLOUT;
	if (events == 0)
		loop_io_clear(&c->io);
	else if (c->io.loop && c->io.events == events)
		return;
	else if (loop_io_set(res->loop, &c->io, c->fd, events, on_channel, c) < 0)
		log_plain(LV_ERR, "resolver.watch");
}

static void
watch(struct resolver *res)
{
	for (size_t k = 0; k < RESOLVER_CHANNELS && !res->stopping; k++)
		if (res->channels[k].fd >= 0)
			watch_channel(&res->channels[k]);
}

static void
unwatch(struct resolver *res)
{
	for (size_t k = 0; k < RESOLVER_CHANNELS; k++)
		loop_io_clear(&res->channels[k].io);
}

/* -- retention -- */

static void
run_trim(struct pool_job *job, void *thread_state)
{
	struct resolver *res = job->user;
	struct db *db = thread_state;
	struct err e = {0};
	int64_t head = 0, floor = 0;
	int r = log_bounds(db, &head, &floor, &e);

	/* Ids have no gaps, so their distance is the number of rows. */
	if (r == 0 && (uint64_t)(head - floor) > res->conf->log_retention_rows) {
		r = db_begin_write(db, &e);
		if (r == 0)
			r = log_trim(db, res->conf->log_retention_rows, TRIM_ROWS_AT_ONCE, &e);
		if (r >= 0)
			r = db_commit(db, &e);
		else
			db_rollback(db);
	}
	if (r < 0)
		log_event(LV_WARN, "resolver.trim", KV_S("why", err_text(&e)));
}

static void
trim_done(struct pool_job *job)
{
	struct resolver *res = job->user;

	res->trimming = false;
}

static void
on_trim(struct loop_timer *t)
{
	struct resolver *res = t->user;

	if (res->grown && !res->trimming && res->conf->log_retention_rows > 0) {
		res->trim_job = (struct pool_job){.run = run_trim, .done = trim_done, .user = res};
		res->trimming = pool_submit(res->pool, &res->trim_job) == 0;
		res->grown = false;
	}
	arm(res, t, TRIM_EVERY_MS, on_trim);
}

/* -- life -- */

int
resolver_new(struct loop *l, const struct conf *conf, struct pool *pool, struct bus_client *bus,
	     const int own_channels[RESOLVER_CHANNELS], struct resolver **ret_resolver,
	     struct err *e)
{
	struct resolver *res = calloc(1, sizeof(*res));
	int r;

	for (size_t k = 0; k < RESOLVER_CHANNELS; k++) {
		if (res)
			res->channels[k] = (struct channel){.res = res, .fd = own_channels[k]};
		else if (own_channels[k] >= 0)
			(void)close(own_channels[k]);
	}
	if (!res)
		return err_set(e, -ENOMEM, "out of memory");
	res->loop = l;
	res->conf = conf;
	res->pool = pool;
	res->bus = bus;
	res->message = malloc(MESSAGE_BYTES_MAX);
	r = res->message ? linker_new(NULL, &res->linker) : -ENOMEM;
	if (r == 0)
		r = (res->lives = lives_new(pool, bus, conf->host_name)) ? 0 : -ENOMEM;
	if (r == 0)
		r = report_new(l, pool, bus, &res->report);
	if (r == 0)
		r = loop_timer_set(l, &res->trim, TRIM_EVERY_MS, on_trim, res);
	if (r < 0) {
		resolver_free(res);
		return err_set(e, r, "cannot start: %s", strerror(-r));
	}
	res->tell.user = res;
	watch(res);
	ask_again(res);
	*ret_resolver = res;
	return 0;
}

void
resolver_bus_up(struct resolver *res)
{
	report_bus_up(res->report);
}

void
resolver_stop(struct resolver *res)
{
	res->stopping = true;
	unwatch(res);
	loop_timer_clear(&res->gather);
	loop_timer_clear(&res->retry);
	loop_timer_clear(&res->resend);
	loop_timer_clear(&res->tell);
	loop_timer_clear(&res->trim);
	report_stop(res->report);
	lives_stop(res->lives);
}

void
resolver_free(struct resolver *res)
{
	if (!res)
		return;
	unwatch(res);
	loop_timer_clear(&res->gather);
	loop_timer_clear(&res->retry);
	loop_timer_clear(&res->resend);
	loop_timer_clear(&res->tell);
	loop_timer_clear(&res->trim);
	batch_fini(&res->filling);
	batch_fini(&res->flight);
	journal_rows_fini(&res->result.rows);
	traffic_fini(&res->traffic);
	report_free(res->report);
	lives_free(res->lives);
	linker_free(res->linker);
	for (size_t k = 0; k < RESOLVER_CHANNELS; k++)
		if (res->channels[k].fd >= 0)
			(void)close(res->channels[k].fd);
	free(res->message);
	free(res);
}
