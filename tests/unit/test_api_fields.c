/* SPDX-License-Identifier: Apache-2.0 */
/* What handlers use to read requests: fields of bodies, the query, and answers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/api.h"
#include "api/user.h"
#include "util/json.h"

static const char *const words[] = {"red", "green", NULL};
static const struct api_field fields[] = {
	{.name = "name", .kind = API_STR, .required = true, .min = 1, .max = 4},
	{.name = "colour", .kind = API_STR, .words = words},
	{.name = "count", .kind = API_INT, .min = -2, .max = 3},
	{.name = "x", .kind = API_NUM, .nullable = true},
	{.name = "on", .kind = API_BOOL},
	{.name = "map", .kind = API_OBJECT},
	{.name = "list", .kind = API_STR_LIST, .min = 0, .max = 3},
	{.name = "rows", .kind = API_OBJECT_LIST},
};

/* The fields that were refused, in order, joined by blanks. */
static void
check(const char *body, char *ret, size_t size)
{
	struct api_req req = {.body = body ? json_loads(body, 0, NULL) : NULL};
	struct api_res res = {0};
	const char *const none = "";
	size_t i;
	json_t *row;

	(void)snprintf(ret, size, "%s", none);
	assert_true(!body || req.body);
	api_check_body(&req, &res, fields, ARRAY_LEN(fields));
	if (api_bad(&res)) {
		assert_int_equal(res.status, 422);
		assert_string_equal(json_get_text(res.body, "detail"),
				    "Invalid request parameters");
		json_array_foreach(json_object_get(res.body, "errors"), i, row)
		{
			size_t n = strlen(ret);

			assert_true(strlen(json_get_text(row, "message")) > 0);
			(void)snprintf(ret + n, size - n, "%s%s", n ? " " : "",
				       json_get_text(row, "field"));
		}
	}
	json_decref(req.body);
	api_res_fini(&res);
}

static void
checks_bodies(void **state)
{
	static const struct {
		const char *body, *bad;
	} rows[] = {
		{"{\"name\":\"a\"}", ""},
		{NULL, "name"},
		{"{}", "name"},
		{"{\"name\":null}", "name"},
		{"{\"name\":5}", "name"},
		{"{\"name\":\"\"}", "name"},
		{"{\"name\":\"abcd\"}", ""},
		{"{\"name\":\"abcde\"}", "name"},
		/* characters, not bytes */
		{"{\"name\":\"\xc3\xa4\xc3\xb6\xc3\xbc\xe2\x82\xac\"}", ""},
		{"{\"name\":\"a\",\"colour\":\"red\"}", ""},
		{"{\"name\":\"a\",\"colour\":\"blue\"}", "colour"},
		{"{\"name\":\"a\",\"colour\":\"re\"}", "colour"},
		{"{\"name\":\"a\",\"colour\":null}", "colour"},
		{"{\"name\":\"a\",\"count\":3}", ""},
		{"{\"name\":\"a\",\"count\":-2}", ""},
		{"{\"name\":\"a\",\"count\":4}", "count"},
		{"{\"name\":\"a\",\"count\":-3}", "count"},
		{"{\"name\":\"a\",\"count\":1.0}", "count"},
		{"{\"name\":\"a\",\"count\":\"1\"}", "count"},
		{"{\"name\":\"a\",\"count\":true}", "count"},
		{"{\"name\":\"a\",\"x\":1}", ""},
		{"{\"name\":\"a\",\"x\":1.5}", ""},
		{"{\"name\":\"a\",\"x\":null}", ""},
		{"{\"name\":\"a\",\"x\":\"1\"}", "x"},
		{"{\"name\":\"a\",\"on\":false}", ""},
		{"{\"name\":\"a\",\"on\":0}", "on"},
		{"{\"name\":\"a\",\"map\":{}}", ""},
		{"{\"name\":\"a\",\"map\":[]}", "map"},
		{"{\"name\":\"a\",\"list\":[]}", ""},
		{"{\"name\":\"a\",\"list\":[\"x\",1,\"y\"]}", "list.1"},
		{"{\"name\":\"a\",\"list\":[1,2]}", "list.0 list.1"},
		{"{\"name\":\"a\",\"list\":[1,2,3,4]}", "list"},
		{"{\"name\":\"a\",\"list\":{}}", "list"},
		{"{\"name\":\"a\",\"rows\":[{},[]]}", "rows.1"},
		{"{\"name\":\"a\",\"other\":1,\"more\":2}", "other more"},
		{"{\"other\":1,\"count\":9,\"colour\":7}", "name colour count other"},
	};
	char bad[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		check(rows[i].body, bad, sizeof(bad));
		if (strcmp(bad, rows[i].bad) != 0)
			fail_msg("%s: %s", rows[i].body, bad);
	}
}

static void
reports_at_most_32(void **state)
{
	struct api_res res = {0};

	(void)state;
	for (int i = 0; i < 100; i++)
		api_bad_field(&res, "f", "bad %d", i);
	assert_true(api_bad(&res));
	assert_int_equal(json_array_size(json_object_get(res.body, "errors")), API_ERRORS_MAX);
	api_res_fini(&res);
}

static void
reads_pages(void **state)
{
	static const struct {
		const char *limit, *offset;
		int64_t want_limit, want_offset;
		int bad;
	} rows[] = {
		{NULL, NULL, 50, 0, 0},
		{"1", "0", 1, 0, 0},
		{"500", "2147483647", 500, 2147483647, 0},
		{"0", NULL, 0, 0, 1},
		{"501", NULL, 0, 0, 1},
		{"-1", NULL, 0, 0, 1},
		{"", NULL, 0, 0, 1},
		{"1x", NULL, 0, 0, 1},
		{"99999999999999999999", NULL, 0, 0, 1},
		{NULL, "-1", 0, 0, 1},
		{NULL, "2147483648", 0, 0, 1},
		{"0", "x", 0, 0, 2},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct api_query_arg args[2];
		struct api_req req = {.query = args};
		struct api_res res = {0};
		int64_t limit, offset;

		if (rows[i].limit)
			args[req.nquery++] =
				(struct api_query_arg){SV("limit"), sv_from(rows[i].limit)};
		if (rows[i].offset)
			args[req.nquery++] =
				(struct api_query_arg){SV("offset"), sv_from(rows[i].offset)};
		api_query_page(&req, &res, 50, 500, &limit, &offset);
		if ((int)json_array_size(res.errors) != rows[i].bad)
			fail_msg("row %zu", i);
		if (rows[i].bad == 0) {
			assert_true(limit == rows[i].want_limit);
			assert_true(offset == rows[i].want_offset);
		}
		api_res_fini(&res);
	}
}

static void
answers_have_their_shapes(void **state)
{
	struct api_res res = {0};
	char *text;

	(void)state;
	assert_int_equal(api_fail(&res, 409, "%s %d", "no", 7), 0);
	api_fail_extra(&res, "issues", json_array());
	text = json_text(res.body);
	assert_string_equal(text, "{\"detail\":\"no 7\",\"issues\":[]}");
	free(text);
	assert_int_equal(api_refuse(&res, "config.a", "a: unknown"), 0);
	assert_int_equal(res.status, 422);
	text = json_text(res.body);
	assert_string_equal(text, "{\"detail\":\"a: unknown\",\"errors\":[{\"field\":\"config.a\","
				  "\"message\":\"a: unknown\"}]}");
	free(text);
	api_ok(&res, 200, api_envelope(3, 2, 1, json_array()));
	text = json_text(res.body);
	assert_string_equal(text, "{\"total\":3,\"limit\":2,\"offset\":1,\"data\":[]}");
	free(text);
	/* Without memory for the body it is our failure. */
	api_ok(&res, 200, NULL);
	assert_int_equal(res.status, 500);
	assert_int_equal(api_again(&res, NULL, 5), -ENOMEM);
	api_res_fini(&res);
}

static void
finds_nul_at_any_depth(void **state)
{
	static const struct {
		const char *body, *errors;
	} rows[] = {
		{"{}", NULL},
		{"{\"a\":\"b\",\"c\":[1,\"d\",{\"e\":null}]}", NULL},
		{"{\"a\":\"\\u0000\"}", "[{\"field\":\"a\",\"message\":\"must not hold NUL\"}]"},
		{"{\"a\":{\"b\":[\"x\",\"y\\u0000z\"]},\"c\":\"\\u0000\"}",
		 "[{\"field\":\"a.b.1\",\"message\":\"must not hold NUL\"},"
		 "{\"field\":\"c\",\"message\":\"must not hold NUL\"}]"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct api_res res = {0};
		json_t *body = NULL;
		char *text;

		assert_int_equal(json_parse(sv_from(rows[i].body), &body, NULL), 0);
		api_check_nul(body, &res);
		text = res.errors ? json_text(res.errors) : NULL;
		if (rows[i].errors)
			assert_string_equal(text, rows[i].errors);
		else
			assert_null(text);
		free(text);
		json_decref(body);
		api_res_fini(&res);
	}
}

static void
knows_names_and_passwords(void **state)
{
	static const struct {
		const char *name;
		int good;
	} rows[] = {
		{"a", 1},     {"Bob Jones", 1}, {"\xc3\xa4", 1},  {"", 0},
		{" a", 0},    {"a ", 0},	{"a\tb", 0},	  {"a\nb", 0},
		{"a\x7f", 0}, {"a\xc2\x80", 0}, {"a\xc2\xa0", 1}, {"\xff", 0},
	};
	char longest[130];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (user_name_good(sv_from(rows[i].name)) != rows[i].good)
			fail_msg("row %zu", i);
	memset(longest, 'x', sizeof(longest));
	assert_true(user_name_good((struct sv){longest, 64}));
	assert_false(user_name_good((struct sv){longest, 65}));
	assert_false(user_password_good((struct sv){longest, 11}));
	assert_true(user_password_good((struct sv){longest, 12}));
	assert_true(user_password_good((struct sv){longest, 128}));
	assert_false(user_password_good((struct sv){longest, 129}));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checks_bodies),
		cmocka_unit_test(reports_at_most_32),
		cmocka_unit_test(reads_pages),
		cmocka_unit_test(answers_have_their_shapes),
		cmocka_unit_test(finds_nul_at_any_depth),
		cmocka_unit_test(knows_names_and_passwords),
	};

	return cmocka_run_group_tests_name("api_fields", tests, NULL, NULL);
}
