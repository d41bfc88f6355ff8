/* SPDX-License-Identifier: Apache-2.0 */
/* The search grammar: pieces, columns, keys, and what matches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/search.h"
#include "util/json.h"

static void
grammar(void **state)
{
	static const struct {
		const char *text, *words, *pairs;
		const char *decky, *service, *event, *attacker;
		bool nothing;
	} rows[] = {
		{.text = "", .words = "[]", .pairs = "[]"},
		{.text = "  \t\n", .words = "[]", .pairs = "[]"},
		{.text = "one two", .words = "[\"one\",\"two\"]", .pairs = "[]"},
		{.text = "'one two' \"th ree\"",
		 .words = "[\"one two\",\"th ree\"]",
		 .pairs = "[]"},
		{.text = "a\\ b c\\\"d", .words = "[\"a b\",\"c\\\"d\"]", .pairs = "[]"},
		{.text = "\"a\\\"b\" 'a\\b'", .words = "[\"a\\\"b\",\"a\\\\b\"]", .pairs = "[]"},
		{.text = "pre'mid'post", .words = "[\"premidpost\"]", .pairs = "[]"},
		{.text = "''", .words = "[]", .pairs = "[]"},
		/* Unbalanced: split at blanks, quotes stay. */
		{.text = "don't stop", .words = "[\"don't\",\"stop\"]", .pairs = "[]"},
		{.text = "a \"b c", .words = "[\"a\",\"\\\"b\",\"c\"]", .pairs = "[]"},
		{.text = "end\\", .words = "[\"end\\\\\"]", .pairs = "[]"},
		{.text = "decky:web-1 service:ssh event:auth attacker:10.0.0.1",
		 .words = "[]",
		 .pairs = "[]",
		 .decky = "web-1",
		 .service = "ssh",
		 .event = "auth",
		 .attacker = "10.0.0.1"},
		{.text = "attacker-ip:fe80::1",
		 .words = "[]",
		 .pairs = "[]",
		 .attacker = "fe80::1"},
		{.text = "attacker_ip:1.2.3.4 attacker:1.2.3.4",
		 .words = "[]",
		 .pairs = "[]",
		 .attacker = "1.2.3.4"},
		{.text = "decky:a decky:b",
		 .words = "[]",
		 .pairs = "[]",
		 .decky = "b",
		 .nothing = true},
		{.text = "decky:", .words = "[]", .pairs = "[]", .decky = "", .nothing = true},
		{.text = "username:root path:\"/a b\"",
		 .words = "[]",
		 .pairs = "[[\"username\",\"root\"],[\"path\",\"/a b\"]]"},
		{.text = "user-agent:x $.a:y",
		 .words = "[]",
		 .pairs = "[[\"useragent\",\"x\"],[\"a\",\"y\"]]"},
		{.text = ":x", .words = "[\":x\"]", .pairs = "[]"},
		{.text = "Decky:web-1", .words = "[]", .pairs = "[[\"Decky\",\"web-1\"]]"},
		{.text = "a:", .words = "[]", .pairs = "[[\"a\",\"\"]]"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct search s;
		char *words, *pairs;

		assert_int_equal(search_parse(sv_from(rows[i].text), &s), 0);
		words = json_text(s.words);
		pairs = json_text(s.pairs);
		assert_string_equal(words, rows[i].words);
		assert_string_equal(pairs, rows[i].pairs);
		assert_string_equal(s.decky ? s.decky : "-", rows[i].decky ? rows[i].decky : "-");
		assert_string_equal(s.service ? s.service : "-",
				    rows[i].service ? rows[i].service : "-");
		assert_string_equal(s.event ? s.event : "-", rows[i].event ? rows[i].event : "-");
		assert_string_equal(s.attacker ? s.attacker : "-",
				    rows[i].attacker ? rows[i].attacker : "-");
		assert_true(s.nothing == rows[i].nothing);
		free(words);
		free(pairs);
		search_fini(&s);
	}
}

static void
matches(void **state)
{
	static const struct search_row row = {
		.decky = "web-1",
		.service = "http",
		.event_type = "auth",
		.attacker_ip = "198.51.100.7",
		.raw_line = "something happened",
		.fields = "{\"username\":\"root\",\"ok\":false,\"status\":401,\"duration_s\":0.1,"
			  "\"nothing\":null}",
	};
	static const struct {
		const char *text;
		bool want;
	} rows[] = {
		{"", true},
		{"some happen", true},
		{"Some", false},
		{"web- 51.100 htt", true},
		{"auth", false}, /* a bare word does not look at the type */
		{"event:auth", true},
		{"event:aut", false},
		{"decky:web-1 service:http attacker:198.51.100.7", true},
		{"decky:web-1 decky:web-2", false},
		{"username:root", true},
		{"username:roo", false},
		{"ok:false", true},
		{"ok:0", false},
		{"status:401", true},
		{"duration_s:0.1", true},
		{"nothing:null", false},
		{"missing:x", false},
		{"username:root missing:x", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct search s;

		assert_int_equal(search_parse(sv_from(rows[i].text), &s), 0);
		if (search_match(&s, &row) != rows[i].want)
			fail_msg("%s", rows[i].text);
		search_fini(&s);
	}
}

static void
bytes_that_no_row_holds(void **state)
{
	static const struct sv texts[] = {SV("a\0b"), SV("k:a\0b"), SV("decky:a\0b")};
	struct search s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_int_equal(search_parse(texts[i], &s), 0);
		assert_true(s.nothing);
		search_fini(&s);
	}
	assert_int_equal(search_parse(SV("\xff"), &s), 0);
	assert_string_equal(json_string_value(json_array_get(s.words, 0)), "\xef\xbf\xbd");
	search_fini(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grammar),
		cmocka_unit_test(matches),
		cmocka_unit_test(bytes_that_no_row_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
