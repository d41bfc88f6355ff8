/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers of logs, attackers and identities over a real database file: shapes, filters,
 * refusals, and what analysts may do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/api.h"
#include "resolver/batch.h"
#include "scratch.h"
#include "util/json.h"

#define T0 1769847300000ULL

api_handler_fn h_log_list, h_log_histogram, h_log_stats, h_attacker_list, h_attacker_get,
	h_attacker_commands, h_attacker_artifacts, h_attacker_transcripts, h_attacker_export,
	h_identity_list, h_identity_get, h_identity_observations, h_identity_evidence,
	h_identity_note, h_identity_split, h_identity_merge;

struct world {
	struct scratch at;
	struct db *db;
	struct err e;
	struct api_res res;
};

static void
see(struct batch_in *b, uint64_t no, enum capture_type type, const char *ip, const char *key,
    const char *value, const char *key2, const char *value2)
{
	struct capture c = {
		.source = 1,
		.no = no,
		.ts_ms = T0 + no,
		.type = type,
		.topology_id = SV("0198c0de-0000-7000-8000-000000000001"),
		.decky = SV("web-1"),
		.service = no % 2 ? SV("http") : SV("telnet"),
		.session_id = SV("0198c0de-0000-7000-8000-000000000003"),
		.peer_ip = sv_from(ip),
	};
	struct buf frame;

	if (key)
		c.fields[c.nfields++] = (struct capture_field){sv_from(key), sv_from(value)};
	if (key2)
		c.fields[c.nfields++] = (struct capture_field){sv_from(key2), sv_from(value2)};
	buf_init(&frame, 1 << 16);
	assert_int_equal(capture_put(&frame, &c), 0);
	assert_int_equal(batch_add(b, buf_sv(&frame), T0 + 1000), 0);
	buf_fini(&frame);
}

/* Three addresses: two show one JA3, the third is alone. */
static void
fill(struct world *w)
{
	struct ingest_result got;
	struct batch_in b = {0};
	struct linker *linker = NULL;

	see(&b, 1, CAPTURE_FINGERPRINT, "192.0.2.1", "primitive", "tls.ja3", "value", "aa");
	see(&b, 2, CAPTURE_FINGERPRINT, "192.0.2.2", "primitive", "tls.ja3", "value", "aa");
	see(&b, 3, CAPTURE_CONNECT, "198.51.100.3", NULL, NULL, NULL, NULL);
	see(&b, 4, CAPTURE_COMMAND, "192.0.2.1", "command", "id", NULL, NULL);
	see(&b, 5, CAPTURE_COMMAND, "192.0.2.1", "command", "ls", NULL, NULL);
	see(&b, 6, CAPTURE_FILE_CAPTURED, "192.0.2.1", "name", "x", "size", "4");
	see(&b, 7, CAPTURE_SESSION_RECORDED, "192.0.2.1", "transcript", "id", NULL, NULL);
	assert_int_equal(linker_new(NULL, &linker), 0);
	if (batch_store(&b, w->db, linker, T0 + 1000, NULL, &got, &w->e) < 0)
		fail_msg("%s", err_text(&w->e));
	assert_int_equal(got.flushed, 7);
	linker_free(linker);
	journal_rows_fini(&got.rows);
	batch_fini(&b);
}

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	scratch_make(&w->at);
	w->db = scratch_open(&w->at);
	fill(w);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	api_res_fini(&w->res);
	db_close(w->db);
	scratch_remove(&w->at);
	free(w);
	return 0;
}

/* Call a handler in a write transaction as the server does; `query` is key, value, …, NULL. The
 * status. */
static int
call(struct world *w, api_handler_fn *handler, const char *param, const char *const *query,
     json_t *own_body)
{
	struct api_ctx cx = {.db = w->db, .e = &w->e};
	struct api_query_arg args[8];
	struct api_req req = {.query = args, .body = own_body, .now_ms = T0 + 5000};

	for (; query && *query; query += 2)
		args[req.nquery++] = (struct api_query_arg){sv_from(query[0]), sv_from(query[1])};
	if (param)
		req.param[req.nparams++] = sv_from(param);
	(void)snprintf(req.caller.username, sizeof(req.caller.username), "ann");
	api_res_fini(&w->res);
	w->res = (struct api_res){0};
	assert_int_equal(db_begin_write(w->db, &w->e), 0);
	if (handler(&cx, &req, &w->res) < 0)
		fail_msg("%s", err_text(&w->e));
	if (w->res.status < 400)
		assert_int_equal(db_commit(w->db, &w->e), 0);
	else
		db_rollback(w->db);
	json_decref(own_body);
	return w->res.status;
}

#define QUERY_ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static int64_t
total(const struct world *w)
{
	return json_integer_value(json_object_get(w->res.body, "total"));
}

static const char *
first_uuid(const struct world *w)
{
	return json_get_text(json_array_get(json_object_get(w->res.body, "data"), 0), "uuid");
}

static const char *
detail(const struct world *w)
{
	return json_get_text(w->res.body, "detail");
}

static void
log_routes(void **state)
{
	static const struct {
		const char *key, *value;
		int64_t total; /* -1: refused */
	} rows[] = {
		{"search", "event:command", 2},
		{"search", "null", 7},
		{"search", "undefined", 7},
		{"search", "", 7},
		{"search", "command:ls", 1},
		{"start_time", "2026-01-31T08:15:00.005Z", 3},
		{"start_time", "2026-01-31T09:15:00.005+01:00", 3},
		{"end_time", "2026-01-31T08:15:00.005", 5},
		{"end_time", "NULL", 7},
		{"start_time", "yesterday", -1},
		{"limit", "0", -1},
		{"limit", "1001", -1},
		{"offset", "-1", -1},
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int status =
			call(w, h_log_list, NULL, QUERY_ARGS(rows[i].key, rows[i].value), NULL);

		if (status != (rows[i].total < 0 ? 422 : 200) ||
		    (rows[i].total >= 0 && total(w) != rows[i].total))
			fail_msg("%s=%s: %d", rows[i].key, rows[i].value, status);
	}
	assert_int_equal(call(w, h_log_histogram, NULL, NULL, NULL), 200);
	assert_int_equal(json_array_size(w->res.body), 1);
	assert_int_equal(call(w, h_log_histogram, NULL, QUERY_ARGS("interval_minutes", "0"), NULL),
			 422);
	assert_int_equal(call(w, h_log_stats, NULL, NULL, NULL), 200);
	assert_int_equal(json_integer_value(json_object_get(w->res.body, "total_logs")), 7);
	assert_int_equal(json_integer_value(json_object_get(w->res.body, "unique_attackers")), 3);
}

static void
attacker_routes(void **state)
{
	struct world *w = *state;
	json_t *export = NULL;
	char uuid[ID_UUID_SIZE];

	assert_int_equal(
		call(w, h_attacker_list, NULL,
		     QUERY_ARGS("search", "192.0.2", "sort_by", "active", "service", "http"), NULL),
		200);
	assert_int_equal(total(w), 1);
	assert_int_equal(call(w, h_attacker_list, NULL, QUERY_ARGS("service", "htt"), NULL), 200);
	assert_int_equal(total(w), 0);
	assert_int_equal(call(w, h_attacker_list, NULL, QUERY_ARGS("search", "_"), NULL), 200);
	assert_int_equal(total(w), 0);
	assert_int_equal(call(w, h_attacker_list, NULL, QUERY_ARGS("sort_by", "age"), NULL), 422);
	assert_int_equal(call(w, h_attacker_list, NULL, QUERY_ARGS("search", "192.0.2.1"), NULL),
			 200);
	assert_int_equal(sv_copy(sv_from(first_uuid(w)), uuid, sizeof(uuid)), 0);

	assert_int_equal(call(w, h_attacker_get, uuid, NULL, NULL), 200);
	assert_int_equal(json_object_size(w->res.body), 31);
	assert_int_equal(json_array_size(json_object_get(w->res.body, "observations")), 1);
	assert_int_equal(call(w, h_attacker_commands, uuid, QUERY_ARGS("service", "telnet"), NULL),
			 200);
	assert_int_equal(total(w), 1);
	assert_int_equal(call(w, h_attacker_commands, uuid, QUERY_ARGS("limit", "201"), NULL), 422);
	assert_int_equal(call(w, h_attacker_artifacts, uuid, NULL, NULL), 200);
	assert_int_equal(total(w), 1);
	assert_int_equal(call(w, h_attacker_transcripts, uuid, NULL, NULL), 200);
	assert_int_equal(total(w), 1);
	uuid[0] ^= 1;
	assert_int_equal(call(w, h_attacker_get, uuid, NULL, NULL), 404);
	assert_string_equal(detail(w), "Attacker not found");
	assert_int_equal(call(w, h_attacker_commands, "nonsense", NULL, NULL), 404);

	assert_int_equal(call(w, h_attacker_export, NULL, NULL, NULL), 200);
	assert_non_null(strstr(w->res.disposition, "decnet-export-20260131T081505Z.json"));
	assert_int_equal(json_parse((struct sv){w->res.text, w->res.text_n}, &export, &w->e), 0);
	assert_int_equal(json_array_size(json_object_get(export, "observations")), 3);
	json_decref(export);
}

/* The identity with two observations, and those. */
static void
find_pair(struct world *w, char identity[ID_UUID_SIZE], char obs[2][ID_UUID_SIZE])
{
	json_t *data, *row;
	size_t i;

	assert_int_equal(call(w, h_identity_list, NULL, NULL, NULL), 200);
	assert_int_equal(total(w), 2);
	json_array_foreach(json_object_get(w->res.body, "data"), i, row)
	{
		if (json_integer_value(json_object_get(row, "observation_count")) == 2)
			(void)sv_copy(sv_from(json_get_text(row, "uuid")), identity, ID_UUID_SIZE);
	}
	assert_int_equal(call(w, h_identity_observations, identity, NULL, NULL), 200);
	data = json_object_get(w->res.body, "data");
	for (i = 0; i < 2; i++)
		(void)sv_copy(sv_from(json_get_text(json_array_get(data, i), "uuid")), obs[i],
			      ID_UUID_SIZE);
}

static void
identity_routes(void **state)
{
	struct world *w = *state;
	char identity[ID_UUID_SIZE] = "", obs[2][ID_UUID_SIZE], fresh[ID_UUID_SIZE];

	find_pair(w, identity, obs);
	assert_int_equal(call(w, h_identity_evidence, identity, NULL, NULL), 200);
	assert_int_equal(total(w), 1);
	assert_int_equal(call(w, h_identity_get, obs[0], NULL, NULL), 404);
	assert_string_equal(detail(w), "Identity not found");

	assert_int_equal(
		call(w, h_identity_note, identity, NULL, json_pack("{s:s}", "text", "a\nb")), 201);
	assert_string_equal(json_get_text(w->res.body, "notes"),
			    "2026-01-31T08:15:05.000Z ann: a b");
	assert_int_equal(call(w, h_identity_note, identity, NULL, json_pack("{s:s}", "text", "")),
			 422);

	/* Refused splits change nothing. */
	assert_int_equal(call(w, h_identity_split, identity, NULL,
			      json_pack("{s:[s,s]}", "observation_uuids", obs[0], obs[1])),
			 409);
	assert_string_equal(detail(w), "split would leave the identity without observations");
	assert_int_equal(call(w, h_identity_split, identity, NULL,
			      json_pack("{s:[s]}", "observation_uuids", identity)),
			 422);
	assert_int_equal(
		call(w, h_identity_split, identity, NULL, json_pack("{s:[]}", "observation_uuids")),
		422);
	assert_int_equal(call(w, h_identity_split, identity, NULL,
			      json_pack("{s:[s,s]}", "observation_uuids", obs[0], obs[0])),
			 201);
	assert_int_equal(json_array_size(json_object_get(w->res.body, "observation_uuids")), 1);
	(void)sv_copy(sv_from(json_get_text(w->res.body, "new_identity_uuid")), fresh,
		      sizeof(fresh));
	assert_int_equal(call(w, h_identity_get, fresh, NULL, NULL), 200);
	assert_int_equal(json_integer_value(json_object_get(w->res.body, "observation_count")), 1);

	/* The winner is the one asked for, the loser answers as the winner from then on. */
	assert_int_equal(
		call(w, h_identity_merge, NULL, NULL,
		     json_pack("{s:s, s:s}", "winner_uuid", fresh, "loser_uuid", identity)),
		200);
	assert_int_equal(
		call(w, h_identity_merge, NULL, NULL,
		     json_pack("{s:s, s:s}", "winner_uuid", identity, "loser_uuid", fresh)),
		409);
	assert_string_equal(detail(w), "identities are already one");
	assert_int_equal(call(w, h_identity_get, identity, NULL, NULL), 200);
	assert_string_equal(json_get_text(w->res.body, "uuid"), fresh);
	assert_int_equal(json_array_size(json_object_get(w->res.body, "merged_from")), 1);
	assert_int_equal(json_integer_value(json_object_get(w->res.body, "observation_count_live")),
			 2);
	assert_int_equal(call(w, h_identity_merge, NULL, NULL,
			      json_pack("{s:s, s:s}", "winner_uuid", "x", "loser_uuid", fresh)),
			 422);
	assert_int_equal(call(w, h_identity_merge, NULL, NULL,
			      json_pack("{s:s, s:s}", "winner_uuid", obs[0], "loser_uuid", fresh)),
			 404);
}

static void
notes_have_a_ceiling(void **state)
{
	struct world *w = *state;
	char identity[ID_UUID_SIZE] = "", obs[2][ID_UUID_SIZE], text[4097];
	int status = 201;

	find_pair(w, identity, obs);
	memset(text, 'n', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (unsigned i = 0; i < 15; i++)
		assert_int_equal(
			call(w, h_identity_note, identity, NULL, json_pack("{s:s}", "text", text)),
			201);
	status = call(w, h_identity_note, identity, NULL, json_pack("{s:s}", "text", text));
	assert_int_equal(status, 409);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(log_routes, setup, teardown),
		cmocka_unit_test_setup_teardown(attacker_routes, setup, teardown),
		cmocka_unit_test_setup_teardown(identity_routes, setup, teardown),
		cmocka_unit_test_setup_teardown(notes_have_a_ceiling, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
