/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MUTATOR_WORK_DETAIL_H
#define MUTATOR_WORK_DETAIL_H

/* Between work.c and work_finish.c only. */

#include "mutator/work.h"
#include "store/mutation.h"
#include "topology/model.h"

struct work_detail {
	struct topo *before, *after;
	struct mutation mutation;
	bool has_mutation;
	json_t *restart; /* "<decky uuid>/<service>" */
};

/* An active topology becomes degraded, in the caller's transaction. 0 or a negative errno. */
int work_degrade(struct db *db, struct topo *t, const char *reason, uint64_t now_ms,
		 struct err *e) A_NODISCARD;
/* The claimed mutation has failed, and its topology is degraded by it; in the caller's transaction.
 * 0 or a negative errno. */
int work_fail_mutation(struct db *db, const struct work_context *cx, struct work *w,
		       const char *reason, uint64_t now_ms, struct err *e) A_NODISCARD;

#endif
