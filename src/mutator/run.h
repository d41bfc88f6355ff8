/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MUTATOR_RUN_H
#define MUTATOR_RUN_H

/*
 * Carrying out a plan through the driver, wholly or not at all: closes first, then the network,
 * then opens, each phase at once; on the first failure what was done is undone by its inverse. Pure
 * but for the driver, which is a struct of functions.
 */

#include <stdbool.h>
#include <stddef.h>

#include "netdrv/driver.h"

enum run_kind { RUN_CLOSE, RUN_OPEN };

struct run_step {
	enum run_kind kind;
	struct netdrv_listener listener; /* for RUN_CLOSE too: its inverse needs all of it */
};

struct run_plan {
	struct run_step *v;
	size_t n, cap;
	/* With `topology_id` (borrowed, as all three) also the network: from what `before` wants to
	 * what `after` wants; NULL is nothing. */
	const char *topology_id;
	const struct topo *before, *after;
};

/* Append a copy. 0 or -ENOMEM. */
int run_plan_add(struct run_plan *p, enum run_kind kind,
		 const struct netdrv_listener *l) A_NODISCARD;
void run_plan_fini(struct run_plan *p);

/* The ids of listeners, to be looked for by the thousand. */
struct run_index {
	const char **ids; /* a table by hash, never full; borrowed from the plan */
	size_t size;	  /* a power of two */
};

/* Of the plan's listeners, which must outlive it. 0 or -ENOMEM. */
int run_index_init(struct run_index *x, const struct run_plan *plan) A_NODISCARD;
bool run_index_has(const struct run_index *x, const char *id);
void run_index_fini(struct run_index *x);

/*
 * Add to `plan` what a topology's listeners need to be as wanted: what the decoy process has
 * (`actual`, ids of any topologies) and should not goes; what the driver has not opened comes. 0 or
 * -ENOMEM.
 */
int run_plan_mend(const struct netdrv *driver, const struct run_plan *wanted,
		  const char *topology_id, char *const *actual, size_t nactual,
		  struct run_plan *plan) A_NODISCARD;

/*
 * The end of a run. r 0: all steps are done. r < 0: a step failed with that code and `why`, and
 * everything was undone, unless `undo_failed` (the next reconcile mends it).
 */
typedef void run_done_fn(void *user, int r, const char *why, bool undo_failed);

/* The plan is borrowed and must live until `done`, which may come before this returns (an empty
 * plan). */
void run_start(struct netdrv *driver, const struct run_plan *plan, run_done_fn *done, void *user);
/* The inverse of a plan that was carried out. */
void run_undo(struct netdrv *driver, const struct run_plan *plan, run_done_fn *done, void *user);

#endif
