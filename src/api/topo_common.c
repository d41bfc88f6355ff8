/* SPDX-License-Identifier: Apache-2.0 */
/* Path, version, refusals and the queue of topology routes. */
#include "api/topo_common.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/mutation.h"
#include "store/topology.h"
#include "util/limits.h"

int
topo_from_path(struct api_ctx *cx, const struct api_req *req, unsigned param, struct api_res *res,
	       struct topo **ret_topo)
{
	const char *id = api_param_uuid(req, param);
	int r = id ? topology_load(cx->db, id, ret_topo, cx->e) : 0;

	if (r == 0)
		(void)api_fail(res, 404, "Topology not found");
	return r;
}

int
topo_head_from_path(struct api_ctx *cx, const struct api_req *req, unsigned param,
		    struct api_res *res, struct topo **ret_topo)
{
	const char *id = api_param_uuid(req, param);
	int r = id ? topology_head(cx->db, id, ret_topo, cx->e) : 0;

	if (r == 0)
		(void)api_fail(res, 404, "Topology not found");
	return r;
}

bool
topo_version_query(const struct api_req *req, struct api_res *res)
{
	const struct sv *query = api_query_get(req, "expected_version");
	uint64_t expected;

	if (!query || sv_u64(*query, INT64_MAX, &expected) == 0)
		return true;
	api_bad_field(res, "query.expected_version", "expected a whole number");
	(void)api_bad(res);
	return false;
}

bool
topo_version_fits(const struct api_req *req, struct api_res *res, const struct topo *t)
{
	const json_t *wanted = json_object_get(req->body, "expected_version");
	const struct sv *query = api_query_get(req, "expected_version");
	uint64_t expected;

	if (json_is_integer(wanted)) {
		expected = (uint64_t)json_integer_value(wanted);
	} else if (query && !req->body) {
		if (!topo_version_query(req, res) || sv_u64(*query, INT64_MAX, &expected) < 0)
			return false;
	} else {
		return true;
	}
	if (expected == (uint64_t)t->version)
		return true;
	(void)api_fail(res, 409, "Version conflict: expected %lld, current %lld",
		       (long long)expected, (long long)t->version);
	return false;
}

int
topo_refused(struct api_res *res, struct topo_refusal *refusal)
{
	if (refusal->status == 422)
		(void)api_refuse(res, refusal->field, "%s", refusal->text);
	else
		(void)api_fail(res, 409, "%s", refusal->text);
	if (refusal->issues)
		api_fail_extra(res, "issues", json_incref(refusal->issues));
	topo_refusal_fini(refusal);
	return 0;
}

void
topo_bad_field(void *user, const char *field, const char *text)
{
	api_bad_field(user, field, "%s", text);
}

struct queue {
	struct mutation *list;
	bool *refused; /* by place: it would not be applied */
	int n;
	bool whole; /* validate after each of them */
};

static void
queue_fini(struct queue *q)
{
	for (int i = 0; i < q->n; i++)
		mutation_fini(&q->list[i]);
	free(q->list);
	free(q->refused);
}

static int
queue_load(struct api_ctx *cx, const char *topology_id, struct queue *q)
{
	*q = (struct queue){0};
	q->n = mutation_open(cx->db, topology_id, &q->list, cx->e);
	if (q->n < 0)
		return q->n;
	q->refused = calloc((size_t)q->n + 1, sizeof(*q->refused));
	return q->refused ? 0 : -ENOMEM;
}

/* Apply one after the other what is not refused; 1, 0: another one is (now marked), < 0: failure.
 */
static int
queue_run(struct queue *q, const struct topo *t, const struct topo_world *w, int skip,
	  struct topo **ret_after)
{
	struct topo *after = topo_copy(t);
	int r = after ? 0 : -ENOMEM;

	for (int i = 0; r == 0 && i < q->n; i++) {
		struct topo_refusal refusal = {0};

		if (i == skip || q->refused[i])
			continue;
		r = q->whole ? topo_op_apply(after, topo_op_find(q->list[i].op), q->list[i].payload,
					     w, &refusal, NULL)
			     : topo_op_change(after, topo_op_find(q->list[i].op),
					      q->list[i].payload, w, &refusal);
		topo_refusal_fini(&refusal);
		q->refused[i] = r == -EPERM;
	}
	if (r < 0) {
		topo_free(after);
		return r == -EPERM ? 0 : r;
	}
	*ret_after = after;
	return 1;
}

/*
 * The wanted topology as the queue, but the one at `skip` (-1: none), would leave it. What was
 * accepted may still be refused when its turn comes (somebody else took an address in between); it
 * then leaves the topology as it was. A refused one may have changed the copy, so it is begun anew
 * without it.
 */
static int
queue_apply(struct queue *q, const struct topo *t, const struct topo_world *w, int skip,
	    struct topo **ret_after)
{
	int r = 0;

	for (int i = 0; r == 0 && i <= q->n; i++)
		r = queue_run(q, t, w, skip, ret_after);
	return r > 0 ? 0 : r < 0 ? r : -EINVAL;
}

/* What the queue looks at; topo_part_fini in any case. */
static int
queue_part(const struct queue *q, struct topo_part *part)
{
	int r = topo_part_init(part);

	for (int i = 0; r == 0 && i < q->n; i++)
		r = topo_part_add(part, topo_op_find(q->list[i].op), q->list[i].payload);
	return r;
}

static int
world_of(struct api_ctx *cx, const char *topology_id, const struct topo_part *part,
	 struct topo_world *ret)
{
	return part->subnets ? topology_world(cx->db, cx->conf->pool, topology_id, ret, cx->e) : 0;
}

int
topo_decky_after_queue(struct api_ctx *cx, const char *topology_id, const char *decky)
{
	struct topo_world w = {0};
	struct topo_part part = {0};
	struct topo *t = NULL, *after = NULL;
	struct queue q;
	int r = queue_load(cx, topology_id, &q);

	q.whole = true;
	if (r == 0)
		r = queue_part(&q, &part);
	if (r == 0)
		r = topo_part_add_decky(&part, decky);
	if (r == 0)
		r = world_of(cx, topology_id, &part, &w);
	if (r == 0)
		r = topology_load_part(cx->db, topology_id, &part, &t, cx->e);
	if (r > 0)
		r = queue_apply(&q, t, &w, -1, &after);
	if (r == 0)
		r = after && topo_decky_named(after, decky);
	topo_free(t);
	topo_free(after);
	topo_part_fini(&part);
	topology_world_fini(&w);
	queue_fini(&q);
	return r;
}

int
topo_queue_without(struct api_ctx *cx, const struct topo *t, const char *id,
		   char ret_needs[ID_UUID_SIZE])
{
	struct topo_world w = {0};
	struct topo *after = NULL;
	struct queue with, without = {0};
	int r = queue_load(cx, t->id, &with), skip = -1;

	if (r == 0)
		r = queue_load(cx, t->id, &without);
	with.whole = without.whole = true;
	if (r == 0)
		r = topology_world(cx->db, cx->conf->pool, t->id, &w, cx->e);
	for (int i = 0; r == 0 && i < with.n; i++)
		if (strcmp(with.list[i].id, id) == 0)
			skip = i;
	if (r == 0)
		r = queue_apply(&with, t, &w, -1, &after);
	topo_free(TAKE(after));
	if (r == 0)
		r = queue_apply(&without, t, &w, skip, &after);
	topo_free(after);
	if (r == 0)
		r = 1;
	for (int i = 0; r > 0 && i < with.n; i++) {
		if (without.refused[i] && !with.refused[i]) {
			memcpy(ret_needs, with.list[i].id, ID_UUID_SIZE);
			r = 0;
		}
	}
	topology_world_fini(&w);
	queue_fini(&with);
	queue_fini(&without);
	return r;
}

/*
 * The operation on what the queue leaves. What waits was validated when it was accepted, so at
 * first only the end is; only if that fails, perhaps by one of those, each is validated again.
 */
static int
try_op(struct queue *q, const struct topo *t, const struct topo_world *w, enum topo_op op,
       const json_t *payload, struct topo_refusal *refusal)
{
	int r = 0;

	for (int whole = 0; r == 0 && whole < 2; whole++) {
		struct topo *after = NULL;

		q->whole = whole == 1;
		r = queue_apply(q, t, w, -1, &after);
		if (r == 0)
			r = topo_op_apply(after, op, payload, w, refusal, NULL);
		topo_free(after);
		if (whole == 1 || r != -EPERM || !refusal->issues)
			break;
		topo_refusal_fini(refusal);
		r = 0;
	}
	return r;
}

/* On the rows that the operation and the queue look at; the whole has to be read only to say all
 * that there is to say of a refusal. */
static int
check_op(struct api_ctx *cx, const char *topology_id, enum topo_op op, const json_t *payload,
	 struct topo_refusal *refusal)
{
	struct topo_world w = {0};
	struct topo_part part = {0};
	struct queue q;
	int r = queue_load(cx, topology_id, &q);

	if (r == 0)
		r = queue_part(&q, &part);
	if (r == 0)
		r = topo_part_add(&part, op, payload);
	if (r == 0)
		r = world_of(cx, topology_id, &part, &w);
	for (bool again = true; r == 0 && again;) {
		struct topo *t = NULL;

		again = false;
		r = topology_load_part(cx->db, topology_id, &part, &t, cx->e);
		r = r > 0 ? try_op(&q, t, &w, op, payload, refusal) : r < 0 ? r : -ESTALE;
		if (r == -EPERM && !part.whole) {
			topo_refusal_fini(refusal);
			memset(q.refused, 0, (size_t)q.n * sizeof(*q.refused));
			part.whole = again = true;
			r = 0;
		}
		topo_free(t);
	}
	topo_part_fini(&part);
	topology_world_fini(&w);
	queue_fini(&q);
	return r;
}

int
topo_enqueue(struct api_ctx *cx, const struct api_req *req, struct api_res *res, struct topo *t,
	     enum topo_op op, const json_t *payload, char ret_id[ID_UUID_SIZE])
{
	struct topo_refusal refusal = {0};
	int64_t pending = 0;
	int r = mutation_count(cx->db, t->id, "pending", &pending, cx->e);

	if (r < 0)
		return r;
	if (pending >= LIMIT_MUTATIONS_PENDING)
		return api_fail(res, 409, "limit reached: mutations (%d)",
				(int)LIMIT_MUTATIONS_PENDING);
	r = check_op(cx, t->id, op, payload, &refusal);
	if (r == -EPERM)
		return topo_refused(res, &refusal);
	if (r == 0)
		r = mutation_enqueue(cx->db, t, topo_op_word(op), payload, req->now_ms, ret_id,
				     cx->e);
	return r < 0 ? r : 1;
}
