/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "bus/memo.h"
#include "util/limits.h"

static void
remembers_and_forgets(void **state)
{
	struct bus_memo *m = bus_memo_new(7);
	int one, two;
	void *const values[] = {&one, &two};
	const struct bus_memo_entry *e;

	(void)state;
	assert_null(bus_memo_find(m, SV("a.b")));
	bus_memo_put(m, SV("a.b"), values, 2, 1);
	bus_memo_put(m, SV("a.c"), values, 0, 0);
	e = bus_memo_find(m, SV("a.b"));
	assert_non_null(e);
	assert_int_equal(e->n, 2);
	assert_ptr_equal(e->values[0], &one);
	assert_ptr_equal(e->values[1], &two);
	assert_int_equal(e->roles, 1);
	bus_memo_allow(m, e, 4);
	assert_int_equal(bus_memo_find(m, SV("a.b"))->roles, 5);
	assert_int_equal(bus_memo_find(m, SV("a.c"))->n, 0);
	assert_null(bus_memo_find(m, SV("a.bb")));
	assert_null(bus_memo_find(m, SV("a")));
	bus_memo_put(m, SV("a.b"), values, 1, 2);
	assert_int_equal(bus_memo_find(m, SV("a.b"))->n, 1);
	assert_int_equal(bus_memo_find(m, SV("a.b"))->roles, 2);
	bus_memo_forget(m);
	assert_null(bus_memo_find(m, SV("a.b")));
	assert_null(bus_memo_find(m, SV("a.c")));
	bus_memo_free(m);
}

static void
keeps_to_its_bounds(void **state)
{
	struct bus_memo *m = bus_memo_new(7);
	void *const values[BUS_MEMO_VALUES + 1] = {m, m, m, m, m};
	char subject[BUS_MEMO_SUBJECT + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(subject); i++)
		subject[i] = 'x';
	bus_memo_put(m, (struct sv){subject, BUS_MEMO_SUBJECT}, values, 1, 0);
	bus_memo_put(m, (struct sv){subject, BUS_MEMO_SUBJECT + 1}, values, 1, 0);
	bus_memo_put(m, SV("many"), values, BUS_MEMO_VALUES, 0);
	bus_memo_put(m, SV("more"), values, BUS_MEMO_VALUES + 1, 0);
	assert_non_null(bus_memo_find(m, (struct sv){subject, BUS_MEMO_SUBJECT}));
	assert_null(bus_memo_find(m, (struct sv){subject, BUS_MEMO_SUBJECT + 1}));
	assert_non_null(bus_memo_find(m, SV("many")));
	assert_null(bus_memo_find(m, SV("more")));
	bus_memo_free(m);
}

/* Many more subjects than places: whatever is found is right. */
static void
never_mixes_subjects_up(void **state)
{
	struct bus_memo *m = bus_memo_new(99);
	unsigned found = 0;

	(void)state;
	for (uintptr_t i = 1; i <= 4 * LIMIT_BUS_MEMO; i++) {
		void *const value = (void *)i;
		char text[32];
		int n = snprintf(text, sizeof(text), "topology.%zu.changed", (size_t)i);

		bus_memo_put(m, (struct sv){text, (size_t)n}, &value, 1, 0);
	}
	for (uintptr_t i = 1; i <= 4 * LIMIT_BUS_MEMO; i++) {
		char text[32];
		int n = snprintf(text, sizeof(text), "topology.%zu.changed", (size_t)i);
		const struct bus_memo_entry *e = bus_memo_find(m, (struct sv){text, (size_t)n});

		if (!e)
			continue;
		assert_ptr_equal(e->values[0], (void *)i);
		found++;
	}
	assert_in_range(found, LIMIT_BUS_MEMO / 2, LIMIT_BUS_MEMO);
	bus_memo_free(m);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(remembers_and_forgets),
		cmocka_unit_test(keeps_to_its_bounds),
		cmocka_unit_test(never_mixes_subjects_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
