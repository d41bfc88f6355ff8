/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOPOLOGY_VALIDATE_H
#define TOPOLOGY_VALIDATE_H

/* What is wrong with a topology (contract 5.9): codes.def is the table. Pure. */

#include <jansson.h>

#include "topology/addr.h"
#include "topology/model.h"

/*
 * The array of Issue, errors first. `w` (or NULL) brings the subnets of other topologies in;
 * `deploy` adds what only a deploy demands. NULL without memory.
 */
json_t *topo_validate(const struct topo *t, const struct topo_world *w, bool deploy);
/* Add the warning that a port of a gateway's service is taken on the host. */
void topo_warn_port(json_t *issues, const char *decky, const char *service, unsigned port);
/* Whether there is an issue of severity error. */
bool topo_has_errors(const json_t *issues);
/* The codes of the errors, sorted, each once, joined by ", ". */
void topo_error_codes(const json_t *issues, char *dst, size_t dst_size);

#endif
