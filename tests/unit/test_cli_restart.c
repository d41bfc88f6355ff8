/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/restart.h"

static void
backs_off_and_forgets(void **state)
{
	static const uint64_t want[] = {200, 400, 800, 1600, 3200, 6400, 10000, 10000};
	struct restart r = {0};
	uint64_t now = 5;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		assert_int_equal(restart_on_exit(&r, now += 100), want[i]);
	/* Ready, but not for long. */
	restart_on_ready(&r, now);
	assert_int_equal(restart_on_exit(&r, now += RESTART_HEALTHY_MS - 1), RESTART_MOST_MS);
	restart_on_ready(&r, now);
	assert_int_equal(restart_on_exit(&r, now += RESTART_HEALTHY_MS), RESTART_FIRST_MS);
	assert_int_equal(restart_on_exit(&r, now), 2 * RESTART_FIRST_MS);
	assert_int_equal(r.count, ARRAY_LEN(want) + 3);
}

static void
orders_every_process(void **state)
{
	unsigned seen = 0;

	(void)state;
	assert_int_equal(process_stop_order(0), PROCESS_API);
	assert_int_equal(process_stop_order(PROCESS_COUNT - 1), PROCESS_BUS);
	for (unsigned place = 0; place < PROCESS_COUNT; place++)
		seen |= 1u << process_stop_order(place);
	assert_int_equal(seen, (1u << PROCESS_COUNT) - 1u);
	/* Each channel has one process that talks at one end at least. */
	assert_int_equal(process_capture_end(PROCESS_DECOY) + process_capture_end(PROCESS_RESOLVER),
			 1);
	assert_int_equal(process_control_end(PROCESS_DECOY) + process_control_end(PROCESS_MUTATOR),
			 1);
}

static void
reads_sets(void **state)
{
	unsigned set = 0;

	(void)state;
	assert_int_equal(process_parse_set("bus, api", &set), 0);
	assert_int_equal(set, 1u << PROCESS_BUS | 1u << PROCESS_API);
	assert_int_equal(process_parse_set("bus,nosuch", &set), -EINVAL);
	assert_int_equal(process_parse_set("", &set), -EINVAL);
	assert_int_equal(process_parse_set("bus,,api", &set), -EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(backs_off_and_forgets),
		cmocka_unit_test(orders_every_process),
		cmocka_unit_test(reads_sets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
