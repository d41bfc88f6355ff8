/* SPDX-License-Identifier: Apache-2.0 */
/* The five streams of a real server, without a bus: ways in, snapshot and resume, what they carry,
 * and when they end. Rows come from another connection to the same store, as in real life. */
#include "stream_follower.h"

static void
begins_and_resumes(void **state)
{
	struct world *w = *state;
	struct db *db = open_store(w);
	struct follower *f, *g;
	int64_t head, id, first, second;
	char line[64], want[256];
	const char *data;

	row_ts_ms = clock_unix_ms();
	(void)commit(db, "identity.updated", NULL, "{\"identity_uuid\":\"z\"}");
	(void)commit(db, "identity.updated", NULL, "{\"identity_uuid\":\"z\"}");
	f = follow(w, w->viewer, "/identities/events", NULL);
	assert_int_equal(f->status, 200);
	assert_true(sv_search(buf_sv(&f->head),
			      SV("Content-Type: text/event-stream; charset=utf-8\r\n")) !=
		    SIZE_MAX);
	data = next(f, "snapshot", &head);
	assert_int_equal(number(data, "watermark"), head);
	assert_non_null(strstr(data, "\"identities\":["));
	assert_non_null(strstr(data, "\"reason\":\"connect\""));
	assert_int_equal(f->sse.retry, 2000);
	first = commit(db, "identity.merged", NULL, "{\"winner_uuid\":\"a\",\"loser_uuid\":\"b\"}");
	(void)commit(db, "topology.x.status", "x", "{\"status\":\"active\"}");
	second = commit(db, "identity.updated", NULL, "{\"identity_uuid\":\"a\"}");
	data = next(f, "merged", &id);
	assert_int_equal(id, first);
	(void)snprintf(want, sizeof(want),
		       "{\"topic\":\"identity.merged\",\"type\":\"merged\",\"ts\":%llu.%03llu,"
		       "\"payload\":{\"winner_uuid\":\"a\",\"loser_uuid\":\"b\"}}",
		       (unsigned long long)row_ts_ms / 1000, (unsigned long long)row_ts_ms % 1000);
	assert_string_equal(data, want);
	(void)next(f, "updated", &id);
	assert_int_equal(id, second);
	unfollow(f);

	(void)snprintf(line, sizeof(line), "Last-Event-ID: %lld\r\n", (long long)head);
	g = follow(w, w->viewer, "/identities/events?lastEventId=1", line);
	(void)next(g, "merged", &id);
	assert_int_equal(id, first);
	(void)next(g, "updated", &id);
	assert_int_equal(id, second);
	data = next(g, "resumed", &id);
	assert_int_equal(id, second);
	assert_int_equal(number(data, "from"), head);
	assert_int_equal(number(data, "to"), second);
	assert_int_equal(number(data, "replayed"), 2);
	unfollow(g);

	/* A server that knows nothing but the store resumes the same. */
	(void)kill(w->pid, SIGKILL);
	(void)waitpid(w->pid, NULL, 0);
	world_start(w);
	(void)snprintf(line, sizeof(line), "/identities/events?lastEventId=%lld", (long long)first);
	g = follow(w, w->viewer, line, "Last-Event-ID: 0\r\n");
	(void)next(g, "updated", &id);
	assert_int_equal(id, second);
	assert_int_equal(number(next(g, "resumed", NULL), "replayed"), 1);
	unfollow(g);
	g = follow(w, w->viewer, "/identities/events?lastEventId=99999999999999999999999", NULL);
	assert_non_null(strstr(next(g, "snapshot", NULL), "\"reason\":\"expired\""));
	unfollow(g);
	g = follow(w, w->viewer, "/identities/events?lastEventId=-1", NULL);
	assert_non_null(strstr(next(g, "snapshot", NULL), "\"reason\":\"connect\""));
	unfollow(g);
	db_close(db);
}

static void
refuses_in_order(void **state)
{
	struct world *w = *state;
	const char *unknown = "/topologies/0198c0de-0000-7000-8000-00000000dead/events";

	refused(w, NULL, unknown, 401, "Could not validate credentials");
	refused(w, w->fresh, unknown, 403, "Password change required");
	refused(w, w->viewer, unknown, 404, "Topology not found");
	refused(w, w->viewer, "/topologies/none/events", 404, "Topology not found");
	refused(w, w->viewer, "/attackers/none/events", 404, "Attacker not found");
	refused(w, w->viewer, "/attackers/0198c0de-0000-7000-8000-00000000dead/events", 404,
		"Attacker not found");
	refused(w, w->viewer, "/stream?start_time=soon", 422, "query.start_time");
	refused(w, w->viewer, "/events", 422, "query.topics");
	refused(w, w->viewer, "/events?topics=", 422, "query.topics");
	refused(w, w->viewer, "/events?topics=identity.%3E,", 422, "query.topics");
	refused(w, w->viewer, "/events?topics=system.%3E", 422, "query.topics");
	refused(w, w->viewer, "/events?topics=system.log", 422, "query.topics");
	refused(w, w->viewer, "/events?topics=system.api.control", 422, "query.topics");
	refused(w, w->viewer, "/events?topics=%3E", 422, "query.topics");
	refused(w, w->viewer, "/events?topics=identity..x", 422, "query.topics");
	refused(w, w->viewer, "/events?topics=topology.0198c0de-0000-7000-8000-00000000dead.%3E",
		404, "Topology not found");
	refused(w, w->viewer, "/identities/events?x=%ff", 422, "query");
	assert_int_equal(
		world_ask(w, "HEAD", "/api/v1/identities/events", w->viewer, NULL, NULL)->status,
		405);
}

static void
counts_slots(void **state)
{
	struct world *w = *state;
	struct follower *f[5];

	for (unsigned i = 0; i < 5; i++) {
		f[i] = follow(w, w->viewer, i % 2 ? "/stream" : "/identities/events", NULL);
		assert_int_equal(f[i]->status, 200);
	}
	/* Before what the request asks for is looked at. */
	refused(w, w->viewer, "/topologies/none/events", 429, "SSE connection limit (5) reached");
	refused(w, w->viewer, "/events", 429, "Retry-After: 5\r\n");
	f[4]->at = 0;
	unfollow(f[4]);
	for (uint64_t end = clock_mono_ms() + DEADLINE_MS;;) {
		f[4] = follow(w, w->viewer, "/identities/events", NULL);
		if (f[4]->status == 200)
			break;
		assert_true(clock_mono_ms() < end);
		unfollow(f[4]);
	}
	for (unsigned i = 0; i < 5; i++)
		unfollow(f[i]);
}

static void
tickets_are_spent_once(void **state)
{
	struct world *w = *state;
	char path[1200], ticket[64];
	struct follower *f;

	(void)snprintf(ticket, sizeof(ticket), "%s",
		       answer_member(world_call(w, "POST", "/auth/sse-ticket", w->viewer, NULL),
				     "ticket"));
	(void)snprintf(path, sizeof(path), "/topologies/none/events?ticket=%s", ticket);
	refused(w, NULL, path, 404, "Topology not found");
	(void)snprintf(path, sizeof(path), "/events?ticket=%s", ticket);
	refused(w, NULL, path, 422, "query.topics");
	(void)snprintf(path, sizeof(path), "/identities/events?ticket=%s", ticket);
	refused(w, "not.a.token", path, 401, "Could not validate credentials");
	f = follow(w, NULL, path, NULL);
	(void)next(f, "snapshot", NULL);
	refused(w, NULL, path, 401, "Could not validate credentials");
	unfollow(f);
	(void)snprintf(path, sizeof(path), "/identities/events?token=%s", w->viewer);
	f = follow(w, NULL, path, NULL);
	(void)next(f, "snapshot", NULL);
	unfollow(f);
}

static void
make_user(struct world *w, const char *name, char token[1024], char uuid[64])
{
	char body[256], first[1024];

	(void)snprintf(body, sizeof(body),
		       "{\"username\":\"%s\",\"password\":\"password-number-one\"}", name);
	(void)snprintf(
		uuid, 64, "%s",
		answer_member(world_call(w, "POST", "/config/users", w->admin, body), "uuid"));
	world_login(w, name, "password-number-one", first);
	world_change(w, first, "password-number-one", WORLD_VIEWER);
	world_login(w, name, WORLD_VIEWER, token);
}

static void
access_ends_when_it_ends(void **state)
{
	static const struct {
		const char *name, *method, *path, *tail, *body, *reason;
		bool self;
	} rows[] = {
		{"a1", "POST", "/auth/logout", NULL, NULL, "revoked", true},
		{"a2", "PUT", "/config/users/", "/role", "{\"role\":\"admin\"}", "role_changed",
		 false},
		{"a3", "DELETE", "/config/users/", "", NULL, "revoked", false},
		{"a4", "PUT", "/config/users/", "/reset-password",
		 "{\"new_password\":\"another-password\"}", "revoked", false},
		{"a5", "POST", "/auth/change-password", NULL,
		 "{\"old_password\":\"" WORLD_VIEWER "\",\"new_password\":\"another-password\"}",
		 "revoked", true},
	};
	struct world *w = *state;
	struct db *db = open_store(w);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char token[1024], uuid[64], path[128];
		struct follower *f, *other;

		make_user(w, rows[i].name, token, uuid);
		f = follow(w, token, "/identities/events", NULL);
		other = follow(w, w->viewer, "/identities/events", NULL);
		(void)next(f, "snapshot", NULL);
		(void)next(other, "snapshot", NULL);
		(void)commit(db, "identity.updated", NULL, "{\"identity_uuid\":\"before\"}");
		(void)next(f, "updated", NULL);
		(void)snprintf(path, sizeof(path), "%s%s%s", rows[i].path, rows[i].tail ? uuid : "",
			       rows[i].tail ? rows[i].tail : "");
		assert_true(world_call(w, rows[i].method, path, rows[i].self ? token : w->admin,
				       rows[i].body)
				    ->status < 300);
		/* Committed after it: not for this one any more. */
		(void)commit(db, "identity.updated", NULL, "{\"identity_uuid\":\"after\"}");
		bye(f, rows[i].reason);
		(void)next(other, "updated", NULL);
		(void)next(other, "updated", NULL);
		unfollow(other);
	}
	db_close(db);
}

static void
a_deleted_topology_says_bye(void **state)
{
	struct world *w = *state;
	char path[128], id[64];
	struct follower *f, *g;
	const char *data;

	(void)snprintf(id, sizeof(id), "%s",
		       answer_member(world_call(w, "POST", "/topologies/blank", w->admin,
						"{\"name\":\"streams\"}"),
				     "id"));
	(void)snprintf(path, sizeof(path), "/topologies/%s/events", id);
	f = follow(w, w->viewer, path, NULL);
	data = next(f, "snapshot", NULL);
	assert_non_null(strstr(data, "\"status\":\"pending\",\"version\":1,\"in_flight\":[],"));
	assert_non_null(strstr(data, id));
	(void)snprintf(path, sizeof(path), "/events?topics=topology.%s.%%3E,topology.*.deleted",
		       id);
	g = follow(w, w->viewer, path, NULL);
	assert_non_null(strstr(next(g, "snapshot", NULL), "\"topologies\":[{\"topology_id\":"));
	(void)snprintf(path, sizeof(path), "/topologies/%s", id);
	assert_int_equal(world_call(w, "DELETE", path, w->admin, NULL)->status, 204);
	(void)next(f, "deleted", NULL);
	bye(f, "topology_deleted");
	/* Overlapping patterns: once, with the whole topic as its name. */
	(void)snprintf(path, sizeof(path), "topology.%s.deleted", id);
	(void)next(g, path, NULL);
	(void)snprintf(path, sizeof(path), "/topologies/%s/events", id);
	refused(w, w->viewer, path, 404, "Topology not found");
	assert_int_equal(g->at, g->n);
	unfollow(g);
}

/* Ids and names of what came since the snapshot. */
static void
list(const struct follower *f, char *text, size_t size)
{
	text[0] = '\0';
	for (unsigned i = 0; i < f->n; i++) {
		size_t at = strlen(text);

		if (f->seen[i].id < 0 || strcmp(f->seen[i].name, "snapshot") == 0 ||
		    strcmp(f->seen[i].name, "resumed") == 0)
			continue;
		(void)snprintf(text + at, size - at, "%s %lld\n", f->seen[i].name,
			       (long long)f->seen[i].id);
	}
}

/* Read until an event of that name was seen. */
static void
until(struct follower *f, const char *name)
{
	uint64_t end = clock_mono_ms() + DEADLINE_MS;

	for (;; f->at++) {
		while (f->at == f->n && more(f, end))
			;
		if (f->at == f->n)
			fail_msg("no %s", name);
		if (strcmp(f->seen[f->at].name, name) == 0)
			break;
	}
	f->at++;
}

static void
an_attacker_is_followed(void **state)
{
	struct world *w = *state;
	struct db *db = open_store(w);
	char path[160], uuid[64], live[4096], again[4096];
	struct follower *f, *g;
	json_t *snapshot;
	int64_t head;

	visit(db, "192.0.2.77", CAPTURE_COMMAND, "command", "id");
	visit(db, "192.0.2.78", CAPTURE_FINGERPRINT, "", "abababababababababababababababab");
	(void)snprintf(
		uuid, sizeof(uuid), "%s",
		json_string_value(json_object_get(
			json_array_get(
				json_object_get(world_call(w, "GET", "/attackers?search=192.0.2.77",
							   w->viewer, NULL)
							->json,
						"data"),
				0),
			"uuid")));
	(void)snprintf(path, sizeof(path), "/attackers/%s/events", uuid);
	f = follow(w, w->viewer, path, NULL);
	snapshot = parsed(next(f, "snapshot", &head));
	assert_string_equal(json_string_value(json_object_get(snapshot, "attacker_uuid")), uuid);
	assert_true(json_is_object(json_object_get(snapshot, "attacker")));
	assert_true(json_is_array(json_object_get(snapshot, "observations")));
	json_decref(snapshot);
	/* Another's visit is not for this stream; the same fingerprint makes them one. */
	visit(db, "192.0.2.78", CAPTURE_COMMAND, "command", "ls");
	visit(db, "192.0.2.77", CAPTURE_FINGERPRINT, "", "abababababababababababababababab");
	visit(db, "192.0.2.79", CAPTURE_COMMAND, "command", "w");
	visit(db, "192.0.2.77", CAPTURE_COMMAND, "command", "last");
	until(f, "attacker.fingerprinted");
	until(f, "attacker.observed");
	(void)commit(db, "attacker.scored", uuid, "{\"attacker_uuid\":\"none\"}");
	(void)snprintf(live, sizeof(live), "{\"attacker_uuid\":\"%s\",\"last\":1}", uuid);
	(void)commit(db, "attacker.scored", uuid, live);
	until(f, "attacker.scored");
	while (!strstr(f->seen[f->at - 1].data, "\"last\":1"))
		until(f, "attacker.scored");
	list(f, live, sizeof(live));
	assert_non_null(strstr(live, "attacker.observed "));
	/* From the store alone the same rows come. */
	world_stop(w);
	bye(f, "shutdown");
	world_start(w);
	(void)snprintf(path, sizeof(path), "/attackers/%s/events?lastEventId=%lld", uuid,
		       (long long)head);
	g = follow(w, w->viewer, path, NULL);
	until(g, "resumed");
	list(g, again, sizeof(again));
	assert_string_equal(again, live);
	unfollow(g);
	db_close(db);
}

static int64_t
log_rows(const char *data)
{
	json_t *object = parsed(data);
	int64_t n = -1;

	if (strcmp(json_string_value(json_object_get(object, "type")), "logs") == 0)
		n = (int64_t)json_array_size(json_object_get(object, "data"));
	json_decref(object);
	return n;
}

/* The next frame with log rows. */
static int64_t
next_logs(struct follower *f, int64_t *ret_id)
{
	for (;;) {
		const char *data = next(f, "message", ret_id);
		int64_t n = log_rows(data);

		if (n >= 0)
			return n;
		assert_int_equal(*ret_id, -1);
	}
}

static void
logs_are_filtered_and_resumed(void **state)
{
	struct world *w = *state;
	struct db *db = open_store(w);
	struct follower *all, *some, *again;
	int64_t head, id, last;
	char path[128];

	all = follow(w, w->viewer, "/stream", NULL);
	some = follow(w, w->viewer, "/stream?search=attacker:203.0.113.5", NULL);
	(void)next(all, "snapshot", &head);
	assert_non_null(strstr(next(all, "message", NULL), "{\"type\":\"stats\",\"data\":{"));
	assert_non_null(strstr(next(all, "message", NULL), "{\"type\":\"histogram\",\"data\":["));
	(void)next(some, "snapshot", NULL);
	visit(db, "203.0.113.4", CAPTURE_COMMAND, "command", "one");
	visit(db, "203.0.113.5", CAPTURE_COMMAND, "command", "two");
	last = head;
	while (last < head + 2) {
		int64_t n = next_logs(all, &id);

		assert_int_equal(id, last + n);
		last = id;
	}
	assert_int_equal(next_logs(some, &id), 1);
	assert_int_equal(id, head + 2);
	/* A change of the numbers comes by itself. */
	visit(db, "203.0.113.4", CAPTURE_COMMAND, "command", "three");
	assert_int_equal(next_logs(all, &id), 1);
	do
		(void)next(all, "message", &id);
	while (log_rows(all->seen[all->at - 1].data) >= 0);
	(void)snprintf(path, sizeof(path), "/stream?lastEventId=%lld", (long long)head);
	again = follow(w, w->viewer, path, NULL);
	for (last = head; last < head + 3; last = id) {
		int64_t n = next_logs(again, &id);

		assert_int_equal(id, last + n);
	}
	assert_int_equal(number(next(again, "resumed", NULL), "replayed"), 3);
	assert_non_null(strstr(next(again, "message", NULL), "\"stats\""));
	assert_non_null(strstr(next(again, "message", NULL), "\"histogram\""));
	unfollow(all);
	unfollow(some);
	unfollow(again);
	db_close(db);
}

/* So many rows of the identities in one transaction; the last seq. */
static int64_t
commit_many(struct db *db, unsigned n)
{
	json_t *payload = json_object();
	struct journal_rows rows;
	struct err e = {0};
	char pad[1024] = "";
	int64_t seq = 0;
	int r;

	memset(pad, 'x', sizeof(pad) - 1);
	assert_int_equal(json_object_set_new(payload, "identity_uuid", json_string(pad)), 0);
	r = db_begin_write(db, &e);
	while (r == 0 && n-- > 0)
		r = journal_append(db, "identity.updated", NULL, row_ts_ms, payload, &seq, &e);
	if (r == 0)
		r = db_commit(db, &e);
	if (r < 0)
		fail_msg("%s", err_text(&e));
	journal_take(db, &rows);
	journal_rows_fini(&rows);
	json_decref(payload);
	return seq;
}

static void
a_slow_reader_misses_nothing(void **state)
{
	struct world *w = *state;
	struct db *db = open_store(w);
	struct follower *slow = follow(w, w->viewer, "/identities/events", NULL);
	struct follower *quick = follow(w, w->viewer, "/identities/events", NULL);
	uint64_t end = clock_mono_ms() + DEADLINE_MS;
	struct err e = {0};
	int64_t head;

	(void)next(slow, "snapshot", &slow->last);
	(void)next(quick, "snapshot", &quick->last);
	slow->slow = quick->slow = true;
	/* More than a ring holds, while one of them does not read. */
	for (unsigned i = 0; i < 12; i++)
		head = commit_many(db, 500);
	while (quick->last < head && more(quick, end))
		;
	while (slow->last < head && more(slow, end))
		;
	assert_int_equal(quick->last, head);
	assert_int_equal(slow->last, head);
	assert_int_equal(slow->lagged + quick->lagged, 0);
	/* And now more than the journal holds. */
	for (unsigned i = 0; i < 12; i++)
		head = commit_many(db, 500);
	while (quick->last < head && more(quick, end))
		;
	assert_int_equal(quick->last, head);
	assert_int_equal(journal_trim(db, 100, 0, &e), 0);
	head = commit_many(db, 10);
	while (slow->last < head && more(slow, end))
		;
	assert_int_equal(slow->last, head);
	assert_int_equal(slow->lagged, 1);
	while (quick->last < head && more(quick, end))
		;
	assert_int_equal(quick->last, head);
	assert_int_equal(quick->lagged, 0);
	unfollow(slow);
	unfollow(quick);
	db_close(db);
}

static void
the_numbers_are_shown(void **state)
{
	struct world *w = *state;
	struct follower *f = follow(w, w->viewer, "/identities/events", NULL);
	struct answer *a;

	(void)next(f, "snapshot", NULL);
	a = world_get(w->metrics_port, "/metrics");
	assert_non_null(strstr(a->text, "decnet_sse_streams{stream=\"identities\"} 1\n"));
	assert_non_null(strstr(a->text, "decnet_sse_snapshots_total{reason=\"connect\"} "));
	assert_non_null(strstr(a->text, "decnet_limit_hits_total{limit=\"streams_per_user\"} "));
	unfollow(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(begins_and_resumes),
		cmocka_unit_test(refuses_in_order),
		cmocka_unit_test(counts_slots),
		cmocka_unit_test(tickets_are_spent_once),
		cmocka_unit_test(access_ends_when_it_ends),
		cmocka_unit_test(a_deleted_topology_says_bye),
		cmocka_unit_test(an_attacker_is_followed),
		cmocka_unit_test(logs_are_filtered_and_resumed),
		cmocka_unit_test(a_slow_reader_misses_nothing),
		cmocka_unit_test(the_numbers_are_shown),
	};

	return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
