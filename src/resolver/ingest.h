/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RESOLVER_INGEST_H
#define RESOLVER_INGEST_H

/* A batch of sightings becomes rows, journal and identities in one transaction. */

#include <stddef.h>
#include <stdint.h>

#include "resolver/check.h"
#include "store/db.h"
#include "store/journal.h"
#include "util/attr.h"

struct ingest_result {
	size_t flushed;		  /* log rows written */
	size_t repeated;	  /* captures that were committed before */
	int64_t position;	  /* last log id; 0: none written */
	struct journal_rows rows; /* the caller's: journal_rows_fini */
};

/*
 * One write transaction, committed. Captures whose number is not above the last committed one of
 * their source are left out, so a batch may be repeated after any failure. 0 and *ret, or a store
 * failure (nothing happened).
 */
int ingest_batch(struct db *db, const struct sighting *v, size_t n, uint64_t now_ms,
		 struct ingest_result *ret, struct err *e) A_NODISCARD;

#endif
