/* SPDX-License-Identifier: Apache-2.0 */
/* What is counted of mutations never falls: not when they go on, nor when their topology goes, and
 * an upgrade begins with what there is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "mutation_rows.h"
#include "scratch.h"
#include "store/metric.h"
#include "store/mutation.h"
#include "store/topology.h"

#define OWNER "tester"

struct world {
	struct scratch at;
	struct db *db;
	struct topo *t;
	struct err e;
	uint64_t now_ms;
};

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	scratch_make(&w->at);
	w->now_ms = 1769847300250;
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	topo_free(w->t);
	db_close(w->db);
	scratch_remove(&w->at);
	free(w);
	return 0;
}

static void
good(struct world *w, int r)
{
	if (r < 0)
		fail_msg("%s", err_text(&w->e));
}

static void
counts_are(struct world *w, const char *wanted)
{
	struct metric_mutations rows[METRIC_MUTATIONS_MAX];
	int n = metric_mutations(w->db, rows, METRIC_MUTATIONS_MAX, &w->e);
	char text[1024] = "";
	size_t at = 0;

	good(w, n);
	for (int i = 0; i < n; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s %s %lld %lld\n",
				       rows[i].op, rows[i].state, (long long)rows[i].n,
				       (long long)rows[i].took_ms);
	assert_string_equal(text, wanted);
}

static void
run(sqlite3 *sql, const char *text)
{
	if (sqlite3_exec(sql, text, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s", sqlite3_errmsg(sql));
}

/* The store of a release that did not count. */
static void
make_old(const char *path)
{
	sqlite3 *sql = NULL;
	const char *name;

	assert_int_equal(sqlite3_open(path, &sql), SQLITE_OK);
	run(sql, "CREATE TABLE schema_migrations (number BIGINT PRIMARY KEY, name TEXT NOT NULL,"
		 " applied_at BIGINT NOT NULL)");
	for (unsigned i = 0; i < db_migrations(); i++) {
		const char *text = db_migration_sql(i, &name);
		char mark[128];

		if (strcmp(name, COUNTED_BY) == 0)
			break;
		run(sql, text);
		(void)snprintf(mark, sizeof(mark),
			       "INSERT INTO schema_migrations VALUES (%u, '%s', 1)", i + 1, name);
		run(sql, mark);
	}
	run(sql, MUTATION_ROWS);
	assert_int_equal(sqlite3_close(sql), SQLITE_OK);
}

static void
an_upgrade_counts_what_there_is(void **state)
{
	struct world *w = *state;

	(void)snprintf(w->at.url, sizeof(w->at.url), "sqlite:%s/old.db", w->at.dir);
	make_old(w->at.url + strlen("sqlite:"));
	good(w, db_migrate(w->at.url, &w->e));
	w->db = scratch_open(&w->at);
	counts_are(w, MUTATION_COUNTS);
}

static void
enqueue(struct world *w, char id[ID_UUID_SIZE])
{
	json_t *payload = json_object();

	good(w, mutation_enqueue(w->db, w->t, "add_lan", payload, w->now_ms, id, &w->e));
	json_decref(payload);
}

static struct mutation
claim(struct world *w)
{
	struct mutation m;

	assert_int_equal(mutation_claim(w->db, w->t->id, OWNER, 1000, w->now_ms, &m, &w->e), 1);
	return m;
}

static void
counts_only_rise(void **state)
{
	struct world *w = *state;
	char id[ID_UUID_SIZE];
	struct mutation m;

	w->db = scratch_open(&w->at);
	w->t = topo_new();
	(void)snprintf(w->t->name, sizeof(w->t->name), "counted");
	good(w, db_begin_write(w->db, &w->e));
	good(w, topology_insert(w->db, w->t, w->now_ms, &w->e));
	for (unsigned i = 0; i < 4; i++)
		enqueue(w, id);
	counts_are(w, "add_lan pending 4 0\n");
	m = claim(w);
	w->now_ms += 40;
	good(w, mutation_finish_applied(w->db, w->t, &m, OWNER, json_array(), w->now_ms, &w->e));
	mutation_fini(&m);
	/* A claim that is taken over counts once. */
	m = claim(w);
	mutation_fini(&m);
	w->now_ms += 2000;
	m = claim(w);
	good(w, mutation_finish_failed(w->db, w->t, &m, OWNER, "no", w->now_ms, &w->e));
	mutation_fini(&m);
	counts_are(w, "add_lan applied 1 40\nadd_lan applying 2 0\nadd_lan failed 1 2040\n"
		      "add_lan pending 4 0\n");
	/* A clock that was set back takes nothing away. */
	w->now_ms -= 3000;
	m = claim(w);
	assert_int_equal(mutation_abandon(w->db, w->t, &m, "gone", w->now_ms, &w->e), 1);
	mutation_fini(&m);
	assert_int_equal(mutation_get(w->db, w->t->id, id, &m, &w->e), 1);
	w->now_ms += 3001;
	assert_int_equal(mutation_cancel(w->db, w->t, &m, "not wanted", w->now_ms, &w->e), 1);
	/* It is not pending any more: once. */
	assert_int_equal(mutation_cancel(w->db, w->t, &m, "not wanted", w->now_ms, &w->e), 0);
	mutation_fini(&m);
	good(w, db_commit(w->db, &w->e));
#define AFTER                                                                                      \
	"add_lan applied 1 40\nadd_lan applying 3 0\nadd_lan cancelled 1 2041\n"                   \
	"add_lan failed 2 2040\nadd_lan pending 4 0\n"
	counts_are(w, AFTER);
	good(w, db_begin_write(w->db, &w->e));
	good(w, topology_remove(w->db, w->t, w->now_ms, &w->e));
	good(w, db_commit(w->db, &w->e));
	counts_are(w, AFTER);
	/* What was rolled back did not happen. */
	good(w, db_begin_write(w->db, &w->e));
	good(w, topology_insert(w->db, w->t, w->now_ms, &w->e));
	enqueue(w, id);
	db_rollback(w->db);
	counts_are(w, AFTER);
	db_close(w->db);
	w->db = scratch_open(&w->at);
	counts_are(w, AFTER);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_upgrade_counts_what_there_is, setup, teardown),
		cmocka_unit_test_setup_teardown(counts_only_rise, setup, teardown),
	};

	return cmocka_run_group_tests_name("store_mutation", tests, NULL, NULL);
}
