/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STREAM_SLOTS_H
#define STREAM_SLOTS_H

/*
 * How many streams each user has open: one slot each, up to the cap. Any thread may call. While
 * several gateways count together the table is *shared*: a slot is then taken where it is known
 * what the user has open elsewhere (slot_take_shared), and changes are told.
 */

#include <stdbool.h>
#include <stdint.h>

#include "util/attr.h"
#include "util/id.h"

struct slots;

/* A user who holds at least one slot. Who holds one may read `user`; the rest is the table's. */
struct slot {
	struct slot *next;
	struct slots *of;
	unsigned held;
	bool dirty; /* dropped while shared, and not told yet */
	struct slot *next_dirty;
	char user[ID_UUID_SIZE];
};

/* A user holds so many. It only takes note: the table is locked. 0, or a negative errno. */
typedef int slots_fn(void *user, const char *of, unsigned held);

/* 0 or -ENOMEM. */
int slots_new(struct slots **ret_slots) A_NODISCARD;
/* Every slot must have been dropped. NULL is fine. */
void slots_free(struct slots *s);
/* Take one of at most `max` slots (0: no cap) of the user. 0 and *ret_slot, -ENOBUFS when all are
 * held (counted), -EAGAIN when the table is shared and there is a cap, -ENOMEM. */
int slot_take(struct slots *s, const char *user, unsigned max, struct slot **ret_slot) A_NODISCARD;
/* The same whether shared or not: `elsewhere` of the `max` (> 0) slots are held at other gateways.
 * What the user holds then is the caller's to tell. */
int slot_take_shared(struct slots *s, const char *user, unsigned max, unsigned elsewhere,
		     struct slot **ret_slot) A_NODISCARD;
/*
 * Share the table from here on: `fn` is told every user who holds a slot, and `on_drop` is called
 * (on any thread, after a slot was given back) when there is something for slots_changed. The first
 * failure of fn is returned, and the table is shared all the same. Once more tells all again.
 */
int slots_share(struct slots *s, slots_fn *fn, void *user, void (*on_drop)(void *),
		void *on_drop_user) A_NODISCARD;
void slots_unshare(struct slots *s);
/* Tell every user whose slots were given back since the last time. The first failure of fn is
 * returned: then tell all again (slots_share). */
int slots_changed(struct slots *s, slots_fn *fn, void *user) A_NODISCARD;
/* Give it back; NULL is fine. */
void slot_drop(struct slot *slot);
/* Slots held by all users: streams that are open or about to be. */
unsigned slots_all(const struct slots *s);
uint64_t slots_refused(struct slots *s);
unsigned slots_held(struct slots *s, const char *user);

#endif
