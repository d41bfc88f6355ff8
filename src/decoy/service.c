/* SPDX-License-Identifier: Apache-2.0 */
/* The table of services, and what every service needs to speak through its io. */
#include "decoy/service.h"

#include <errno.h>
#include <string.h>

#include "util/limits.h"

/* Room for the frame's head, its lengths and the place, which the engine adds. */
#define FRAME_ROOM 4096

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
	struct capture c = {.type = type};
	size_t room = LIMIT_CAPTURE_BYTES - FRAME_ROOM;

	if (n > CAPTURE_FIELDS_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < n; i++) {
		size_t share = room / (n - i);

		c.fields[i] = fields[i];
		if (c.fields[i].value.n > share)
			c.fields[i].value.n = share;
		room -= c.fields[i].value.n;
	}
	c.nfields = n;
	return capture_put(io->captures, &c);
}

struct sv
decoy_config_text(const json_t *object, const char *key, const char *fallback)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_string(value) || json_string_length(value) == 0)
		return sv_from(fallback);
	return (struct sv){json_string_value(value), json_string_length(value)};
}

int64_t
decoy_config_int(const json_t *object, const char *key, int64_t fallback)
{
	const json_t *value = json_object_get(object, key);

	return json_is_integer(value) ? json_integer_value(value) : fallback;
}
