/* SPDX-License-Identifier: Apache-2.0 */
/* Validation codes, addresses, names, transitions of status, and configurations of services. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "topology/catalog.h"
#include "topology/ops.h"
#include "topology/validate.h"
#include "util/json.h"

static struct topo_lan *
lan(struct topo *t, const char *name, const char *subnet, bool is_dmz)
{
	struct topo_lan *l = topo_add_lan(t);

	assert_non_null(l);
	(void)snprintf(l->id, sizeof(l->id), "lan-%zu", t->nlans);
	(void)snprintf(l->name, sizeof(l->name), "%s", name);
	(void)snprintf(l->subnet, sizeof(l->subnet), "%s", subnet);
	l->is_dmz = is_dmz;
	return l;
}

static struct topo_decky *
decky(struct topo *t, const char *name, const char *services)
{
	struct topo_decky *d = topo_add_decky(t);

	assert_non_null(d);
	(void)snprintf(d->uuid, sizeof(d->uuid), "decky-%zu", t->ndeckies);
	(void)snprintf(d->name, sizeof(d->name), "%s", name);
	json_decref(d->services);
	d->services = json_loads(services, 0, NULL);
	assert_non_null(d->services);
	return d;
}

static void
edge(struct topo *t, size_t decky_at, const char *lan_id, const char *ip)
{
	struct topo_edge *e = topo_add_edge(t);

	assert_non_null(e);
	(void)snprintf(e->id, sizeof(e->id), "edge-%zu", t->nedges);
	(void)snprintf(e->decky_uuid, sizeof(e->decky_uuid), "%s", t->deckies[decky_at].uuid);
	(void)snprintf(e->lan_id, sizeof(e->lan_id), "%s", lan_id);
	(void)snprintf(e->ip, sizeof(e->ip), "%s", ip);
}

/* Nothing wrong: a DMZ and an inner LAN, joined by decky 0; decky 1 is inside. */
static struct topo *
sound(void)
{
	struct topo *t = topo_new();

	(void)lan(t, "dmz", "10.0.0.0/24", true);
	(void)lan(t, "inner", "10.0.1.0/24", false);
	(void)decky(t, "gw", "[\"http\"]");
	(void)decky(t, "db", "[\"redis\"]");
	edge(t, 0, "lan-1", "10.0.0.2");
	edge(t, 0, "lan-2", "10.0.1.2");
	edge(t, 1, "lan-2", "10.0.1.3");
	return t;
}

static void
no_change(struct topo *t)
{
	(void)t;
}

static void
lan_twice(struct topo *t)
{
	(void)lan(t, "DMZ", "10.0.2.0/24", false);
}

static void
decky_twice(struct topo *t)
{
	(void)decky(t, "db", "[]");
	edge(t, 2, "lan-1", "10.0.0.9");
}

static void
unknown_lan(struct topo *t)
{
	edge(t, 1, "lan-9", "10.0.0.9");
}

static void
outside(struct topo *t)
{
	(void)snprintf(t->edges[2].ip, sizeof(t->edges[2].ip), "10.0.2.3");
}

static void
malformed_ip(struct topo *t)
{
	(void)snprintf(t->edges[2].ip, sizeof(t->edges[2].ip), "10.0.1.03");
}

static void
collision(struct topo *t)
{
	(void)snprintf(t->edges[2].ip, sizeof(t->edges[2].ip), "10.0.1.2");
}

static void
malformed_subnet(struct topo *t)
{
	(void)lan(t, "odd", "10.0.2.1/24", false);
}

static void
overlap(struct topo *t)
{
	(void)lan(t, "odd", "10.0.0.128/25", false);
}

static void
overlap_elsewhere(struct topo *t)
{
	(void)lan(t, "odd", "10.9.9.0/24", false);
}

static void
unknown_service(struct topo *t)
{
	(void)json_array_append_new(t->deckies[0].services, json_string("gopher"));
}

static void
undeclared(struct topo *t)
{
	(void)json_object_set_new(t->deckies[0].service_config, "redis", json_object());
}

static void
two_dmz(struct topo *t)
{
	t->lans[1].is_dmz = true;
}

static void
no_dmz(struct topo *t)
{
	t->lans[0].is_dmz = false;
}

static void
orphan_lan(struct topo *t)
{
	(void)lan(t, "far", "10.0.2.0/24", false);
	(void)decky(t, "x", "[]");
	edge(t, 2, "lan-3", "10.0.2.2");
}

static void
orphan_decky(struct topo *t)
{
	(void)decky(t, "x", "[]");
}

static void
shared_port(struct topo *t)
{
	(void)json_array_append_new(t->deckies[0].services, json_string("conpot"));
}

static void
validates(void **state)
{
	static const struct {
		void (*change)(struct topo *t);
		const char *edit, *deploy; /* codes of errors */
		const char *warnings;
	} rows[] = {
		{no_change, "", "", ""},
		{lan_twice, "LAN_NAME_DUP", "DMZ_ORPHAN, LAN_NAME_DUP", ""},
		{decky_twice, "DECKY_NAME_DUP", "DECKY_NAME_DUP", ""},
		{unknown_lan, "IP_UNKNOWN_LAN", "IP_UNKNOWN_LAN", ""},
		{outside, "IP_OUT_OF_SUBNET", "IP_OUT_OF_SUBNET", ""},
		{malformed_ip, "IP_MALFORMED", "IP_MALFORMED", ""},
		{collision, "IP_COLLISION", "IP_COLLISION", ""},
		{malformed_subnet, "SUBNET_MALFORMED", "DMZ_ORPHAN, SUBNET_MALFORMED", ""},
		{overlap, "SUBNET_OVERLAP", "DMZ_ORPHAN, SUBNET_OVERLAP", ""},
		{overlap_elsewhere, "SUBNET_OVERLAP", "DMZ_ORPHAN, SUBNET_OVERLAP", ""},
		{unknown_service, "UNKNOWN_SERVICE", "UNKNOWN_SERVICE", ""},
		{undeclared, "SERVICE_CFG_UNDECLARED", "SERVICE_CFG_UNDECLARED", ""},
		{two_dmz, "DMZ_MULTIPLE", "DMZ_MULTIPLE", ""},
		{no_dmz, "", "DMZ_MISSING, DMZ_ORPHAN", ""},
		{orphan_lan, "", "DMZ_ORPHAN", ""},
		{orphan_decky, "", "DECKY_ORPHAN", ""},
		{shared_port, "", "", "SERVICE_UNAVAILABLE SERVICE_PORT_DUP"},
	};
	struct topo_used used = {.lan = "l", .topology = "t"};
	struct topo_world w = {.used = &used, .nused = 1};

	(void)state;
	assert_int_equal(cidr_parse("10.9.0.0/16", 0, 32, &used.subnet), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct topo *t = sound();

		rows[i].change(t);
		for (int deploy = 0; deploy < 2; deploy++) {
			json_t *issues = topo_validate(t, &w, deploy == 1), *issue;
			char codes[256], warnings[256] = "";
			size_t k;

			topo_error_codes(issues, codes, sizeof(codes));
			json_array_foreach(issues, k, issue)
			{
				size_t n = strlen(warnings);

				if (strcmp(json_get_text(issue, "severity"), "warning") == 0)
					(void)snprintf(warnings + n, sizeof(warnings) - n, "%s%s",
						       n ? " " : "", json_get_text(issue, "code"));
			}
			if (strcmp(codes, deploy ? rows[i].deploy : rows[i].edit) != 0 ||
			    strcmp(warnings, rows[i].warnings) != 0)
				fail_msg("row %zu, deploy %d: %s; %s", i, deploy, codes, warnings);
			assert_int_equal(topo_has_errors(issues), codes[0] != 0);
			json_decref(issues);
		}
		topo_free(t);
	}
}

static void
addresses(void **state)
{
	static const struct {
		const char *text;
		bool good; /* as a LAN's subnet */
	} subnets[] = {
		{"10.0.0.0/16", true},	  {"10.0.0.0/29", true},
		{"10.0.0.0/15", false},	  {"10.0.0.0/30", false},
		{"10.0.0.0", false},	  {"10.0.0.0/", false},
		{"10.0.0.0/024", false},  {"10.0.0.0/2a", false},
		{"10.0.0.1/24", false},	  {"010.0.0.0/24", false},
		{"10.0.0/24", false},	  {"10.0.0.0.0/24", false},
		{"10.0.0.256/24", false}, {"10..0.0/24", false},
		{"/24", false},		  {"", false},
		{"fe80::/16", false},	  {"10.0.0.0/24/24", false},
		{" 10.0.0.0/24", false},  {"10.0.0.0 /24", false},
		{"10.0.0.0/-24", false},  {"0.0.0.0/16", false},
		{"1.0.0.0/16", true},	  {"126.255.0.0/16", true},
		{"127.0.0.0/24", false},  {"127.255.255.248/29", false},
		{"128.0.0.0/16", true},	  {"223.255.255.0/24", true},
		{"224.0.0.0/24", false},  {"255.255.255.0/24", false},
	};
	struct topo *t = sound();
	struct topo_world w = {0};
	struct cidr c, base;
	char text[TOPO_CIDR_SIZE], ip[TOPO_IP_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(subnets); i++) {
		if ((cidr_parse_lan(subnets[i].text, &c) == 0) != subnets[i].good)
			fail_msg("%s", subnets[i].text);
		if (subnets[i].good) {
			cidr_text(c, text);
			assert_string_equal(text, subnets[i].text);
		}
	}
	/* The lowest free /24: 0 and 1 are the topology's own. */
	assert_int_equal(cidr_parse("10.0.0.0/22", 0, 32, &base), 0);
	assert_int_equal(topo_next_subnet(&w, t, base, &c), 0);
	cidr_text(c, text);
	assert_string_equal(text, "10.0.2.0/24");
	/* A small one takes its whole /24; a wide one is passed at once. */
	(void)lan(t, "a", "10.0.2.8/29", false);
	(void)lan(t, "b", "10.0.3.0/24", false);
	assert_int_equal(topo_next_subnet(&w, t, base, &c), -EADDRNOTAVAIL);
	(void)lan(t, "c", "255.255.0.0/16", false);
	assert_int_equal(cidr_parse("255.255.0.0/16", 0, 32, &base), 0);
	assert_int_equal(topo_next_subnet(&w, t, base, &c), -EADDRNOTAVAIL);
	/* Past what no host may live in, to its end. */
	assert_int_equal(cidr_parse("0.0.0.0/0", 0, 32, &base), 0);
	assert_int_equal(topo_next_subnet(&w, t, base, &c), 0);
	cidr_text(c, text);
	assert_string_equal(text, "1.0.0.0/24");
	assert_int_equal(cidr_parse("126.0.0.0/7", 0, 32, &base), 0);
	(void)lan(t, "d", "126.0.0.0/8", false);
	assert_int_equal(topo_next_subnet(&w, t, base, &c), -EADDRNOTAVAIL);
	assert_int_equal(cidr_parse("10.0.8.0/25", 0, 32, &base), 0);
	assert_int_equal(topo_next_subnet(&w, t, base, &c), -EADDRNOTAVAIL);
	/* Addresses: after the gateway, the first gap, and not the broadcast address. */
	assert_int_equal(topo_next_ip(t, &t->lans[0], ip), 0);
	assert_string_equal(ip, "10.0.0.3");
	for (int i = 10; i < 15; i++) {
		assert_int_equal(topo_next_ip(t, &t->lans[2], ip), 0);
		(void)snprintf(text, sizeof(text), "10.0.2.%d", i);
		assert_string_equal(ip, text);
		edge(t, 1, "lan-3", ip);
	}
	assert_int_equal(topo_next_ip(t, &t->lans[2], ip), -EADDRNOTAVAIL);
	topo_free(t);
}

static void
names(void **state)
{
	static const struct {
		const char *text;
		bool topology, lan, decky;
	} rows[] = {
		{"", false, false, false},	   {"a", true, true, true},
		{"A", true, true, false},	   {"a_b", true, true, false},
		{"a-b", true, true, true},	   {"a-", true, true, false},
		{"-a", true, false, false},	   {"_a", true, false, false},
		{"a b", true, false, false},	   {"\xc3\xa4", true, false, false},
		{"a\tb", false, false, false},	   {"a\x7f", false, false, false},
		{"\xc2\x85", false, false, false}, {"\xff", false, false, false},
	};
	char long_name[66];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (topo_name_ok(rows[i].text) != rows[i].topology ||
		    topo_lan_name_ok(rows[i].text) != rows[i].lan ||
		    topo_decky_name_ok(rows[i].text) != rows[i].decky)
			fail_msg("row %zu", i);
	memset(long_name, 'a', sizeof(long_name));
	for (size_t n = 64; n <= 65; n++) {
		long_name[n] = 0;
		assert_int_equal(topo_name_ok(long_name), n == 64);
		assert_int_equal(topo_lan_name_ok(long_name), n == 64);
		assert_int_equal(topo_decky_name_ok(long_name), n == 64);
		long_name[n] = 'a';
	}
}

static void
transitions(void **state)
{
	static const char *const may[TOPO_STATUS_COUNT] = {
		[TOPO_PENDING] = "deploying torn_down",
		[TOPO_DEPLOYING] = "active degraded failed tearing_down",
		[TOPO_ACTIVE] = "degraded tearing_down",
		[TOPO_DEGRADED] = "active tearing_down",
		[TOPO_FAILED] = "tearing_down",
		[TOPO_TEARING_DOWN] = "degraded torn_down",
		[TOPO_TORN_DOWN] = "",
	};

	(void)state;
	for (unsigned from = 0; from < TOPO_STATUS_COUNT; from++) {
		char got[128] = "";

		for (unsigned to = 0; to < TOPO_STATUS_COUNT; to++) {
			const char *word = topo_status_word((enum topo_status)to);
			const char *at = strstr(may[from], word);
			bool want = at && (at == may[from] || at[-1] == ' ');

			if (topo_status_may((enum topo_status)from, (enum topo_status)to) != want)
				fail_msg("%s -> %s %s", topo_status_word((enum topo_status)from),
					 word, got);
			assert_int_equal(topo_status_find(word), to);
		}
	}
	assert_int_equal(topo_status_find("odd"), TOPO_STATUS_COUNT);
	assert_int_equal(decky_state_find("teardown_failed"), DECKY_TEARDOWN_FAILED);
	assert_false(topo_status_may(TOPO_STATUS_COUNT, TOPO_ACTIVE));
}

static void
note(void *user, const char *key, const char *text)
{
	char *all = user;
	size_t n = strlen(all);

	assert_true(strncmp(text, key, strlen(key)) == 0);
	(void)snprintf(all + n, 1024 - n, "%s%s", n ? "; " : "", text);
}

static void
configurations(void **state)
{
	static const struct {
		const char *service, *config;
		const char *kept; /* or NULL: refused with */
		const char *refused;
	} rows[] = {
		{"http", "{}", "{}", ""},
		{"http", "{\"response_code\":null,\"server_header\":\"\"}", "{}", ""},
		{"http", "{\"response_code\":\"404\"}", "{\"response_code\":404}", ""},
		{"http", "{\"response_code\":-1}", "{\"response_code\":-1}", ""},
		{"http", "{\"response_code\":\"4x\"}", NULL,
		 "response_code: expected int, got '4x'"},
		{"http", "{\"response_code\":1.5}", NULL, "response_code: expected int, got '1.5'"},
		{"http", "{\"response_code\":true}", NULL,
		 "response_code: expected int, got 'true'"},
		{"http", "{\"response_code\":\"-\"}", NULL, "response_code: expected int, got '-'"},
		{"http", "{\"nope\":1,\"response_code\":\"x\"}", NULL,
		 "nope: unknown config key; response_code: expected int, got 'x'"},
		{"http", "{\"server_header\":5}", NULL, "server_header: expected string, got '5'"},
		{"http", "{\"custom_body\":\"b64:aGk=\"}", "{\"custom_body\":\"hi\"}", ""},
		{"http", "{\"custom_body\":\"b64:aGk\"}", NULL, "custom_body: invalid base64"},
		{"http", "{\"custom_body\":\"b64:a\"}", NULL, "custom_body: invalid base64"},
		{"http", "{\"custom_body\":\"b64:/w==\"}", NULL, "custom_body: invalid base64"},
		{"http", "{\"fake_app\":\"wordpress\"}", "{\"fake_app\":\"wordpress\"}", ""},
		{"redis", "{\"response_code\":1}", NULL, "response_code: unknown config key"},
		{"vnc", "{\"a\":1}", NULL, "a: unknown config key"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_t *config = json_loads(rows[i].config, 0, NULL), *kept;
		char got[1024] = "", *text;

		assert_non_null(config);
		kept = catalog_check_config(rows[i].service, config, note, got);
		text = kept ? json_text(kept) : NULL;
		if (!kept != !rows[i].kept || (kept && strcmp(text, rows[i].kept) != 0) ||
		    strcmp(got, rows[i].refused) != 0)
			fail_msg("%s: %s %s", rows[i].config, text ? text : "", got);
		free(text);
		json_decref(kept);
		json_decref(config);
	}
}

/* Every type of every field of the catalogue, from the catalogue itself. */
static void
every_field(void **state)
{
	const json_t *service, *field;
	unsigned fields = 0;
	size_t i, k;

	(void)state;
	json_array_foreach(catalog_services(), i, service)
	{
		json_array_foreach(json_object_get(service, "fields"), k, field)
		{
			const char *key = json_get_text(field, "key"),
				   *type = json_get_text(field, "type");
			const json_t *words = json_object_get(field, "enum");
			json_t *good = NULL, *bad = json_object(), *config, *kept;
			char got[1024] = "";

			fields++;
			if (strcmp(type, "int") == 0)
				good = json_integer(7);
			else if (strcmp(type, "bool") == 0)
				good = json_string("ON");
			else if (strcmp(type, "enum") == 0)
				good = json_incref(json_array_get(words, 0));
			else if (strcmp(type, "multi_enum") == 0)
				good = json_pack("[O, O]", json_array_get(words, 0),
						 json_array_get(words, 0));
			else
				good = json_string("text");
			config = json_pack("{s:o}", key, good);
			kept = catalog_check_config(json_get_text(service, "name"), config, NULL,
						    NULL);
			if (!kept || json_object_size(kept) != 1)
				fail_msg("%s: %s", key, type);
			if (strcmp(type, "multi_enum") == 0)
				assert_int_equal(json_array_size(json_object_get(kept, key)), 1);
			if (strcmp(type, "bool") == 0)
				assert_true(json_is_true(json_object_get(kept, key)));
			json_decref(kept);
			(void)json_object_set_new(config, key, bad);
			assert_null(catalog_check_config(json_get_text(service, "name"), config,
							 note, got));
			json_decref(config);
			if (strcmp(type, "string") == 0 || strcmp(type, "password") == 0) {
				char longest[258];

				memset(longest, 'x', sizeof(longest));
				longest[256] = 0;
				config = json_pack("{s:s}", key, longest);
				got[0] = 0;
				assert_null(catalog_check_config(json_get_text(service, "name"),
								 config, note, got));
				assert_non_null(strstr(got, ": too long"));
				json_decref(config);
			}
		}
	}
	assert_true(fields > 20);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(validates),	  cmocka_unit_test(addresses),
		cmocka_unit_test(names),	  cmocka_unit_test(transitions),
		cmocka_unit_test(configurations), cmocka_unit_test(every_field),
	};

	return cmocka_run_group_tests_name("topology_rules", tests, NULL, NULL);
}
