/* SPDX-License-Identifier: Apache-2.0 */
/* decnet-api: REST, streams and the dashboard. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/peers.h"
#include "api/relay.h"
#include "api/server.h"
#include "api/state.h"
#include "api/worker.h"
#include "bus/event.h"
#include "http/tls.h"
#include "store/journal.h"
#include "store/threads.h"
#include "store/user.h"
#include "store/worker.h"
#include "trace/trace.h"
#include "util/clock.h"
#include "util/fdpass.h"
#include "util/json.h"
#include "util/limits.h"
#include "util/log.h"

#define PROGRAM		    "decnet-api"
#define STORE_THREADS	    4
#define HASH_THREADS	    2
#define METRICS_CONNECTIONS 16
#define TIDY_MS		    60000
#define STOP_MS		    5000 /* what is being answered may go on for so long */
#define DAY_MS		    86400000u

/* A chore on a store thread; at most one of its kind is under way. */
struct chore {
	struct pool_job job;
	struct loop_timer timer;
	struct program *program;
	const char *name;
	uint64_t every_ms;
	int (*run)(struct program *p, struct db *db, struct err *e);
	struct err err;
	int code;
	bool failing;
};

struct program {
	struct conf conf;
	struct api_state state;
	struct http_server *metrics;
	struct http_tls *tls; /* NULL: plain */
	struct chore beat, tidy, peers;
	bool joined, stopping;
};

static int
beat(struct program *p, struct db *db, struct err *e)
{
	int r = db_begin_write(db, e);

	if (r == 0)
		r = worker_beat(db, "api", getpid(), p->state.started_ms, clock_unix_ms(), NULL, e);
	if (r == 0)
		r = db_commit(db, e);
	db_rollback(db);
	return r;
}

static int
tidy(struct program *p, struct db *db, struct err *e)
{
	uint64_t now = clock_unix_ms(), days = p->conf.journal_retention_days * DAY_MS;
	int r = db_begin_write(db, e);

	if (r == 0)
		r = denylist_trim(db, now, e);
	if (r == 0)
		r = limiter_tidy(&p->state.limiter, db, now, e);
	if (r == 0)
		r = db_commit(db, e);
	db_rollback(db);
	if (r == 0)
		r = journal_trim(db, p->conf.journal_retention_rows, now > days ? now - days : 0,
				 e);
	return r;
}

static int
look_at_peers(struct program *p, struct db *db, struct err *e)
{
	return peers_beat(p->state.peers, db, e);
}

static void
chore_run(struct pool_job *job, void *thread_state)
{
	struct chore *c = job->user;

	c->err.msg[0] = '\0';
	c->code = c->run(c->program, thread_state, &c->err);
}

static void on_chore_due(struct loop_timer *t);

static void
chore_wait(struct chore *c)
{
	if (!c->program->stopping &&
	    loop_timer_set(c->program->state.loop, &c->timer, c->every_ms, on_chore_due, c) < 0)
		loop_stop(c->program->state.loop);
}

static void
chore_done(struct pool_job *job)
{
	struct chore *c = job->user;

	/* One comes every second: what goes on failing is said once. */
	if (c->code < 0 && !c->failing)
		log_event(LV_WARN, "api.chore", KV_S("chore", c->name),
			  KV_S("why", err_text(&c->err)));
	c->failing = c->code < 0;
	chore_wait(c);
}

static void
publish_health(struct program *p)
{
	uint64_t now = loop_unix_ms(p->state.loop);
	json_t *payload = json_pack("{s:s, s:i, s:I, s:f}", "worker", "api", "pid", (int)getpid(),
				    "uptime_sec", (json_int_t)((now - p->state.started_ms) / 1000),
				    "ts", (double)now / 1000);
	char *text = payload ? json_text(payload) : NULL;

	if (text)
		(void)bus_publish_event(p->state.bus, "system.api.health", now, 0, text);
	free(text);
	json_decref(payload);
}

static void
on_chore_due(struct loop_timer *t)
{
	struct chore *c = t->user;

	if (c == &c->program->beat && atomic_load(&c->program->state.bus_connected))
		publish_health(c->program);
	c->job = (struct pool_job){.run = chore_run, .done = chore_done, .user = c};
	if (pool_submit(c->program->state.pool, &c->job) < 0)
		chore_wait(c);
}

static void
on_drained(void *user)
{
	struct program *p = user;

	loop_stop(p->state.loop);
}

static void
begin_stop(struct program *p)
{
	if (p->stopping)
		return;
	p->stopping = true;
	if (p->metrics)
		http_server_drain(p->metrics);
	api_workers_stop(&p->state, STOP_MS, on_drained, p);
}

/* A renewed certificate is taken up without a restart; streams go on. */
static void
reload(struct program *p)
{
	struct err e = {0};

	if (p->tls && http_tls_reload(p->tls, &e) < 0)
		log_event(LV_ERR, "api.reload", KV_S("why", err_text(&e)));
	else
		log_plain(LV_INFO, "api.reload");
}

static void
on_signal(void *user, int signo)
{
	if (signo == SIGHUP) {
		reload(user);
		return;
	}
	log_event(LV_INFO, "process.stop", KV_I("signal", signo));
	begin_stop(user);
}

static void
on_bus_state(void *user, bool connected)
{
	struct program *p = user;

	atomic_store(&p->state.bus_connected, connected);
	log_event(LV_INFO, "api.bus", KV_S("state", connected ? "connected" : "lost"));
	if (connected)
		publish_health(p);
	/* Hints may have been lost. */
	relay_poke(&p->state, NULL);
}

/* The second token of `system.<worker>.health`. */
static struct sv
worker_of(struct sv subject)
{
	(void)sv_cut(&subject, '.');
	return sv_cut(&subject, '.');
}

static void
on_health(void *user, struct sv subject, struct sv message)
{
	static const char *const own[] = {"worker", "pid", "uptime_sec", "ts"};
	struct program *p = user;
	struct bus_event ev;
	char *extra;

	if (bus_event_decode(message, &ev, NULL) < 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		(void)json_object_del(ev.payload, own[i]);
	extra = json_text(ev.payload);
	if (extra)
		api_heard(&p->state, worker_of(subject), loop_unix_ms(p->state.loop), extra);
	free(extra);
	bus_event_fini(&ev);
}

static void
on_control(void *user, struct sv subject, struct sv message)
{
	struct program *p = user;
	const char *action;
	struct bus_event ev;

	(void)subject;
	if (bus_event_decode(message, &ev, NULL) < 0)
		return;
	action = json_get_text(ev.payload, "action");
	if (action && strcmp(action, "stop") == 0) {
		log_plain(LV_INFO, "process.asked_to_stop");
		begin_stop(p);
	}
	bus_event_fini(&ev);
}

static int
open_store(struct program *p, struct err *e)
{
	struct db *db = NULL;
	int r = db_migrate(p->conf.db_url, e);

	if (r == 0)
		r = db_open(p->conf.db_url, DB_READ_WRITE, &db, e);
	if (r < 0)
		err_wrap(e, "store of DECNET_DB_URL");
	if (r == 0)
		r = api_first_admin(db, &p->conf, e);
	p->joined = r == 0;
	if (r == 0)
		r = peers_join(p->state.peers, db, e);
	db_close(db);
	if (r == 0)
		r = store_threads_new(p->state.loop, p->conf.db_url, STORE_THREADS,
				      LIMIT_STORE_QUEUE, &p->state.pool, e);
	if (r == 0)
		r = store_threads_new(p->state.loop, p->conf.db_url, HASH_THREADS, LIMIT_HASH_QUEUE,
				      &p->state.hash_pool, e);
	return r;
}

static int
open_bus(struct program *p, struct err *e)
{
	struct bus_sub *health, *control;
	struct api_state *s = &p->state;
	int r = bus_client_new(s->loop, &p->conf, "api", on_bus_state, p, &s->bus, e);

	if (r < 0)
		return r;
	s->bus_null = bus_client_null(s->bus);
	r = bus_subscribe(s->bus, "system.*.health", NULL, on_health, p, &health);
	if (r == 0)
		r = bus_subscribe(s->bus, "system.api.control", NULL, on_control, p, &control);
	return r < 0 ? err_set(e, r, "bus: cannot subscribe") : relay_subscribe(s, e);
}

static void
start_chore(struct program *p, struct chore *c, const char *name, uint64_t every_ms,
	    int (*run)(struct program *, struct db *, struct err *))
{
	c->program = p;
	c->name = name;
	c->every_ms = every_ms;
	c->run = run;
	c->timer.user = c;
	on_chore_due(&c->timer);
}

/* A port that is taken is nothing to fail for: so a second suite on the machine finds it. An
 * address that is not ours is a mistake. */
static int
open_metrics(struct program *p, struct err *e)
{
	struct http_options options = {.max_connections = METRICS_CONNECTIONS};
	struct sv port = sv_from(p->conf.metrics_listen);
	struct err why = {0};
	char host[256];
	uint64_t n;
	size_t colon = port.n;
	int r;

	if (port.n == 0)
		return 0;
	while (colon > 0 && port.p[colon - 1] != ':')
		colon--;
	if (colon == 0 || sv_copy((struct sv){port.p, colon - 1}, host, sizeof(host)) < 0 ||
	    sv_u64(sv_drop(port, colon), 65535, &n) < 0)
		return err_set(e, -EINVAL, "DECNET_METRICS_LISTEN: expected address:port");
	options.host = host;
	options.port = (uint16_t)n;
	r = http_server_new(p->state.loop, &options, &api_metrics_ops, &p->state, &p->metrics,
			    &why);
	if (r == -EADDRNOTAVAIL)
		return err_set(e, -EINVAL, "DECNET_METRICS_LISTEN: %s", err_text(&why));
	if (r < 0)
		log_event(LV_WARN, "api.no_metrics", KV_S("why", err_text(&why)));
	return 0;
}

static int
open_tls(struct program *p, struct err *e)
{
	int r = 0;

	if (p->conf.tls_cert)
		r = http_tls_new(p->conf.tls_cert, p->conf.tls_key, &p->tls, e);
	if (r < 0)
		err_wrap(e, "DECNET_TLS_CERT, DECNET_TLS_KEY");
	return r;
}

static int
open_all(struct program *p, struct err *e)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP, 0};
	struct http_options options = {
		.host = p->conf.api_host,
		.port = (uint16_t)p->conf.api_port,
		.max_connections = (unsigned)p->conf.max_connections,
		.body_max = LIMIT_BODY_BYTES,
	};
	int r;

	r = api_state_init(&p->state, &p->conf, e);
	/* Only a supervisor leaves this, and it takes us with it when it dies. */
	if (getenv("DECNET_READY_FD"))
		p->state.supervisor = getppid();

	if (r == 0)
		r = loop_new(&p->state.loop, e);
	if (r == 0)
		r = loop_signals(p->state.loop, signals, on_signal, p);
	if (r == 0)
		r = open_store(p, e);
	if (r == 0)
		r = open_bus(p, e);
	if (r == 0)
		r = inbox_serve(p->state.inbox, p->state.loop);
	if (r == 0)
		r = open_tls(p, e);
	options.tls = p->tls;
	if (r == 0)
		r = api_workers_start(&p->state, &options, e);
	if (r == -EADDRNOTAVAIL) {
		err_wrap(e, "DECNET_API_HOST");
		r = -EINVAL;
	}
	return r < 0 ? r : open_metrics(p, e);
}

static void
say_goodbye(struct program *p)
{
	struct err e = {0};
	struct db *db;

	if (db_open(p->conf.db_url, DB_READ_WRITE, &db, &e) < 0)
		return;
	/* Without having served there is no heartbeat, and somebody else's is left alone. */
	if (db_begin_write(db, &e) == 0 && worker_remove(db, "api", getpid(), &e) == 0 &&
	    peers_leave(p->state.peers, db, &e) == 0 && db_commit(db, &e) == 0)
		log_plain(LV_DEBUG, "api.goodbye");
	db_close(db);
}

static int
serve(struct program *p, struct err *e)
{
	int r = open_all(p, e);

	if (r == 0) {
		start_chore(p, &p->beat, "heartbeat", WORKER_BEAT_MS, beat);
		start_chore(p, &p->tidy, "tidy", TIDY_MS, tidy);
		start_chore(p, &p->peers, "peers", PEERS_BEAT_MS, look_at_peers);
		log_event(LV_INFO, "process.start", KV_S("host", p->conf.api_host),
			  KV_U("port", p->conf.api_port), KV_U("workers", p->state.nworkers));
		fdpass_ready();
		r = loop_run(p->state.loop);
		if (r < 0)
			r = err_set(e, r, "loop: %s", strerror(-r));
		p->stopping = true;
	}
	/* The pools first: their last answers still find everything that they point at. */
	pool_stop(p->state.hash_pool);
	pool_stop(p->state.pool);
	api_workers_quit(&p->state);
	http_tls_free(p->tls);
	pool_free(p->state.hash_pool);
	pool_free(p->state.pool);
	if (p->joined)
		say_goodbye(p);
	http_server_free(p->metrics);
	bus_client_free(p->state.bus);
	if (p->state.inbox)
		inbox_leave(p->state.inbox);
	loop_free(p->state.loop);
	api_state_fini(&p->state);
	return r;
}

int
main(int argc, char **argv)
{
	struct program *p = calloc(1, sizeof(*p));
	struct err e = {0};
	int r;

	(void)argv;
	if (argc > 1 || !p) {
		(void)fprintf(stderr, "usage: " PROGRAM " (settings come from the environment)\n");
		free(p);
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	r = conf_load(&p->conf, &e);
	if (r == 0) {
		conf_log(&p->conf, PROGRAM);
		r = trace_start(p->conf.otlp_endpoint, PROGRAM, &e);
		if (r == 0)
			r = serve(p, &e);
		trace_stop();
	}
	conf_fini(&p->conf);
	free(p);
	if (r == 0)
		return 0;
	(void)fprintf(stderr, PROGRAM ": %s\n", err_text(&e));
	return r == -EINVAL ? 2 : 1;
}
