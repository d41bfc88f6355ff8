/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/router.h"
#include "util/attr.h"

static char store[ROUTER_PATH_MAX + 1];

static struct router_match
match(const char *method, const char *path)
{
	struct router_match m;

	assert_true(strlen(path) < sizeof(store));
	router_match(sv_from(method), sv_from(path), store, &m);
	return m;
}

static void
finds_paths_and_parameters(void **state)
{
	static const struct {
		const char *method, *path;
		int status;
		const char *row, *param;
	} rows[] = {
		{"GET", "/healthz", 200, "/healthz", NULL},
		{"GET", "/healthz/", 200, "/healthz", NULL},
		{"GET", "/healthz//", 404, NULL, NULL},
		{"GET", "//healthz", 404, NULL, NULL},
		{"GET", "/HEALTHZ", 404, NULL, NULL},
		{"GET", "/%68ealthz", 200, "/healthz", NULL},
		{"GET", "/", 404, NULL, NULL},
		{"GET", "", 404, NULL, NULL},
		{"GET", "*", 404, NULL, NULL},
		{"GET", "/api/v1", 404, NULL, NULL},
		{"GET", "/api/v1/config", 200, "/api/v1/config", NULL},
		{"HEAD", "/api/v1/config", 200, "/api/v1/config", NULL},
		{"OPTIONS", "/api/v1/config", 204, NULL, NULL},
		{"OPTIONS", "/api/v1/nothing", 404, NULL, NULL},
		{"OPTIONS", "*", 204, NULL, NULL},
		{"GET", "*", 404, NULL, NULL},
		{"POST", "/api/v1/config", 405, NULL, NULL},
		{"BREW", "/api/v1/config", 405, NULL, NULL},
		{"BREW", "/api/v1/nothing", 404, NULL, NULL},
		{"get", "/api/v1/config", 405, NULL, NULL},
		{"HEAD", "/api/v1/auth/login", 405, NULL, NULL},
		{"DELETE", "/api/v1/config/users/u-1", 200, "/api/v1/config/users/{uuid}", "u-1"},
		{"DELETE", "/api/v1/config/users/u-1/", 200, "/api/v1/config/users/{uuid}", "u-1"},
		{"DELETE", "/api/v1/config/users/a%2Fb", 200, "/api/v1/config/users/{uuid}", "a/b"},
		{"DELETE", "/api/v1/config/users/a+b", 200, "/api/v1/config/users/{uuid}", "a+b"},
		{"DELETE", "/api/v1/config/users/", 405, NULL, NULL},
		{"DELETE", "/api/v1/config/users/%", 404, NULL, NULL},
		{"DELETE", "/api/v1/config/users/%2", 404, NULL, NULL},
		{"DELETE", "/api/v1/config/users/%2g", 404, NULL, NULL},
		{"DELETE", "/api/v1/config/users/%00", 404, NULL, NULL},
		{"DELETE", "/api/v1/config/users/%ff", 404, NULL, NULL},
		{"DELETE", "/api/v1/config/users/%c3%a4", 200, "/api/v1/config/users/{uuid}",
		 "\xc3\xa4"},
		{"DELETE", "/api/v1/config/users/../x", 404, NULL, NULL},
		{"POST", "/api/v1/workers/start-all", 200, "/api/v1/workers/start-all", NULL},
		{"POST", "/api/v1/workers/bus/stop", 200, "/api/v1/workers/{name}/stop", "bus"},
		{"GET", "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r", 404, NULL, NULL},
		/* A literal wins, whatever its methods. */
		{"GET", "/api/v1/topologies/blank", 405, NULL, NULL},
		{"GET", "/api/v1/topologies/services", 200, "/api/v1/topologies/services", NULL},
		{"GET", "/api/v1/topologies/other", 200, "/api/v1/topologies/{id}", "other"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct router_match m = match(rows[i].method, rows[i].path);

		if (m.status != rows[i].status)
			fail_msg("%s %s: %d", rows[i].method, rows[i].path, m.status);
		if (rows[i].row)
			assert_string_equal(router_table[m.index].path, rows[i].row);
		if (rows[i].param) {
			assert_int_equal(m.nparams, 1);
			assert_string_equal(m.param[0].p, rows[i].param);
			assert_int_equal(m.param[0].n, strlen(rows[i].param));
		}
		if (m.status == 200)
			assert_int_equal(m.head, strcmp(rows[i].method, "HEAD") == 0);
	}
}

/* The row's path with something in the place of each parameter. */
static void
example(const char *pattern, char *dst)
{
	while (*pattern) {
		if (*pattern == '{') {
			*dst++ = '~';
			pattern += strcspn(pattern, "}") + 1;
		} else {
			*dst++ = *pattern++;
		}
	}
	*dst = '\0';
}

static bool
has_row(const char *method, const char *path)
{
	char other[256];

	for (size_t i = 0; i < router_count; i++) {
		example(router_table[i].path, other);
		if (strcmp(router_table[i].method, method) == 0 && strcmp(other, path) == 0)
			return true;
	}
	return false;
}

static bool
streams(const char *path)
{
	char other[256];

	for (size_t i = 0; i < router_count; i++) {
		example(router_table[i].path, other);
		if (router_table[i].stream != API_STREAM_NONE && strcmp(other, path) == 0)
			return true;
	}
	return false;
}

static void
every_route_and_every_method(void **state)
{
	static const char *const methods[] = {"GET",	"HEAD",	   "POST",    "PUT",  "PATCH",
					      "DELETE", "OPTIONS", "CONNECT", "TRACE"};
	char path[256];

	(void)state;
	for (size_t i = 0; i < router_count; i++) {
		example(router_table[i].path, path);
		for (size_t k = 0; k < ARRAY_LEN(methods); k++) {
			const char *as = strcmp(methods[k], "HEAD") == 0 && !streams(path)
						 ? "GET"
						 : methods[k];
			bool options = strcmp(as, "OPTIONS") == 0;
			struct router_match m = match(methods[k], path);
			int want = options ? 204 : has_row(as, path) ? 200 : 405;

			if (m.status != want)
				fail_msg("%s %s: %d, wanted %d", methods[k], path, m.status, want);
			if (want != 200) {
				assert_non_null(strstr(m.allow, "OPTIONS"));
				assert_non_null(strstr(m.allow, router_table[i].method));
			} else if (strcmp(methods[k], router_table[i].method) == 0) {
				assert_int_equal(m.index, i);
			}
		}
	}
}

static void
the_table_is_sound(void **state)
{
	(void)state;
	assert_true(router_count > 0);
	for (size_t i = 0; i < router_count; i++) {
		const struct route *r = &router_table[i];
		char a[256], b[256];

		assert_int_equal(r->path[0], '/');
		assert_true(strlen(r->summary) > 3);
		example(r->path, a);
		if (r->role == API_OPEN && strncmp(r->path, "/api/", 5) == 0)
			assert_string_equal(r->path, "/api/v1/auth/login");
		for (size_t k = i + 1; k < router_count; k++) {
			example(router_table[k].path, b);
			if (strcmp(a, b) == 0 && strcmp(r->method, router_table[k].method) == 0)
				fail_msg("%s %s twice", r->method, r->path);
		}
	}
}

static void
undoes_escapes(void **state)
{
	static const struct {
		const char *in;
		int plus, r;
		const char *out;
	} rows[] = {
		{"", 0, 0, ""},
		{"abc", 0, 0, "abc"},
		{"a+b", 0, 0, "a+b"},
		{"a+b", 1, 0, "a b"},
		{"%41%6a", 0, 0, "Aj"},
		{"%4", 0, -EBADMSG, NULL},
		{"%", 0, -EBADMSG, NULL},
		{"%g1", 0, -EBADMSG, NULL},
		{"%1g", 0, -EBADMSG, NULL},
		{"%%41", 0, -EBADMSG, NULL},
		{"%25%32%35", 0, 0, "%25"},
		{"x%2B", 1, 0, "x+"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char out[64];
		size_t n = 0;
		int r = router_unescape(sv_from(rows[i].in), rows[i].plus, out, &n);

		if (r != rows[i].r)
			fail_msg("%s: %d", rows[i].in, r);
		if (r == 0) {
			assert_int_equal(n, strlen(rows[i].out));
			assert_memory_equal(out, rows[i].out, n);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_paths_and_parameters),
		cmocka_unit_test(every_route_and_every_method),
		cmocka_unit_test(the_table_is_sound),
		cmocka_unit_test(undoes_escapes),
	};

	return cmocka_run_group_tests_name("api_router", tests, NULL, NULL);
}
