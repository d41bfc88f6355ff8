/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_HOST_PORTS_H
#define API_HOST_PORTS_H

/* Ports of this machine that the gateway of a topology would want (warning PORT_COLLISION). */

#include <jansson.h>

#include "api/api.h"
#include "topology/model.h"
#include "util/attr.h"

/* Add a warning to `issues` for each TCP port of a gateway on which another program of this host
 * listens on every address. Only the loopback driver shares ports with the host; elsewhere, and
 * where the kernel does not tell, nothing is added. 0 or a negative errno of the store. */
int host_ports_check(struct api_ctx *cx, const struct topo *t, json_t *issues) A_NODISCARD;

#endif
