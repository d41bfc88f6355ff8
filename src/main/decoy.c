/* SPDX-License-Identifier: Apache-2.0 */
/* decnet-decoy: all decoy services of all deckies, on listening sockets that it is handed. The only
 * process that reads attackers' bytes; it locks itself in before the first one. */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "decoy/engine.h"
#include "util/clock.h"
#include "util/conf.h"
#include "util/fdpass.h"
#include "util/limits.h"
#include "util/log.h"
#include "util/loop.h"
#include "util/sandbox.h"

#define PROGRAM	      "decnet-decoy"
#define FILES_RESERVE 64 /* descriptors that are neither listener nor session */

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifdef SANITIZED
/* The leak checker traces the process from a thread of its own, which the sandbox forbids. */
const char *__asan_default_options(void);

const char *
__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

struct program {
	struct conf conf;
	struct loop *loop;
	struct engine *engine;
	bool datagrams; /* --udp */
	bool sealed;
};

static void
on_signal(void *user, int signo)
{
	struct program *p = user;

	log_event(LV_INFO, "process.stop", KV_I("signal", signo));
	engine_stop(p->engine);
}

static int
inherit(const char *name, const char *what, int *ret_fd, struct err *e)
{
	int fd = fdpass_inherited(name);

	if (fd < 0)
		return err_set(e, -EINVAL, "%s: no %s channel; decnet up starts this process", name,
			       what);
	*ret_fd = fd;
	return 0;
}

/* -EINVAL: the environment cannot be used. */
static int
open_all(struct program *p, struct err *e)
{
	static const int signals[] = {SIGTERM, SIGINT, 0};
	unsigned long files = sandbox_raise_files();
	struct session_limits limits = {
		.all = LIMIT_DECOY_SESSIONS,
		.per_decky = LIMIT_DECOY_SESSIONS_PER_DECKY,
		.per_source = LIMIT_DECOY_SESSIONS_PER_SOURCE,
	};
	int capture = -1, control = -1;
	int r = inherit("DECNET_FD_CAPTURE", "capture", &capture, e);

	if (r == 0)
		r = inherit("DECNET_FD_CONTROL", "control", &control, e);
	/* A part of the descriptors stays for listeners. */
	if (r == 0 && files / 2 < limits.all + FILES_RESERVE)
		limits.all = files / 2 > FILES_RESERVE ? (unsigned)files / 2 - FILES_RESERVE : 1;
	if (r == 0)
		r = loop_new(&p->loop, e);
	if (r == 0)
		r = loop_signals(p->loop, signals, on_signal, p);
	if (r == 0)
		return engine_new(p->loop, capture, control, &limits, p->datagrams, &p->engine, e);
	if (capture >= 0)
		(void)close(capture);
	if (control >= 0)
		(void)close(control);
	return r;
}

static int
lock_in(bool datagrams, struct err *e)
{
	struct sandbox_report report;
	char stamp[CLOCK_ISO_SIZE];
	int r;

	/* What is read from files at its first use must have been used before they are gone. */
	json_object_seed(0);
	clock_iso(clock_unix_ms(), stamp);
	r = sandbox_enter(PROGRAM, &report, e);
	if (r < 0)
		return r;
	if (report.why[0])
		log_event(LV_WARN, "sandbox.partial",
			  KV_S("network", report.network ? "own" : "shared"),
			  KV_S("root", report.root ? "empty" : "shared"), KV_S("why", report.why));
	log_event(LV_INFO, "sandbox.landlock", KV_U("version", report.landlock));
	r = sandbox_seal(datagrams, e);
	if (r < 0)
		err_wrap(e, "sandbox");
	return r;
}

static int
serve(struct program *p, struct err *e)
{
	int r = open_all(p, e);
	int ready = fdpass_inherited("DECNET_READY_FD");

	if (r == 0)
		r = lock_in(p->datagrams, e);
	if (r == 0) {
		p->sealed = true;
		log_event(LV_INFO, "process.start", KV_S("serves", p->datagrams ? "udp" : "tcp"));
		fdpass_ready_on(ready);
		r = engine_start(p->engine);
		if (r == 0)
			r = loop_run(p->loop);
		if (r < 0)
			(void)err_set(e, r, "loop: %s", strerror(-r));
	}
	engine_free(p->engine);
	loop_free(p->loop);
	return r;
}

int
main(int argc, char **argv)
{
	struct program p = {0};
	struct err e = {0};
	int r;

	p.datagrams = argc == 2 && strcmp(argv[1], "--udp") == 0;
	if (argc > 1 && !p.datagrams) {
		(void)fprintf(stderr,
			      "usage: " PROGRAM " [--udp] (settings come from the environment)\n");
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	r = conf_load(&p.conf, &e);
	if (r == 0) {
		conf_log(&p.conf, PROGRAM);
		r = serve(&p, &e);
	}
	conf_fini(&p.conf);
	if (r == 0)
		return 0;
	/* Behind the seal there is no stdio. */
	if (p.sealed)
		log_event(LV_ERR, "process.failed", KV_S("why", err_text(&e)));
	else
		(void)fprintf(stderr, PROGRAM ": %s\n", err_text(&e));
	return r == -EINVAL ? 2 : 1;
}
