/* SPDX-License-Identifier: Apache-2.0 */
/* Heartbeats and counters. */
#include "resolver/report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/topic.h"
#include "store/worker.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/log.h"

#define SERVICES_MAX  64 /* counted apart; further ones together as "other" */
#define DECOY_BEAT_MS (WORKER_BEAT_MS - CAPTURE_HELLO_EVERY_MS / 2)

struct beat {
	struct pool_job job;
	const char *name;
	int64_t pid;
	uint64_t started_ms;
	char *extra; /* JSON object text */
	bool remove, busy;
};

struct report {
	struct loop *loop;
	struct pool *pool;
	struct bus_client *bus;
	struct loop_timer timer;
	uint64_t started_ms;
	bool stopping;
	struct beat self, decoy;
	uint64_t decoy_source, decoy_beat_ms;

	struct {
		char name[CHECK_NAME_SIZE];
		uint64_t n;
	} services[SERVICES_MAX + 1];
	size_t nservices;
	uint64_t rejected[REJECT_COUNT];
	uint64_t batches, rows, repeated, early;
};

static void
run_beat(struct pool_job *job, void *thread_state)
{
	struct beat *b = job->user;
	struct db *db = thread_state;
	struct err e = {0};
	int r = db_begin_write(db, &e);

	if (r == 0)
		r = b->remove ? worker_remove(db, b->name, b->pid, &e)
			      : worker_beat(db, b->name, b->pid, b->started_ms, clock_unix_ms(),
					    b->extra, &e);
	if (r == 0)
		r = db_commit(db, &e);
	else
		db_rollback(db);
	if (r < 0)
		log_event(LV_WARN, "resolver.beat", KV_S("worker", b->name),
			  KV_S("why", err_text(&e)));
}

static void
beat_done(struct pool_job *job)
{
	struct beat *b = job->user;

	free(TAKE(b->extra));
	b->busy = false;
}

static void
publish(struct report *rep, enum bus_topic t, const char *variable, json_t *own_payload)
{
	char topic[BUS_SUBJECT_MAX + 1];
	char *text = own_payload ? json_text(own_payload) : NULL;

	if (text && bus_topic_build(t, variable, topic) == 0)
		(void)bus_publish_event(rep->bus, topic, clock_unix_ms(), 0, text);
	json_decref(own_payload);
	free(text);
}

static void
publish_beat(struct report *rep, const struct beat *b, json_t *extra)
{
	uint64_t now = clock_unix_ms();
	json_t *payload = json_pack(
		"{s:s, s:I, s:f, s:f}", "worker", b->name, "pid", (json_int_t)b->pid, "uptime_sec",
		(double)(now > b->started_ms ? now - b->started_ms : 0) / 1000.0, "ts",
		(double)now / 1000.0);

	if (payload && json_object_update_missing(payload, extra) == 0)
		publish(rep, BUS_TOPIC_SYSTEM_HEALTH, b->name, json_incref(payload));
	json_decref(payload);
}

/* Send a heartbeat; consumes `own_extra`. One that is still under way stands for this one. */
static void
beat(struct report *rep, struct beat *b, json_t *own_extra)
{
	if (!b->busy && !rep->stopping && own_extra) {
		publish_beat(rep, b, own_extra);
		b->extra = json_text(own_extra);
		b->job = (struct pool_job){.run = run_beat, .done = beat_done, .user = b};
		b->busy = b->extra && pool_submit(rep->pool, &b->job) == 0;
		if (!b->busy)
			free(TAKE(b->extra));
	}
	json_decref(own_extra);
}

static json_t *
counters(const struct report *rep)
{
	json_t *services = json_object(), *rejected = json_object();
	int failed = !services || !rejected;

	for (size_t i = 0; !failed && i < rep->nservices; i++)
		failed |= json_object_set_new(services, rep->services[i].name,
					      json_integer((json_int_t)rep->services[i].n));
	for (unsigned i = 0; !failed && i < REJECT_COUNT; i++)
		failed |= json_object_set_new(rejected, reject_word((enum reject)i),
					      json_integer((json_int_t)rep->rejected[i]));
	if (failed) {
		json_decref(services);
		json_decref(rejected);
		return NULL;
	}
	return json_pack("{s:o, s:o, s:I, s:I, s:I, s:I}", "captures", services, "rejected",
			 rejected, "batches", (json_int_t)rep->batches, "rows",
			 (json_int_t)rep->rows, "repeated", (json_int_t)rep->repeated, "early",
			 (json_int_t)rep->early);
}

static void
on_timer(struct loop_timer *t)
{
	struct report *rep = t->user;

	beat(rep, &rep->self, counters(rep));
	if (loop_timer_set(rep->loop, &rep->timer, WORKER_BEAT_MS, on_timer, rep) < 0)
		log_plain(LV_ERR, "resolver.timer");
}

int
report_new(struct loop *l, struct pool *pool, struct bus_client *bus, struct report **ret_report)
{
	struct report *rep = calloc(1, sizeof(*rep));

	if (!rep)
		return -ENOMEM;
	rep->loop = l;
	rep->pool = pool;
	rep->bus = bus;
	rep->started_ms = clock_unix_ms();
	rep->self =
		(struct beat){.name = "resolver", .pid = getpid(), .started_ms = rep->started_ms};
	rep->decoy = (struct beat){.name = "decoy"};
	rep->timer.user = rep;
	on_timer(&rep->timer);
	*ret_report = rep;
	return 0;
}

void
report_bus_up(struct report *rep)
{
	json_t *extra = counters(rep);

	if (extra)
		publish_beat(rep, &rep->self, extra);
	json_decref(extra);
}

void
report_free(struct report *rep)
{
	if (!rep)
		return;
	loop_timer_clear(&rep->timer);
	free(rep->self.extra);
	free(rep->decoy.extra);
	free(rep);
}

void
report_stop(struct report *rep)
{
	loop_timer_clear(&rep->timer);
	rep->stopping = true;
	if (rep->self.busy)
		return; /* its row ages by itself */
	rep->self.remove = true;
	rep->self.job = (struct pool_job){.run = run_beat, .done = beat_done, .user = &rep->self};
	rep->self.busy = pool_submit(rep->pool, &rep->self.job) == 0;
}

void
report_log(struct report *rep, size_t flushed, int64_t position)
{
	publish(rep, BUS_TOPIC_SYSTEM_LOG, NULL,
		json_pack("{s:s, s:I, s:I}", "component", "resolver", "flushed",
			  (json_int_t)flushed, "position", (json_int_t)position));
}

static void
count_service(struct report *rep, const char *name)
{
	size_t i = 0;

	while (i < rep->nservices && strcmp(rep->services[i].name, name) != 0)
		i++;
	if (i == rep->nservices) {
		if (i >= SERVICES_MAX) {
			name = "other";
			i = SERVICES_MAX;
		}
		(void)snprintf(rep->services[i].name, CHECK_NAME_SIZE, "%s", name);
		rep->nservices = i + 1;
	}
	rep->services[i].n++;
}

void
report_batch(struct report *rep, const struct batch_in *b, const struct ingest_result *got)
{
	rep->batches++;
	rep->rows += got->flushed;
	rep->repeated += got->repeated;
	rep->early += got->early;
	for (unsigned i = 0; i < REJECT_COUNT; i++)
		rep->rejected[i] += b->rejected[i];
	for (size_t i = 0; i < b->n; i++)
		if (!b->v[i].rejected)
			count_service(rep, b->v[i].service);
}

void
report_decoy(struct report *rep, const struct capture_hello *hello)
{
	uint64_t now = loop_now_ms(rep->loop);

	if (hello->source == rep->decoy_source && rep->decoy_beat_ms + DECOY_BEAT_MS > now)
		return;
	rep->decoy_source = hello->source;
	rep->decoy_beat_ms = now;
	rep->decoy.pid = hello->pid;
	rep->decoy.started_ms = hello->started_ms;
	beat(rep, &rep->decoy, json_pack("{s:I}", "connections", (json_int_t)hello->connections));
}
