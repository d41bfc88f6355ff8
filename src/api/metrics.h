/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_METRICS_H
#define API_METRICS_H

/* Numbers of a worker, and their text for Prometheus (contract 8). Its loop only. */

#include <stddef.h>
#include <stdint.h>

#include "util/attr.h"
#include "util/buf.h"

#define METRICS_STATUSES 24
#define METRICS_BUCKETS	 8
#define METRICS_CEILINGS 7

/* Of one row of the table of routes; the last one is everything outside it. */
struct metrics_route {
	uint64_t status[METRICS_STATUSES]; /* by metrics_statuses[] */
	uint64_t bucket[METRICS_BUCKETS];  /* not cumulative */
	uint64_t sum_ms, n;
};

struct metrics {
	struct metrics_route *routes; /* router_count + 1 */
	uint64_t store_jobs, store_ms;
	uint64_t ceilings[METRICS_CEILINGS]; /* by metrics_ceilings[] */
};

/* The ceilings of rows, as their 409 names them. */
extern const char *const metrics_ceilings[METRICS_CEILINGS];

int metrics_init(struct metrics *m) A_NODISCARD;
void metrics_fini(struct metrics *m);
/* An answer was given; `route` is a row of the table or router_count. */
void metrics_count(struct metrics *m, size_t route, int status, uint64_t ms);
/* A 409 was given: when its detail is `limit reached: <limit> (<n>)` it is counted. */
void metrics_conflict(struct metrics *m, const char *detail);
/* Both were initialised. */
void metrics_add(struct metrics *sum, const struct metrics *m);
/* Append the lines of decnet_http_*. 0, -ENOBUFS, -ENOMEM. */
int metrics_put(const struct metrics *m, struct buf *b) A_NODISCARD;

#endif
