/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What analysts decide between batches, on a real database file: the engine that is told only what
 * changed knows and says the same as one that is built from the store at that moment. Seeds can be
 * given as arguments.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "resolver/linker.h"
#include "scratch.h"
#include "store/attacker.h"
#include "store/identity.h"
#include "store/journal.h"
#include "util/json.h"

#define T0	  1769847300000ULL
#define ADDRESSES 70
#define HANDS	  9
#define STEPS	  60
#define MOVED_MAX 1000

struct world {
	struct scratch at;
	struct db *db;
	struct linker *linker;
	uint64_t now_ms;
	uint32_t random;
	char winner[ID_UUID_SIZE], loser[ID_UUID_SIZE]; /* of the last merge; "": it was none */
	char split[2][ID_UUID_SIZE];			/* of the last split */
	unsigned said;					/* events of engines after decisions */
	struct err e;
};

static void
ok(struct world *w, int r, const char *what)
{
	if (r < 0)
		fail_msg("%s: %s", what, err_text(&w->e));
}

static void
start(struct world *w, uint32_t seed)
{
	*w = (struct world){.now_ms = T0, .random = seed};
	scratch_make(&w->at);
	w->db = scratch_open(&w->at);
	assert_int_equal(linker_new(&(struct identity_secret){"a seed", 6}, &w->linker), 0);
}

static void
stop(struct world *w)
{
	linker_free(w->linker);
	db_close(w->db);
	scratch_remove(&w->at);
}

static uint32_t
dice(struct world *w, uint32_t below)
{
	w->random = w->random * 1103515245U + 12345U;
	return (w->random >> 16) % below;
}

/* -- rows -- */

/* Mostly what its hands have, now and then what others have, or nothing. */
static const char *
value(struct world *w, uint32_t who, const char *kind, char dst[64])
{
	uint32_t of = dice(w, 7) ? who % HANDS : dice(w, HANDS);

	(void)snprintf(dst, 64, "%s-%u", kind, of);
	return dice(w, 3) ? dst : "";
}

static void
show(struct world *w, struct identity_tx *tx, uint32_t who)
{
	const struct identity_secret *secret = linker_secret(w->linker);
	struct attacker_place at = {
		.decky = "d", .service = "s", .ts_ms = w->now_ms, .now_ms = w->now_ms};
	struct attacker a = {.is_new = false};
	struct identity_features f;
	char ip[ATTACKER_IP_SIZE], tls[64], ssh[64], c2[64], password[64];
	struct sv third;

	(void)snprintf(ip, sizeof(ip), "198.51.100.%u", who);
	ok(w, attacker_open(w->db, ip, &a, &w->e), "attacker");
	ok(w, attacker_note(&a, &at, true), "note");
	ok(w, attacker_save(w->db, &a, &at, "connect", &w->e), "save");
	ok(w, identity_tx_observed(tx, &a, &w->e), "observed");
	identity_features_init(&f);
	identity_features_stack(&f, secret, sv_from(value(w, who, "tls", tls)),
				sv_from(value(w, who, "ssh", ssh)), SV(""));
	third = sv_from(value(w, who, "c2", c2));
	if (third.n > 0)
		identity_features_c2(&f, secret, third);
	third = sv_from(value(w, who, "secret", password));
	if (third.n > 0)
		identity_features_credential(&f, secret, SV("root"), third);
	ok(w, linker_put(w->linker, w->db, a.uuid, linker_hash(w->linker, a.uuid), &f, &w->e),
	   "put");
	attacker_fini(&a);
}

static struct identity_tx *
begin(struct world *w, const char *by)
{
	struct identity_tx *tx = NULL;

	w->now_ms += 1000;
	ok(w, db_begin_write(w->db, &w->e), "begin");
	ok(w, identity_tx_new(w->db, w->now_ms, by, &tx, &w->e), "tx");
	return tx;
}

static void
finish(struct world *w, struct identity_tx *tx)
{
	ok(w, identity_tx_finish(tx, &w->e), "finish");
	identity_tx_free(tx);
}

static void
commit(struct world *w)
{
	struct journal_rows rows = {0};

	ok(w, db_commit(w->db, &w->e), "commit");
	journal_take(w->db, &rows);
	journal_rows_fini(&rows);
}

static void
batch(struct world *w)
{
	struct identity_tx *tx = begin(w, "engine");

	ok(w, linker_open(w->linker, w->db, tx, &w->e), "open");
	for (uint32_t i = 1 + dice(w, 6); i > 0; i--)
		show(w, tx, dice(w, ADDRESSES));
	ok(w, linker_settle(w->linker, w->db, tx, w->now_ms, &w->e), "settle");
	finish(w, tx);
	commit(w);
}

/* -- decisions -- */

static void
merge(struct world *w, const char *winner, const char *loser)
{
	struct identity_tx *tx = begin(w, "analyst");

	ok(w, identity_tx_join(tx, winner, loser, &w->e), "join");
	finish(w, tx);
	commit(w);
	(void)snprintf(w->winner, sizeof(w->winner), "%s", winner);
	(void)snprintf(w->loser, sizeof(w->loser), "%s", loser);
	w->split[0][0] = '\0';
}

/* Part of its observations leave, or those that `only` says carried this identity. */
static void
split(struct world *w, const char *identity, const char *only)
{
	const char *moved[MOVED_MAX];
	struct identity_tx *tx;
	json_t *list = NULL, *row;
	char fresh[ID_UUID_SIZE];
	size_t n = 0, i, bad;
	int64_t total;

	ok(w, identity_observations(w->db, identity, MOVED_MAX, 0, &list, &total, &w->e), "list");
	json_array_foreach(list, i, row)
	{
		if (n + 1 < (size_t)total &&
		    (only ? strcmp(json_get_text(row, "uuid"), only) != 0 : dice(w, 2) == 0))
			moved[n++] = json_get_text(row, "uuid");
	}
	if (n > 0) {
		tx = begin(w, "analyst");
		ok(w, identity_tx_split(tx, identity, moved, n, fresh, &bad, &w->e), "split");
		finish(w, tx);
		commit(w);
		w->winner[0] = '\0';
		(void)snprintf(w->split[0], ID_UUID_SIZE, "%s", identity);
		(void)snprintf(w->split[1], ID_UUID_SIZE, "%s", fresh);
	}
	json_decref(list);
}

/* What was merged last is split, what was split is merged, either side winning. */
static void
undo(struct world *w)
{
	char a[ID_UUID_SIZE], b[ID_UUID_SIZE];
	uint32_t k = dice(w, 2);

	if (w->winner[0]) {
		ok(w, identity_final(w->db, w->winner, a, &w->e), "final");
		split(w, a, NULL);
	} else if (w->split[0][0]) {
		ok(w, identity_final(w->db, w->split[k], a, &w->e), "final");
		ok(w, identity_final(w->db, w->split[!k], b, &w->e), "final");
		if (strcmp(a, b) != 0)
			merge(w, a, b);
	}
}

static void
decide(struct world *w)
{
	json_t *list = NULL;
	int64_t total;
	size_t n, a, b;

	ok(w, identity_list(w->db, 1000, 0, &list, &total, &w->e), "list");
	n = json_array_size(list);
	a = dice(w, (uint32_t)n);
	b = dice(w, (uint32_t)n);
	switch (dice(w, 3)) {
	case 0: undo(w); break;
	case 1: split(w, json_get_text(json_array_get(list, a), "uuid"), NULL); break;
	default:
		if (a != b)
			merge(w, json_get_text(json_array_get(list, a), "uuid"),
			      json_get_text(json_array_get(list, b), "uuid"));
	}
	json_decref(list);
}

/* -- what an engine knows -- */

static json_t *
uuid_json(const uint8_t *raw)
{
	char text[ID_UUID_SIZE];

	id_uuid_text(raw, text);
	return json_string(text);
}

static void
put(json_t *map, const uint8_t *key, json_t *own_value)
{
	char text[ID_UUID_SIZE];

	id_uuid_text(key, text);
	assert_int_equal(json_object_set_new(map, text, own_value), 0);
}

/* Rows: the identity that each carries, and the final one. Identities: where they stand, and who
 * is the final winner. */
static json_t *
knowledge(struct linker *l)
{
	struct identity_engine *e = linker_engine(l);
	json_t *rows = json_object(), *identities = json_object();
	struct identity_stats stats;

	assert_non_null(e);
	identity_engine_stats(e, &stats);
	for (uint32_t i = 0; i < identity_engine_rows(e); i++) {
		uint32_t x = identity_engine_row_of(e, i), y;

		if (x == IDENTITY_NONE)
			continue;
		y = identity_engine_final(e, x);
		put(rows, identity_engine_row_id(e, i),
		    json_pack("[o, o]", uuid_json(identity_engine_uuid(e, x)),
			      uuid_json(identity_engine_uuid(e, y))));
	}
	for (uint32_t i = 0; i < stats.identities; i++) {
		uint32_t anchor = identity_engine_anchor(e, i), y = identity_engine_final(e, i);

		put(identities, identity_engine_uuid(e, i),
		    json_pack("[o, o]",
			      anchor == IDENTITY_NONE
				      ? json_null()
				      : uuid_json(identity_engine_row_id(e, anchor)),
			      uuid_json(identity_engine_uuid(e, y))));
	}
	return json_pack("{s:o, s:o, s:i}", "rows", rows, "identities", identities, "links",
			 (int)stats.links);
}

static void
assert_same(json_t *a, json_t *b, const char *what)
{
	char *x, *y;

	if (json_equal(a, b))
		return;
	x = json_dumps(a, JSON_SORT_KEYS | JSON_INDENT(1));
	y = json_dumps(b, JSON_SORT_KEYS | JSON_INDENT(1));
	(void)fprintf(stderr, "it knows:\n%s\nto be known:\n%s\n", x, y);
	fail_msg("%s", what);
}

/* What identities a linker says at the start of a transaction, by its journal rows; the
 * transaction stays open. */
static json_t *
opened(struct world *w, struct linker *l)
{
	struct identity_tx *tx = begin(w, "engine");
	struct journal_rows rows = {0};
	json_t *said = json_array();
	int64_t head = 0;

	ok(w, journal_head(w->db, &head, &w->e), "head");
	ok(w, linker_open(l, w->db, tx, &w->e), "open");
	finish(w, tx);
	ok(w, journal_read(w->db, JOURNAL_ALL, NULL, head, 100000, &rows, &w->e), "read");
	for (size_t i = 0; i < rows.n; i++)
		assert_int_equal(json_array_append_new(said, json_pack("[s, s]", rows.v[i].topic,
								       rows.v[i].payload)),
				 0);
	journal_rows_fini(&rows);
	return said;
}

/* Where the store says that identities stand. */
static int
compare_anchor(void *user, const struct er_identity *i, struct err *e)
{
	const json_t *identities = user;
	const json_t *known = json_array_get(json_object_get(identities, i->uuid), 0);
	const char *anchor = json_string_value(known);

	(void)e;
	assert_string_equal(anchor ? anchor : "", i->anchor);
	return 0;
}

/* A linker that is built now, in a transaction that comes to nothing. */
static void
built_now(struct world *w, json_t **ret_said, json_t **ret_knows)
{
	struct linker *l = NULL;

	assert_int_equal(linker_new(NULL, &l), 0);
	*ret_said = opened(w, l);
	*ret_knows = knowledge(l);
	db_rollback(w->db);
	linker_free(l);
}

static void
check(struct world *w, unsigned step)
{
	json_t *said, *knows, *want_said, *want_knows;
	char what[64];

	(void)snprintf(what, sizeof(what), "step %u", step);
	built_now(w, &want_said, &want_knows);
	w->now_ms -= 1000;
	said = opened(w, w->linker);
	knows = knowledge(w->linker);
	ok(w, er_identities(w->db, compare_anchor, json_object_get(knows, "identities"), &w->e),
	   "anchors");
	commit(w);
	assert_same(said, want_said, what);
	assert_same(knows, want_knows, what);
	w->said += (unsigned)json_array_size(said);
	json_decref(said);
	json_decref(want_said);
	json_decref(want_knows);
	/* And a restart has nothing to add. */
	built_now(w, &want_said, &want_knows);
	assert_int_equal(json_array_size(want_said), 0);
	assert_same(knows, want_knows, what);
	json_decref(want_said);
	json_decref(want_knows);
	json_decref(knows);
}

static unsigned
one_seed(uint32_t seed)
{
	struct world w;
	unsigned said;

	start(&w, seed);
	for (unsigned i = 0; i < 10; i++)
		batch(&w);
	for (unsigned i = 0; i < STEPS; i++) {
		for (uint32_t k = dice(&w, 3); k > 0; k--)
			batch(&w);
		for (uint32_t k = 1 + dice(&w, 3); k > 0; k--)
			decide(&w);
		if (dice(&w, 5))
			check(&w, i);
	}
	said = w.said;
	stop(&w);
	return said;
}

static void
decisions_between_batches(void **state)
{
	unsigned said = 0;

	(void)state;
	for (uint32_t seed = 1; seed <= 12; seed++)
		said += one_seed(seed);
	/* Else there was nothing to compare. */
	assert_true(said > 0);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decisions_between_batches),
	};

	for (int i = 1; i < argc; i++)
		(void)printf("# seed %s: %u\n", argv[i],
			     one_seed((uint32_t)strtoul(argv[i], NULL, 10)));
	return argc > 1 ? 0 : cmocka_run_group_tests(tests, NULL, NULL);
}
