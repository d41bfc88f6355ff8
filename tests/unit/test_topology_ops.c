/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on topologies: payloads, refusals, effects, and random runs of them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "topology/generator.h"
#include "topology/ops.h"
#include "topology/rows.h"
#include "topology/validate.h"
#include "util/json.h"

static struct topo_used others[] = {{.lan = "far", .topology = "other"}};

static struct topo_world
world(void)
{
	struct topo_world w = {.used = others, .nused = ARRAY_LEN(others)};

	assert_int_equal(cidr_parse("172.16.0.0/12", 0, 32, &w.pool), 0);
	assert_int_equal(cidr_parse("172.20.0.0/16", 0, 32, &others[0].subnet), 0);
	return w;
}

static json_t *
parse(const char *text)
{
	json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

	if (!value)
		fail_msg("%s", text);
	return value;
}

static int
apply(struct topo *t, const char *op, const char *payload, struct topo_refusal *refusal,
      json_t **ret_restart)
{
	struct topo_world w = world();
	json_t *p = parse(payload);
	int r = topo_op_apply(t, topo_op_find(op), p, &w, refusal, ret_restart);

	json_decref(p);
	return r;
}

/* gw on dmz and inner, web on dmz, db on inner; tiny is a /29 that s1 to s5 fill. */
static struct topo *
base(void)
{
	static const char *const steps[][2] = {
		{"add_lan", "{\"name\":\"dmz\",\"is_dmz\":true}"},
		{"add_lan", "{\"name\":\"inner\"}"},
		{"add_lan", "{\"name\":\"tiny\",\"subnet\":\"10.0.0.0/29\"}"},
		{"add_decky", "{\"name\":\"gw\",\"lan\":\"dmz\",\"forwards_l3\":true}"},
		{"attach_decky", "{\"decky\":\"gw\",\"lan\":\"inner\",\"forwards_l3\":true}"},
		{"add_decky",
		 "{\"name\":\"web\",\"lan\":\"dmz\",\"services\":[\"http\",\"telnet\"],"
		 "\"service_config\":{\"http\":{\"response_code\":403}}}"},
		{"add_decky", "{\"name\":\"db\",\"lan\":\"inner\",\"services\":[\"redis\"]}"},
		{"add_decky", "{\"name\":\"s1\",\"lan\":\"tiny\"}"},
		{"add_decky", "{\"name\":\"s2\",\"lan\":\"tiny\"}"},
		{"add_decky", "{\"name\":\"s3\",\"lan\":\"tiny\"}"},
		{"add_decky", "{\"name\":\"s4\",\"lan\":\"tiny\"}"},
		{"add_decky", "{\"name\":\"s5\",\"lan\":\"tiny\"}"},
	};
	struct topo *t = topo_new();
	struct topo_refusal refusal;

	assert_non_null(t);
	(void)snprintf(t->name, sizeof(t->name), "base");
	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		if (apply(t, steps[i][0], steps[i][1], &refusal, NULL) < 0)
			fail_msg("%s: %s", steps[i][1], refusal.text);
	return t;
}

static void
note(void *user, const char *field, const char *text)
{
	char *all = user;
	size_t n = strlen(all);

	assert_true(text[0]);
	(void)snprintf(all + n, 1024 - n, "%s%s", n ? " " : "", field);
}

static void
checks_payloads(void **state)
{
	static const struct {
		const char *op, *payload, *bad;
	} rows[] = {
		{"add_lan", "{\"name\":\"a\",\"subnet\":\"x\",\"is_dmz\":false,\"x\":1,\"y\":2.5}",
		 ""},
		{"add_lan", "{}", "payload.name"},
		{"add_lan", "{\"name\":\"-a\"}", "payload.name"},
		{"add_lan", "{\"name\":\"a\",\"is_dmz\":1,\"x\":\"1\",\"z\":0}",
		 "payload.is_dmz payload.x payload.z"},
		{"add_lan", "{\"name\":\"a\",\"x\":null}", ""},
		{"remove_lan", "{\"name\":1}", "payload.name"},
		{"add_decky", "{\"lan\":\"dmz\"}", "payload.name"},
		{"add_decky", "{\"name\":\"Web\",\"lan\":\"dmz\"}", "payload.name"},
		{"add_decky", "{\"name\":\"w-\",\"lan\":\"dmz\"}", "payload.name"},
		{"add_decky", "{\"name\":\"w\",\"lan\":\"dmz\",\"services\":\"http\"}",
		 "payload.services"},
		{"add_decky",
		 "{\"name\":\"w\",\"lan\":\"d\",\"services\":[\"http\",1,\"ssh\",\"q\"]}",
		 "payload.services.1 payload.services.2 payload.services.3"},
		{"add_decky", "{\"name\":\"w\",\"lan\":\"d\",\"services\":[\"http\",\"http\"]}",
		 "payload.services.1"},
		{"add_decky",
		 "{\"name\":\"w\",\"lan\":\"d\",\"service_config\":{\"http\":{\"q\":1},\"n\":{}}}",
		 "payload.service_config.http.q payload.service_config.n"},
		{"add_decky", "{\"name\":\"w\",\"lan\":\"d\",\"archetype\":\"toaster\"}",
		 "payload.archetype"},
		{"add_decky", "{\"name\":\"w\",\"lan\":\"d\",\"archetype\":null}", ""},
		{"attach_decky", "{\"decky\":\"web\"}", "payload.lan"},
		{"detach_decky", "{}", "payload.decky payload.lan"},
		{"remove_decky", "[]", "payload"},
		{"update_decky", "{\"decky\":\"web\",\"patch\":{\"name\":\"x\"},\"force\":\"yes\"}",
		 "payload.patch.name payload.force"},
		{"update_decky", "{\"decky\":\"web\",\"patch\":{\"forwards_l3\":0}}",
		 "payload.patch.forwards_l3"},
		{"update_lan", "{\"name\":\"dmz\",\"patch\":{\"name\":\"!\",\"q\":1}}",
		 "payload.patch.name payload.patch.q"},
		{"service_add", "{\"decky\":\"web\",\"service\":\"ssh\"}", "payload.service"},
		{"service_config", "{\"decky\":\"web\",\"service\":\"http\"}", "payload.config"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_t *payload = parse(rows[i].payload);
		char got[1024] = "";

		(void)topo_op_check(topo_op_find(rows[i].op), payload, note, got);
		if (strcmp(got, rows[i].bad) != 0)
			fail_msg("%s %s: '%s'", rows[i].op, rows[i].payload, got);
		json_decref(payload);
	}
}

static void
refuses(void **state)
{
	static const struct {
		const char *op, *payload;
		int status;
		const char *text;
	} rows[] = {
		{"add_lan", "{\"name\":\"DMZ\"}", 409, "LAN 'DMZ' already exists"},
		{"add_lan", "{\"name\":\"a\",\"subnet\":\"10.1.0.0/30\"}", 422,
		 "subnet '10.1.0.0/30' is malformed"},
		{"add_lan", "{\"name\":\"a\",\"subnet\":\"10.0.0.0/16\"}", 409,
		 "subnet 10.0.0.0/16 overlaps LAN 'tiny' of topology 'base'"},
		{"add_lan", "{\"name\":\"a\",\"subnet\":\"172.20.9.0/24\"}", 409,
		 "subnet 172.20.9.0/24 overlaps LAN 'far' of topology 'other'"},
		{"add_lan", "{\"name\":\"a\",\"is_dmz\":true}", 409, "DMZ_MULTIPLE"},
		{"remove_lan", "{\"name\":\"nope\"}", 409, "LAN 'nope' not found"},
		{"remove_lan", "{\"name\":\"inner\"}", 409,
		 "LAN 'inner' is the home LAN of decky 'db'; remove the decky first"},
		{"add_decky", "{\"name\":\"web\",\"lan\":\"dmz\"}", 409,
		 "decky 'web' already exists"},
		{"add_decky", "{\"name\":\"a\",\"lan\":\"nope\"}", 409, "LAN 'nope' not found"},
		{"add_decky", "{\"name\":\"a\",\"lan\":\"tiny\"}", 409,
		 "no free IPs left in 10.0.0.0/29"},
		{"add_decky", "{\"name\":\"a\",\"lan\":\"dmz\",\"ip\":\"172.16.0.1\"}", 422,
		 "172.16.0.1 is the gateway of 172.16.0.0/24"},
		{"add_decky", "{\"name\":\"a\",\"lan\":\"dmz\",\"ip\":\"172.16.1.9\"}", 422,
		 "172.16.1.9 not in 172.16.0.0/24"},
		{"add_decky", "{\"name\":\"a\",\"lan\":\"dmz\",\"ip\":\"172.16.0.255\"}", 422,
		 "172.16.0.255 not in 172.16.0.0/24"},
		{"add_decky", "{\"name\":\"a\",\"lan\":\"dmz\",\"ip\":\"a\"}", 422,
		 "a not in 172.16.0.0/24"},
		{"add_decky", "{\"name\":\"a\",\"lan\":\"dmz\",\"ip\":\"172.16.0.2\"}", 409,
		 "172.16.0.2 is already used on LAN 'dmz'"},
		{"add_decky", "{\"name\":\"a\",\"lan\":\"dmz\",\"service_config\":{\"http\":{}}}",
		 409, "SERVICE_CFG_UNDECLARED"},
		{"attach_decky", "{\"decky\":\"nope\",\"lan\":\"dmz\"}", 409,
		 "decky 'nope' not found"},
		{"attach_decky", "{\"decky\":\"web\",\"lan\":\"nope\"}", 409,
		 "LAN 'nope' not found"},
		{"attach_decky", "{\"decky\":\"web\",\"lan\":\"dmz\"}", 409,
		 "decky 'web' already on LAN 'dmz'"},
		{"detach_decky", "{\"decky\":\"nope\",\"lan\":\"dmz\"}", 409,
		 "decky or LAN not found"},
		{"detach_decky", "{\"decky\":\"web\",\"lan\":\"inner\"}", 409,
		 "decky not attached to LAN 'inner'"},
		{"detach_decky", "{\"decky\":\"gw\",\"lan\":\"dmz\"}", 409,
		 "cannot detach home LAN 'dmz'; use remove_decky"},
		{"remove_decky", "{\"decky\":\"nope\"}", 409, "decky 'nope' not found"},
		{"update_decky", "{\"decky\":\"nope\"}", 409, "decky 'nope' not found"},
		{"update_decky",
		 "{\"decky\":\"db\",\"patch\":{\"forwards_l3\":true},\"force\":true}", 409,
		 "cannot promote decky 'db' to gateway: home LAN 'inner' is not a DMZ"},
		{"update_decky", "{\"decky\":\"web\",\"patch\":{\"forwards_l3\":true}}", 409,
		 "forwards_l3 flip on live decky 'web' requires force=true"},
		{"update_lan", "{\"name\":\"nope\"}", 409, "LAN 'nope' not found"},
		{"update_lan", "{\"name\":\"dmz\",\"patch\":{\"name\":\"INNER\"}}", 409,
		 "LAN 'INNER' already exists"},
		{"update_lan",
		 "{\"name\":\"dmz\",\"patch\":{\"subnet\":\"10.9.0.0/24\",\"is_dmz\":false}}", 409,
		 "cannot change ['is_dmz', 'subnet'] on a deployed LAN; teardown + redeploy "
		 "required"},
		{"update_lan", "{\"name\":\"dmz\",\"patch\":{\"subnet\":\"10.9.0.0/24\"}}", 409,
		 "cannot change ['subnet'] on a deployed LAN; teardown + redeploy required"},
		{"service_add", "{\"decky\":\"web\",\"service\":\"http\"}", 409,
		 "service 'http' already on decky 'web'"},
		{"service_remove", "{\"decky\":\"web\",\"service\":\"redis\"}", 409,
		 "service 'redis' not on decky 'web'"},
		{"service_config", "{\"decky\":\"nope\",\"service\":\"redis\",\"config\":{}}", 409,
		 "decky 'nope' not found"},
	};
	struct topo *t = base();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct topo *copy = topo_copy(t);
		struct topo_refusal refusal;
		int r = apply(copy, rows[i].op, rows[i].payload, &refusal, NULL);

		if (r != -EPERM || refusal.status != rows[i].status ||
		    !strstr(refusal.text, rows[i].text) ||
		    (!refusal.issues && strcmp(refusal.text, rows[i].text) != 0))
			fail_msg("%s %s: %d %d %s", rows[i].op, rows[i].payload, r, refusal.status,
				 refusal.text);
		assert_int_equal(refusal.status == 422, refusal.field[0] != 0);
		topo_refusal_fini(&refusal);
		topo_free(copy);
	}
	topo_free(t);
}

/* The rows of the result, as text where the row is asked for. */
static void
takes_effect(void **state)
{
	static const struct {
		const char *op, *payload;
		size_t lans, deckies, edges;
		const char *holds; /* in the JSON of the whole topology */
		size_t restarts;
	} rows[] = {
		{"add_lan", "{\"name\":\"a\",\"x\":1.5}", 4, 8, 9,
		 "\"name\":\"a\",\"subnet\":\"172.16.2.0/"
		 "24\",\"is_dmz\":false,\"x\":1.5,\"y\":null",
		 0},
		{"add_decky", "{\"name\":\"a\",\"lan\":\"dmz\"}", 3, 9, 10, "\"ip\":\"172.16.0.4\"",
		 0},
		{"attach_decky", "{\"decky\":\"web\",\"lan\":\"inner\",\"ip\":\"172.16.1.77\"}", 3,
		 8, 10, "\"ips_by_lan\":{\"dmz\":\"172.16.0.3\",\"inner\":\"172.16.1.77\"}", 0},
		{"detach_decky", "{\"decky\":\"gw\",\"lan\":\"inner\"}", 3, 8, 8, "gw", 0},
		{"remove_decky", "{\"decky\":\"gw\"}", 3, 7, 7, "web", 0},
		{"update_lan", "{\"name\":\"inner\",\"patch\":{\"name\":\"Inner\"}}", 3, 8, 9,
		 "\"ips_by_lan\":{\"dmz\":\"172.16.0.2\",\"Inner\":\"172.16.1.2\"}", 0},
		{"update_lan", "{\"name\":\"dmz\",\"patch\":{\"is_dmz\":true}}", 3, 8, 9, "dmz", 0},
		{"update_decky", "{\"decky\":\"web\"}", 3, 8, 9, "\"response_code\":403", 0},
		{"update_decky", "{\"decky\":\"web\",\"services\":[\"redis\"]}", 3, 8, 9,
		 "\"services\":[\"redis\"]", 0},
		{"update_decky",
		 "{\"decky\":\"web\",\"patch\":{\"service_config\":{\"telnet\":{}},\"archetype\":"
		 "\"printer\"}}",
		 3, 8, 9, "\"service_config\":{\"telnet\":{}}", 0},
		{"update_decky",
		 "{\"decky\":\"web\",\"patch\":{\"forwards_l3\":true},\"force\":true}", 3, 8, 9,
		 "web", 2},
		{"service_add",
		 "{\"decky\":\"db\",\"service\":\"http\",\"config\":{\"response_code\":\"7\"}}", 3,
		 8, 9, "\"response_code\":7", 0},
		{"service_remove", "{\"decky\":\"web\",\"service\":\"http\"}", 3, 8, 9,
		 "\"services\":[\"telnet\"]", 0},
		{"service_config",
		 "{\"decky\":\"web\",\"service\":\"http\",\"config\":{},\"recreate\":true}", 3, 8,
		 9, "\"service_config\":{\"http\":{}}", 1},
	};
	struct topo *t = base();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct topo *copy = topo_copy(t);
		struct topo_refusal refusal;
		json_t *restart = NULL, *detail;
		char *text;

		if (apply(copy, rows[i].op, rows[i].payload, &refusal, &restart) < 0)
			fail_msg("%s: %s", rows[i].payload, refusal.text);
		detail = topology_detail_json(copy);
		text = json_text(detail);
		if (copy->nlans != rows[i].lans || copy->ndeckies != rows[i].deckies ||
		    copy->nedges != rows[i].edges || !strstr(text, rows[i].holds) ||
		    json_array_size(restart) != rows[i].restarts)
			fail_msg("%s: %s", rows[i].payload, text);
		free(text);
		json_decref(detail);
		json_decref(restart);
		topo_free(copy);
	}
	topo_free(t);
}

static uint64_t
next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static unsigned
pick(uint64_t *seed, unsigned n)
{
	return (unsigned)(next(seed) % n);
}

/* {kind/id: row} of everything but the topology itself. */
static json_t *
rows_of(const struct topo *t)
{
	static const char *const lists[][3] = {
		{"lans", "lan", "id"}, {"deckies", "decky", "uuid"}, {"edges", "edge", "id"}};
	json_t *detail = topology_detail_json(t), *all = json_object(), *row;
	char key[64];
	size_t i;

	for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
		json_array_foreach(json_object_get(detail, lists[k][0]), i, row)
		{
			(void)snprintf(key, sizeof(key), "%s/%s", lists[k][1],
				       json_get_text(row, lists[k][2]));
			(void)json_object_set(all, key, row);
		}
	}
	json_decref(detail);
	return all;
}

/* Folding the changes into the rows before gives the rows after. */
static void
fold(const struct topo *before, const struct topo *after)
{
	json_t *rows = rows_of(before), *want = rows_of(after);
	json_t *changes = topo_changes(before, after), *change;
	char key[64];
	size_t i;

	json_array_foreach(changes, i, change)
	{
		const char *action = json_get_text(change, "action");

		(void)snprintf(key, sizeof(key), "%s/%s", json_get_text(change, "kind"),
			       json_get_text(change, "id"));
		assert_int_equal(strcmp(action, "created") == 0, !json_object_get(rows, key));
		if (strcmp(action, "deleted") == 0)
			assert_int_equal(json_object_del(rows, key), 0);
		else
			(void)json_object_set(rows, key, json_object_get(change, "row"));
	}
	assert_true(json_equal(rows, want));
	json_decref(changes);
	json_decref(rows);
	json_decref(want);
}

static void
holds_together(const struct topo *t)
{
	struct topo_world w = world();
	json_t *issues = topo_validate(t, &w, false);

	assert_false(topo_has_errors(issues));
	json_decref(issues);
	for (size_t i = 0; i < t->ndeckies; i++) {
		const struct topo_decky *d = &t->deckies[i];

		assert_int_equal(topo_degree(t, d->uuid) > 0, d->home_lan_id[0] != 0);
		if (d->home_lan_id[0])
			assert_non_null(topo_edge_of(t, d->uuid, d->home_lan_id));
	}
	for (size_t i = 0; i < t->nedges; i++) {
		assert_non_null(topo_lan_by_id(t, t->edges[i].lan_id));
		assert_non_null(topo_decky_by_uuid(t, t->edges[i].decky_uuid));
	}
}

static void
random_payload(uint64_t *seed, enum topo_op op, char *dst, size_t n)
{
	unsigned a = pick(seed, 8), b = pick(seed, 6), c = pick(seed, 6);
	static const char *const services[] = {"http", "telnet", "redis"};
	const char *s = services[pick(seed, 3)];

	switch (op) {
	case TOPO_OP_ADD_LAN: (void)snprintf(dst, n, "{\"name\":\"l%u\"}", b); break;
	case TOPO_OP_REMOVE_LAN: (void)snprintf(dst, n, "{\"name\":\"l%u\"}", b); break;
	case TOPO_OP_ADD_DECKY:
		(void)snprintf(dst, n,
			       "{\"name\":\"d%u\",\"lan\":\"l%u\",\"services\":[\"%s\"],"
			       "\"service_config\":{\"%s\":{}}}",
			       a, b, s, s);
		break;
	case TOPO_OP_ATTACH_DECKY:
	case TOPO_OP_DETACH_DECKY:
		(void)snprintf(dst, n, "{\"decky\":\"d%u\",\"lan\":\"l%u\"}", a, b);
		break;
	case TOPO_OP_REMOVE_DECKY: (void)snprintf(dst, n, "{\"decky\":\"d%u\"}", a); break;
	case TOPO_OP_UPDATE_DECKY:
		(void)snprintf(
			dst, n,
			"{\"decky\":\"d%u\",\"services\":[\"%s\"],\"patch\":{\"forwards_l3\":"
			"%s},\"force\":true,\"x\":%u}",
			a, s, b % 2 ? "true" : "false", c);
		break;
	case TOPO_OP_UPDATE_LAN:
		(void)snprintf(dst, n, "{\"name\":\"l%u\",\"patch\":{\"name\":\"l%u\"},\"y\":%u}",
			       b, c, a);
		break;
	case TOPO_OP_SERVICE_ADD:
	case TOPO_OP_SERVICE_REMOVE:
		(void)snprintf(dst, n, "{\"decky\":\"d%u\",\"service\":\"%s\"}", a, s);
		break;
	case TOPO_OP_SERVICE_CONFIG:
	case TOPO_OP_COUNT:
		(void)snprintf(dst, n, "{\"decky\":\"d%u\",\"service\":\"%s\",\"config\":{}}", a,
			       s);
		break;
	}
}

static void
random_runs(void **state)
{
	struct topo *t = topo_new();
	uint64_t seed = 20260131;
	unsigned applied = 0, refused = 0;

	(void)state;
	for (int i = 0; i < 4000; i++) {
		enum topo_op op = (enum topo_op)pick(&seed, TOPO_OP_COUNT);
		struct topo *after = topo_copy(t);
		struct topo_refusal refusal;
		char payload[256];
		int r;

		random_payload(&seed, op, payload, sizeof(payload));
		r = apply(after, topo_op_word(op), payload, &refusal, NULL);
		if (r == -EPERM) {
			topo_refusal_fini(&refusal);
			topo_free(after);
			refused++;
			continue;
		}
		assert_int_equal(r, 0);
		applied++;
		holds_together(after);
		fold(t, after);
		/* The way back: what undoing the change would tell. */
		fold(after, t);
		topo_free(t);
		t = after;
	}
	topo_free(t);
	assert_true(applied > 300 && refused > 300);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checks_payloads),
		cmocka_unit_test(refuses),
		cmocka_unit_test(takes_effect),
		cmocka_unit_test(random_runs),
	};

	return cmocka_run_group_tests_name("topology_ops", tests, NULL, NULL);
}
