/* SPDX-License-Identifier: Apache-2.0 */
/* decnet-bus: the embedded broker. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "bus/server.h"
#include "util/conf.h"
#include "util/fdpass.h"
#include "util/limits.h"
#include "util/log.h"
#include "util/loop.h"

#define PROGRAM		  "decnet-bus"
#define SPARE_DESCRIPTORS 64

static void
on_signal(void *user, int signo)
{
	log_event(LV_INFO, "bus.stop", KV_I("signal", signo));
	loop_stop(user);
}

/* One descriptor per client and some of our own. */
static void
raise_descriptors(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0 ||
	    lim.rlim_cur >= LIMIT_BUS_CLIENTS + SPARE_DESCRIPTORS)
		return;
	lim.rlim_cur = lim.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &lim) < 0)
		log_event(LV_WARN, "bus.descriptors", KV_S("why", strerror(errno)));
}

static int
serve(const struct conf *conf, struct err *e)
{
	static const int signals[] = {SIGTERM, SIGINT, 0};
	struct bus_server *server = NULL;
	struct loop *loop = NULL;
	int r;

	raise_descriptors();
	r = loop_new(&loop, e);
	if (r < 0)
		return r;
	if (loop_signals(loop, signals, on_signal, loop) < 0)
		r = err_set(e, -errno, "cannot take signals: %m");
	if (r == 0)
		r = bus_server_open(loop, conf, &server, e);
	if (r == 0) {
		log_event(LV_INFO, "bus.start", KV_S("socket", conf->bus_socket));
		fdpass_ready();
		r = loop_run(loop);
		if (r < 0)
			r = err_set(e, r, "loop: %s", strerror(-r));
	}
	bus_server_close(server);
	loop_free(loop);
	return r;
}

int
main(int argc, char **argv)
{
	struct conf conf = {0};
	struct err e = {0};
	int r;

	(void)argv;
	if (argc > 1) {
		(void)fprintf(stderr, "usage: " PROGRAM " (settings come from the environment)\n");
		return 2;
	}
	r = conf_load(&conf, &e);
	if (r == 0) {
		conf_log(&conf, PROGRAM);
		r = serve(&conf, &e);
	}
	conf_fini(&conf);
	if (r == 0)
		return 0;
	(void)fprintf(stderr, PROGRAM ": %s\n", err_text(&e));
	return r == -EINVAL ? 2 : 1;
}
