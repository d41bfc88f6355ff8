/* SPDX-License-Identifier: Apache-2.0 */
/* Copying SQLite's log of committed pages into the database beside the commits. */
#include "store/sqlite_wal.h"

#include <sqlite3.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "util/limits.h"

#define STACK_BYTES ((size_t)256 * 1024)
/* Looks for a moment without a writer, and the time between two of them. */
#define TRIES_MAX   20
#define TRY_NS	    300000

struct sqlite_wal {
	sqlite3 *conn;
	char *path;
	pthread_t thread;
	bool started;	  /* there is a thread to wait for */
	atomic_bool busy; /* and it is not done */
	int pages;	  /* in the log, when it was looked at last */
	int next;	  /* as many of them start the thread */
};

/*
 * Most is copied beside the writers. The log begins at its start again only where a writer finds
 * all of it copied, so what they added meanwhile, which is little, is copied while none of them
 * writes. Without a handler for busy moments nothing here waits for a reader or a writer.
 */
static void
copy_all(sqlite3 *conn)
{
	struct timespec pause = {.tv_nsec = TRY_NS};
	int r = SQLITE_OK;

	/* The second has little to copy, and leaves less. */
	for (int i = 0; r == SQLITE_OK && i < 2; i++)
		r = sqlite3_wal_checkpoint_v2(conn, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	for (int i = 0; r == SQLITE_OK && i < TRIES_MAX; i++) {
		r = sqlite3_wal_checkpoint_v2(conn, NULL, SQLITE_CHECKPOINT_FULL, NULL, NULL);
		if (r != SQLITE_BUSY)
			break;
		(void)nanosleep(&pause, NULL);
		r = SQLITE_OK;
	}
}

/* A failure shows again where it matters, at a commit that finds no room. */
static void *
copy(void *user)
{
	struct sqlite_wal *wal = user;
	sqlite3 *conn = NULL;

	if (sqlite3_open_v2(wal->path, &conn, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) ==
		    SQLITE_OK &&
	    sqlite3_exec(conn, "PRAGMA synchronous = NORMAL; PRAGMA schema_version", NULL, NULL,
			 NULL) == SQLITE_OK)
		copy_all(conn);
	(void)sqlite3_close(conn);
	atomic_store(&wal->busy, false);
	return NULL;
}

/* Signals are for the threads that wait for them. 0 or a negative errno. */
static int
start(struct sqlite_wal *wal)
{
	sigset_t all, old;
	pthread_attr_t attr;
	int r = pthread_attr_init(&attr);

	if (r != 0)
		return -r;
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	atomic_store(&wal->busy, true);
	r = pthread_create(&wal->thread, &attr, copy, wal);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	(void)pthread_attr_destroy(&attr);
	wal->started = r == 0;
	if (r != 0)
		atomic_store(&wal->busy, false);
	return -r;
}

static void
wait_for(struct sqlite_wal *wal)
{
	if (wal->started)
		(void)pthread_join(wal->thread, NULL);
	wal->started = false;
}

/* After a commit, which is done whatever happens here. */
static int
on_commit(void *user, sqlite3 *conn, const char *name, int pages)
{
	struct sqlite_wal *wal = user;

	(void)name;
	/* It begins at its start again once all of it is copied and nobody reads it. */
	if (pages < wal->pages)
		wal->next = LIMIT_WAL_PAGES;
	wal->pages = pages;
	if (pages < wal->next || (pages < LIMIT_WAL_PAGES_MAX && atomic_load(&wal->busy)))
		return SQLITE_OK;
	wait_for(wal);
	wal->next = pages + LIMIT_WAL_PAGES / 2;
	if (wal->next > LIMIT_WAL_PAGES_MAX)
		wal->next = LIMIT_WAL_PAGES_MAX;
	if (pages >= LIMIT_WAL_PAGES_MAX || start(wal) < 0)
		(void)sqlite3_wal_checkpoint_v2(conn, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	return SQLITE_OK;
}

int
sqlite_wal_new(struct sqlite3 *conn, struct sqlite_wal **ret_wal)
{
	struct sqlite_wal *wal = calloc(1, sizeof(*wal));
	const char *path = sqlite3_db_filename(conn, "main");

	if (!wal)
		return -ENOMEM;
	wal->path = strdup(path ? path : "");
	if (!wal->path) {
		free(wal);
		return -ENOMEM;
	}
	wal->conn = conn;
	wal->next = LIMIT_WAL_PAGES;
	(void)sqlite3_wal_hook(conn, on_commit, wal);
	*ret_wal = wal;
	return 0;
}

void
sqlite_wal_free(struct sqlite_wal *wal)
{
	if (!wal)
		return;
	wait_for(wal);
	(void)sqlite3_wal_hook(wal->conn, NULL, NULL);
	free(wal->path);
	free(wal);
}
