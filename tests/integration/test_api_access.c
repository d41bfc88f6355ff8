/* SPDX-License-Identifier: Apache-2.0 */
/* Who may do what on a real server: tokens, roles, users, the order of refusals, rate limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/router.h"
#include "world.h"

static void
refuses_in_order(void **state)
{
	struct world *w = *state;
	static char big[1024 * 1024 + 2];
	struct answer *a;

	memset(big, ' ', sizeof(big) - 1);
	/* 401 before everything that is wrong with the body, 403 after it. */
	EXPECT(world_call(w, "POST", "/config/users", NULL, big), 401,
	       "Could not validate credentials");
	EXPECT(world_call(w, "POST", "/config/users", "not.a.token", "{"), 401,
	       "Could not validate credentials");
	EXPECT(world_call(w, "POST", "/config/users", w->viewer, "{}"), 403,
	       "Insufficient permissions");
	EXPECT(world_call(w, "POST", "/config/users", w->viewer, big), 403,
	       "Insufficient permissions");
	EXPECT(world_ask(w, "POST", "/api/v1/config/users", w->viewer, NULL, "x"), 403,
	       "Insufficient permissions");
	EXPECT(world_call(w, "GET", "/config", w->fresh, NULL), 403,
	       "Password change required before accessing this resource");
	a = world_call(w, "GET", "/config", NULL, NULL);
	assert_true(answer_has_header(a, "WWW-Authenticate: Bearer\r\n"));

	EXPECT(world_call(w, "POST", "/config/users", w->admin, big), 413,
	       "Request body too large");
	EXPECT(world_ask(w, "POST", "/api/v1/config/users", w->admin,
			 "Content-Type: text/plain\r\n", "{}"),
	       415, "Unsupported media type: expected application/json");
	EXPECT(world_ask(w, "POST", "/api/v1/config/users", w->admin, NULL, "{}"), 415,
	       "Unsupported media type: expected application/json");
	EXPECT(world_ask(w, "POST", "/api/v1/config/users", w->admin,
			 "Content-Type: Application/JSON; charset=utf-8\r\n", "{"),
	       400, "Malformed JSON body");
	EXPECT(world_call(w, "POST", "/config/users", w->admin, "{\"a\":1,\"a\":2}"), 400,
	       "Malformed JSON body");
	EXPECT(world_call(w, "POST", "/config/users", w->admin, "[]"), 400,
	       "Request body must be a JSON object");
	EXPECT(world_call(w, "POST", "/config/users", w->admin, "{}"), 422,
	       "Invalid request parameters");
	EXPECT(world_call(w, "POST", "/config/users", w->admin, NULL), 422,
	       "Invalid request parameters");
	EXPECT(world_call(w, "POST", "/auth/logout", w->admin, "{\"x\":1}"), 422,
	       "Invalid request parameters");
	EXPECT(world_call(w, "GET", "/config?a=%zz", w->admin, NULL), 422,
	       "Invalid request parameters");
	EXPECT(world_call(w, "PUT", "/config/users/nobody/role", w->admin, "{}"), 422,
	       "Invalid request parameters");
	EXPECT(world_call(w, "PUT", "/config/users/nobody/role", w->admin, "{\"role\":\"viewer\"}"),
	       404, "User not found");
}

static void
accepts_tokens_in_one_form(void **state)
{
	struct world *w = *state;
	char header[1100];

	(void)snprintf(header, sizeof(header), "authorization: bEARER %s\r\n", w->viewer);
	assert_int_equal(world_ask(w, "GET", "/api/v1/config", NULL, header, NULL)->status, 200);
	(void)snprintf(header, sizeof(header), "Authorization: Bearer  %s\r\n", w->viewer);
	assert_int_equal(world_ask(w, "GET", "/api/v1/config", NULL, header, NULL)->status, 401);
	(void)snprintf(header, sizeof(header), "Authorization: %s\r\n", w->viewer);
	assert_int_equal(world_ask(w, "GET", "/api/v1/config", NULL, header, NULL)->status, 401);
	/* Only streams take it from the query. */
	(void)snprintf(header, sizeof(header), "/config?token=%s", w->viewer);
	if (strlen(header) < 500)
		assert_int_equal(world_call(w, "GET", header, NULL, NULL)->status, 401);
}

/* A path for the row, with something in the place of each parameter. */
static void
example(const char *pattern, char *dst)
{
	while (*pattern) {
		if (*pattern == '{') {
			dst += sprintf(dst, "01a1fd30-529f-7218-8c42-4a08862a687c");
			pattern += strcspn(pattern, "}") + 1;
		} else {
			*dst++ = *pattern++;
		}
	}
	*dst = '\0';
}

static void
every_route_refuses(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < router_count; i++) {
		const struct route *r = &router_table[i];
		struct answer *a;
		char path[512];

		if (r->role == API_OPEN)
			continue;
		example(r->path, path);
		a = world_ask(w, r->method, path, NULL, NULL, NULL);
		if (a->status != 401 ||
		    strcmp(answer_member(a, "detail"), "Could not validate credentials") != 0)
			fail_msg("%s %s without a token: %d", r->method, path, a->status);
		if (r->role == API_SELF)
			continue;
		a = world_ask(w, r->method, path, w->fresh, NULL, NULL);
		if (a->status != 403)
			fail_msg("%s %s with must-change: %d", r->method, path, a->status);
		if (r->role != API_ADMIN)
			continue;
		a = world_ask(w, r->method, path, w->viewer, "Content-Type: application/json\r\n",
			      "{}");
		if (a->status != 403 ||
		    strcmp(answer_member(a, "detail"), "Insufficient permissions") != 0)
			fail_msg("%s %s as a viewer: %d", r->method, path, a->status);
		/* The path is known, and an admin gets further than the role. */
		a = world_ask(w, "OPTIONS", path, NULL, NULL, NULL);
		assert_int_equal(a->status, 204);
	}
}

static void
manages_users(void **state)
{
	struct world *w = *state;
	char bob[64], path[128], token[1024], own[64];
	struct answer *a;

	(void)snprintf(own, sizeof(own), "%s",
		       answer_member(world_call(w, "GET", "/config", w->admin, NULL), "uuid"));
	a = world_call(w, "POST", "/config/users", w->admin,
		       "{\"username\":\"bob\",\"password\":\"password-of-bob\"}");
	assert_int_equal(a->status, 200);
	assert_string_equal(answer_member(a, "role"), "viewer");
	assert_true(json_is_true(json_object_get(a->json, "must_change_password")));
	(void)snprintf(bob, sizeof(bob), "%s", answer_member(a, "uuid"));
	EXPECT(world_call(w, "POST", "/config/users", w->admin,
			  "{\"username\":\"bob\",\"password\":\"password-of-bob\"}"),
	       409, "Username already exists");
	EXPECT(world_call(w, "POST", "/config/users", w->admin,
			  "{\"username\":\" bob\",\"password\":\"password-of-bob\"}"),
	       422, "Invalid request parameters");

	/* A change of role ends the tokens, and counts from the next request on. */
	world_login(w, "bob", "password-of-bob", token);
	world_change(w, token, "password-of-bob", "password-two-of-bob");
	world_login(w, "bob", "password-two-of-bob", token);
	assert_int_equal(world_call(w, "GET", "/config", token, NULL)->status, 200);
	(void)snprintf(path, sizeof(path), "/config/users/%s/role", bob);
	a = world_call(w, "PUT", path, w->admin, "{\"role\":\"admin\"}");
	assert_string_equal(answer_member(a, "message"), "User role updated");
	assert_int_equal(world_call(w, "GET", "/config", token, NULL)->status, 401);
	world_login(w, "bob", "password-two-of-bob", token);
	a = world_call(w, "GET", "/config", token, NULL);
	assert_string_equal(answer_member(a, "role"), "admin");
	assert_true(json_is_array(json_object_get(a->json, "users")));
	assert_null(
		json_object_get(world_call(w, "GET", "/config", w->viewer, NULL)->json, "users"));

	(void)snprintf(path, sizeof(path), "/config/users/%s/reset-password", bob);
	EXPECT(world_call(w, "PUT", path, w->admin, "{\"new_password\":\"short\"}"), 422,
	       "Invalid request parameters");
	a = world_call(w, "PUT", path, w->admin, "{\"new_password\":\"password-three-bob\"}");
	assert_string_equal(answer_member(a, "message"), "Password reset successfully");
	assert_int_equal(world_call(w, "GET", "/config", token, NULL)->status, 401);
	world_login(w, "bob", "password-three-bob", token);
	EXPECT(world_call(w, "GET", "/config", token, NULL), 403,
	       "Password change required before accessing this resource");

	(void)snprintf(path, sizeof(path), "/config/users/%s", own);
	EXPECT(world_call(w, "DELETE", path, w->admin, NULL), 403,
	       "Cannot delete your own account");
	(void)snprintf(path, sizeof(path), "/config/users/%s/role", own);
	EXPECT(world_call(w, "PUT", path, w->admin, "{\"role\":\"viewer\"}"), 403,
	       "Cannot change your own role");
	(void)snprintf(path, sizeof(path), "/config/users/%s", bob);
	a = world_call(w, "DELETE", path, w->admin, NULL);
	assert_string_equal(answer_member(a, "message"), "User deleted");
	EXPECT(world_call(w, "DELETE", path, w->admin, NULL), 404, "User not found");
	EXPECT(world_call(w, "POST", "/auth/logout", token, NULL), 401,
	       "Could not validate credentials");
}

static void
ends_access(void **state)
{
	struct world *w = *state;
	char one[1024], two[1024];
	struct answer *a;

	EXPECT(world_call(w, "POST", "/auth/login", NULL,
			  "{\"username\":\"admin\",\"password\":\"wrong\"}"),
	       401, "Incorrect username or password");
	EXPECT(world_call(w, "POST", "/auth/login", NULL,
			  "{\"username\":\"nobody\",\"password\":\"x\"}"),
	       401, "Incorrect username or password");
	EXPECT(world_call(w, "POST", "/auth/login", NULL, "{\"username\":\"\",\"password\":\"\"}"),
	       422, "Invalid request parameters");
	world_login(w, "admin", WORLD_ADMIN, one);
	a = world_call(w, "POST", "/auth/logout", one, NULL);
	assert_string_equal(answer_member(a, "message"), "Logged out");
	EXPECT(world_call(w, "POST", "/auth/logout", one, NULL), 401,
	       "Could not validate credentials");
	assert_int_equal(world_call(w, "GET", "/config", w->admin, NULL)->status, 200);

	world_login(w, "viewer", WORLD_VIEWER, one);
	EXPECT(world_call(w, "POST", "/auth/change-password", one,
			  "{\"old_password\":\"wrong-wrong-wrong\",\"new_password\":\"password-"
			  "password\"}"),
	       401, "Incorrect old password");
	EXPECT(world_call(w, "POST", "/auth/change-password", one,
			  "{\"old_password\":\"" WORLD_VIEWER "\",\"new_password\":\"" WORLD_VIEWER
			  "\"}"),
	       422, "Invalid request parameters");
	world_change(w, one, WORLD_VIEWER, "another-password-of-the-viewer");
	assert_int_equal(world_call(w, "GET", "/config", one, NULL)->status, 401);
	assert_int_equal(world_call(w, "GET", "/config", w->viewer, NULL)->status, 401);
	/* A token of the same second, but after the change, is good. */
	world_login(w, "viewer", "another-password-of-the-viewer", two);
	assert_int_equal(world_call(w, "GET", "/config", two, NULL)->status, 200);
	world_change(w, two, "another-password-of-the-viewer", WORLD_VIEWER);
	world_login(w, "viewer", WORLD_VIEWER, w->viewer);
}

static void
gives_tickets(void **state)
{
	struct world *w = *state;
	struct answer *a = world_call(w, "POST", "/auth/sse-ticket", w->viewer, NULL);

	assert_int_equal(a->status, 200);
	assert_int_equal(strlen(answer_member(a, "ticket")), 43);
	assert_int_equal(json_integer_value(json_object_get(a->json, "expires_in")), 60);
}

/* Last: with another server, which counts. */
static void
limits_rates(void **state)
{
	static const char *const wrong = "{\"username\":\"nobody\",\"password\":\"x\"}";
	struct world *w = *state;
	struct answer *a;

	world_stop(w);
	(void)setenv("DECNET_LIMITER_ENABLED", "true", 1);
	world_start(w);
	for (int i = 0; i < 5; i++)
		assert_int_equal(
			world_call(w, "POST", "/auth/change-password", w->fresh, "{}")->status,
			422);
	a = world_call(w, "POST", "/auth/change-password", w->fresh, "{");
	EXPECT(a, 429, "Rate limit exceeded: 5 per 1 minute");
	assert_true(answer_has_header(a, "Retry-After: "));
	for (int i = 0; i < 10; i++)
		EXPECT(world_call(w, "POST", "/auth/login", NULL, wrong), 401,
		       "Incorrect username or password");
	/* Before the body is looked at, and whatever is in it. */
	EXPECT(world_call(w, "POST", "/auth/login", NULL, "{"), 429,
	       "Rate limit exceeded: 10 per 5 minute");
	EXPECT(world_ask(w, "POST", "/api/v1/auth/login", NULL, "X-Forwarded-For: 10.9.8.7\r\n",
			 NULL),
	       429, "Rate limit exceeded: 10 per 5 minute");
	assert_int_equal(world_call(w, "GET", "/config", w->admin, NULL)->status, 200);
	(void)setenv("DECNET_LIMITER_ENABLED", "false", 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_in_order),    cmocka_unit_test(accepts_tokens_in_one_form),
		cmocka_unit_test(every_route_refuses), cmocka_unit_test(manages_users),
		cmocka_unit_test(ends_access),	       cmocka_unit_test(gives_tickets),
		cmocka_unit_test(limits_rates),
	};

	return cmocka_run_group_tests_name("api_access", tests, world_setup, world_teardown);
}
