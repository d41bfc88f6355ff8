/* SPDX-License-Identifier: Apache-2.0 */
/* Chains of places in an array. */
#include "util/chain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/hash.h"

int
chain_resize(struct chain *c, size_t cap)
{
	int32_t *heads = malloc(cap * sizeof(*heads)), *next = malloc(cap * sizeof(*next));

	if (!heads || !next) {
		free(heads);
		free(next);
		return -ENOMEM;
	}
	chain_fini(c);
	*c = (struct chain){heads, next, cap};
	chain_clear(c);
	return 0;
}

void
chain_fini(struct chain *c)
{
	free(c->heads);
	free(c->next);
	*c = (struct chain){0};
}

void
chain_clear(struct chain *c)
{
	for (size_t i = 0; i < c->cap; i++)
		c->heads[i] = CHAIN_END;
}

static int32_t *
head(const struct chain *c, uint64_t hash)
{
	return &c->heads[hash_fold(hash) & (c->cap - 1)];
}

void
chain_in(struct chain *c, uint64_t hash, size_t at)
{
	int32_t *first = head(c, hash);

	c->next[at] = *first;
	*first = (int32_t)at;
}

void
chain_out(struct chain *c, uint64_t hash, size_t at)
{
	int32_t *link = head(c, hash);

	while (*link != (int32_t)at)
		link = &c->next[*link];
	*link = c->next[at];
}

int32_t
chain_first(const struct chain *c, uint64_t hash)
{
	return c->cap ? *head(c, hash) : CHAIN_END;
}
