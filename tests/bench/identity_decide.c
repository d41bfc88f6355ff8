/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an analyst's decision costs beside a store of many observations:
 *
 *	bench_identity_decide sqlite:FILE STREAM [DECISIONS]
 *
 * A new store is filled from the recorded stream (resolver/record.h) first. Then identities are
 * split in two and merged again, one decision after the other; after each comes a batch of one
 * observation, as the resolver would store it. Last, the same with an engine that is built anew.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_store.h"
#include "resolver/linker.h"
#include "resolver/record.h"
#include "store/attacker.h"
#include "store/identity.h"
#include "store/journal.h"
#include "util/limits.h"

#define MOVED_MAX 1000
#define ANEW	  3

static const struct identity_secret secret = {"per-deployment secret", 21};
static struct db *db;
static struct linker *linker;
static uint64_t stream_ms = 1767225600000;

static struct identity_tx *
begin(const char *by)
{
	struct identity_tx *tx = NULL;
	struct err e = {0};

	stream_ms += 10;
	bench_must(db_begin_write(db, &e), &e, "begin");
	bench_must(identity_tx_new(db, stream_ms, by, &tx, &e), &e, "new");
	return tx;
}

static void
commit(struct identity_tx *tx)
{
	struct journal_rows rows = {0};
	struct err e = {0};

	bench_must(identity_tx_finish(tx, &e), &e, "finish");
	identity_tx_free(tx);
	bench_must(db_commit(db, &e), &e, "commit");
	journal_take(db, &rows);
	journal_rows_fini(&rows);
}

/* The attacker of an address and what is known of it. */
static void
observe(struct identity_tx *tx, const char *ip, const struct identity_features *f)
{
	struct attacker_place at = {
		.decky = "bench", .service = "bench", .ts_ms = stream_ms, .now_ms = stream_ms};
	struct attacker a = {.is_new = false};
	struct err e = {0};

	bench_must(attacker_open(db, ip, &a, &e), &e, "attacker");
	bench_must(attacker_note(&a, &at, true), &e, "note");
	bench_must(attacker_save(db, &a, &at, "connect", &e), &e, "save");
	bench_must(identity_tx_observed(tx, &a, &e), &e, "observed");
	bench_must(linker_put(linker, db, a.uuid, linker_hash(linker, a.uuid), f, &e), &e, "put");
	attacker_fini(&a);
}

static void
fill(const char *path)
{
	struct identity_tx *tx = begin("engine");
	struct identity_features f;
	struct err e = {0};
	struct record r;
	char *line = NULL, ip[ATTACKER_IP_SIZE];
	uint64_t at = bench_now_us();
	size_t cap = 0;
	uint32_t n = 0;
	FILE *in = fopen(path, "re");
	ssize_t got;

	bench_must(in ? 0 : -1, &e, path);
	bench_must(linker_open(linker, db, tx, &e), &e, "open");
	while ((got = getline(&line, &cap, in)) > 0) {
		bench_must(record_parse((struct sv){line, (size_t)got}, &r, &e), &e, path);
		record_features(&r, &secret, &f);
		(void)snprintf(ip, sizeof(ip), "10.%u.%u.%u", n >> 16, n >> 8 & 255, n & 255);
		n++;
		stream_ms = r.ts_ms;
		observe(tx, ip, &f);
		record_fini(&r);
	}
	free(line);
	(void)fclose(in);
	bench_must(linker_settle(linker, db, tx, stream_ms, &e), &e, "settle");
	commit(tx);
	(void)printf("%" PRIu32 " observations in %.1f s\n", n,
		     (double)(bench_now_us() - at) / 1e6);
}

/* One visitor that nobody knows, as the resolver stores it; microseconds. */
static uint64_t
visit(void)
{
	static unsigned visits;
	uint64_t at = bench_now_us();
	struct identity_tx *tx = begin("engine");
	struct identity_features f;
	struct err e = {0};
	char ip[ATTACKER_IP_SIZE];

	bench_must(linker_open(linker, db, tx, &e), &e, "open");
	identity_features_init(&f);
	(void)snprintf(ip, sizeof(ip), "2001:db8::%x:%x", visits >> 16, visits & 0xffff);
	visits++;
	observe(tx, ip, &f);
	bench_must(linker_settle(linker, db, tx, stream_ms, &e), &e, "settle");
	commit(tx);
	return bench_now_us() - at;
}

/* The final identity of a row, and how many observations it has. */
static size_t
family(uint32_t row, char uuid[ID_UUID_SIZE], json_t **ret_list)
{
	char text[ID_UUID_SIZE];
	struct err e = {0};
	int64_t total = 0;

	id_uuid_text(identity_engine_row_id(linker_engine(linker), row), text);
	linker_identity(linker, text, uuid);
	bench_must(identity_observations(db, uuid, MOVED_MAX, 0, ret_list, &total, &e), &e, "list");
	return (size_t)total;
}

/* Half of its observations leave; they are merged back. Four times. */
static void
split_and_merge(const char *identity, json_t *list, size_t total, uint64_t took[4])
{
	const char *moved[MOVED_MAX];
	char fresh[ID_UUID_SIZE];
	struct identity_tx *tx;
	struct err e = {0};
	size_t n = 0, bad;
	uint64_t at = bench_now_us();

	for (; n < MOVED_MAX && n < total / 2; n++)
		moved[n] = json_string_value(json_object_get(json_array_get(list, n), "uuid"));
	tx = begin("analyst");
	bench_must(identity_tx_split(tx, identity, moved, n, fresh, &bad, &e), &e, "split");
	commit(tx);
	took[0] = bench_now_us() - at;
	took[1] = visit();
	at = bench_now_us();
	tx = begin("analyst");
	bench_must(identity_tx_join(tx, identity, fresh, &e), &e, "join");
	commit(tx);
	took[2] = bench_now_us() - at;
	took[3] = visit();
}

static void
decisions(size_t n, size_t rows)
{
	static const char *const names[4] = {"split: its transaction", "split: the next batch",
					     "merge: its transaction", "merge: the next batch"};
	uint64_t *us[4], took[4], worst[4] = {0};
	char uuid[ID_UUID_SIZE], largest[ID_UUID_SIZE] = "";
	size_t most = 0, observations = 0, k = 0;
	uint32_t row = 0, of_largest = 0;
	json_t *list = NULL;

	for (unsigned i = 0; i < 4; i++)
		us[i] = calloc(n, sizeof(**us));
	for (size_t tries = 0; k < n && tries < 100 * n; tries++) {
		size_t total;

		row = (uint32_t)((row + 7919) % rows);
		total = family(row, uuid, &list);
		if (total > most) {
			most = total;
			of_largest = row;
		}
		if (total >= 2) {
			split_and_merge(uuid, list, total, took);
			for (unsigned i = 0; i < 4; i++)
				us[i][k] = took[i];
			observations += total;
			k++;
		}
		json_decref(list);
	}
	(void)printf("identities of %.0f observations on average:\n",
		     (double)observations / (double)(k ? k : 1));
	for (unsigned i = 0; i < 4; i++)
		bench_print_us(names[i], us[i], k);
	most = family(of_largest, largest, &list);
	split_and_merge(largest, list, most, worst);
	(void)printf("the largest one met, of %zu observations:\n", most);
	for (unsigned i = 0; i < 4; i++) {
		bench_print_us(names[i], &worst[i], 1);
		free(us[i]);
	}
	json_decref(list);
}

int
main(int argc, char **argv)
{
	size_t n = argc > 3 ? strtoul(argv[3], NULL, 10) : 200;
	uint64_t alone[ANEW + 1], anew[ANEW];
	struct identity_tx *tx;
	struct identity_stats stats;
	struct err e = {0};

	if (argc < 3 || linker_new(&secret, &linker) < 0)
		return 2;
	bench_must(db_migrate(argv[1], &e), &e, argv[1]);
	bench_must(db_open(argv[1], DB_READ_WRITE, &db, &e), &e, argv[1]);
	db_cache(db, LIMIT_RESOLVER_CACHE_KIB);
	tx = begin("engine");
	bench_must(linker_open(linker, db, tx, &e), &e, "open");
	identity_tx_free(tx);
	db_rollback(db);
	if (identity_engine_rows(linker_engine(linker)) == 0)
		fill(argv[2]);
	identity_engine_stats(linker_engine(linker), &stats);
	(void)printf("%zu observations, %zu identities\n", stats.rows, stats.identities);
	decisions(n, stats.rows);
	for (unsigned i = 0; i <= ANEW; i++)
		alone[i] = visit();
	for (unsigned i = 0; i < ANEW; i++) {
		linker_forget(linker);
		anew[i] = visit();
	}
	bench_print_us("a batch without a decision", alone, ANEW + 1);
	bench_print_us("a batch with an engine that is built", anew, ANEW);
	linker_free(linker);
	db_close(db);
	return 0;
}
