/* SPDX-License-Identifier: Apache-2.0 */
/* Hints to the workers, events to the workers, what they publish to the bus. */
#include "api/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/worker.h"
#include "bus/event.h"
#include "bus/role.h"
#include "bus/topic.h"
#include "stream/slots.h"
#include "trace/marks.h"
#include "util/json.h"
#include "util/limits.h"

/* ---- pokes ---- */

void
relay_on_poke(struct inbox_item *item)
{
	struct api_worker *w = CONTAINER_OF(item, struct api_worker, poke);

	/* Before looking: who pokes from here on pokes anew. */
	atomic_store(&w->poked, false);
	w->streams->poke(w->streams_user);
}

void
relay_poke(struct api_state *s, const struct api_worker *but)
{
	for (unsigned i = 0; i < s->nworkers; i++) {
		struct api_worker *w = s->workers[i];

		if (w != but && !atomic_exchange(&w->poked, true))
			inbox_post(w->inbox, &w->poke);
	}
}

/* ---- events without a row ---- */

struct event_node {
	struct inbox_item item;
	struct event *event;
	struct api_worker *worker;
};

/* One for all workers; the last one frees it. */
struct event {
	atomic_uint refs;
	uint64_t ts_ms;
	char *topic, *payload;
	struct event_node nodes[];
};

static void
event_unref(struct event *ev)
{
	if (atomic_fetch_sub(&ev->refs, 1) != 1)
		return;
	free(ev->topic);
	free(ev->payload);
	free(ev);
}

static void
on_event(struct inbox_item *item)
{
	struct event_node *node = CONTAINER_OF(item, struct event_node, item);
	struct api_worker *w = node->worker;
	struct event *ev = node->event;

	atomic_fetch_sub(&w->events, 1);
	w->streams->event(w->streams_user, sv_from(ev->topic), ev->ts_ms, sv_from(ev->payload));
	event_unref(ev);
}

static void
hand_out(struct api_state *s, struct event *own_ev)
{
	struct event *ev = own_ev;

	/* One of them is ours until all have theirs. */
	atomic_init(&ev->refs, 1);
	for (unsigned i = 0; i < s->nworkers; i++) {
		struct api_worker *w = s->workers[i];

		if (atomic_load(&w->events) >= LIMIT_RELAY_EVENTS) {
			atomic_fetch_add(&s->relay_dropped, 1);
			continue;
		}
		atomic_fetch_add(&w->events, 1);
		atomic_fetch_add(&ev->refs, 1);
		ev->nodes[i] = (struct event_node){{on_event, NULL}, ev, w};
		inbox_post(w->inbox, &ev->nodes[i].item);
	}
	event_unref(ev);
}

static void
pass_event(struct api_state *s, struct sv subject, const struct bus_event *msg)
{
	struct event *ev = calloc(1, sizeof(*ev) + s->nworkers * sizeof(ev->nodes[0]));

	if (!ev)
		return;
	ev->ts_ms = msg->ts_ms ? msg->ts_ms : loop_unix_ms(s->loop);
	ev->topic = sv_dup(subject);
	ev->payload = json_text(msg->payload);
	if (ev->topic && ev->payload) {
		hand_out(s, ev);
		return;
	}
	atomic_init(&ev->refs, 1);
	event_unref(ev);
}

static void
on_message(void *user, struct sv subject, struct sv message)
{
	struct api_state *s = user;
	struct bus_event msg;
	struct trace_ctx place;

	/* Nobody watches: whoever begins to reads the journal first. */
	if (slots_all(s->slots) == 0)
		return;
	if (bus_event_decode(message, &msg, NULL) < 0) {
		atomic_fetch_add(&s->relay_rejected, 1);
		return;
	}
	if (msg.seq > 0 && trace_ctx_parse(sv_from(msg.traceparent), &place) == 0)
		trace_mark(msg.seq, &place);
	if (msg.seq > 0 || sv_eq(subject, SV("system.log")))
		relay_poke(s, NULL);
	else
		pass_event(s, subject, &msg);
	bus_event_fini(&msg);
}

int
relay_subscribe(struct api_state *s, struct err *e)
{
	static const char *const patterns[] = {"attacker.>", "credential.>", "decky.>",
					       "identity.>", "system.>",     "topology.>"};
	struct bus_sub *sub;
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(patterns) && r == 0; i++)
		r = bus_subscribe(s->bus, patterns[i], NULL, on_message, s, &sub);
	return r < 0 ? err_set(e, r, "bus: cannot subscribe") : 0;
}

/* ---- publishing ---- */

struct note {
	struct inbox_item item;
	struct api_state *state;
	uint64_t ts_ms;
	int64_t seq;
	char *topic, *payload;
	struct trace_span *span;
};

static void
note_free(struct note *n)
{
	trace_end(n->span);
	free(n->topic);
	free(n->payload);
	free(n);
}

static void
on_note(struct inbox_item *item)
{
	struct note *n = CONTAINER_OF(item, struct note, item);
	struct api_state *s = n->state;

	atomic_fetch_sub(&s->relay_notes, 1);
	if (n->span) {
		const struct trace_ctx ctx = trace_ctx_of(n->span);
		char text[TRACE_PARENT_SIZE];

		trace_ctx_text(&ctx, text);
		if (bus_publish_traced(s->bus, n->topic, n->ts_ms, n->seq, n->payload, text) < 0)
			trace_failed(n->span);
	} else {
		(void)bus_publish_event(s->bus, n->topic, n->ts_ms, n->seq, n->payload);
	}
	note_free(n);
}

static struct trace_span *
begin_hint(const char *topic, int64_t seq, const struct trace_ctx *trace)
{
	struct sv type = bus_topic_type(sv_from(topic));
	char name[TRACE_NAME_SIZE];
	struct trace_span *span;

	(void)snprintf(name, sizeof(name), "publish %.*s", (int)type.n, type.p);
	span = trace_begin(name, TRACE_PRODUCER, trace);
	trace_text(span, "messaging.destination.name", sv_from(topic));
	trace_number(span, "decnet.seq", seq);
	return span;
}

void
relay_publish(struct api_state *s, const char *topic, uint64_t ts_ms, int64_t seq,
	      const char *payload, const struct trace_ctx *trace)
{
	struct note *n;

	/* Without a bus the row is below the request itself; so it is when the broker would refuse
	 * the topic to us: what else the transaction says is on its way. */
	if (s->bus_null || !bus_role_may(BUS_ROLE_API, sv_from(topic))) {
		trace_mark(seq, trace);
		return;
	}
	if (atomic_fetch_add(&s->relay_notes, 1) >= LIMIT_RELAY_NOTES)
		goto drop;
	n = calloc(1, sizeof(*n));
	if (!n)
		goto drop;
	*n = (struct note){.item.fn = on_note, .state = s, .ts_ms = ts_ms, .seq = seq};
	n->topic = strdup(topic);
	n->payload = strdup(payload);
	if (!n->topic || !n->payload) {
		note_free(n);
		goto drop;
	}
	if (trace_ctx_valid(trace)) {
		n->span = begin_hint(topic, seq, trace);
		/* Before anybody is told of the row. */
		if (n->span)
			trace_mark(seq, &n->span->ctx);
	}
	inbox_post(s->inbox, &n->item);
	return;
drop:
	atomic_fetch_sub(&s->relay_notes, 1);
	atomic_fetch_add(&s->relay_dropped, 1);
}

void
relay_stats(const struct api_state *s, struct relay_stats *ret)
{
	ret->rejected = atomic_load(&s->relay_rejected);
	ret->dropped = atomic_load(&s->relay_dropped);
}
