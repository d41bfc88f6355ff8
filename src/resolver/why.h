/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RESOLVER_WHY_H
#define RESOLVER_WHY_H

/* From what the engine says of one batch to rows of the log of its reasons (store/er_decision.h).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "identity/engine.h"
#include "store/db.h"
#include "store/er_decision.h"
#include "util/attr.h"
#include "util/err.h"

/* The evidence of a pair in words. Zero it to start. */
struct why_text {
	char text[ER_EVIDENCE_MAX + 1];
	size_t n;
};

/* One more class: what for or against, its value if it is known. What has no room is left out. */
void why_term(struct why_text *t, const char *signal, double bits, const char *value);

struct why_pair {
	uint32_t a, b;
	bool together;
	double bits;
	char *text;
};

/* Pairs that the engine named. Zero it to start. */
struct why {
	struct why_pair *v;
	size_t n, cap;
};

void why_fini(struct why *w);
/* 0 or -ENOMEM. */
int why_add(struct why *w, const struct identity_reason *reason, double bits,
	    const struct why_text *t) A_NODISCARD;
/*
 * Append a row for each change, with the pair that it is because of where one is known. *seq is the
 * last number, and is moved on. 0 or a store failure.
 */
int why_write(struct why *w, struct identity_engine *engine, const struct identity_changes *c,
	      struct db *db, uint64_t now_ms, int64_t *seq, struct err *e) A_NODISCARD;

#endif
