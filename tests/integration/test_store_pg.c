/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One text for both databases: the migrations run and every statement is prepared on a real
 * PostgreSQL server, which this test starts on a UNIX socket in a temporary directory and stops
 * again.
 */
#include <libpq-fe.h>

#include <glob.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "mutation_rows.h"
#include "store/db.h"

static char dir[64];
static char bin[256];
static PGconn *conn;

/* As the user postgres when we are root: the server refuses to run as root. */
static int
run(const char *what, const char *arguments)
{
	char command[1024];
	const struct passwd *pw = geteuid() == 0 ? getpwnam("postgres") : NULL;

	if (geteuid() == 0 && !pw)
		return -1;
	(void)snprintf(command, sizeof(command), "%s '%s/%s' %s >'%s/%s.log' 2>&1",
		       pw ? "setpriv --reuid=postgres --regid=postgres --clear-groups" : "", bin,
		       what, arguments, dir, what);
	return system(command);
}

static int
start(void **state)
{
	char text[512];
	glob_t found;

	(void)state;
	if (glob("/usr/lib/postgresql/*/bin", 0, NULL, &found) != 0)
		return 0;
	(void)snprintf(bin, sizeof(bin), "%s", found.gl_pathv[found.gl_pathc - 1]);
	globfree(&found);
	(void)snprintf(dir, sizeof(dir), "/tmp/decnet-pg-XXXXXX");
	assert_non_null(mkdtemp(dir));
	if (geteuid() == 0) {
		const struct passwd *pw = getpwnam("postgres");

		assert_non_null(pw);
		assert_int_equal(chown(dir, pw->pw_uid, pw->pw_gid), 0);
	}
	(void)snprintf(text, sizeof(text), "-D '%s/data' -U decnet -A trust -E UTF8 --no-sync",
		       dir);
	assert_int_equal(run("initdb", text), 0);
	(void)snprintf(
		text, sizeof(text),
		"-D '%s/data' -w -l '%s/server.log' -o \"-F -k '%s' -c listen_addresses=''\" start",
		dir, dir, dir);
	assert_int_equal(run("pg_ctl", text), 0);
	(void)snprintf(text, sizeof(text), "host=%s user=decnet dbname=postgres", dir);
	conn = PQconnectdb(text);
	if (PQstatus(conn) != CONNECTION_OK)
		fail_msg("%s", PQerrorMessage(conn));
	return 0;
}

static int
stop(void **state)
{
	char text[256];

	(void)state;
	if (!conn)
		return 0;
	PQfinish(conn);
	(void)snprintf(text, sizeof(text), "-D '%s/data' -m immediate stop", dir);
	assert_int_equal(run("pg_ctl", text), 0);
	(void)snprintf(text, sizeof(text), "rm -rf '%s'", dir);
	assert_int_equal(system(text), 0);
	return 0;
}

static void
execute(const char *what, const char *sql)
{
	PGresult *result = PQexec(conn, sql);

	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		fail_msg("%s: %s", what, PQerrorMessage(conn));
	PQclear(result);
}

static void
migrations_run(void **state)
{
	(void)state;
	if (!conn)
		skip();
	for (unsigned i = 0; i < db_migrations(); i++) {
		const char *name = NULL, *sql = db_migration_sql(i, &name);

		if (strcmp(name, COUNTED_BY) == 0)
			execute("rows", MUTATION_ROWS);
		execute(name, sql);
	}
}

static void
an_upgrade_counts_mutations(void **state)
{
	char text[1024] = "";
	PGresult *result;
	size_t at = 0;

	(void)state;
	if (!conn)
		skip();
	result = PQexec(conn, "SELECT op, state, n, took_ms FROM mutation_counts"
			      " ORDER BY op, state");
	for (int i = 0; i < PQntuples(result); i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s %s %s %s\n",
				       PQgetvalue(result, i, 0), PQgetvalue(result, i, 1),
				       PQgetvalue(result, i, 2), PQgetvalue(result, i, 3));
	PQclear(result);
	assert_string_equal(text, MUTATION_COUNTS);
}

static void
every_statement_is_accepted(void **state)
{
	unsigned bad = 0;

	(void)state;
	if (!conn)
		skip();
	for (unsigned q = 0; q < Q_COUNT; q++) {
		const char *name = db_query_name((enum db_query)q);
		PGresult *result =
			PQprepare(conn, name, db_query_sql((enum db_query)q, true), 0, NULL);

		if (PQresultStatus(result) != PGRES_COMMAND_OK) {
			print_message("%s: %s", name, PQerrorMessage(conn));
			bad++;
		}
		PQclear(result);
	}
	assert_int_equal(bad, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(migrations_run),
		cmocka_unit_test(an_upgrade_counts_mutations),
		cmocka_unit_test(every_statement_is_accepted),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
