/* SPDX-License-Identifier: Apache-2.0 */
/* Topologies that want a reconcile pass after an op. */
#include "mutator/due.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct topology {
	struct list link;
	char id[ID_UUID_SIZE];
	uint64_t since_ms;
};

static struct topology *
find(const struct due *d, const char *id)
{
	LIST_FOR (at, &d->topologies) {
		struct topology *t = CONTAINER_OF(at, struct topology, link);

		if (strcmp(t->id, id) == 0)
			return t;
	}
	return NULL;
}

static void
let_go(struct topology *t)
{
	list_unlink(&t->link);
	free(t);
}

void
due_init(struct due *d)
{
	list_init(&d->topologies);
}

void
due_fini(struct due *d)
{
	LIST_FOR (at, &d->topologies)
		let_go(CONTAINER_OF(at, struct topology, link));
}

bool
due_add(struct due *d, const char *topology_id, uint64_t now_ms)
{
	struct topology *t = find(d, topology_id);

	if (t && now_ms - t->since_ms >= DUE_MS) {
		let_go(t);
		return true;
	}
	if (t)
		return false;
	t = calloc(1, sizeof(*t));
	if (!t)
		return true;
	(void)snprintf(t->id, sizeof(t->id), "%s", topology_id);
	t->since_ms = now_ms;
	list_append(&d->topologies, &t->link);
	return false;
}

void
due_offer(struct due *d, uint64_t now_ms, due_take_fn *take, void *user)
{
	LIST_FOR (at, &d->topologies) {
		struct topology *t = CONTAINER_OF(at, struct topology, link);

		if (now_ms - t->since_ms >= DUE_MS && take(user, t->id))
			let_go(t);
	}
}
