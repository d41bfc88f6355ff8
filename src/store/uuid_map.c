/* SPDX-License-Identifier: Apache-2.0 */
/* A table with open addressing; nothing is ever taken out of it. */
#include "store/uuid_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/hash.h"

void
uuid_map_fini(struct uuid_map *m)
{
	free(m->slots);
	*m = (struct uuid_map){0};
}

/* Uuids are of random bits, or of hashes that nobody outside can foresee. */
static size_t
hash(const char *uuid)
{
	return hash_fold(hash_text(uuid));
}

/* Where the uuid is, or belongs. */
static struct uuid_slot *
find(const struct uuid_map *m, const char *uuid)
{
	size_t i = hash(uuid) & (m->cap - 1);

	while (m->slots[i].uuid[0] && strcmp(m->slots[i].uuid, uuid) != 0)
		i = (i + 1) & (m->cap - 1);
	return &m->slots[i];
}

uint32_t
uuid_map_get(const struct uuid_map *m, const char *uuid)
{
	const struct uuid_slot *s = m->n && *uuid ? find(m, uuid) : NULL;

	return s && s->uuid[0] ? s->value : UUID_MAP_NONE;
}

static int
grow(struct uuid_map *m)
{
	struct uuid_map more = {.n = m->n, .cap = m->cap ? 2 * m->cap : 64};

	more.slots = calloc(more.cap, sizeof(*more.slots));
	if (!more.slots)
		return -ENOMEM;
	for (size_t i = 0; i < m->cap; i++)
		if (m->slots[i].uuid[0])
			*find(&more, m->slots[i].uuid) = m->slots[i];
	free(m->slots);
	*m = more;
	return 0;
}

int
uuid_map_put(struct uuid_map *m, const char *uuid, uint32_t value)
{
	struct uuid_slot *s;

	if (2 * m->n >= m->cap && grow(m) < 0)
		return -ENOMEM;
	s = find(m, uuid);
	if (!s->uuid[0]) {
		(void)strncpy(s->uuid, uuid, sizeof(s->uuid) - 1);
		m->n++;
	}
	s->value = value;
	return 0;
}
