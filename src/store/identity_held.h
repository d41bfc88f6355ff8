/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_IDENTITY_HELD_H
#define STORE_IDENTITY_HELD_H

/* The inside of struct identity_tx, for identity_tx.c, identity_rollup.c and identity_analyst.c. */

#include "bus/topic.h"
#include "store/attacker.h"
#include "store/identity_tx.h"
#include "store/uuid_map.h"

#define IDENTITY_HELD_TOPICS 5

struct held {
	struct identity row;
	json_t *before;		   /* as the viewer had it; NULL: formed in this transaction */
	bool stale;		   /* it was merged into another until now */
	bool unwritten;		   /* not inserted yet: once, when all is known of it */
	char anchor[ID_UUID_SIZE]; /* while it is unwritten */
};

/* An attacker that is new in this transaction: what else would have to be read again. */
struct observed {
	uint64_t first_ms, last_ms;
	struct attacker_signals signals; /* all there are, oldest first */
};

struct identity_tx {
	struct db *db;
	uint64_t now_ms;
	const char *by;
	struct held *held;
	size_t n, cap;
	struct uuid_map held_at;
	json_t *events[IDENTITY_HELD_TOPICS]; /* in the order of the contract */

	struct observed *observed;
	size_t nobserved, cobserved;
	struct uuid_map observed_at;

	/* What those have shown who left any identity in this transaction, and when they were seen.
	 */
	struct {
		json_t *values[IDENTITY_SIGNAL_COUNT]; /* sorted lists, NULL: none */
		struct observed_times {
			uint64_t first_ms, last_ms;
		} * times; /* of each */
		size_t n, cap;
		bool more; /* values than are kept here */
	} gone;
};

/* Note an event; consumes the payload. 0 or -ENOMEM. */
int identity_held_note(struct identity_tx *tx, enum bus_topic t, json_t *own_payload,
		       struct err *e) A_NODISCARD;
/* The row in hand; good until the next call. 0 or a store failure. */
int identity_held_take(struct identity_tx *tx, const char *uuid, struct identity **ret,
		       struct err *e) A_NODISCARD;
/* A new row of this moment, without observations, written and held. 0 or a store failure. */
int identity_held_new(struct identity_tx *tx, const char *anchor, struct identity **ret,
		      struct err *e) A_NODISCARD;
/* From here on a statement may count on the row being in its table. 0 or a store failure. */
int identity_held_written(struct identity_tx *tx, const char *uuid, struct err *e) A_NODISCARD;
/* The observation that the identity stands on; NULL: none. 0 or a store failure. */
int identity_held_anchor(struct identity_tx *tx, const char *identity, const char *anchor,
			 struct err *e) A_NODISCARD;
/* Count, times and roll-ups of a row from its observations as they are now. 0 or a store failure.
 */
int identity_held_recount(struct identity_tx *tx, struct identity *row, struct err *e) A_NODISCARD;
/* One more observation: count, times and roll-ups. 0 or a store failure. */
int identity_held_add(struct identity_tx *tx, struct identity *row, const char *observation,
		      struct err *e) A_NODISCARD;
/* What the observation has shown joins the roll-ups. 0 or a store failure. */
int identity_held_add_signals(struct identity_tx *tx, struct identity *row, const char *observation,
			      struct err *e) A_NODISCARD;
void identity_held_widen(struct identity *row, uint64_t first_ms, uint64_t last_ms);
/* What the loser knew joins the winner's row. 0 or -ENOMEM. */
int identity_held_absorb(struct identity *winner, const struct identity *loser) A_NODISCARD;
/* The observation, or an identity with all that it has, leaves whatever it was of. 0 or a store
 * failure. */
int identity_held_leave(struct identity_tx *tx, const char *observation, struct err *e) A_NODISCARD;
int identity_held_leave_all(struct identity_tx *tx, const struct identity *row,
			    struct err *e) A_NODISCARD;
/* Somebody left the row, `left` observations remain: times and roll-ups without what only those had
 * who are gone. 0 or a store failure. */
int identity_held_shrink(struct identity_tx *tx, struct identity *row, int64_t left,
			 struct err *e) A_NODISCARD;
/* The memory of all that. */
void identity_held_fini(struct identity_tx *tx);
/* The observation's literal identity. 0 or a store failure. */
int identity_held_assign(struct identity_tx *tx, const char *identity, const char *observation,
			 struct err *e) A_NODISCARD;

#endif
