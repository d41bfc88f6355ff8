/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RESOLVER_LINKER_STATE_H
#define RESOLVER_LINKER_STATE_H

/* The inside of struct linker, for linker.c and linker_load.c. */

#include "resolver/linker.h"

struct linker {
	struct identity_engine *engine; /* NULL: to be built */
	struct er_state state, stored;
	struct identity_secret first;
	int64_t seq;	   /* of the newest row */
	int64_t reasons;   /* the engine's own that are written down, as many as ever were */
	int64_t decisions; /* of analysts, as many as were told to the engine */
};

/* A new engine from what is stored. 0 or a store failure: then there is no engine. */
int linker_build(struct linker *l, struct db *db, struct err *e) A_NODISCARD;
/* What analysts decided since, and what the decisions changed. 0 or a store failure: then the
 * engine is of no use any more. */
int linker_catch_up(struct linker *l, struct db *db, struct err *e) A_NODISCARD;

#endif
