/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_UUID_MAP_H
#define STORE_UUID_MAP_H

/* From the text of a uuid to a number, for the rows in hand of one transaction: a few hundred, or
 * as many as a replay takes at once. */

#include <stddef.h>
#include <stdint.h>

#include "util/attr.h"
#include "util/id.h"

#define UUID_MAP_NONE UINT32_MAX

struct uuid_slot {
	char uuid[ID_UUID_SIZE]; /* "": free */
	uint32_t value;
};

/* Zero it to start. */
struct uuid_map {
	struct uuid_slot *slots;
	size_t n, cap;
};

void uuid_map_fini(struct uuid_map *m);
/* The number of the uuid, or UUID_MAP_NONE. */
uint32_t uuid_map_get(const struct uuid_map *m, const char *uuid);
/* Set it. 0 or -ENOMEM. */
int uuid_map_put(struct uuid_map *m, const char *uuid, uint32_t value) A_NODISCARD;

#endif
