/* SPDX-License-Identifier: Apache-2.0 */
/* `decnet demo`: a first network to look at. Writes the store itself, so it needs no login. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bus/client.h"
#include "cli/command.h"
#include "store/db.h"
#include "store/journal.h"
#include "store/topology.h"
#include "topology/generator.h"
#include "util/clock.h"
#include "util/conf.h"
#include "util/json.h"
#include "util/loop.h"

#define ACTIVE_MS 30000
#define LOOK_MS	  50
#define HINT_MS	  2000

/* Create it and ask for its deploy, unless there is one. 1 created, 0 there already, or a negative
 * errno. */
static int
create(struct db *db, const struct conf *conf, struct err *e)
{
	struct topo *t = topo_new();
	struct topo_refusal refusal = {0};
	struct topo_world w = {0};
	uint64_t now = clock_unix_ms();
	char id[ID_UUID_SIZE];
	int r = t ? db_begin_write(db, e) : -ENOMEM;

	if (r == 0)
		r = topology_find_name(db, "demo", id, e);
	if (r != 0) {
		db_rollback(db);
		topo_free(t);
		return r < 0 ? r : 0;
	}
	r = topology_world(db, conf->pool, NULL, &w, e);
	if (r == 0) {
		r = topo_demo(t, &w, &refusal);
		if (r < 0)
			(void)err_set(e, r, "%s", refusal.text);
		topo_refusal_fini(&refusal);
		topology_world_fini(&w);
	}
	if (r == 0)
		r = topology_insert(db, t, now, e);
	if (r == 0)
		r = topology_set_status(db, t, TOPO_DEPLOYING, NULL, now, e);
	if (r == 0)
		r = db_commit(db, e);
	db_rollback(db);
	topo_free(t);
	return r < 0 ? r : 1;
}

static void
ignore(void *user, struct sv subject, struct sv payload)
{
	(void)user;
	(void)subject;
	(void)payload;
}

/* Tell the others, so that nobody waits for a poll. At most once, as ever: without a bus it only
 * takes longer. */
static void
publish(struct db *db, const struct conf *conf)
{
	struct journal_rows rows;
	struct bus_client *bus = NULL;
	struct bus_sub *sub = NULL;
	struct loop *loop = NULL;
	uint64_t end = clock_mono_ms() + HINT_MS;

	journal_take(db, &rows);
	if (loop_new(&loop, NULL) == 0 &&
	    bus_client_new(loop, conf, "cli", NULL, NULL, &bus, NULL) == 0 &&
	    !bus_client_null(bus) &&
	    bus_subscribe(bus, "_INBOX.demo", NULL, ignore, NULL, &sub) == 0) {
		/* The subscription is what opens the connection: that happens at its first use. */
		while (!bus_client_connected(bus) && clock_mono_ms() < end)
			if (loop_turn(loop, LOOK_MS) < 0)
				break;
		for (size_t i = 0; i < rows.n; i++)
			(void)bus_publish_event(bus, rows.v[i].topic, rows.v[i].ts_ms,
						rows.v[i].seq, rows.v[i].payload);
		for (int turn = 0; turn < 4; turn++)
			if (loop_turn(loop, 10) < 0)
				break;
	}
	bus_client_free(bus);
	loop_free(loop);
	journal_rows_fini(&rows);
}

/* Wait until it is deployed. 0 and the topology, -ETIMEDOUT, or a failure. */
static int
wait_active(struct db *db, struct topo **ret_topo, struct err *e)
{
	const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
	uint64_t end = clock_mono_ms() + ACTIVE_MS;
	char id[ID_UUID_SIZE];

	for (;;) {
		struct topo *t = NULL;
		int r = topology_find_name(db, "demo", id, e);

		if (r > 0)
			r = topology_load(db, id, &t, e);
		if (r < 0)
			return r;
		if (t && t->status != TOPO_DEPLOYING) {
			*ret_topo = t;
			return 0;
		}
		topo_free(t);
		if (clock_mono_ms() > end)
			return err_set(e, -ETIMEDOUT,
				       "the demo is not deployed yet; is the suite running?");
		(void)nanosleep(&pause, NULL);
	}
}

/* The address and port of the first endpoint of that service; false when there is none. */
static bool
endpoint(const struct topo *t, const char *service, const char **ret_address, int *ret_port)
{
	for (size_t i = 0; i < t->ndeckies; i++) {
		const json_t *item;
		size_t k;

		json_array_foreach(t->deckies[i].endpoints, k, item)
		{
			if (strcmp(json_get_text(item, "service"), service) != 0)
				continue;
			*ret_address = json_get_text(item, "address");
			*ret_port = (int)json_integer_value(json_object_get(item, "port"));
			return true;
		}
	}
	return false;
}

static void
print_lines(const struct topo *t)
{
	const char *address;
	int port;

	(void)printf("  network     %s: %zu LANs, %zu deckies, %s\n\n  three lines to try:\n",
		     t->name, t->nlans, t->ndeckies, topo_status_word(t->status));
	if (endpoint(t, "http", &address, &port))
		(void)printf("    curl http://%s:%d/\n", address, port);
	if (endpoint(t, "telnet", &address, &port))
		(void)printf("    telnet %s %d\n", address, port);
	if (endpoint(t, "redis", &address, &port))
		(void)printf("    redis-cli -h %s -p %d info server\n", address, port);
}

int
cmd_demo(struct cli *c)
{
	struct conf conf = {0};
	struct topo *t = NULL;
	struct db *db = NULL;
	struct err e = {0};
	int r = cli_options(c, NULL, 0, 0, 0);

	if (r != 0)
		return r;
	if (conf_load(&conf, &e) < 0)
		return cli_fail(CLI_USAGE, "%s", err_text(&e));
	r = db_migrate(conf.db_url, &e);
	if (r == 0)
		r = db_open(conf.db_url, DB_READ_WRITE, &db, &e);
	if (r == 0)
		r = create(db, &conf, &e);
	if (r > 0)
		publish(db, &conf);
	if (r >= 0)
		r = wait_active(db, &t, &e);
	if (r == 0)
		print_lines(t);
	r = r < 0 ? cli_fail(CLI_FAILED, "%s", err_text(&e)) : CLI_OK;
	topo_free(t);
	db_close(db);
	conf_fini(&conf);
	return r;
}
