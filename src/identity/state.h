/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IDENTITY_STATE_H
#define IDENTITY_STATE_H

/* The inside of the engine, for its own files only. */

#include <stdlib.h>
#include <string.h>

#include "identity/engine.h"

#define NONE	   IDENTITY_NONE
#define CLASSES	   IDENTITY_VALUE_COUNT
#define REP_MAX	   8  /* rows that every row of a value is compared with */
#define SAMPLE_MAX 16 /* rows that a value's reliability is estimated from */
#define TERMS_MAX  7

#define TLS	   IDENTITY_VALUE_TLS
#define SSH	   IDENTITY_VALUE_SSH
#define STACK	   IDENTITY_VALUE_STACK
#define PAYLOAD	   IDENTITY_VALUE_PAYLOAD
#define C2	   IDENTITY_VALUE_C2
#define CREDENTIAL IDENTITY_VALUE_CREDENTIAL
#define COMMAND	   IDENTITY_VALUE_COMMAND
#define KEYSTROKE  IDENTITY_VALUE_KEYSTROKE

/* Values of a class that says nothing of its own, or has no level yet. */
#define LEVEL_LOW (-7) /* half bits: below this all are alike, no link can rest on them */

enum {
	VALUE_QUEUED = 1,
	VALUE_GOOD = 2, /* token: somebody's own */
	VALUE_RARE = 4, /* token: hardly anybody has it */
	VALUE_FAIR = 8, /* stack: agreement on it is not the veto's */
	VALUE_WATCHED = 16,
	VALUE_DEAD = 32, /* listed in e->dead */
	VALUE_NEWS = 64, /* its level changed in this drain; listed in e->news */
};

/* More rows than a sample: with a table of its own. */
struct big {
	uint32_t *rows;
	uint32_t cap;
	bool settled; /* the terms stand for the sample */
	uint8_t nterms;
	uint32_t rep[REP_MAX];	     /* by hash */
	uint32_t sample[SAMPLE_MAX]; /* by mix */
	uint64_t mix[SAMPLE_MAX];
	double term[TERMS_MAX][2]; /* estimate and weight, a class each */
};

/* A value and its rows: up to SAMPLE_MAX in a list by hash, else in `big`. */
struct value {
	uint64_t key;
	union {
		uint32_t one[2];
		uint32_t *rows;
		struct big *big;
	};
	uint32_t n; /* of rows; 0: the place is free */
	float reliability;
	uint8_t class;
	int8_t level; /* half bits */
	uint8_t flags;
	uint8_t share; /* stack: the value's share of rows is in (2^-(share+1), 2^-share] */
};

enum {
	HALF_MINE = 1,	 /* the other end represents a value of ours */
	HALF_THEIRS = 2, /* we represent one of the other end's */
	HALF_HANDS = 4,	 /* credentials, commands or typing agree */
	HALF_MUST = 8,	 /* analysts want it */
};

/* One end of a link. `twin` is the place of the other end in the other row's list. */
struct half {
	uint32_t other, twin;
	uint16_t score; /* thousandths of a bit */
	uint16_t flags;
};

enum {
	ROW_FULL = 1,	 /* something of its own changed: every pair with it, in this drain */
	ROW_PENDING = 2, /* listed in e->dirty, still to be compared */
	ROW_CHECK = 4,	 /* listed in e->check */
	ROW_DECIDED = 8,
	ROW_AHEAD = 16, /* both FULL and PENDING */
};

/* What comparing needs of a row, in one line of the cache; its flags are in e->flags. */
struct row {
	uint64_t keystroke;
	uint32_t *values;    /* by class, ascending; then the place in each big value's table */
	struct half *halves; /* those of the spanning forest first */
	uint32_t nhalves, chalves, ntree;
	uint32_t comp, part; /* component; group within a contested one */
	uint32_t literal;
	uint16_t best; /* strongest link */
	uint8_t n[CLASSES];
	uint8_t own[2]; /* good tokens: credentials, commands */
	bool alive, has_keystroke;
};
_Static_assert(sizeof(struct row) == 64, "a row is one line");

/* What else there is of it. */
struct rest {
	uint8_t id[IDENTITY_ID_BYTES];
	uint32_t next, prev; /* ring of the component */
	uint32_t anchored;
	uint32_t seq; /* order of arrival */
};

enum {
	COMP_TOUCHED = 1,
	COMP_CUT = 2,	/* rows have groups of their own */
	COMP_LOST = 4,	/* an anchor left: every row is looked at */
	COMP_MIXED = 8, /* shifted by the slot: there are several values, perhaps */
};

struct comp {
	uint32_t size; /* 0: the place is free */
	uint32_t head;
	uint32_t identities; /* head of a ring; NONE */
	uint32_t eldest;     /* the one that all its rows are of; NONE: to be found */
	uint32_t most[2];    /* TLS, SSH: the value that most rows have; NONE: nobody has any */
	uint32_t decided;    /* rows with decisions */
	uint8_t odd[2];	     /* rows without that one, or more than there are (stack.c) */
	uint16_t flags;
	uint64_t sum; /* of the rows' certainties, millionths */
};

enum {
	IDENT_SUSPECT = 1, /* listed in e->suspects */
	IDENT_NEW = 2,	   /* formed in this drain */
	IDENT_LOST = 4,	   /* somebody left it in this drain */
	IDENT_WINNER = 8,  /* somebody was merged into it in this drain */
	IDENT_DEAD = 16,
};

struct ident {
	uint8_t uuid[IDENTITY_ID_BYTES];
	uint32_t anchor;
	uint32_t into;	 /* as last told; NONE */
	uint32_t yields; /* to this one, by an analyst's word; NONE */
	uint32_t next, prev;
	uint16_t height; /* longest way to it from one that was merged, at most */
	uint16_t flags;
};

struct decision {
	uint64_t no;
	bool apart;
	bool stale; /* listed in e->stale */
	uint32_t n;
	uint8_t (*ids)[IDENTITY_ID_BYTES];
	uint8_t *side;
};

/* A list that grows. */
struct list32 {
	uint32_t *v;
	size_t n, cap;
};

struct job {
	uint32_t value, row;
};

struct index {
	uint32_t *slots; /* number + 1; 0 is free */
	size_t mask, n;
};

struct decided_row;
struct decided_kind;

/* A row that is compared with many: its values by number, and what they are. */
struct sweep {
	uint32_t row;
	uint8_t slots[512]; /* by hash: place + 1; 0: free */
	struct {
		uint32_t value;
		uint8_t class;
		bool generates, few, represented; /* few: all rows represent it; by the row */
	} of[IDENTITY_KEYS_MAX + IDENTITY_VALUES_KEYSTROKE];
};

struct done {
	uint32_t a, b, drain;
};

struct identity_engine {
	struct identity_secret secret;
	bool failed;
	/* by row */
	struct row *rows;
	char *row_memory; /* what of it is to be freed */
	struct rest *rest;
	uint64_t *hashes;
	uint8_t *flags;
	uint32_t *marks;
	size_t nrows, crows, live_rows;
	struct value *values;
	size_t nvalues, cvalues, live_values;
	struct comp *comps;
	size_t ncomps, ccomps;
	struct ident *idents;
	size_t nidents, cidents;
	struct index row_index, value_index, ident_index;
	struct list32 free_rows, free_values, free_comps, free_idents;

	/* what is to do */
	struct list32 tokens, others; /* values whose level is not known any more */
	struct list32 news;	      /* values whose level changed */
	struct list32 dirty;	      /* rows to compare */
	struct job *jobs;	      /* a value's rows against one that came or went */
	size_t njobs, cjobs;
	struct list32 touched;	  /* components */
	struct list32 dead;	  /* values without rows, perhaps */
	struct list32 check;	  /* rows whose identity may not be theirs any more */
	struct list32 suspects;	  /* identities whose merge may not hold any more */
	struct list32 told;	  /* identities with flags of this drain */
	struct list32 watched[2]; /* stack values that many rows have */
	uint32_t totals[2],
		highest[2]; /* rows with a TLS, an SSH value; since the last full look */
	struct decision *decisions;
	size_t ndecisions, cdecisions;
	struct decided_row *decided; /* by uuid: what was decided about it */
	size_t ndecided, cdecided;
	struct decided_kind *kinds;
	size_t nkinds, ckinds;
	uint32_t walks;	     /* over kinds */
	struct list32 stale; /* decisions whose links are to be made anew */
	bool yielding;	     /* some identity yields to a younger one */

	/* scratch */
	uint32_t mark;
	struct list32 seen, walk[2], group;
	struct sweep sweep;
	struct done *done; /* pairs that were compared in this drain, as far as there is room */
	uint32_t drains;
	struct identity_change *changes;
	size_t nchanges, cchanges;
	struct identity_reason *reasons;
	size_t nreasons, creasons;

	uint32_t seq;
	uint64_t time_ms;
	uint64_t scores, levels;
	size_t links;
};

/* -- table.c: numbers for values and rows -- */
int table_grow(void **v, size_t *cap, size_t need, size_t item) A_NODISCARD;
int list_push(struct list32 *l, uint32_t x) A_NODISCARD;
int table_value(struct identity_engine *e, uint64_t key, enum identity_value_class c,
		uint32_t *ret) A_NODISCARD;
/* The value is going to be wanted. */
void table_fetch_value(const struct identity_engine *e, uint64_t key, enum identity_value_class c);
int table_value_free(struct identity_engine *e, uint32_t v) A_NODISCARD;
int table_row(struct identity_engine *e, const uint8_t *id, uint64_t hash,
	      uint32_t *ret) A_NODISCARD;
int table_row_free(struct identity_engine *e, uint32_t row) A_NODISCARD;
uint32_t table_find_row(const struct identity_engine *e, const uint8_t *id);
int table_ident(struct identity_engine *e, const uint8_t *uuid, uint32_t *ret) A_NODISCARD;
void table_ident_free(struct identity_engine *e, uint32_t i);
uint32_t table_find_ident(const struct identity_engine *e, const uint8_t *uuid);
/* A mark that no row has. */
uint32_t table_new_mark(struct identity_engine *e);

/* Values of one class of a row, and their number. */
static inline const uint32_t *
row_values(const struct row *r, unsigned class)
{
	const uint32_t *p = r->values;

	for (unsigned c = 0; c < class; c++)
		p += r->n[c];
	return p;
}

static inline unsigned
row_nvalues(const struct row *r)
{
	unsigned n = 0;

	for (unsigned c = 0; c < CLASSES; c++)
		n += r->n[c];
	return n;
}

static inline bool
is_token(unsigned class)
{
	return class == CREDENTIAL || class == COMMAND;
}

/* -- posting.c: the rows of a value -- */
int posting_add(struct identity_engine *e, uint32_t v, uint32_t row) A_NODISCARD;
int posting_remove(struct identity_engine *e, uint32_t v, uint32_t row) A_NODISCARD;
const uint32_t *posting_rows(const struct value *v);
/* The representatives: *ret_n of them. */
const uint32_t *posting_rep(const struct value *v, uint32_t *ret_n);
/* The sample in the order of the estimate: *ret_n of them. */
const uint32_t *posting_sample(const struct value *v, uint32_t *ret_n);
/* The representatives are going to be wanted. */
void posting_fetch(const struct value *v);
bool posting_in_rep(const struct value *v, uint32_t row);
bool posting_in_sample(const struct value *v, uint32_t row);
void posting_fini(struct value *v);

/* -- level.c: reliability -- */
/* The level of the value has to be found again; `anew`: not only the number of rows changed. */
int level_queue(struct identity_engine *e, uint32_t v, bool anew) A_NODISCARD;
/* Whatever the row belongs to the sample of has to be found again. */
int level_queue_row(struct identity_engine *e, uint32_t row) A_NODISCARD;
int level_drain(struct identity_engine *e) A_NODISCARD;
/* How many rows have a value of this stack class, one more or less. */
void level_total(struct identity_engine *e, unsigned class, int by);
int level_watch(struct identity_engine *e, uint32_t v) A_NODISCARD;
double level_share(const struct value *v);

/* -- score.c -- */
/* Classes whose agreement may tell of the hands. -1: not comparable, else whether they agree. */
struct view {
	const struct row *row;
	const uint32_t *v; /* its values of the class */
	double share;	   /* stack: of the one value */
};
int score_agree(const struct identity_engine *e, unsigned class, const struct view *a,
		const struct view *b);
struct score {
	double bits;
	bool hands;
};
/* What two rows share of a class. */
struct shared {
	uint8_t n, good, rare;
	uint32_t best;	    /* of highest level; NONE */
	uint32_t best_good; /* of highest level among the good tokens; NONE */
};
struct overlap {
	struct shared of[CLASSES];
	uint16_t flags; /* HALF_MINE: b represents a value of a; HALF_THEIRS: the other way round */
};
/* `row` is going to be compared with others; good until anything changes. */
void score_sweep(const struct identity_engine *e, uint32_t row, struct sweep *ret);
void score_overlap(const struct identity_engine *e, const struct sweep *a, uint32_t b,
		   struct overlap *ret);
void score_pair(struct identity_engine *e, uint32_t a, uint32_t b, const struct overlap *o,
		struct score *ret, struct identity_explanation *why);

/* -- pair.c: which pairs are compared -- */
int pair_row_dirty(struct identity_engine *e, uint32_t row, bool full) A_NODISCARD;
int pair_job(struct identity_engine *e, uint32_t value, uint32_t row) A_NODISCARD;
int pair_drain(struct identity_engine *e) A_NODISCARD;
/* Compare the row with these, at once. */
int pair_compare(struct identity_engine *e, uint32_t row, const struct list32 *others) A_NODISCARD;
bool pair_generates(const struct value *v);

/* -- forest.c: components -- */
int forest_add_row(struct identity_engine *e, uint32_t row) A_NODISCARD;
/* Without links. */
int forest_remove_row(struct identity_engine *e, uint32_t row) A_NODISCARD;
struct half *forest_find(const struct identity_engine *e, uint32_t a, uint32_t b);
int forest_link(struct identity_engine *e, uint32_t a, uint32_t b, uint16_t score,
		uint16_t flags) A_NODISCARD;
int forest_unlink(struct identity_engine *e, uint32_t a, uint32_t at) A_NODISCARD;
void forest_rescore(struct identity_engine *e, uint32_t a, struct half *h, uint16_t score,
		    uint16_t flags);
int forest_touch(struct identity_engine *e, uint32_t comp) A_NODISCARD;
/* Certainty (millionths) that goes with a strongest link. */
uint64_t forest_certainty(uint16_t score);
int forest_check_row(struct identity_engine *e, uint32_t row) A_NODISCARD;
void forest_ring_add(struct identity_engine *e, uint32_t comp, uint32_t ident);
void forest_ring_remove(struct identity_engine *e, uint32_t comp, uint32_t ident);

/* -- stack.c: components that need no cut -- */
/* The row, as it is now, is counted in its component; is counted no more. */
void stack_enter(struct identity_engine *e, uint32_t row);
void stack_leave(struct identity_engine *e, uint32_t row);
/* Before the sizes are added. */
void stack_join(struct comp *into, const struct comp *from);
/* Whether a cut could part the component. */
bool stack_contested(struct identity_engine *e, uint32_t comp);

/* -- cut.c: contested components -- */
/* Give every row of the component its part, 0 and up, *ret_n parts. */
int cut_component(struct identity_engine *e, uint32_t comp, uint32_t *ret_n) A_NODISCARD;

/* -- decide.c: what analysts decided -- */
void decide_fini(struct identity_engine *e);
/* The row came: what was decided about it holds from now on. It goes: others may stand in for it.
 */
int decide_row(struct identity_engine *e, uint32_t row) A_NODISCARD;
int decide_row_gone(struct identity_engine *e, uint32_t row) A_NODISCARD;
/* The links that decisions ask for. */
int decide_drain(struct identity_engine *e) A_NODISCARD;
/* What was decided about a row, as a number that rows share about which the same was decided; NONE:
 * nothing. */
uint32_t decide_kind(const struct identity_engine *e, uint32_t row);
/* Whether the latest decision on rows of both kinds wants them apart. */
bool decide_apart(const struct identity_engine *e, uint32_t x, uint32_t y);

/* -- anchor.c: identities -- */
int anchor_suspect(struct identity_engine *e, uint32_t ident) A_NODISCARD;
/* The row goes: what was formed for it is another's, or nobody's. */
int anchor_row_gone(struct identity_engine *e, uint32_t row) A_NODISCARD;
int anchor_drain(struct identity_engine *e) A_NODISCARD;
uint32_t anchor_final(const struct identity_engine *e, uint32_t ident);

#endif
