/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRACE_OTLP_H
#define TRACE_OTLP_H

/* Spans as the OpenTelemetry protocol has them in JSON (OTLP 1.x, ExportTraceServiceRequest). Pure.
 */

#include "trace/trace.h"

struct otlp_resource {
	const char *service, *version, *host;
	int64_t pid;
};

/* The list from `first` on, linked by `next`, as compact heap text; NULL without memory. */
char *otlp_encode(const struct otlp_resource *resource, const struct trace_span *first);

#endif
