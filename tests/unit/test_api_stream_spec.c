/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/stream_spec.h"
#include "util/json.h"

#define TOPOLOGY "0198c0de-0000-7000-8000-000000000001"
#define ATTACKER "0198c0de-0000-7000-8000-000000000002"

/* The spec of a request, or NULL and the status. */
static struct stream_spec *
make(enum api_stream stream, const char *param, const char *key, const char *value, int *ret_status)
{
	const struct api_query_arg query = {sv_from(key), sv_from(value)};
	struct api_req req = {.query = &query, .nquery = key ? 1 : 0};
	struct api_res res = {0};
	struct stream_spec *s = NULL;

	req.param[0] = sv_from(param);
	req.nparams = param ? 1 : 0;
	assert_int_equal(stream_spec_new(stream, &req, &res, &s), 0);
	assert_true((s == NULL) == (res.status != 0));
	*ret_status = res.status;
	api_res_fini(&res);
	return s;
}

static void
reads_requests(void **state)
{
	static const struct {
		enum api_stream stream;
		const char *param, *key, *value;
		int status;
	} rows[] = {
		{API_STREAM_IDENTITIES, NULL, NULL, NULL, 0},
		{API_STREAM_TOPOLOGY, TOPOLOGY, NULL, NULL, 0},
		{API_STREAM_TOPOLOGY, "x", NULL, NULL, 404},
		{API_STREAM_ATTACKER, ATTACKER, NULL, NULL, 0},
		{API_STREAM_ATTACKER, "0198C0DE-0000-7000-8000-000000000002", NULL, NULL, 404},
		{API_STREAM_LOGS, NULL, NULL, NULL, 0},
		{API_STREAM_LOGS, NULL, "search", "service:http x", 0},
		{API_STREAM_LOGS, NULL, "start_time", "null", 0},
		{API_STREAM_LOGS, NULL, "start_time", "2026-01-31T08:15:00Z", 0},
		{API_STREAM_LOGS, NULL, "end_time", "tomorrow", 422},
		{API_STREAM_EVENTS, NULL, NULL, NULL, 422},
		{API_STREAM_EVENTS, NULL, "topics", "", 422},
		{API_STREAM_EVENTS, NULL, "topics", "identity.>", 0},
		{API_STREAM_EVENTS, NULL, "topics", "identity.>,decky.*.state,topology.*.>", 0},
		{API_STREAM_EVENTS, NULL, "topics", "attacker.observed,credential.captured", 0},
		{API_STREAM_EVENTS, NULL, "topics", "identity.>,", 422},
		{API_STREAM_EVENTS, NULL, "topics", ",identity.>", 422},
		{API_STREAM_EVENTS, NULL, "topics", "identity.>.x", 422},
		{API_STREAM_EVENTS, NULL, "topics", "*.x", 422},
		{API_STREAM_EVENTS, NULL, "topics", ">", 422},
		{API_STREAM_EVENTS, NULL, "topics", "ext.>", 422},
		{API_STREAM_EVENTS, NULL, "topics", "_INBOX.>", 422},
		{API_STREAM_EVENTS, NULL, "topics", "system.>", 422},
		{API_STREAM_EVENTS, NULL, "topics", "system.*.>", 422},
		{API_STREAM_EVENTS, NULL, "topics", "system.log", 422},
		{API_STREAM_EVENTS, NULL, "topics", "system.health", 422},
		{API_STREAM_EVENTS, NULL, "topics", "system.api.control", 422},
		{API_STREAM_EVENTS, NULL, "topics", "system.bus.*", 422},
		{API_STREAM_EVENTS, NULL, "topics", "system.nobody.health", 422},
		{API_STREAM_EVENTS, NULL, "topics", "system.supervisor.health", 0},
		{API_STREAM_EVENTS, NULL, "topics", "system.bus.health,system.bus.dropped", 0},
		{API_STREAM_EVENTS, NULL, "topics", "system.*.health,system.mutator.health", 0},
		{API_STREAM_EVENTS, NULL, "topics",
		 "decky.a,decky.b,decky.c,decky.d,decky.e,decky.f,decky.g,decky.h,decky.i,decky.j,"
		 "decky.k,decky.l,decky.m,decky.n,decky.o,decky.p",
		 0},
		{API_STREAM_EVENTS, NULL, "topics",
		 "decky.a,decky.b,decky.c,decky.d,decky.e,decky.f,decky.g,decky.h,decky.i,decky.j,"
		 "decky.k,decky.l,decky.m,decky.n,decky.o,decky.p,decky.q",
		 422},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int status;

		stream_spec_free(
			make(rows[i].stream, rows[i].param, rows[i].key, rows[i].value, &status));
		if (status != rows[i].status)
			fail_msg("row %zu: %d", i, status);
	}
}

static bool
carries(struct stream_spec *s, const char *topic, const char *payload)
{
	struct stream_event ev = {.topic = sv_from(topic), .text = sv_from(payload)};
	bool yes = stream_spec_carries(s, &ev, s->identity);

	stream_event_fini(&ev);
	return yes;
}

static void
parts_the_events(void **state)
{
	static const struct {
		enum api_stream stream;
		const char *param, *topics, *topic, *payload;
		bool yes;
	} rows[] = {
		{API_STREAM_IDENTITIES, NULL, NULL, "identity.formed", "{}", true},
		{API_STREAM_IDENTITIES, NULL, NULL, "identity.ext.x", "{}", true},
		{API_STREAM_IDENTITIES, NULL, NULL, "attacker.observed", "{}", false},
		{API_STREAM_TOPOLOGY, TOPOLOGY, NULL, "topology." TOPOLOGY ".status", "{}", true},
		{API_STREAM_TOPOLOGY, TOPOLOGY, NULL, "topology.other.status", "{}", false},
		{API_STREAM_TOPOLOGY, TOPOLOGY, NULL, "decky.web.state",
		 "{\"topology_id\":\"" TOPOLOGY "\"}", true},
		{API_STREAM_TOPOLOGY, TOPOLOGY, NULL, "decky.web.state", "{\"topology_id\":\"x\"}",
		 false},
		{API_STREAM_TOPOLOGY, TOPOLOGY, NULL, "decky.web.state", "{}", false},
		{API_STREAM_TOPOLOGY, TOPOLOGY, NULL, "identity.formed", "{}", false},
		{API_STREAM_ATTACKER, ATTACKER, NULL, "attacker.observed",
		 "{\"attacker_uuid\":\"" ATTACKER "\"}", true},
		{API_STREAM_ATTACKER, ATTACKER, NULL, "credential.captured",
		 "{\"attacker_uuid\":\"" ATTACKER "\"}", true},
		{API_STREAM_ATTACKER, ATTACKER, NULL, "attacker.observed",
		 "{\"attacker_uuid\":\"x\"}", false},
		{API_STREAM_ATTACKER, ATTACKER, NULL, "decky.web.traffic",
		 "{\"attacker_uuid\":\"" ATTACKER "\"}", false},
		{API_STREAM_EVENTS, NULL, "decky.*.state,identity.>", "decky.web.state", "{}",
		 true},
		{API_STREAM_EVENTS, NULL, "decky.*.state,identity.>", "identity.merged", "{}",
		 true},
		{API_STREAM_EVENTS, NULL, "decky.*.state,identity.>", "decky.web.traffic", "{}",
		 false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int status;
		struct stream_spec *s =
			make(rows[i].stream, rows[i].param, rows[i].topics ? "topics" : NULL,
			     rows[i].topics, &status);

		assert_non_null(s);
		if (carries(s, rows[i].topic, rows[i].payload) != rows[i].yes)
			fail_msg("row %zu", i);
		stream_spec_free(s);
	}
}

static void
follows_an_attackers_identity(void **state)
{
	static const struct {
		const char *topic, *payload;
		bool yes;
		const char *after;
	} rows[] = {
		{"identity.updated", "{\"identity_uuid\":\"i1\"}", false, ""},
		{"identity.formed",
		 "{\"identity_uuid\":\"i1\",\"observation_uuids\":[\"x\",\"" ATTACKER "\"]}", true,
		 "i1"},
		{"identity.formed", "{\"identity_uuid\":\"i2\",\"observation_uuids\":[\"x\"]}",
		 false, "i1"},
		{"identity.updated", "{\"identity_uuid\":\"i1\"}", true, "i1"},
		{"identity.observation.linked",
		 "{\"identity_uuid\":\"i1\",\"observation_uuid\":\"x\"}", true, "i1"},
		{"identity.merged", "{\"winner_uuid\":\"i1\",\"loser_uuid\":\"i2\"}", true, "i1"},
		{"identity.merged", "{\"winner_uuid\":\"i0\",\"loser_uuid\":\"i1\"}", true, "i0"},
		{"identity.updated", "{\"identity_uuid\":\"i1\"}", false, "i0"},
		{"identity.updated", "{\"identity_uuid\":\"i0\"}", true, "i0"},
		{"identity.unmerged",
		 "{\"resurrected_uuid\":\"i2\",\"former_winner_uuid\":\"i0\","
		 "\"observation_uuids\":[\"x\"]}",
		 true, "i0"},
		{"identity.unmerged",
		 "{\"resurrected_uuid\":\"i1\",\"former_winner_uuid\":\"i0\","
		 "\"observation_uuids\":[\"" ATTACKER "\"]}",
		 true, "i1"},
		{"identity.observation.unlinked",
		 "{\"identity_uuid\":\"i1\",\"observation_uuid\":\"" ATTACKER "\"}", true, ""},
		{"identity.updated", "{\"identity_uuid\":\"i1\"}", false, ""},
		{"identity.observation.linked",
		 "{\"identity_uuid\":\"i7\",\"observation_uuid\":\"" ATTACKER "\"}", true, "i7"},
	};
	struct stream_spec *s;
	int status;

	(void)state;
	s = make(API_STREAM_ATTACKER, ATTACKER, NULL, NULL, &status);
	assert_non_null(s);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (carries(s, rows[i].topic, rows[i].payload) != rows[i].yes)
			fail_msg("row %zu", i);
		assert_string_equal(s->identity, rows[i].after);
	}
	stream_spec_free(s);
}

static void
only_the_deletion_of_a_row_ends(void **state)
{
	struct stream_event ev = {
		.seq = 5, .topic = SV("topology." TOPOLOGY ".deleted"), .text = SV("{}")};
	struct frame *f;

	(void)state;
	assert_int_equal(stream_event_frame(&ev, false, &f), 0);
	assert_int_equal(f->ends, CLOSE_TOPOLOGY_DELETED);
	frame_unref(f);
	assert_int_equal(stream_event_frame(&ev, true, &f), 0);
	assert_int_equal(f->ends, CLOSE_NONE);
	frame_unref(f);
	/* Anybody can say so on the bus. */
	ev.seq = 0;
	assert_int_equal(stream_event_frame(&ev, false, &f), 0);
	assert_int_equal(f->ends, CLOSE_NONE);
	frame_unref(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_requests),
		cmocka_unit_test(parts_the_events),
		cmocka_unit_test(follows_an_attackers_identity),
		cmocka_unit_test(only_the_deletion_of_a_row_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
