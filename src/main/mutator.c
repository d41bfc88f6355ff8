/* SPDX-License-Identifier: Apache-2.0 */
/* decnet-mutator: applies wanted changes of topologies. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bus/client.h"
#include "mutator/mutator.h"
#include "netdrv/loopback.h"
#include "netdrv/netns.h"
#include "store/db.h"
#include "store/threads.h"
#include "trace/trace.h"
#include "util/conf.h"
#include "util/fdpass.h"
#include "util/limits.h"
#include "util/log.h"
#include "util/loop.h"
#include "util/pool.h"

#define STORE_THREADS 3

struct program {
	struct conf conf;
	struct loop *loop;
	struct pool *pool;
	struct bus_client *bus;
	struct bus_sub *control;
	struct netdrv *driver;
	struct mutator *mutator;
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

	/* Hints may have been missed while the bus was away. */
	if (connected && p->mutator)
		mutator_wake(p->mutator);
}

static void
on_decoy(void *user, bool up)
{
	struct program *p = user;

	if (up && p->mutator)
		mutator_decoy_up(p->mutator);
}

/* With a channel to decnet-netd real networks, else the loopback's. -EINVAL when what is asked for
 * cannot be had. */
static int
open_driver(struct program *p, const int own_controls[NETDRV_CHANNELS], struct err *e)
{
	int netd = strcmp(p->conf.net_driver, "loopback") == 0 ? -ENOENT
							       : fdpass_inherited("DECNET_FD_NETD");

	if (netd >= 0)
		return netdrv_netns_new(p->loop, own_controls, netd, on_decoy, p, &p->driver, e);
	if (strcmp(p->conf.net_driver, "netns") == 0) {
		netdrv_close_channels(own_controls);
		return err_set(e, -EINVAL,
			       "DECNET_NET_DRIVER: netns: no channel to decnet-netd; decnet up "
			       "starts it");
	}
	return netdrv_loopback_new(p->loop, own_controls, (uint16_t)p->conf.port_offset, on_decoy,
				   p, &p->driver, e);
}

static int
open_all(struct program *p, struct err *e)
{
	static const int signos[] = {SIGTERM, SIGINT, 0};
	const int controls[NETDRV_CHANNELS] = {fdpass_inherited("DECNET_FD_CONTROL"),
					       fdpass_inherited("DECNET_FD_CONTROL_UDP")};
	int r;

	if (controls[0] < 0)
		return err_set(
			e, controls[0],
			"DECNET_FD_CONTROL: no control channel; decnet up starts this process");
	r = loop_new(&p->loop, e);
	if (r == 0)
		r = loop_signals(p->loop, signos, on_signal, p);
	if (r == 0)
		r = db_migrate(p->conf.db_url, e);
	if (r == 0)
		r = store_threads_new(p->loop, p->conf.db_url, STORE_THREADS, LIMIT_STORE_QUEUE,
				      &p->pool, e);
	if (r == 0)
		r = bus_client_new(p->loop, &p->conf, "mutator", on_bus, p, &p->bus, e);
	if (r == 0)
		r = open_driver(p, controls, e);
	else
		netdrv_close_channels(controls);
	if (r == 0)
		r = mutator_new(p->loop, &p->conf, p->pool, p->bus, p->driver, &p->mutator, e);
	return r;
}

int
main(void)
{
	struct program p = {0};
	struct err e = {0};
	int r;

	(void)signal(SIGPIPE, SIG_IGN);
	r = conf_load(&p.conf, &e);
	if (r < 0) {
		(void)fprintf(stderr, "decnet-mutator: %s\n", err_text(&e));
		return 2;
	}
	conf_log(&p.conf, "decnet-mutator");
	r = trace_start(p.conf.otlp_endpoint, "decnet-mutator", &e);
	if (r == 0)
		r = open_all(&p, &e);
	if (r == 0) {
		log_event(LV_INFO, "process.start", KV_S("driver", p.driver->ops->name),
			  KV_S("host", p.conf.host_name));
		fdpass_ready();
		r = loop_run(p.loop);
	}
	if (r < 0)
		log_event(LV_ERR, "process.failed", KV_S("why", err_text(&e)));
	if (p.mutator)
		mutator_stop(p.mutator);
	/* The pool and the driver first: their last answers still find everything that they point
	 * at. */
	pool_free(p.pool);
	if (p.driver)
		p.driver->ops->free(p.driver);
	mutator_free(p.mutator);
	trace_stop();
	bus_client_free(p.bus);
	loop_free(p.loop);
	conf_fini(&p.conf);
	return r == -EINVAL ? 2 : r < 0 ? 1 : 0;
}
