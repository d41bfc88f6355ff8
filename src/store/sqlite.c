/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite driver. Only this file and sqlite_wal.c include <sqlite3.h>. */
#include <sqlite3.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "store/driver.h"
#include "store/sqlite_wal.h"

/* Writers of all processes take turns within this time, or the caller is told -EBUSY. */
#define BUSY_TIMEOUT_MS 10000

struct sqlite_stmt {
	struct db_stmt base;
	sqlite3_stmt *st;
	int bind_error;
	bool done;    /* stepped to its end and not reset */
	bool touched; /* bound or stepped since its last reset */
};

/* What every transaction says; taken by sqlite_run by their text. */
enum word { WORD_BEGIN, WORD_BEGIN_WRITE, WORD_COMMIT, WORD_ROLLBACK, WORD_LOOK, WORD_COUNT };

static const char *const words[WORD_COUNT] = {
	[WORD_BEGIN] = "BEGIN",
	[WORD_BEGIN_WRITE] = "BEGIN IMMEDIATE",
	[WORD_COMMIT] = "COMMIT",
	[WORD_ROLLBACK] = "ROLLBACK",
	[WORD_LOOK] = "SELECT 1 FROM sqlite_master LIMIT 1",
};

struct sqlite_db {
	struct db base;
	sqlite3 *conn;
	struct sqlite_wal *wal; /* NULL: it only reads */
	struct sqlite_stmt stmts[Q_COUNT];
	sqlite3_stmt *words[WORD_COUNT]; /* each prepared when it is first said */
};

static sqlite3 *
conn_of(const struct db *db)
{
	return ((const struct sqlite_db *)(const void *)db)->conn;
}

static struct sqlite_stmt *
stmt_of(struct db_stmt *st)
{
	return (struct sqlite_stmt *)(void *)st;
}

static int
failure(sqlite3 *conn, int code, struct err *e)
{
	int r = -EIO;

	switch (code & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED: r = -EBUSY; break;
	case SQLITE_CONSTRAINT: r = -EEXIST; break;
	case SQLITE_NOMEM: r = -ENOMEM; break;
	case SQLITE_READONLY: r = -EROFS; break;
	case SQLITE_FULL: r = -ENOSPC; break;
	case SQLITE_CANTOPEN: r = -EINVAL; break;
	case SQLITE_TOOBIG: r = -EMSGSIZE; break;
	default: break;
	}
	return err_set(e, r, "sqlite: %s", conn ? sqlite3_errmsg(conn) : sqlite3_errstr(code));
}

/*
 * SQLite's own handler sleeps for up to 100 ms, which is the latency of a whole mutation; locks
 * here are held for about a millisecond, so short sleeps lose little and gain much.
 */
static int
on_busy(void *user, int tries)
{
	struct timespec pause = {.tv_nsec = tries < 20 ? 200000 : 1000000};

	(void)user;
	if (tries > BUSY_TIMEOUT_MS)
		return 0;
	(void)nanosleep(&pause, NULL);
	return 1;
}

static int sqlite_run(struct db *db, const char *sql, struct err *e);

/* Its statistics of memory, which nobody reads, put a lock of the process around every allocation.
 */
static void
set_up(void)
{
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static int
sqlite_connect(const char *url, enum db_access access, struct db **ret_db, struct err *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const char *path = url + strlen("sqlite:");
	int flags = SQLITE_OPEN_NOMUTEX |
		    (access == DB_READ_ONLY ? SQLITE_OPEN_READONLY
					    : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
	struct sqlite_db *db;
	mode_t old;
	int r;

	/* sqlite:///path and sqlite:path name the same file. */
	if (strncmp(path, "//", 2) == 0)
		path += 2;
	if (!*path)
		return err_set(e, -EINVAL, "sqlite: the URL names no file");
	(void)pthread_once(&once, set_up);
	db = calloc(1, sizeof(*db));
	if (!db)
		return err_set(e, -ENOMEM, "out of memory");
	db->base.driver = &db_sqlite;
	old = umask(0077);
	r = sqlite3_open_v2(path, &db->conn, flags, NULL);
	(void)umask(old);
	if (r != SQLITE_OK) {
		r = failure(db->conn, r, e);
		err_wrap(e, "%s", path);
		(void)sqlite3_close(db->conn);
		free(db);
		return r;
	}
	(void)sqlite3_busy_handler(db->conn, on_busy, NULL);
	(void)sqlite3_extended_result_codes(db->conn, 1);
	r = sqlite_run(&db->base,
		       access == DB_READ_ONLY
			       ? "PRAGMA query_only = ON"
			       : "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL",
		       e);
	if (r == 0)
		r = sqlite_run(&db->base,
			       "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA "
			       "temp_store = MEMORY;"
			       "PRAGMA cache_size = -4096",
			       e);
	if (r == 0 && access != DB_READ_ONLY && sqlite_wal_new(db->conn, &db->wal) < 0)
		r = err_set(e, -ENOMEM, "out of memory");
	if (r < 0) {
		(void)sqlite3_close(db->conn);
		free(db);
		return r;
	}
	*ret_db = &db->base;
	return 0;
}

static void
sqlite_close(struct db *base)
{
	struct sqlite_db *db = (struct sqlite_db *)(void *)base;

	for (unsigned q = 0; q < Q_COUNT; q++)
		(void)sqlite3_finalize(db->stmts[q].st);
	for (unsigned w = 0; w < WORD_COUNT; w++)
		(void)sqlite3_finalize(db->words[w]);
	sqlite_wal_free(db->wal);
	(void)sqlite3_close(db->conn);
	free(db);
}

/* SQLite numbers $n by first appearance; demand that this is the written number. */
static int
check_params(sqlite3_stmt *st, struct err *e)
{
	for (int i = 1; i <= sqlite3_bind_parameter_count(st); i++) {
		const char *got = sqlite3_bind_parameter_name(st, i);
		char want[16];

		(void)snprintf(want, sizeof(want), "$%d", i);
		if (!got || strcmp(got, want) != 0)
			return err_set(e, -EINVAL, "parameter %d is %s", i, got ? got : "unnamed");
	}
	return 0;
}

static int
sqlite_prepare(struct db *base, enum db_query q, struct err *e)
{
	struct sqlite_db *db = (struct sqlite_db *)(void *)base;
	struct sqlite_stmt *st = &db->stmts[q];
	const char *tail = NULL;
	int r;

	r = sqlite3_prepare_v3(db->conn, db_query_sql(q, false), -1, SQLITE_PREPARE_PERSISTENT,
			       &st->st, &tail);
	if (r != SQLITE_OK)
		return failure(db->conn, r, e);
	if (tail && *tail)
		return err_set(e, -EINVAL, "more than one statement");
	st->base.db = base;
	st->base.q = q;
	base->stmts[q] = &st->base;
	return check_params(st->st, e);
}

/* Preparing costs more than running for statements as small as these. */
static int
say(struct db *base, enum word w, struct err *e)
{
	struct sqlite_db *db = (struct sqlite_db *)(void *)base;
	int r = SQLITE_OK;

	if (!db->words[w])
		r = sqlite3_prepare_v3(db->conn, words[w], -1, SQLITE_PREPARE_PERSISTENT,
				       &db->words[w], NULL);
	if (r == SQLITE_OK)
		r = sqlite3_step(db->words[w]);
	if (r == SQLITE_ROW || r == SQLITE_DONE)
		r = SQLITE_OK;
	if (r != SQLITE_OK)
		r = failure(db->conn, r, e);
	(void)sqlite3_reset(db->words[w]);
	return r;
}

/* The text with every `from` as `to`; heap, NULL without memory. */
static char *
replaced(const char *text, const char *from, const char *to)
{
	size_t n = strlen(text) + 1, times = 0;
	const char *at, *rest;
	char *copy, *end;

	for (rest = text; (at = strstr(rest, from)); rest = at + strlen(from))
		times++;
	copy = end = malloc(n + times * strlen(to));
	if (!copy)
		return NULL;
	for (rest = text; (at = strstr(rest, from)); rest = at + strlen(from)) {
		memcpy(end, rest, (size_t)(at - rest));
		end += at - rest;
		memcpy(end, to, strlen(to));
		end += strlen(to);
	}
	memcpy(end, rest, strlen(rest) + 1);
	return copy;
}

static int
sqlite_run(struct db *db, const char *sql, struct err *e)
{
	char *text;
	int r;

	for (unsigned w = 0; w < WORD_COUNT; w++)
		if (strcmp(sql, words[w]) == 0)
			return say(db, (enum word)w, e);
	/* Both have 64 bits here, but only under this name is the number the row's own, without an
	 * index beside the table. */
	text = replaced(sql, "BIGINT PRIMARY KEY", "INTEGER PRIMARY KEY");
	if (!text)
		return err_set(e, -ENOMEM, "out of memory");
	r = sqlite3_exec(conn_of(db), text, NULL, NULL, NULL);
	free(text);
	return r == SQLITE_OK ? 0 : failure(conn_of(db), r, e);
}

static void
sqlite_cache(struct db *db, unsigned kib)
{
	char text[48];

	(void)snprintf(text, sizeof(text), "PRAGMA cache_size = -%u", kib);
	(void)sqlite3_exec(conn_of(db), text, NULL, NULL, NULL);
}

static int
sqlite_scalar(struct db *db, const char *sql, int64_t missing, int64_t *ret, struct err *e)
{
	sqlite3_stmt *st = NULL;
	int r;

	*ret = missing;
	r = sqlite3_prepare_v2(conn_of(db), sql, -1, &st, NULL);
	if (r != SQLITE_OK)
		return failure(conn_of(db), r, e);
	r = sqlite3_step(st);
	if (r == SQLITE_ROW && sqlite3_column_type(st, 0) != SQLITE_NULL)
		*ret = sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	return r == SQLITE_ROW || r == SQLITE_DONE ? 0 : failure(conn_of(db), r, e);
}

static int
sqlite_begin(struct db *db, bool write, struct err *e)
{
	int r = say(db, write ? WORD_BEGIN_WRITE : WORD_BEGIN, e);

	/* A deferred transaction takes its snapshot at the first read: take it now, as the caller
	 * was promised. */
	if (r == 0 && !write) {
		r = say(db, WORD_LOOK, e);
		if (r < 0)
			(void)say(db, WORD_ROLLBACK, NULL);
	}
	return r;
}

static void
note_bind(struct db_stmt *st, int r)
{
	stmt_of(st)->touched = true;
	if (r != SQLITE_OK)
		stmt_of(st)->bind_error = r;
}

static void
sqlite_bind_sv(struct db_stmt *st, int at, struct sv text)
{
	note_bind(st, sqlite3_bind_text64(stmt_of(st)->st, at, text.p ? text.p : "", text.n,
					  SQLITE_TRANSIENT, SQLITE_UTF8));
}

static void
sqlite_bind_borrowed(struct db_stmt *st, int at, struct sv text)
{
	note_bind(st, sqlite3_bind_text64(stmt_of(st)->st, at, text.p ? text.p : "", text.n,
					  SQLITE_STATIC, SQLITE_UTF8));
}

static void
sqlite_bind_int(struct db_stmt *st, int at, int64_t value)
{
	note_bind(st, sqlite3_bind_int64(stmt_of(st)->st, at, value));
}

static void
sqlite_bind_real(struct db_stmt *st, int at, double value)
{
	note_bind(st, sqlite3_bind_double(stmt_of(st)->st, at, value));
}

static void
sqlite_bind_null(struct db_stmt *st, int at)
{
	note_bind(st, sqlite3_bind_null(stmt_of(st)->st, at));
}

static int
sqlite_step(struct db_stmt *base, struct err *e)
{
	struct sqlite_stmt *st = stmt_of(base);
	int r;

	if (st->bind_error)
		return err_set(e, -EINVAL, "bad parameter");
	/* sqlite3_step would silently start a finished statement again. */
	if (st->done)
		return 0;
	st->touched = true;
	r = sqlite3_step(st->st);
	if (r == SQLITE_ROW)
		return 1;
	if (r == SQLITE_DONE) {
		st->done = true;
		return 0;
	}
	return failure(conn_of(base->db), r, e);
}

static int64_t
sqlite_changes(struct db_stmt *st)
{
	return sqlite3_changes64(conn_of(st->db));
}

static void
sqlite_reset(struct db_stmt *base)
{
	struct sqlite_stmt *st = stmt_of(base);

	/* The end of a transaction resets every statement, and few of them were used. */
	if (!st->touched)
		return;
	(void)sqlite3_reset(st->st);
	(void)sqlite3_clear_bindings(st->st);
	st->bind_error = 0;
	st->done = false;
	st->touched = false;
}

static bool
sqlite_col_null(struct db_stmt *st, int at)
{
	return sqlite3_column_type(stmt_of(st)->st, at) == SQLITE_NULL;
}

static int64_t
sqlite_col_int(struct db_stmt *st, int at)
{
	return sqlite3_column_int64(stmt_of(st)->st, at);
}

static double
sqlite_col_real(struct db_stmt *st, int at)
{
	return sqlite3_column_double(stmt_of(st)->st, at);
}

static struct sv
sqlite_col_sv(struct db_stmt *st, int at)
{
	const char *p = (const char *)sqlite3_column_text(stmt_of(st)->st, at);

	return (struct sv){p ? p : "", p ? (size_t)sqlite3_column_bytes(stmt_of(st)->st, at) : 0};
}

const struct db_driver db_sqlite = {
	.connect = sqlite_connect,
	.close = sqlite_close,
	.prepare = sqlite_prepare,
	.run = sqlite_run,
	.scalar = sqlite_scalar,
	.begin = sqlite_begin,
	.cache = sqlite_cache,
	.bind_sv = sqlite_bind_sv,
	.bind_borrowed = sqlite_bind_borrowed,
	.bind_int = sqlite_bind_int,
	.bind_real = sqlite_bind_real,
	.bind_null = sqlite_bind_null,
	.step = sqlite_step,
	.changes = sqlite_changes,
	.reset = sqlite_reset,
	.col_null = sqlite_col_null,
	.col_int = sqlite_col_int,
	.col_real = sqlite_col_real,
	.col_sv = sqlite_col_sv,
};
