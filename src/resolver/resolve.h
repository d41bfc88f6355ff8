/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RESOLVER_RESOLVE_H
#define RESOLVER_RESOLVE_H

/* From an attacker row that was just written to the identity it belongs to: looks the candidates
 * up, asks the rule, carries its changes out. */

#include <stdbool.h>

#include "store/attacker.h"
#include "store/identity_tx.h"
#include "util/attr.h"

/*
 * In the write transaction of the attacker's row, after attacker_save. `again`: a new signal or
 * credential was added, so the question is asked anew. 0 or a store failure.
 */
int resolve_attacker(struct db *db, struct identity_tx *tx, const struct attacker *a, bool again,
		     struct err *e) A_NODISCARD;

#endif
