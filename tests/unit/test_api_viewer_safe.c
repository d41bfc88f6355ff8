/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The viewer-safe rule: what a stream may carry is shown to viewers by a GET route as well. The
 * table of topics names the route, the table of routes says who may read it, and the streams' own
 * code says which topics they take.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/router.h"
#include "api/stream_spec.h"
#include "util/attr.h"

struct topic {
	const char *name, *family;
	int variable;
	const char *tail, *route;
};

static const struct topic topics[] = {
#define TOPIC(name, family, variable, tail, journal, route) {#name, family, variable, tail, route},
#include "bus/topics.def"
#undef TOPIC
};

#define API "/api/v1"

/* Whether the paths are one when the names in braces are left out. */
static bool
same_path(struct sv a, struct sv b)
{
	while (a.n && b.n) {
		struct sv x = sv_cut(&a, '/'), y = sv_cut(&b, '/');
		bool param = x.n && x.p[0] == '{';

		if (param ? !(y.n && y.p[0] == '{') : !sv_eq(x, y))
			return false;
	}
	return a.n == 0 && b.n == 0;
}

/* What is wrong with a viewer route, or NULL. */
static const char *
route_fault(const char *path, const struct route *routes, size_t n)
{
	const char *fault = "there is no such route";

	if (!path[0])
		return "it names no route";
	for (size_t i = 0; i < n; i++) {
		const struct route *r = &routes[i];

		if (strncmp(r->path, API, strlen(API)) != 0 ||
		    !same_path(sv_from(r->path + strlen(API)), sv_from(path)))
			continue;
		if (strcmp(r->method, "GET") != 0)
			fault = "its route is no GET";
		else if (r->stream != API_STREAM_NONE)
			return "its route is a stream";
		else if (r->role != API_VIEWER)
			return "its route is not the viewers'";
		else
			return NULL;
	}
	return fault;
}

/* Whether GET /events, which carries all that any stream of events does, takes the topic. */
static bool
reaches_a_stream(const struct topic *t)
{
	static const char id[] = "0198c0de-0000-7000-8000-000000000001";
	/* What a variable stands for: of `system` a worker, of the others something with an id. */
	const char *one = strcmp(t->family, "system") == 0 ? "mutator" : id;
	char text[128];
	struct api_query_arg query = {SV("topics"), {NULL, 0}};
	struct api_req req = {.query = &query, .nquery = 1};
	struct api_res res = {0};
	struct stream_spec *s = NULL;
	bool yes;

	(void)snprintf(text, sizeof(text), "%s%s%s.%s", t->family, t->variable ? "." : "",
		       t->variable ? one : "", t->tail);
	query.value = sv_from(text);
	assert_int_equal(stream_spec_new(API_STREAM_EVENTS, &req, &res, &s), 0);
	yes = s != NULL;
	stream_spec_free(s);
	api_res_fini(&res);
	return yes;
}

/* What breaks the rule in a row, or NULL. */
static const char *
fault_of(const struct topic *t, const struct route *routes, size_t n)
{
	if (reaches_a_stream(t))
		return route_fault(t->route, routes, n);
	return t->route[0] ? "no stream carries it: it has no viewer route" : NULL;
}

static void
every_topic_keeps_the_rule(void **state)
{
	unsigned carried = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(topics); i++) {
		const char *fault = fault_of(&topics[i], router_table, router_count);

		if (fault)
			fail_msg("%s (%s): %s", topics[i].name, topics[i].route, fault);
		carried += reaches_a_stream(&topics[i]);
	}
	/* The rule is about something. */
	assert_true(carried > 20 && carried < ARRAY_LEN(topics));
}

/* Every way to break a row is seen. */
static void
a_broken_row_is_found(void **state)
{
	static const struct {
		struct topic t;
		const char *fault;
	} rows[] = {
		{{"", "identity", 0, "formed", "/identities/{x}"}, NULL},
		{{"", "identity", 0, "formed", ""}, "it names no route"},
		{{"", "identity", 0, "formed", "/identity/{x}"}, "there is no such route"},
		{{"", "identity", 0, "formed", "/identities/{x}/y"}, "there is no such route"},
		{{"", "identity", 0, "formed", "/identities/merge/{x}"}, "there is no such route"},
		{{"", "identity", 0, "formed", "/identities/{x}/split"}, "its route is no GET"},
		{{"", "identity", 0, "formed", "/config/users"}, "its route is no GET"},
		{{"", "identity", 0, "formed", "/auth/login"}, "its route is no GET"},
		{{"", "identity", 0, "formed", "/identities/events"}, "its route is a stream"},
		{{"", "identity", 0, "formed", "/healthz"}, "there is no such route"},
		{{"", "system", 1, "control", "/workers"},
		 "no stream carries it: it has no viewer route"},
		{{"", "system", 1, "control", ""}, NULL},
		{{"", "system", 1, "health", ""}, "it names no route"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *fault = fault_of(&rows[i].t, router_table, router_count);

		if (!fault != !rows[i].fault || (fault && strcmp(fault, rows[i].fault) != 0))
			fail_msg("row %zu: %s", i, fault ? fault : "no fault");
	}
}

/* No GET route is the admins' today: a table in which one becomes so. */
static void
a_route_that_becomes_the_admins_is_found(void **state)
{
	unsigned found = 0;

	(void)state;
	for (size_t i = 0; i < router_count; i++) {
		struct route one = router_table[i];

		one.role = API_ADMIN;
		for (size_t k = 0; k < ARRAY_LEN(topics); k++) {
			const char *fault = fault_of(&topics[k], &one, 1);

			found += fault && strcmp(fault, "its route is not the viewers'") == 0;
		}
	}
	assert_true(found >= 20);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_topic_keeps_the_rule),
		cmocka_unit_test(a_broken_row_is_found),
		cmocka_unit_test(a_route_that_becomes_the_admins_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
