/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The identity engine with its store, one observation at a time and at a steady rate, beside a
 *floor that writes the attacker's row and its journal rows by the same functions and nothing else.
 *
 *	bench_identity_store sqlite:FILE [ROWS [CHANGES [SECONDS]]]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "bench_store.h"
#include "resolver/linker.h"
#include "store/attacker.h"
#include "store/identity_tx.h"
#include "store/journal.h"
#include "util/limits.h"

#define BATCH	  256
#define RATE	  500
#define GATHER_US 5000
#define HANDS	  400 /* of the steady stream: about as many identities */

static struct db *db;
static struct linker *linker;
static uint64_t stream_ms = 1780000000000;

/* What address `i` shows: the tools and the server of hands number `who`. */
static void
observe(struct identity_tx *tx, uint32_t i, uint32_t who, struct err *e)
{
	struct attacker_place at = {
		.decky = "bench", .service = "bench", .ts_ms = stream_ms, .now_ms = stream_ms};
	struct attacker a = {.is_new = false};
	struct identity_features f;
	char ip[ATTACKER_IP_SIZE], hassh[40], c2[40], identity[ID_UUID_SIZE];

	(void)snprintf(ip, sizeof(ip), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
	(void)snprintf(hassh, sizeof(hassh), "%032" PRIx32, who * 2654435761U);
	(void)snprintf(c2, sizeof(c2), "c2-%" PRIu32 ".example:443", who);
	stream_ms += 10;
	bench_must(attacker_open(db, ip, &a, e), e, "attacker");
	bench_must(attacker_note(&a, &at, true), e, "note");
	bench_must(attacker_signal_add(db, &a, &at, IDENTITY_SIGNAL_SSH_HASSH, hassh, e), e,
		   "signal");
	bench_must(attacker_signal_add(db, &a, &at, IDENTITY_SIGNAL_C2_ENDPOINT, c2, e), e,
		   "signal");
	bench_must(attacker_save(db, &a, &at, "connect", e), e, "save");
	if (tx) {
		bench_must(identity_tx_observed(tx, &a, e), e, "observed");
		linker_identity(linker, a.uuid, identity);
		if (identity[0]) {
			bench_must(identity_tx_touch(tx, identity, a.first_seen, a.last_seen, e), e,
				   "touch");
			bench_must(identity_tx_signals(tx, identity, a.uuid, e), e, "signals");
		}
		identity_features_init(&f);
		identity_features_stack(&f, linker_secret(linker), SV(""), sv_from(hassh), SV(""));
		identity_features_c2(&f, linker_secret(linker), sv_from(c2));
		identity_features_credential(&f, linker_secret(linker), sv_from(hassh),
					     sv_from(c2));
		bench_must(linker_put(linker, db, a.uuid, linker_hash(linker, a.uuid), &f, e), e,
			   "put");
	}
	attacker_fini(&a);
}

struct job {
	uint32_t address, who;
};

/* What everybody shares says nothing: a third of all are others. */
static bool
stranger(uint32_t address)
{
	return address % 3 == 2;
}

/* One transaction; `identities` false: the floor. */
static void
store(const struct job *jobs, size_t n, bool identities)
{
	struct journal_rows rows = {0};
	struct identity_tx *tx = NULL;
	struct err e = {0};

	bench_must(db_begin_write(db, &e), &e, "begin");
	if (identities) {
		bench_must(identity_tx_new(db, stream_ms, "engine", &tx, &e), &e, "new");
		bench_must(linker_open(linker, db, tx, &e), &e, "open");
	}
	for (size_t i = 0; i < n; i++)
		observe(tx, jobs[i].address, jobs[i].who, &e);
	if (identities) {
		bench_must(linker_settle(linker, db, tx, stream_ms, &e), &e, "settle");
		bench_must(identity_tx_finish(tx, &e), &e, "finish");
	}
	identity_tx_free(tx);
	bench_must(db_commit(db, &e), &e, "commit");
	journal_take(db, &rows);
	journal_rows_fini(&rows);
}

/* Observations that are due every 2 ms are gathered as the resolver does it; from due to committed.
 */
static void
steady(const char *what, uint32_t first, unsigned seconds, bool identities)
{
	size_t n = (size_t)RATE * seconds, done = 0;
	uint64_t *us = calloc(n, sizeof(*us)), start = bench_now_us() + 10000;
	struct job jobs[BATCH];

	while (us && done < n) {
		uint64_t due = start + done * (1000000 / RATE), now = bench_now_us(),
			 go = due + GATHER_US;
		size_t k = 0;

		if (go > now) {
			bench_sleep_until(go * 1000);
			now = bench_now_us();
		}
		for (; k < BATCH && done + k < n && start + (done + k) * (1000000 / RATE) <= now;
		     k++)
			jobs[k] = (struct job){first + (uint32_t)(done + k),
					       1000 + (uint32_t)(done + k) * 7919 % HANDS};
		store(jobs, k, identities);
		now = bench_now_us();
		for (size_t i = 0; i < k; i++)
			us[done + i] = now - (start + (done + i) * (1000000 / RATE));
		done += k;
	}
	if (us)
		bench_print_us(what, us, n);
	free(us);
}

int
main(int argc, char **argv)
{
	uint32_t rows = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 100000;
	size_t changes = argc > 3 ? strtoul(argv[3], NULL, 10) : 1000;
	unsigned seconds = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 20;
	uint64_t *leave = calloc(changes, sizeof(*leave)), *back = calloc(changes, sizeof(*back));
	uint64_t *floor = calloc(changes, sizeof(*floor)), at;
	struct job jobs[BATCH];
	struct err e = {0};

	if (argc < 2 || !leave || !back || !floor || linker_new(NULL, &linker) < 0)
		return 2;
	bench_must(db_migrate(argv[1], &e), &e, argv[1]);
	bench_must(db_open(argv[1], DB_READ_WRITE, &db, &e), &e, argv[1]);
	db_cache(db, LIMIT_RESOLVER_CACHE_KIB);
	at = bench_now_us();
	for (uint32_t i = 0; i < rows; i += BATCH) {
		size_t n = rows - i < BATCH ? rows - i : BATCH;

		for (size_t k = 0; k < n; k++)
			jobs[k] = (struct job){i + (uint32_t)k, stranger(i + (uint32_t)k)
									? 1000000 + i + (uint32_t)k
									: 1};
		store(jobs, n, true);
	}
	(void)printf("%" PRIu32 " observations of the same hands in %.1f s\n", rows,
		     (double)(bench_now_us() - at) / 1e6);
	for (size_t i = 0; i < changes; i++) {
		uint32_t row = (uint32_t)((1 + i * 48271 % (rows / 3 - 1)) * 3);

		jobs[0] = (struct job){row, (uint32_t)(100000 + i)};
		at = bench_now_us();
		store(jobs, 1, true);
		leave[i] = bench_now_us() - at;
		jobs[0].who = 1;
		at = bench_now_us();
		store(jobs, 1, true);
		back[i] = bench_now_us() - at;
		jobs[0] = (struct job){(uint32_t)(0xa00000 + i), 1};
		at = bench_now_us();
		store(jobs, 1, false);
		floor[i] = bench_now_us() - at;
	}
	bench_print_us("one of them becomes somebody else", leave, changes);
	bench_print_us("and is one of them again", back, changes);
	bench_print_us("floor: a row without identities", floor, changes);
	steady("500 a second, due to committed event", 0xb00000, seconds, true);
	steady("floor: 500 a second without identities", 0xc00000, seconds, false);
	linker_free(linker);
	db_close(db);
	free(leave);
	free(back);
	free(floor);
	return 0;
}
