/* SPDX-License-Identifier: Apache-2.0 */
/* Threads with a connection each. */
#include "store/threads.h"

#include <string.h>

#include "store/db.h"

static int
open_connection(void *user, void **ret_state, struct err *e)
{
	struct db *db = NULL;
	int r = db_open(user, DB_READ_WRITE, &db, e);

	if (r == 0)
		*ret_state = db;
	return r;
}

static void
close_connection(void *state)
{
	db_close(state);
}

int
store_threads_new(struct loop *l, const char *url, unsigned threads, unsigned queue_max,
		  struct pool **ret_pool, struct err *e)
{
	struct pool_ops ops = {.init = open_connection, .fini = close_connection};

	/* The pool's user is not const; open_connection only reads it. */
	memcpy(&ops.user, &url, sizeof(url));
	return pool_new(l, threads, queue_max, &ops, ret_pool, e);
}
