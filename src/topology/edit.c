/* SPDX-License-Identifier: Apache-2.0 */
/* Direct edits of LANs and deckies, and the new addresses that a new subnet gives. */
#include "topology/edit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "topology/apply.h"
#include "topology/catalog.h"
#include "util/json.h"
#include "util/limits.h"

static unsigned
report(topo_bad_fn *bad, void *user, const char *key, const char *text)
{
	char at[160];

	(void)snprintf(at, sizeof(at), "decky_config.%.64s", key);
	bad(user, at, text);
	return 1;
}

static unsigned
check_archetype(const json_t *value, topo_bad_fn *bad, void *user)
{
	const char *text = json_string_value(value);
	char message[128];

	if (json_is_null(value) || (text && catalog_archetype(text)))
		return 0;
	if (!text)
		return report(bad, user, "archetype", "expected a text");
	(void)snprintf(message, sizeof(message), "unknown archetype '%.64s'", text);
	return report(bad, user, "archetype", message);
}

unsigned
topo_check_decky_config(const json_t *config, const char *name, const json_t *ips, topo_bad_fn *bad,
			void *user)
{
	const char *key;
	json_t *value;
	unsigned n = 0;

	json_object_foreach((json_t *)(uintptr_t)config, key, value)
	{
		if (strcmp(key, "archetype") == 0) {
			n += check_archetype(value, bad, user);
		} else if (strcmp(key, "forwards_l3") == 0) {
			if (!json_is_boolean(value))
				n += report(bad, user, key, "expected true or false");
		} else if (strcmp(key, "service_config") == 0) {
			n += topo_check_service_config(value, "decky_config.service_config", bad,
						       user);
		} else if (strcmp(key, "name") == 0) {
			const char *text = json_string_value(value);

			if (!text || !name || strcmp(text, name) != 0)
				n += report(bad, user, key, "is derived and differs");
		} else if (strcmp(key, "ips_by_lan") == 0) {
			if (!json_equal(value, ips))
				n += report(bad, user, key, "is derived and differs");
		} else {
			n += report(bad, user, key, "unknown field");
		}
	}
	return n;
}

/* Host parts are kept where they fit; the others get the lowest free ones after that. */
static int
readdress(struct topo *t, const struct topo_lan *lan, struct cidr from, struct topo_refusal *ret)
{
	struct cidr to;
	uint32_t ip, size;

	if (cidr_parse_lan(lan->subnet, &to) < 0)
		return topo_refuse(ret, 422, "subnet", "subnet '%s' is malformed", lan->subnet);
	size = UINT32_C(1) << (32 - to.bits);
	for (size_t i = 0; i < t->nedges; i++) {
		struct topo_edge *edge = &t->edges[i];

		if (strcmp(edge->lan_id, lan->id) != 0)
			continue;
		if (ip_parse(edge->ip, &ip) == 0 && cidr_holds(from, ip) && ip - from.base >= 2 &&
		    ip - from.base < size - 1)
			ip_text(to.base + (ip - from.base), edge->ip);
		else
			edge->ip[0] = 0;
	}
	for (size_t i = 0; i < t->nedges; i++) {
		struct topo_edge *edge = &t->edges[i];
		char chosen[TOPO_IP_SIZE];

		if (strcmp(edge->lan_id, lan->id) != 0 || edge->ip[0])
			continue;
		if (topo_next_ip(t, lan, chosen) < 0)
			return topo_refuse(ret, 409, "", "no free IPs left in %s", lan->subnet);
		memcpy(edge->ip, chosen, sizeof(edge->ip));
	}
	return 0;
}

static int
new_subnet(struct topo *t, struct topo_lan *lan, const char *subnet, const struct topo_world *w,
	   struct topo_refusal *ret)
{
	struct cidr from = {0};
	char chosen[TOPO_CIDR_SIZE];
	int r;

	if (strcmp(subnet, lan->subnet) == 0)
		return 0;
	if (cidr_parse(lan->subnet, 0, 32, &from) < 0)
		from.bits = 32;
	/* Its old subnet is no obstacle for its new one. */
	lan->subnet[0] = 0;
	r = topo_choose_subnet(t, w, subnet, chosen, ret);
	if (r < 0)
		return r;
	memcpy(lan->subnet, chosen, sizeof(lan->subnet));
	return readdress(t, lan, from, ret);
}

int
topo_edit_lan(struct topo *t, struct topo_lan *lan, const json_t *body, const struct topo_world *w,
	      struct topo_refusal *ret)
{
	const char *name = json_get_text(body, "name"), *subnet = json_get_text(body, "subnet");
	const json_t *is_dmz = json_object_get(body, "is_dmz");

	memset(ret, 0, sizeof(*ret));
	if (name) {
		const struct topo_lan *other = topo_lan_named(t, name, true);

		if (other && other != lan)
			return topo_refuse(ret, 409, "", "LAN '%s' already exists", name);
		(void)snprintf(lan->name, sizeof(lan->name), "%s", name);
	}
	if (is_dmz)
		lan->is_dmz = json_is_true(is_dmz);
	topo_set_xy(body, lan->has_xy, lan->xy);
	return subnet ? new_subnet(t, lan, subnet, w, ret) : 0;
}

int
topo_edit_add_decky(struct topo *t, const json_t *body, struct topo_refusal *ret,
		    struct topo_decky **ret_decky)
{
	const char *name = json_get_text(body, "name");
	const json_t *config = json_object_get(body, "decky_config");
	struct topo_decky *d;
	int r;

	memset(ret, 0, sizeof(*ret));
	if (topo_decky_named(t, name))
		return topo_refuse(ret, 409, "", "decky '%s' already exists", name);
	if (t->ndeckies >= LIMIT_DECKIES_PER_TOPOLOGY)
		return topo_refuse(ret, 409, "", "limit reached: deckies (%d)",
				   (int)LIMIT_DECKIES_PER_TOPOLOGY);
	d = topo_add_decky(t);
	if (!d)
		return -ENOMEM;
	id_uuid7(d->uuid);
	(void)snprintf(d->name, sizeof(d->name), "%s", name);
	d->forwards_l3 = json_is_true(json_object_get(config, "forwards_l3"));
	topo_set_xy(body, d->has_xy, d->xy);
	r = topo_patch_decky(d, config, json_object_get(body, "services"));
	*ret_decky = d;
	return r;
}

int
topo_edit_decky(struct topo *t, struct topo_decky *d, const json_t *body, struct topo_refusal *ret)
{
	const char *name = json_get_text(body, "name"), *home = json_get_text(body, "home_lan_id");
	const json_t *config = json_object_get(body, "decky_config"),
		     *forwards = json_object_get(config, "forwards_l3");

	memset(ret, 0, sizeof(*ret));
	if (name) {
		const struct topo_decky *other = topo_decky_named(t, name);

		if (other && other != d)
			return topo_refuse(ret, 409, "", "decky '%s' already exists", name);
		(void)snprintf(d->name, sizeof(d->name), "%s", name);
	}
	if (home) {
		const struct topo_edge *edge = topo_edge_of(t, d->uuid, home);

		if (!edge)
			return topo_refuse(ret, 422, "home_lan_id",
					   "home_lan_id is not a LAN of this decky");
		memcpy(d->home_lan_id, edge->lan_id, sizeof(d->home_lan_id));
	}
	if (forwards && json_is_true(forwards) != d->forwards_l3) {
		d->forwards_l3 = json_is_true(forwards);
		for (size_t i = 0; i < t->nedges; i++)
			if (strcmp(t->edges[i].decky_uuid, d->uuid) == 0)
				t->edges[i].forwards_l3 = d->forwards_l3;
	}
	topo_set_xy(body, d->has_xy, d->xy);
	return topo_patch_decky(d, config, json_object_get(body, "services"));
}
