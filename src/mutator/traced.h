/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MUTATOR_TRACED_H
#define MUTATOR_TRACED_H

/* The mutator's part of a trace: hints say which trace wanted a change, and what comes of the
 * change is told below it. Loop only; without tracing nothing happens here. */

#include "bus/client.h"
#include "mutator/work.h"
#include "store/journal.h"
#include "trace/trace.h"

/* Hints whose work has not begun yet; a newer one takes the place of the oldest. */
#define TRACED_HINTS 256

struct traced {
	struct {
		char key[ID_UUID_SIZE]; /* of a mutation, or of a topology that changed its status
					 */
		struct trace_ctx ctx;
	} hints[TRACED_HINTS];
	unsigned next;
};

/* A hint has come. */
void traced_hint(struct traced *t, struct sv subject, struct sv message);
/* The work was claimed: its span, below what was hinted; NULL: not traced. */
struct trace_span *traced_begin(struct traced *t, const struct work *w);
/* It has ended, well (r = 0) or not. NULL is fine. */
void traced_end(struct trace_span *own_span, int r);
/* Publish a row below `parent` (NULL: without a trace). */
void traced_publish(struct bus_client *bus, const struct journal_row *row,
		    const struct trace_span *parent);

#endif
