/* SPDX-License-Identifier: Apache-2.0 */
/* The table of services and the two things that all of them use. */
#include "decoy/service.h"

#include <string.h>

#include "util/limits.h"

#define DECOY_SERVICE(name) extern const struct decoy_service decoy_service_##name;
#include "decoy/services.def"
#undef DECOY_SERVICE

const struct decoy_service *const decoy_services[] = {
#define DECOY_SERVICE(name) &decoy_service_##name,
#include "decoy/services.def"
#undef DECOY_SERVICE
};
const size_t decoy_services_count = ARRAY_LEN(decoy_services);

const struct decoy_service *
decoy_service_find(const char *name)
{
	for (size_t i = 0; i < decoy_services_count; i++)
		if (strcmp(decoy_services[i]->name, name) == 0)
			return decoy_services[i];
	return NULL;
}

int
decoy_capture(struct decoy_io *io, enum capture_type type, const struct capture_field *fields,
	      unsigned n)
{
	/* Half a frame for the values leaves room for names and the head, whatever is in them. */
	size_t left = LIMIT_CAPTURE_BYTES / 2;
	struct capture c = *io->common;
	int r;

	c.type = type;
	c.ts_ms = io->now_ms;
	c.no = *io->next_no + 1;
	c.nfields = n < CAPTURE_FIELDS_MAX ? n : CAPTURE_FIELDS_MAX;
	for (unsigned i = 0; i < c.nfields; i++) {
		c.fields[i] = fields[i];
		if (c.fields[i].value.n > left)
			c.fields[i].value.n = left;
		left -= c.fields[i].value.n;
	}
	r = capture_put(io->captures, &c);
	if (r == 0)
		*io->next_no = c.no;
	return r;
}

uint64_t
decoy_number(uint64_t seed, uint64_t purpose, uint64_t below)
{
	uint64_t z = seed + purpose * UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (z ^ (z >> 31)) % below;
}

uint64_t
decoy_boot_ms(const struct decoy_io *io)
{
	/* From a fixed day on each decky reboots at its own rhythm, so that its uptime rises
	 * between two visits. */
	const uint64_t day = UINT64_C(86400000);
	uint64_t period =
		(2 + decoy_number(io->seed, 1, 88)) * day + decoy_number(io->seed, 2, day);
	uint64_t phase = decoy_number(io->seed, 3, period);

	return io->now_ms - (io->now_ms + phase) % period;
}
