/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_RATE_H
#define STORE_RATE_H

/*
 * Windows of rate limits, for all gateways together and for their restarts. A window opens with the
 * first attempt of a key. Times are Unix milliseconds of the caller; a window that would close
 * later than one that opens now belongs to a clock that was set back, and is begun anew.
 */

#include <stdint.h>

#include "store/db.h"
#include "util/attr.h"
#include "util/err.h"

struct rate_window {
	int64_t n; /* attempts in it */
	uint64_t closes_ms;
};

/* The window that is open for the key: 1 and *ret, 0 when there is none, or a store failure. */
int rate_get(struct db *db, const char *rule, const char *key, uint64_t now_ms, uint64_t window_ms,
	     struct rate_window *ret, struct err *e) A_NODISCARD;
/* Count an attempt; *ret is the window with it. Needs a write transaction. 0 or a store failure. */
int rate_hit(struct db *db, const char *rule, const char *key, uint64_t now_ms, uint64_t window_ms,
	     struct rate_window *ret, struct err *e) A_NODISCARD;
/* Forget windows that have closed, and above `max` those that close first: *ret_forgotten is how
 * many. Needs a write transaction. 0 or a store failure. */
int rate_trim(struct db *db, uint64_t now_ms, unsigned max, int64_t *ret_forgotten,
	      struct err *e) A_NODISCARD;

#endif
