/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UTIL_MIX_H
#define UTIL_MIX_H

/* Numbers that derive from a seed: the same for the same seed, everywhere and always. No secret. */

#include <stdint.h>

/* What one step of splitmix64 adds to its state. */
#define MIX_STEP UINT64_C(0x9e3779b97f4a7c15)

/* One step of splitmix64 (Steele, Lea and Flood, 2014) from x: every bit of it changes half of the
 * result. */
static inline uint64_t
mix(uint64_t x)
{
	x += MIX_STEP;
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

#endif
