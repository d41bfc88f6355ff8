/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MUTATOR_DUE_H
#define MUTATOR_DUE_H

/*
 * Topologies that want a reconcile pass after an op. A stream of ops gets one a second, which looks
 * at all that they have done, not one for each: a pass costs what the topology's size says, an op
 * does not.
 */

#include <stdbool.h>
#include <stdint.h>

#include "util/id.h"
#include "util/list.h"

#define DUE_MS 1000

struct due {
	struct list topologies; /* longest due first; each live topology at most once */
};

void due_init(struct due *d);
void due_fini(struct due *d);
/* The topology wants a pass. Whether it has waited for DUE_MS (or there is no memory to let it
 * wait): then it is due no more, and the caller begins the pass. */
bool due_add(struct due *d, const char *topology_id, uint64_t now_ms);
/* Offers each topology that has waited for DUE_MS; one that is taken is due no more. */
typedef bool due_take_fn(void *user, const char *topology_id);
void due_offer(struct due *d, uint64_t now_ms, due_take_fn *take, void *user);

#endif
