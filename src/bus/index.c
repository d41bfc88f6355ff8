/* SPDX-License-Identifier: Apache-2.0 */
/* The subject index. A node is found by (parent, token) in one table; wildcards hang on their
 * parent directly. */
#include "bus/index.h"

#include <stdlib.h>
#include <string.h>

#include "bus/topic.h"

#define BUCKETS_MIN 64
/* Each level leaves at most its wildcard behind while its literal child is followed. */
#define STACK_MAX   (BUS_TOKENS_MAX + 2)

struct bus_index_node {
	struct bus_index_node *parent;
	struct bus_index_node *next; /* in its bucket */
	struct bus_index_node *star, *rest;
	void *value;
	uint64_t hash;
	unsigned holds; /* patterns that end here and children */
	unsigned token_len;
	char token[];
};

struct bus_index {
	struct bus_index_node **buckets;
	size_t nbuckets, nodes, hashed;
	uint64_t seed;
	struct bus_index_node root;
};

struct bus_index *
bus_index_new(uint64_t seed)
{
	struct bus_index *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->seed = seed | 1;
	x->nbuckets = BUCKETS_MIN;
	x->buckets = calloc(x->nbuckets, sizeof(struct bus_index_node *));
	if (!x->buckets) {
		free(x);
		return NULL;
	}
	return x;
}

/* Every other node is in the table; these hang on their parent and go with it. */
static void
free_wildcards(struct bus_index_node *star)
{
	while (star) {
		struct bus_index_node *next = star->star;

		free(star->rest);
		free(star);
		star = next;
	}
}

void
bus_index_free(struct bus_index *x)
{
	if (!x)
		return;
	free_wildcards(x->root.star);
	free(x->root.rest);
	for (size_t i = 0; i < x->nbuckets; i++)
		for (struct bus_index_node *n = x->buckets[i], *next; n; n = next) {
			next = n->next;
			free_wildcards(n->star);
			free(n->rest);
			free(n);
		}
	free(x->buckets);
	free(x);
}

/* Odd, so that it is never that of a wildcard. */
static uint64_t
hash_token(const struct bus_index *x, struct sv token)
{
	return bus_hash(x->seed, token) | 1;
}

static size_t
bucket_of(const struct bus_index *x, const struct bus_index_node *parent, uint64_t hash)
{
	uint64_t h = hash ^ ((uint64_t)(uintptr_t)parent * 0x9e3779b97f4a7c15u);

	return (size_t)((h ^ (h >> 31)) & (x->nbuckets - 1));
}

static struct bus_index_node *
find_child(const struct bus_index *x, const struct bus_index_node *parent, struct sv token,
	   uint64_t hash)
{
	struct bus_index_node *n = x->buckets[bucket_of(x, parent, hash)];

	while (n && !(n->hash == hash && n->parent == parent && n->token_len == token.n &&
		      memcmp(n->token, token.p, token.n) == 0))
		n = n->next;
	return n;
}

/* A table that could not grow only has longer chains. */
static void
grow(struct bus_index *x)
{
	size_t old_n = x->nbuckets;
	struct bus_index_node **old = x->buckets;
	struct bus_index_node **buckets = calloc(old_n * 2, sizeof(struct bus_index_node *));

	if (!buckets)
		return;
	x->buckets = buckets;
	x->nbuckets = old_n * 2;
	for (size_t i = 0; i < old_n; i++)
		for (struct bus_index_node *n = old[i], *next; n; n = next) {
			size_t at = bucket_of(x, n->parent, n->hash);

			next = n->next;
			n->next = buckets[at];
			buckets[at] = n;
		}
	free(old);
}

static struct bus_index_node *
new_node(struct bus_index *x, struct bus_index_node *parent, struct sv token, uint64_t hash)
{
	struct bus_index_node *n = calloc(1, sizeof(*n) + token.n);

	if (!n)
		return NULL;
	n->parent = parent;
	n->token_len = (unsigned)token.n;
	n->hash = hash;
	memcpy(n->token, token.p, token.n);
	parent->holds++;
	x->nodes++;
	return n;
}

static struct bus_index_node *
child_of(struct bus_index *x, struct bus_index_node *parent, struct sv token)
{
	struct bus_index_node *n;
	uint64_t hash;
	size_t at;

	if (token.n == 1 && (token.p[0] == '*' || token.p[0] == '>')) {
		struct bus_index_node **slot = token.p[0] == '*' ? &parent->star : &parent->rest;

		if (!*slot)
			*slot = new_node(x, parent, token, 0);
		return *slot;
	}
	hash = hash_token(x, token);
	n = find_child(x, parent, token, hash);
	if (n)
		return n;
	if (x->hashed >= x->nbuckets)
		grow(x);
	n = new_node(x, parent, token, hash);
	if (!n)
		return NULL;
	at = bucket_of(x, parent, hash);
	n->next = x->buckets[at];
	x->buckets[at] = n;
	x->hashed++;
	return n;
}

static void
remove_node(struct bus_index *x, struct bus_index_node *n)
{
	struct bus_index_node *parent = n->parent, **at;

	if (n->hash == 0) {
		*(n->token[0] == '*' ? &parent->star : &parent->rest) = NULL;
	} else {
		for (at = &x->buckets[bucket_of(x, parent, n->hash)]; *at != n;)
			at = &(*at)->next;
		*at = n->next;
		x->hashed--;
	}
	x->nodes--;
	free(n);
}

/* Remove the node and its parents as far as nothing needs them. */
static void
prune(struct bus_index *x, struct bus_index_node *n)
{
	while (n != &x->root && n->holds == 0) {
		struct bus_index_node *parent = n->parent;

		remove_node(x, n);
		parent->holds--;
		n = parent;
	}
}

struct bus_index_node *
bus_index_hold(struct bus_index *x, struct sv pattern)
{
	struct bus_index_node *n = &x->root;

	while (pattern.n) {
		struct bus_index_node *child = child_of(x, n, sv_cut(&pattern, '.'));

		if (!child) {
			prune(x, n);
			return NULL;
		}
		n = child;
	}
	n->holds++;
	return n;
}

void
bus_index_drop(struct bus_index *x, struct bus_index_node *n)
{
	n->holds--;
	prune(x, n);
}

void *
bus_index_value(const struct bus_index_node *n)
{
	return n->value;
}

void
bus_index_set(struct bus_index_node *n, void *value)
{
	n->value = value;
}

size_t
bus_index_size(const struct bus_index *x)
{
	return x->nodes;
}

void
bus_index_match(const struct bus_index *x, struct sv subject, bus_index_fn *fn, void *user)
{
	A_UNINIT struct sv tokens[BUS_TOKENS_MAX];
	A_UNINIT uint64_t hashes[BUS_TOKENS_MAX];
	A_UNINIT struct {
		const struct bus_index_node *node;
		unsigned depth;
	} stack[STACK_MAX];
	unsigned n = 0, top = 0;

	while (subject.n && n < BUS_TOKENS_MAX) {
		tokens[n] = sv_cut(&subject, '.');
		hashes[n] = hash_token(x, tokens[n]);
		n++;
	}
	stack[top].node = &x->root;
	stack[top++].depth = 0;
	while (top > 0) {
		const struct bus_index_node *node = stack[--top].node, *child;
		unsigned depth = stack[top].depth;

		if (depth == n) {
			if (node->value)
				fn(user, node->value);
			continue;
		}
		if (node->rest && node->rest->value)
			fn(user, node->rest->value);
		if (node->star) {
			stack[top].node = node->star;
			stack[top++].depth = depth + 1;
		}
		child = find_child(x, node, tokens[depth], hashes[depth]);
		if (child) {
			stack[top].node = child;
			stack[top++].depth = depth + 1;
		}
	}
}
