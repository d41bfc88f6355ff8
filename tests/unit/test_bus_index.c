/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bus/index.h"
#include "bus/topic.h"
#include "util/attr.h"

static void
count(void *user, void *value)
{
	unsigned *hits = user;

	hits[*(unsigned char *)value]++;
}

static void
agrees_with_the_matcher(void **state)
{
	static const char *const patterns[] = {
		">",	 "*",	  "a",	   "a.>",   "a.*", "*.b",   "a.b",     "*.*",  "a.*.c",
		"a.b.>", "*.b.c", "*.*.*", "a.*.>", "b.>", "*.*.c", "a.b.c.d", "a.b>", "a*",
	};
	static const char *const subjects[] = {"a",	  "b",	   "a.b",   "a.c",
					       "b.b",	  "a.b.c", "a.x.c", "b.b.c",
					       "a.b.c.d", "x.y.z", "a.b>",  "a*"};
	struct bus_index *x = bus_index_new(12345);
	struct bus_index_node *nodes[ARRAY_LEN(patterns)];
	unsigned char ids[ARRAY_LEN(patterns)];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
		ids[i] = (unsigned char)i;
		nodes[i] = bus_index_hold(x, sv_from(patterns[i]));
		assert_non_null(nodes[i]);
		bus_index_set(nodes[i], &ids[i]);
	}
	assert_ptr_equal(bus_index_hold(x, SV("a.*.c")), nodes[8]);
	bus_index_drop(x, nodes[8]);
	for (size_t s = 0; s < ARRAY_LEN(subjects); s++) {
		unsigned hits[ARRAY_LEN(patterns)] = {0};

		bus_index_match(x, sv_from(subjects[s]), count, hits);
		for (size_t i = 0; i < ARRAY_LEN(patterns); i++)
			if (hits[i] !=
			    bus_subject_match(sv_from(patterns[i]), sv_from(subjects[s])))
				fail_msg("%s / %s: %u", patterns[i], subjects[s], hits[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(patterns); i++)
		bus_index_drop(x, nodes[i]);
	assert_int_equal(bus_index_size(x), 0);
	bus_index_free(x);
}

static void
holds_many_and_lets_go(void **state)
{
	enum { MANY = 20000 };
	struct bus_index *x = bus_index_new(99);
	struct bus_index_node **nodes = calloc(MANY, sizeof(struct bus_index_node *));
	unsigned char id = 0;
	char text[64];

	(void)state;
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(text, sizeof(text), "topology.%06d.>", i);
		nodes[i] = bus_index_hold(x, sv_from(text));
		bus_index_set(nodes[i], &id);
	}
	assert_int_equal(bus_index_size(x), 2 * MANY + 1);
	for (int i = 0; i < MANY; i += 997) {
		unsigned hits[1] = {0};

		(void)snprintf(text, sizeof(text), "topology.%06d.status", i);
		bus_index_match(x, sv_from(text), count, hits);
		assert_int_equal(hits[0], 1);
	}
	for (int i = 0; i < MANY; i++)
		if (i != 4711)
			bus_index_drop(x, nodes[i]);
	assert_int_equal(bus_index_size(x), 3);
	free(nodes);
	/* What is still held is freed with the index. */
	bus_index_free(x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_the_matcher),
		cmocka_unit_test(holds_many_and_lets_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
