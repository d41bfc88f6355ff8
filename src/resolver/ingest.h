/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RESOLVER_INGEST_H
#define RESOLVER_INGEST_H

/* A batch of sightings becomes rows, journal and identities in one transaction. */

#include <stddef.h>
#include <stdint.h>

#include "resolver/check.h"
#include "resolver/linker.h"
#include "store/db.h"
#include "store/journal.h"
#include "util/attr.h"

#define INGEST_SOURCES_MAX 16 /* decoy processes in one batch */

struct ingest_result {
	size_t flushed;		  /* log rows written */
	size_t repeated;	  /* captures that were committed before */
	size_t early;		  /* captures left out because one before them is missing */
	int64_t position;	  /* last log id; 0: none written */
	struct journal_rows rows; /* the caller's: journal_rows_fini */
	/* Everything up to `no` is committed, for each source of the batch. */
	struct capture_ack acks[INGEST_SOURCES_MAX];
	size_t nacks;
	/* The lowest early one; no 0: none was early. */
	struct capture_ack gap;
};

/*
 * One write transaction, committed. The captures of a source are taken in order and without a gap:
 * what is not above the last committed one was committed before, what is above the next one is
 * early (it is asked for again). So a batch may be repeated after any failure. `start` may name one
 * capture that is taken although those before it are missing (they are lost); NULL: none. 0 and
 * *ret; -ENOBUFS: too many sources; or a store failure. After a failure nothing happened.
 */
int ingest_batch(struct db *db, struct linker *linker, const struct sighting *v, size_t n,
		 uint64_t now_ms, const struct capture_ack *start, struct ingest_result *ret,
		 struct err *e) A_NODISCARD;

#endif
