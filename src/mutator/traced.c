/* SPDX-License-Identifier: Apache-2.0 */
/* From the hint of a wanted change to the span of its work, and on to the hints of its outcome. */
#include "mutator/traced.h"

#include <stdio.h>
#include <string.h>

#include "bus/event.h"
#include "bus/topic.h"
#include "util/json.h"

void
traced_hint(struct traced *t, struct sv subject, struct sv message)
{
	struct bus_event ev;
	struct trace_ctx ctx;
	const char *mutation;
	struct sv topology = subject, key;

	if (!trace_on() || bus_event_decode(message, &ev, NULL) < 0)
		return;
	mutation = json_get_text(ev.payload, "mutation_id");
	(void)sv_cut(&topology, '.');
	key = mutation ? sv_from(mutation) : sv_cut(&topology, '.');
	if (trace_ctx_parse(sv_from(ev.traceparent), &ctx) == 0 &&
	    sv_copy(key, t->hints[t->next].key, ID_UUID_SIZE) == 0)
		t->hints[t->next++ % TRACED_HINTS].ctx = ctx;
	t->next %= TRACED_HINTS;
	bus_event_fini(&ev);
}

static struct trace_ctx
take_hint(struct traced *t, const char *key)
{
	struct trace_ctx none = {0}, found;

	for (unsigned i = 1; i <= TRACED_HINTS; i++) {
		unsigned k = (t->next + TRACED_HINTS - i) % TRACED_HINTS;

		if (strcmp(t->hints[k].key, key) != 0)
			continue;
		found = t->hints[k].ctx;
		t->hints[k].key[0] = '\0';
		return found;
	}
	return none;
}

struct trace_span *
traced_begin(struct traced *t, const struct work *w)
{
	const char *what = w->kind == WORK_MUTATION   ? w->op
			   : w->kind == WORK_DEPLOY   ? "deploy"
			   : w->kind == WORK_TEARDOWN ? "teardown"
						      : "";
	char name[TRACE_NAME_SIZE];
	struct trace_ctx parent;
	struct trace_span *span;

	if (!trace_on() || !*what)
		return NULL;
	parent = take_hint(t, w->kind == WORK_MUTATION ? w->mutation_id : w->topology_id);
	(void)snprintf(name, sizeof(name), "mutation %s", what);
	/* Without a hint, which may be lost, the work begins a trace of its own. */
	span = trace_begin(name, TRACE_CONSUMER, &parent);
	trace_text(span, "decnet.topology_id", sv_from(w->topology_id));
	trace_text(span, "decnet.op", sv_from(what));
	if (w->kind == WORK_MUTATION) {
		trace_text(span, "decnet.mutation_id", sv_from(w->mutation_id));
		trace_number(span, "decnet.attempt", w->attempt);
	}
	return span;
}

void
traced_end(struct trace_span *own_span, int r)
{
	if (r < 0)
		trace_failed(own_span);
	trace_end(own_span);
}

void
traced_publish(struct bus_client *bus, const struct journal_row *row,
	       const struct trace_span *parent)
{
	const struct trace_ctx above = trace_ctx_of(parent);
	struct sv type = bus_topic_type(sv_from(row->topic));
	char name[TRACE_NAME_SIZE], text[TRACE_PARENT_SIZE] = "";
	struct trace_span *span = NULL;
	struct trace_ctx ctx;

	if (parent) {
		(void)snprintf(name, sizeof(name), "publish %.*s", (int)type.n, type.p);
		span = trace_begin(name, TRACE_PRODUCER, &above);
		trace_text(span, "messaging.destination.name", sv_from(row->topic));
		trace_number(span, "decnet.seq", row->seq);
		ctx = trace_ctx_of(span);
		if (span)
			trace_ctx_text(&ctx, text);
	}
	if (bus_publish_traced(bus, row->topic, row->ts_ms, row->seq, row->payload, text) < 0)
		trace_failed(span);
	trace_end(span);
}
