/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RESOLVER_BATCH_H
#define RESOLVER_BATCH_H

/* Sightings on their way to the store: filled from messages of the capture channel on the loop,
 * stored on a pool thread. */

#include <stddef.h>
#include <stdint.h>

#include "resolver/check.h"
#include "resolver/ingest.h"
#include "store/db.h"
#include "util/attr.h"
#include "util/err.h"
#include "util/sv.h"

/* Zero it to start. */
struct batch_in {
	struct sighting *v;
	size_t n, cap;
	uint64_t rejected[REJECT_COUNT]; /* since the last reset */
};

void batch_fini(struct batch_in *b);
/* Empty, keep the memory. */
void batch_reset(struct batch_in *b);
/*
 * Every frame of a message: checked and added, or counted as rejected (its number still counts as
 * read). What follows bytes that are no frame is given up. 0 or -ENOMEM (some frames may be missing
 * then; the decoy sends them again).
 */
int batch_add(struct batch_in *b, struct sv message, uint64_t now_ms) A_NODISCARD;

/*
 * Store the batch: in one transaction, or, when a row is refused for good, row by row without the
 * refused ones (REJECT_STORE). 0 and *ret, or a failure that may pass (then nothing is lost: call
 * again).
 */
int batch_store(struct batch_in *b, struct db *db, struct linker *linker, uint64_t now_ms,
		const struct capture_ack *start, struct ingest_result *ret,
		struct err *e) A_NODISCARD;

#endif
