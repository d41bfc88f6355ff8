/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_ATTACKER_HELD_H
#define STORE_ATTACKER_HELD_H

/* What attacker.c and attacker_signal.c share. */

#include "bus/topic.h"
#include "store/attacker.h"

/* Append a journal row about this attacker; consumes the payload. 0 or a store failure. */
int attacker_tell(struct db *db, enum bus_topic t, uint64_t now_ms, json_t *own_payload,
		  struct err *e) A_NODISCARD;

#endif
