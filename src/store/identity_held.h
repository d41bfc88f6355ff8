/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_IDENTITY_HELD_H
#define STORE_IDENTITY_HELD_H

/* The inside of struct identity_tx, for identity_tx.c and identity_analyst.c only. */

#include "bus/topic.h"
#include "store/identity_tx.h"

#define IDENTITY_HELD_TOPICS 5

struct held {
	struct identity row;
	json_t *before; /* as the viewer had it; NULL: formed in this transaction */
};

struct identity_tx {
	struct db *db;
	uint64_t now_ms;
	const char *by;
	struct held *held;
	size_t n, cap;
	json_t *events[IDENTITY_HELD_TOPICS]; /* in the order of the contract */
};

/* Note an event; consumes the payload. 0 or -ENOMEM. */
int identity_held_note(struct identity_tx *tx, enum bus_topic t, json_t *own_payload,
		       struct err *e) A_NODISCARD;
/* The row in hand; good until the next call. 0 or a store failure. */
int identity_held_take(struct identity_tx *tx, const char *uuid, struct identity **ret,
		       struct err *e) A_NODISCARD;
/* A new row without observations, written and held; `uuid` NULL: of this moment. 0 or a store
 * failure. */
int identity_held_new(struct identity_tx *tx, const char *uuid, const char *anchor,
		      struct identity **ret, struct err *e) A_NODISCARD;
/* The observation that the identity stands on; NULL: none. 0 or a store failure. */
int identity_held_anchor(struct identity_tx *tx, const char *identity, const char *anchor,
			 struct err *e) A_NODISCARD;
/* Count, times and roll-ups of a row from its observations as they are now. 0 or a store failure.
 */
int identity_held_recount(struct identity_tx *tx, struct identity *row, struct err *e) A_NODISCARD;
/* The values of a bound statement (primitive, value; the newest first) join the row's roll-ups. 0
 * or a store failure. */
int identity_held_values(struct identity *row, struct db_stmt *st, struct err *e) A_NODISCARD;
/* The observation's literal identity. 0 or a store failure. */
int identity_held_assign(struct identity_tx *tx, const char *identity, const char *observation,
			 struct err *e) A_NODISCARD;

#endif
