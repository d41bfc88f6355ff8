/* SPDX-License-Identifier: Apache-2.0 */
/* The store's interface over its drivers: opening, transactions, statements. */
#include "store/db.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/driver.h"
#include "store/migrate.h"

static const struct {
	const char *name, *sqlite, *pg;
} texts[Q_COUNT] = {
#define QUERY(name, sql)	 {#name, sql, sql},
#define QUERY2(name, sqlite, pg) {#name, sqlite, pg},
#include "store/queries.def"
#undef QUERY
#undef QUERY2
};

const char *
db_query_sql(enum db_query q, bool pg)
{
	return pg ? texts[q].pg : texts[q].sqlite;
}

const char *
db_query_name(enum db_query q)
{
	return texts[q].name;
}

const struct db_driver *
db_driver_of(const char *url)
{
	return strncmp(url, "sqlite:", 7) == 0 ? &db_sqlite : NULL;
}

static int
check_schema(struct db *db, struct err *e)
{
	int64_t have = 0;
	int r = db->driver->scalar(db, "SELECT max(number) FROM schema_migrations", 0, &have, e);

	if (r < 0) {
		err_wrap(e, "the store has no schema");
		return -ESTALE;
	}
	if (have != (int64_t)migrations_count)
		return err_set(e, -ESTALE, "the store's schema is %lld, this program needs %u",
			       (long long)have, migrations_count);
	return 0;
}

int
db_open(const char *url, enum db_access access, struct db **ret_db, struct err *e)
{
	const struct db_driver *driver = db_driver_of(url);
	struct db *db = NULL;
	int r;

	if (!driver)
		return err_set(e, -EINVAL, "no store driver in this build for this URL");
	r = driver->connect(url, access, &db, e);
	if (r < 0)
		return r;
	r = check_schema(db, e);
	for (unsigned q = 0; r == 0 && q < Q_COUNT; q++) {
		r = driver->prepare(db, (enum db_query)q, e);
		if (r < 0)
			err_wrap(e, "query %s", texts[q].name);
	}
	if (r < 0) {
		db_close(db);
		return r;
	}
	*ret_db = db;
	return 0;
}

void
db_close(struct db *db)
{
	if (!db)
		return;
	db_rollback(db);
	journal_rows_fini(&db->pending);
	journal_rows_fini(&db->committed);
	db->driver->close(db);
}

void
db_cache(struct db *db, unsigned kib)
{
	db->driver->cache(db, kib);
}

static int
begin(struct db *db, bool write, struct err *e)
{
	int r;

	if (db->in_transaction)
		return err_set(e, -EINVAL, "a transaction is already open");
	r = db->driver->begin(db, write, e);
	if (r == 0)
		db->in_transaction = true;
	return r;
}

int
db_begin_read(struct db *db, struct err *e)
{
	return begin(db, false, e);
}

int
db_begin_write(struct db *db, struct err *e)
{
	journal_rows_fini(&db->committed);
	return begin(db, true, e);
}

static void
reset_all(struct db *db)
{
	for (unsigned q = 0; q < Q_COUNT; q++)
		if (db->stmts[q])
			db->driver->reset(db->stmts[q]);
}

int
db_commit(struct db *db, struct err *e)
{
	int r;

	if (!db->in_transaction)
		return err_set(e, -EINVAL, "no transaction is open");
	reset_all(db);
	r = journal_flush(db, e);
	if (r == 0)
		r = db->driver->run(db, "COMMIT", e);
	if (r < 0) {
		db_rollback(db);
		return r;
	}
	db->in_transaction = false;
	if (db->pending.n > 0) {
		journal_rows_fini(&db->committed);
		db->committed = db->pending;
		db->pending = (struct journal_rows){0};
	}
	return 0;
}

void
db_rollback(struct db *db)
{
	if (!db->in_transaction)
		return;
	reset_all(db);
	/* It may have been rolled back already by the failure that brought us here. */
	(void)db->driver->run(db, "ROLLBACK", NULL);
	db->in_transaction = false;
	journal_rows_fini(&db->pending);
}

bool
db_in_transaction(const struct db *db)
{
	return db->in_transaction;
}

struct db_stmt *
db_query(struct db *db, enum db_query q)
{
	return db->stmts[q];
}

void
db_bind_text(struct db_stmt *st, int at, const char *text)
{
	if (text)
		st->db->driver->bind_sv(st, at, sv_from(text));
	else
		st->db->driver->bind_null(st, at);
}

void
db_bind_sv(struct db_stmt *st, int at, struct sv text)
{
	st->db->driver->bind_sv(st, at, text);
}

void
db_bind_borrowed(struct db_stmt *st, int at, const char *text)
{
	if (text)
		st->db->driver->bind_borrowed(st, at, sv_from(text));
	else
		st->db->driver->bind_null(st, at);
}

void
db_bind_int(struct db_stmt *st, int at, int64_t value)
{
	st->db->driver->bind_int(st, at, value);
}

void
db_bind_real(struct db_stmt *st, int at, double value)
{
	st->db->driver->bind_real(st, at, value);
}

void
db_bind_null(struct db_stmt *st, int at)
{
	st->db->driver->bind_null(st, at);
}

int
db_step(struct db_stmt *st, struct err *e)
{
	int r = st->db->driver->step(st, e);

	if (r < 0) {
		err_wrap(e, "%s", texts[st->q].name);
		st->db->failed = r;
	}
	return r;
}

int
db_exec(struct db_stmt *st, int64_t *ret_changes, struct err *e)
{
	int r;

	do
		r = db_step(st, e);
	while (r > 0);
	if (r == 0 && ret_changes)
		*ret_changes = st->db->driver->changes(st);
	db_reset(st);
	return r;
}

void
db_reset(struct db_stmt *st)
{
	st->db->driver->reset(st);
}

bool
db_col_null(struct db_stmt *st, int at)
{
	return st->db->driver->col_null(st, at);
}

int64_t
db_col_int(struct db_stmt *st, int at)
{
	return st->db->driver->col_int(st, at);
}

double
db_col_real(struct db_stmt *st, int at)
{
	return st->db->driver->col_real(st, at);
}

const char *
db_col_text(struct db_stmt *st, int at)
{
	return db_col_null(st, at) ? NULL : st->db->driver->col_sv(st, at).p;
}

struct sv
db_col_sv(struct db_stmt *st, int at)
{
	return st->db->driver->col_sv(st, at);
}

int
db_one_int(struct db_stmt *st, int64_t *ret, struct err *e)
{
	int r = db_step(st, e);

	if (r > 0)
		*ret = db_col_int(st, 0);
	db_reset(st);
	return r;
}
