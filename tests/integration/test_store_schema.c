/* SPDX-License-Identifier: Apache-2.0 */
/* Stores of earlier schemas are brought up to date with what they hold, and statements that run for
 * every observation, or for one identity, go through no whole table of the latest one. */
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/journal.h"

#define A "00000000-0000-7000-8000-00000000000a"
#define B "00000000-0000-7000-8000-00000000000b"
#define I "00000000-0000-7000-8000-000000000001"
#define K "00000000-0000-7000-8000-000000000002"

struct world {
	char dir[64], url[96];
	sqlite3 *raw;
};

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/decnet-schema-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	(void)snprintf(w->url, sizeof(w->url), "sqlite:%s/t.db", w->dir);
	assert_int_equal(sqlite3_open(w->url + strlen("sqlite:"), &w->raw), SQLITE_OK);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;
	char command[128];

	(void)sqlite3_close(w->raw);
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", w->dir);
	assert_int_equal(system(command), 0);
	free(w);
	return 0;
}

static void
run(struct world *w, const char *sql)
{
	char *why = NULL;

	if (sqlite3_exec(w->raw, sql, NULL, NULL, &why) != SQLITE_OK)
		fail_msg("%.80s: %s", sql, why);
}

/* The store as the program with the first `n` migrations left it. */
static void
migrate_to(struct world *w, unsigned n)
{
	char mark[128];

	run(w, "CREATE TABLE schema_migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL,"
	       " applied_at BIGINT NOT NULL)");
	for (unsigned i = 0; i < n; i++) {
		run(w, db_migration_sql(i, NULL));
		(void)snprintf(mark, sizeof(mark),
			       "INSERT INTO schema_migrations VALUES (%u, 'x', 1)", i + 1);
		run(w, mark);
	}
}

static unsigned
migration(const char *name)
{
	const char *is = "";

	for (unsigned i = 0; i < db_migrations(); i++) {
		(void)db_migration_sql(i, &is);
		if (strncmp(is, name, strlen(name)) == 0)
			return i;
	}
	fail_msg("no migration %s", name);
	return 0;
}

static struct db *
upgraded(struct world *w)
{
	struct db *db = NULL;
	struct err e = {0};

	if (db_migrate(w->url, &e) < 0 || db_open(w->url, DB_READ_WRITE, &db, &e) < 0)
		fail_msg("%s", err_text(&e));
	return db;
}

static void
a_store_with_more_indexes_keeps_its_rows(void **state)
{
	struct world *w = *state;
	struct journal_rows rows = {0};
	struct db_stmt *st;
	struct db *db;

	migrate_to(w, migration("0009"));
	run(w,
	    "INSERT INTO journal VALUES"
	    " (1, 'attacker.observed', 'attacker', '" A "', 'observed', 5, '{\"n\":1}'),"
	    " (2, 'identity.formed', 'identity', '', 'formed', 5, '{\"n\":2}'),"
	    " (3, 'topology.t.status', 'topology', 't', 'status', 5, '{\"n\":3}'),"
	    " (4, 'decky.web.state', 'decky', 't', 'state', 5, '{\"n\":4}'),"
	    " (5, 'credential.captured', 'credential', '" A "', 'captured', 5, '{\"n\":5}');"
	    "UPDATE counters SET value = 5 WHERE name = 'journal';"
	    "INSERT INTO identities (uuid, first_seen_at, last_seen_at, created_at, updated_at,"
	    " confidence, observation_count, rollup, merged_into_uuid, points_to)"
	    " VALUES ('" I "', 1, 2, 1, 2, 1, 2, '{}', NULL, NULL),"
	    " ('" K "', 1, 2, 1, 2, 1, 0, '{}', '" I "', '" I "');"
	    "INSERT INTO attackers (uuid, ip, identity_id, first_seen, last_seen, updated_at,"
	    " event_count, bounty_count, credential_count, services, services_interacted, deckies,"
	    " is_traversal, rotation_count) VALUES"
	    " ('" A "', '192.0.2.1', '" I "', 1, 2, 2, 1, 0, 0, '[]', '[]', '[]', 0, 0),"
	    " ('" B "', '192.0.2.2', '" K "', 1, 2, 2, 1, 0, 0, '[]', '[]', '[]', 0, 0);"
	    "INSERT INTO attacker_signals VALUES"
	    " ('" A "', 'c2_endpoint', 'a:1', 'x', 1, 1, 1, 1, 1),"
	    " ('" B "', 'c2_endpoint', 'b:1', 'x', 1, 1, 1, 1, 2)");
	db = upgraded(w);
	assert_int_equal(journal_read(db, JOURNAL_ALL, NULL, 0, 10, &rows, NULL), 5);
	assert_string_equal(rows.v[4].payload, "{\"n\":5}");
	assert_int_equal(journal_read(db, JOURNAL_IDENTITY, NULL, 0, 10, &rows, NULL), 1);
	assert_int_equal(rows.v[5].seq, 2);
	assert_int_equal(journal_read(db, JOURNAL_SCOPE, "t", 0, 10, &rows, NULL), 2);
	assert_int_equal(rows.v[6].seq, 3);
	assert_int_equal(rows.v[7].seq, 4);
	journal_rows_fini(&rows);
	st = db_query(db, Q_IDENTITY_SIGNALS);
	db_bind_text(st, 1, I);
	assert_int_equal(db_step(st, NULL), 1);
	assert_string_equal(db_col_text(st, 1), "a:1");
	assert_int_equal(db_step(st, NULL), 1);
	assert_string_equal(db_col_text(st, 1), "b:1");
	assert_int_equal(db_step(st, NULL), 0);
	db_close(db);
}

/* What runs often, or is asked about one of many. */
static const enum db_query narrow[] = {
	Q_ATTACKER_BY_IP,
	Q_ATTACKER_BY_UUID,
	Q_ATTACKER_UPDATE,
	Q_ATTACKER_SET_IDENTITY,
	Q_ATTACKER_SIGNALS,
	Q_ATTACKER_SIGNALS_CURRENT,
	Q_ATTACKER_SIGNALS_NEWEST,
	Q_ATTACKER_SIGNAL_SET_CURRENT,
	Q_ATTACKERS_LATEST,
	Q_ER_DECISION_LIST,
	Q_ER_ROW_GET,
	Q_EVIDENCE_DROP,
	Q_EVIDENCE_LIST,
	Q_IDENTITY_ADRIFT,
	Q_IDENTITY_ANCHORED,
	Q_IDENTITY_FIRST_MEMBER,
	Q_IDENTITY_FOLLOW,
	Q_IDENTITY_GET,
	Q_IDENTITY_HAS_MEMBER,
	Q_IDENTITY_HAS_MERGED,
	Q_IDENTITY_HEIR,
	Q_IDENTITY_MEMBERS_FIRST,
	Q_IDENTITY_MERGED_FROM,
	Q_IDENTITY_OBSERVATIONS,
	Q_IDENTITY_REPOINT,
	Q_IDENTITY_SIGNALS,
	Q_IDENTITY_SPAN,
	Q_IDENTITY_UPDATE,
	Q_JOURNAL_AFTER,
	Q_JOURNAL_AFTER_IDENTITY,
	Q_JOURNAL_AFTER_SCOPE,
	Q_JOURNAL_IDENTITY_MOVES,
	Q_OBSERVATION_IDENTITY,
	Q_SIGNAL_HOLDERS,
};

/* A step of a plan that goes through a table or an index from one end to the other; `m` is the
 * family of an identity, which is small. */
static bool
goes_through_all(const char *step)
{
	return strncmp(step, "SCAN ", 5) == 0 && strcmp(step, "SCAN m") != 0 &&
	       strcmp(step, "SCAN CONSTANT ROW") != 0;
}

static void
statements_go_through_no_table(void **state)
{
	struct world *w = *state;
	char sql[4096];

	db_close(upgraded(w));
	for (size_t i = 0; i < sizeof(narrow) / sizeof(*narrow); i++) {
		sqlite3_stmt *st = NULL;

		(void)snprintf(sql, sizeof(sql), "EXPLAIN QUERY PLAN %s",
			       db_query_sql(narrow[i], false));
		if (sqlite3_prepare_v2(w->raw, sql, -1, &st, NULL) != SQLITE_OK)
			fail_msg("%s: %s", db_query_name(narrow[i]), sqlite3_errmsg(w->raw));
		while (sqlite3_step(st) == SQLITE_ROW) {
			const char *step = (const char *)sqlite3_column_text(st, 3);

			if (goes_through_all(step))
				fail_msg("%s: %s", db_query_name(narrow[i]), step);
		}
		(void)sqlite3_finalize(st);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_store_with_more_indexes_keeps_its_rows, setup,
						teardown),
		cmocka_unit_test_setup_teardown(statements_go_through_no_table, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
