/* SPDX-License-Identifier: Apache-2.0 */
/* Topologies: list, create, show, deploy, tear down, delete (contract 5.3). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/host_ports.h"
#include "api/topo_common.h"
#include "store/mutation.h"
#include "store/topology.h"
#include "topology/catalog.h"
#include "topology/generator.h"
#include "topology/validate.h"
#include "util/json.h"
#include "util/limits.h"

api_handler_fn h_topology_list, h_topology_generate, h_topology_blank, h_topology_get,
	h_topology_issues, h_topology_delete, h_topology_deploy, h_topology_teardown,
	h_topology_status_events, h_topology_reap_orphans;

int
h_topology_list(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	const struct sv *status = api_query_get(req, "status");
	char word[16] = "";
	int64_t limit, offset, total = 0;
	json_t *rows = NULL;
	int r;

	api_query_page(req, res, 50, 500, &limit, &offset);
	if (status && (sv_copy(*status, word, sizeof(word)) < 0 ||
		       topo_status_find(word) == TOPO_STATUS_COUNT))
		api_bad_field(res, "query.status", "unknown status");
	if (api_bad(res))
		return 0;
	r = topology_count(cx->db, word, &total, cx->e);
	if (r == 0)
		r = topology_list(cx->db, word, limit, offset, &rows, cx->e);
	return r < 0 ? r : api_ok(res, 200, api_envelope(total, limit, offset, rows));
}

/* Fills name, mode and host from a checked body. 1; 0: answered; < 0: store failure. */
static int
read_basics(struct api_ctx *cx, const struct api_req *req, struct api_res *res, struct topo *t)
{
	const char *name = json_get_text(req->body, "name"),
		   *mode = json_get_text(req->body, "mode");
	const char *host = json_get_text(req->body, "target_host");
	char other[ID_UUID_SIZE];
	int64_t n = 0;
	int r;

	t->agent = mode && strcmp(mode, "agent") == 0;
	(void)snprintf(t->name, sizeof(t->name), "%s", name);
	(void)snprintf(t->target_host, sizeof(t->target_host), "%s", host ? host : "");
	if (host && !t->agent)
		return api_refuse(res, "target_host",
				  "target_host is only valid when mode='agent'");
	if (!host && t->agent)
		return api_refuse(res, "target_host", "mode='agent' requires target_host");
	r = host ? host_known(cx->db, host, cx->e) : 1;
	if (r == 0)
		return api_refuse(res, "target_host", "unknown sensor host '%s'", host);
	if (r > 0)
		r = topology_find_name(cx->db, name, other, cx->e);
	if (r > 0)
		return api_fail(res, 409, "A topology named '%s' already exists.", name);
	if (r == 0)
		r = topology_count(cx->db, "", &n, cx->e);
	if (r == 0 && n >= LIMIT_TOPOLOGIES)
		return api_fail(res, 409, "limit reached: topologies (%d)", (int)LIMIT_TOPOLOGIES);
	return r < 0 ? r : 1;
}

static void
check_name(const struct api_req *req, struct api_res *res)
{
	const char *name = json_get_text(req->body, "name");

	if (name && !topo_name_ok(name))
		api_bad_field(res, "name",
			      "expected 1 to 64 characters without control characters");
}

/* Store what was made, or answer why it could not be. Takes the topology over. */
static int
create(struct api_ctx *cx, const struct api_req *req, struct api_res *res, struct topo *own_t,
       int r, struct topo_refusal *refusal)
{
	if (r == -EPERM)
		r = topo_refused(res, refusal);
	else if (r == 0)
		r = topology_insert(cx->db, own_t, req->now_ms, cx->e);
	if (r == 0 && res->status == 0)
		r = api_ok(res, 201, topology_json(own_t));
	topo_free(own_t);
	return r;
}

static const char *const modes[] = {"unihost", "agent", NULL};

int
h_topology_blank(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	static const struct api_field fields[] = {
		{.name = "mode", .kind = API_STR, .words = modes},
		{.name = "name", .kind = API_STR, .required = true, .min = 1, .max = 64},
		{.name = "target_host", .kind = API_STR, .nullable = true, .min = 1, .max = 64},
	};
	struct topo_refusal refusal = {0};
	struct topo_world w = {0};
	struct topo *t;
	int r;

	api_check_body(req, res, fields, ARRAY_LEN(fields));
	check_name(req, res);
	if (api_bad(res))
		return 0;
	t = topo_new();
	r = t ? read_basics(cx, req, res, t) : -ENOMEM;
	if (r > 0)
		r = topology_world(cx->db, cx->conf->pool, NULL, &w, cx->e) < 0 ? -EIO : 1;
	if (r <= 0) {
		topo_free(t);
		return r;
	}
	r = topo_blank(t, &w, &refusal);
	topology_world_fini(&w);
	return create(cx, req, res, t, r, &refusal);
}

static double
number(const json_t *body, const char *key, double def)
{
	const json_t *value = json_object_get(body, key);

	return json_is_number(value) ? json_number_value(value) : def;
}

/* What is outside the range is refused already; here it must only be a value. */
static unsigned
small(const json_t *body, const char *key, unsigned def)
{
	double value = number(body, key, def);

	return value >= 0 && value <= 1000 ? (unsigned)value : 1000;
}

static void
read_plan(const struct api_req *req, struct api_res *res, struct topo_plan *plan)
{
	const json_t *body = req->body, *services = json_object_get(body, "services_explicit");
	const json_t *randomize = json_object_get(body, "randomize_services"),
		     *seed = json_object_get(body, "seed");

	plan->depth = small(body, "depth", 1);
	plan->branching = small(body, "branching_factor", 1);
	plan->deckies_min = small(body, "deckies_per_lan_min", 1);
	plan->deckies_max = small(body, "deckies_per_lan_max", 3);
	plan->forward_probability = number(body, "bridge_forward_probability", 1.0);
	plan->cross_probability = number(body, "cross_edge_probability", 0.0);
	plan->services = json_is_array(services) ? services : NULL;
	if (json_is_integer(seed))
		plan->seed = (uint64_t)json_integer_value(seed);
	else
		id_random(&plan->seed, sizeof(plan->seed));
	/* What is out of its own range is said there. */
	if (plan->deckies_min > plan->deckies_max && plan->deckies_min <= 32 &&
	    plan->deckies_max >= 1)
		api_bad_field(res, "deckies_per_lan_min", "more than deckies_per_lan_max");
	if (plan->services)
		(void)topo_check_services(plan->services, "services_explicit", topo_bad_field, res);
	if (!plan->services && json_is_false(randomize))
		api_bad_field(res, "services_explicit",
			      "required when randomize_services is false");
}

int
h_topology_generate(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	static const struct api_field fields[] = {
		{.name = "branching_factor", .kind = API_INT, .required = true, .min = 1, .max = 8},
		{.name = "bridge_forward_probability", .kind = API_NUM, .min = 0, .max = 1},
		{.name = "cross_edge_probability", .kind = API_NUM, .min = 0, .max = 1},
		{.name = "deckies_per_lan_max", .kind = API_INT, .min = 1, .max = 32},
		{.name = "deckies_per_lan_min", .kind = API_INT, .min = 0, .max = 32},
		{.name = "depth", .kind = API_INT, .required = true, .min = 1, .max = 16},
		{.name = "mode", .kind = API_STR, .words = modes},
		{.name = "name", .kind = API_STR, .required = true, .min = 1, .max = 64},
		{.name = "randomize_services", .kind = API_BOOL},
		{.name = "seed", .kind = API_INT, .nullable = true, .min = 0, .max = 0x1p63},
		{.name = "services_explicit", .kind = API_STR_LIST, .nullable = true},
		{.name = "target_host", .kind = API_STR, .nullable = true, .min = 1, .max = 64},
	};
	struct topo_refusal refusal = {0};
	struct topo_world w = {0};
	struct topo_plan plan = {0};
	struct topo *t;
	int r;

	api_check_body(req, res, fields, ARRAY_LEN(fields));
	check_name(req, res);
	read_plan(req, res, &plan);
	if (api_bad(res))
		return 0;
	t = topo_new();
	r = t ? read_basics(cx, req, res, t) : -ENOMEM;
	if (r > 0)
		r = topology_world(cx->db, cx->conf->pool, NULL, &w, cx->e) < 0 ? -EIO : 1;
	if (r <= 0) {
		topo_free(t);
		return r;
	}
	r = topo_generate(t, &plan, &w, &refusal);
	topology_world_fini(&w);
	return create(cx, req, res, t, r, &refusal);
}

int
h_topology_get(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	struct topo *t = NULL;
	int r = topo_from_path(cx, req, 0, res, &t);

	if (r > 0)
		r = api_ok(res, 200, topology_detail_json(t));
	topo_free(t);
	return r;
}

static int
deploy_issues(struct api_ctx *cx, const struct topo *t, json_t **ret_issues)
{
	struct topo_world w = {0};
	int r = topology_world(cx->db, cx->conf->pool, t->id, &w, cx->e);

	if (r < 0)
		return r;
	*ret_issues = topo_validate(t, &w, true);
	topology_world_fini(&w);
	r = *ret_issues ? host_ports_check(cx, t, *ret_issues) : -ENOMEM;
	if (r < 0) {
		json_decref(*ret_issues);
		*ret_issues = NULL;
	}
	return r;
}

int
h_topology_issues(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	struct topo *t = NULL;
	json_t *issues = NULL;
	int r = topo_from_path(cx, req, 0, res, &t);

	if (r > 0)
		r = deploy_issues(cx, t, &issues) < 0 ? -EIO : 1;
	if (r > 0)
		r = api_ok(res, 200, json_pack("{s:o}", "issues", issues));
	topo_free(t);
	return r;
}

int
h_topology_delete(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	struct topo *t = NULL;
	int r = topo_version_query(req, res) ? topo_head_from_path(cx, req, 0, res, &t) : 0;

	if (r <= 0)
		return r;
	if (t->status != TOPO_PENDING && t->status != TOPO_TORN_DOWN && t->status != TOPO_FAILED)
		r = api_fail(res, 409, "Topology is '%s'; teardown to 'torn_down' before delete.",
			     topo_status_word(t->status));
	else if (!topo_version_fits(req, res, t))
		r = 0;
	else if ((r = topology_remove(cx->db, t, req->now_ms, cx->e)) == 0)
		res->status = 204;
	topo_free(t);
	return r;
}

static const struct api_field version_only[] = {
	{.name = "expected_version", .kind = API_INT, .min = 0, .max = 9e15},
};

/* Answer 202 with the row as it is now, and issues when there are any to name. */
static int
accepted(struct api_res *res, const struct topo *t, json_t *own_issues)
{
	json_t *body = topology_json(t);

	if (own_issues && json_object_set_new(body, "issues", own_issues) < 0)
		return -ENOMEM;
	return api_ok(res, 202, body);
}

static int
deploy(struct api_ctx *cx, const struct api_req *req, struct api_res *res, struct topo *t)
{
	json_t *issues = NULL;
	char codes[256];
	int r;

	if (t->status != TOPO_PENDING)
		return api_fail(res, 409,
				"Topology is '%s'; only 'pending' topologies can be deployed.",
				topo_status_word(t->status));
	if (!topo_version_fits(req, res, t))
		return 0;
	r = deploy_issues(cx, t, &issues);
	if (r < 0)
		return r;
	if (topo_has_errors(issues)) {
		topo_error_codes(issues, codes, sizeof(codes));
		(void)api_fail(res, 409, "Topology validation failed: %s", codes);
		api_fail_extra(res, "issues", issues);
		return 0;
	}
	r = topology_set_status(cx->db, t, TOPO_DEPLOYING, NULL, req->now_ms, cx->e);
	if (r < 0) {
		json_decref(issues);
		return r;
	}
	return accepted(res, t, issues);
}

static int
cancel_queue(struct api_ctx *cx, const struct api_req *req, struct topo *t)
{
	struct mutation *list = NULL;
	int n = mutation_open(cx->db, t->id, &list, cx->e), r = n < 0 ? n : 0;

	for (int i = 0; i < n; i++) {
		if (r >= 0)
			r = mutation_cancel(cx->db, t, &list[i], "teardown", req->now_ms, cx->e);
		mutation_fini(&list[i]);
	}
	free(list);
	return r < 0 ? r : 0;
}

static int
teardown(struct api_ctx *cx, const struct api_req *req, struct api_res *res, struct topo *t)
{
	int r;

	if (!topo_status_may(t->status, TOPO_TEARING_DOWN))
		return api_fail(res, 409,
				"Topology is '%s'; teardown is allowed from ['active', 'degraded', "
				"'deploying', 'failed'].",
				topo_status_word(t->status));
	if (!topo_version_fits(req, res, t))
		return 0;
	r = cancel_queue(cx, req, t);
	if (r == 0)
		r = topology_set_status(cx->db, t, TOPO_TEARING_DOWN, NULL, req->now_ms, cx->e);
	return r < 0 ? r : accepted(res, t, NULL);
}

/* Both take an expected version and nothing else. */
static int
transition(struct api_ctx *cx, const struct api_req *req, struct api_res *res,
	   int (*run)(struct api_ctx *, const struct api_req *, struct api_res *, struct topo *))
{
	struct topo *t = NULL;
	int r;

	api_check_body(req, res, version_only, ARRAY_LEN(version_only));
	if (api_bad(res))
		return 0;
	r = topo_from_path(cx, req, 0, res, &t);
	if (r > 0)
		r = run(cx, req, res, t);
	topo_free(t);
	return r;
}

int
h_topology_deploy(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	return transition(cx, req, res, deploy);
}

int
h_topology_teardown(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	return transition(cx, req, res, teardown);
}

int
h_topology_status_events(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	struct topo *t = NULL;
	json_t *rows = NULL;
	int64_t limit, offset;
	int r;

	api_query_page(req, res, 100, 1000, &limit, &offset);
	if (api_bad(res))
		return 0;
	r = topo_head_from_path(cx, req, 0, res, &t);
	if (r <= 0)
		return r;
	r = topology_status_events(cx->db, t->id, limit, &rows, cx->e);
	topo_free(t);
	return r < 0 ? r : api_ok(res, 200, rows);
}

/*
 * What a loopback driver holds are sockets of its own process, and every reconcile pass closes
 * those of no known topology. What a netns driver holds for none goes with the same pass, at the
 * latest after 30 s. So there is nothing that could be left over for this call.
 */
int
h_topology_reap_orphans(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	json_t *live = NULL, *hosts = NULL, *errors, *host;
	char text[160];
	size_t i;
	int r;

	api_check_body(req, res, NULL, 0);
	if (api_bad(res))
		return 0;
	r = topology_holding(cx->db, &live, cx->e);
	if (r == 0)
		r = host_list(cx->db, &hosts, cx->e);
	if (r < 0) {
		json_decref(live);
		return r;
	}
	errors = json_array();
	json_array_foreach(hosts, i, host)
	{
		const char *driver = json_get_text(host, "driver");

		if (strcmp(driver, "loopback") == 0 || strcmp(driver, "netns") == 0)
			continue;
		(void)snprintf(text, sizeof(text), "driver '%.32s' of host '%.64s' does not answer",
			       driver, json_get_text(host, "name"));
		(void)json_array_append_new(errors, json_string(text));
	}
	json_decref(hosts);
	return api_ok(res, 200,
		      json_pack("{s:o, s:[], s:[], s:[], s:o}", "live_prefixes", live,
				"orphan_prefixes", "namespaces_removed", "networks_removed",
				"errors", errors));
}
