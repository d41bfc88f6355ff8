/* SPDX-License-Identifier: Apache-2.0 */
/* A request before it reaches the store: path, query, and what becomes of failures. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/call.h"
#include "util/json.h"

static struct conf conf = {.limiter_enabled = false};
static struct api_state world;

static struct call *
begin(const char *method, const char *path, const char *query)
{
	static struct http_req http;
	struct call *c = NULL;

	http = (struct http_req){.method = sv_from(method),
				 .path = sv_from(path),
				 .query = sv_from(query),
				 .peer = "192.0.2.7"};
	world.conf = &conf;
	world.secret = SV("a secret of at least thirty-two characters");
	assert_int_equal(call_new(&world, &http, 1000, 5, &c), 0);
	return c;
}

static void
reads_the_query(void **state)
{
	static const struct {
		const char *query;
		int bad;
		const char *a; /* value of `a`, or NULL */
	} rows[] = {
		{"", 0, NULL},
		{"a=1", 0, "1"},
		{"a", 0, ""},
		{"a=", 0, ""},
		{"=1", 0, NULL},
		{"&&a=1&&", 0, "1"},
		{"a=1&a=2", 0, "2"},
		{"b=1&a=x%20y+z", 0, "x y z"},
		{"%61=%26%3d", 0, "&="},
		{"a=1=2", 0, "1=2"},
		{"a=%", 1, NULL},
		{"a=%0", 1, NULL},
		{"a=%00", 1, NULL},
		{"a=%ff", 1, NULL},
		{"%ff=a", 1, NULL},
		{"a=%c3%a4", 0, "\xc3\xa4"},
		{"1&2&3&4&5&6&7&8&9&0&1&2&3&4&5&6&7&8&9&0&1&2&3&4&5&6&7&8&9&0&1&a=2", 0, "2"},
		{"1&2&3&4&5&6&7&8&9&0&1&2&3&4&5&6&7&8&9&0&1&2&3&4&5&6&7&8&9&0&1&2&a=2", 1, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct call *c = begin("GET", "/healthz", rows[i].query);
		const struct sv *a = api_query_get(&c->req, "a");

		if (c->query_bad != rows[i].bad)
			fail_msg("%s", rows[i].query);
		if (!rows[i].bad && (rows[i].a ? !a || !sv_eq(*a, sv_from(rows[i].a)) : a != NULL))
			fail_msg("%s", rows[i].query);
		call_free(c);
	}
}

static void
finds_route_and_parameters(void **state)
{
	const char *uuid = "01a1fd30-529f-7218-8c42-4a08862a687c";
	char path[128], text[8];
	struct call *c;

	(void)state;
	(void)snprintf(path, sizeof(path), "/api/v1/config/users/%s/role", uuid);
	c = begin("PUT", path, "");
	assert_non_null(c->route);
	assert_int_equal(c->route->role, API_ADMIN);
	assert_int_equal(c->token, AUTH_INVALID);
	assert_string_equal(api_param_uuid(&c->req, 0), uuid);
	assert_null(api_param_uuid(&c->req, 1));
	assert_null(api_param_text(&c->req, 0, text, sizeof(text)));
	assert_true(sv_eq(c->req.peer_ip, SV("192.0.2.7")));
	call_free(c);
	c = begin("PUT", "/api/v1/config/users/%7e/role", "");
	assert_null(api_param_uuid(&c->req, 0));
	assert_string_equal(api_param_text(&c->req, 0, text, sizeof(text)), "~");
	call_free(c);
	c = begin("GET", "/nothing", "");
	assert_null(c->route);
	call_free(c);
}

static void
tells_our_failures_from_the_store_s(void **state)
{
	static const struct {
		int code, status;
	} rows[] = {
		{-EIO, 503},	{-EBUSY, 503},	{-ENOSPC, 503}, {-EROFS, 503},	{-ECONNRESET, 503},
		{-EINVAL, 500}, {-ENOMEM, 500}, {-EEXIST, 500}, {-EPROTO, 500},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct call *c = begin("GET", "/readyz", "");
		struct err e = {.msg = "SQL logic error near secret"};

		api_ok(&c->res, 200, json_object());
		call_fail(c, rows[i].code, &e);
		assert_int_equal(c->res.status, rows[i].status);
		assert_string_equal(c->why, "SQL logic error near secret");
		if (rows[i].status == 503) {
			assert_string_equal(json_get_text(c->res.body, "detail"),
					    "Store unavailable");
			assert_string_equal(c->res.retry_after, "1");
			assert_int_equal(json_object_size(c->res.body), 1);
		} else {
			assert_string_equal(json_get_text(c->res.body, "detail"),
					    "Internal Server Error");
			assert_int_equal(strlen(json_get_text(c->res.body, "error_id")), 32);
			assert_string_equal(json_get_text(c->res.body, "error_id"), c->error_id);
			assert_int_equal(json_object_size(c->res.body), 2);
		}
		call_free(c);
	}
}

static void
every_row_has_a_handler(void **state)
{
	(void)state;
	for (size_t i = 0; i < router_count; i++)
		if (!call_handler(i) != (router_table[i].stream != API_STREAM_NONE))
			fail_msg("%s %s", router_table[i].method, router_table[i].path);
	assert_null(call_handler(router_count));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_the_query),
		cmocka_unit_test(finds_route_and_parameters),
		cmocka_unit_test(tells_our_failures_from_the_store_s),
		cmocka_unit_test(every_row_has_a_handler),
	};

	return cmocka_run_group_tests_name("api_call", tests, NULL, NULL);
}
