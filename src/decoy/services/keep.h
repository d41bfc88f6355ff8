/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECOY_SERVICES_KEEP_H
#define DECOY_SERVICES_KEEP_H

/*
 * Keys and values of one session, in a block of fixed size: what an attacker sets can be read back
 * until the connection ends. Zeroed memory is an empty one. Pure.
 */

#include <stddef.h>
#include <stdint.h>

#include "util/attr.h"
#include "util/sv.h"

#define KEEP_BYTES 16384

struct keep {
	uint32_t used;
	char bytes[KEEP_BYTES];
};

struct keep_entry {
	uint8_t db;
	uint64_t expires_ms; /* 0: never */
	struct sv key, value;
	size_t at, n; /* where it is */
};

/* The next entry of the walk; *at is 0 at first. False at the end. */
bool keep_next(const struct keep *k, size_t *at, struct keep_entry *ret);
/* Whether the key is there at `now_ms`. */
bool keep_get(const struct keep *k, uint8_t db, struct sv key, uint64_t now_ms,
	      struct keep_entry *ret);
/* Set or replace; the views must not lie in `k`. 0 or -ENOBUFS (nothing changed). */
int keep_put(struct keep *k, uint8_t db, struct sv key, struct sv value,
	     uint64_t expires_ms) A_NODISCARD;
/* Whether it was there. */
bool keep_del(struct keep *k, uint8_t db, struct sv key, uint64_t now_ms);
/* All of one database. */
void keep_flush(struct keep *k, uint8_t db);
/* Keys that are there, and those of them that expire. */
unsigned keep_count(const struct keep *k, uint8_t db, uint64_t now_ms, unsigned *ret_expiring);

#endif
