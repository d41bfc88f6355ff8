/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOPOLOGY_GENERATOR_H
#define TOPOLOGY_GENERATOR_H

/* Making whole topologies: from the generator's parameters (contract 5.10), the blank one, and the
 * demo. Pure but for the ids, which are made anew. */

#include "topology/addr.h"
#include "topology/model.h"
#include "topology/ops.h"

struct topo_plan {
	unsigned depth, branching;	   /* 1..16, 1..8 */
	unsigned deckies_min, deckies_max; /* a LAN; 0..32 <= 1..32 */
	double forward_probability, cross_probability;
	const json_t *services; /* array of names, or NULL: random ones */
	uint64_t seed;
};

/* Fills an empty topology. The same seed and plan give the same topology (ids apart). 0, -EPERM
 * (pool exhausted or a ceiling, *ret_refusal says), -ENOMEM. */
int topo_generate(struct topo *t, const struct topo_plan *plan, const struct topo_world *w,
		  struct topo_refusal *ret_refusal) A_NODISCARD;
/* One LAN `dmz`, one decky `dmz-gateway`. As above. */
int topo_blank(struct topo *t, const struct topo_world *w,
	       struct topo_refusal *ret_refusal) A_NODISCARD;
/* The demo of `decnet demo`: a DMZ, an inner LAN behind a gateway, six deckies. As above. */
int topo_demo(struct topo *t, const struct topo_world *w,
	      struct topo_refusal *ret_refusal) A_NODISCARD;

#endif
