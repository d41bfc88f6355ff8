/* SPDX-License-Identifier: Apache-2.0 */
/* What the broker decides about each event of a client: accept, refuse, and to whom a message goes.
 * Subscriptions are in route.c. */
#include "bus/broker.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/event.h"
#include "bus/memo.h"
#include "bus/route.h"
#include "bus/topic.h"
#include "util/json.h"
#include "util/limits.h"

struct bus_broker {
	const struct bus_broker_ops *ops;
	struct bus_routes *routes;
	struct list peers;
	uint64_t next_id, seed;
	bool lossy;
	struct bus_broker_stats stats;
};

struct bus_broker *
bus_broker_new(uint64_t seed, const struct bus_broker_ops *ops)
{
	struct bus_broker *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->ops = ops;
	b->seed = seed;
	list_init(&b->peers);
	b->routes = bus_routes_new(seed);
	if (!b->routes) {
		free(b);
		return NULL;
	}
	return b;
}

void
bus_broker_free(struct bus_broker *b)
{
	if (!b)
		return;
	LIST_FOR (it, &b->peers)
		bus_broker_detach(CONTAINER_OF(it, struct bus_peer, link));
	bus_routes_free(b->routes);
	free(b);
}

static void
mark_ready(struct bus_peer *p)
{
	if (p->ready)
		return;
	p->ready = true;
	p->broker->ops->ready(p);
}

static int
put_control(struct bus_peer *p, enum bus_verb verb, struct sv text)
{
	const struct bus_ev ev = {.verb = verb, .text = text};
	int r = bus_outq_control(&p->out, &ev);

	mark_ready(p);
	return r;
}

static int
put_info(struct bus_peer *p)
{
	char text[512];
	int n = snprintf(text, sizeof(text),
			 "{\"server_id\":\"%016" PRIX64
			 "\",\"server_name\":\"decnet-bus\",\"version\":\"%s\","
			 "\"proto\":1,\"headers\":true,\"max_payload\":%d,\"auth_required\":%s,"
			 "\"client_id\":%" PRIu64 "}",
			 p->broker->seed * 0x9e3779b97f4a7c15u, DECNET_VERSION,
			 (int)LIMIT_BUS_PAYLOAD_BYTES, p->token ? "true" : "false", p->id);

	return put_control(p, BUS_VERB_INFO, (struct sv){text, (size_t)n});
}

int
bus_broker_attach(struct bus_broker *b, void *user, unsigned granted, const char *token,
		  struct bus_peer **ret_peer)
{
	struct bus_peer *p;

	if (b->stats.clients >= LIMIT_BUS_CLIENTS) {
		b->stats.refused++;
		return -EUSERS;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->broker = b;
	p->user = user;
	p->id = ++b->next_id;
	p->role = BUS_ROLE_GUEST;
	p->granted = granted;
	p->token = token;
	p->verbose = p->echo = p->headers = true;
	list_init(&p->subs);
	list_append(&b->peers, &p->link);
	b->stats.clients++;
	*ret_peer = p;
	return put_info(p);
}

void
bus_broker_detach(struct bus_peer *p)
{
	if (!p)
		return;
	bus_routes_remove_all(p->broker->routes, p);
	list_unlink(&p->link);
	p->broker->stats.clients--;
	bus_outq_fini(&p->out);
	free(p);
}

void
bus_broker_refuse(struct bus_peer *p, enum bus_error err)
{
	/* Without memory for the line the connection is closed, or goes on, without it. */
	(void)put_control(p, BUS_VERB_ERR, sv_from(bus_error_text(err)));
}

/* Say why, and return the code if the connection must end. */
static int
refuse(struct bus_peer *p, enum bus_error err)
{
	bus_broker_refuse(p, err);
	return bus_error_closes(err) ? bus_error_code(err) : 0;
}

static int
accept_line(struct bus_peer *p)
{
	return p->verbose ? put_control(p, BUS_VERB_OK, (struct sv){NULL, 0}) : 0;
}

/* Takes the same time wherever the texts differ. */
static bool
same_secret(const char *want, const char *got)
{
	size_t n = strlen(want), m = strlen(got);
	unsigned char diff = n != m;

	for (size_t i = 0; i < n; i++)
		diff |= (unsigned char)(want[i] ^ got[m ? i % m : 0]);
	return diff == 0;
}

static bool
option(const json_t *object, const char *key, bool fallback)
{
	const json_t *value = json_object_get(object, key);

	return json_is_boolean(value) ? json_is_true(value) : fallback;
}

/* A member as text; NULL also when a NUL in it would hide what follows. */
static const char *
plain_text(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	const char *text = json_string_value(value);

	return text && strlen(text) == json_string_length(value) ? text : NULL;
}

static int
on_connect(struct bus_peer *p, struct sv text)
{
	const char *name, *token;
	json_t *object = NULL;
	int r = json_parse(text, &object, NULL);

	if (r == 0 && !json_is_object(object))
		r = -EBADMSG;
	if (r < 0) {
		json_decref(object);
		return r == -EBADMSG ? refuse(p, BUS_ERROR_PARSER) : r;
	}
	token = plain_text(object, "auth_token");
	if (p->token && (!token || !same_secret(p->token, token))) {
		json_decref(object);
		return refuse(p, BUS_ERROR_AUTHORIZATION);
	}
	name = plain_text(object, "name");
	(void)snprintf(p->name, sizeof(p->name), "%s", name ? name : "");
	p->role = bus_role_of_name(sv_from(name), p->granted);
	p->verbose = option(object, "verbose", true);
	p->echo = option(object, "echo", true);
	p->headers = option(object, "headers", true);
	p->connected = true;
	json_decref(object);
	return accept_line(p);
}

/* Put the message into the subscriber's queue. */
static void
deliver(void *user, struct bus_peer *to, const struct bus_ev *msg)
{
	struct bus_broker *b = to->broker;
	int dropped;

	(void)user;
	if (bus_outq_full(&to->out, msg->payload.n + msg->headers.n + 2 * (size_t)BUS_SUBJECT_MAX))
		b->ops->flush(to);
	dropped = bus_outq_message(&to->out, msg);
	if (dropped != 0) {
		b->stats.dropped += dropped > 0 ? (uint64_t)dropped : 1;
		b->lossy = true;
	}
	to->messages_out++;
	b->stats.messages_out++;
	mark_ready(to);
}

static int
deny(struct bus_peer *p, struct sv subject)
{
	char text[BUS_SUBJECT_MAX + 64];
	int n = snprintf(text, sizeof(text), "%s \"%.*s\"", bus_error_text(BUS_ERROR_PERMISSION),
			 (int)subject.n, subject.p);

	p->denied++;
	p->broker->stats.denied++;
	return put_control(p, BUS_VERB_ERR, (struct sv){text, (size_t)n});
}

static int
on_publish(struct bus_peer *p, const struct bus_ev *ev)
{
	struct bus_broker *b = p->broker;
	const struct bus_memo_entry *known = bus_routes_known(b->routes, ev->subject);
	int r;

	if (!known && !bus_subject_valid(ev->subject, false))
		return refuse(p, BUS_ERROR_PUBLISH_SUBJECT);
	if (ev->reply.n && !bus_subject_valid(ev->reply, false))
		return refuse(p, BUS_ERROR_PUBLISH_SUBJECT);
	if (!(known && known->roles & BUS_ROLE_BIT(p->role)) && !bus_role_may(p->role, ev->subject))
		return deny(p, ev->subject);
	p->messages_in++;
	b->stats.messages_in++;
	/* As other brokers do: the answer comes before what the message makes come back. */
	r = accept_line(p);
	bus_routes_send(b->routes, p, ev, known, deliver, b);
	return r;
}

static int
on_subscribe(struct bus_peer *p, const struct bus_ev *ev)
{
	int r;

	if (!bus_subject_valid(ev->subject, true))
		return refuse(p, BUS_ERROR_SUBJECT);
	if (p->nsubs >= LIMIT_BUS_SUBS_PER_CLIENT && !bus_routes_has(p, ev->sid))
		return refuse(p, BUS_ERROR_SUBSCRIPTIONS);
	r = bus_routes_add(p->broker->routes, p, ev);
	return r < 0 ? r : accept_line(p);
}

int
bus_broker_event(struct bus_peer *p, const struct bus_ev *ev)
{
	if (p->token && !p->connected && ev->verb != BUS_VERB_CONNECT)
		return refuse(p, BUS_ERROR_AUTHORIZATION);
	switch (ev->verb) {
	case BUS_VERB_CONNECT: return on_connect(p, ev->text);
	case BUS_VERB_PUB:
	case BUS_VERB_HPUB: return on_publish(p, ev);
	case BUS_VERB_SUB: return on_subscribe(p, ev);
	case BUS_VERB_UNSUB:
		bus_routes_unsubscribe(p->broker->routes, p, ev->sid, ev->max);
		return accept_line(p);
	case BUS_VERB_PING: return put_control(p, BUS_VERB_PONG, (struct sv){NULL, 0});
	case BUS_VERB_PONG: return 0;
	case BUS_VERB_ERR:
	case BUS_VERB_HMSG:
	case BUS_VERB_INFO:
	case BUS_VERB_MSG:
	case BUS_VERB_OK:
	case BUS_VERB_COUNT: break;
	}
	return refuse(p, BUS_ERROR_UNKNOWN_OPERATION);
}

int
bus_broker_ping(struct bus_peer *p)
{
	return put_control(p, BUS_VERB_PING, (struct sv){NULL, 0});
}

int
bus_broker_sent(struct bus_peer *p, size_t n)
{
	int r = bus_outq_sent(&p->out, n);

	if (bus_outq_empty(&p->out))
		p->ready = false;
	return r;
}

void
bus_broker_publish(struct bus_broker *b, struct sv subject, struct sv payload)
{
	const struct bus_ev ev = {.verb = BUS_VERB_PUB, .subject = subject, .payload = payload};

	b->stats.messages_in++;
	bus_routes_send(b->routes, NULL, &ev, bus_routes_known(b->routes, subject), deliver, b);
}

static char *
dropped_event(const struct bus_peer *p, uint64_t unix_ms)
{
	json_t *payload =
		json_pack("{s:I,s:o,s:s,s:I,s:I,s:I,s:f}", "client_id", (json_int_t)p->id, "name",
			  json_view(sv_from(p->name)), "role", bus_role_word(p->role), "dropped",
			  (json_int_t)(p->out.dropped - p->reported), "dropped_total",
			  (json_int_t)p->out.dropped, "pending_bytes",
			  (json_int_t)bus_outq_bytes(&p->out), "ts", (double)unix_ms / 1000);
	char *text = json_text(payload), *event = NULL;

	if (text)
		event = bus_event_encode("system.bus.dropped", "dropped", unix_ms, 0, text);
	free(text);
	json_decref(payload);
	return event;
}

unsigned
bus_broker_report(struct bus_broker *b, uint64_t unix_ms)
{
	unsigned n = 0;

	LIST_FOR (it, &b->peers) {
		struct bus_peer *p = CONTAINER_OF(it, struct bus_peer, link);
		char *event;

		if (p->out.dropped == p->reported)
			continue;
		event = dropped_event(p, unix_ms);
		if (event)
			bus_broker_publish(b, SV("system.bus.dropped"), sv_from(event));
		free(event);
		n++;
	}
	/* Reports that a stuck client loses are counted, but are no reason for further reports. */
	LIST_FOR (it, &b->peers) {
		struct bus_peer *p = CONTAINER_OF(it, struct bus_peer, link);

		p->reported = p->out.dropped;
	}
	b->lossy = false;
	return n;
}

bool
bus_broker_lossy(const struct bus_broker *b)
{
	return b->lossy;
}

void
bus_broker_stats(const struct bus_broker *b, struct bus_broker_stats *ret)
{
	*ret = b->stats;
}

struct list *
bus_broker_peers(struct bus_broker *b)
{
	return &b->peers;
}
