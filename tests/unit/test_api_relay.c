/* SPDX-License-Identifier: Apache-2.0 */
/* Between the workers and the bus: pokes that wait are one, and what is too much is dropped and
 * counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/relay.h"
#include "api/worker.h"
#include "util/limits.h"

static unsigned poked[2];

static void
count_poke(void *user)
{
	poked[*(const unsigned *)user]++;
}

static const struct api_stream_ops ops = {.poke = count_poke};

struct world {
	struct api_state state;
	struct api_worker worker[2];
	struct conf conf;
};

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	char type[] = "unix", path[] = "/nonexistent/bus.sock";

	assert_non_null(w);
	w->conf.bus_type = strdup(type);
	w->conf.bus_socket = strdup(path);
	assert_int_equal(loop_new(&w->state.loop, NULL), 0);
	assert_int_equal(inbox_new(&w->state.inbox, NULL), 0);
	assert_int_equal(
		bus_client_new(w->state.loop, &w->conf, "api", NULL, NULL, &w->state.bus, NULL), 0);
	for (unsigned i = 0; i < 2; i++) {
		w->worker[i].no = i;
		w->worker[i].streams = &ops;
		w->worker[i].streams_user = &w->worker[i].no;
		w->worker[i].poke.fn = relay_on_poke;
		assert_int_equal(inbox_new(&w->worker[i].inbox, NULL), 0);
		w->state.workers[w->state.nworkers++] = &w->worker[i];
	}
	memset(poked, 0, sizeof(poked));
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	for (unsigned i = 0; i < 2; i++)
		inbox_free(w->worker[i].inbox);
	bus_client_free(w->state.bus);
	inbox_free(w->state.inbox);
	loop_free(w->state.loop);
	free(w->conf.bus_type);
	free(w->conf.bus_socket);
	free(w);
	return 0;
}

static void
pokes_that_wait_are_one(void **state)
{
	struct world *w = *state;

	relay_poke(&w->state, NULL);
	relay_poke(&w->state, &w->worker[0]);
	relay_poke(&w->state, NULL);
	inbox_run(w->worker[0].inbox);
	inbox_run(w->worker[1].inbox);
	assert_int_equal(poked[0], 1);
	assert_int_equal(poked[1], 1);
	/* Who pokes from now on pokes anew; the one who did the work is left out. */
	relay_poke(&w->state, &w->worker[1]);
	inbox_run(w->worker[0].inbox);
	inbox_run(w->worker[1].inbox);
	assert_int_equal(poked[0], 2);
	assert_int_equal(poked[1], 1);
}

static void
publishing_has_a_ceiling(void **state)
{
	struct world *w = *state;
	struct bus_client_stats bus;
	struct relay_stats n;

	for (unsigned i = 0; i < LIMIT_RELAY_NOTES + 10; i++)
		relay_publish(&w->state, "identity.updated", 1, i + 1, "{}", NULL);
	relay_stats(&w->state, &n);
	assert_int_equal(n.dropped, 10);
	assert_int_equal(n.rejected, 0);
	inbox_run(w->state.inbox);
	bus_client_stats(w->state.bus, &bus);
	assert_int_equal(bus.not_connected, LIMIT_RELAY_NOTES);
	/* There is room again. */
	relay_publish(&w->state, "identity.updated", 1, 1, "{}", NULL);
	relay_stats(&w->state, &n);
	assert_int_equal(n.dropped, 10);
	inbox_run(w->state.inbox);
	/* With the null bus nothing is even asked for. */
	w->state.bus_null = true;
	relay_publish(&w->state, "identity.updated", 1, 1, "{}", NULL);
	assert_int_equal(atomic_load(&w->state.relay_notes), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pokes_that_wait_are_one, setup, teardown),
		cmocka_unit_test_setup_teardown(publishing_has_a_ceiling, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
