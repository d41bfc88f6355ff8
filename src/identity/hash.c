/* SPDX-License-Identifier: Apache-2.0 */
/* Keyed hashing of values and rows. */
#include "identity/hash.h"

#include <sodium.h>

uint64_t
identity_hash(const struct identity_secret *secret, const struct sv *parts, size_t n)
{
	crypto_generichash_blake2b_state st;
	unsigned char out[8];
	uint64_t h = 0;

	/* They fail for lengths outside the limits only, which these are not. */
	(void)crypto_generichash_blake2b_init(&st, secret->key, secret->n, sizeof(out));
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			(void)crypto_generichash_blake2b_update(&st, (const unsigned char *)"", 1);
		if (parts[i].n > 0)
			(void)crypto_generichash_blake2b_update(
				&st, (const unsigned char *)parts[i].p, parts[i].n);
	}
	(void)crypto_generichash_blake2b_final(&st, out, sizeof(out));
	for (size_t i = sizeof(out); i-- > 0;)
		h = h << 8 | out[i];
	return h;
}

uint64_t
identity_mix(uint64_t x, uint64_t key)
{
	uint64_t z = x ^ key;

	z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
	return z ^ z >> 31;
}
