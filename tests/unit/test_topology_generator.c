/* SPDX-License-Identifier: Apache-2.0 */
/* The generator: the same seed gives the same topology, and each keeps the rules of the plan. */
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
#include "topology/rows.h"
#include "topology/validate.h"
#include "util/json.h"

static struct topo_world
world(const char *pool)
{
	struct topo_world w = {0};

	assert_int_equal(cidr_parse(pool, 0, 32, &w.pool), 0);
	return w;
}

/* The topology as text without its ids, which are new each time. */
static char *
shape(const struct topo *t)
{
	json_t *all = json_array();
	char *text;

	for (size_t i = 0; i < t->nlans; i++)
		(void)json_array_append_new(all,
					    json_pack("[s, s, b]", t->lans[i].name,
						      t->lans[i].subnet, (int)t->lans[i].is_dmz));
	for (size_t i = 0; i < t->ndeckies; i++)
		(void)json_array_append_new(all, json_pack("[s, O, b]", t->deckies[i].name,
							   t->deckies[i].services,
							   (int)t->deckies[i].forwards_l3));
	for (size_t i = 0; i < t->nedges; i++)
		(void)json_array_append_new(
			all, json_pack("[s, s, s, b, b]",
				       topo_decky_by_uuid(t, t->edges[i].decky_uuid)->name,
				       topo_lan_by_id(t, t->edges[i].lan_id)->name, t->edges[i].ip,
				       (int)t->edges[i].is_bridge, (int)t->edges[i].forwards_l3));
	text = json_text(all);
	json_decref(all);
	return text;
}

static struct topo *
generate(const struct topo_plan *plan)
{
	struct topo_world w = world("172.16.0.0/12");
	struct topo_refusal refusal;
	struct topo *t = topo_new();

	if (topo_generate(t, plan, &w, &refusal) < 0)
		fail_msg("%s", refusal.text);
	return t;
}

static void
same_seed(void **state)
{
	struct topo_plan plan = {.depth = 4,
				 .branching = 3,
				 .deckies_min = 1,
				 .deckies_max = 4,
				 .forward_probability = 0.5,
				 .cross_probability = 0.5};
	char *first = NULL;

	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct topo *a, *b;
		char *x, *y;

		plan.seed = seed;
		a = generate(&plan);
		b = generate(&plan);
		x = shape(a);
		y = shape(b);
		assert_string_equal(x, y);
		if (first)
			assert_string_not_equal(x, first);
		free(first);
		first = x;
		free(y);
		topo_free(a);
		topo_free(b);
	}
	free(first);
}

static void
keeps_the_plan(void **state)
{
	json_t *services = json_pack("[s, s]", "telnet", "http");

	(void)state;
	for (uint64_t seed = 0; seed < 100; seed++) {
		struct topo_plan plan = {.depth = 1 + (unsigned)seed % 5,
					 .branching = 1 + (unsigned)seed % 3,
					 .deckies_min = (unsigned)seed % 3,
					 .deckies_max = 2 + (unsigned)seed % 3,
					 .forward_probability = seed % 2 ? 1 : 0,
					 .cross_probability = seed % 4 < 2 ? 1 : 0,
					 .services = seed % 7 == 0 ? services : NULL,
					 .seed = seed};
		struct topo_world w = world("172.16.0.0/12");
		struct topo *t = generate(&plan);
		json_t *issues = topo_validate(t, &w, true);

		assert_false(topo_has_errors(issues));
		json_decref(issues);
		assert_string_equal(t->lans[0].name, "LAN-00");
		assert_true(t->lans[0].is_dmz);
		assert_true(t->nlans >= plan.depth);
		for (size_t i = 0; i < t->nlans; i++) {
			unsigned homes = 0, bridges = 0;

			for (size_t k = 0; k < t->ndeckies; k++) {
				const struct topo_decky *d = &t->deckies[k];
				bool home = strcmp(d->home_lan_id, t->lans[i].id) == 0;

				homes += home;
				bridges += home && topo_degree(t, d->uuid) > 1;
			}
			/* One in the DMZ; elsewhere what the plan says, and one of them joins. */
			if (i == 0)
				assert_int_equal(homes, 1);
			else
				assert_true(homes >= 1 && homes >= plan.deckies_min &&
					    homes <= plan.deckies_max && bridges >= 1);
		}
		for (size_t i = 0; i < t->nedges; i++) {
			const struct topo_edge *e = &t->edges[i];
			bool joins = topo_degree(t, e->decky_uuid) > 1;

			assert_int_equal(e->is_bridge, joins);
			assert_int_equal(e->forwards_l3, joins && plan.forward_probability > 0);
		}
		for (size_t i = 0; i < t->ndeckies; i++) {
			size_t n = json_array_size(t->deckies[i].services);

			assert_true(n >= 1 && n <= 3);
			if (plan.services)
				assert_true(json_equal(t->deckies[i].services, services));
		}
		topo_free(t);
	}
	json_decref(services);
}

static void
ceilings(void **state)
{
	static const struct {
		const char *pool;
		struct topo_plan plan;
		const char *text;
	} rows[] = {
		{"172.16.0.0/12",
		 {.depth = 16, .branching = 8, .deckies_min = 1, .deckies_max = 1},
		 "limit reached: lans (256)"},
		{"172.16.0.0/12",
		 {.depth = 5, .branching = 4, .deckies_min = 32, .deckies_max = 32},
		 "limit reached: deckies (1024)"},
		{"10.0.0.0/23",
		 {.depth = 3, .branching = 1, .deckies_min = 1, .deckies_max = 1},
		 "no free /24s left under 10.0.0.0/23"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct topo_world w = world(rows[i].pool);
		struct topo_refusal refusal;
		struct topo *t = topo_new();

		assert_int_equal(topo_generate(t, &rows[i].plan, &w, &refusal), -EPERM);
		assert_int_equal(refusal.status, 409);
		assert_string_equal(refusal.text, rows[i].text);
		topo_free(t);
	}
}

static void
blank_and_demo(void **state)
{
	struct topo_world w = world("172.16.0.0/12");
	struct topo_refusal refusal;
	struct topo *t = topo_new();
	json_t *issues;

	(void)state;
	assert_int_equal(topo_blank(t, &w, &refusal), 0);
	issues = topo_validate(t, &w, true);
	assert_int_equal(json_array_size(issues), 1);
	assert_false(topo_has_errors(issues));
	json_decref(issues);
	topo_free(t);
	t = topo_new();
	assert_int_equal(topo_demo(t, &w, &refusal), 0);
	issues = topo_validate(t, &w, true);
	assert_int_equal(json_array_size(issues), 0);
	assert_true(t->ndeckies >= 5 && t->nlans == 2);
	json_decref(issues);
	topo_free(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_seed),
		cmocka_unit_test(keeps_the_plan),
		cmocka_unit_test(ceilings),
		cmocka_unit_test(blank_and_demo),
	};

	return cmocka_run_group_tests_name("topology_generator", tests, NULL, NULL);
}
