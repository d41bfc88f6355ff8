/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that derive from a decky's seed. */
#include "decoy/persona.h"

#include "util/mix.h"

#define DAY_MS UINT64_C(86400000)

uint64_t
persona_hash(uint64_t seed, const char *what)
{
	uint64_t h = mix(seed);

	for (; *what; what++)
		h = mix(h ^ (unsigned char)*what);
	return h;
}

uint64_t
persona_number(uint64_t seed, uint64_t purpose, uint64_t below)
{
	return mix(mix(seed) ^ purpose) % below;
}

uint64_t
persona_pick(uint64_t seed, const char *what, uint64_t min, uint64_t max)
{
	return min + persona_hash(seed, what) % (max - min + 1);
}

uint64_t
persona_boot_ms(uint64_t seed, uint64_t now_ms)
{
	uint64_t period = persona_pick(seed, "reboot", 25, 160) * DAY_MS;
	uint64_t phase = persona_pick(seed, "phase", 0, period - 1);

	if (now_ms < period)
		return 0;
	return now_ms - (now_ms + phase) % period;
}

void
persona_hex(uint64_t seed, const char *what, char *dst, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	uint64_t h = persona_hash(seed, what);

	for (size_t i = 0; i < n; i++) {
		if (i > 0 && i % 16 == 0)
			h = mix(h);
		dst[i] = digits[h >> (4 * (i % 16)) & 15];
	}
	dst[n] = '\0';
}

uint32_t
persona_latency_ms(const struct decoy_service *svc, enum decoy_pause pause, uint64_t seed,
		   uint64_t dice)
{
	const struct decoy_latency *l = &svc->latency[pause];
	uint64_t span = l->max_ms - l->min_ms, place = span * 3 / 4;

	if (l->max_ms == 0)
		return 0;
	return (uint32_t)(l->min_ms + persona_hash(seed ^ pause, svc->name) % (place + 1) +
			  dice % (span - place + 1));
}
