/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MUTATOR_WORK_H
#define MUTATOR_WORK_H

/*
 * One piece of work on one topology: a deploy, a teardown, a queued mutation, or a reconcile pass.
 * What needs the store is here and runs on store threads; what needs the driver is mutator.c and
 * runs on the loop between prepare and finish.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mutator/run.h"
#include "store/db.h"
#include "util/id.h"
#include "util/list.h"

/* A claim is renewed every third of it; after it another worker may take the mutation over. */
#define WORK_LEASE_MS 30000

enum work_kind { WORK_DEPLOY, WORK_TEARDOWN, WORK_MUTATION, WORK_RECONCILE };

/* A decky of the wanted state and the driver's address of it. */
struct work_decky {
	char uuid[ID_UUID_SIZE];
	char home_ip[TOPO_IP_SIZE];	   /* on its home LAN, "" when it has none */
	char address[NETDRV_ADDRESS_SIZE]; /* as stored, "" when it has none; the loop fills it in
					      from the driver */
	bool given;			   /* by the loop: the address is new */
};

struct work {
	enum work_kind kind;
	char topology_id[ID_UUID_SIZE];
	/* Set by work_prepare. */
	struct run_plan wanted; /* the listeners of `deckies` as they are wanted, as RUN_OPEN */
	struct run_plan plan;	/* what must change (a reconcile's is made by the loop) */
	/* Those that the work may change: of a mutation the ones that its op touched, else all. */
	struct work_decky *deckies;
	size_t ndeckies;
	char (*gone)[ID_UUID_SIZE]; /* deckies whose addresses are free once this has succeeded */
	size_t ngone;
	char mutation_id[ID_UUID_SIZE], op[32]; /* mutation: what was claimed, else "" */
	int attempt;
	struct work_detail *detail;
	/*
	 * A model of the topology, owned, or NULL. In: one from an earlier work, which need not be
	 * current; it spares the reading. Out, once the work has ended: one that was current at its
	 * end.
	 */
	struct topo *model;
	/* Set by the loop. */
	unsigned differences; /* reconcile: listeners that had to be opened or closed */
};

struct work_context {
	const char *owner;	     /* <host>:<pid>:<random>, names our claims */
	const char *host;	     /* name of this sensor host */
	const char *pool;	     /* DECNET_POOL */
	const struct netdrv *driver; /* only its pure `port` is used here */
};

/* The topologies that have something to do: 0.. works in *ret_works (heap, each with kind and
 * topology set), or a negative errno. Topologies in `busy` are left out. */
int work_find(struct db *db, const struct work_context *cx, const char (*busy)[ID_UUID_SIZE],
	      size_t nbusy, uint64_t now_ms, size_t max, struct work **ret_works,
	      struct err *e) A_NODISCARD;
/* The same for a reconcile pass: every active or degraded topology that is not busy. */
int work_find_reconcile(struct db *db, const struct work_context *cx,
			const char (*busy)[ID_UUID_SIZE], size_t nbusy, struct work **ret_works,
			struct err *e) A_NODISCARD;
/* Claim it and work out the plan. 1: carry out w->plan, then work_finish; 0: there is nothing to
 * do, or it has ended already (refused); < 0: store failure, nothing was changed. */
int work_prepare(struct db *db, const struct work_context *cx, struct work *w, uint64_t now_ms,
		 struct err *e) A_NODISCARD;
/*
 * Store the outcome of the run (r, why and undo_failed as run_done_fn says) in one transaction. 0;
 * -ESTALE: the claim or the status was lost meanwhile, nothing was stored and a successful run must
 * be undone; other negative errno: store failure, to be tried again.
 */
int work_finish(struct db *db, const struct work_context *cx, struct work *w, int r,
		const char *why, bool undo_failed, uint64_t now_ms, struct err *e) A_NODISCARD;
void work_fini(struct work *w);

/* What the store remembers of addresses and listeners, read once at start. */
struct work_inventory {
	struct run_plan wanted;
	struct work_decky *deckies;
	size_t ndeckies;
};
int work_inventory(struct db *db, const struct work_context *cx, struct work_inventory *ret,
		   struct err *e) A_NODISCARD;
void work_inventory_fini(struct work_inventory *inv);

/* At start: claims of this host's former mutator end now. Registers the host. 0 or a negative
 * errno. */
int work_start(struct db *db, const struct work_context *cx, uint64_t now_ms,
	       struct err *e) A_NODISCARD;
/* Every few seconds: renew our leases and the heartbeats: ours, and that of the driver's privileged
 * half (`helper` its process id, or 0; it runs since `helper_ms`). 0 or a negative errno. */
int work_renew(struct db *db, const struct work_context *cx, uint64_t started_ms, int64_t helper,
	       uint64_t helper_ms, uint64_t now_ms, struct err *e) A_NODISCARD;

#endif
