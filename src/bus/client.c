/* SPDX-License-Identifier: Apache-2.0 */
/* The library side of the bus: one connection that is kept up, subscriptions that survive it,
 * output gathered per turn. */
#include "bus/client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/dial.h"
#include "bus/event.h"
#include "bus/proto.h"
#include "bus/topic.h"
#include "util/limits.h"
#include "util/list.h"
#include "util/log.h"

#define RETRY_MS     2000
#define HANDSHAKE_MS 5000
#define PING_MS	     30000
#define PINGS_MAX    2
#define READ_MAX     65536
#define IN_MAX	     (LIMIT_BUS_PAYLOAD_BYTES + BUS_LINE_MAX_FROM_BROKER + 2 * READ_MAX)
/* Control lines of our own may pass the ceiling of messages by this much. */
#define CONTROL_ROOM 1048576
#define OUT_KEEP     262144 /* an empty buffer gives larger memory back */

enum state { STATE_IDLE, STATE_WAITING, STATE_CONNECTING, STATE_GREETING, STATE_UP };

struct bus_sub {
	struct bus_client *client;
	struct list link;
	bus_msg_fn *fn;
	void *user;
	uint64_t sid;
	char *pattern, *queue;
};

struct bus_client {
	struct loop *loop;
	bus_state_fn *on_state;
	void *user;
	char name[64];
	bool null;
	struct bus_dial dial;
	enum state state;
	int fd;
	struct loop_io io;
	struct loop_timer timer; /* retry, handshake, silence: by state */
	struct loop_timer flush;
	struct bus_parser parser;
	struct buf in, out;
	struct list subs;
	uint64_t next_sid, heard_ms;
	unsigned pings;
	bool told_unreachable, was_up;
	unsigned busy; /* callbacks that run; the memory stays until they have returned */
	bool dead;     /* freed by one of them */
	struct bus_client_stats stats;
};

static void on_io(struct loop_io *io, uint32_t events);
static void on_retry(struct loop_timer *t);
static void on_silence(struct loop_timer *t);
static void on_handshake_deadline(struct loop_timer *t);

int
bus_client_new(struct loop *l, const struct conf *conf, const char *role, bus_state_fn *on_state,
	       void *user, struct bus_client **ret_client, struct err *e)
{
	struct bus_client *c = calloc(1, sizeof(*c));
	int r = 0;

	if (!c)
		return err_set(e, -ENOMEM, "out of memory");
	c->loop = l;
	c->on_state = on_state;
	c->user = user;
	c->fd = -1;
	(void)snprintf(c->name, sizeof(c->name), "decnet-%s", role);
	list_init(&c->subs);
	buf_init(&c->in, IN_MAX);
	buf_init(&c->out, LIMIT_BUS_PENDING_BYTES + CONTROL_ROOM);
	c->null = strcmp(conf->bus_type, "null") == 0;
	if (strcmp(conf->bus_type, "unix") == 0)
		r = bus_dial_unix(&c->dial, conf->bus_socket, e);
	else if (!c->null)
		r = bus_dial_url(&c->dial, conf->bus_url, e);
	if (r < 0) {
		bus_client_free(c);
		return r;
	}
	*ret_client = TAKE(c);
	return 0;
}

bool
bus_client_connected(const struct bus_client *c)
{
	return c->state == STATE_UP;
}

bool
bus_client_null(const struct bus_client *c)
{
	return c->null;
}

void
bus_client_stats(const struct bus_client *c, struct bus_client_stats *ret)
{
	*ret = c->stats;
}

static void
set_timer(struct bus_client *c, uint64_t delay_ms, loop_timer_fn *fn)
{
	if (loop_timer_set(c->loop, &c->timer, delay_ms, fn, c) < 0)
		log_plain(LV_ERR, "bus.no_memory");
}

/* Not part of its callers, where gcc 12 with -O3 loses count of `busy` and warns of a use after it.
 */
__attribute__((noinline)) static void
destroy(struct bus_client *c)
{
	buf_fini(&c->in);
	buf_fini(&c->out);
	free(c);
}

/* A callback has returned. False when it, or one around it, has freed the client. */
static bool
leave(struct bus_client *c)
{
	bool dead = c->dead;

	if (--c->busy == 0 && dead)
		destroy(c);
	return !dead;
}

/* Tell the owner; false when it has freed the client. */
static bool
tell(struct bus_client *c, bool connected)
{
	if (!c->on_state)
		return true;
	c->busy++;
	c->on_state(c->user, connected);
	return leave(c);
}

/* Close what there is and try again later. False when the owner has freed the client. */
static bool
lose(struct bus_client *c, const char *why)
{
	bool was_up = c->state == STATE_UP;

	loop_io_clear(&c->io);
	loop_timer_clear(&c->flush);
	if (c->fd >= 0)
		(void)close(c->fd);
	c->fd = -1;
	c->state = STATE_WAITING;
	buf_fini(&c->in);
	buf_reset(&c->out);
	if (was_up)
		log_event(LV_WARN, "bus.lost", KV_S("why", why));
	else if (!c->told_unreachable)
		log_event(LV_WARN, "bus.unreachable", KV_S("why", why));
	c->told_unreachable = true;
	set_timer(c, RETRY_MS, on_retry);
	return !was_up || tell(c, false);
}

static bool
watch(struct bus_client *c)
{
	uint32_t events = (uint32_t)EPOLLIN | (c->out.n > 0 ? (uint32_t)EPOLLOUT : 0u);

	if (loop_io_set(c->loop, &c->io, c->fd, events, on_io, c) < 0)
		return lose(c, "cannot watch the socket");
	return true;
}

/* Write what is gathered. False when the connection was lost and the owner has freed the client. */
static bool
flush(struct bus_client *c)
{
	size_t done = 0;

	while (done < c->out.n) {
		ssize_t n =
			send(c->fd, c->out.p + done, c->out.n - done, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			return lose(c, strerror(errno));
		done += (size_t)n;
	}
	buf_drop(&c->out, done);
	if (c->out.n == 0 && c->out.cap > OUT_KEEP) {
		buf_fini(&c->out);
		buf_init(&c->out, LIMIT_BUS_PENDING_BYTES + CONTROL_ROOM);
	}
	return watch(c);
}

static void
on_flush(struct loop_timer *t)
{
	struct bus_client *c = t->user;

	if (c->state == STATE_GREETING || c->state == STATE_UP)
		(void)flush(c);
}

/* At the end of this turn, together with what else is written in it. */
static int
put(struct bus_client *c, const struct bus_ev *ev)
{
	int r = bus_proto_put(&c->out, ev);

	if (r == 0 && !c->flush.loop)
		r = loop_timer_set(c->loop, &c->flush, 0, on_flush, c);
	return r;
}

static int
put_sub(struct bus_sub *s)
{
	char sid[24];
	int n = snprintf(sid, sizeof(sid), "%" PRIu64, s->sid);
	const struct bus_ev ev = {.verb = BUS_VERB_SUB,
				  .subject = sv_from(s->pattern),
				  .queue = sv_from(s->queue),
				  .sid = {sid, (size_t)n}};

	return put(s->client, &ev);
}

/* INFO has come: name ourselves, renew the subscriptions, and ask for a sign that all of it was
 * taken. */
static int
greet(struct bus_client *c)
{
	char *text = bus_dial_connect_text(&c->dial, c->name);
	struct bus_ev ev = {.verb = BUS_VERB_CONNECT, .text = sv_from(text)};
	int r = text ? put(c, &ev) : -ENOMEM;

	free(text);
	LIST_FOR (it, &c->subs) {
		if (r == 0)
			r = put_sub(CONTAINER_OF(it, struct bus_sub, link));
	}
	ev = (struct bus_ev){.verb = BUS_VERB_PING};
	return r == 0 ? put(c, &ev) : r;
}

static bool
come_up(struct bus_client *c)
{
	c->state = STATE_UP;
	c->told_unreachable = false;
	if (c->was_up)
		c->stats.reconnects++;
	c->was_up = true;
	log_event(LV_INFO, "bus.connected", KV_S("name", c->name));
	set_timer(c, PING_MS, on_silence);
	return tell(c, true);
}

static bool
deliver(struct bus_client *c, const struct bus_ev *ev)
{
	uint64_t sid = 0;

	c->stats.received++;
	if (sv_u64(ev->sid, UINT64_MAX, &sid) < 0)
		return true;
	LIST_FOR (it, &c->subs) {
		struct bus_sub *s = CONTAINER_OF(it, struct bus_sub, link);

		if (s->sid != sid)
			continue;
		/* It may free the subscription or the client. */
		s->fn(s->user, ev->subject, ev->payload);
		return !c->dead;
	}
	return true;
}

/* Whether to go on with this connection. */
static bool
on_event(struct bus_client *c, const struct bus_ev *ev)
{
	const struct bus_ev pong = {.verb = BUS_VERB_PONG};

	switch (ev->verb) {
	case BUS_VERB_INFO:
		/* A cluster sends further ones when its members change. */
		if (c->state != STATE_CONNECTING)
			return true;
		c->state = STATE_GREETING;
		if (greet(c) == 0)
			return true;
		(void)lose(c, "no memory");
		return false;
	case BUS_VERB_PING:
		if (put(c, &pong) == 0)
			return true;
		(void)lose(c, "the broker takes nothing");
		return false;
	case BUS_VERB_PONG: return c->state == STATE_GREETING ? come_up(c) : true;
	case BUS_VERB_MSG:
	case BUS_VERB_HMSG: return deliver(c, ev);
	case BUS_VERB_ERR:
		c->stats.refused++;
		log_event(LV_WARN, "bus.refused", KV_V("why", ev->text));
		return true;
	case BUS_VERB_OK:
	case BUS_VERB_CONNECT:
	case BUS_VERB_HPUB:
	case BUS_VERB_PUB:
	case BUS_VERB_SUB:
	case BUS_VERB_UNSUB:
	case BUS_VERB_COUNT: break;
	}
	return true;
}

static void
handle_input(struct bus_client *c)
{
	struct sv in = buf_sv(&c->in);
	size_t used = 0;
	struct bus_ev ev;
	bool on = true;
	int r = 0;

	c->busy++;
	while (on && in.n && (r = bus_parse(&c->parser, in, &used, &ev)) == 1) {
		/* False also when the connection is not that of these bytes any more. */
		on = on_event(c, &ev);
		in = sv_drop(in, used);
	}
	if (!leave(c) || !on)
		return;
	if (r < 0) {
		(void)lose(c, "not a NATS broker");
		return;
	}
	buf_drop(&c->in, c->in.n - in.n);
	if (c->in.n == 0 && c->in.cap > READ_MAX) {
		buf_fini(&c->in);
		buf_init(&c->in, IN_MAX);
	}
}

static void
read_some(struct bus_client *c)
{
	ssize_t n;

	if (buf_reserve(&c->in, READ_MAX) < 0) {
		(void)lose(c, "no memory");
		return;
	}
	n = recv(c->fd, c->in.p + c->in.n, READ_MAX, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		(void)lose(c, n == 0 ? "the broker closed the connection" : strerror(errno));
		return;
	}
	c->in.n += (size_t)n;
	c->heard_ms = loop_now_ms(c->loop);
	c->pings = 0;
	handle_input(c);
}

static void
on_io(struct loop_io *io, uint32_t events)
{
	struct bus_client *c = io->user;

	if (events & EPOLLOUT) {
		int why = 0;
		socklen_t len = sizeof(why);

		if (c->state == STATE_CONNECTING &&
		    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &why, &len) == 0 && why != 0) {
			(void)lose(c, strerror(why));
			return;
		}
		/* Established: nothing to write before INFO. */
		if (c->state == STATE_CONNECTING ? !watch(c) : !flush(c))
			return;
		if (c->fd < 0)
			return;
	}
	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		read_some(c);
}

static void
on_handshake_deadline(struct loop_timer *t)
{
	(void)lose(t->user, "no answer");
}

static void
on_silence(struct loop_timer *t)
{
	const struct bus_ev ping = {.verb = BUS_VERB_PING};
	struct bus_client *c = t->user;
	uint64_t now = loop_now_ms(c->loop);
	uint64_t due = c->heard_ms + (uint64_t)PING_MS * (c->pings + 1);

	if (now < due) {
		set_timer(c, due - now, on_silence);
		return;
	}
	if (c->pings == PINGS_MAX || put(c, &ping) < 0) {
		(void)lose(c, "no answer");
		return;
	}
	c->pings++;
	set_timer(c, PING_MS, on_silence);
}

static void
on_retry(struct loop_timer *t)
{
	struct bus_client *c = t->user;
	bool pending = false;
	int fd = bus_dial_next(&c->dial, &pending);

	if (fd < 0) {
		(void)lose(c, strerror(-fd));
		return;
	}
	c->fd = fd;
	c->state = STATE_CONNECTING;
	c->pings = 0;
	c->heard_ms = loop_now_ms(c->loop);
	buf_init(&c->in, IN_MAX);
	bus_parser_init(&c->parser, BUS_SIDE_BROKER);
	set_timer(c, HANDSHAKE_MS, on_handshake_deadline);
	if (loop_io_set(c->loop, &c->io, fd, EPOLLIN | (pending ? (uint32_t)EPOLLOUT : 0u), on_io,
			c) < 0)
		(void)lose(c, "cannot watch the socket");
}

/* First use: connect in the next turn, so that nothing calls back from within a call. */
static void
start(struct bus_client *c)
{
	if (c->null || c->state != STATE_IDLE)
		return;
	c->state = STATE_WAITING;
	set_timer(c, 0, on_retry);
}

int
bus_subscribe(struct bus_client *c, const char *pattern, const char *queue, bus_msg_fn *fn,
	      void *user, struct bus_sub **ret_sub)
{
	struct bus_sub *s;

	if (!bus_subject_valid(sv_from(pattern), true) ||
	    (queue && !bus_token_valid(sv_from(queue))))
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->client = c;
	s->fn = fn;
	s->user = user;
	s->sid = ++c->next_sid;
	s->pattern = strdup(pattern);
	s->queue = queue ? strdup(queue) : NULL;
	list_init(&s->link);
	if (!s->pattern || (queue && !s->queue) ||
	    ((c->state == STATE_UP || c->state == STATE_GREETING) && put_sub(s) < 0)) {
		bus_unsubscribe(s);
		return -ENOMEM;
	}
	list_append(&c->subs, &s->link);
	start(c);
	*ret_sub = s;
	return 0;
}

void
bus_unsubscribe(struct bus_sub *s)
{
	struct bus_client *c;
	struct bus_ev ev = {.verb = BUS_VERB_UNSUB};
	char sid[24];

	if (!s)
		return;
	c = s->client;
	ev.sid = (struct sv){sid, (size_t)snprintf(sid, sizeof(sid), "%" PRIu64, s->sid)};
	/* If it cannot be said the messages come still, and find nobody. */
	if (c->state == STATE_UP || c->state == STATE_GREETING)
		(void)put(c, &ev);
	list_unlink(&s->link);
	free(s->pattern);
	free(s->queue);
	free(s);
}

int
bus_publish(struct bus_client *c, const char *subject, struct sv payload)
{
	const struct bus_ev ev = {
		.verb = BUS_VERB_PUB, .subject = sv_from(subject), .payload = payload};
	int r;

	if (!bus_subject_valid(ev.subject, false))
		return -EINVAL;
	if (payload.n > LIMIT_BUS_PAYLOAD_BYTES)
		return -EMSGSIZE;
	if (c->null)
		return 0;
	start(c);
	if (c->state != STATE_UP) {
		c->stats.not_connected++;
		return -ENOTCONN;
	}
	r = c->out.n + payload.n > LIMIT_BUS_PENDING_BYTES ? -ENOBUFS : put(c, &ev);
	if (r < 0)
		c->stats.overflowed++;
	else
		c->stats.sent++;
	return r < 0 ? -ENOBUFS : 0;
}

int
bus_publish_event(struct bus_client *c, const char *topic, uint64_t ts_ms, int64_t seq,
		  const char *payload_text)
{
	return bus_publish_traced(c, topic, ts_ms, seq, payload_text, NULL);
}

int
bus_publish_traced(struct bus_client *c, const char *topic, uint64_t ts_ms, int64_t seq,
		   const char *payload_text, const char *traceparent)
{
	struct sv type = bus_topic_type(sv_from(topic));
	char name[BUS_SUBJECT_MAX + 1], *text;
	int r;

	if (sv_copy(type, name, sizeof(name)) < 0)
		return -EINVAL;
	/* Nothing is encoded for nobody. */
	if (c->null || c->state != STATE_UP)
		return bus_publish(c, topic, (struct sv){NULL, 0});
	text = bus_event_encode_traced(topic, name, ts_ms, seq, payload_text, traceparent);
	if (!text)
		return -ENOMEM;
	r = bus_publish(c, topic, sv_from(text));
	free(text);
	return r;
}

void
bus_client_free(struct bus_client *c)
{
	if (!c)
		return;
	if (c->state == STATE_UP && c->out.n > 0)
		(void)send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL | MSG_DONTWAIT);
	loop_io_clear(&c->io);
	loop_timer_clear(&c->timer);
	loop_timer_clear(&c->flush);
	if (c->fd >= 0)
		(void)close(c->fd);
	c->fd = -1;
	c->state = STATE_IDLE;
	LIST_FOR (it, &c->subs)
		bus_unsubscribe(CONTAINER_OF(it, struct bus_sub, link));
	c->dead = true;
	if (c->busy == 0)
		destroy(c);
}
