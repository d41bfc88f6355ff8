/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_RELAY_H
#define API_RELAY_H

/*
 * Between the bus, whose one client is the main thread's, and the workers. A hint for journal rows
 * becomes a poke of every worker, and pokes that wait are one; an event without a row is handed to
 * each; what workers publish goes out through the main thread. Nobody waits for anybody: what is
 * too much is dropped and counted, and law 1 makes that a delay at most.
 */

#include <stdint.h>

#include "api/state.h"
#include "trace/trace.h"
#include "util/attr.h"
#include "util/err.h"

struct api_worker;

struct relay_stats {
	uint64_t rejected; /* messages that are no events */
	uint64_t dropped;  /* at the ceilings of this module */
};

/* Main thread: follow the bus for the workers. 0 or a negative errno. */
int relay_subscribe(struct api_state *s, struct err *e) A_NODISCARD;
/* Any thread: every worker but `but` (NULL: every one) looks at the journal and at whose access has
 * ended. */
void relay_poke(struct api_state *s, const struct api_worker *but);
/* Any thread: publish it from the main thread, soon; `trace` is the trace that it belongs to, NULL
 * or all zero: none. */
void relay_publish(struct api_state *s, const char *topic, uint64_t ts_ms, int64_t seq,
		   const char *payload, const struct trace_ctx *trace);
/* For the worker's poke item. */
void relay_on_poke(struct inbox_item *item);
void relay_stats(const struct api_state *s, struct relay_stats *ret);

#endif
