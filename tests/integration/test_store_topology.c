/* SPDX-License-Identifier: Apache-2.0 */
/* Random operations on a stored topology: what a part of its rows says is what the whole says,
 * copies do not change each other, and the changes that are told lead from one state to the next.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scratch.h"
#include "store/topology.h"
#include "topology/ops.h"
#include "util/json.h"

#define OPS   3000
#define QUEUE 4

struct queued {
	enum topo_op op;
	json_t *payload;
};

static uint64_t seed = 20261121;

static unsigned
below(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 20) % n;
}

static const char *
pick(const char *const *list, unsigned n)
{
	return list[below(n)];
}

static json_t *
some_services(void)
{
	static const char *const names[] = {"http", "redis", "telnet", "https", "smtp"};
	json_t *list = json_array();

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (below(3) == 0)
			(void)json_array_append_new(list, json_string(names[i]));
	return list;
}

static struct queued
random_op(void)
{
	static const char *const lans[] = {"dmz", "l0", "l1", "l2", "l3"};
	static const char *const services[] = {"http", "redis", "telnet"};
	char decky[16], ip[16];
	const char *lan = pick(lans, ARRAY_LEN(lans)), *service = pick(services, 3);

	(void)snprintf(decky, sizeof(decky), "d%u", below(12));
	(void)snprintf(ip, sizeof(ip), "172.20.%u.%u", below(4), below(6));
	switch (below(12)) {
	case 0:
	case 1:
	case 2:
		if (below(4) == 0)
			return (struct queued){
				TOPO_OP_ADD_DECKY,
				json_pack("{s:s, s:s, s:s}", "name", decky, "lan", lan, "ip", ip)};
		return (struct queued){TOPO_OP_ADD_DECKY,
				       json_pack("{s:s, s:s, s:o}", "name", decky, "lan", lan,
						 "services", some_services())};
	case 3: return (struct queued){TOPO_OP_REMOVE_DECKY, json_pack("{s:s}", "decky", decky)};
	case 4:
		return (struct queued){TOPO_OP_ATTACH_DECKY,
				       json_pack("{s:s, s:s, s:b}", "decky", decky, "lan", lan,
						 "forwards_l3", (int)below(2))};
	case 5:
		return (struct queued){TOPO_OP_DETACH_DECKY,
				       json_pack("{s:s, s:s}", "decky", decky, "lan", lan)};
	case 6: return (struct queued){TOPO_OP_ADD_LAN, json_pack("{s:s}", "name", lan)};
	case 7: return (struct queued){TOPO_OP_REMOVE_LAN, json_pack("{s:s}", "name", lan)};
	case 8:
		return (struct queued){
			TOPO_OP_UPDATE_DECKY,
			json_pack("{s:s, s:o}", "decky", decky, "services", some_services())};
	case 9:
		return (struct queued){TOPO_OP_SERVICE_ADD,
				       json_pack("{s:s, s:s, s:{}}", "decky", decky, "service",
						 service, "config")};
	case 10:
		return (struct queued){TOPO_OP_SERVICE_REMOVE,
				       json_pack("{s:s, s:s}", "decky", decky, "service", service)};
	default:
		return (struct queued){
			TOPO_OP_UPDATE_LAN,
			json_pack("{s:s, s:{s:s}}", "name", lan, "patch", "name", pick(lans, 5))};
	}
}

/* All of a queue, one after the other: 0, or the refusal's code and text. */
static int
run(struct topo *t, const struct queued *q, unsigned n, const struct topo_world *w, char text[512])
{
	int r = 0;

	text[0] = 0;
	for (unsigned i = 0; r == 0 && i < n; i++) {
		struct topo_refusal refusal = {0};

		r = topo_op_apply(t, q[i].op, q[i].payload, w, &refusal, NULL);
		(void)snprintf(text, 512, "%s", refusal.text);
		topo_refusal_fini(&refusal);
	}
	return r;
}

static json_t *
list_of(json_t *detail, const char *kind)
{
	return json_object_get(detail, strcmp(kind, "lan") == 0	    ? "lans"
				       : strcmp(kind, "decky") == 0 ? "deckies"
								    : "edges");
}

static size_t
place_of(const json_t *list, const char *id)
{
	const json_t *row;
	size_t i;

	json_array_foreach(list, i, row)
	{
		const char *key = json_get_text(row, "uuid");

		if (strcmp(key ? key : json_get_text(row, "id"), id) == 0)
			return i;
	}
	return json_array_size(list);
}

static int
by_id(const void *a, const void *b)
{
	const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
	const char *kx = json_get_text(x, "uuid"), *ky = json_get_text(y, "uuid");

	return strcmp(kx ? kx : json_get_text(x, "id"), ky ? ky : json_get_text(y, "id"));
}

/* The rows of one kind in the order of their ids. */
static json_t *
sorted(json_t *list)
{
	json_t *rows[64], *ret = json_array();
	size_t n = json_array_size(list);

	assert_true(n <= ARRAY_LEN(rows));
	for (size_t i = 0; i < n; i++)
		rows[i] = json_array_get(list, i);
	qsort(rows, n, sizeof(*rows), by_id);
	for (size_t i = 0; i < n; i++)
		(void)json_array_append(ret, rows[i]);
	return ret;
}

/* Folding the changes into what was gives what is. */
static void
check_changes(const struct topo *before, const struct topo *after)
{
	json_t *was = topology_detail_json(before), *is = topology_detail_json(after);
	json_t *changes = topo_changes(before, after), *change;
	static const char *const kinds[] = {"lan", "decky", "edge"};
	size_t i;

	assert_non_null(changes);
	json_array_foreach(changes, i, change)
	{
		json_t *list = list_of(was, json_get_text(change, "kind"));
		size_t at = place_of(list, json_get_text(change, "id"));

		if (strcmp(json_get_text(change, "action"), "deleted") == 0)
			assert_int_equal(json_array_remove(list, at), 0);
		else if (at < json_array_size(list))
			assert_int_equal(json_array_set(list, at, json_object_get(change, "row")),
					 0);
		else
			assert_int_equal(json_array_append(list, json_object_get(change, "row")),
					 0);
	}
	for (i = 0; i < ARRAY_LEN(kinds); i++) {
		json_t *folded = sorted(list_of(was, kinds[i])),
		       *told = sorted(list_of(is, kinds[i]));

		assert_true(json_equal(folded, told));
		json_decref(folded);
		json_decref(told);
	}
	json_decref(changes);
	json_decref(was);
	json_decref(is);
}

/* The queue on the whole and on its part: both apply it or refuse it with one text. Stores what it
 * made. */
static bool
step(struct db *db, const char *id, const struct queued *q, unsigned n, const struct topo_world *w)
{
	struct topo *whole = NULL, *part = NULL, *copy, *again = NULL;
	struct topo_part rows;
	char text[512], other[512];
	json_t *untouched, *now;
	struct err e = {0};
	int r;

	assert_int_equal(topo_part_init(&rows), 0);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(topo_part_add(&rows, q[i].op, q[i].payload), 0);
	assert_int_equal(topology_load(db, id, &whole, &e), 1);
	assert_int_equal(topology_load_part(db, id, &rows, &part, &e), 1);
	assert_int_equal(whole->ndeckies, part->ndeckies + part->more_deckies);
	assert_int_equal(whole->nedges, part->nedges + part->more_edges);
	untouched = topology_detail_json(whole);
	assert_non_null(copy = topo_copy(whole));
	r = run(copy, q, n, w, text);
	assert_int_equal(run(part, q, n, w, other), r);
	assert_string_equal(other, text);
	now = topology_detail_json(whole);
	assert_true(json_equal(untouched, now));
	if (r == 0) {
		int64_t rows_no = whole->rows_no;

		assert_int_equal(part->ndeckies + part->more_deckies, copy->ndeckies);
		check_changes(whole, copy);
		assert_int_equal(db_begin_write(db, &e), 0);
		assert_int_equal(topology_write_rows(db, whole, copy, &e), 0);
		assert_int_equal(db_commit(db, &e), 0);
		json_decref(now);
		json_decref(untouched);
		assert_int_equal(topology_load(db, id, &again, &e), 1);
		untouched = topology_detail_json(again);
		now = topology_detail_json(copy);
		assert_true(json_equal(untouched, now));
		assert_int_equal(again->rows_no, copy->rows_no);
		assert_true(rows_no <= again->rows_no);
	}
	json_decref(now);
	json_decref(untouched);
	topo_part_fini(&rows);
	topo_free(whole);
	topo_free(part);
	topo_free(copy);
	topo_free(again);
	return r == 0;
}

static void
test_part_is_as_good_as_the_whole(void **state)
{
	char id[ID_UUID_SIZE];
	struct scratch at;
	struct topo_world w = {0};
	struct topo *t = topo_new();
	struct err e = {0};
	struct db *db = NULL;
	unsigned applied = 0;

	(void)state;
	scratch_make(&at);
	db = scratch_open(&at);
	assert_int_equal(cidr_parse("172.20.0.0/20", 0, 32, &w.pool), 0);
	(void)snprintf(t->name, sizeof(t->name), "random");
	memcpy(id, t->id, sizeof(id));
	assert_int_equal(db_begin_write(db, &e), 0);
	assert_int_equal(topology_insert(db, t, 1, &e), 0);
	assert_int_equal(db_commit(db, &e), 0);
	topo_free(t);
	for (unsigned i = 0; i < OPS; i++) {
		struct queued q[QUEUE];
		unsigned n = 1 + below(QUEUE);

		for (unsigned k = 0; k < n; k++)
			q[k] = random_op();
		applied += step(db, id, q, n, &w);
		for (unsigned k = 0; k < n; k++)
			json_decref(q[k].payload);
	}
	print_message("# %u of %u applied\n", applied, OPS);
	assert_true(applied > OPS / 20);
	db_close(db);
	scratch_remove(&at);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_part_is_as_good_as_the_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
