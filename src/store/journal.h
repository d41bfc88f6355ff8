/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_JOURNAL_H
#define STORE_JOURNAL_H

/*
 * The journal: one row for every change that a viewer may see, in the transaction of the change.
 * Sequence order is commit order and has no gaps. Whoever commits takes the rows afterwards and
 * publishes them as hints.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/db.h"
#include "util/id.h"

struct journal_row {
	int64_t seq;
	char *topic;
	char *family; /* first token of the topic */
	char *scope;  /* topology id (topology, decky); ""
			 for others */
	char *type;   /* topic without its family and its variable token */
	uint64_t ts_ms;
	char *payload; /* JSON object, compact */
};

struct journal_rows {
	struct journal_row *v;
	size_t n, cap;
	size_t max_bytes; /* set before journal_read: payloads to take at a time, 0: no ceiling */
	bool more;	  /* set by it: it stopped at a ceiling, there may be more rows */
};

/*
 * Append a row inside the write transaction of `db`. `topic` is a full topic (bus/event.h builds
 * them); `payload` is borrowed. `scope` as above, NULL is "". 0 (and *ret_seq unless NULL), -EINVAL
 * for a bad topic, or a store failure.
 */
int journal_append(struct db *db, const char *topic, const char *scope, uint64_t ts_ms,
		   const json_t *payload, int64_t *ret_seq, struct err *e) A_NODISCARD;
/* The rows that the last committed transaction of this connection appended; they are the caller's.
 * Empty after a rollback. */
void journal_take(struct db *db, struct journal_rows *ret_rows);
void journal_rows_fini(struct journal_rows *rows);

/* The last sequence number in this transaction: the watermark. 0 or a negative errno. */
int journal_head(struct db *db, int64_t *ret_seq, struct err *e) A_NODISCARD;
/* Every row above the floor is still held. 0 or a negative errno. */
int journal_floor(struct db *db, int64_t *ret_seq, struct err *e) A_NODISCARD;
/* In a read transaction: whether it ends where its counter says. 0, -EIO when it does not, or a
 * store failure. */
int journal_check(struct db *db, struct err *e) A_NODISCARD;

enum journal_filter { JOURNAL_ALL, JOURNAL_IDENTITY, JOURNAL_SCOPE };

/*
 * Append to *rows at most `limit` rows above `after`, ascending; of the family
 * of identities, or of `scope`, if asked. It also stops behind the row with which the payloads have
 * rows->max_bytes. The number of rows read or a negative errno.
 */
int journal_read(struct db *db, enum journal_filter filter, const char *scope, int64_t after,
		 unsigned limit, struct journal_rows *rows, struct err *e) A_NODISCARD;
typedef int journal_move_fn(void *user, int64_t seq, struct sv topic, struct sv payload);
/* Pass on, ascending, the rows up to `upto` that may change whose an attacker is: merges of
 * identities, and those that name him. A negative result stops and is returned. 0 or a negative
 * errno. */
int journal_identity_moves(struct db *db, const char *attacker, int64_t upto, journal_move_fn *fn,
			   void *user, struct err *e) A_NODISCARD;
/* Apply the retention (rows kept, rows older than `before_ms` gone); raises the floor in the same
 * transaction. Begins and commits its own write transaction. */
int journal_trim(struct db *db, uint64_t keep_rows, uint64_t before_ms, struct err *e) A_NODISCARD;

#endif
