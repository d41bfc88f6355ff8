/* SPDX-License-Identifier: Apache-2.0 */
/* What the mutator keeps between works: models within their ceiling, and who is due for a pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "mutator/due.h"
#include "mutator/ids.h"
#include "mutator/keep.h"
#include "util/attr.h"
#include "util/limits.h"

static struct topo *
model(const char *id, size_t deckies)
{
	struct topo *t = topo_new();

	assert_non_null(t);
	(void)snprintf(t->id, sizeof(t->id), "%s", id);
	for (size_t i = 0; i < deckies; i++)
		assert_non_null(topo_add_decky(t));
	return t;
}

static void
test_models(void **state)
{
	struct keep k;
	struct topo *t, *newer;
	uint64_t left = keep_left();

	(void)state;
	keep_init(&k);
	assert_null(keep_take(&k, "a"));
	keep_put(&k, NULL);
	keep_put(&k, model("a", 2));
	keep_put(&k, newer = model("a", 3));
	assert_int_equal(k.deckies, 3);
	assert_ptr_equal(t = keep_take(&k, "a"), newer);
	assert_int_equal(k.deckies, 0);
	assert_null(keep_take(&k, "a"));
	keep_put(&k, t);
	/* At the ceiling the one that was put longest ago leaves. */
	keep_put(&k, model("b", LIMIT_MODEL_DECKIES - 3));
	assert_int_equal(keep_left(), left);
	keep_put(&k, model("c", 1));
	assert_int_equal(keep_left(), left + 1);
	assert_null(keep_take(&k, "a"));
	assert_non_null(t = keep_take(&k, "c"));
	topo_free(t);
	/* One that is over it by itself is not kept either. */
	keep_put(&k, model("d", LIMIT_MODEL_DECKIES + 1));
	assert_int_equal(k.deckies, 0);
	assert_int_equal(keep_left(), left + 3);
	keep_fini(&k);
}

static bool
take_all_but_busy(void *user, const char *id)
{
	strcat(user, id);
	return strcmp(id, "busy") != 0;
}

static void
test_due(void **state)
{
	struct due d;
	char offered[64] = "";

	(void)state;
	due_init(&d);
	assert_false(due_add(&d, "a", 100));
	assert_false(due_add(&d, "busy", 200));
	assert_false(due_add(&d, "a", 100 + DUE_MS - 1));
	due_offer(&d, 100 + DUE_MS - 1, take_all_but_busy, offered);
	assert_string_equal(offered, "");
	due_offer(&d, 200 + DUE_MS, take_all_but_busy, offered);
	assert_string_equal(offered, "abusy");
	/* Who could not be taken is due at the end of the next op. */
	assert_false(due_add(&d, "a", 201 + DUE_MS));
	assert_true(due_add(&d, "busy", 201 + DUE_MS));
	assert_false(due_add(&d, "busy", 202 + DUE_MS));
	due_fini(&d);
}

static void
test_ids(void **state)
{
	static const char *const v[] = {"t1/d/http/80", "t1/d/http/443", "t2/e/snmp/161/udp"};
	struct ids ids = {0};

	(void)state;
	assert_false(ids_have(&ids, v[0]));
	ids_set(&ids, v, ARRAY_LEN(v));
	for (size_t i = 0; i < ARRAY_LEN(v); i++)
		assert_true(ids_have(&ids, v[i]));
	assert_false(ids_have(&ids, "t1/d/http/8"));
	assert_true(id_is_of(v[0], "t1"));
	assert_false(id_is_of(v[0], "t"));
	ids_set(&ids, v, 1);
	assert_false(ids_have(&ids, v[1]));
	ids_fini(&ids);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_models),
		cmocka_unit_test(test_due),
		cmocka_unit_test(test_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
