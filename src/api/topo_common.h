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
/* The same without LANs, deckies and edges: for who asks for its status or its queue. */
int topo_head_from_path(struct api_ctx *cx, const struct api_req *req, unsigned param,
			struct api_res *res, struct topo **ret_topo) A_NODISCARD;
/* Whether expected_version of the query is absent or a number; else the 422 is set. For DELETE,
 * before anything is looked up. */
bool topo_version_query(const struct api_req *req, struct api_res *res);
/* Whether expected_version (of the body, or of the query on DELETE) fits; else the 409 is set. */
bool topo_version_fits(const struct api_req *req, struct api_res *res, const struct topo *t);
/* Answer with a refusal (409 or 422, issues and all) and free it. Returns 0. */
int topo_refused(struct api_res *res, struct topo_refusal *refusal);
/* Reports a bad payload field to `user`, a struct api_res. */
void topo_bad_field(void *user, const char *field, const char *text);

/* Whether the topology has the decky once all queued operations are applied: 1, 0, or a negative
 * errno.
 */
int topo_decky_after_queue(struct api_ctx *cx, const char *topology_id,
			   const char *decky) A_NODISCARD;
/* Whether the queue is as good without the mutation. 1; 0: the one named in ret_needs would be
 * refused then; < 0: store failure. */
int topo_queue_without(struct api_ctx *cx, const struct topo *t, const char *id,
		       char ret_needs[ID_UUID_SIZE]) A_NODISCARD;
/* Check an operation (its payload has passed topo_op_check) against the topology after its queue,
 * and put it at the end; of *t only its own row counts. 1; 0: answered with the refusal; < 0: store
 * failure. */
int topo_enqueue(struct api_ctx *cx, const struct api_req *req, struct api_res *res, struct topo *t,
		 enum topo_op op, const json_t *payload, char ret_id[ID_UUID_SIZE]) A_NODISCARD;

#endif
