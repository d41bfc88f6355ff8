/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_GATEWAY_H
#define STORE_GATEWAY_H

/*
 * What several gateways on one store share: a row for each that lives, with a lease; the streams
 * that users have open at each; tickets. Every function needs a write transaction unless it says
 * otherwise. Times are Unix milliseconds of the caller.
 */

#include <stdbool.h>
#include <stdint.h>

#include "store/db.h"
#include "util/attr.h"
#include "util/err.h"
#include "util/id.h"

struct gateway_row {
	const char *id;	     /* of this life */
	const char *address; /* where it serves: a successor there takes its place */
	uint64_t started_at;
	uint64_t lease_until;
	bool shares; /* its slots and tickets are in the store */
};

/*
 * Gateways that decide from what they read of each other take turns: the first statement of such a
 * transaction. (SQLite has one writer anyway; on PostgreSQL it is the lock of a row.) 0 or a store
 * failure.
 */
int gateway_turn(struct db *db, struct err *e) A_NODISCARD;
/* Add the row; who was at that address before is gone, with his slots. 0 or a store failure. */
int gateway_add(struct db *db, const struct gateway_row *row, struct err *e) A_NODISCARD;
/* Renew. 1; 0 when the row is gone (its lease had ended and somebody swept); or a store failure. */
int gateway_set(struct db *db, const struct gateway_row *row, struct err *e) A_NODISCARD;
/* Take the row and its slots away. 0 or a store failure. */
int gateway_remove(struct db *db, const char *id, struct err *e) A_NODISCARD;
/* Forget gateways whose lease has ended, their slots, and tickets that are too old. 0 or a store
 * failure. */
int gateway_sweep(struct db *db, uint64_t now_ms, struct err *e) A_NODISCARD;
struct gateway_living {
	int64_t others; /* that live */
	int64_t silent; /* ... and do not share yet */
	bool self;	/* one's own row is there, and its lease has not ended */
};

/* Any transaction, or none: who lives. 0 or a store failure. */
int gateway_look(struct db *db, const char *id, uint64_t now_ms, struct gateway_living *ret,
		 struct err *e) A_NODISCARD;

/* Streams of the user at other gateways that live. 0 or a store failure. */
int gateway_slots_elsewhere(struct db *db, const char *id, const char *user, uint64_t now_ms,
			    int64_t *ret_n, struct err *e) A_NODISCARD;
/* The user has n streams open at gateway `id`. 0 or a store failure. */
int gateway_slots_put(struct db *db, const char *id, const char *user, unsigned n,
		      struct err *e) A_NODISCARD;
/* The gateway has none open. 0 or a store failure. */
int gateway_slots_clear(struct db *db, const char *id, struct err *e) A_NODISCARD;

/* A ticket, known by a hash of its text. */
struct gateway_ticket {
	char user[ID_UUID_SIZE];
	char jti[ID_HEX32_SIZE];
	uint64_t iat_ms, exp_ms; /* of the token */
	uint64_t ends_ms;
};

/*
 * Keep a ticket. Of the user's others the newest `per_user` - 1 stay; *ret_dropped is how many went
 * (may be NULL). 0 or a store failure.
 */
int gateway_ticket_add(struct db *db, const char *hash, const struct gateway_ticket *t,
		       unsigned per_user, int64_t *ret_dropped, struct err *e) A_NODISCARD;
/* Any transaction, or none: 1 when it could be taken, 0, or a store failure. */
int gateway_ticket_known(struct db *db, const char *hash, uint64_t now_ms,
			 struct err *e) A_NODISCARD;
/* Take it out: of any number who try, one gets 1 and *ret; the others 0. Or a store failure. */
int gateway_ticket_take(struct db *db, const char *hash, uint64_t now_ms,
			struct gateway_ticket *ret, struct err *e) A_NODISCARD;

#endif
