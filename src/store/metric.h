/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_METRIC_H
#define STORE_METRIC_H

/* Numbers over whole tables, for the metrics page. */

#include <stdint.h>

#include "store/db.h"
#include "util/attr.h"
#include "util/err.h"

/* Ops times states, and room. */
#define METRIC_MUTATIONS_MAX 128

/* How many mutations of one op have ever come into one state, and how long they took to it together
 * if they ended there. Neither falls, whatever is deleted. */
struct metric_mutations {
	char op[32], state[16];
	int64_t n, took_ms;
};

/* At most `max` rows by op and state; the number of rows or a store failure. */
int metric_mutations(struct db *db, struct metric_mutations *ret, unsigned max,
		     struct err *e) A_NODISCARD;

/* Identities that are not merged into another. 0 or a store failure. */
int metric_identities(struct db *db, int64_t *ret_n, struct err *e) A_NODISCARD;

#endif
