/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUS_MEMO_H
#define BUS_MEMO_H

/*
 * Where the messages of recent subjects went and which roles sent them, so that a subject that
 * comes again costs one look instead of a walk through the index and the grants. A table of
 * LIMIT_BUS_MEMO entries, of which only those in use take memory; a newer subject takes the place
 * of an older one. Pure.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/attr.h"
#include "util/sv.h"

#define BUS_MEMO_VALUES	 4
#define BUS_MEMO_SUBJECT 88

struct bus_memo;

/* What is known of a subject, in two lines of the processor's cache. */
struct bus_memo_entry {
	uint32_t age;
	uint8_t subject_n;
	uint8_t n; /* values, in order */
	uint16_t
		roles; /* bits of enum bus_role: those that may publish on it, as far as is known */
	void *values[BUS_MEMO_VALUES];
	char subject[BUS_MEMO_SUBJECT];
};

/* The seed makes places unpredictable to clients. NULL without memory. */
struct bus_memo *bus_memo_new(uint64_t seed);
void bus_memo_free(struct bus_memo *m);
/* Valid until the next put; NULL when nothing is known. */
const struct bus_memo_entry *bus_memo_find(const struct bus_memo *m, struct sv subject);
/* Remember the values; nothing happens when the subject is longer than BUS_MEMO_SUBJECT or there
 * are more than BUS_MEMO_VALUES. */
void bus_memo_put(struct bus_memo *m, struct sv subject, void *const *values, size_t n,
		  unsigned roles);
/* These roles, too, may publish on the subject of an entry of this memo. */
void bus_memo_allow(struct bus_memo *m, const struct bus_memo_entry *e, unsigned roles);
/* Everything that is known is wrong from here on. */
void bus_memo_forget(struct bus_memo *m);

#endif
