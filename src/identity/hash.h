/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IDENTITY_HASH_H
#define IDENTITY_HASH_H

/*
 * The keyed hash that values and observations are known by. It is keyed so that nobody outside can
 * choose to be a hub or a sample: every order that the engine uses comes from here, none from the
 * order of arrival. Pure.
 */

#include <stddef.h>
#include <stdint.h>

#include "util/sv.h"

#define IDENTITY_SECRET_MAX 64 /* BLAKE2b takes no longer key */

struct identity_secret {
	unsigned char key[IDENTITY_SECRET_MAX];
	size_t n;
};

/* BLAKE2b-64 (RFC 7693) of the parts joined by NUL, keyed, read as a little-endian number. */
uint64_t identity_hash(const struct identity_secret *secret, const struct sv *parts, size_t n);
/* Order of the rows `x` within the value `key`: the finaliser of splitmix64. */
uint64_t identity_mix(uint64_t x, uint64_t key);

#endif
