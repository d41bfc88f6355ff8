/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_DRIVER_H
#define STORE_DRIVER_H

/* What a database driver supplies to db.c. Only db.c, migrate.c, journal.c and the drivers include
 * this. */

#include "store/db.h"
#include "store/journal.h"

struct db_driver {
	/* Connect without preparing anything. */
	int (*connect)(const char *url, enum db_access access, struct db **ret_db, struct err *e);
	void (*close)(struct db *db);
	/* Prepare statement q into db->stmts[q]. */
	int (*prepare)(struct db *db, enum db_query q, struct err *e);
	/* One or more statements without parameters or results. */
	int (*run)(struct db *db, const char *sql, struct err *e);
	/* The first column of the first row of a statement without parameters, or `missing` when it
	 * gives none. */
	int (*scalar)(struct db *db, const char *sql, int64_t missing, int64_t *ret, struct err *e);
	int (*begin)(struct db *db, bool write, struct err *e);
	/* How much of the database to keep in memory; may do nothing. */
	void (*cache)(struct db *db, unsigned kib);

	void (*bind_sv)(struct db_stmt *st, int at, struct sv text);
	/* The text is borrowed until the statement is reset. */
	void (*bind_borrowed)(struct db_stmt *st, int at, struct sv text);
	void (*bind_int)(struct db_stmt *st, int at, int64_t value);
	void (*bind_real)(struct db_stmt *st, int at, double value);
	void (*bind_null)(struct db_stmt *st, int at);
	int (*step)(struct db_stmt *st, struct err *e);
	int64_t (*changes)(struct db_stmt *st);
	void (*reset)(struct db_stmt *st);
	bool (*col_null)(struct db_stmt *st, int at);
	int64_t (*col_int)(struct db_stmt *st, int at);
	double (*col_real)(struct db_stmt *st, int at);
	struct sv (*col_sv)(struct db_stmt *st, int at);
};

/* First member of each driver's statement. */
struct db_stmt {
	struct db *db;
	enum db_query q;
};

/* First member of each driver's connection. */
struct db {
	const struct db_driver *driver;
	struct db_stmt *stmts[Q_COUNT];
	bool in_transaction;
	int failed;		       /* how a step failed last, or 0 */
	struct journal_rows pending;   /* appended in this transaction */
	struct journal_rows committed; /* of the last committed one, not yet taken */
};

/* Before a commit: the journal's head is the number of the last row appended. 0 or a store failure.
 */
int journal_flush(struct db *db, struct err *e) A_NODISCARD;

extern const struct db_driver db_sqlite;

/* The driver of a URL, or NULL. */
const struct db_driver *db_driver_of(const char *url);

#endif
