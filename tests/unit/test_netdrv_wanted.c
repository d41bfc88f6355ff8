/* SPDX-License-Identifier: Apache-2.0 */
/* From a topology to requests: they lead to what is wanted, and no further; routes lead where they
 * should; a machine keeps its hardware addresses. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "netdrv/wanted.h"
#include "topology/addr.h"
#include "util/id.h"

/* dmz 172.16.0.0, then inner and deep behind it. */
static struct topo *
make(void)
{
	static const char *const names[] = {"dmz", "inner", "deep"};
	struct topo *t = topo_new();

	assert_non_null(t);
	for (unsigned i = 0; i < 3; i++) {
		struct topo_lan *lan = topo_add_lan(t);

		id_uuid7(lan->id);
		(void)snprintf(lan->name, sizeof(lan->name), "%s", names[i]);
		(void)snprintf(lan->subnet, sizeof(lan->subnet), "172.16.%u.0/24", i);
		lan->is_dmz = i == 0;
	}
	return t;
}

static void
join(struct topo *t, const char *decky, unsigned lan, unsigned host)
{
	struct topo_edge *edge = topo_add_edge(t);

	id_uuid7(edge->id);
	memcpy(edge->decky_uuid, topo_decky_named(t, decky)->uuid, ID_UUID_SIZE);
	memcpy(edge->lan_id, t->lans[lan].id, ID_UUID_SIZE);
	(void)snprintf(edge->ip, sizeof(edge->ip), "172.16.%u.%u", lan, host);
}

static void
decky(struct topo *t, const char *name, const char *archetype, bool forwards, unsigned lan,
      unsigned host)
{
	struct topo_decky *d = topo_add_decky(t);

	id_uuid7(d->uuid);
	(void)snprintf(d->name, sizeof(d->name), "%s", name);
	(void)snprintf(d->archetype, sizeof(d->archetype), "%s", archetype);
	d->forwards_l3 = forwards;
	memcpy(d->home_lan_id, t->lans[lan].id, ID_UUID_SIZE);
	join(t, name, lan, host);
}

static struct topo *
example(void)
{
	struct topo *t = make();

	decky(t, "gateway", "deaddeck", true, 0, 2);
	join(t, "gateway", 1, 2);
	decky(t, "web", "windows-server", false, 0, 3);
	decky(t, "db", "", false, 1, 3);
	decky(t, "hop", "", true, 1, 4);
	join(t, "hop", 2, 2);
	decky(t, "vault", "printer", false, 2, 3);
	return t;
}

/* The next hop of a decky to a subnet (0/0: the default), 0 without a route. */
static uint32_t
via(const struct wanted *w, const struct topo *t, const char *name, uint32_t ip)
{
	struct netd_id one;

	assert_int_equal(netd_id_parse(sv_from(topo_decky_named(t, name)->uuid), &one), 0);
	for (size_t i = 0; i < w->routes.n; i++)
		if (netd_id_eq(&w->routes.v[i].decky, &one) && w->routes.v[i].ip == ip)
			return w->routes.v[i].via;
	return 0;
}

static void
routes(void **state)
{
	struct topo *t = example();
	struct wanted w;

	(void)state;
	assert_int_equal(wanted_from(t->id, t, &w), 0);
	assert_int_equal(via(&w, t, "gateway", 0), 0xac100001);
	assert_int_equal(via(&w, t, "web", 0), 0xac100001);
	assert_int_equal(via(&w, t, "db", 0), 0xac100102);
	assert_int_equal(via(&w, t, "hop", 0), 0xac100102);
	assert_int_equal(via(&w, t, "vault", 0), 0xac100202);
	/* Inwards: who is in the DMZ or passes things on. */
	assert_int_equal(via(&w, t, "gateway", 0xac100200), 0xac100104);
	assert_int_equal(via(&w, t, "gateway", 0xac100100), 0);
	assert_int_equal(via(&w, t, "web", 0xac100100), 0xac100002);
	assert_int_equal(via(&w, t, "web", 0xac100200), 0xac100002);
	assert_int_equal(via(&w, t, "db", 0xac100200), 0);
	assert_int_equal(via(&w, t, "vault", 0xac100100), 0);
	wanted_fini(&w);
	/* Without forwarding there is no way in. */
	topo_decky_named(t, "gateway")->forwards_l3 = false;
	assert_int_equal(wanted_from(t->id, t, &w), 0);
	assert_int_equal(via(&w, t, "web", 0xac100100), 0);
	assert_int_equal(via(&w, t, "db", 0), 0);
	wanted_fini(&w);
	topo_free(t);
}

/* Carry out the requests; how many there were. */
static size_t
bring(struct actual *a, const struct topo *t, const char *topology_id)
{
	struct requests todo;
	struct wanted w;
	size_t n;

	assert_int_equal(wanted_from(topology_id, t, &w), 0);
	assert_int_equal(wanted_requests(a, &w, &todo), 0);
	for (size_t i = 0; i < todo.n; i++) {
		struct netd_request q = todo.v[i], got;
		uint8_t bytes[NETD_REQUEST_SIZE];

		/* Each is one that decnet-netd accepts. */
		q.n = i + 1;
		netd_request_put(&q, bytes);
		if (netd_request_parse((struct sv){(const char *)bytes, sizeof(bytes)}, &got) < 0)
			fail_msg("%s", netd_op_word(q.op));
		assert_int_equal(actual_apply(a, &q), 0);
	}
	n = todo.n;
	requests_fini(&todo);
	wanted_fini(&w);
	return n;
}

/* Every way from one of these states to another ends there, and a second time there is nothing to
 * do. */
static void
every_change_converges(void **state)
{
	struct topo *states[6] = {NULL};
	char topology_id[ID_UUID_SIZE];

	(void)state;
	states[1] = example();
	memcpy(topology_id, states[1]->id, sizeof(topology_id));
	for (unsigned i = 2; i < 6; i++)
		assert_non_null(states[i] = topo_copy(states[1]));
	topo_remove_decky(states[2], topo_decky_named(states[2], "web"));
	join(states[3], "web", 2, 9);
	topo_decky_named(states[4], "hop")->forwards_l3 = false;
	topo_remove_lan(states[5], topo_lan_named(states[5], "deep", false));
	(void)snprintf(topo_decky_named(states[5], "db")->archetype, TOPO_LABEL_SIZE, "printer");
	for (unsigned from = 0; from < 6; from++) {
		for (unsigned to = 0; to < 6; to++) {
			struct actual a = {0};

			(void)bring(&a, states[from], topology_id);
			assert_int_equal(bring(&a, states[from], topology_id), 0);
			assert_true((bring(&a, states[to], topology_id) > 0) == (from != to));
			assert_int_equal(bring(&a, states[to], topology_id), 0);
			if (to == 0)
				assert_int_equal(a.lans.n + a.deckies.n + a.nics.n, 0);
			actual_fini(&a);
		}
	}
	for (unsigned i = 1; i < 6; i++)
		topo_free(states[i]);
}

static void
other_topologies_are_left_alone(void **state)
{
	struct topo *one = example(), *two = example();
	struct actual a = {0};
	size_t n;

	(void)state;
	(void)bring(&a, one, one->id);
	n = a.nics.n;
	(void)bring(&a, two, two->id);
	assert_int_equal(a.nics.n, 2 * n);
	(void)bring(&a, NULL, two->id);
	assert_int_equal(a.nics.n, n);
	assert_int_equal(bring(&a, one, one->id), 0);
	actual_fini(&a);
	topo_free(one);
	topo_free(two);
}

static void
slots_and_hardware_addresses(void **state)
{
	struct topo *t = example();
	struct wanted w, again;
	struct actual a = {0};
	struct netd_id hop, deep, inner;
	uint8_t place;

	(void)state;
	assert_int_equal(wanted_from(t->id, t, &w), 0);
	assert_int_equal(wanted_from(t->id, t, &again), 0);
	assert_int_equal(w.nics.n, again.nics.n);
	for (size_t i = 0; i < w.nics.n; i++) {
		assert_memory_equal(w.nics.v[i].mac, again.nics.v[i].mac, 6);
		assert_int_equal(w.nics.v[i].mac[0] & 1, 0);
		for (size_t k = 0; k < i; k++)
			assert_memory_not_equal(w.nics.v[i].mac, w.nics.v[k].mac, 6);
	}
	wanted_fini(&w);
	wanted_fini(&again);
	/* An interface keeps its place when the one before it goes. */
	(void)bring(&a, t, t->id);
	assert_int_equal(netd_id_parse(sv_from(topo_decky_named(t, "hop")->uuid), &hop), 0);
	assert_int_equal(netd_id_parse(sv_from(t->lans[2].id), &deep), 0);
	assert_int_equal(netd_id_parse(sv_from(t->lans[1].id), &inner), 0);
	place = things_find(&a.nics, &hop, &deep)->slot;
	assert_int_not_equal(place, things_find(&a.nics, &hop, &inner)->slot);
	topo_remove_edge(t, topo_edge_of(t, topo_decky_named(t, "hop")->uuid, t->lans[1].id));
	(void)bring(&a, t, t->id);
	assert_int_equal(things_find(&a.nics, &hop, &deep)->slot, place);
	join(t, "hop", 1, 77);
	(void)bring(&a, t, t->id);
	assert_int_not_equal(things_find(&a.nics, &hop, &inner)->slot, place);
	actual_fini(&a);
	topo_free(t);
}

/* What follows from a machine's name is the same as in any release before: an upgrade gives no
 * machine another hardware address, and finds no difference where there is none. */
static void
what_follows_from_names(void **state)
{
	static const struct {
		const char *uuid, *archetype;
		bool forwards;
		uint8_t mac[6];
		uint64_t mark;
	} rows[] = {
		{"0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b",
		 "",
		 false,
		 {0x98, 0xf2, 0xb3, 0x7f, 0xd2, 0xcd},
		 0x5b7a48b863d8c0eb},
		{"0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2c",
		 "printer",
		 false,
		 {0x3c, 0x2a, 0xf4, 0xdd, 0xac, 0xd8},
		 0x5b7a48b863d8c0eb},
		{"0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2d",
		 "windows-server",
		 true,
		 {0x00, 0x15, 0x5d, 0x9c, 0x95, 0x69},
		 0x4b2d9d7d49fb61fb},
	};
	struct topo *t = make();
	struct wanted w;

	(void)state;
	for (unsigned i = 0; i < t->nlans; i++)
		(void)snprintf(t->lans[i].id, sizeof(t->lans[i].id),
			       "0193a1b2-0000-7000-8000-00000000000%u", i);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct topo_decky *d = topo_add_decky(t);

		(void)snprintf(d->uuid, sizeof(d->uuid), "%s", rows[i].uuid);
		(void)snprintf(d->name, sizeof(d->name), "d%u", i);
		(void)snprintf(d->archetype, sizeof(d->archetype), "%s", rows[i].archetype);
		d->forwards_l3 = rows[i].forwards;
		memcpy(d->home_lan_id, t->lans[0].id, ID_UUID_SIZE);
		join(t, d->name, 0, 10 + i);
	}
	assert_int_equal(wanted_from("0193a1b2-0000-7000-8000-0000000000ff", t, &w), 0);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		assert_memory_equal(w.nics.v[i].mac, rows[i].mac, 6);
		assert_true(w.deckies.v[i].mark == rows[i].mark);
	}
	wanted_fini(&w);
	topo_free(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(routes),
		cmocka_unit_test(every_change_converges),
		cmocka_unit_test(other_topologies_are_left_alone),
		cmocka_unit_test(slots_and_hardware_addresses),
		cmocka_unit_test(what_follows_from_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
