/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bus/topic.h"
#include "util/attr.h"

static void
knows_subjects_and_patterns(void **state)
{
	static const struct {
		const char *text;
		int subject, pattern;
	} rows[] = {
		{"a", 1, 1},
		{"a.b.c", 1, 1},
		{"a*", 1, 1},
		{"a.b>", 1, 1},
		{"a.**", 1, 1},
		{"*", 0, 1},
		{">", 0, 1},
		{"a.*.c", 0, 1},
		{"a.>", 0, 1},
		{"a.>.b", 0, 0},
		{">.a", 0, 0},
		{"a.", 0, 0},
		{".a", 0, 0},
		{"a..b", 0, 0},
		{".", 0, 0},
		{"", 0, 0},
		{"a b", 0, 0},
		{"a\tb", 0, 0},
		{"a\x01", 0, 0},
		{"a\x7f", 0, 0},
		{"caf\xc3\xa9.x", 1, 1},
		{"1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16", 1, 1},
		{"1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17", 0, 0},
		{"1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.>", 0, 1},
	};
	char longest[BUS_SUBJECT_MAX + 2];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sv s = sv_from(rows[i].text);

		if (bus_subject_valid(s, false) != rows[i].subject ||
		    bus_subject_valid(s, true) != rows[i].pattern)
			fail_msg("%s", rows[i].text);
	}
	memset(longest, 'x', sizeof(longest));
	assert_true(bus_subject_valid((struct sv){longest, BUS_SUBJECT_MAX}, false));
	assert_false(bus_subject_valid((struct sv){longest, BUS_SUBJECT_MAX + 1}, false));
	assert_false(bus_subject_valid((struct sv){"a\0b", 3}, false));
}

static void
matches_as_the_contract_says(void **state)
{
	static const struct {
		const char *pattern, *subject;
		int match;
	} rows[] = {
		{"topology.*.mutation.*", "topology.abc.mutation.applied", 1},
		{"topology.>", "topology.abc.status", 1},
		{"topology.>", "topology", 0},
		{"topology.*", "topology.abc.mutation.applied", 0},
		{"decky.*.state", "decky.state", 0},
		{"a.b.c", "a.b", 0},
		{"a.b", "a.b.c", 0},
		{"a.b", "a.b", 1},
		{"a.b", "a.B", 0},
		{">", "a", 1},
		{">", "a.b.c", 1},
		{"*", "a", 1},
		{"*", "a.b", 0},
		{"*.*", "a.b", 1},
		{"a*", "a*", 1},
		{"a*", "ab", 0},
		{"a.b>", "a.b>", 1},
		{"a.b>", "a.bc", 0},
		{"a.*.>", "a.b", 0},
		{"a.*.>", "a.b.c", 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (bus_subject_match(sv_from(rows[i].pattern), sv_from(rows[i].subject)) !=
		    rows[i].match)
			fail_msg("%s / %s", rows[i].pattern, rows[i].subject);
}

static void
builds_and_finds_every_row(void **state)
{
	char text[BUS_SUBJECT_MAX + 1];

	(void)state;
	for (unsigned t = 0; t < BUS_TOPIC_COUNT; t++) {
		assert_int_equal(bus_topic_build((enum bus_topic)t, "some-1", text), 0);
		assert_true(bus_subject_valid(sv_from(text), false));
		if (bus_topic_find(sv_from(text)) != (enum bus_topic)t)
			fail_msg("%s", text);
		assert_non_null(bus_topic_route((enum bus_topic)t));
	}
	assert_int_equal(bus_topic_build(BUS_TOPIC_DECKY_STATE, "web-01", text), 0);
	assert_string_equal(text, "decky.web-01.state");
	assert_true(bus_topic_journaled(BUS_TOPIC_DECKY_STATE));
	assert_false(bus_topic_journaled(BUS_TOPIC_DECKY_TRAFFIC));
	assert_int_equal(bus_topic_find(SV("system.bus.health")), BUS_TOPIC_SYSTEM_BUS_HEALTH);
	assert_int_equal(bus_topic_find(SV("decky.state")), BUS_TOPIC_COUNT);
	assert_int_equal(bus_topic_find(SV("")), BUS_TOPIC_COUNT);
}

static void
refuses_a_bad_variable(void **state)
{
	static const char *const bad[] = {"", "a.b", "*", ">", "a*", "a b", "x>", "\x02"};
	char text[BUS_SUBJECT_MAX + 1], longest[BUS_SUBJECT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(bus_topic_build(BUS_TOPIC_DECKY_STATE, bad[i], text), -EINVAL);
	assert_int_equal(bus_topic_build(BUS_TOPIC_DECKY_STATE, NULL, text), -EINVAL);
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(bus_topic_build(BUS_TOPIC_DECKY_STATE, longest, text), -ENOBUFS);
}

static void
names_types_and_events(void **state)
{
	static const struct {
		const char *topic, *type, *event;
	} rows[] = {
		{"topology.abc.mutation.applied", "mutation.applied", "mutation.applied"},
		{"topology.abc.ext.note", "ext.note", "ext.note"},
		{"topology.abc", "", "topology.abc"},
		{"decky.web.state", "state", "decky.state"},
		{"identity.formed", "formed", "formed"},
		{"identity.observation.linked", "observation.linked", "observation.linked"},
		{"attacker.session.ended", "session.ended", "attacker.session.ended"},
		{"credential.captured", "captured", "credential.captured"},
		{"system.bus.health", "health", "system.bus.health"},
		{"system.mutator.health", "health", "system.mutator.health"},
		{"system.log", "log", "system.log"},
		{"ext.a.b", "a.b", "ext.a.b"},
		{"lonely", "", "lonely"},
	};
	char name[BUS_SUBJECT_MAX + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sv topic = sv_from(rows[i].topic);

		assert_int_equal(bus_topic_event_name(topic, name), 0);
		assert_string_equal(name, rows[i].event);
		assert_true(sv_eq(bus_topic_type(topic), sv_from(rows[i].type)));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_subjects_and_patterns),
		cmocka_unit_test(matches_as_the_contract_says),
		cmocka_unit_test(builds_and_finds_every_row),
		cmocka_unit_test(refuses_a_bad_variable),
		cmocka_unit_test(names_types_and_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
