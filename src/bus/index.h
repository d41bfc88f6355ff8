/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUS_INDEX_H
#define BUS_INDEX_H

/*
 * Patterns to values: a tree of tokens whose edges live in one hash table, so a match costs the
 * depth of the subject and not the number of patterns. Pure.
 */

#include <stddef.h>
#include <stdint.h>

#include "util/attr.h"
#include "util/sv.h"

struct bus_index;
struct bus_index_node;

typedef void bus_index_fn(void *user, void *value);

/* The seed makes hash values unpredictable to clients. NULL without memory. */
struct bus_index *bus_index_new(uint64_t seed);
/* The values are the caller's. */
void bus_index_free(struct bus_index *x);
/* The node of a valid pattern, held once more; NULL without memory. */
struct bus_index_node *bus_index_hold(struct bus_index *x, struct sv pattern);
/* Give up one hold; the last one removes the node. */
void bus_index_drop(struct bus_index *x, struct bus_index_node *n);
/* The value of a node: NULL until it is set. Nodes without a value are not visited. */
void *bus_index_value(const struct bus_index_node *n);
void bus_index_set(struct bus_index_node *n, void *value);
/* Call fn for each pattern that matches this valid subject. fn must not hold or drop. */
void bus_index_match(const struct bus_index *x, struct sv subject, bus_index_fn *fn, void *user);
/* Nodes in the tree, its root not counted. */
size_t bus_index_size(const struct bus_index *x);

#endif
