/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_WORKER_H
#define STORE_WORKER_H

/*
 * Heartbeats of our processes, stored so that health can be told without a bus. Every process
 * writes its row at start and every WORKER_BEAT_MS; a clean stop removes it.
 */

#include <stdint.h>

#include "store/db.h"
#include "util/attr.h"
#include "util/err.h"

#define WORKER_BEAT_MS	30000
#define WORKER_STALE_MS 90000 /* a heartbeat this old is no sign of life */
#define WORKER_MAX	64

struct worker {
	char name[32];
	int64_t pid;
	uint64_t started_at;
	uint64_t heartbeat_at;
	char extra[4096]; /* JSON object text */
};

/* Needs a write transaction. `extra` is a JSON object text; NULL is {}. 0 or a store failure. */
int worker_beat(struct db *db, const char *name, int64_t pid, uint64_t started_at, uint64_t now_ms,
		const char *extra, struct err *e) A_NODISCARD;
/* Take the row away if it is this process's. Needs a write transaction. 0 or a store failure. */
int worker_remove(struct db *db, const char *name, int64_t pid, struct err *e) A_NODISCARD;
/* At most `max` rows by name into `ret`; the number of rows or a store failure. */
int worker_list(struct db *db, struct worker *ret, unsigned max, struct err *e) A_NODISCARD;
/* The network driver that a host's mutator has registered. 1 and *ret_driver, 0 when there is none,
 * or a store failure. */
int worker_driver(struct db *db, const char *host, char ret_driver[16], struct err *e) A_NODISCARD;

#endif
