/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_TICKET_H
#define API_TICKET_H

/*
 * Single-use tickets for streams, in memory. A ticket is free, then reserved by one request, then
 * either spent (the stream started) or free again. Any thread may call.
 */

#include <stdint.h>

#include "util/attr.h"
#include "util/id.h"
#include "util/sv.h"

#define TICKET_SIZE    44 /* 32 random bytes as 43 URL-safe characters, and the terminator */
#define TICKET_LIFE_MS 60000

struct auth_claims;
struct ticket_table;

/* `per_user` unspent tickets of one user: the oldest is dropped. `max` in all: likewise. NULL
 * without memory. */
struct ticket_table *ticket_table_new(unsigned per_user, unsigned max);
void ticket_table_free(struct ticket_table *t);
/* A new ticket for the user and token of `claims`. 0 or -ENOMEM. */
int ticket_mint(struct ticket_table *t, const struct auth_claims *claims, uint64_t now_ms,
		char ret_ticket[TICKET_SIZE]) A_NODISCARD;
/* 0 and *ret_claims; -EACCES when it is unknown, too old, spent, or reserved by another request. */
int ticket_reserve(struct ticket_table *t, struct sv ticket, uint64_t now_ms,
		   struct auth_claims *ret_claims) A_NODISCARD;
/* End a reservation. Both do nothing for a ticket that is not there. */
void ticket_spend(struct ticket_table *t, struct sv ticket);
void ticket_release(struct ticket_table *t, struct sv ticket);
/* Tickets held, and how often one was dropped at a ceiling. */
unsigned ticket_count(struct ticket_table *t);
uint64_t ticket_dropped(struct ticket_table *t);

#endif
