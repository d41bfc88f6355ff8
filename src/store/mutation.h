/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_MUTATION_H
#define STORE_MUTATION_H

/*
 * The mutation queue. Functions that change rows run inside the caller's write transaction and
 * append their journal rows. All return 0 or a count or 1 for "found", or a negative errno of the
 * store.
 */

#include <jansson.h>

#include "store/db.h"
#include "topology/model.h"

#define MUTATION_ATTEMPTS_MAX 3

struct mutation {
	char id[ID_UUID_SIZE];
	char topology_id[ID_UUID_SIZE];
	char op[32];
	char state[16];
	json_t *payload; /* object, owned */
	uint64_t requested_ms, applied_ms;
	char *reason; /* heap or NULL */
	int64_t attempt;
};

void mutation_fini(struct mutation *m);
/* The REST row of contract 5.1; a new reference. */
json_t *mutation_json(const struct mutation *m);

/* Insert at the end of the queue and add 1 to t's version; journals `mutation.enqueued`. */
int mutation_enqueue(struct db *db, struct topo *t, const char *op, const json_t *payload,
		     uint64_t now_ms, char ret_id[ID_UUID_SIZE], struct err *e) A_NODISCARD;
/* 1 and the row, 0 when the topology has no such mutation. */
int mutation_get(struct db *db, const char *topology_id, const char *id, struct mutation *ret,
		 struct err *e) A_NODISCARD;
/* Array of rows, newest first; `state` "" is any. */
int mutation_list(struct db *db, const char *topology_id, const char *state, int64_t limit,
		  int64_t offset, json_t **ret_rows, struct err *e) A_NODISCARD;
int mutation_count(struct db *db, const char *topology_id, const char *state, int64_t *ret,
		   struct err *e) A_NODISCARD;
/* Array of rows: pending, then applying, each newest first (a stream's `in_flight`). */
int mutation_in_flight(struct db *db, const char *topology_id, json_t **ret_rows,
		       struct err *e) A_NODISCARD;
/* The open ones, applying and pending, oldest first, as an array of mutations (heap; fini each,
 * free the array). The count. */
int mutation_open(struct db *db, const char *topology_id, struct mutation **ret_list,
		  struct err *e) A_NODISCARD;

/* A pending one is taken out: state `cancelled`, version + 1; journals `mutation.cancelled`. 1, or
 * 0 when it is not pending any more. */
int mutation_cancel(struct db *db, struct topo *t, const struct mutation *m, const char *reason,
		    uint64_t now_ms, struct err *e) A_NODISCARD;

/* An applying one whose topology goes away under it is failed, whoever holds it; its worker notices
 * that its claim is lost. Version + 1; journals `mutation.failed`. 1, or 0 when it is not applying.
 */
int mutation_abandon(struct db *db, struct topo *t, const struct mutation *m, const char *reason,
		     uint64_t now_ms, struct err *e) A_NODISCARD;

/* The topologies of this host that have open mutations. How many (<= max). */
int mutation_ready(struct db *db, const char *host, size_t max, char (*ret_ids)[ID_UUID_SIZE],
		   struct err *e) A_NODISCARD;
/*
 * Claim the oldest open mutation of the topology if it is pending or its lease has ended; journals
 * `mutation.applying`. 1 and the row; 0 when there is none or it is another's. A row that was lost
 * MUTATION_ATTEMPTS_MAX times is returned with attempt > MUTATION_ATTEMPTS_MAX and is to be failed.
 */
int mutation_claim(struct db *db, const char *topology_id, const char *owner, uint64_t lease_ms,
		   uint64_t now_ms, struct mutation *ret, struct err *e) A_NODISCARD;
int mutation_renew(struct db *db, const char *owner, uint64_t until_ms, struct err *e) A_NODISCARD;
/* End the leases of every owner whose name begins so. */
int mutation_release(struct db *db, const char *owner_prefix, struct err *e) A_NODISCARD;
/* The end of a claimed one: `applied` (with the changes, consumed) or `failed` (reason; version +
 * 1). Journals it. -ESTALE when the claim was lost. */
int mutation_finish_applied(struct db *db, const struct topo *t, const struct mutation *m,
			    const char *owner, json_t *own_changes, uint64_t now_ms,
			    struct err *e) A_NODISCARD;
int mutation_finish_failed(struct db *db, struct topo *t, const struct mutation *m,
			   const char *owner, const char *reason, uint64_t now_ms,
			   struct err *e) A_NODISCARD;

#endif
