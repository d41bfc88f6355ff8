/* SPDX-License-Identifier: Apache-2.0 */
/* decnet-resolver: takes captures in, keeps attacker rows, resolves identities. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bus/client.h"
#include "resolver/replay.h"
#include "resolver/resolver.h"
#include "store/db.h"
#include "store/threads.h"
#include "util/conf.h"
#include "util/fdpass.h"
#include "util/log.h"
#include "util/loop.h"
#include "util/pool.h"

#define PROGRAM	   "decnet-resolver"
#define QUEUE_JOBS 8 /* a batch, two heartbeats, retention */

struct program {
	struct conf conf;
	struct loop *loop;
	struct pool *pool;
	struct bus_client *bus;
	struct resolver *resolver;
};

static void
on_signal(void *user, int signo)
{
	struct program *p = user;

	log_event(LV_INFO, "process.stop", KV_I("signal", signo));
	loop_stop(p->loop);
}

static void
on_bus(void *user, bool connected)
{
	struct program *p = user;

	if (connected && p->resolver)
		resolver_bus_up(p->resolver);
}

/* -EINVAL: the environment cannot be used. */
static int
open_all(struct program *p, struct err *e)
{
	static const int signals[] = {SIGTERM, SIGINT, 0};
	const int channels[RESOLVER_CHANNELS] = {fdpass_inherited("DECNET_FD_CAPTURE"),
						 fdpass_inherited("DECNET_FD_CAPTURE_UDP")};
	int r;

	if (channels[0] < 0)
		return err_set(
			e, -EINVAL,
			"DECNET_FD_CAPTURE: no capture channel; decnet up starts this process");
	r = loop_new(&p->loop, e);
	if (r == 0)
		r = loop_signals(p->loop, signals, on_signal, p);
	if (r == 0)
		r = db_migrate(p->conf.db_url, e);
	/* One thread: captures are stored in the order in which they came. */
	if (r == 0)
		r = store_threads_new(p->loop, p->conf.db_url, 1, QUEUE_JOBS, &p->pool, e);
	if (r == 0)
		r = bus_client_new(p->loop, &p->conf, "resolver", on_bus, p, &p->bus, e);
	if (r < 0) {
		for (size_t i = 0; i < RESOLVER_CHANNELS; i++)
			if (channels[i] >= 0)
				(void)close(channels[i]);
		return r;
	}
	return resolver_new(p->loop, &p->conf, p->pool, p->bus, channels, &p->resolver, e);
}

static int
serve(struct program *p, struct err *e)
{
	int r = open_all(p, e);

	if (r == 0) {
		log_plain(LV_INFO, "process.start");
		fdpass_ready();
		r = loop_run(p->loop);
		if (r < 0)
			r = err_set(e, r, "loop: %s", strerror(-r));
	}
	if (p->resolver)
		resolver_stop(p->resolver);
	/* The pool first: its last answers still find everything that they point at. */
	pool_free(p->pool);
	resolver_free(p->resolver);
	bus_client_free(p->bus);
	loop_free(p->loop);
	return r;
}

static int
usage(void)
{
	(void)fprintf(stderr,
		      "usage: " PROGRAM " (settings come from the environment)\n"
		      "       " PROGRAM " --replay FILE --out FILE [--events FILE] [--batch N] "
		      "[--rate N]\n");
	return 2;
}

/* Arguments in pairs; all of them or none. */
static int
read_arguments(int argc, char **argv, struct replay *ret)
{
	for (int i = 1; i < argc; i += 2) {
		const char *name = argv[i], *value = argv[i + 1];

		if (!value)
			return -EINVAL;
		if (strcmp(name, "--replay") == 0)
			ret->file = value;
		else if (strcmp(name, "--out") == 0)
			ret->out = value;
		else if (strcmp(name, "--events") == 0)
			ret->events = value;
		else if (strcmp(name, "--batch") == 0 || strcmp(name, "--rate") == 0) {
			if (sv_u64(sv_from(value), UINT32_MAX,
				   name[2] == 'b' ? &ret->batch : &ret->rate) < 0)
				return -EINVAL;
		} else {
			return -EINVAL;
		}
	}
	return argc > 1 && (!ret->file || !ret->out) ? -EINVAL : 0;
}

int
main(int argc, char **argv)
{
	struct program p = {0};
	struct replay replay = {NULL};
	struct err e = {0};
	int r;

	if (read_arguments(argc, argv, &replay) < 0)
		return usage();
	(void)signal(SIGPIPE, SIG_IGN);
	r = conf_load(&p.conf, &e);
	if (r == 0 && replay.file) {
		r = replay_run(&p.conf, &replay, &e);
	} else if (r == 0) {
		conf_log(&p.conf, PROGRAM);
		r = serve(&p, &e);
	}
	conf_fini(&p.conf);
	if (r == 0)
		return 0;
	(void)fprintf(stderr, PROGRAM ": %s\n", err_text(&e));
	return r == -EINVAL ? 2 : 1;
}
