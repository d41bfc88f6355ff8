/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECOY_TALLY_H
#define DECOY_TALLY_H

/*
 * How many of something each name has, with a ceiling for each: sessions by source address and by
 * decky. Holds only names that have one now, so it is bounded by what is counted.
 */

#include "util/attr.h"
#include "util/list.h"

#define TALLY_BUCKETS  4096
#define TALLY_NAME_MAX 47

struct tally {
	uint64_t key; /* random, so that nobody can aim at one bucket */
	struct list buckets[TALLY_BUCKETS];
};

struct tally_entry;

void tally_init(struct tally *t);
void tally_fini(struct tally *t);
/* One more for the name (longer ones are cut). 0 and *ret to give back; -EBUSY when it has `max`;
 * -ENOMEM. */
int tally_take(struct tally *t, const char *name, unsigned max,
	       struct tally_entry **ret) A_NODISCARD;
/* What the name has one of, or NULL. */
struct tally_entry *tally_find(struct tally *t, const char *name);
/* A list for what is counted, which the callers keep; empty again before the last is given back. */
struct list *tally_members(struct tally_entry *entry);
/* One less. NULL does nothing. */
void tally_give(struct tally_entry *entry);

#endif
