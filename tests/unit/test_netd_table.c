/* SPDX-License-Identifier: Apache-2.0 */
/* The table of networks: whatever is put in and taken out, it finds what is there and nothing
 * else, as a list that is searched from one end to the other does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "netd/table.h"
#include "util/limits.h"

#define IDS   40u
#define STEPS 20000u
#define MOST  4096

static uint32_t state = 20261;

static uint32_t
draw(uint32_t below)
{
	state = state * 1664525u + 1013904223u;
	return (state >> 8) % below;
}

static struct netd_id
id(uint32_t n)
{
	struct netd_id made = {{0}};

	/* Different in a byte in the middle, and in the last. */
	made.b[6] = (uint8_t)(n + 1);
	made.b[15] = (uint8_t)(n * 7 + 1);
	return made;
}

static struct table_entry
entry(enum netd_kind kind, uint32_t decky, uint32_t lan)
{
	struct table_entry made = {.kind = kind, .index = (int)draw(1 << 20)};

	if (kind != NETD_LAN)
		made.thing.decky = id(decky);
	if (kind != NETD_DECKY)
		made.thing.lan = id(lan);
	if (kind == NETD_NIC)
		made.thing.ip = 0x0a000000u + decky % 8;
	return made;
}

struct plain {
	struct table_entry v[MOST];
	size_t n;
};

static struct table_entry *
plain_find(struct plain *p, enum netd_kind kind, const struct netd_id *decky,
	   const struct netd_id *lan)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->v[i].kind == kind && (!decky || netd_id_eq(&p->v[i].thing.decky, decky)) &&
		    (!lan || netd_id_eq(&p->v[i].thing.lan, lan)))
			return &p->v[i];
	return NULL;
}

static void
agree(const struct table *t, struct plain *p)
{
	uint32_t n = draw(IDS), m = draw(IDS), ip = 0x0a000000u + draw(10);
	struct netd_id decky = id(n), lan = id(m);
	const struct table_entry *found[3] = {table_lan(t, &lan), table_decky(t, &decky),
					      table_nic(t, &decky, &lan)};
	const struct table_entry *want[3] = {plain_find(p, NETD_LAN, NULL, &lan),
					     plain_find(p, NETD_DECKY, &decky, NULL),
					     plain_find(p, NETD_NIC, &decky, &lan)};
	const struct table_entry *nic = NULL;
	size_t nics = 0, expected = 0;
	bool address = false;

	assert_int_equal(t->n, p->n);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(!found[i], !want[i]);
		if (found[i])
			assert_int_equal(found[i]->index, want[i]->index);
	}
	while ((nic = table_next_nic(t, &decky, nic))) {
		assert_true(netd_id_eq(&nic->thing.decky, &decky));
		assert_true(++nics <= t->n);
	}
	for (size_t i = 0; i < p->n; i++) {
		expected += p->v[i].kind == NETD_NIC && netd_id_eq(&p->v[i].thing.decky, &decky);
		address |= p->v[i].kind == NETD_NIC && p->v[i].thing.ip == ip;
	}
	assert_int_equal(nics, expected);
	assert_int_equal(table_has_address(t, ip), address);
}

static void
test_random(void **unused)
{
	static struct plain plain;
	struct table t = {0};

	(void)unused;
	for (unsigned i = 0; i < STEPS; i++) {
		static const enum netd_kind kinds[] = {NETD_LAN, NETD_DECKY, NETD_NIC, NETD_NIC};
		struct table_entry e = entry(kinds[draw(4)], draw(IDS), draw(IDS));
		struct table_entry *there =
			plain_find(&plain, e.kind, e.kind == NETD_LAN ? NULL : &e.thing.decky,
				   e.kind == NETD_DECKY ? NULL : &e.thing.lan);

		if (!there && plain.n < MOST) {
			assert_non_null(table_add(&t, &e));
			plain.v[plain.n++] = e;
		} else if (there) {
			struct table_entry *same =
				e.kind == NETD_LAN ? table_lan(&t, &e.thing.lan)
				: e.kind == NETD_DECKY
					? table_decky(&t, &e.thing.decky)
					: table_nic(&t, &e.thing.decky, &e.thing.lan);

			table_remove(&t, same);
			*there = plain.v[--plain.n];
		}
		agree(&t, &plain);
		if (i == STEPS / 2) {
			table_clear(&t);
			plain.n = 0;
			agree(&t, &plain);
		}
	}
	table_fini(&t);
}

static void
test_equal(void **unused)
{
	struct table a = {0}, b = {0};
	struct table_entry e[3] = {entry(NETD_LAN, 0, 1), entry(NETD_DECKY, 2, 0),
				   entry(NETD_NIC, 2, 1)};

	(void)unused;
	assert_true(table_equal(&a, &b));
	for (unsigned i = 0; i < 3; i++) {
		assert_non_null(table_add(&a, &e[i]));
		assert_non_null(table_add(&b, &e[2 - i]));
	}
	assert_true(table_equal(&a, &b));
	table_nic(&b, &e[2].thing.decky, &e[2].thing.lan)->index++;
	assert_false(table_equal(&a, &b));
	table_remove(&b, table_nic(&b, &e[2].thing.decky, &e[2].thing.lan));
	assert_false(table_equal(&a, &b));
	assert_false(table_equal(&b, &a));
	table_fini(&a);
	table_fini(&b);
}

static void
test_ceiling(void **unused)
{
	struct table t = {0};
	struct table_entry e = entry(NETD_NIC, 0, 0);

	(void)unused;
	for (uint32_t i = 0; i < LIMIT_NETD_THINGS; i++) {
		memcpy(e.thing.decky.b, &i, sizeof(i));
		e.thing.ip = i;
		assert_non_null(table_add(&t, &e));
	}
	assert_null(table_add(&t, &e));
	assert_true(table_has_address(&t, LIMIT_NETD_THINGS - 1));
	while (t.n > 0)
		table_remove(&t, &t.v[0]);
	assert_false(table_has_address(&t, 0));
	table_fini(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
