/* SPDX-License-Identifier: Apache-2.0 */
/* decnet-netd: the only privileged process. Makes and removes decoy networks, at the request of the
 * mutator alone. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "netd/fabric.h"
#include "netd/guard.h"
#include "netd/host.h"
#include "netd/server.h"
#include "netd/uplink.h"
#include "util/conf.h"
#include "util/fdpass.h"
#include "util/log.h"
#include "util/loop.h"
#include "util/sandbox.h"

#define PROGRAM "decnet-netd"

struct program {
	struct conf conf;
	struct loop *loop;
	struct fabric *fabric;
	struct server *server;
	bool remove; /* at the end nothing is to stay */
};

static void
on_signal(void *user, int signo)
{
	struct program *p = user;

	log_event(LV_INFO, "process.stop", KV_I("signal", signo));
	p->remove = signo == SIGUSR1;
	loop_stop(p->loop);
}

static const char no_privilege[] =
	"root is needed, or a user namespace with a network and mounts of "
	"its own (unshare -Urnm decnet up)";

/* -EINVAL: this machine, or this user, cannot have decoy networks. */
static int
check_host(struct err *e)
{
	struct host_feature features[HOST_FEATURES_MAX];
	struct err why = {0};
	int n;

	if (!guard_privileged())
		return err_set(e, -EINVAL, "DECNET_NET_DRIVER: netns: %s", no_privilege);
	n = host_probe(features, e);
	for (int i = 0; i < n; i++)
		if (features[i].needed && !features[i].there)
			return err_set(e, -EINVAL,
				       "DECNET_NET_DRIVER: netns: this kernel lacks %s (%s)",
				       features[i].name, features[i].why);
	if (n < 0)
		return n;
	if (host_tune(&why) < 0)
		log_event(LV_WARN, "netd.shared_settings", KV_S("why", err_text(&why)));
	return 0;
}

/* `--check`: a line for each thing that is wanted, `ok …` or `bad …`, or `lacks …` where it does
 * without. -EINVAL when one is missing. */
static int
check(const struct conf *conf)
{
	struct host_feature features[HOST_FEATURES_MAX];
	struct uplink uplink;
	struct err e = {0};
	bool bad = !guard_privileged();
	int n = bad ? 0 : host_probe(features, &e);

	(void)printf("%s privileges%s%s\n", bad ? "bad" : "ok", bad ? ": " : "",
		     bad ? no_privilege : "");
	for (int i = 0; i < n; i++) {
		(void)printf("%s %s%s%s\n",
			     features[i].there	  ? "ok"
			     : features[i].needed ? "bad"
						  : "lacks",
			     features[i].name, features[i].there ? "" : ": ", features[i].why);
		bad |= features[i].needed && !features[i].there;
	}
	if (n < 0 || uplink_open(&uplink, conf->uplink, &e) < 0) {
		(void)printf("bad %s\n", err_text(&e));
		bad = true;
	} else {
		if (uplink.on)
			(void)printf("ok uplink %s\n", uplink.name);
		uplink_close(&uplink);
	}
	return bad ? -EINVAL : 0;
}

static int
open_all(struct program *p, int own_channel, struct err *e)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGUSR1, 0};
	char dir[1100];
	int r = loop_new(&p->loop, e);

	(void)sandbox_raise_files();
	(void)snprintf(dir, sizeof(dir), "%s/netns", p->conf.state_dir);
	if (r == 0)
		r = loop_signals(p->loop, signals, on_signal, p);
	if (r == 0)
		r = guard_capabilities(e);
	if (r == 0)
		r = fabric_new(dir, p->conf.uplink, &p->fabric, e);
	if (r == 0)
		r = guard_seal(e);
	if (r == 0)
		return server_new(p->loop, own_channel, p->fabric, &p->server, e);
	(void)close(own_channel);
	return r;
}

/* `--remove`: what a suite of this state directory has left behind. */
static int
remove_all(const struct conf *conf, struct err *e)
{
	struct fabric *fabric = NULL;
	char dir[1100];
	int r = check_host(e);

	(void)snprintf(dir, sizeof(dir), "%s/netns", conf->state_dir);
	if (r == 0)
		r = fabric_new(dir, NULL, &fabric, e);
	if (r == 0)
		fabric_remove(fabric);
	return r;
}

static int
serve(struct program *p, struct err *e)
{
	int channel = fdpass_inherited("DECNET_FD_NETD");
	int r;

	if (channel < 0)
		return err_set(e, -EINVAL,
			       "DECNET_FD_NETD: no channel; decnet up starts this process");
	r = check_host(e);
	if (r < 0)
		(void)close(channel);
	else
		r = open_all(p, channel, e);
	if (r == 0) {
		log_plain(LV_INFO, "process.start");
		fdpass_ready();
		r = loop_run(p->loop);
		if (r < 0)
			(void)err_set(e, r, "loop: %s", strerror(-r));
	}
	server_free(p->server);
	if (p->remove)
		fabric_remove(p->fabric);
	else
		fabric_free(p->fabric);
	loop_free(p->loop);
	return r;
}

int
main(int argc, char **argv)
{
	struct program p = {0};
	struct err e = {0};
	int r;

	if (argc > 2 ||
	    (argc == 2 && strcmp(argv[1], "--check") != 0 && strcmp(argv[1], "--remove") != 0)) {
		(void)fprintf(stderr, "usage: " PROGRAM " [--check | --remove] (settings come from "
				      "the environment)\n");
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	r = conf_load(&p.conf, &e);
	if (r == 0) {
		conf_log(&p.conf, PROGRAM);
		r = argc == 1		? serve(&p, &e)
		    : argv[1][2] == 'c' ? check(&p.conf)
					: remove_all(&p.conf, &e);
	}
	conf_fini(&p.conf);
	if (r < 0 && e.msg[0])
		(void)fprintf(stderr, PROGRAM ": %s\n", err_text(&e));
	return r == -EINVAL ? 2 : r < 0 ? 1 : 0;
}
