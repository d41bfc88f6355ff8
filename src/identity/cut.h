/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IDENTITY_CUT_H
#define IDENTITY_CUT_H

/* A component while it is cut, for cut.c and hands.c. Rows go by their places in it. */

#include "identity/state.h"

struct edge {
	uint32_t a, b; /* places in the cut, a < b */
	uint16_t score;
	uint16_t flags;
};

/* How many rows of a group have a stack value. */
struct tally {
	uint32_t value, n, next;
};

struct group {
	uint32_t parent, size;
	uint32_t first[2], last[2], total[2], kinds[2]; /* tallies: TLS, SSH */
	uint32_t decided; /* list of what was decided about its rows */
	bool indexed[2];  /* its tallies are in cut.index, too, while there is one */
	bool alone;
};

/* One thing that was decided about rows of a group; every row brings at most one. */
struct word {
	uint32_t kind, next;
};

/* Two groups as they were when they were compared: one of a name and a size is always the same. */
struct compared {
	uint32_t x, y, size_x, size_y;
	bool conflict;
};

/* Where a group has its tally of a value; the group may be part of another one since. */
struct spot {
	uint32_t group, tally; /* tally + 1; 0: free */
};

struct cut {
	struct identity_engine *e;
	const uint32_t *rows;
	size_t n;
	struct group *groups;
	struct tally *tallies;
	struct spot *index; /* for lists that are long; NULL: none */
	size_t mask, used;
	struct word *words;
	struct compared *compared;
	struct edge *edges, *other, *refused; /* other: room for sorting */
	size_t nedges, nrefused;
};

/* The group of a place, named by one of its rows. */
uint32_t cut_find(struct cut *c, uint32_t x);
/* By uuid. */
bool cut_id_less(const struct cut *c, uint32_t x, uint32_t y);
/* Whether analysts want the two groups apart. */
bool cut_apart(const struct cut *c, uint32_t x, uint32_t y);
/* The smaller group becomes part of the larger one; of equal ones `x` of `y`. */
void cut_unite(struct cut *c, uint32_t x, uint32_t y);

/* -- hands.c -- */
/* Groups that were refused each other join after all, for all that the hands have in common. 0 or
 * -ENOMEM. */
int hands_join(struct cut *c) A_NODISCARD;

#endif
