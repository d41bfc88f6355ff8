/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_LIMITER_H
#define API_LIMITER_H

/*
 * Rate limits with fixed windows: a window opens with the first attempt of a key and closes when
 * its time is over. The windows are in the store (store/rate.h), so that all gateways count
 * together and none forgets at a restart. Any thread with a connection may call.
 */

#include <stdatomic.h>
#include <stdint.h>

#include "store/db.h"
#include "util/attr.h"
#include "util/sv.h"

/* What is counted: how many in which time, and the words for it in the answer. */
#define LIMITER_RULES(RULE)                                                                        \
	RULE(LOGIN_ADDRESS, 10, 300000, "10 per 5 minute")                                         \
	RULE(LOGIN_USER, 10, 900000, "10 per 15 minute")                                           \
	RULE(CHANGE_PASSWORD, 5, 60000, "5 per 1 minute")

enum limiter_rule {
#define RULE(name, max, window_ms, words) LIMITER_##name,
	LIMITER_RULES(RULE)
#undef RULE
		LIMITER_RULE_COUNT
};

/* Zero it to start. At most `max` windows are kept, give or take LIMITER_LOOK_EVERY; those that
 * close first are forgotten. */
struct limiter {
	unsigned max;
	atomic_uint opened; /* windows since the start */
	atomic_ullong forgotten;
};

/* New windows between two looks at how many there are. */
#define LIMITER_LOOK_EVERY 256

#define LIMITER_ADDRESS_SIZE 64

/*
 * Outside a transaction: count an attempt. *ret_wait_s is 0 when it is allowed, else the whole
 * seconds (>= 1) until the window closes; an attempt that is refused takes no write lock. 0, or a
 * store failure: then nobody may be let in.
 */
int limiter_hit(struct limiter *l, struct db *db, enum limiter_rule rule, struct sv key,
		uint64_t now_ms, unsigned *ret_wait_s, struct err *e) A_NODISCARD;
/* In a write transaction: forget what has closed or is too many. 0 or a store failure. */
int limiter_tidy(struct limiter *l, struct db *db, uint64_t now_ms, struct err *e) A_NODISCARD;
/*
 * What one client is counted by: an IPv4 address as it is; of an IPv6 address the network of 64
 * bits, since that is the least that one host gets (RFC 6177, RFC 7421) and it may call itself by
 * any address of it.
 */
void limiter_address(struct sv peer, char ret_key[LIMITER_ADDRESS_SIZE]);
/* "10 per 5 minute" */
const char *limiter_words(enum limiter_rule rule);

#endif
