/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MUTATOR_IDS_H
#define MUTATOR_IDS_H

/* The ids of listeners that the decoy process had open when it was asked. */

#include <stdbool.h>
#include <stddef.h>

struct ids {
	char **v; /* sorted, owned */
	size_t n;
};

/* Copies of these in the place of what is there; without memory there are fewer. */
void ids_set(struct ids *ids, const char *const *v, size_t n);
void ids_fini(struct ids *ids);
bool ids_have(const struct ids *ids, const char *id);
/* Whether a listener is one of this topology. */
bool id_is_of(const char *id, const char *topology_id);

#endif
