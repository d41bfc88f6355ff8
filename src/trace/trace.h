/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRACE_TRACE_H
#define TRACE_TRACE_H

/*
 * Spans of this process: begun and ended on any thread, sent to a collector by a thread of its own.
 * Nobody ever waits for it. Without trace_start every trace_begin is NULL, and every function here
 * takes NULL and does nothing.
 */

#include <stdbool.h>
#include <stdint.h>

#include "trace/context.h"
#include "util/attr.h"
#include "util/err.h"

enum trace_kind { /* the numbers of the protocol */
		  TRACE_INTERNAL = 1,
		  TRACE_SERVER = 2,
		  TRACE_PRODUCER = 4,
		  TRACE_CONSUMER = 5,
};

#define TRACE_ATTRS_MAX 8
#define TRACE_NAME_SIZE 96
#define TRACE_TEXT_SIZE 256

struct trace_attr {
	const char *key; /* static */
	bool is_text;
	int64_t number;
	char text[TRACE_TEXT_SIZE];
};

struct trace_span {
	struct trace_ctx ctx;
	struct trace_ctx parent; /* all zero: none */
	enum trace_kind kind;
	bool failed;
	char name[TRACE_NAME_SIZE];
	uint64_t start_ns, end_ns; /* Unix */
	unsigned nattrs;
	struct trace_attr attrs[TRACE_ATTRS_MAX];
	struct trace_span *next; /* the exporter's */
};

/*
 * Begin to export to `endpoint` (NULL or "": nothing is traced) as `service`; both are copied. Once
 * in a process, before other threads are started. 0 or a negative errno.
 */
int trace_start(const char *endpoint, const char *service, struct err *e) A_NODISCARD;
/* Send what is left for at most two seconds, and end the exporter. */
void trace_stop(void);
bool trace_on(void);

/*
 * A span that begins now, below `parent` (NULL or none: the first of a new trace). Its owner ends
 * it with trace_end. NULL: not traced, because nothing is, because the parent says so, or for lack
 * of memory.
 */
struct trace_span *trace_begin(const char *name, enum trace_kind kind,
			       const struct trace_ctx *parent) A_NODISCARD;
/* The span's place, for those below it; all zero for NULL. */
struct trace_ctx trace_ctx_of(const struct trace_span *span);
/* Further attributes are left out at TRACE_ATTRS_MAX, longer texts are cut. */
void trace_text(struct trace_span *span, const char *key, struct sv value);
void trace_number(struct trace_span *span, const char *key, int64_t value);
void trace_failed(struct trace_span *span);
/* It ends now, unless end_ns is set, and is exported; dropped and counted when LIMIT_TRACE_SPANS
 * wait already. Never blocks. */
void trace_end(struct trace_span *own_span);

struct trace_stats {
	uint64_t ended, sent, dropped; /* spans */
};
void trace_stats(struct trace_stats *ret);

/* Now, in Unix nanoseconds. */
uint64_t trace_now_ns(void);

#endif
