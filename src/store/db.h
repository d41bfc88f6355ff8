/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_DB_H
#define STORE_DB_H

/*
 * One connection to the store: prepare, bind, step over two drivers. A struct db belongs to one
 *thread at a time; every statement is in store/<table>.def, is prepared once when the connection
 *opens, and is named by enum db_query.
 *
 *	struct db_stmt *st = db_query(db, Q_TOPOLOGY_GET);
 *	db_bind_text(st, 1, id);
 *	r = db_step(st);                     1: a row, 0: no (more) rows, < 0: failed
 *	...db_col_text(st, 0)...             good until the next step or reset
 *	db_reset(st);                        always, also after a failure
 */

#include <stdbool.h>
#include <stdint.h>

#include "util/attr.h"
#include "util/err.h"
#include "util/sv.h"

struct db;
struct db_stmt;

enum db_query {
#define QUERY(name, sql)	 Q_##name,
#define QUERY2(name, sqlite, pg) Q_##name,
#include "store/queries.def"
#undef QUERY
#undef QUERY2
	Q_COUNT
};

enum db_access {
	DB_READ_WRITE,
	DB_READ_ONLY, /* refuses every write */
};

/*
 * Open `url` (sqlite:<path>, postgresql://…), check that the schema is current and prepare every
 * statement. 0, -EINVAL (bad URL), -ESTALE (the schema is not current: run the migrations), or
 * another negative errno.
 */
int db_open(const char *url, enum db_access access, struct db **ret_db, struct err *e) A_NODISCARD;
void db_close(struct db *db);
/* How much of the store this connection may keep in memory: for one that writes all over it. */
void db_cache(struct db *db, unsigned kib);
/* Create or bring the schema up to date, one transaction a migration; safe when several processes
 * start at once. 0 or a negative errno. */
int db_migrate(const char *url, struct err *e) A_NODISCARD;

/* A consistent snapshot: all reads until db_commit or db_rollback see one state. 0 or a negative
 * errno. */
int db_begin_read(struct db *db, struct err *e) A_NODISCARD;
/* The write lock is taken now, so that what is read is what will be changed. 0, -EBUSY after the
 * busy time-out, or another negative errno. */
int db_begin_write(struct db *db, struct err *e) A_NODISCARD;
/* 0, or a negative errno: then the transaction is rolled back. After it the journal's rows of this
 * transaction may be taken (journal_take). */
int db_commit(struct db *db, struct err *e) A_NODISCARD;
/* Never fails; without a transaction it does nothing. */
void db_rollback(struct db *db);
bool db_in_transaction(const struct db *db);

struct db_stmt *db_query(struct db *db, enum db_query q);
/* Parameters count from 1; texts are copied. A failed bind makes the next step fail. NULL text is
 * SQL NULL. */
void db_bind_text(struct db_stmt *st, int at, const char *text);
void db_bind_sv(struct db_stmt *st, int at, struct sv text);
/* The same without a copy: the text stays as it is until the statement is reset. */
void db_bind_borrowed(struct db_stmt *st, int at, const char *text);
void db_bind_int(struct db_stmt *st, int at, int64_t value);
void db_bind_real(struct db_stmt *st, int at, double value);
void db_bind_null(struct db_stmt *st, int at);
/* 1: a row, 0: done, -EEXIST: a uniqueness or other constraint refused it, -EBUSY, -EIO, … */
int db_step(struct db_stmt *st, struct err *e) A_NODISCARD;
/* Step a statement that gives no rows, then reset it. 0 (and the number of changed rows in
 * *ret_changes unless NULL) or as db_step. */
int db_exec(struct db_stmt *st, int64_t *ret_changes, struct err *e) A_NODISCARD;
void db_reset(struct db_stmt *st);
/* Step a bound statement that gives one row, take its first column and reset it. 1; 0 without a row
 * (*ret is left alone); or as db_step. */
int db_one_int(struct db_stmt *st, int64_t *ret, struct err *e) A_NODISCARD;

/* Columns count from 0. */
bool db_col_null(struct db_stmt *st, int at);
int64_t db_col_int(struct db_stmt *st, int at);
double db_col_real(struct db_stmt *st, int at);
/* Terminated; NULL for SQL NULL; good until the next step or reset. */
const char *db_col_text(struct db_stmt *st, int at);
struct sv db_col_sv(struct db_stmt *st, int at);

/* Text of a statement for a driver, and its name: for tests. */
const char *db_query_sql(enum db_query q, bool pg);
const char *db_query_name(enum db_query q);
/* Migration i (from 0) of `db_migrations()`: for tests. */
unsigned db_migrations(void);
const char *db_migration_sql(unsigned i, const char **ret_name);

#endif
