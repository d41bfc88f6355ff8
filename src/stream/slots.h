/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STREAM_SLOTS_H
#define STREAM_SLOTS_H

/* How many streams each user has open: one slot each, up to the cap. Any thread may call. */

#include <stdint.h>

#include "util/attr.h"
#include "util/id.h"

struct slots;

/* A user who holds at least one slot. Who holds one may read `user`; the rest is the table's. */
struct slot {
	struct slot *next;
	struct slots *of;
	unsigned held;
	char user[ID_UUID_SIZE];
};

/* 0 or -ENOMEM. */
int slots_new(struct slots **ret_slots) A_NODISCARD;
/* Every slot must have been dropped. NULL is fine. */
void slots_free(struct slots *s);
/* Take one of at most `max` slots (0: no cap) of the user. 0 and *ret_slot, -ENOBUFS when all are
 * held (counted), -ENOMEM. */
int slot_take(struct slots *s, const char *user, unsigned max, struct slot **ret_slot) A_NODISCARD;
/* Give it back; NULL is fine. */
void slot_drop(struct slot *slot);
/* Slots held by all users: streams that are open or about to be. */
unsigned slots_all(const struct slots *s);
uint64_t slots_refused(struct slots *s);
unsigned slots_held(struct slots *s, const char *user);

#endif
