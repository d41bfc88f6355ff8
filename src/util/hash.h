/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UTIL_HASH_H
#define UTIL_HASH_H

/*
 * FNV-1a of 64 bits (Fowler, Noll and Vo): small, for tables and for numbers that follow from a
 * name. The values are a promise: hardware addresses of deckies follow from them, and the marks by
 * which what the kernel has is compared with what is wanted. It hides nothing, and whoever knows
 * where it starts can find names with one hash: where somebody outside chooses them, start at a
 * random number.
 */

#include <stddef.h>
#include <stdint.h>

#define HASH_START UINT64_C(0xcbf29ce484222325)

/* `h` is HASH_START, a number of one's own to start at, or the hash of what stands before. */
uint64_t hash_bytes(uint64_t h, const void *bytes, size_t n);
/* From HASH_START, without the terminator. */
uint64_t hash_text(const char *text);

/* For a place in a table: the low bits depend too little on what comes first. */
static inline uint64_t
hash_fold(uint64_t h)
{
	return h ^ h >> 32;
}

#endif
