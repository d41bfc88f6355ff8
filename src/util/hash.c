/* SPDX-License-Identifier: Apache-2.0 */
/* FNV-1a. */
#include "util/hash.h"

#include <string.h>

uint64_t
hash_bytes(uint64_t h, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * UINT64_C(0x100000001b3);
	return h;
}

uint64_t
hash_text(const char *text)
{
	return hash_bytes(HASH_START, text, strlen(text));
}
