/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_PEERS_H
#define API_PEERS_H

/*
 * The other gateways on the same store. As long as there is none, stream slots and tickets are
 * tables in memory and cost nothing; while there is one they are in the store: this gateway
 * *shares*. A gateway that starts does not serve before those that live share, so no ticket is
 * unknown and no slot uncounted.
 */

#include <stdbool.h>
#include <stdint.h>

#include "api/auth.h"
#include "store/db.h"
#include "stream/slots.h"
#include "util/attr.h"
#include "util/err.h"

struct api_state;
struct peers;

#define PEERS_BEAT_MS	1000
/* What a gateway had is free this long after its last sign of life, while it shared. */
#define PEERS_LEASE_MS	5000
/* Alone, nobody waits for it: the row is written seldom. */
#define PEERS_ALONE_MS	60000
#define PEERS_RENEW_MS	20000
/* How long a gateway that starts waits for the others to share. */
#define PEERS_JOIN_MS	3000
/* How long it shares after the last other one has gone: it may only be starting again. */
#define PEERS_LINGER_MS 10000

/* Tables and settings are those of the state, which outlives it. NULL without memory. */
struct peers *peers_new(struct api_state *s);
void peers_free(struct peers *p);
/*
 * Before anything is served, on any thread: say that this gateway is there, and wait for the others
 * to share. Waits at most PEERS_JOIN_MS: who is silent for so long serves nobody either. 0 or a
 * store failure.
 */
int peers_join(struct peers *p, struct db *db, struct err *e) A_NODISCARD;
/* Store thread, one at a time, every PEERS_BEAT_MS: renew the lease, look who is there, begin to
 * share or end it. 0 or a store failure. */
int peers_beat(struct peers *p, struct db *db, struct err *e) A_NODISCARD;
/* In a write transaction: this gateway has gone. 0 or a store failure. */
int peers_leave(struct peers *p, struct db *db, struct err *e) A_NODISCARD;

/* Any thread. */
bool peers_share(const struct peers *p);

/*
 * The following are for store threads, outside a transaction.
 *
 * Take one of the `max` (> 0) slots of the user, over all gateways. 0 and *ret_slot, -ENOBUFS when
 * all are held, -ENOMEM, or a store failure.
 */
int peers_slot_take(struct peers *p, struct db *db, const char *user, unsigned max,
		    struct slot **ret_slot, struct err *e) A_NODISCARD;
/* A new ticket that any gateway takes. 0 or a store failure. */
int peers_ticket_mint(struct peers *p, struct db *db, const struct auth_claims *claims,
		      uint64_t now_ms, char ret_ticket[TICKET_SIZE], struct err *e) A_NODISCARD;
/* Spend a ticket of any gateway: of any number who try, one gets 1, *ret_claims and when it would
 * have ended; the others 0. Or a store failure. */
int peers_ticket_take(struct peers *p, struct db *db, struct sv ticket, uint64_t now_ms,
		      struct auth_claims *ret_claims, uint64_t *ret_ends_ms,
		      struct err *e) A_NODISCARD;
/* Give it back, since no stream was begun. 0 or a store failure. */
int peers_ticket_return(struct peers *p, struct db *db, struct sv ticket,
			const struct auth_claims *claims, uint64_t ends_ms,
			struct err *e) A_NODISCARD;

#endif
