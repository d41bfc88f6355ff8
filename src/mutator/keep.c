/* SPDX-License-Identifier: Apache-2.0 */
/* Models of topologies between two works on them. */
#include "mutator/keep.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "util/limits.h"

struct kept {
	struct list link;
	struct topo *model;
};

static atomic_ullong left;

uint64_t
keep_left(void)
{
	return atomic_load(&left);
}

void
keep_init(struct keep *k)
{
	*k = (struct keep){0};
	list_init(&k->models);
}

static struct topo *
let_go(struct keep *k, struct kept *one)
{
	struct topo *model = one->model;

	k->deckies -= model->ndeckies;
	list_unlink(&one->link);
	free(one);
	return model;
}

void
keep_fini(struct keep *k)
{
	LIST_FOR (at, &k->models)
		topo_free(let_go(k, CONTAINER_OF(at, struct kept, link)));
}

struct topo *
keep_take(struct keep *k, const char *topology_id)
{
	LIST_FOR (at, &k->models) {
		struct kept *one = CONTAINER_OF(at, struct kept, link);

		if (strcmp(one->model->id, topology_id) == 0)
			return let_go(k, one);
	}
	return NULL;
}

void
keep_put(struct keep *k, struct topo *own_model)
{
	struct kept *one = own_model ? calloc(1, sizeof(*one)) : NULL;

	if (!one) {
		topo_free(own_model);
		return;
	}
	topo_free(keep_take(k, own_model->id));
	one->model = own_model;
	k->deckies += own_model->ndeckies;
	list_append(&k->models, &one->link);
	LIST_FOR (at, &k->models) {
		if (k->deckies <= LIMIT_MODEL_DECKIES)
			break;
		topo_free(let_go(k, CONTAINER_OF(at, struct kept, link)));
		atomic_fetch_add(&left, 1);
	}
}
