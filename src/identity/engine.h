/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IDENTITY_ENGINE_H
#define IDENTITY_ENGINE_H

/*
 * Which observations are the same hands: a pure function of the set of current observations and of
 * what analysts decided, kept up to date as rows come, change and go. Whatever the order of
 *arrival, when identity_engine_drain has returned the partition is the same. No clock, no file, no
 *SQL: who calls it gives it rows and carries its changes out.
 *
 *	identity_engine_put(e, id, hash, &features, &row);	for each row of a batch
 *	identity_engine_drain(e, now_ms, &changes);		once a batch
 *
 * Every function that can run out of memory returns -ENOMEM; after that the engine is of no use any
 * more (every further call fails the same way) and is built anew.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "identity/feature.h"
#include "util/attr.h"

#define IDENTITY_NONE	   UINT32_MAX
#define IDENTITY_ID_BYTES  16
#define IDENTITY_LINK_BITS 2.0 /* log2 odds from which two observations are the same hands */
#define IDENTITY_TERMS_MAX 12
#define IDENTITY_HOPS_MAX  6 /* merged-out identities between one and its final winner */

struct identity_engine;

/* Rows and identities are named by numbers, which are stable while they exist. */

enum identity_change_kind {
	IDENTITY_UNLINKED, /* row left `identity` */
	IDENTITY_FORMED,   /* `identity` is new; its rows follow as JOINED */
	IDENTITY_JOINED,   /* row is of the new `identity` */
	IDENTITY_LINKED,   /* row is of `identity` now */
	IDENTITY_UNMERGED, /* `identity` stands alone again; it was merged into `other` */
	IDENTITY_MERGED,   /* `other` is merged into `identity` */
	IDENTITY_CHANGED, /* size, members or confidence of the final winner `identity` are not what
			     they were */
};

struct identity_change {
	enum identity_change_kind kind;
	uint32_t identity, other, row;
	uint32_t size;	   /* CHANGED: observations of it and of all merged into it */
	bool lost;	   /* CHANGED: somebody left, so what is collected is collected anew */
	double confidence; /* CHANGED */
};

/* Two rows and why: because of them rows came together, or they stopped being a reason. */
struct identity_reason {
	uint32_t a, b;
	bool together;
	bool known; /* something may have been said of them before */
};

/* Owned by the engine, good until its next call. Order: UNLINKED, FORMED with its JOINED, LINKED,
 * UNMERGED of what is also in a MERGED, MERGED, other UNMERGED, CHANGED. */
struct identity_changes {
	const struct identity_change *v;
	size_t n;
	const struct identity_reason *reasons;
	size_t nreasons;
};

struct identity_term {
	enum identity_value_class class;
	bool agrees;
	uint64_t key;	   /* the shared value; 0: they differ, or several values */
	double bits;	   /* log2 odds, for or against */
	uint32_t common;   /* observations that share the value */
	unsigned distance; /* KEYSTROKE: differing bits */
};

struct identity_explanation {
	double bits; /* log2 odds that both are the same hands */
	struct identity_term terms[IDENTITY_TERMS_MAX];
	size_t n;
	bool together; /* in one identity at present */
};

struct identity_stats {
	size_t rows, values, links, identities, contested;
	size_t bytes;	 /* heap in use, without the allocator's own */
	uint64_t scores; /* pairs scored since the start */
	uint64_t levels; /* reliabilities computed since the start */
};

/* 0 or -ENOMEM. */
int identity_engine_new(const struct identity_secret *secret,
			struct identity_engine **ret_engine) A_NODISCARD;
void identity_engine_free(struct identity_engine *e);

/*
 * Add the observation, or replace what is known of it. `id` is its uuid in binary; `hash` its
 * identity_hash. 1: something changed, 0: nothing did, -ENOMEM. *ret_row is its number.
 */
int identity_engine_put(struct identity_engine *e, const uint8_t id[IDENTITY_ID_BYTES],
			uint64_t hash, const struct identity_features *f,
			uint32_t *ret_row) A_NODISCARD;
/* Forget the observation. 1, 0 (not there) or -ENOMEM. */
int identity_engine_remove(struct identity_engine *e,
			   const uint8_t id[IDENTITY_ID_BYTES]) A_NODISCARD;
/*
 * Bring everything up to date and say what changed. `now_ms` is the recorded time of the newest row
 * of the batch; new identities carry it (or the latest one given so far, if that is later). 0 or
 * -ENOMEM.
 */
int identity_engine_drain(struct identity_engine *e, uint64_t now_ms,
			  struct identity_changes *ret) A_NODISCARD;

/*
 * What analysts decided about `n` rows: side[i] is 0 or 1. Apart: no row of one side is ever in one
 * identity with a row of the other, those of one side stay together. Together: all of them are one.
 * Of two contrary decisions on a pair the one with the higher `no` counts. Rows are named by uuid
 * and may come later. 0 or -ENOMEM.
 */
int identity_engine_decide(struct identity_engine *e, uint64_t no, bool apart,
			   const uint8_t (*ids)[IDENTITY_ID_BYTES], const uint8_t *side,
			   size_t n) A_NODISCARD;

/* -- restart: after the rows, before the first drain. What is stored of some identities was changed
 * by somebody else: between two drains, for each of them release, then anchor, merge, yield and the
 * rows; the next drain looks at all of their components -- */

/* An identity that exists, formed for the row `anchor` (IDENTITY_NONE: not known; then for the
 * first of its rows). 0 and its number, -EEXIST or -ENOMEM. */
int identity_engine_restore(struct identity_engine *e, const uint8_t uuid[IDENTITY_ID_BYTES],
			    uint32_t anchor, uint32_t *ret_identity) A_NODISCARD;
/* What was known of the identity, but its rows, is not so any more. */
void identity_engine_release(struct identity_engine *e, uint32_t identity);
/* A released identity stands on this row, if no other one does. */
void identity_engine_restore_anchor(struct identity_engine *e, uint32_t identity, uint32_t row);
/* `loser` is merged into `winner` (IDENTITY_NONE: into none). */
void identity_engine_restore_merge(struct identity_engine *e, uint32_t loser, uint32_t winner);
/* An analyst merged them: `loser` gives way although it may be the older. */
void identity_engine_yield(struct identity_engine *e, uint32_t loser, uint32_t winner);
/* The row is of this identity. */
void identity_engine_restore_row(struct identity_engine *e, uint32_t row, uint32_t identity);
/* The latest time given to a drain; 0: none. */
uint64_t identity_engine_time(const struct identity_engine *e);
void identity_engine_set_time(struct identity_engine *e, uint64_t now_ms);

/* -- questions -- */

/* Number of the row, or IDENTITY_NONE. */
uint32_t identity_engine_find(const struct identity_engine *e, const uint8_t id[IDENTITY_ID_BYTES]);
uint32_t identity_engine_find_identity(const struct identity_engine *e,
				       const uint8_t uuid[IDENTITY_ID_BYTES]);
const uint8_t *identity_engine_row_id(const struct identity_engine *e, uint32_t row);
/* Rows are numbered below this; a number may be free: then identity_engine_row_of is
 * IDENTITY_NONE. */
uint32_t identity_engine_rows(const struct identity_engine *e);
const uint8_t *identity_engine_uuid(const struct identity_engine *e, uint32_t identity);
/* The row the identity was formed for. */
uint32_t identity_engine_anchor(const struct identity_engine *e, uint32_t identity);
/* The identity that the row carries; the final winner of an identity. */
uint32_t identity_engine_row_of(const struct identity_engine *e, uint32_t row);
uint32_t identity_engine_final(const struct identity_engine *e, uint32_t identity);
/* Of the rows in the same final identity that are linked to this one, the strongest; IDENTITY_NONE:
 * none. After a drain, of a row that has an identity. */
uint32_t identity_engine_nearest(const struct identity_engine *e, uint32_t row);
/* Why two rows are, or are not, the same hands; strongest term first. */
void identity_engine_explain(struct identity_engine *e, uint32_t a, uint32_t b,
			     struct identity_explanation *ret);
void identity_engine_stats(const struct identity_engine *e, struct identity_stats *ret);

#endif
