/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_ER_DECISION_H
#define STORE_ER_DECISION_H

/*
 * What the engine believed when it changed who is who: the log that explains a merge long after the
 * values behind it mean something else. Rows are only ever appended, in the transaction of the
 * change; at LIMIT_ER_DECISIONS the oldest leave.
 */

#include <jansson.h>
#include <stdint.h>

#include "store/db.h"
#include "util/attr.h"
#include "util/err.h"

#define ER_EVIDENCE_MAX 512 /* bytes of text */

enum er_decision_kind {
	ER_FORMED,   /* the identity is new, for this observation */
	ER_LINKED,   /* the observation is of the identity from now on */
	ER_MOVED,    /* it was of `other` before */
	ER_MERGED,   /* `other` is merged into the identity */
	ER_UNMERGED, /* the identity was merged into `other`, and is not any more */
};

struct er_decision {
	enum er_decision_kind kind;
	const char *identity;
	const char *other, *observation,
		*via; /* NULL: none. via: the observation that it is because of */
	bool scored;
	int64_t half_bits;    /* log2 odds that observation and via are the same hands, in halves */
	const char *evidence; /* NULL: none; at most ER_EVIDENCE_MAX bytes */
};

/* The highest number so far, 0: none. 0 or a store failure. */
int er_decision_last(struct db *db, int64_t *ret, struct err *e) A_NODISCARD;
/* Append number `seq`. 0 or a store failure. */
int er_decision_add(struct db *db, int64_t seq, uint64_t now_ms, const struct er_decision *d,
		    struct err *e) A_NODISCARD;
/* Keep the newest LIMIT_ER_DECISIONS up to number `last`. 0 or a store failure. */
int er_decision_trim(struct db *db, int64_t last, struct err *e) A_NODISCARD;
/* Those of the final winner and of all merged into it, the newest first. 0 and a list, or a store
 * failure. */
int er_decision_list(struct db *db, const char *identity, int64_t limit, int64_t offset,
		     json_t **ret_data, int64_t *ret_total, struct err *e) A_NODISCARD;

#endif
