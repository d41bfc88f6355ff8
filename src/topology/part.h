/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOPOLOGY_PART_H
#define TOPOLOGY_PART_H

/*
 * Which rows of a topology operations look at, so that one of thousands of deckies can be changed
 * without reading the others: all LANs, the deckies that are named with their edges, and the edges
 * of the LANs that are named. On a model of these an operation does, and is refused, the same as on
 * the whole, but for the issues that a refusal tells: those of rows that are not there are left
 * out.
 */

#include <jansson.h>

#include "topology/ops.h"

struct topo_part {
	json_t *deckies; /* object: names */
	json_t *lans;	 /* object: names, with true where the LAN's deckies count, too */
	bool whole;	 /* so many that the whole is read sooner */
	bool subnets;	 /* the subnets of other topologies matter */
};

/* 0 or -ENOMEM; topo_part_fini in both cases. */
int topo_part_init(struct topo_part *p) A_NODISCARD;
void topo_part_fini(struct topo_part *p);
/* What the operation looks at, however those before it have changed the model. 0 or -ENOMEM. */
int topo_part_add(struct topo_part *p, enum topo_op op, const json_t *payload) A_NODISCARD;
/* 0 or -ENOMEM. */
int topo_part_add_decky(struct topo_part *p, const char *name) A_NODISCARD;

#endif
