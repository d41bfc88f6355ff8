/* SPDX-License-Identifier: Apache-2.0 */
/* A batch of spans as JSON: identifiers in hex, 64-bit numbers as text, enumerations as numbers. */
#include "trace/otlp.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "util/id.h"
#include "util/json.h"

#define STATUS_ERROR 2

static json_t *
decimal(uint64_t value)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRIu64, value);
	return json_string(text);
}

static json_t *
attribute_text(const char *key, struct sv value)
{
	return json_pack("{s:s, s:{s:o}}", "key", key, "value", "stringValue", json_view(value));
}

static json_t *
attribute_number(const char *key, int64_t value)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRId64, value);
	return json_pack("{s:s, s:{s:s}}", "key", key, "value", "intValue", text);
}

static json_t *
attributes(const struct trace_span *s)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < s->nattrs; i++) {
		const struct trace_attr *a = &s->attrs[i];

		/* A missing attribute is no reason to lose the span. */
		(void)json_array_append_new(list, a->is_text
							  ? attribute_text(a->key, sv_from(a->text))
							  : attribute_number(a->key, a->number));
	}
	return list;
}

static json_t *
encode_span(const struct trace_span *s)
{
	char trace[2 * sizeof(s->ctx.trace_id) + 1], span[2 * sizeof(s->ctx.span_id) + 1],
		parent[sizeof(span)] = "";
	json_t *status = json_object();

	id_hex(s->ctx.trace_id, sizeof(s->ctx.trace_id), trace);
	id_hex(s->ctx.span_id, sizeof(s->ctx.span_id), span);
	if (trace_ctx_valid(&s->parent))
		id_hex(s->parent.span_id, sizeof(s->parent.span_id), parent);
	if (s->failed)
		(void)json_object_set_new(status, "code", json_integer(STATUS_ERROR));
	return json_pack("{s:s, s:s, s:s, s:o, s:i, s:o, s:o, s:o, s:o}", "traceId", trace,
			 "spanId", span, "parentSpanId", parent, "name",
			 json_view(sv_from(s->name)), "kind", (int)s->kind, "startTimeUnixNano",
			 decimal(s->start_ns), "endTimeUnixNano", decimal(s->end_ns), "attributes",
			 attributes(s), "status", status);
}

char *
otlp_encode(const struct otlp_resource *resource, const struct trace_span *first)
{
	json_t *spans = json_array(), *root;
	char *text = NULL;

	for (const struct trace_span *s = first; s; s = s->next)
		(void)json_array_append_new(spans, encode_span(s));
	root = json_pack("{s:[{s:{s:[o, o, o, o]}, s:[{s:{s:s, s:s}, s:o}]}]}", "resourceSpans",
			 "resource", "attributes",
			 attribute_text("service.name", sv_from(resource->service)),
			 attribute_text("service.version", sv_from(resource->version)),
			 attribute_text("host.name", sv_from(resource->host)),
			 attribute_number("process.pid", resource->pid), "scopeSpans", "scope",
			 "name", "decnet", "version", resource->version, "spans", spans);
	if (root)
		text = json_text(root);
	json_decref(root);
	return text;
}
