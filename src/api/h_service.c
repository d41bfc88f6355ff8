/* SPDX-License-Identifier: Apache-2.0 */
/* Services of a live decky (contract 5.7): each call is a mutation that the answer waits for. The
 * transactions are the handler's own: enqueuing writes, the looks that follow only read; what is
 * not committed is rolled back behind the handler. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/topo_common.h"
#include "store/mutation.h"
#include "store/topology.h"
#include "topology/catalog.h"
#include "util/json.h"

api_handler_fn h_service_add, h_service_remove, h_service_config, h_service_apply;

#define WAIT_MS 5000
#define LOOK_MS 25

enum kind { ADD, REMOVE, CONFIG, APPLY };

struct change {
	enum kind kind;
	char decky[TOPO_LABEL_SIZE], service[TOPO_LABEL_SIZE];
	const char *field; /* of the service's name */
	json_t *config;	   /* as it is kept, owned; NULL when none was given */
	bool has_first;	   /* the detail of a 422 is its first text */
	char first[512];
	struct api_res *res;
};

static enum topo_op
op_of(enum kind kind)
{
	switch (kind) {
	case ADD: return TOPO_OP_SERVICE_ADD;
	case REMOVE: return TOPO_OP_SERVICE_REMOVE;
	case CONFIG:
	case APPLY: break;
	}
	return TOPO_OP_SERVICE_CONFIG;
}

static void
bad(struct change *c, const char *field, const char *text)
{
	if (!c->has_first)
		(void)snprintf(c->first, sizeof(c->first), "%s", text);
	c->has_first = true;
	api_bad_field(c->res, field, "%s", text);
}

static void
on_bad_config(void *user, const char *key, const char *text)
{
	char field[160];

	(void)snprintf(field, sizeof(field), "config.%.64s", key);
	bad(user, field, text);
}

static void
check_service(struct change *c, const json_t *config)
{
	char text[160];

	if (c->kind == REMOVE)
		return;
	if (!catalog_service(c->service)) {
		(void)snprintf(text, sizeof(text), "unknown service '%s'", c->service);
		bad(c, c->field, text);
	} else if (!catalog_available(c->service)) {
		(void)snprintf(text, sizeof(text), "service '%s' is not available in this build",
			       c->service);
		bad(c, c->field, text);
	} else if (json_is_object(config)) {
		c->config = catalog_check_config(c->service, config, on_bad_config, c);
	}
}

/* Path and body. 1; 0: answered. */
static int
read_change(const struct api_req *req, struct api_res *res, struct change *c)
{
	static const struct api_field add_fields[] = {
		{.name = "config", .kind = API_OBJECT},
		{.name = "expected_version", .kind = API_INT, .min = 0, .max = 9e15},
		{.name = "name", .kind = API_STR, .required = true, .min = 1, .max = 64},
	};
	static const struct api_field config_fields[] = {
		{.name = "config", .kind = API_OBJECT, .required = true},
		{.name = "expected_version", .kind = API_INT, .min = 0, .max = 9e15},
	};
	const char *name = json_get_text(req->body, "name");

	c->res = res;
	if (c->kind == REMOVE && !topo_version_query(req, res))
		return 0;
	if (c->kind == ADD) {
		c->field = "name";
		api_check_body(req, res, add_fields, ARRAY_LEN(add_fields));
		if (name && !res->errors)
			(void)snprintf(c->service, sizeof(c->service), "%s", name);
	} else {
		c->field = "service";
		if (!api_param_text(req, 2, c->service, sizeof(c->service)))
			(void)snprintf(c->service, sizeof(c->service), "%.64s", req->param[2].p);
		if (c->kind != REMOVE)
			api_check_body(req, res, config_fields, ARRAY_LEN(config_fields));
	}
	if (!res->errors)
		check_service(c, json_object_get(req->body, "config"));
	if (!api_bad(res))
		return 1;
	if (c->has_first) {
		json_t *errors = json_incref(json_object_get(res->body, "errors"));

		(void)api_fail(res, 422, "%s", c->first);
		api_fail_extra(res, "errors", errors);
	}
	return 0;
}

/* The topology and its decky, as the queue would leave it. 1; 0: answered; < 0: failure. */
static int
find_decky(struct api_ctx *cx, const struct api_req *req, struct api_res *res, struct change *c,
	   struct topo **ret_topo)
{
	const char *id = api_param_uuid(req, 0);
	struct topo *t = NULL;
	int r = id ? topology_head(cx->db, id, &t, cx->e) : 0;

	if (r == 0)
		return api_fail(res, 404, "topology '%.*s' not found",
				(int)(req->param[0].n < 64 ? req->param[0].n : 64),
				req->param[0].p);
	if (r < 0)
		return r;
	r = api_param_text(req, 1, c->decky, sizeof(c->decky))
		    ? topo_decky_after_queue(cx, t->id, c->decky)
		    : 0;
	if (r == 0)
		r = api_fail(res, 404, "decky '%.64s' is not in topology '%s'", req->param[1].p,
			     t->id);
	else if (r > 0 && t->status != TOPO_ACTIVE && t->status != TOPO_DEGRADED)
		r = api_fail(res, 409,
			     "Topology is '%s'; services can only be changed live on 'active' or "
			     "'degraded' topologies.",
			     topo_status_word(t->status));
	else if (r > 0 && !topo_version_fits(req, res, t))
		r = 0;
	if (r > 0)
		*ret_topo = t;
	else
		topo_free(t);
	return r;
}

static json_t *
payload_of(const struct change *c)
{
	json_t *payload = json_pack("{s:s, s:s}", "decky", c->decky, "service", c->service);

	if (c->config)
		(void)json_object_set(payload, "config", c->config);
	if (c->kind == APPLY)
		(void)json_object_set_new(payload, "recreate", json_true());
	return payload;
}

static int
begin(struct api_ctx *cx, const struct api_req *req, struct api_res *res, struct change *c)
{
	char id[ID_UUID_SIZE];
	struct topo *t = NULL;
	json_t *payload = NULL;
	int r = db_begin_write(cx->db, cx->e);

	if (r == 0)
		r = find_decky(cx, req, res, c, &t);
	if (r > 0) {
		payload = payload_of(c);
		r = payload ? topo_enqueue(cx, req, res, t, op_of(c->kind), payload, id) : -ENOMEM;
	}
	if (r > 0)
		r = db_commit(cx->db, cx->e) < 0 ? -EIO : api_again(res, strdup(id), LOOK_MS);
	json_decref(payload);
	topo_free(t);
	return r;
}

static int
answer_applied(struct api_ctx *cx, const struct api_req *req, struct api_res *res,
	       const struct change *c, const struct mutation *m)
{
	struct topo_part part = {0};
	const struct topo_decky *d;
	struct topo *t = NULL;
	int r = topo_part_init(&part);

	(void)req;
	if (r == 0)
		r = topo_part_add_decky(&part, c->decky);
	if (r == 0)
		r = topology_load_part(cx->db, m->topology_id, &part, &t, cx->e);
	topo_part_fini(&part);
	if (r < 0)
		return r;
	d = r > 0 ? topo_decky_named(t, c->decky) : NULL;
	if (c->kind == ADD || c->kind == REMOVE)
		r = api_ok(res, c->kind == ADD ? 201 : 200,
			   json_pack("{s:s, s:s, s:o}", "decky_name", c->decky, "topology_id",
				     m->topology_id, "services",
				     d ? json_deep_copy(d->services) : json_array()));
	else
		r = api_ok(res, c->kind == APPLY ? 201 : 200,
			   json_pack("{s:s, s:s, s:s, s:O, s:b}", "decky_name", c->decky,
				     "service_name", c->service, "topology_id", m->topology_id,
				     "config", c->config, "recreated", (int)(c->kind == APPLY)));
	topo_free(t);
	return r;
}

/* How far it is: the answer, or another look later. */
static int
look(struct api_ctx *cx, const struct api_req *req, struct api_res *res, struct change *c)
{
	const char *topology_id = api_param_uuid(req, 0);
	struct mutation m = {0};
	int r = db_begin_read(cx->db, cx->e);

	if (r == 0 && topology_id)
		r = mutation_get(cx->db, topology_id, req->resume, &m, cx->e);
	if (!api_param_text(req, 1, c->decky, sizeof(c->decky)))
		c->decky[0] = 0;
	if (r == 0) {
		(void)api_fail(res, 502, "Service change failed: %s", "the topology is gone");
		api_fail_extra(res, "mutation_id", json_string(req->resume));
	} else if (r > 0 && strcmp(m.state, "applied") == 0) {
		r = answer_applied(cx, req, res, c, &m);
	} else if (r > 0 && strcmp(m.state, "pending") != 0 && strcmp(m.state, "applying") != 0) {
		r = api_fail(res, 502, "Service change failed: %s", m.reason ? m.reason : m.state);
		api_fail_extra(res, "mutation_id", json_string(m.id));
	} else if (r > 0 && req->now_ms >= req->since_ms + WAIT_MS) {
		r = api_ok(res, 202,
			   json_pack("{s:s, s:s}", "mutation_id", m.id, "state", m.state));
	} else if (r > 0) {
		r = api_again(res, strdup(m.id), LOOK_MS);
	}
	mutation_fini(&m);
	return r;
}

static int
change(struct api_ctx *cx, const struct api_req *req, struct api_res *res, enum kind kind)
{
	struct change c = {.kind = kind};
	int r = read_change(req, res, &c);

	if (r > 0)
		r = req->resume ? look(cx, req, res, &c) : begin(cx, req, res, &c);
	json_decref(c.config);
	return r;
}

int
h_service_add(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	return change(cx, req, res, ADD);
}

int
h_service_remove(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	return change(cx, req, res, REMOVE);
}

int
h_service_config(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	return change(cx, req, res, CONFIG);
}

int
h_service_apply(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	return change(cx, req, res, APPLY);
}
