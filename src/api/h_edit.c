/* SPDX-License-Identifier: Apache-2.0 */
/* Direct edits of a pending topology (contract 5.4). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/topo_common.h"
#include "store/topology.h"
#include "topology/edit.h"
#include "util/json.h"

api_handler_fn h_edit_lan_create, h_edit_lan_update, h_edit_lan_delete, h_edit_decky_create,
	h_edit_decky_update, h_edit_decky_delete, h_edit_edge_create, h_edit_edge_delete;

#define VERSION_FIELD                                                                              \
	{                                                                                          \
		.name = "expected_version", .kind = API_INT, .min = 0, .max = 9e15                 \
	}

/* One edit on its way: the stored topology and the one that is to be stored. */
struct edit {
	struct topo *before, *after;
	struct topo_world world;
	struct topo_refusal refusal;
};

static void
edit_fini(struct edit *ed)
{
	topo_free(ed->before);
	topo_free(ed->after);
	topology_world_fini(&ed->world);
	topo_refusal_fini(&ed->refusal);
}

/* What the fields of operations are called in a body of their own. */
static const char *
own_field(const char *field)
{
	static const char prefix[] = "payload.";

	return strncmp(field, prefix, sizeof(prefix) - 1) == 0 ? field + sizeof(prefix) - 1 : field;
}

static void
bad_field(void *user, const char *field, const char *text)
{
	api_bad_field(user, own_field(field), "%s", text);
}

/* Checks that come after the one whether the child is there. 1; 0: answered; < 0: failure. */
static int
edit_begin(struct api_ctx *cx, const struct api_req *req, struct api_res *res, struct edit *ed)
{
	const struct topo *t = ed->before;
	int r;

	if (t->status != TOPO_PENDING)
		return api_fail(res, 409,
				"Topology is '%s'; free-form child edits are pending-only.  Use "
				"the mutation queue for active topologies.",
				topo_status_word(t->status));
	if (!topo_version_fits(req, res, t))
		return 0;
	ed->after = topo_copy(t);
	if (!ed->after)
		return -ENOMEM;
	r = topology_world(cx->db, cx->conf->pool, t->id, &ed->world, cx->e);
	return r < 0 ? r : 1;
}

/* `r` is what the edit of the model said. 1: stored; 0: answered with the refusal; < 0: failure. */
static int
edit_end(struct api_ctx *cx, const struct api_req *req, struct api_res *res, struct edit *ed, int r)
{
	char field[sizeof(ed->refusal.field)];

	if (r == 0)
		r = topo_op_validate(ed->after, &ed->world, &ed->refusal);
	if (r == -EPERM) {
		(void)snprintf(field, sizeof(field), "%s", own_field(ed->refusal.field));
		memcpy(ed->refusal.field, field, sizeof(field));
		return topo_refused(res, &ed->refusal);
	}
	if (r == 0)
		r = topology_store_edit(cx->db, ed->before, ed->after, req->now_ms, cx->e);
	return r < 0 ? r : 1;
}

/* The id of a path parameter as a 404 shows it. */
static int
shown(const struct api_req *req, unsigned param)
{
	return (int)(req->param[param].n < 64 ? req->param[param].n : 64);
}

/* The body without expected_version, which is checked apart; a new reference or NULL. */
static json_t *
payload_of(const struct api_req *req, struct api_res *res)
{
	static const struct api_field fields[] = {VERSION_FIELD};
	json_t *payload = req->body ? json_copy(req->body) : json_object();
	json_t *version = json_object_get(payload, "expected_version"), *apart;

	if (version) {
		apart = json_pack("{s:O}", "expected_version", version);
		api_check_object(apart, "", res, fields, 1);
		json_decref(apart);
		(void)json_object_del(payload, "expected_version");
	}
	return payload;
}

int
h_edit_lan_create(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	struct edit ed = {0};
	json_t *payload = payload_of(req, res);
	int r = payload ? 1 : -ENOMEM;

	if (r > 0) {
		(void)topo_op_check(TOPO_OP_ADD_LAN, payload, bad_field, res);
		r = api_bad(res) ? 0 : topo_from_path(cx, req, 0, res, &ed.before);
	}
	if (r > 0)
		r = edit_begin(cx, req, res, &ed);
	if (r > 0) {
		r = topo_op_apply(ed.after, TOPO_OP_ADD_LAN, payload, &ed.world, &ed.refusal, NULL);
		r = edit_end(cx, req, res, &ed, r);
	}
	if (r > 0)
		r = api_ok(res, 201, lan_json(ed.after, &ed.after->lans[ed.after->nlans - 1]));
	json_decref(payload);
	edit_fini(&ed);
	return r;
}

int
h_edit_lan_update(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	static const struct api_field fields[] = {
		VERSION_FIELD,
		{.name = "is_dmz", .kind = API_BOOL},
		{.name = "name", .kind = API_STR},
		{.name = "subnet", .kind = API_STR, .min = 1, .max = 255},
		{.name = "x", .kind = API_NUM, .nullable = true},
		{.name = "y", .kind = API_NUM, .nullable = true},
	};
	const char *id = api_param_uuid(req, 1), *name = json_get_text(req->body, "name");
	struct edit ed = {0};
	int r;

	api_check_body(req, res, fields, ARRAY_LEN(fields));
	if (name && !topo_lan_name_ok(name))
		api_bad_field(
			res, "name",
			"expected 1 to 64 letters, digits, _ or -, the first a letter or digit");
	r = api_bad(res) ? 0 : topo_from_path(cx, req, 0, res, &ed.before);
	if (r > 0 && (!id || !topo_lan_by_id(ed.before, id)))
		r = api_fail(res, 404, "lan '%.*s' not found", shown(req, 1), req->param[1].p);
	if (r > 0)
		r = edit_begin(cx, req, res, &ed);
	if (r > 0) {
		r = topo_edit_lan(ed.after, topo_lan_by_id(ed.after, id), req->body, &ed.world,
				  &ed.refusal);
		r = edit_end(cx, req, res, &ed, r);
	}
	if (r > 0)
		r = api_ok(res, 200, lan_json(ed.after, topo_lan_by_id(ed.after, id)));
	edit_fini(&ed);
	return r;
}

int
h_edit_lan_delete(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	const char *id = api_param_uuid(req, 1);
	const struct topo_lan *lan = NULL;
	struct edit ed = {0};
	json_t *payload = NULL;
	int r = topo_version_query(req, res) ? topo_from_path(cx, req, 0, res, &ed.before) : 0;

	if (r > 0 && (!id || !(lan = topo_lan_by_id(ed.before, id))))
		r = api_fail(res, 404, "LAN not found");
	if (r > 0)
		r = edit_begin(cx, req, res, &ed);
	if (r > 0) {
		payload = json_pack("{s:s}", "name", lan->name);
		r = payload ? topo_op_apply(ed.after, TOPO_OP_REMOVE_LAN, payload, &ed.world,
					    &ed.refusal, NULL)
			    : -ENOMEM;
		r = edit_end(cx, req, res, &ed, r);
	}
	if (r > 0)
		res->status = 204;
	json_decref(payload);
	edit_fini(&ed);
	return r < 0 ? r : 0;
}

static const struct api_field decky_fields[] = {
	VERSION_FIELD,
	{.name = "name", .kind = API_STR, .required = true},
	{.name = "services", .kind = API_STR_LIST},
	{.name = "decky_config", .kind = API_OBJECT},
	{.name = "x", .kind = API_NUM, .nullable = true},
	{.name = "y", .kind = API_NUM, .nullable = true},
};

/* Services and configs that cannot be, in a body that is else as it should be: the first text is
 * the answer's. True: answered. */
static bool
bad_values(struct api_res *res, bool form_good)
{
	json_t *errors = json_incref(res->errors);
	const json_t *one;
	bool own = form_good, bad = api_bad(res);
	size_t i;

	json_array_foreach(errors, i, one)
	{
		const char *field = json_get_text(one, "field"),
			   *text = json_get_text(one, "message");

		/* The texts of live services: those of names, and those of keys, `<key>: <text>`.
		 */
		own = own && field && text &&
		      (strncmp(text, "unknown service '", 17) == 0 ||
		       strncmp(text, "service '", 9) == 0 || strstr(text, ": ")) &&
		      (strncmp(field, "services", 8) == 0 ||
		       strncmp(field, "decky_config.service_config", 27) == 0);
	}
	if (bad && own) {
		(void)api_fail(res, 422, "%s", json_get_text(json_array_get(errors, 0), "message"));
		api_fail_extra(res, "errors", json_incref(errors));
	}
	json_decref(errors);
	return bad;
}

static void
check_decky_body(const struct api_req *req, struct api_res *res)
{
	const json_t *services = json_object_get(req->body, "services");
	const char *name = json_get_text(req->body, "name");

	if (name && !topo_decky_name_ok(name))
		api_bad_field(res, "name",
			      "expected 1 to 64 lower-case letters, digits or -, no - at an end");
	if (json_is_array(services))
		(void)topo_check_services(services, "services", bad_field, res);
}

int
h_edit_decky_create(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	const json_t *config = json_object_get(req->body, "decky_config");
	struct topo_decky *d = NULL;
	struct edit ed = {0};
	json_t *none = json_object();
	bool form_good;
	int r;

	api_check_body(req, res, decky_fields, ARRAY_LEN(decky_fields));
	form_good = !res->errors;
	check_decky_body(req, res);
	if (json_is_object(config))
		(void)topo_check_decky_config(config, json_get_text(req->body, "name"), none,
					      bad_field, res);
	json_decref(none);
	r = bad_values(res, form_good) ? 0 : topo_from_path(cx, req, 0, res, &ed.before);
	if (r > 0)
		r = edit_begin(cx, req, res, &ed);
	if (r > 0) {
		r = topo_edit_add_decky(ed.after, req->body, &ed.refusal, &d);
		r = edit_end(cx, req, res, &ed, r);
	}
	if (r > 0)
		r = api_ok(res, 201, decky_json(ed.after, d));
	edit_fini(&ed);
	return r;
}

/* What depends on the stored row: values that are derived may only be repeated. 1; 0: answered. */
static int
check_derived(const struct api_req *req, struct api_res *res, const struct topo *t,
	      const struct topo_decky *d)
{
	const json_t *config = json_object_get(req->body, "decky_config");
	const char *name = json_get_text(req->body, "name");
	json_t *row = decky_json(t, d);

	if (!row)
		return -ENOMEM;
	if (json_is_object(config))
		(void)topo_check_decky_config(
			config, name ? name : d->name,
			json_object_get(json_object_get(row, "decky_config"), "ips_by_lan"),
			bad_field, res);
	json_decref(row);
	return bad_values(res, true) ? 0 : 1;
}

int
h_edit_decky_update(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	static const struct api_field fields[] = {
		VERSION_FIELD,
		{.name = "name", .kind = API_STR},
		{.name = "services", .kind = API_STR_LIST},
		{.name = "decky_config", .kind = API_OBJECT},
		{.name = "home_lan_id", .kind = API_STR, .min = 1, .max = 64},
		{.name = "x", .kind = API_NUM, .nullable = true},
		{.name = "y", .kind = API_NUM, .nullable = true},
	};
	const char *uuid = api_param_uuid(req, 1);
	const struct topo_decky *d = NULL;
	struct edit ed = {0};
	bool form_good;
	int r;

	api_check_body(req, res, fields, ARRAY_LEN(fields));
	form_good = !res->errors;
	check_decky_body(req, res);
	r = bad_values(res, form_good) ? 0 : topo_from_path(cx, req, 0, res, &ed.before);
	if (r > 0 && (!uuid || !(d = topo_decky_by_uuid(ed.before, uuid))))
		r = api_fail(res, 404, "decky '%.*s' not found", shown(req, 1), req->param[1].p);
	if (r > 0)
		r = check_derived(req, res, ed.before, d);
	if (r > 0)
		r = edit_begin(cx, req, res, &ed);
	if (r > 0) {
		r = topo_edit_decky(ed.after, topo_decky_by_uuid(ed.after, uuid), req->body,
				    &ed.refusal);
		r = edit_end(cx, req, res, &ed, r);
	}
	if (r > 0)
		r = api_ok(res, 200, decky_json(ed.after, topo_decky_by_uuid(ed.after, uuid)));
	edit_fini(&ed);
	return r;
}

int
h_edit_decky_delete(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	const char *uuid = api_param_uuid(req, 1);
	struct edit ed = {0};
	int r = topo_version_query(req, res) ? topo_from_path(cx, req, 0, res, &ed.before) : 0;

	if (r > 0 && (!uuid || !topo_decky_by_uuid(ed.before, uuid)))
		r = api_fail(res, 404, "Decky not found");
	if (r > 0)
		r = edit_begin(cx, req, res, &ed);
	if (r > 0) {
		topo_remove_decky(ed.after, topo_decky_by_uuid(ed.after, uuid));
		r = edit_end(cx, req, res, &ed, 0);
	}
	if (r > 0)
		res->status = 204;
	edit_fini(&ed);
	return r < 0 ? r : 0;
}

int
h_edit_edge_create(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	static const struct api_field fields[] = {
		{.name = "decky_uuid", .kind = API_STR, .required = true},
		VERSION_FIELD,
		{.name = "forwards_l3", .kind = API_BOOL},
		{.name = "ip", .kind = API_STR, .nullable = true, .min = 1, .max = 255},
		{.name = "is_bridge", .kind = API_BOOL},
		{.name = "lan_id", .kind = API_STR, .required = true},
	};
	const char *uuid = json_get_text(req->body, "decky_uuid"),
		   *lan_id = json_get_text(req->body, "lan_id");
	struct topo_edge *edge = NULL;
	struct edit ed = {0};
	int r;

	api_check_body(req, res, fields, ARRAY_LEN(fields));
	r = api_bad(res) ? 0 : topo_from_path(cx, req, 0, res, &ed.before);
	if (r > 0)
		r = edit_begin(cx, req, res, &ed);
	if (r > 0 && !topo_decky_by_uuid(ed.after, uuid))
		r = api_refuse(res, "decky_uuid", "decky '%.64s' not in topology '%s'", uuid,
			       ed.after->id);
	if (r > 0 && !topo_lan_by_id(ed.after, lan_id))
		r = api_refuse(res, "lan_id", "lan '%.64s' not in topology '%s'", lan_id,
			       ed.after->id);
	if (r > 0) {
		r = topo_join(ed.after, uuid, lan_id, json_get_text(req->body, "ip"),
			      json_is_true(json_object_get(req->body, "is_bridge")),
			      json_is_true(json_object_get(req->body, "forwards_l3")), &ed.refusal,
			      &edge);
		r = edit_end(cx, req, res, &ed, r);
	}
	if (r > 0)
		r = api_ok(res, 201, edge_json(ed.after, edge));
	edit_fini(&ed);
	return r;
}

int
h_edit_edge_delete(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	const char *id = api_param_uuid(req, 1);
	struct edit ed = {0};
	int r = topo_version_query(req, res) ? topo_from_path(cx, req, 0, res, &ed.before) : 0;

	if (r > 0 && (!id || !topo_edge_by_id(ed.before, id)))
		r = api_fail(res, 404, "Edge not found");
	if (r > 0)
		r = edit_begin(cx, req, res, &ed);
	if (r > 0) {
		topo_remove_edge(ed.after, topo_edge_by_id(ed.after, id));
		r = edit_end(cx, req, res, &ed, 0);
	}
	if (r > 0)
		res->status = 204;
	edit_fini(&ed);
	return r < 0 ? r : 0;
}
