/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers of topologies, direct edits, the queue and live services over a real database file;
 * the mutator's store side applies what is queued, with a driver that has only ports. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/api.h"
#include "mutator/work.h"
#include "netdrv/driver.h"
#include "scratch.h"
#include "store/journal.h"
#include "store/mutation.h"
#include "store/topology.h"
#include "util/json.h"

#define T0 1769847300000ULL

api_handler_fn h_topology_list, h_topology_generate, h_topology_blank, h_topology_get,
	h_topology_issues, h_topology_delete, h_topology_deploy, h_topology_teardown,
	h_topology_status_events, h_topology_reap_orphans, h_mutation_create, h_mutation_list,
	h_mutation_cancel, h_catalog_next_subnet, h_catalog_next_ip, h_catalog_schema,
	h_edit_lan_create, h_edit_lan_update, h_edit_lan_delete, h_edit_decky_create,
	h_edit_decky_update, h_edit_decky_delete, h_edit_edge_create, h_edit_edge_delete,
	h_service_add, h_service_remove, h_service_config, h_service_apply;

static uint16_t
raised(const struct netdrv *d, uint16_t port)
{
	(void)d;
	return (uint16_t)(port + 10000);
}

static const struct netdrv_ops ops = {.name = "loopback", .port = raised};
static const struct netdrv driver = {&ops};
static const struct work_context mutator = {
	.owner = "here:1:1", .host = "here", .pool = "172.16.0.0/12", .driver = &driver};

struct world {
	struct scratch at;
	struct conf conf;
	struct db *db;
	struct err e;
	struct api_res res;
	uint64_t now;
	char id[ID_UUID_SIZE];	 /* of the topology in use */
	char last[ID_UUID_SIZE]; /* id or uuid of the last answer */
	char text[128][1024];	 /* formatted bodies */
	unsigned ntext;
	struct journal_rows rows; /* of the last call */
};

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	scratch_make(&w->at);
	w->db = scratch_open(&w->at);
	w->conf.pool = strdup("172.16.0.0/12");
	w->now = T0;
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	api_res_fini(&w->res);
	journal_rows_fini(&w->rows);
	free(w->conf.pool);
	db_close(w->db);
	scratch_remove(&w->at);
	free(w);
	return 0;
}

static const char *text(struct world *w, const char *fmt, ...) A_PRINTF(2, 3);

static const char *
text(struct world *w, const char *fmt, ...)
{
	char *dst = w->text[w->ntext++ % ARRAY_LEN(w->text)];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(dst, sizeof(w->text[0]), fmt, ap);
	va_end(ap);
	return dst;
}

/* One call as the server makes it: the route's transaction, and again when the handler says so
 * after `meanwhile`. `params` are separated by blanks, `query` is "key=value" or NULL. */
static int
call_query(struct world *w, api_handler_fn *handler, const char *params, const char *body,
	   const char *query, void (*meanwhile)(struct world *w))
{
	struct api_ctx cx = {.db = w->db, .conf = &w->conf, .e = &w->e};
	struct api_query_arg arg;
	struct api_req req = {.query = &arg, .now_ms = w->now, .since_ms = w->now};
	char path[512];
	bool own = meanwhile != NULL;

	(void)snprintf(path, sizeof(path), "%s", params);
	for (char *p = strtok(path, " "); p; p = strtok(NULL, " "))
		req.param[req.nparams++] = sv_from(p);
	if (query) {
		struct sv rest = sv_from(query);

		arg.key = sv_cut(&rest, '=');
		arg.value = rest;
		req.nquery = 1;
	}
	if (body && json_parse(sv_from(body), &req.body, &w->e) < 0)
		fail_msg("%s: %s", body, err_text(&w->e));
	for (;;) {
		api_res_fini(&w->res);
		w->res = (struct api_res){0};
		if (!own)
			assert_int_equal(db_begin_write(w->db, &w->e), 0);
		if (handler(&cx, &req, &w->res) < 0)
			fail_msg("%s", err_text(&w->e));
		if (!own && w->res.status < 400)
			assert_int_equal(db_commit(w->db, &w->e), 0);
		db_rollback(w->db);
		journal_rows_fini(&w->rows);
		journal_take(w->db, &w->rows);
		if (!w->res.resume)
			break;
		free((void *)(uintptr_t)req.resume);
		req.resume = TAKE(w->res.resume);
		meanwhile(w);
		w->now += 100;
		req.now_ms = w->now;
	}
	free((void *)(uintptr_t)req.resume);
	json_decref(req.body);
	return w->res.status;
}

static const char *
detail(const struct world *w)
{
	const char *d = json_get_text(w->res.body, "detail");

	return d ? d : "";
}

static const char *
first_field(const struct world *w)
{
	const char *d =
		json_get_text(json_array_get(json_object_get(w->res.body, "errors"), 0), "field");

	return d ? d : "";
}

static void
check(struct world *w, int line, int got, int status, const char *want)
{
	const char *id;
	char *shown = w->res.body ? json_text(w->res.body) : NULL;

	if (got != status || (want && strcmp(detail(w), want) != 0))
		fail_msg("line %d: %d %s\nwanted %d %s", line, got, shown ? shown : "", status,
			 want ? want : "");
	free(shown);
	id = json_get_text(w->res.body, "id");
	if (!id)
		id = json_get_text(w->res.body, "uuid");
	if (!id)
		id = json_get_text(w->res.body, "mutation_id");
	if (id && status < 300)
		(void)snprintf(w->last, sizeof(w->last), "%s", id);
}

/* A call of a route in one transaction; `want` is the detail of a failure, or NULL. */
#define CALL(handler, params, body, status, want)                                                  \
	check(w, __LINE__, call_query(w, handler, params, body, NULL, NULL), status, want)

/* Everything that waits for the mutator is done, until nothing is left. `r` is how runs end. */
static void
work_all(struct world *w, int r)
{
	struct work *works = NULL;
	int n;

	for (;;) {
		n = work_find(w->db, &mutator, NULL, 0, w->now, 1, &works, &w->e);
		assert_true(n >= 0);
		if (n == 0)
			break;
		n = work_prepare(w->db, &mutator, &works[0], ++w->now, &w->e);
		if (n < 0)
			fail_msg("%s", err_text(&w->e));
		for (size_t i = 0; i < works[0].ndeckies; i++)
			(void)snprintf(works[0].deckies[i].address, NETDRV_ADDRESS_SIZE,
				       "127.100.0.%zu", i + 1);
		if (n > 0 && work_finish(w->db, &mutator, &works[0], r, r < 0 ? "no port" : NULL,
					 false, ++w->now, &w->e) < 0)
			fail_msg("%s", err_text(&w->e));
		journal_rows_fini(&w->rows);
		journal_take(w->db, &w->rows);
		work_fini(&works[0]);
		free(TAKE(works));
	}
	free(works);
}

static void
mutator_works(struct world *w)
{
	work_all(w, 0);
}

static void
mutator_fails(struct world *w)
{
	work_all(w, -EADDRINUSE);
}

static void
mutator_sleeps(struct world *w)
{
	w->now += 1000;
}

static json_t *
shown(struct world *w)
{
	CALL(h_topology_get, w->id, NULL, 200, NULL);
	return w->res.body;
}

static json_t *
named(const json_t *rows, const char *name)
{
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		if (strcmp(json_get_text(row, "name"), name) == 0)
			return row;
	}
	return NULL;
}

static int64_t
version(struct world *w)
{
	return json_integer_value(
		json_object_get(json_object_get(shown(w), "topology"), "version"));
}

static const char *
lan_id(struct world *w, const char *name)
{
	return text(w, "%s", json_get_text(named(json_object_get(shown(w), "lans"), name), "id"));
}

static const char *
decky_uuid(struct world *w, const char *name)
{
	return text(w, "%s",
		    json_get_text(named(json_object_get(shown(w), "deckies"), name), "uuid"));
}

/* The topics of the last call's journal rows without the part of the topology, joined by blanks. */
static const char *
topics(struct world *w)
{
	static char all[1024];
	size_t n = 0;

	all[0] = 0;
	for (size_t i = 0; i < w->rows.n; i++) {
		const char *topic = w->rows.v[i].topic;

		if (strncmp(topic, "topology.", 9) == 0)
			topic += 9 + ID_UUID_SIZE;
		n += (size_t)snprintf(all + n, sizeof(all) - n, "%s%s", i ? " " : "", topic);
	}
	return all;
}

static void
make_blank(struct world *w, const char *name)
{
	CALL(h_topology_blank, "", text(w, "{\"name\":\"%s\"}", name), 201, NULL);
	memcpy(w->id, w->last, sizeof(w->id));
}

/* A deployed topology: the blank one, a LAN `inner`, and deckies `web` (http) and `db` (redis). */
static void
make_active(struct world *w, const char *name)
{
	const char *lan;

	make_blank(w, name);
	CALL(h_edit_lan_create, w->id, "{\"name\":\"inner\"}", 201, NULL);
	lan = text(w, "%s", w->last);
	CALL(h_edit_edge_create, w->id,
	     text(w,
		  "{\"decky_uuid\":\"%s\",\"lan_id\":\"%s\",\"is_bridge\":true,"
		  "\"forwards_l3\":true}",
		  decky_uuid(w, "dmz-gateway"), lan),
	     201, NULL);
	CALL(h_edit_decky_create, w->id, "{\"name\":\"web\",\"services\":[\"http\"]}", 201, NULL);
	CALL(h_edit_edge_create, w->id,
	     text(w, "{\"decky_uuid\":\"%s\",\"lan_id\":\"%s\"}", w->last, lan_id(w, "dmz")), 201,
	     NULL);
	CALL(h_edit_decky_create, w->id, "{\"name\":\"db\",\"services\":[\"redis\"]}", 201, NULL);
	CALL(h_edit_edge_create, w->id,
	     text(w, "{\"decky_uuid\":\"%s\",\"lan_id\":\"%s\"}", w->last, lan), 201, NULL);
	CALL(h_topology_deploy, w->id, NULL, 202, NULL);
	work_all(w, 0);
	assert_string_equal(json_get_text(json_object_get(shown(w), "topology"), "status"),
			    "active");
}

static void
creates_and_lists(void **state)
{
	struct world *w = *state;
	const json_t *row;

	make_blank(w, "one");
	assert_string_equal(topics(w), "created");
	assert_int_equal(version(w), 1);
	row = named(json_object_get(shown(w), "deckies"), "dmz-gateway");
	assert_string_equal(json_get_text(row, "ip"), "172.16.0.2");
	CALL(h_topology_blank, "", "{\"name\":\"one\"}", 409,
	     "A topology named 'one' already exists.");
	CALL(h_topology_blank, "", "{\"name\":\"a\\u0007b\"}", 422, "Invalid request parameters");
	CALL(h_topology_blank, "", "{\"name\":\"x\",\"target_host\":\"h\"}", 422,
	     "target_host is only valid when mode='agent'");
	CALL(h_topology_blank, "", "{\"name\":\"x\",\"mode\":\"agent\"}", 422,
	     "mode='agent' requires target_host");
	CALL(h_topology_blank, "", "{\"name\":\"x\",\"mode\":\"agent\",\"target_host\":\"h\"}", 422,
	     "unknown sensor host 'h'");
	CALL(h_topology_generate, "", "{\"name\":\"big\",\"depth\":16,\"branching_factor\":8}", 409,
	     "limit reached: lans (256)");
	CALL(h_topology_generate, "",
	     "{\"name\":\"x\",\"depth\":1e30,\"branching_factor\":-1,\"bogus\":1}", 422,
	     "Invalid request parameters");
	CALL(h_topology_generate, "",
	     "{\"name\":\"two\",\"depth\":3,\"branching_factor\":2,\"seed\":7}", 201, NULL);
	check(w, __LINE__, call_query(w, h_topology_list, "", NULL, "status=pending", NULL), 200,
	      NULL);
	assert_int_equal(json_integer_value(json_object_get(w->res.body, "total")), 2);
	check(w, __LINE__, call_query(w, h_topology_list, "", NULL, "status=odd", NULL), 422, NULL);
	assert_string_equal(first_field(w), "query.status");
	check(w, __LINE__, call_query(w, h_catalog_next_subnet, "", NULL, "base=10.9", NULL), 200,
	      NULL);
	assert_string_equal(json_get_text(w->res.body, "subnet"), "10.9.0.0/24");
	check(w, __LINE__, call_query(w, h_catalog_next_subnet, "", NULL, "base=10.9.0.0/25", NULL),
	      422, NULL);
	/* Any number that is none below zero seeds the generator. */
	CALL(h_topology_generate, "",
	     "{\"name\":\"three\",\"depth\":1,\"branching_factor\":1,\"seed\":9223372036854775807}",
	     201, NULL);
	CALL(h_catalog_schema, "nope", NULL, 404, "Unknown service: 'nope'");
	CALL(h_topology_get, "nope", NULL, 404, "Topology not found");
	CALL(h_topology_delete, w->id, NULL, 204, NULL);
	assert_string_equal(topics(w), "deleted");
	CALL(h_topology_get, w->id, NULL, 404, "Topology not found");
}

static void
edits_lans(void **state)
{
	struct world *w = *state;
	const char *inner, *edge;

	make_blank(w, "t");
	CALL(h_edit_lan_create, w->id, "{\"name\":\"inner\",\"x\":1,\"expected_version\":9}", 409,
	     "Version conflict: expected 9, current 1");
	CALL(h_edit_lan_create, w->id, "{\"name\":\"inner\",\"x\":1,\"expected_version\":1}", 201,
	     NULL);
	assert_string_equal(topics(w), "changed");
	assert_string_equal(json_get_text(w->res.body, "subnet"), "172.16.1.0/24");
	inner = text(w, "%s %s", w->id, w->last);
	assert_int_equal(version(w), 2);
	CALL(h_edit_lan_create, w->id, "{\"name\":\"INNER\"}", 409, "LAN 'INNER' already exists");
	CALL(h_edit_lan_create, w->id, "{\"name\":\"b\",\"subnet\":\"10.0.0.1/24\"}", 422,
	     "subnet '10.0.0.1/24' is malformed");
	assert_string_equal(first_field(w), "subnet");
	CALL(h_edit_lan_create, w->id, "{\"name\":\"b\",\"subnet\":\"172.16.1.128/25\"}", 409,
	     "subnet 172.16.1.128/25 overlaps LAN 'inner' of topology 't'");
	CALL(h_edit_lan_create, w->id, "{\"name\":\"b\",\"is_dmz\":true}", 409,
	     text(w, "post-apply validation failed for %s: DMZ_MULTIPLE", w->id));
	assert_string_equal(
		json_get_text(json_array_get(json_object_get(w->res.body, "issues"), 0), "code"),
		"DMZ_MULTIPLE");
	CALL(h_edit_lan_create, w->id, "{\"name\":\"-\",\"colour\":1,\"x\":\"a\"}", 422,
	     "Invalid request parameters");
	assert_int_equal(json_array_size(json_object_get(w->res.body, "errors")), 3);
	CALL(h_edit_lan_create, w->id, "{\"x\":1}", 422, NULL);
	assert_string_equal(first_field(w), "name");

	/* Three members: host parts 2, 130 and 200 of a /24 go into a /25 that begins at 128. */
	CALL(h_edit_edge_create, w->id,
	     text(w, "{\"decky_uuid\":\"%s\",\"lan_id\":\"%s\",\"ip\":\"172.16.1.130\"}",
		  decky_uuid(w, "dmz-gateway"), lan_id(w, "inner")),
	     201, NULL);
	edge = text(w, "%s %s", w->id, w->last);
	CALL(h_edit_decky_create, w->id, "{\"name\":\"a\"}", 201, NULL);
	CALL(h_edit_edge_create, w->id,
	     text(w, "{\"decky_uuid\":\"%s\",\"lan_id\":\"%s\"}", w->last, lan_id(w, "inner")), 201,
	     NULL);
	assert_string_equal(json_get_text(w->res.body, "ip"), "172.16.1.2");
	CALL(h_edit_lan_update, inner, "{\"subnet\":\"172.16.1.128/25\"}", 200, NULL);
	assert_string_equal(json_get_text(named(json_object_get(shown(w), "deckies"), "a"), "ip"),
			    "172.16.1.130");
	CALL(h_edit_lan_update, inner, "{\"name\":\"Inner\",\"x\":null}", 200, NULL);
	assert_true(json_is_null(json_object_get(w->res.body, "x")));
	CALL(h_edit_lan_update, inner, "{\"name\":\"DMZ\"}", 409, "LAN 'DMZ' already exists");
	CALL(h_edit_lan_update, inner, "{\"is_dmz\":true}", 409, NULL);
	CALL(h_edit_lan_update, text(w, "%s nope", w->id), "{}", 404, "lan 'nope' not found");
	CALL(h_edit_lan_delete, text(w, "%s nope", w->id), NULL, 404, "LAN not found");
	CALL(h_edit_lan_delete, inner, NULL, 409,
	     "LAN 'Inner' is the home LAN of decky 'a'; remove the decky first");
	CALL(h_edit_edge_delete, edge, NULL, 204, NULL);
	CALL(h_edit_edge_delete, edge, NULL, 404, "Edge not found");
	CALL(h_edit_decky_delete, text(w, "%s %s", w->id, decky_uuid(w, "a")), NULL, 204, NULL);
	CALL(h_edit_lan_delete, inner, NULL, 204, NULL);
	/* An edit that changes nothing counts, and is told. */
	CALL(h_edit_lan_update, text(w, "%s %s", w->id, lan_id(w, "dmz")), "{}", 200, NULL);
	assert_string_equal(topics(w), "changed");
}

static void
edits_deckies(void **state)
{
	struct world *w = *state;
	const char *a, *dmz, *path;

	make_blank(w, "t");
	dmz = lan_id(w, "dmz");
	CALL(h_edit_decky_create, w->id,
	     "{\"name\":\"a\",\"services\":[\"http\"],\"decky_config\":{\"archetype\":"
	     "\"web-server\",\"service_config\":{\"http\":{\"server_header\":\"x\"}}},\"x\":5}",
	     201, NULL);
	a = text(w, "%s", w->last);
	path = text(w, "%s %s", w->id, a);
	assert_true(json_is_null(json_object_get(w->res.body, "home_lan_id")));
	CALL(h_edit_decky_create, w->id, "{\"name\":\"a\"}", 409, "decky 'a' already exists");
	CALL(h_edit_decky_create, w->id, "{\"name\":\"A\"}", 422, NULL);
	CALL(h_edit_decky_create, w->id, "{\"name\":\"b\",\"services\":[\"ssh\",\"x\"]}", 422,
	     NULL);
	assert_int_equal(json_array_size(json_object_get(w->res.body, "errors")), 2);
	CALL(h_edit_decky_create, w->id,
	     "{\"name\":\"b\",\"decky_config\":{\"service_config\":{\"http\":{\"no\":1}}}}", 422,
	     NULL);
	assert_string_equal(first_field(w), "decky_config.service_config.http.no");
	CALL(h_edit_decky_create, w->id,
	     "{\"name\":\"b\",\"decky_config\":{\"service_config\":{\"http\":{}}}}", 409,
	     text(w, "post-apply validation failed for %s: SERVICE_CFG_UNDECLARED", w->id));

	CALL(h_edit_edge_create, w->id,
	     text(w, "{\"decky_uuid\":\"%s\",\"lan_id\":\"%s\",\"ip\":\"172.16.0.1\"}", a, dmz),
	     422, "172.16.0.1 is the gateway of 172.16.0.0/24");
	assert_string_equal(first_field(w), "ip");
	CALL(h_edit_edge_create, w->id,
	     text(w, "{\"decky_uuid\":\"%s\",\"lan_id\":\"%s\",\"ip\":\"172.16.0.2\"}", a, dmz),
	     409, "172.16.0.2 is already used on LAN 'dmz'");
	CALL(h_edit_edge_create, w->id, text(w, "{\"decky_uuid\":\"no\",\"lan_id\":\"%s\"}", dmz),
	     422, text(w, "decky 'no' not in topology '%s'", w->id));
	CALL(h_edit_edge_create, w->id, text(w, "{\"decky_uuid\":\"%s\",\"lan_id\":\"no\"}", a),
	     422, text(w, "lan 'no' not in topology '%s'", w->id));
	CALL(h_edit_edge_create, w->id,
	     text(w, "{\"decky_uuid\":\"%s\",\"lan_id\":\"%s\"}", a, dmz), 201, NULL);
	CALL(h_edit_edge_create, w->id,
	     text(w, "{\"decky_uuid\":\"%s\",\"lan_id\":\"%s\"}", a, dmz), 409,
	     "decky 'a' already on LAN 'dmz'");

	CALL(h_edit_decky_update, path, "{\"services\":[\"redis\"]}", 200, NULL);
	assert_string_equal(topics(w), "decky.a.service_removed decky.a.service_added changed");
	assert_int_equal(json_object_size(json_object_get(
				 json_object_get(w->res.body, "decky_config"), "service_config")),
			 0);
	CALL(h_edit_decky_update, path,
	     "{\"name\":\"b\",\"decky_config\":{\"name\":\"b\",\"ips_by_lan\":{\"dmz\":"
	     "\"172.16.0.3\"},\"forwards_l3\":true}}",
	     200, NULL);
	CALL(h_edit_decky_update, path, "{\"decky_config\":{\"name\":\"c\"}}", 422, NULL);
	assert_string_equal(first_field(w), "decky_config.name");
	CALL(h_edit_decky_update, path, "{\"decky_config\":{\"ips_by_lan\":{}}}", 422, NULL);
	CALL(h_edit_decky_update, path, "{\"name\":\"dmz-gateway\"}", 409,
	     "decky 'dmz-gateway' already exists");
	CALL(h_edit_decky_update, path, "{\"home_lan_id\":\"nope\"}", 422,
	     "home_lan_id is not a LAN of this decky");
	CALL(h_edit_decky_update, text(w, "%s %s", w->id, dmz), "{}", 404,
	     text(w, "decky '%s' not found", dmz));
	check(w, __LINE__,
	      call_query(w, h_edit_decky_delete, path, NULL, "expected_version=1", NULL), 409,
	      NULL);
	CALL(h_edit_decky_delete, path, NULL, 204, NULL);
	CALL(h_edit_decky_delete, path, NULL, 404, "Decky not found");
	CALL(h_catalog_next_ip, text(w, "%s %s", w->id, dmz), NULL, 200, NULL);
	assert_string_equal(json_get_text(w->res.body, "ip"), "172.16.0.3");
}

static void
deploys_and_tears_down(void **state)
{
	struct world *w = *state;
	const json_t *row;

	make_blank(w, "t");
	CALL(h_edit_lan_create, w->id, "{\"name\":\"far\"}", 201, NULL);
	CALL(h_topology_deploy, w->id, NULL, 409, "Topology validation failed: DMZ_ORPHAN");
	CALL(h_topology_issues, w->id, NULL, 200, NULL);
	assert_int_equal(json_array_size(json_object_get(w->res.body, "issues")), 2);
	CALL(h_edit_lan_delete, text(w, "%s %s", w->id, lan_id(w, "far")), NULL, 204, NULL);
	CALL(h_topology_teardown, w->id, NULL, 409,
	     "Topology is 'pending'; teardown is allowed from ['active', 'degraded', 'deploying', "
	     "'failed'].");
	CALL(h_topology_deploy, w->id, "{\"expected_version\":99}", 409,
	     "Version conflict: expected 99, current 3");
	CALL(h_topology_deploy, w->id, "{}", 202, NULL);
	assert_string_equal(json_get_text(w->res.body, "status"), "deploying");
	assert_string_equal(topics(w), "status");
	row = json_array_get(json_object_get(w->res.body, "issues"), 0);
	assert_string_equal(json_get_text(row, "code"), "SERVICE_UNAVAILABLE");
	CALL(h_topology_deploy, w->id, "{}", 409,
	     "Topology is 'deploying'; only 'pending' topologies can be deployed.");
	work_all(w, -EADDRINUSE);
	assert_string_equal(topics(w), "decky.dmz-gateway.state changed status");
	row = named(json_object_get(shown(w), "deckies"), "dmz-gateway");
	assert_string_equal(json_get_text(row, "state"), "failed");
	CALL(h_topology_reap_orphans, "", NULL, 200, NULL);
	assert_int_equal(json_array_size(json_object_get(w->res.body, "live_prefixes")), 1);
	CALL(h_topology_teardown, w->id, NULL, 202, NULL);
	work_all(w, 0);
	CALL(h_topology_reap_orphans, "", "{}", 200, NULL);
	assert_int_equal(json_array_size(json_object_get(w->res.body, "live_prefixes")), 0);
	CALL(h_topology_status_events, w->id, NULL, 200, NULL);
	assert_int_equal(json_array_size(w->res.body), 4);
	assert_string_equal(json_get_text(json_array_get(w->res.body, 0), "to_status"),
			    "torn_down");
	CALL(h_edit_lan_create, w->id, "{\"name\":\"x\"}", 409,
	     "Topology is 'torn_down'; free-form child edits are pending-only.  Use the mutation "
	     "queue for active topologies.");
	CALL(h_topology_delete, w->id, NULL, 204, NULL);
}

#define MUTATE(op, payload, status, want)                                                          \
	CALL(h_mutation_create, w->id, text(w, "{\"op\":\"%s\",\"payload\":%s}", op, payload),     \
	     status, want)

static void
queues_and_applies(void **state)
{
	struct world *w = *state;
	int64_t before;
	const char *lan;

	make_blank(w, "p");
	MUTATE("remove_decky", "{\"decky\":\"dmz-gateway\"}", 409,
	       "Topology is 'pending'; the mutation queue is only open for 'active' or 'degraded' "
	       "topologies.  Use child-CRUD endpoints while pending.");
	make_active(w, "t");
	before = version(w);
	MUTATE("service_add", "{\"decky\":\"web\",\"service\":\"redis\"}", 422, NULL);
	assert_string_equal(first_field(w), "op");
	MUTATE("add_lan", "{\"name\":\"!\"}", 422, NULL);
	assert_string_equal(first_field(w), "payload.name");
	MUTATE("add_decky", "{\"name\":\"x1\",\"lan\":\"new\"}", 409, "LAN 'new' not found");
	MUTATE("add_lan", "{\"name\":\"new\"}", 202, NULL);
	assert_string_equal(topics(w), "mutation.enqueued");
	assert_int_equal(json_integer_value(json_object_get(w->res.body, "version")), before + 1);
	lan = text(w, "%s", w->last);
	/* The next ones are checked against what the queue will have made. */
	MUTATE("attach_decky", "{\"decky\":\"dmz-gateway\",\"lan\":\"new\"}", 202, NULL);
	MUTATE("add_decky", "{\"name\":\"x1\",\"lan\":\"new\",\"services\":[\"telnet\"]}", 202,
	       NULL);
	CALL(h_mutation_cancel, text(w, "%s %s", w->id, lan), NULL, 409, NULL);
	assert_non_null(strstr(detail(w), "is needed by queued mutation"));
	CALL(h_mutation_cancel, text(w, "%s %s", w->id, w->last), NULL, 204, NULL);
	assert_string_equal(topics(w), "mutation.cancelled");
	assert_int_equal(version(w), before + 4);
	CALL(h_mutation_cancel, text(w, "%s %s", w->id, w->last), NULL, 409,
	     "Mutation is 'cancelled'; only 'pending' mutations can be cancelled.");
	CALL(h_mutation_cancel, text(w, "%s %s", w->id, w->id), NULL, 404, "Mutation not found");
	work_all(w, 0);
	assert_string_equal(topics(w), "mutation.applied");
	MUTATE("add_decky", "{\"name\":\"x1\",\"lan\":\"new\",\"services\":[\"telnet\"]}", 202,
	       NULL);
	work_all(w, 0);
	assert_string_equal(topics(w), "decky.x1.state mutation.applied");
	assert_int_equal(version(w), before + 5);
	MUTATE("remove_decky", "{\"decky\":\"x1\"}", 202, NULL);
	work_all(w, -EADDRINUSE);
	assert_string_equal(topics(w), "mutation.failed status");
	assert_non_null(named(json_object_get(shown(w), "deckies"), "x1"));
	assert_int_equal(version(w), before + 7);
	CALL(h_mutation_list, w->id, NULL, 200, NULL);
	assert_int_equal(json_integer_value(json_object_get(w->res.body, "total")), 5);
	assert_string_equal(
		json_get_text(json_array_get(json_object_get(w->res.body, "data"), 0), "reason"),
		"Driver: no port");
	check(w, __LINE__, call_query(w, h_mutation_list, w->id, NULL, "state=odd", NULL), 422,
	      NULL);
	/* What waits is cancelled by the teardown. */
	MUTATE("remove_decky", "{\"decky\":\"x1\"}", 202, NULL);
	CALL(h_topology_teardown, w->id, NULL, 202, NULL);
	assert_string_equal(topics(w), "mutation.cancelled status");
}

static void
teardown_overtakes(void **state)
{
	struct world *w = *state;
	struct work *works = NULL;

	make_active(w, "t");
	MUTATE("remove_decky", "{\"decky\":\"web\"}", 202, NULL);
	assert_int_equal(work_find(w->db, &mutator, NULL, 0, w->now, 1, &works, &w->e), 1);
	assert_int_equal(work_prepare(w->db, &mutator, &works[0], w->now, &w->e), 1);
	CALL(h_topology_teardown, w->id, NULL, 202, NULL);
	assert_int_equal(work_finish(w->db, &mutator, &works[0], 0, NULL, false, w->now, &w->e),
			 -ESTALE);
	work_fini(&works[0]);
	free(works);
	work_all(w, 0);
	assert_non_null(strstr(topics(w), "mutation.failed"));
	CALL(h_mutation_list, w->id, NULL, 200, NULL);
	assert_string_equal(
		json_get_text(json_array_get(json_object_get(w->res.body, "data"), 0), "state"),
		"failed");
}

static void
leases(void **state)
{
	struct world *w = *state;
	struct mutation m;

	make_active(w, "t");
	MUTATE("remove_decky", "{\"decky\":\"web\"}", 202, NULL);
	for (int attempt = 1; attempt <= 3; attempt++) {
		assert_int_equal(db_begin_write(w->db, &w->e), 0);
		assert_int_equal(
			mutation_claim(w->db, w->id, "other:1:1", 30000, w->now, &m, &w->e), 1);
		assert_int_equal(m.attempt, attempt);
		mutation_fini(&m);
		assert_int_equal(
			mutation_claim(w->db, w->id, "third:1:1", 30000, w->now, &m, &w->e), 0);
		assert_int_equal(db_commit(w->db, &w->e), 0);
		w->now += 30000;
	}
	work_all(w, 0);
	CALL(h_mutation_list, w->id, NULL, 200, NULL);
	assert_string_equal(
		json_get_text(json_array_get(json_object_get(w->res.body, "data"), 0), "reason"),
		"Timeout: lease lost 3 times");
}

/* A full queue: one more fits before the ceiling, and is still checked against all of it. */
static void
full_queue(void **state)
{
	struct world *w = *state;
	char id[ID_UUID_SIZE];
	struct topo *t = NULL;
	json_t *payload = json_pack("{s:s, s:{}}", "decky", "web", "patch");

	make_active(w, "t");
	MUTATE("add_decky", "{\"name\":\"n\",\"lan\":\"inner\"}", 202, NULL);
	assert_int_equal(db_begin_write(w->db, &w->e), 0);
	assert_int_equal(topology_load(w->db, w->id, &t, &w->e), 1);
	for (int i = 0; i < 998; i++)
		assert_int_equal(
			mutation_enqueue(w->db, t, "update_decky", payload, w->now, id, &w->e), 0);
	assert_int_equal(db_commit(w->db, &w->e), 0);
	topo_free(t);
	json_decref(payload);
	MUTATE("add_decky", "{\"name\":\"n\",\"lan\":\"inner\"}", 409, "decky 'n' already exists");
	MUTATE("remove_decky", "{\"decky\":\"n\"}", 202, NULL);
	MUTATE("remove_decky", "{\"decky\":\"db\"}", 409, "limit reached: mutations (1000)");
}

#define LIVE(handler, params, body, meanwhile, status, want)                                       \
	check(w, __LINE__, call_query(w, handler, params, body, NULL, meanwhile), status, want)

static void
live_services(void **state)
{
	struct world *w = *state;
	const char *web, *http, *ssh;

	make_blank(w, "p");
	LIVE(h_service_add, text(w, "%s dmz-gateway", w->id), "{\"name\":\"http\"}", mutator_works,
	     409,
	     "Topology is 'pending'; services can only be changed live on 'active' or 'degraded' "
	     "topologies.");
	make_active(w, "t");
	web = text(w, "%s web", w->id);
	http = text(w, "%s web http", w->id);
	ssh = text(w, "%s web ssh", w->id);
	LIVE(h_service_add, "nope web", "{\"name\":\"http\"}", mutator_works, 404,
	     "topology 'nope' not found");
	LIVE(h_service_add, text(w, "%s gone", w->id), "{\"name\":\"http\"}", mutator_works, 404,
	     text(w, "decky 'gone' is not in topology '%s'", w->id));
	LIVE(h_service_add, web, "{\"name\":\"http\"}", mutator_works, 409,
	     "service 'http' already on decky 'web'");
	LIVE(h_service_remove, text(w, "%s web redis", w->id), NULL, mutator_works, 409,
	     "service 'redis' not on decky 'web'");
	LIVE(h_service_add, web, "{\"name\":\"gopher\"}", mutator_works, 422,
	     "unknown service 'gopher'");
	LIVE(h_service_apply, ssh, "{\"config\":{}}", mutator_works, 422,
	     "service 'ssh' is not available in this build");
	LIVE(h_service_config, http, "{\"config\":{\"response_code\":\"x\",\"no\":1}}",
	     mutator_works, 422, "response_code: expected int, got 'x'");
	assert_string_equal(first_field(w), "config.response_code");
	assert_int_equal(json_array_size(json_object_get(w->res.body, "errors")), 2);
	LIVE(h_service_config, http, "{}", mutator_works, 422, "Invalid request parameters");

	LIVE(h_service_add, web, "{\"name\":\"redis\"}", mutator_works, 201, NULL);
	assert_int_equal(json_array_size(json_object_get(w->res.body, "services")), 2);
	LIVE(h_service_config, http, "{\"config\":{\"response_code\":\"404\"}}", mutator_works, 200,
	     NULL);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(w->res.body, "config"),
							    "response_code")),
			 404);
	assert_true(json_is_false(json_object_get(w->res.body, "recreated")));
	LIVE(h_service_apply, http, "{\"config\":{}}", mutator_works, 201, NULL);
	assert_true(json_is_true(json_object_get(w->res.body, "recreated")));
	LIVE(h_service_remove, http, NULL, mutator_fails, 502,
	     "Service change failed: Driver: no port");
	assert_non_null(json_get_text(w->res.body, "mutation_id"));
	LIVE(h_service_remove, http, NULL, mutator_sleeps, 202, NULL);
	assert_string_equal(json_get_text(w->res.body, "state"), "pending");
	work_all(w, 0);
	assert_string_equal(topics(w), "decky.web.service_removed mutation.applied");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(creates_and_lists, setup, teardown),
		cmocka_unit_test_setup_teardown(edits_lans, setup, teardown),
		cmocka_unit_test_setup_teardown(edits_deckies, setup, teardown),
		cmocka_unit_test_setup_teardown(deploys_and_tears_down, setup, teardown),
		cmocka_unit_test_setup_teardown(queues_and_applies, setup, teardown),
		cmocka_unit_test_setup_teardown(teardown_overtakes, setup, teardown),
		cmocka_unit_test_setup_teardown(leases, setup, teardown),
		cmocka_unit_test_setup_teardown(full_queue, setup, teardown),
		cmocka_unit_test_setup_teardown(live_services, setup, teardown),
	};

	return cmocka_run_group_tests_name("api_topology", tests, NULL, NULL);
}
