/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MUTATOR_KEEP_H
#define MUTATOR_KEEP_H

/*
 * Models of topologies between two works on them, so that the next one need not read thousands of
 * rows. Who takes one compares its `rows_no` with the store's before believing it. Ceiling:
 * MODEL_DECKIES; the models that were not asked for longest leave.
 */

#include <stddef.h>
#include <stdint.h>

#include "topology/model.h"
#include "util/list.h"

struct keep {
	struct list models; /* longest unused first */
	size_t deckies;
};

/* How many models of this process have had to leave. Any thread. */
uint64_t keep_left(void);

void keep_init(struct keep *k);
void keep_fini(struct keep *k);
/* Keep a model (NULL: nothing); an older one of the topology goes. Without memory it is freed. */
void keep_put(struct keep *k, struct topo *own_model);
/* The topology's model, now the caller's, or NULL. */
struct topo *keep_take(struct keep *k, const char *topology_id);

#endif
