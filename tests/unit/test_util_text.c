/* SPDX-License-Identifier: Apache-2.0 */
/* Views, numbers, UTF-8, times, identifiers, JSON and log fields: tables of input and expectation.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "util/clock.h"
#include "util/err.h"
#include "util/hash.h"
#include "util/id.h"
#include "util/json.h"
#include "util/kv.h"
#include "util/sv.h"

static void
cut_and_search(void **state)
{
	struct sv s = SV("a.b..c");

	(void)state;
	assert_true(sv_eq(sv_cut(&s, '.'), SV("a")));
	assert_true(sv_eq(sv_cut(&s, '.'), SV("b")));
	assert_true(sv_eq(sv_cut(&s, '.'), SV("")));
	assert_true(sv_eq(sv_cut(&s, '.'), SV("c")));
	assert_int_equal(s.n, 0);
	assert_true(sv_eq_ci(SV("Content-TYPE"), SV("content-type")));
	assert_false(sv_eq_ci(SV("a"), SV("ab")));
	assert_true(sv_starts(SV("hello"), SV("he")) && sv_ends(SV("hello"), SV("lo")));
	assert_true(sv_eq(sv_trim(SV(" \tx y\t ")), SV("x y")));
	assert_int_equal(sv_search(SV("hello"), SV("ll")), 2);
	assert_true(sv_search(SV("hello"), SV("z")) == SIZE_MAX);
}

static void
numbers(void **state)
{
	static const struct {
		const char *text;
		uint64_t max;
		int r;
		uint64_t value;
	} rows[] = {
		{"0", 10, 0, 0},
		{"10", 10, 0, 10},
		{"11", 10, -ERANGE, 0},
		{"", 10, -EBADMSG, 0},
		{"-1", 10, -EBADMSG, 0},
		{"+1", 10, -EBADMSG, 0},
		{"1 ", 10, -EBADMSG, 0},
		{"0x1", 10, -EBADMSG, 0},
		{"18446744073709551615", UINT64_MAX, 0, UINT64_MAX},
		{"18446744073709551616", UINT64_MAX, -ERANGE, 0},
		{"99999999999999999999999", UINT64_MAX, -ERANGE, 0},
		{"99999999999999999999999x", UINT64_MAX, -EBADMSG, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t value = 0;
		int r = sv_u64(sv_from(rows[i].text), rows[i].max, &value);

		if (r != rows[i].r || value != rows[i].value)
			fail_msg("'%s': %d %llu", rows[i].text, r, (unsigned long long)value);
	}
}

static void
utf8(void **state)
{
	static const struct {
		struct sv text;
		bool good;
	} rows[] = {
		{{"", 0}, true},
		{{"a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10}, true},
		{{"\xc0\x80", 2}, false},
		{{"\xe0\x80\x80", 3}, false},
		{{"\xed\xa0\x80", 3}, false},
		{{"\xf4\x90\x80\x80", 4}, false},
		{{"\xf0\x9f\x98", 3}, false},
		{{"\x80", 1}, false},
		{{"\xff", 1}, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (sv_utf8(rows[i].text) != rows[i].good)
			fail_msg("row %zu", i);
}

static void
times(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint64_t ms;
	} rows[] = {
		{"1970-01-01T00:00:00.000Z", 0, 0},
		{"2026-01-31T08:15:00.250Z", 0, UINT64_C(1769847300250)},
		{"2026-01-31T08:15:00,25Z", 0, UINT64_C(1769847300250)},
		{"2026-01-31 08:15:00", 0, UINT64_C(1769847300000)},
		{"2026-01-31T08:15Z", 0, UINT64_C(1769847300000)},
		{"2026-01-31T09:15:00+01:00", 0, UINT64_C(1769847300000)},
		{"2026-01-31T09:15:00+0100", 0, UINT64_C(1769847300000)},
		{"2026-01-31T09:15:00+01", 0, UINT64_C(1769847300000)},
		{"2026-01-31", 0, UINT64_C(1769817600000)},
		{"2024-02-29", 0, UINT64_C(1709164800000)},
		{"2023-02-29", -EBADMSG, 0},
		{"2026-13-01", -EBADMSG, 0},
		{"2026-00-01", -EBADMSG, 0},
		{"2026-01-31T24:00:00Z", -EBADMSG, 0},
		{"2026-01-31T08:15:00.Z", -EBADMSG, 0},
		{"2026-01-31T08:15:00Zx", -EBADMSG, 0},
		{"2026-01-31T08", -EBADMSG, 0},
		{"1969-12-31", -EBADMSG, 0},
		{"1970-01-01T00:00:00+01:00", -EBADMSG, 0},
		{"now", -EBADMSG, 0},
		{"", -EBADMSG, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t ms = 0;
		int r = clock_parse_iso(sv_from(rows[i].text), &ms);

		if (r != rows[i].r || ms != rows[i].ms)
			fail_msg("'%s': %d %llu", rows[i].text, r, (unsigned long long)ms);
	}
}

static void
a_time_survives_its_text(void **state)
{
	char text[CLOCK_ISO_SIZE];
	uint64_t ms;

	(void)state;
	clock_iso(UINT64_C(1769847300250), text);
	assert_string_equal(text, "2026-01-31T08:15:00.250Z");
	clock_iso(UINT64_MAX, text);
	assert_int_equal(strlen(text), 24);
	for (uint64_t at = 1; at < UINT64_C(4000000000000); at += UINT64_C(86399123457)) {
		clock_iso(at, text);
		assert_int_equal(clock_parse_iso(sv_from(text), &ms), 0);
		assert_true(ms == at);
	}
}

static void
uuids_rise(void **state)
{
	char last[ID_UUID_SIZE] = "", id[ID_UUID_SIZE];

	(void)state;
	for (int i = 0; i < 10000; i++) {
		id_uuid7(id);
		assert_true(id_is_uuid(sv_from(id)));
		assert_int_equal(id[14], '7');
		assert_non_null(strchr("89ab", id[19]));
		assert_true(strcmp(last, id) < 0);
		memcpy(last, id, sizeof(last));
	}
	assert_false(id_is_uuid(SV("0195-")));
	assert_false(id_is_uuid(SV("0195F000-0000-7000-8000-000000000000")));
	assert_false(id_is_uuid(SV("0195f000-0000-7000-8000-00000000000g")));
}

/* No number of a client's is cut to another one: it is that number, or known to be none of ours. */
static void
great_numbers(void **state)
{
	static const struct {
		struct sv text;
		double value;
		bool integer, finite;
	} rows[] = {
		{SV("9223372036854775807"), 9223372036854775807.0, true, true},
		{SV("9223372036854775808"), 9223372036854775808.0, false, true},
		{SV("-99999999999999999999"), -99999999999999999999.0, false, true},
		{SV("1e300"), 1e300, false, true},
		{SV("1e400"), 9e307, false, false},
		{SV("-1e400"), -9e307, false, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_t *value = NULL;

		assert_int_equal(json_parse(rows[i].text, &value, NULL), 0);
		assert_true(json_number_value(value) >= rows[i].value &&
			    json_number_value(value) <= rows[i].value);
		assert_int_equal(json_is_integer(value), rows[i].integer);
		assert_int_equal(json_is_finite(value), rows[i].finite);
		json_decref(value);
	}
}

static void
strict_json(void **state)
{
	static const struct {
		struct sv text;
		int r;
	} rows[] = {
		{SV("{\"a\":1}"), 0},
		{SV("3"), 0},
		{SV(""), -EBADMSG},
		{SV("{\"a\":1,\"a\":2}"), -EBADMSG},
		{SV("{\"a\":1}x"), -EBADMSG},
		{SV("{a:1}"), -EBADMSG},
		{SV("\"\xff\""), -EBADMSG},
		{SV("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"), 0},
		{SV("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"),
		 -EBADMSG},
		{SV("9223372036854775808"), 0},
		{SV("[\"99999999999999999999\\\"\",-99999999999999999999]"), 0},
		{SV("{\"a\":1e400,\"b\":[-1e400]}"), 0},
		{SV("{\"a\":1e400,\"a\":1e400}"), -EBADMSG},
		{SV("[99999999999999999999,01]"), -EBADMSG},
		{SV("[99999999999999999999,\"\\"), -EBADMSG},
		{SV("[1e400"), -EBADMSG},
		{SV("[-1e400,-Infinity]"), -EBADMSG},
		{SV("\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[\""), 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_t *value = NULL;
		int r = json_parse(rows[i].text, &value, NULL);

		if (r != rows[i].r)
			fail_msg("row %zu: %d", i, r);
		json_decref(value);
	}
}

/* What strtod takes for a number and JSON does not, behind a number that is too great: the room for
 * the rewritten text is that of numbers. */
static void
words_are_no_numbers(void **state)
{
	static const char *const words[] = {"-inf",	 "-INF,",     "-infinity ", "-nan",
					    "0x1p9999,", "-0x9p9999", "-",	    "-1e999",
					    "1e999,",	 "0e"};
	enum { TIMES = 2000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t n = strlen(words[i]);
		char *text = malloc(6 + n * TIMES + 1);
		json_t *value = NULL;

		assert_non_null(text);
		memcpy(text, "[1e999", 6);
		for (size_t k = 0; k < TIMES; k++)
			memcpy(text + 6 + k * n, words[i], n + 1);
		if (json_parse(sv_from(text), &value, NULL) != -EBADMSG)
			fail_msg("%s", words[i]);
		free(text);
	}
}

static void
bad_bytes_become_replacement_characters(void **state)
{
	json_t *value = json_view((struct sv){"a\xff\xc3\xa9\xe2\x82", 6});

	(void)state;
	assert_string_equal(json_string_value(value),
			    "a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd");
	json_decref(value);
}

static void
log_fields_stay_on_their_line(void **state)
{
	const struct kv fields[] = {KV_S("plain", "web-01"), KV_S("text", "a b\n\"\x1b[31m\xff"),
				    KV_I("i", -3),	     KV_U("u", UINT64_MAX),
				    KV_S("none", NULL),	     KV_END};
	struct buf b;

	(void)state;
	buf_init(&b, 1024);
	assert_int_equal(kv_put_text(&b, fields), 0);
	assert_int_equal(buf_putc(&b, 0), 0);
	assert_string_equal(b.p, " plain=web-01 text=\"a b\\n\\\"\\x1b[31m\\xff\" i=-3 "
				 "u=18446744073709551615 none=\"\"");
	buf_reset(&b);
	assert_int_equal(kv_put_json(&b, fields), 0);
	assert_int_equal(buf_putc(&b, 0), 0);
	assert_string_equal(
		b.p, ",\"plain\":\"web-01\",\"text\":\"a b\\u000a\\\"\\u001b[31m\\ufffd\",\"i\":-3,"
		     "\"u\":18446744073709551615,\"none\":\"\"");
	buf_fini(&b);
}

static void
errors_are_wrapped(void **state)
{
	struct err e = {0};

	(void)state;
	assert_int_equal(err_set(&e, -ENOENT, "no %s", "file"), -ENOENT);
	err_wrap(&e, "topology %s", "/etc/x");
	assert_string_equal(e.msg, "topology /etc/x: no file");
	assert_int_equal(err_set(NULL, -EIO, "x"), -EIO);
	assert_string_equal(err_text(NULL), "unknown error");
}

/* Of the tables of draft-eastlake-fnv. */
static void
hashes(void **state)
{
	(void)state;
	assert_true(hash_text("") == HASH_START);
	assert_true(hash_text("a") == UINT64_C(0xaf63dc4c8601ec8c));
	assert_true(hash_text("foobar") == UINT64_C(0x85944171f73967e8));
	assert_true(hash_bytes(hash_text("foo"), "bar", 3) == hash_text("foobar"));
	assert_true(hash_bytes(HASH_START, "\0", 1) == UINT64_C(0xaf63bd4c8601b7df));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cut_and_search),
		cmocka_unit_test(numbers),
		cmocka_unit_test(utf8),
		cmocka_unit_test(times),
		cmocka_unit_test(a_time_survives_its_text),
		cmocka_unit_test(uuids_rise),
		cmocka_unit_test(strict_json),
		cmocka_unit_test(words_are_no_numbers),
		cmocka_unit_test(great_numbers),
		cmocka_unit_test(bad_bytes_become_replacement_characters),
		cmocka_unit_test(log_fields_stay_on_their_line),
		cmocka_unit_test(errors_are_wrapped),
		cmocka_unit_test(hashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
