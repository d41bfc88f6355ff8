/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IDENTITY_RULE_H
#define IDENTITY_RULE_H

/*
 * Who belongs together: from one observation and those that share a value with it, to a list of
 * changes. Pure: whoever calls it looks the candidates up and carries the changes out, so another
 * engine can take its place behind the same two structures.
 */

#include <stdbool.h>
#include <stddef.h>

#include "identity/signal.h"
#include "util/attr.h"
#include "util/id.h"

#define IDENTITY_SIGNALS_MAX	64 /* of one observation; the newest count */
#define IDENTITY_CANDIDATES_MAX 64
#define IDENTITY_EVIDENCE_MAX	IDENTITY_CLASS_COUNT
#define IDENTITY_CHANGES_MAX	(IDENTITY_CANDIDATES_MAX + 1)
#define IDENTITY_LINK_BITS	2.0 /* log2 odds from which two observations are one's */

struct identity_signal {
	enum identity_class class;
	struct sv slot; /* values are compared within a slot: the primitive */
	struct sv value;
	bool common; /* everybody's: sharing it says nothing */
};

/* One attacker row as the rule sees it; everything is borrowed. */
struct identity_observation {
	const char *uuid;
	const char *identity; /* the final winner it belongs to; NULL: none yet */
	struct identity_signal signals[IDENTITY_SIGNALS_MAX];
	size_t nsignals;
};

struct identity_evidence {
	const char *signal; /* tls, ssh, tls+ssh, payload, c2, credential */
	struct sv value;    /* empty: they differ */
	double weight;	    /* log2 odds */
};

enum identity_change_kind {
	IDENTITY_FORM,	/* a new identity for the observation */
	IDENTITY_LINK,	/* the observation joins `identity` */
	IDENTITY_MERGE, /* `other` joins `identity` */
};

struct identity_change {
	enum identity_change_kind kind;
	const char *identity, *other; /* borrowed from the observations */
	size_t candidate;	      /* index of the candidate that caused it; not of FORM */
	double bits;		      /* the score behind it */
};

/*
 * Log2 odds that one hand is behind both, and why: at most IDENTITY_EVIDENCE_MAX rows in `ret`,
 * *ret_n of them. Symmetric.
 */
double identity_compare(const struct identity_observation *a, const struct identity_observation *b,
			struct identity_evidence *ret, size_t *ret_n);
/*
 * What to do about `self`, at most IDENTITY_CHANGES_MAX changes: form its own identity when nobody
 * is like it and it has none; else join the oldest (smallest) of the identities concerned and merge
 * the others into that. The same answer whatever the order of the candidates, but for `candidate`.
 * Candidates without an identity are ignored. Returns their number.
 */
size_t identity_decide(const struct identity_observation *self,
		       const struct identity_observation *candidates, size_t n,
		       struct identity_change *ret);
/* Probability (0..1) for log2 odds, in ten-thousandths. */
double identity_probability(double bits);

#endif
