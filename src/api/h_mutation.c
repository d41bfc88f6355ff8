/* SPDX-License-Identifier: Apache-2.0 */
/* The mutation queue: enqueue, list, cancel (contract 5.5). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/topo_common.h"
#include "store/mutation.h"
#include "store/topology.h"
#include "util/json.h"

api_handler_fn h_mutation_create, h_mutation_list, h_mutation_cancel;

static int
enqueue(struct api_ctx *cx, const struct api_req *req, struct api_res *res, struct topo *t,
	enum topo_op op, const json_t *payload)
{
	char id[ID_UUID_SIZE];
	int r;

	if (t->status != TOPO_ACTIVE && t->status != TOPO_DEGRADED)
		return api_fail(res, 409,
				"Topology is '%s'; the mutation queue is only open for 'active' or "
				"'degraded' topologies.  "
				"Use child-CRUD endpoints while pending.",
				topo_status_word(t->status));
	if (!topo_version_fits(req, res, t))
		return 0;
	r = topo_enqueue(cx, req, res, t, op, payload, id);
	if (r <= 0)
		return r;
	return api_ok(res, 202,
		      json_pack("{s:s, s:s, s:I}", "mutation_id", id, "state", "pending", "version",
				(json_int_t)t->version));
}

int
h_mutation_create(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	static const struct api_field fields[] = {
		{.name = "expected_version", .kind = API_INT, .min = 0, .max = 9e15},
		{.name = "op", .kind = API_STR, .required = true, .min = 1, .max = 64},
		{.name = "payload", .kind = API_OBJECT},
	};
	json_t *payload = json_object_get(req->body, "payload"), *empty = NULL;
	const char *word = json_get_text(req->body, "op");
	enum topo_op op = topo_op_find(word);
	struct topo *t = NULL;
	int r = 0;

	api_check_body(req, res, fields, ARRAY_LEN(fields));
	if (word && !topo_op_by_hand(op))
		api_bad_field(res, "op", "unknown op '%.64s'", word);
	if (!payload)
		payload = empty = json_object();
	if (word && topo_op_by_hand(op) && json_is_object(payload))
		(void)topo_op_check(op, payload, topo_bad_field, res);
	if (!api_bad(res)) {
		r = topo_head_from_path(cx, req, 0, res, &t);
		if (r > 0)
			r = enqueue(cx, req, res, t, op, payload);
	}
	topo_free(t);
	json_decref(empty);
	return r < 0 ? r : 0;
}

int
h_mutation_list(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	static const char *const states[] = {"pending", "applying", "applied", "failed",
					     "cancelled"};
	const struct sv *state = api_query_get(req, "state");
	char word[16] = "";
	int64_t limit, offset, total = 0;
	struct topo *t = NULL;
	json_t *rows = NULL;
	bool known = !state;
	int r;

	api_query_page(req, res, 50, 500, &limit, &offset);
	for (size_t i = 0; state && i < ARRAY_LEN(states); i++)
		if (sv_eq(*state, sv_from(states[i])) && sv_copy(*state, word, sizeof(word)) == 0)
			known = true;
	if (!known)
		api_bad_field(res, "query.state", "unknown state");
	if (api_bad(res))
		return 0;
	r = topo_head_from_path(cx, req, 0, res, &t);
	if (r <= 0)
		return r;
	r = mutation_count(cx->db, t->id, word, &total, cx->e);
	if (r == 0)
		r = mutation_list(cx->db, t->id, word, limit, offset, &rows, cx->e);
	topo_free(t);
	return r < 0 ? r : api_ok(res, 200, api_envelope(total, limit, offset, rows));
}

static int
cancel(struct api_ctx *cx, const struct api_req *req, struct api_res *res, struct topo *t,
       const struct mutation *m)
{
	char needs[ID_UUID_SIZE] = "";
	int r;

	if (strcmp(m->state, "pending") != 0)
		return api_fail(res, 409,
				"Mutation is '%s'; only 'pending' mutations can be cancelled.",
				m->state);
	if (!topo_version_fits(req, res, t))
		return 0;
	r = topo_queue_without(cx, t, m->id, needs);
	if (r == 0)
		return api_fail(res, 409, "mutation '%s' is needed by queued mutation '%s'", m->id,
				needs);
	if (r > 0)
		r = mutation_cancel(cx->db, t, m, "cancelled", req->now_ms, cx->e);
	if (r < 0)
		return r;
	res->status = 204;
	return 0;
}

int
h_mutation_cancel(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	struct topo *t = NULL;
	struct mutation m = {0};
	const char *id = api_param_uuid(req, 1);
	int r = topo_version_query(req, res) ? topo_from_path(cx, req, 0, res, &t) : 0;

	if (r <= 0)
		return r;
	r = id ? mutation_get(cx->db, t->id, id, &m, cx->e) : 0;
	if (r == 0)
		r = api_fail(res, 404, "Mutation not found");
	else if (r > 0)
		r = cancel(cx, req, res, t, &m);
	mutation_fini(&m);
	topo_free(t);
	return r < 0 ? r : 0;
}
