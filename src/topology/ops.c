/* SPDX-License-Identifier: Apache-2.0 */
/* Applying operations to a model, with the refusals of contract 5.6. */
#include "topology/ops.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "topology/apply.h"
#include "topology/catalog.h"
#include "topology/validate.h"
#include "util/json.h"
#include "util/limits.h"
#include "util/sv.h"

static const struct {
	const char *word;
	bool by_hand;
} rows[] = {
#define OP(NAME, word, by_hand) {word, by_hand},
#include "topology/ops.def"
#undef OP
};

const char *
topo_op_word(enum topo_op op)
{
	return op < TOPO_OP_COUNT ? rows[op].word : "unknown";
}

enum topo_op
topo_op_find(const char *word)
{
	unsigned i = 0;

	while (i < TOPO_OP_COUNT && (!word || strcmp(rows[i].word, word) != 0))
		i++;
	return (enum topo_op)i;
}

bool
topo_op_by_hand(enum topo_op op)
{
	return op < TOPO_OP_COUNT && rows[op].by_hand;
}

bool
topo_op_takes_subnet(enum topo_op op)
{
	/* That of a deployed LAN does not change. */
	return op == TOPO_OP_ADD_LAN;
}

void
topo_refusal_fini(struct topo_refusal *r)
{
	json_decref(r->issues);
	r->issues = NULL;
}

int
topo_refuse(struct topo_refusal *r, int status, const char *field, const char *fmt, ...)
{
	va_list ap;

	r->status = status;
	(void)snprintf(r->field, sizeof(r->field), "%s", field);
	va_start(ap, fmt);
	(void)vsnprintf(r->text, sizeof(r->text), fmt, ap);
	va_end(ap);
	return -EPERM;
}

int
topo_op_validate(const struct topo *t, const struct topo_world *w, struct topo_refusal *ret)
{
	json_t *issues = topo_validate(t, w, false);
	char codes[256];

	if (!issues)
		return -ENOMEM;
	if (!topo_has_errors(issues)) {
		json_decref(issues);
		return 0;
	}
	topo_error_codes(issues, codes, sizeof(codes));
	ret->issues = issues;
	return topo_refuse(ret, 409, "", "post-apply validation failed for %s: %s", t->id, codes);
}

int
topo_choose_subnet(const struct topo *t, const struct topo_world *w, const char *given,
		   char dst[TOPO_CIDR_SIZE], struct topo_refusal *ret)
{
	struct cidr c, own;
	char pool[TOPO_CIDR_SIZE];

	if (!given) {
		cidr_text(w->pool, pool);
		if (topo_next_subnet(w, t, w->pool, &c) < 0)
			return topo_refuse(ret, 409, "", "no free /24s left under %s", pool);
		cidr_text(c, dst);
		return 0;
	}
	if (cidr_parse_lan(given, &c) < 0)
		return topo_refuse(ret, 422, "payload.subnet", "subnet '%.64s' is malformed",
				   given);
	cidr_text(c, dst);
	for (size_t i = 0; i < w->nused; i++)
		if (cidr_overlap(w->used[i].subnet, c))
			return topo_refuse(ret, 409, "",
					   "subnet %s overlaps LAN '%s' of topology '%s'", dst,
					   w->used[i].lan, w->used[i].topology);
	for (size_t i = 0; i < t->nlans; i++)
		if (cidr_parse(t->lans[i].subnet, 0, 32, &own) == 0 && cidr_overlap(own, c))
			return topo_refuse(ret, 409, "",
					   "subnet %s overlaps LAN '%s' of topology '%s'", dst,
					   t->lans[i].name, t->name);
	return 0;
}

static int
check_ip(const struct topo *t, const struct topo_lan *lan, const char *ip, struct topo_refusal *ret)
{
	struct cidr c;
	uint32_t host;

	if (cidr_parse(lan->subnet, 0, 32, &c) < 0 || ip_parse(ip, &host) < 0 ||
	    !cidr_holds(c, host))
		return topo_refuse(ret, 422, "payload.ip", "%.64s not in %s", ip, lan->subnet);
	if (host == c.base + 1)
		return topo_refuse(ret, 422, "payload.ip", "%s is the gateway of %s", ip,
				   lan->subnet);
	if (host == c.base || host == (c.base | (uint32_t)((UINT64_C(1) << (32 - c.bits)) - 1)))
		return topo_refuse(ret, 422, "payload.ip", "%s not in %s", ip, lan->subnet);
	for (size_t i = 0; i < t->nedges; i++)
		if (strcmp(t->edges[i].lan_id, lan->id) == 0 && strcmp(t->edges[i].ip, ip) == 0)
			return topo_refuse(ret, 409, "", "%s is already used on LAN '%s'", ip,
					   lan->name);
	return 0;
}

int
topo_join(struct topo *t, const char *decky_uuid, const char *lan_id, const char *ip,
	  bool is_bridge, bool forwards_l3, struct topo_refusal *ret, struct topo_edge **ret_edge)
{
	const struct topo_lan *lan = topo_lan_by_id(t, lan_id);
	struct topo_decky *d = topo_decky_by_uuid(t, decky_uuid);
	char chosen[TOPO_IP_SIZE];
	struct topo_edge *edge;
	int r;

	if (topo_edge_of(t, decky_uuid, lan_id))
		return topo_refuse(ret, 409, "", "decky '%s' already on LAN '%s'", d->name,
				   lan->name);
	if (t->nedges + t->more_edges >= LIMIT_EDGES_PER_TOPOLOGY)
		return topo_refuse(ret, 409, "", "limit reached: edges (%d)",
				   (int)LIMIT_EDGES_PER_TOPOLOGY);
	if (ip) {
		r = check_ip(t, lan, ip, ret);
		if (r < 0)
			return r;
		(void)snprintf(chosen, sizeof(chosen), "%s", ip);
	} else if (topo_next_ip(t, lan, chosen) < 0) {
		return topo_refuse(ret, 409, "", "no free IPs left in %s", lan->subnet);
	}
	edge = topo_add_edge(t);
	if (!edge)
		return -ENOMEM;
	id_uuid7(edge->id);
	memcpy(edge->decky_uuid, d->uuid, sizeof(edge->decky_uuid));
	memcpy(edge->lan_id, lan->id, sizeof(edge->lan_id));
	memcpy(edge->ip, chosen, sizeof(edge->ip));
	edge->is_bridge = is_bridge;
	edge->forwards_l3 = forwards_l3;
	if (!d->home_lan_id[0])
		memcpy(d->home_lan_id, lan->id, sizeof(d->home_lan_id));
	if (ret_edge)
		*ret_edge = edge;
	return 0;
}

void
topo_set_xy(const json_t *payload, bool has[2], double xy[2])
{
	static const char *const keys[] = {"x", "y"};

	for (int i = 0; i < 2; i++) {
		const json_t *value = json_object_get(payload, keys[i]);

		if (!value)
			continue;
		has[i] = json_is_number(value);
		xy[i] = json_number_value(value);
	}
}

static int
add_lan(struct topo *t, const json_t *p, const struct topo_world *w, struct topo_refusal *ret)
{
	const char *name = json_get_text(p, "name");
	char subnet[TOPO_CIDR_SIZE];
	struct topo_lan *lan;
	int r;

	if (topo_lan_named(t, name, true))
		return topo_refuse(ret, 409, "", "LAN '%s' already exists", name);
	if (t->nlans >= LIMIT_LANS_PER_TOPOLOGY)
		return topo_refuse(ret, 409, "", "limit reached: lans (%d)",
				   (int)LIMIT_LANS_PER_TOPOLOGY);
	r = topo_choose_subnet(t, w, json_get_text(p, "subnet"), subnet, ret);
	if (r < 0)
		return r;
	lan = topo_add_lan(t);
	if (!lan)
		return -ENOMEM;
	id_uuid7(lan->id);
	(void)snprintf(lan->name, sizeof(lan->name), "%s", name);
	memcpy(lan->subnet, subnet, sizeof(lan->subnet));
	lan->is_dmz = json_is_true(json_object_get(p, "is_dmz"));
	topo_set_xy(p, lan->has_xy, lan->xy);
	return 0;
}

static int
remove_lan(struct topo *t, const json_t *p, struct topo_refusal *ret)
{
	const char *name = json_get_text(p, "name");
	struct topo_lan *lan = topo_lan_named(t, name, false);

	if (!lan)
		return topo_refuse(ret, 409, "", "LAN '%s' not found", name);
	for (size_t i = 0; i < t->ndeckies; i++)
		if (strcmp(t->deckies[i].home_lan_id, lan->id) == 0)
			return topo_refuse(
				ret, 409, "",
				"LAN '%s' is the home LAN of decky '%s'; remove the decky first",
				lan->name, t->deckies[i].name);
	topo_remove_lan(t, lan);
	return 0;
}

/* Values as they are kept: checked already, so this only normalises. */
json_t *
topo_kept_config(const json_t *config)
{
	json_t *kept = json_object(), *values;
	const char *service;

	json_object_foreach((json_t *)(uintptr_t)config, service, values)
	{
		json_t *good = catalog_check_config(service, values, NULL, NULL);

		if (good)
			(void)json_object_set_new(kept, service, good);
	}
	return kept;
}

static void
set_config(struct topo_decky *d, json_t *own_config)
{
	json_decref(d->service_config);
	d->service_config = own_config;
}

static void
set_services(struct topo_decky *d, const json_t *services)
{
	json_decref(d->services);
	d->services = json_deep_copy(services);
}

static int
add_decky(struct topo *t, const json_t *p, struct topo_refusal *ret)
{
	const char *name = json_get_text(p, "name"), *lan_name = json_get_text(p, "lan");
	const char *archetype = json_get_text(p, "archetype");
	const struct topo_lan *lan = topo_lan_named(t, lan_name, false);
	struct topo_decky *d;
	char lan_id[ID_UUID_SIZE], uuid[ID_UUID_SIZE];
	bool forwards = json_is_true(json_object_get(p, "forwards_l3"));

	if (topo_decky_named(t, name))
		return topo_refuse(ret, 409, "", "decky '%s' already exists", name);
	if (!lan)
		return topo_refuse(ret, 409, "", "LAN '%s' not found", lan_name);
	if (t->ndeckies + t->more_deckies >= LIMIT_DECKIES_PER_TOPOLOGY)
		return topo_refuse(ret, 409, "", "limit reached: deckies (%d)",
				   (int)LIMIT_DECKIES_PER_TOPOLOGY);
	memcpy(lan_id, lan->id, sizeof(lan_id));
	d = topo_add_decky(t);
	if (!d)
		return -ENOMEM;
	id_uuid7(d->uuid);
	memcpy(uuid, d->uuid, sizeof(uuid));
	(void)snprintf(d->name, sizeof(d->name), "%s", name);
	(void)snprintf(d->archetype, sizeof(d->archetype), "%s", archetype ? archetype : "");
	d->forwards_l3 = forwards;
	if (json_object_get(p, "services"))
		set_services(d, json_object_get(p, "services"));
	set_config(d, topo_kept_config(json_object_get(p, "service_config")));
	topo_set_xy(p, d->has_xy, d->xy);
	if (!d->services || !d->service_config)
		return -ENOMEM;
	return topo_join(t, uuid, lan_id, json_get_text(p, "ip"), false, forwards, ret, NULL);
}

static int
attach_decky(struct topo *t, const json_t *p, struct topo_refusal *ret)
{
	const char *name = json_get_text(p, "decky"), *lan_name = json_get_text(p, "lan");
	struct topo_decky *d = topo_decky_named(t, name);
	const struct topo_lan *lan = topo_lan_named(t, lan_name, false);
	bool forwards = json_is_true(json_object_get(p, "forwards_l3"));

	if (!d)
		return topo_refuse(ret, 409, "", "decky '%s' not found", name);
	if (!lan)
		return topo_refuse(ret, 409, "", "LAN '%s' not found", lan_name);
	if (forwards)
		d->forwards_l3 = true;
	return topo_join(t, d->uuid, lan->id, json_get_text(p, "ip"), true, forwards, ret, NULL);
}

static int
detach_decky(struct topo *t, const json_t *p, struct topo_refusal *ret)
{
	const char *name = json_get_text(p, "decky"), *lan_name = json_get_text(p, "lan");
	const struct topo_decky *d = topo_decky_named(t, name);
	const struct topo_lan *lan = topo_lan_named(t, lan_name, false);
	struct topo_edge *edge;

	if (!d || !lan)
		return topo_refuse(ret, 409, "", "decky or LAN not found");
	edge = topo_edge_of(t, d->uuid, lan->id);
	if (!edge)
		return topo_refuse(ret, 409, "", "decky not attached to LAN '%s'", lan->name);
	if (strcmp(d->home_lan_id, lan->id) == 0)
		return topo_refuse(ret, 409, "", "cannot detach home LAN '%s'; use remove_decky",
				   lan->name);
	topo_remove_edge(t, edge);
	return 0;
}

static int
remove_decky(struct topo *t, const json_t *p, struct topo_refusal *ret)
{
	const char *name = json_get_text(p, "decky");
	struct topo_decky *d = topo_decky_named(t, name);

	if (!d)
		return topo_refuse(ret, 409, "", "decky '%s' not found", name);
	topo_remove_decky(t, d);
	return 0;
}

/* A decky that is told to forward becomes a gateway: its home must be the DMZ. */
static int
flip_forwarding(struct topo *t, struct topo_decky *d, bool forwards, bool force,
		struct topo_refusal *ret)
{
	const struct topo_lan *home = topo_lan_by_id(t, d->home_lan_id);

	if (forwards && home && !home->is_dmz)
		return topo_refuse(
			ret, 409, "",
			"cannot promote decky '%s' to gateway: home LAN '%s' is not a DMZ", d->name,
			home->name);
	if (!force)
		return topo_refuse(ret, 409, "",
				   "forwards_l3 flip on live decky '%s' requires force=true",
				   d->name);
	d->forwards_l3 = forwards;
	for (size_t i = 0; i < t->nedges; i++)
		if (strcmp(t->edges[i].decky_uuid, d->uuid) == 0)
			t->edges[i].forwards_l3 = forwards;
	return 0;
}

static void
note_restarts(const struct topo_decky *d, json_t *restart)
{
	const json_t *item;
	char text[ID_UUID_SIZE + TOPO_LABEL_SIZE + 1];
	size_t i;

	if (!restart)
		return;
	json_array_foreach(d->services, i, item)
	{
		(void)snprintf(text, sizeof(text), "%s/%s", d->uuid, json_string_value(item));
		(void)json_array_append_new(restart, json_string(text));
	}
}

int
topo_patch_decky(struct topo_decky *d, const json_t *patch, const json_t *services)
{
	const json_t *archetype = json_object_get(patch, "archetype"),
		     *config = json_object_get(patch, "service_config");

	if (archetype)
		(void)snprintf(d->archetype, sizeof(d->archetype), "%s",
			       json_is_string(archetype) ? json_string_value(archetype) : "");
	if (services) {
		const char *service;
		json_t *values;
		void *next;

		set_services(d, services);
		if (!d->services || topo_own(&d->service_config) < 0)
			return -ENOMEM;
		/* Configuration of a service that goes with this very change goes with it. */
		json_object_foreach_safe(d->service_config, next, service, values)
		{
			if (!topo_decky_has_service(d, service))
				(void)json_object_del(d->service_config, service);
		}
	}
	/* The merge is shallow: the map of configurations is one value. */
	if (config)
		set_config(d, topo_kept_config(config));
	return d->service_config ? 0 : -ENOMEM;
}

static int
update_decky(struct topo *t, const json_t *p, struct topo_refusal *ret, json_t *restart)
{
	const char *name = json_get_text(p, "decky");
	const json_t *patch = json_object_get(p, "patch"),
		     *services = json_object_get(p, "services");
	const json_t *forwards = json_object_get(patch, "forwards_l3");
	struct topo_decky *d = topo_decky_named(t, name);
	int r = 0;

	if (!d)
		return topo_refuse(ret, 409, "", "decky '%s' not found", name);
	if (forwards && json_is_true(forwards) != d->forwards_l3) {
		r = flip_forwarding(t, d, json_is_true(forwards),
				    json_is_true(json_object_get(p, "force")), ret);
		/* A flip re-creates the decky's network, so everything on it starts anew. */
		if (r == 0)
			note_restarts(d, restart);
	}
	if (r < 0)
		return r;
	r = topo_patch_decky(d, patch, services);
	topo_set_xy(p, d->has_xy, d->xy);
	return r;
}

static int
update_lan(struct topo *t, const json_t *p, struct topo_refusal *ret)
{
	const char *name = json_get_text(p, "name");
	const json_t *patch = json_object_get(p, "patch");
	const char *new_name = json_get_text(patch, "name"),
		   *subnet = json_get_text(patch, "subnet");
	const json_t *is_dmz = json_object_get(patch, "is_dmz");
	struct topo_lan *lan = topo_lan_named(t, name, false);
	const struct topo_lan *other;
	bool dmz_changes, subnet_changes;

	if (!lan)
		return topo_refuse(ret, 409, "", "LAN '%s' not found", name);
	dmz_changes = is_dmz && json_is_true(is_dmz) != lan->is_dmz;
	subnet_changes = subnet && strcmp(subnet, lan->subnet) != 0;
	if (dmz_changes || subnet_changes)
		return topo_refuse(
			ret, 409, "",
			"cannot change [%s%s%s] on a deployed LAN; teardown + redeploy required",
			dmz_changes ? "'is_dmz'" : "", dmz_changes && subnet_changes ? ", " : "",
			subnet_changes ? "'subnet'" : "");
	other = new_name ? topo_lan_named(t, new_name, true) : NULL;
	if (other && other != lan)
		return topo_refuse(ret, 409, "", "LAN '%s' already exists", new_name);
	if (new_name)
		(void)snprintf(lan->name, sizeof(lan->name), "%s", new_name);
	topo_set_xy(p, lan->has_xy, lan->xy);
	return 0;
}

/* The three operations of the live service routes. */
static int
service_op(struct topo *t, enum topo_op op, const json_t *p, struct topo_refusal *ret,
	   json_t *restart)
{
	const char *service = json_get_text(p, "service"), *name = json_get_text(p, "decky");
	const json_t *config = json_object_get(p, "config");
	struct topo_decky *d = topo_decky_named(t, name);
	bool has = d && topo_decky_has_service(d, service);
	json_t *kept = NULL;
	char text[ID_UUID_SIZE + TOPO_LABEL_SIZE + 1];
	size_t i;

	if (!d)
		return topo_refuse(ret, 409, "", "decky '%s' not found", name);
	if (op == TOPO_OP_SERVICE_ADD && has)
		return topo_refuse(ret, 409, "", "service '%s' already on decky '%s'", service,
				   name);
	if (op != TOPO_OP_SERVICE_ADD && !has)
		return topo_refuse(ret, 409, "", "service '%s' not on decky '%s'", service, name);
	if (op == TOPO_OP_SERVICE_ADD && json_array_size(d->services) >= LIMIT_SERVICES_PER_DECKY)
		return topo_refuse(ret, 409, "", "limit reached: services (%d)",
				   (int)LIMIT_SERVICES_PER_DECKY);
	if (topo_own(&d->services) < 0 || topo_own(&d->service_config) < 0)
		return -ENOMEM;
	if (op == TOPO_OP_SERVICE_REMOVE) {
		const json_t *item;

		json_array_foreach(d->services, i,
				   item) if (strcmp(json_string_value(item), service) == 0) break;
		(void)json_array_remove(d->services, i);
		(void)json_object_del(d->service_config, service);
		return 0;
	}
	if (op == TOPO_OP_SERVICE_ADD &&
	    json_array_append_new(d->services, json_string(service)) < 0)
		return -ENOMEM;
	if (config) {
		kept = catalog_check_config(service, config, NULL, NULL);
		if (!kept || json_object_set_new(d->service_config, service, kept) < 0)
			return -ENOMEM;
	}
	if (op == TOPO_OP_SERVICE_CONFIG && restart &&
	    json_is_true(json_object_get(p, "recreate"))) {
		(void)snprintf(text, sizeof(text), "%s/%s", d->uuid, service);
		(void)json_array_append_new(restart, json_string(text));
	}
	return 0;
}

static int
change(struct topo *t, enum topo_op op, const json_t *payload, const struct topo_world *w,
       struct topo_refusal *ret, json_t *restart)
{
	int r = -EINVAL;

	memset(ret, 0, sizeof(*ret));
	switch (op) {
	case TOPO_OP_ADD_LAN: r = add_lan(t, payload, w, ret); break;
	case TOPO_OP_REMOVE_LAN: r = remove_lan(t, payload, ret); break;
	case TOPO_OP_ADD_DECKY: r = add_decky(t, payload, ret); break;
	case TOPO_OP_ATTACH_DECKY: r = attach_decky(t, payload, ret); break;
	case TOPO_OP_DETACH_DECKY: r = detach_decky(t, payload, ret); break;
	case TOPO_OP_REMOVE_DECKY: r = remove_decky(t, payload, ret); break;
	case TOPO_OP_UPDATE_DECKY: r = update_decky(t, payload, ret, restart); break;
	case TOPO_OP_UPDATE_LAN: r = update_lan(t, payload, ret); break;
	case TOPO_OP_SERVICE_ADD:
	case TOPO_OP_SERVICE_REMOVE:
	case TOPO_OP_SERVICE_CONFIG: r = service_op(t, op, payload, ret, restart); break;
	case TOPO_OP_COUNT: break;
	}
	return r;
}

int
topo_op_change(struct topo *t, enum topo_op op, const json_t *payload, const struct topo_world *w,
	       struct topo_refusal *ret)
{
	return change(t, op, payload, w, ret, NULL);
}

int
topo_op_apply(struct topo *t, enum topo_op op, const json_t *payload, const struct topo_world *w,
	      struct topo_refusal *ret, json_t **ret_restart)
{
	json_t *restart = ret_restart ? json_array() : NULL;
	int r = change(t, op, payload, w, ret, restart);

	if (r == 0)
		r = topo_op_validate(t, w, ret);
	if (r < 0) {
		json_decref(restart);
		return r;
	}
	if (ret_restart)
		*ret_restart = restart;
	return 0;
}
