/* SPDX-License-Identifier: Apache-2.0 */
/* The catalogue and free addresses (contract 5.2). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/topo_common.h"
#include "store/topology.h"
#include "topology/catalog.h"
#include "util/json.h"

api_handler_fn h_catalog_services, h_catalog_schema, h_catalog_archetypes, h_catalog_next_subnet,
	h_catalog_next_ip;

int
h_catalog_services(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	const json_t *item;
	json_t *rows = json_array();
	size_t i;

	(void)cx;
	(void)req;
	json_array_foreach(catalog_services(), i, item)
	{
		const char *name = json_get_text(item, "name");

		(void)json_array_append_new(
			rows, json_pack("{s:s, s:b, s:O, s:O, s:O}", "name", name, "available",
					(int)catalog_available(name), "ports",
					json_object_get(item, "ports"), "tcp_ports",
					json_object_get(item, "tcp_ports"), "udp_ports",
					json_object_get(item, "udp_ports")));
	}
	return api_ok(res, 200, json_pack("{s:o, s:[]}", "services", rows, "fleet_singletons"));
}

int
h_catalog_schema(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	char name[65];
	const char *asked = api_param_text(req, 0, name, sizeof(name));
	const json_t *item = asked ? catalog_service(asked) : NULL;

	(void)cx;
	if (!item)
		return api_fail(res, 404, "Unknown service: '%s'", asked ? asked : "");
	return api_ok(res, 200,
		      json_pack("{s:s, s:b, s:O, s:O, s:O, s:b, s:O}", "name", asked, "available",
				(int)catalog_available(asked), "ports",
				json_object_get(item, "ports"), "tcp_ports",
				json_object_get(item, "tcp_ports"), "udp_ports",
				json_object_get(item, "udp_ports"), "fleet_singleton", 0, "fields",
				json_object_get(item, "fields")));
}

int
h_catalog_archetypes(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	(void)cx;
	(void)req;
	return api_ok(res, 200,
		      json_pack("{s:o}", "archetypes", json_deep_copy(catalog_archetypes())));
}

/* A CIDR, or two octets `a.b` for a.b.0.0/16. */
static int
read_base(const struct sv *given, const char *pool, struct cidr *ret)
{
	char text[32], wide[48];

	if (!given)
		return cidr_parse(pool, 0, 32, ret);
	if (sv_copy(*given, text, sizeof(text)) < 0)
		return -EBADMSG;
	if (strchr(text, '/'))
		return cidr_parse(text, 0, 24, ret);
	(void)snprintf(wide, sizeof(wide), "%s.0.0/16", text);
	return cidr_parse(wide, 16, 16, ret);
}

int
h_catalog_next_subnet(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	struct topo_world w = {0};
	struct cidr base, found;
	char text[TOPO_CIDR_SIZE];
	int r;

	if (read_base(api_query_get(req, "base"), cx->conf->pool, &base) < 0) {
		api_bad_field(res, "query.base", "expected a CIDR of /24 or wider, or two octets");
		(void)api_bad(res);
		return 0;
	}
	r = topology_world(cx->db, cx->conf->pool, NULL, &w, NULL);
	if (r < 0)
		return r;
	r = topo_next_subnet(&w, NULL, base, &found);
	topology_world_fini(&w);
	cidr_text(r < 0 ? base : found, text);
	if (r < 0)
		return api_fail(res, 409, "no free /24s left under %s", text);
	return api_ok(res, 200, json_pack("{s:s}", "subnet", text));
}

int
h_catalog_next_ip(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	const char *lan_id = api_param_uuid(req, 1);
	const struct topo_lan *lan;
	struct topo *t = NULL;
	char ip[TOPO_IP_SIZE];
	int r = topo_from_path(cx, req, 0, res, &t);

	if (r <= 0)
		return r;
	lan = lan_id ? topo_lan_by_id(t, lan_id) : NULL;
	if (!lan)
		r = api_fail(res, 404, "LAN not found");
	else if (topo_next_ip(t, lan, ip) < 0)
		r = api_fail(res, 409, "no free IPs left in %s", lan->subnet);
	else
		r = api_ok(res, 200, json_pack("{s:s, s:s}", "subnet", lan->subnet, "ip", ip));
	topo_free(t);
	return r;
}
