/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UTIL_CHAIN_H
#define UTIL_CHAIN_H

/*
 * Finding the elements of an array by a hash of something in them: chains of places. The array is
 * its owner's, and so is the comparison; an element is chained in when it is added, and chained out
 * before it goes. Several of these over one array find it by several things.
 */

#include <stddef.h>
#include <stdint.h>

#include "util/attr.h"

#define CHAIN_END (-1)

struct chain {
	int32_t *heads, *next; /* cap of each */
	size_t cap;	       /* a power of two, or 0 */
};

/* Room for `cap` elements, which must be a power of two; what was chained is forgotten. 0, or
 * -ENOMEM: as it was. */
int chain_resize(struct chain *c, size_t cap) A_NODISCARD;
void chain_fini(struct chain *c);
/* Forget all; keeps the memory. */
void chain_clear(struct chain *c);
/* `hash` is the same for the same element each time; `at` is below the cap. */
void chain_in(struct chain *c, uint64_t hash, size_t at);
void chain_out(struct chain *c, uint64_t hash, size_t at);
/* The first place of a chain, or CHAIN_END; the next one is next[place]. Others than those looked
 * for may be in it. */
int32_t chain_first(const struct chain *c, uint64_t hash);

#endif
