/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RESOLVER_LINKER_H
#define RESOLVER_LINKER_H

/*
 * The identity engine beside its store: gives it the rows of a batch and writes what it says, all
 * in the caller's write transaction. It is built from the store when it is first needed, and again
 * after a transaction that failed; to build it again changes nothing. What an analyst decided is
 * told to it at the next transaction, with what the decision changed in the store.
 */

#include <stdbool.h>
#include <stdint.h>

#include "identity/engine.h"
#include "store/db.h"
#include "store/er.h"
#include "store/identity_tx.h"
#include "util/attr.h"
#include "util/err.h"

struct linker;

/* `secret` is what a new store is given: NULL is a random one. 0 or -ENOMEM. */
int linker_new(const struct identity_secret *secret, struct linker **ret_linker) A_NODISCARD;
void linker_free(struct linker *l);

/* At the start of a write transaction: the engine is there and knows what is stored. `tx` takes
 * what comes of that. 0 or a store failure. */
int linker_open(struct linker *l, struct db *db, struct identity_tx *tx, struct err *e) A_NODISCARD;
/* What is known of the observation now; its row is written already. `hash` is identity_hash of its
 * name. 0 or a store failure. */
int linker_put(struct linker *l, struct db *db, const char *observation, uint64_t hash,
	       const struct identity_features *f, struct err *e) A_NODISCARD;
/* All rows are given: decide, and put the changes into `tx`. `now_ms`: time of the newest of them.
 * 0 or a store failure. */
int linker_settle(struct linker *l, struct db *db, struct identity_tx *tx, uint64_t now_ms,
		  struct err *e) A_NODISCARD;
/* The transaction was not committed: what the engine knows is not so. */
void linker_forget(struct linker *l);

/* Known after linker_open. */
const struct identity_secret *linker_secret(const struct linker *l);
struct identity_engine *linker_engine(struct linker *l);
/* How far a recorded stream was read; stored by the next linker_settle. */
int64_t linker_position(const struct linker *l);
void linker_set_position(struct linker *l, int64_t position);

/* The hash of an observation's uuid. */
uint64_t linker_hash(const struct linker *l, const char *observation);
/* The final winner of an observation, "" while it has none. */
void linker_identity(const struct linker *l, const char *observation, char dst[ID_UUID_SIZE]);

#endif
