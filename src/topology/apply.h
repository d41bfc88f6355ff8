/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOPOLOGY_APPLY_H
#define TOPOLOGY_APPLY_H

/* What queued operations and direct edits share when they change a model; inside this folder only.
 */

#include "topology/ops.h"

/* Fill in *r; returns -EPERM. */
int topo_refuse(struct topo_refusal *r, int status, const char *field, const char *fmt, ...)
	A_PRINTF(4, 5);
/* Set what `payload` has of x and y; null clears. */
void topo_set_xy(const json_t *payload, bool has[2], double xy[2]);
/* A map of configurations that was checked, as it is kept; a new reference or NULL. */
json_t *topo_kept_config(const json_t *config);
/* Put `archetype` and `service_config` of a checked patch and the new list of services (each may be
 * missing) into the decky. 0 or -ENOMEM. */
int topo_patch_decky(struct topo_decky *d, const json_t *patch, const json_t *services) A_NODISCARD;

#endif
