/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_IDENTITY_TX_H
#define STORE_IDENTITY_TX_H

/*
 * Changes to identities within one write transaction. Rows in hand are kept until
 * identity_tx_finish, which writes those that changed and appends the journal rows in the order of
 * the contract: unlinked, formed, linked, merged, unmerged, updated; only an identity that is in
 * a merge of the same transaction is unmerged before it. Nothing changed: nothing
 * written.
 */

#include <stdbool.h>
#include <stdint.h>

#include "store/db.h"
#include "store/identity.h"
#include "util/attr.h"
#include "util/err.h"

struct identity_tx;

/* `by` is "engine" or "analyst". 0 or -ENOMEM. */
int identity_tx_new(struct db *db, uint64_t now_ms, const char *by, struct identity_tx **ret_tx,
		    struct err *e) A_NODISCARD;
void identity_tx_free(struct identity_tx *tx);
/* Write what changed, with its journal rows. 0 or a store failure. */
int identity_tx_finish(struct identity_tx *tx, struct err *e) A_NODISCARD;

struct attacker;
/* The attacker is saved: if it is new in this transaction, what it showed need not be read again.
 * Call it for each attacker_save. Takes its `fresh` values over. 0 or -ENOMEM. */
int identity_tx_observed(struct identity_tx *tx, struct attacker *a, struct err *e) A_NODISCARD;

/* A new identity that stands on the observation `anchor`; its observations follow
 * (identity_tx_join_formed) before anything else is formed. 0 or a store failure. */
int identity_tx_form(struct identity_tx *tx, const char *uuid, const char *anchor,
		     struct err *e) A_NODISCARD;
int identity_tx_join_formed(struct identity_tx *tx, const char *identity, const char *observation,
			    struct err *e) A_NODISCARD;
/* The observation is of this final winner from now on. 0 or a store failure. */
int identity_tx_link(struct identity_tx *tx, const char *identity, const char *observation,
		     struct err *e) A_NODISCARD;
/* The observation leaves the identity that it carries; it is linked or formed anew in the same
 * transaction. 0 or a store failure. */
int identity_tx_unlink(struct identity_tx *tx, const char *identity, const char *observation,
		       struct err *e) A_NODISCARD;
/* `winner` is a final one. Whoever was merged into the loser follows. 0 or a store failure. */
int identity_tx_merge(struct identity_tx *tx, const char *winner, const char *loser,
		      struct err *e) A_NODISCARD;
/* The identity stands alone again, with whoever was merged into it. 0 or a store failure. */
int identity_tx_unmerge(struct identity_tx *tx, const char *identity, const char *former,
			struct err *e) A_NODISCARD;
/* What is known of a final winner after all that: its observations and the confidence; `lost`:
 * somebody left, so times and roll-ups are collected anew. 0 or a store failure. */
int identity_tx_settle(struct identity_tx *tx, const char *identity, int64_t observations,
		       double confidence, bool lost, struct err *e) A_NODISCARD;
/* An observation of the final winner was seen at these times. 0 or a store failure. */
int identity_tx_touch(struct identity_tx *tx, const char *identity, uint64_t first_ms,
		      uint64_t last_ms, struct err *e) A_NODISCARD;
/* An observation of the final winner showed new values: they join the roll-ups. 0 or a store
 * failure. */
int identity_tx_signals(struct identity_tx *tx, const char *identity, const char *observation,
			struct err *e) A_NODISCARD;
/* Why two observations are (or are not) together; `value` may be NULL, weight NAN is null. 0 or a
 * store failure. */
int identity_tx_evidence(struct identity_tx *tx, const char *a, const char *b, const char *signal,
			 const char *value, double weight, struct err *e) A_NODISCARD;

/* Forget what the engine said of the pair. 0 or a store failure. */
int identity_tx_evidence_drop(struct identity_tx *tx, const char *a, const char *b,
			      struct err *e) A_NODISCARD;

/* The analyst's merge of two final winners: also a decision that the engine obeys. 0 or a store
 * failure. */
int identity_tx_join(struct identity_tx *tx, const char *winner, const char *loser,
		     struct err *e) A_NODISCARD;
/*
 * The analyst's split: `n` different observations leave the final winner for a new identity. 0,
 * -ENOENT (one is not of this identity, its index in *ret_bad), -ENOTEMPTY (none would remain), or
 * a store failure.
 */
int identity_tx_split(struct identity_tx *tx, const char *identity, const char *const *observations,
		      size_t n, char ret_uuid[ID_UUID_SIZE], size_t *ret_bad,
		      struct err *e) A_NODISCARD;
/* Append a line to the notes. 1 and a copy of them (heap), 0: over LIMIT_IDENTITY_NOTES_BYTES, or a
 * store failure. */
int identity_tx_note(struct identity_tx *tx, const char *identity, const char *line,
		     char **ret_notes, struct err *e) A_NODISCARD;

#endif
