/* SPDX-License-Identifier: Apache-2.0 */
/* Counters by name with a ceiling, and the numbers that belong to a decky. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "decoy/persona.h"
#include "decoy/tally.h"

#define DAY_MS UINT64_C(86400000)

static void
counts_up_to_the_ceiling(void **state)
{
	struct tally *t = calloc(1, sizeof(*t));
	struct tally_entry *a[3], *b = NULL;

	(void)state;
	assert_non_null(t);
	tally_init(t);
	assert_int_equal(tally_take(t, "192.0.2.1", 0, &b), -EBUSY);
	for (int i = 0; i < 3; i++)
		assert_int_equal(tally_take(t, "192.0.2.1", 3, &a[i]), 0);
	assert_int_equal(tally_take(t, "192.0.2.1", 3, &b), -EBUSY);
	assert_int_equal(tally_take(t, "192.0.2.2", 3, &b), 0);
	assert_ptr_equal(tally_find(t, "192.0.2.1"), a[0]);
	assert_ptr_equal(tally_find(t, "192.0.2.2"), b);
	assert_null(tally_find(t, "192.0.2.3"));
	assert_true(list_empty(tally_members(b)));
	tally_give(a[0]);
	assert_int_equal(tally_take(t, "192.0.2.1", 3, &a[0]), 0);
	for (int i = 0; i < 3; i++)
		tally_give(a[i]);
	tally_give(b);
	tally_give(NULL);
	/* Nothing is kept of those that are gone. */
	for (size_t i = 0; i < TALLY_BUCKETS; i++)
		assert_true(list_empty(&t->buckets[i]));
	tally_fini(t);
	free(t);
}

static void
many_names(void **state)
{
	struct tally *t = calloc(1, sizeof(*t));
	struct tally_entry *e;
	char name[80];

	(void)state;
	assert_non_null(t);
	tally_init(t);
	for (int i = 0; i < 10000; i++) {
		(void)snprintf(name, sizeof(name), "2001:db8::%x", i);
		assert_int_equal(tally_take(t, name, 1, &e), 0);
		assert_int_equal(tally_take(t, name, 1, &e), -EBUSY);
	}
	/* Names that differ only behind the ceiling of their length are one. */
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(tally_take(t, name, 1, &e), 0);
	name[TALLY_NAME_MAX + 1] = 'y';
	assert_int_equal(tally_take(t, name, 1, &e), -EBUSY);
	tally_fini(t);
	free(t);
}

static void
a_decky_is_like_itself(void **state)
{
	uint64_t now = UINT64_C(1769847300250), boot = persona_boot_ms(7, now);
	char hex[41], again[41];

	(void)state;
	assert_true(boot < now && now - boot < 161 * DAY_MS);
	/* The clock goes on, the start does not, until it reboots. */
	for (uint64_t at = now; at < now + 400 * DAY_MS; at += DAY_MS / 3) {
		uint64_t b = persona_boot_ms(7, at);

		assert_true(b <= at && at - b < 161 * DAY_MS);
		assert_true(b == boot || b >= boot + 25 * DAY_MS);
		boot = b;
	}
	persona_hex(7, "run", hex, 40);
	persona_hex(7, "run", again, 40);
	assert_string_equal(hex, again);
	assert_int_equal(strlen(hex), 40);
	persona_hex(8, "run", again, 40);
	assert_string_not_equal(hex, again);
	for (uint64_t seed = 0; seed < 1000; seed++) {
		uint64_t n = persona_pick(seed, "n", 5, 9);

		assert_true(n >= 5 && n <= 9);
	}
}

static void
latencies_stay_in_their_bounds(void **state)
{
	(void)state;
	for (size_t s = 0; s < decoy_services_count; s++) {
		const struct decoy_service *svc = decoy_services[s];

		for (unsigned p = 0; p < DECOY_PAUSE_COUNT; p++) {
			const struct decoy_latency *l = &svc->latency[p];

			for (uint64_t i = 0; i < 2000; i++) {
				uint32_t ms = persona_latency_ms(svc, (enum decoy_pause)p, i % 50,
								 persona_number(i, 1, UINT32_MAX));

				if (ms < l->min_ms || ms > l->max_ms)
					fail_msg("%s, pause %u: %u ms", svc->name, p, ms);
			}
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_up_to_the_ceiling),
		cmocka_unit_test(many_names),
		cmocka_unit_test(a_decky_is_like_itself),
		cmocka_unit_test(latencies_stay_in_their_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
