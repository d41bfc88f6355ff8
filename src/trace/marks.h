/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRACE_MARKS_H
#define TRACE_MARKS_H

/*
 * Which trace a row of the journal belongs to, in the process that delivers it. The hint that says
 * so and the row itself arrive in either order, so both are kept for a while. Any thread.
 */

#include <stdint.h>

#include "trace/trace.h"
#include "util/sv.h"

/* How many rows are kept; a newer one takes the place of the row so many before it. */
#define TRACE_MARKS 1024

/* The row's hint was published, or has come, with this place. */
void trace_mark(int64_t seq, const struct trace_ctx *ctx);
/* The row has been put into so many streams since `start_ns`: a span, if the hint is known, or as
 * soon as it is. */
void trace_mark_delivered(int64_t seq, struct sv type, unsigned streams, uint64_t start_ns);

#endif
