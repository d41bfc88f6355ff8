/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite driver and the journal on a real database file. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "scratch.h"
#include "store/db.h"
#include "store/er_decision.h"
#include "store/journal.h"
#include "util/limits.h"

struct world {
	struct scratch at;
	struct db *a, *b;
};

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	scratch_make(&w->at);
	w->a = scratch_open(&w->at);
	w->b = scratch_open(&w->at);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	db_close(w->a);
	db_close(w->b);
	scratch_remove(&w->at);
	free(w);
	return 0;
}

static int64_t
append(struct db *db, const char *topic, const char *scope)
{
	json_t *payload = json_pack("{s:s}", "k", "v");
	int64_t seq = 0;
	struct err e = {0};

	if (journal_append(db, topic, scope, 1000, payload, &seq, &e) < 0)
		fail_msg("%s", err_text(&e));
	json_decref(payload);
	return seq;
}

static void
migrating_twice_changes_nothing(void **state)
{
	struct world *w = *state;

	assert_int_equal(db_migrate(w->at.url, NULL), 0);
}

static void
an_unknown_url_is_refused(void **state)
{
	struct db *db = NULL;

	(void)state;
	assert_int_equal(db_open("mysql://x", DB_READ_WRITE, &db, NULL), -EINVAL);
	assert_int_equal(db_open("sqlite:", DB_READ_WRITE, &db, NULL), -EINVAL);
	assert_null(db);
}

static void
a_store_without_schema_is_refused(void **state)
{
	struct world *w = *state;
	struct db *db = NULL;
	char url[128];

	(void)snprintf(url, sizeof(url), "sqlite:%s/empty.db", w->at.dir);
	assert_int_equal(db_open(url, DB_READ_WRITE, &db, NULL), -ESTALE);
	assert_null(db);
}

static void
journal_rows_are_numbered_without_gaps(void **state)
{
	struct world *w = *state;
	struct journal_rows rows = {0};
	int64_t head = 0;

	assert_int_equal(db_begin_write(w->a, NULL), 0);
	assert_int_equal(append(w->a, "identity.formed", NULL), 1);
	assert_int_equal(append(w->a, "topology.t1.mutation.applied", "t1"), 2);
	db_rollback(w->a);
	journal_take(w->a, &rows);
	assert_int_equal(rows.n, 0);
	assert_int_equal(db_begin_write(w->a, NULL), 0);
	assert_int_equal(append(w->a, "topology.t1.mutation.applied", "t1"), 1);
	assert_int_equal(append(w->a, "decky.web.state", "t1"), 2);
	assert_int_equal(append(w->a, "identity.formed", NULL), 3);
	assert_int_equal(db_commit(w->a, NULL), 0);
	journal_take(w->a, &rows);
	assert_int_equal(rows.n, 3);
	assert_string_equal(rows.v[0].type, "mutation.applied");
	assert_string_equal(rows.v[0].family, "topology");
	assert_string_equal(rows.v[1].type, "state");
	assert_string_equal(rows.v[1].payload, "{\"k\":\"v\"}");
	journal_rows_fini(&rows);
	assert_int_equal(journal_head(w->b, &head, NULL), 0);
	assert_int_equal(head, 3);
	assert_int_equal(journal_read(w->b, JOURNAL_SCOPE, "t1", 0, 10, &rows, NULL), 2);
	assert_int_equal(journal_read(w->b, JOURNAL_IDENTITY, NULL, 0, 10, &rows, NULL), 1);
	assert_int_equal(journal_read(w->b, JOURNAL_ALL, NULL, 1, 1, &rows, NULL), 1);
	assert_int_equal(rows.n, 4);
	assert_int_equal(rows.v[3].seq, 2);
	journal_rows_fini(&rows);
}

static void
a_bad_topic_is_refused(void **state)
{
	struct world *w = *state;
	json_t *payload = json_object();

	assert_int_equal(db_begin_write(w->a, NULL), 0);
	assert_int_equal(journal_append(w->a, "a..b", NULL, 1, payload, NULL, NULL), -EINVAL);
	db_rollback(w->a);
	assert_int_equal(journal_append(w->a, "identity.formed", NULL, 1, payload, NULL, NULL),
			 -EINVAL);
	json_decref(payload);
}

static void
a_reader_keeps_its_snapshot(void **state)
{
	struct world *w = *state;
	int64_t head = -1;

	assert_int_equal(db_begin_read(w->b, NULL), 0);
	assert_int_equal(db_begin_write(w->a, NULL), 0);
	(void)append(w->a, "identity.formed", NULL);
	assert_int_equal(db_commit(w->a, NULL), 0);
	assert_int_equal(journal_head(w->b, &head, NULL), 0);
	assert_int_equal(head, 0);
	assert_int_equal(db_commit(w->b, NULL), 0);
	assert_int_equal(journal_head(w->b, &head, NULL), 0);
	assert_int_equal(head, 1);
}

static void
the_oldest_reasons_of_the_engine_leave(void **state)
{
	static const char identity[] = "0198c0de-0000-7000-8000-000000000001";
	struct world *w = *state;
	struct er_decision d = {.kind = ER_LINKED,
				.identity = identity,
				.observation = identity,
				.scored = true,
				.half_bits = -5,
				.evidence = "c2 +5.50"};
	json_t *list = NULL;
	int64_t last = -1, total = 0;

	assert_int_equal(db_begin_write(w->a, NULL), 0);
	assert_int_equal(er_decision_last(w->a, &last, NULL), 0);
	assert_int_equal(last, 0);
	for (int64_t seq = 1; seq <= 5; seq++)
		assert_int_equal(er_decision_add(w->a, seq, 7, &d, NULL), 0);
	assert_int_equal(er_decision_trim(w->a, LIMIT_ER_DECISIONS, NULL), 0);
	assert_int_equal(er_decision_list(w->a, identity, 10, 0, &list, &total, NULL), 0);
	assert_int_equal(total, 5);
	json_decref(list);
	assert_int_equal(er_decision_trim(w->a, LIMIT_ER_DECISIONS + 3, NULL), 0);
	assert_int_equal(db_commit(w->a, NULL), 0);
	assert_int_equal(er_decision_last(w->b, &last, NULL), 0);
	assert_int_equal(last, 5);
	assert_int_equal(er_decision_list(w->b, identity, 1, 0, &list, &total, NULL), 0);
	assert_int_equal(total, 2);
	assert_int_equal(json_array_size(list), 1);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "seq")), 5);
	assert_true(json_real_value(json_object_get(json_array_get(list, 0), "score")) == -2.5);
	json_decref(list);
}

static void
trimming_raises_the_floor(void **state)
{
	struct world *w = *state;
	struct journal_rows rows = {0};
	int64_t floor = -1;

	assert_int_equal(db_begin_write(w->a, NULL), 0);
	for (int i = 0; i < 10; i++)
		(void)append(w->a, "identity.formed", NULL);
	assert_int_equal(db_commit(w->a, NULL), 0);
	assert_int_equal(journal_trim(w->a, 4, 0, NULL), 0);
	assert_int_equal(journal_floor(w->a, &floor, NULL), 0);
	assert_int_equal(floor, 6);
	assert_int_equal(journal_read(w->a, JOURNAL_ALL, NULL, 0, 100, &rows, NULL), 4);
	assert_int_equal(rows.v[0].seq, 7);
	journal_rows_fini(&rows);
	/* All rows are older than this moment. */
	assert_int_equal(journal_trim(w->a, 1000, 2000, NULL), 0);
	assert_int_equal(journal_floor(w->a, &floor, NULL), 0);
	assert_int_equal(floor, 10);
}

/* Writers in several processes: every number once, and a reader never sees n + 1 before n. */
static void
writers_of_many_processes_keep_one_order(void **state)
{
	struct world *w = *state;
	struct journal_rows rows = {0};
	enum { WRITERS = 4, ROUNDS = 50 };
	pid_t pids[WRITERS];
	int64_t last = 0;
	int status;

	for (int i = 0; i < WRITERS; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0) {
			struct db *db = NULL;
			json_t *payload = json_object();
			int bad = db_open(w->at.url, DB_READ_WRITE, &db, NULL) < 0;

			for (int n = 0; n < ROUNDS && !bad; n++)
				bad = db_begin_write(db, NULL) < 0 ||
				      journal_append(db, "identity.formed", NULL, 1, payload, NULL,
						     NULL) < 0 ||
				      db_commit(db, NULL) < 0;
			_exit(bad);
		}
	}
	while (last < WRITERS * ROUNDS) {
		int n = journal_read(w->a, JOURNAL_ALL, NULL, last, 1000, &rows, NULL);

		assert_true(n >= 0);
		for (size_t i = 0; i < rows.n; i++)
			assert_int_equal(rows.v[i].seq, ++last);
		journal_rows_fini(&rows);
		if (n == 0 && waitpid(-1, &status, WNOHANG) > 0)
			assert_int_equal(status, 0);
	}
	while (wait(&status) > 0)
		assert_int_equal(status, 0);
}

/* -- the log of committed pages -- */

#define PAYLOAD_BYTES ((size_t)256 * 1024)
#define PAGE_BYTES    4120 /* in the log */

static void
append_much(struct db *db, const char *text)
{
	json_t *payload = json_pack("{s:s}", "k", text);
	struct journal_rows rows = {0};
	struct err e = {0};

	if (db_begin_write(db, &e) < 0 ||
	    journal_append(db, "identity.formed", NULL, 1000, payload, NULL, &e) < 0 ||
	    db_commit(db, &e) < 0)
		fail_msg("%s", err_text(&e));
	json_decref(payload);
	journal_take(db, &rows);
	journal_rows_fini(&rows);
}

static off_t
size_of(const struct world *w, const char *suffix)
{
	char path[128];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s%s", w->at.url + strlen("sqlite:"), suffix);
	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

/* More than the log may hold, by one who never pauses; a reader who stays keeps what he sees
 * and stops nobody. */
static void
the_log_stays_within_its_bound(void **state)
{
	struct world *w = *state;
	char *text = malloc(PAYLOAD_BYTES + 1);
	int commits = LIMIT_WAL_PAGES_MAX / (int)(PAYLOAD_BYTES / 4096) * 5 / 4;
	int64_t head = -1;

	assert_non_null(text);
	memset(text, 'x', PAYLOAD_BYTES);
	text[PAYLOAD_BYTES] = '\0';
	for (int i = 0; i < commits; i++)
		append_much(w->a, text);
	assert_true(size_of(w, "-wal") <
		    (off_t)(LIMIT_WAL_PAGES_MAX + LIMIT_WAL_PAGES) * PAGE_BYTES);
	assert_true(size_of(w, "") > (off_t)PAYLOAD_BYTES * commits / 2);
	assert_int_equal(db_begin_read(w->b, NULL), 0);
	for (int i = 0; i < commits / 8; i++)
		append_much(w->a, text);
	assert_int_equal(journal_head(w->b, &head, NULL), 0);
	assert_int_equal(head, commits);
	db_rollback(w->b);
	assert_int_equal(journal_head(w->b, &head, NULL), 0);
	assert_int_equal(head, commits + commits / 8);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(migrating_twice_changes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(an_unknown_url_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_store_without_schema_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(journal_rows_are_numbered_without_gaps, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_bad_topic_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_reader_keeps_its_snapshot, setup, teardown),
		cmocka_unit_test_setup_teardown(the_oldest_reasons_of_the_engine_leave, setup,
						teardown),
		cmocka_unit_test_setup_teardown(trimming_raises_the_floor, setup, teardown),
		cmocka_unit_test_setup_teardown(the_log_stays_within_its_bound, setup, teardown),
		cmocka_unit_test_setup_teardown(writers_of_many_processes_keep_one_order, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
