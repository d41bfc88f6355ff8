/* SPDX-License-Identifier: Apache-2.0 */
/* The ids of listeners that the decoy process had open. */
#include "mutator/ids.h"

#include <stdlib.h>
#include <string.h>

#include "util/sv.h"

static int
compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void
ids_set(struct ids *ids, const char *const *v, size_t n)
{
	ids_fini(ids);
	ids->v = calloc(n + 1, sizeof(*ids->v));
	for (size_t i = 0; ids->v && i < n; i++)
		if ((ids->v[ids->n] = sv_dup(sv_from(v[i]))))
			ids->n++;
	if (ids->v)
		qsort(ids->v, ids->n, sizeof(*ids->v), compare);
}

void
ids_fini(struct ids *ids)
{
	for (size_t i = 0; i < ids->n; i++)
		free(ids->v[i]);
	free(ids->v);
	*ids = (struct ids){0};
}

bool
ids_have(const struct ids *ids, const char *id)
{
	return ids->v && bsearch(&id, ids->v, ids->n, sizeof(*ids->v), compare);
}

bool
id_is_of(const char *id, const char *topology_id)
{
	size_t n = strlen(topology_id);

	return strncmp(id, topology_id, n) == 0 && id[n] == '/';
}
