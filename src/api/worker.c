/* SPDX-License-Identifier: Apache-2.0 */
/* Starting the threads that serve, and ending them. */
#include "api/worker.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/relay.h"
#include "api/server.h"
#include "api/streams.h"
#include "util/fdtable.h"
#include "util/log.h"
#include "util/sandbox.h"

#define WORKERS_DEFAULT_MAX 8
#define STOP_LOOK_MS	    20
/* Of a table: listeners, inboxes, answers to those who are refused. */
#define SPARE_FDS	    512

/* What a thread is started with; good until it has said whether it serves. */
struct start {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct api_worker *worker;
	struct http_options options;
	unsigned per_table; /* connections that a table of descriptors has room for */
	int keep[STATE_WORKERS_MAX + 1];
	unsigned nkeep;
};

int
api_worker_submit(struct api_worker *w, struct pool_job *job)
{
	return pool_submit_to(w->state->pool, job, w->inbox);
}

void
api_worker_count(const struct api_worker *w, struct api_numbers *sum)
{
	struct http_counters n;

	http_server_counters(w->server, &n);
	sum->http.accepted += n.accepted;
	sum->http.requests += n.requests;
	sum->http.refused_busy += n.refused_busy;
	sum->http.malformed += n.malformed;
	sum->http.uri_too_long += n.uri_too_long;
	sum->http.head_too_large += n.head_too_large;
	sum->http.body_too_large += n.body_too_large;
	sum->http.timed_out += n.timed_out;
	sum->http.handshake_failed += n.handshake_failed;
	sum->http.accept_failed += n.accept_failed;
	sum->http.h2_refused += n.h2_refused;
	sum->http.h2_ended += n.h2_ended;
	sum->http.open += n.open;
	metrics_add(&sum->metrics, &w->metrics);
	w->streams->add_stats(w->streams_user, &sum->streams);
}

/* ---- stopping ---- */

static void
on_drained(struct inbox_item *item)
{
	struct api_state *s = CONTAINER_OF(item, struct api_worker, drained)->state;

	if (--s->undrained == 0)
		s->drained(s->drained_user);
}

static void
on_stop_look(struct loop_timer *t)
{
	struct api_worker *w = t->user;
	struct http_counters n;

	http_server_counters(w->server, &n);
	if ((n.open == 0 && w->calls == 0) || loop_now_ms(w->loop) >= w->stop_by_ms ||
	    loop_timer_set(w->loop, t, STOP_LOOK_MS, on_stop_look, w) < 0)
		inbox_post(w->state->inbox, &w->drained);
}

static void
on_stop(struct inbox_item *item)
{
	struct api_worker *w = CONTAINER_OF(item, struct api_worker, stop);

	w->stop_by_ms += loop_now_ms(w->loop);
	http_server_drain(w->server);
	api_server_stop(w);
	w->streams->stop(w->streams_user);
	w->stop_look.user = w;
	on_stop_look(&w->stop_look);
}

static void
on_quit(struct inbox_item *item)
{
	loop_stop(CONTAINER_OF(item, struct api_worker, quit)->loop);
}

void
api_workers_stop(struct api_state *s, uint64_t grace_ms, void (*drained)(void *user), void *user)
{
	s->undrained = s->nworkers;
	s->drained = drained;
	s->drained_user = user;
	for (unsigned i = 0; i < s->nworkers; i++) {
		struct api_worker *w = s->workers[i];

		w->stop_by_ms = grace_ms;
		inbox_post(w->inbox, &w->stop);
	}
}

static void
worker_free(struct api_worker *w)
{
	if (!w)
		return;
	metrics_fini(&w->metrics);
	inbox_free(w->inbox);
	free(w);
}

void
api_workers_quit(struct api_state *s)
{
	for (unsigned i = 0; i < s->nworkers; i++)
		if (s->workers[i]->started == 1)
			inbox_post(s->workers[i]->inbox, &s->workers[i]->quit);
	/* All first: each may still post to any other. */
	for (unsigned i = 0; i < s->nworkers; i++)
		if (s->workers[i]->started == 1)
			(void)pthread_join(s->workers[i]->thread, NULL);
	/* What they published last. */
	inbox_run(s->inbox);
	for (unsigned i = 0; i < s->nworkers; i++)
		worker_free(TAKE(s->workers[i]));
	s->nworkers = 0;
}

/* ---- the thread ---- */

static int
open_worker(struct api_worker *w, const struct http_options *options)
{
	struct http_ops ops = api_http_ops;
	int r = loop_new(&w->loop, &w->err);

	/* Then no copy of the request's line is kept for its log. */
	if (!log_on(LV_DEBUG))
		ops.on_answered = NULL;

	if (r == 0)
		r = streams_new(w, &w->stream_hub, &w->err);
	if (r == 0)
		r = http_server_new(w->loop, options, &ops, w, &w->server, &w->err);
	/* Last: what was posted meanwhile finds everything. */
	if (r == 0)
		r = inbox_serve(w->inbox, w->loop);
	return r;
}

static void
close_worker(struct api_worker *w)
{
	inbox_leave(w->inbox);
	streams_free(w->stream_hub);
	http_server_free(w->server);
	loop_free(w->loop);
}

/* Until `started` is set, `st` and the worker are shared with the thread that waits for it. */
static void
say_started(struct start *st, struct api_worker *w, int r)
{
	(void)pthread_mutex_lock(&st->lock);
	w->started = r < 0 ? r : 1;
	(void)pthread_cond_signal(&st->changed);
	(void)pthread_mutex_unlock(&st->lock);
}

static void
lower(unsigned *n, unsigned most)
{
	if (*n > most)
		*n = most;
}

static void *
worker_main(void *arg)
{
	struct start *st = arg;
	struct api_worker *w = st->worker;
	unsigned no = w->no;
	int r = fdtable_own(st->keep, st->nkeep, &w->err);

	if (r < 0) {
		/* It works as well, with fewer connections. */
		log_event(LV_WARN, "api.shared_descriptors", KV_S("why", err_text(&w->err)));
		lower(&st->options.max_connections, st->per_table / w->state->nworkers);
	}
	r = open_worker(w, &st->options);
	say_started(st, w, r);
	if (r == 0) {
		r = loop_run(w->loop);
		/* epoll itself has failed: there is no going on, and no way to answer those who
		 * wait for us. Another process does better; the store is whole. */
		if (r < 0) {
			log_event(LV_ERR, "api.worker", KV_U("worker", no),
				  KV_S("why", strerror(-r)));
			_exit(1);
		}
	}
	close_worker(w);
	return NULL;
}

static int
start_one(struct start *st, struct api_worker *w, struct err *e)
{
	char name[16];
	int r;

	st->worker = w;
	r = -pthread_create(&w->thread, NULL, worker_main, st);
	if (r < 0)
		return err_set(e, r, "cannot start a thread: %s", strerror(-r));
	(void)snprintf(name, sizeof(name), "worker-%u", w->no);
	(void)pthread_setname_np(w->thread, name);
	(void)pthread_mutex_lock(&st->lock);
	while (w->started == 0)
		(void)pthread_cond_wait(&st->changed, &st->lock);
	(void)pthread_mutex_unlock(&st->lock);
	if (w->started == 1)
		return 0;
	(void)pthread_join(w->thread, NULL);
	return err_set(e, w->started, "%s", err_text(&w->err));
}

/* ---- starting ---- */

static unsigned
how_many(const struct conf *conf)
{
	cpu_set_t cpus;
	unsigned n = 1;

	if (conf->api_workers > 0)
		return (unsigned)conf->api_workers;
	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		n = (unsigned)CPU_COUNT(&cpus);
	return n < 1 ? 1 : n > WORKERS_DEFAULT_MAX ? WORKERS_DEFAULT_MAX : n;
}

static int
worker_new(struct api_state *s, unsigned no, struct err *e)
{
	struct api_worker *w = calloc(1, sizeof(*w));
	int r = w ? inbox_new(&w->inbox, e) : -ENOMEM;

	if (r == 0)
		r = metrics_init(&w->metrics);
	if (r < 0) {
		worker_free(w);
		return err_set(e, r, "cannot make a worker: %s", strerror(-r));
	}
	w->state = s;
	w->no = no;
	id_random(w->ids, sizeof(w->ids));
	list_init(&w->parked);
	w->poke.fn = relay_on_poke;
	w->stop.fn = on_stop;
	w->quit.fn = on_quit;
	w->drained.fn = on_drained;
	s->workers[s->nworkers++] = w;
	return 0;
}

static int
ascending(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Everybody rings everybody, and pokes the main thread. */
static void
note_inboxes(struct start *st, const struct api_state *s)
{
	st->keep[st->nkeep++] = inbox_fd(s->inbox);
	for (unsigned i = 0; i < s->nworkers; i++)
		st->keep[st->nkeep++] = inbox_fd(s->workers[i]->inbox);
	qsort(st->keep, st->nkeep, sizeof(st->keep[0]), ascending);
}

/* With SO_REUSEPORT a second suite on our port would quietly take half of what comes. */
static int
nobody_listens(struct api_state *s, struct http_options options, struct err *e)
{
	struct http_server *probe = NULL;
	int r;

	options.reuse_port = false;
	r = http_server_new(s->loop, &options, &api_http_ops, NULL, &probe, e);
	http_server_free(probe);
	return r;
}

static int
set_ceilings(struct api_state *s, struct start *st, struct err *e)
{
	struct http_options *o = &st->options;
	unsigned long files = sandbox_raise_files();

	if (files <= SPARE_FDS)
		return err_set(
			e, -EINVAL,
			"RLIMIT_NOFILE: %lu descriptors are too few, more than %d are needed",
			files, SPARE_FDS);
	o->all = &s->connections;
	o->max_all = o->max_connections;
	st->per_table = files - SPARE_FDS > UINT32_MAX ? UINT32_MAX : (unsigned)(files - SPARE_FDS);
	lower(&o->max_connections, st->per_table);
	return 0;
}

int
api_workers_start(struct api_state *s, const struct http_options *options, struct err *e)
{
	struct start st = {.options = *options};
	unsigned n = how_many(s->conf);
	int r = set_ceilings(s, &st, e);

	st.options.reuse_port = n > 1;
	if (r == 0 && n > 1)
		r = nobody_listens(s, st.options, e);
	for (unsigned i = 0; i < n && r == 0; i++)
		r = worker_new(s, i, e);
	if (r < 0)
		return r;
	note_inboxes(&st, s);
	(void)pthread_mutex_init(&st.lock, NULL);
	(void)pthread_cond_init(&st.changed, NULL);
	for (unsigned i = 0; i < n && r == 0; i++) {
		struct http_options o = st.options;

		r = start_one(&st, s->workers[i], e);
		st.options = o;
	}
	(void)pthread_cond_destroy(&st.changed);
	(void)pthread_mutex_destroy(&st.lock);
	return r;
}
