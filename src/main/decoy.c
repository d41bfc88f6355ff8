/* SPDX-License-Identifier: Apache-2.0 */
/* decnet-decoy: all decoy services on sockets that it was handed. The only process that parses what
 * attackers send. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "decoy/engine.h"
#include "decoy/sandbox.h"
#include "util/clock.h"
#include "util/conf.h"
#include "util/fdpass.h"
#include "util/json.h"
#include "util/log.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
/* The leak checker needs calls that the sandbox takes away. */
const char *__asan_default_options(void);
const char *
__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif
#endif

static void
on_signal(void *user, int signo)
{
	(void)signo;
	loop_stop(user);
}

/* Things that libraries do once at their first use, and could not do in the sandbox. */
static void
warm_up(void)
{
	char text[CLOCK_ISO_SIZE];

	json_object_seed(0);
	clock_iso(clock_unix_ms(), text);
}

static int
run(const struct conf *conf, struct err *e)
{
	static const int signos[] = {SIGTERM, SIGINT, 0};
	int control = fdpass_inherited("DECNET_FD_CONTROL"),
	    capture = fdpass_inherited("DECNET_FD_CAPTURE");
	struct engine *engine = NULL;
	struct loop *loop = NULL;
	char empty[1100];
	int r;

	if (control < 0 || capture < 0)
		return err_set(e, -EBADF, "no channels; decnet up starts this process");
	(void)snprintf(empty, sizeof(empty), "%s/empty", conf->state_dir);
	if (mkdir(empty, 0555) < 0 && errno != EEXIST)
		return err_set(e, -errno, "%s: %m", empty);
	warm_up();
	r = sandbox_prove(e);
	if (r == 0)
		r = loop_new(&loop, e);
	if (r == 0)
		r = loop_signals(loop, signos, on_signal, loop);
	if (r == 0) {
		fdpass_ready();
		r = sandbox_close(empty, e);
	}
	if (r == 0)
		r = engine_new(loop, control, capture, &engine, e);
	if (r == 0) {
		log_event(LV_INFO, "process.start", KV_S("sandbox", "closed"));
		r = loop_run(loop);
	}
	engine_free(engine);
	loop_free(loop);
	return r;
}

int
main(void)
{
	struct conf conf = {0};
	struct err e = {0};
	int r;

	(void)signal(SIGPIPE, SIG_IGN);
	r = conf_load(&conf, &e);
	if (r < 0) {
		(void)fprintf(stderr, "decnet-decoy: %s\n", err_text(&e));
		return 2;
	}
	conf_log(&conf, "decnet-decoy");
	r = run(&conf, &e);
	if (r < 0)
		log_event(LV_ERR, "process.failed", KV_S("why", err_text(&e)));
	conf_fini(&conf);
	return r == -EBADF ? 2 : r < 0 ? 1 : 0;
}
