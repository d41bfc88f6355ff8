/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_TOPO_COMMON_H
#define API_TOPO_COMMON_H

/* What the handlers of topologies share. */

#include "api/api.h"
#include "topology/ops.h"

/* 1 and the topology of path parameter `param`; 0: the 404 `Topology not found` is set; < 0: store
 * failure. */
int topo_from_path(struct api_ctx *cx, const struct api_req *req, unsigned param,
		   struct api_res *res, struct topo **ret_topo) A_NODISCARD;
/* Whether expected_version (of the body, or of the query on DELETE) fits; else the 409 is set. */
bool topo_version_fits(const struct api_req *req, struct api_res *res, const struct topo *t);
/* Answer with a refusal (409 or 422, issues and all) and free it. Returns 0. */
int topo_refused(struct api_res *res, struct topo_refusal *refusal);
/* Reports a bad payload field to `user`, a struct api_res. */
void topo_bad_field(void *user, const char *field, const char *text);

#endif
