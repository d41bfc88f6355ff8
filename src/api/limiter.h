/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_LIMITER_H
#define API_LIMITER_H

/*
 * Rate limits with fixed windows: a window opens with the first attempt of a key and closes when
 * its time is over. Time is the caller's. Any thread may call.
 */

#include <stdint.h>

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

struct limiter;

/* At most `max` keys; at the ceiling the oldest window is forgotten. NULL without memory. */
struct limiter *limiter_new(unsigned max);
void limiter_free(struct limiter *l);
/* Count an attempt. 0 when it is allowed, else the whole seconds (>= 1) until the window closes. */
unsigned limiter_hit(struct limiter *l, enum limiter_rule rule, struct sv key, uint64_t now_ms);
/* "10 per 5 minute" */
const char *limiter_words(enum limiter_rule rule);
/* How often a window was forgotten at the ceiling. */
uint64_t limiter_forgotten(struct limiter *l);

#endif
