/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOPOLOGY_ROWS_H
#define TOPOLOGY_ROWS_H

/* The REST rows of contract 5.1 and the list of what changed between two models. Pure. Each returns
 * a new reference, or NULL without memory. */

#include <jansson.h>

#include "topology/model.h"

json_t *topology_json(const struct topo *t);
json_t *lan_json(const struct topo *t, const struct topo_lan *lan);
json_t *decky_json(const struct topo *t, const struct topo_decky *d);
json_t *edge_json(const struct topo *t, const struct topo_edge *edge);
/* `{topology, lans, deckies, edges}`, by name; edges by id. */
json_t *topology_detail_json(const struct topo *t);

/*
 * The array of Change (contract 4.5) that leads from `before` (NULL: nothing) to `after`: deleted
 * rows first, then updated and created ones. Rows of the topology itself are left out: its version
 * and status have keys and events of their own.
 */
json_t *topo_changes(const struct topo *before, const struct topo *after);

#endif
