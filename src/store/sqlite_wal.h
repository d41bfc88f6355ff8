/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_SQLITE_WAL_H
#define STORE_SQLITE_WAL_H

/*
 * Copying SQLite's log of committed pages into the database: on a thread and a connection of its
 * own, which live as long as it takes, so that no commit waits for the disk. Only where the log
 * has become too long all the same (LIMIT_WAL_PAGES_MAX) the commit that finds it so does it.
 */

#include "util/attr.h"

struct sqlite3;
struct sqlite_wal;

/* Look after the log of `conn`, whose own way of doing so ends, from each of its commits on; `conn`
 * is used by one thread at a time. 0 and *ret_wal, or -ENOMEM. */
int sqlite_wal_new(struct sqlite3 *conn, struct sqlite_wal **ret_wal) A_NODISCARD;
/* Before `conn` is closed: waits for the thread. NULL is nothing. */
void sqlite_wal_free(struct sqlite_wal *wal);

#endif
