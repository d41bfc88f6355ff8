/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_TICKET_H
#define API_TICKET_H

/*
 * Single-use tickets for streams, in memory. A ticket is free, then reserved by one request, then
 * either spent (the stream started) or free again. Any thread may call. While several gateways take
 * each other's the table is *shared*: tickets are in the store then (store/gateway.h).
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
/* The text of a new ticket. */
void ticket_text(char ret_ticket[TICKET_SIZE]);
/* A new ticket for the user and token of `claims`. 0, -ENOMEM, or -EAGAIN when the table is shared.
 */
int ticket_mint(struct ticket_table *t, const struct auth_claims *claims, uint64_t now_ms,
		char ret_ticket[TICKET_SIZE]) A_NODISCARD;
/* 0 and *ret_claims; -EACCES when it is unknown, too old, spent, or reserved by another request;
 * -EAGAIN when the store has to be asked. */
int ticket_reserve(struct ticket_table *t, struct sv ticket, uint64_t now_ms,
		   struct auth_claims *ret_claims) A_NODISCARD;
/* End a reservation. Both do nothing for a ticket that is not there. */
void ticket_spend(struct ticket_table *t, struct sv ticket);
void ticket_release(struct ticket_table *t, struct sv ticket);
/*
 * Share the table from here on: `fn` is told every free ticket and how long it lives (it only takes
 * note: the table is locked). Those that a request holds stay. The first failure of fn is returned,
 * and the table is shared all the same.
 */
typedef int ticket_fn(void *user, const struct auth_claims *claims, struct sv text,
		      uint64_t left_ms);
int ticket_table_share(struct ticket_table *t, ticket_fn *fn, void *user,
		       uint64_t now_ms) A_NODISCARD;
/* What was told is stored: forget it. */
void ticket_table_shared(struct ticket_table *t);
/* From here on tickets are held here again; for as long as one may live the store is asked, too. */
void ticket_table_unshare(struct ticket_table *t, uint64_t now_ms);
/* Tickets held, and how often one was dropped at a ceiling. */
unsigned ticket_count(struct ticket_table *t);
uint64_t ticket_dropped(struct ticket_table *t);
/* Some were dropped in the store. */
void ticket_note_dropped(struct ticket_table *t, uint64_t n);

#endif
