/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bus/event.h"
#include "util/attr.h"

static void
reads_what_it_wrote(void **state)
{
	struct bus_event ev;
	char *text = bus_event_encode("decky.web.state", "state", 1769847300250, 4190,
				      "{\"state\":\"running\"}");

	(void)state;
	assert_non_null(text);
	assert_non_null(strstr(text, "\"topic\":\"decky.web.state\""));
	assert_non_null(strstr(text, "\"ts\":1769847300.250,"));
	assert_int_equal(bus_event_decode(sv_from(text), &ev, NULL), 0);
	assert_int_equal(strlen(ev.id), 32);
	assert_string_equal(ev.type, "state");
	assert_int_equal(ev.ts_ms, 1769847300250);
	assert_int_equal(ev.seq, 4190);
	assert_string_equal(json_string_value(json_object_get(ev.payload, "state")), "running");
	bus_event_fini(&ev);
	free(text);
}

static void
carries_a_trace(void **state)
{
	static const char *const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
	struct bus_event ev;
	char *text = bus_event_encode_traced("a.b", "b", 1, 2, "{}", parent);

	(void)state;
	assert_int_equal(bus_event_decode(sv_from(text), &ev, NULL), 0);
	assert_string_equal(ev.traceparent, parent);
	bus_event_fini(&ev);
	free(text);
	text = bus_event_encode("a.b", "b", 1, 2, "{}");
	assert_null(strstr(text, "traceparent"));
	free(text);
	/* What does not fit is no trace. */
	assert_int_equal(
		bus_event_decode(SV("{\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-"
				    "b7ad6b7169203331-01-and-more\"}"),
				 &ev, NULL),
		0);
	assert_string_equal(ev.traceparent, "");
	bus_event_fini(&ev);
}

static void
quotes_odd_topics(void **state)
{
	struct bus_event ev;
	char *text = bus_event_encode("ext.\"q\\\xff", "t\"", 0, 0, NULL);
	json_t *root = json_loads(text, 0, NULL);

	(void)state;
	assert_string_equal(json_string_value(json_object_get(root, "topic")),
			    "ext.\"q\\\xef\xbf\xbd");
	assert_null(json_object_get(root, "seq"));
	assert_int_equal(bus_event_decode(sv_from(text), &ev, NULL), 0);
	assert_string_equal(ev.type, "t\"");
	bus_event_fini(&ev);
	json_decref(root);
	free(text);
}

static void
tolerates_missing_keys(void **state)
{
	static const char *const rows[] = {
		"{}",
		"{\"payload\":{}}",
		"{\"ts\":\"soon\",\"type\":7,\"seq\":\"x\",\"id\":[]}",
		"{\"ts\":-1,\"seq\":-4}",
		"{\"ts\":1e300}",
	};
	struct bus_event ev;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(bus_event_decode(sv_from(rows[i]), &ev, NULL), 0);
		assert_string_equal(ev.type, "");
		assert_int_equal(ev.ts_ms, 0);
		assert_int_equal(ev.seq, 0);
		assert_true(json_is_object(ev.payload));
		bus_event_fini(&ev);
	}
}

static void
refuses_what_is_no_event(void **state)
{
	static const char *const rows[] = {
		"",	    "x",    "[]", "\"a\"", "{\"payload\":[]}", "{\"payload\":null}",
		"{\"a\":1", "{}{}",
	};
	struct bus_event ev;
	struct err e = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(bus_event_decode(sv_from(rows[i]), &ev, &e), -EBADMSG);
	assert_string_not_equal(e.msg, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_it_wrote),
		cmocka_unit_test(carries_a_trace),
		cmocka_unit_test(quotes_odd_topics),
		cmocka_unit_test(tolerates_missing_keys),
		cmocka_unit_test(refuses_what_is_no_event),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
