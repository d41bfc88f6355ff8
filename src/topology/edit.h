/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOPOLOGY_EDIT_H
#define TOPOLOGY_EDIT_H

/*
 * Direct edits of a topology that is not deployed (contract 5.4): what an operation would refuse on
 * a live one is allowed here. Pure. Bodies have passed the checks of their fields; the model is
 * changed in place and is undefined after a refusal (work on a copy). Each returns 0, -EPERM with
 * *ret_refusal (fields as `subnet`), or -ENOMEM; topo_op_validate is the caller's.
 */

#include "topology/addr.h"
#include "topology/model.h"
#include "topology/ops.h"

/* Checks the keys archetype, forwards_l3, service_config; name and ips_by_lan may repeat what is
 * stored. `name` is the decky's name, `ips` its addresses by LAN. Reports `decky_config.<key>`.
 * Returns how many fields were reported. */
unsigned topo_check_decky_config(const json_t *config, const char *name, const json_t *ips,
				 topo_bad_fn *bad, void *user);

/* name, subnet, is_dmz, x, y. A new subnet gives the members new addresses. */
int topo_edit_lan(struct topo *t, struct topo_lan *lan, const json_t *body,
		  const struct topo_world *w, struct topo_refusal *ret_refusal) A_NODISCARD;
/* name, services, decky_config, x, y; no LAN yet. */
int topo_edit_add_decky(struct topo *t, const json_t *body, struct topo_refusal *ret_refusal,
			struct topo_decky **ret_decky) A_NODISCARD;
/* name, services, decky_config, home_lan_id, x, y. */
int topo_edit_decky(struct topo *t, struct topo_decky *d, const json_t *body,
		    struct topo_refusal *ret_refusal) A_NODISCARD;

#endif
