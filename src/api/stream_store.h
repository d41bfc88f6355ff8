/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_STREAM_STORE_H
#define API_STREAM_STORE_H

/* What streams ask of the store: rows that were missed, snapshots, whether access has ended. */

#include "api/streams.h"
#include "stream/hub.h"

/* For struct hub_ops: read and snapshot. */
int stream_store_fetch(struct streams *s, struct hub_fetch *f);

/* Answer the questions that waited for a look at everybody's access, up to those that were read at
 * this epoch. */
void stream_store_release(struct streams *s, int64_t epoch);

/* Look at every open stream's user and token, end those whose access has ended, then call `fn` with
 * the access epoch that was seen. 0 and *ret_check, or a negative errno (fn is not called). */
typedef void stream_checked_fn(struct streams *s, int r, int64_t epoch);
int stream_access_check(struct streams *s, stream_checked_fn *fn,
			struct stream_access **ret_check) A_NODISCARD;

/*
 * Whose an attacker was after journal row `seq`: "" for nobody. In a read transaction. 0 or a store
 * failure.
 */
int stream_identity_at(struct db *db, const char *attacker, int64_t seq,
		       char ret_identity[ID_UUID_SIZE], struct err *e) A_NODISCARD;
/* Its identity now. 1, 0 (no such attacker) or a store failure. */
int stream_identity_now(struct db *db, const char *attacker, char ret_identity[ID_UUID_SIZE],
			struct err *e) A_NODISCARD;

#endif
