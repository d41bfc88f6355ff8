/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RESOLVER_REPORT_H
#define RESOLVER_REPORT_H

/* What the resolver says about itself and about the decoy: heartbeats with counters, stored and on
 * the bus, and system.log after each transaction. */

#include "bus/client.h"
#include "decoy/capture.h"
#include "resolver/batch.h"
#include "util/attr.h"
#include "util/loop.h"
#include "util/pool.h"

struct report;

/* The first heartbeat of the resolver is sent at once. 0 or -ENOMEM. */
int report_new(struct loop *l, struct pool *pool, struct bus_client *bus,
	       struct report **ret_report) A_NODISCARD;
void report_free(struct report *rep);
/* The bus is there (again) and has not heard of us yet. */
void report_bus_up(struct report *rep);
/* No more heartbeats; the stored one of the resolver is taken back by the pool's last job. */
void report_stop(struct report *rep);

/* A transaction of `flushed` log rows is committed, the last one has this id. */
void report_log(struct report *rep, size_t flushed, int64_t position);
/* Count what became of a batch. */
void report_batch(struct report *rep, const struct batch_in *b, const struct ingest_result *got);
/* The decoy lives: its heartbeat, when the last one is old enough or another process speaks. */
void report_decoy(struct report *rep, const struct capture_hello *hello);

#endif
