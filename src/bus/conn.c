/* SPDX-License-Identifier: Apache-2.0 */
/* The sockets of the broker's clients. Nothing is decided here but when to read, to write and to
 * give up. */
#include "bus/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/limits.h"
#include "util/log.h"

/* As much as a fast publisher sends at once; fewer messages of the usual size than may wait for one
 * subscriber, so that they need not be dropped within a turn. */
#define READ_MAX     131072
#define IN_MAX	     (LIMIT_BUS_PAYLOAD_BYTES + LIMIT_BUS_LINE_BYTES + 2 * READ_MAX)
/* A client whose answers wait is not read from until they have left. */
#define CONTROL_HIGH 262144u
#define CONTROL_LOW  65536u
/* How long the peer of a connection that was refused may go on talking, so that it reads our last
 * line and not a reset. */
#define LINGER_MS    1000
#define REPORT_MS    1000

struct bus_conn {
	struct bus_conn_ctx *ctx;
	struct bus_peer *peer; /* NULL while lingering */
	struct list link, dirty;
	struct loop_io io;
	struct loop_timer timer;
	int fd;
	struct bus_parser parser;
	struct buf in;
	bool blocked; /* the socket takes no more bytes for now */
	bool paused;  /* not read from: CONTROL_HIGH */
	bool closing; /* freed at the end of the turn */
	uint64_t heard_ms;
	unsigned pings;
};

static void on_io(struct loop_io *io, uint32_t events);
static void on_flush_timer(struct loop_timer *t);

static void
conn_free(void *obj)
{
	struct bus_conn *c = obj;

	loop_io_clear(&c->io);
	loop_timer_clear(&c->timer);
	list_unlink(&c->link);
	list_unlink(&c->dirty);
	bus_broker_detach(c->peer);
	buf_fini(&c->in);
	(void)close(c->fd);
	free(c);
}

/* Give up; safe from anywhere, also while the broker walks over its subscriptions. */
static void
give_up(struct bus_conn *c, const char *why)
{
	if (c->closing)
		return;
	c->closing = true;
	loop_io_clear(&c->io);
	loop_timer_clear(&c->timer);
	list_unlink(&c->dirty);
	log_event(LV_DEBUG, "bus.client.closed", KV_U("client", c->peer ? c->peer->id : 0),
		  KV_S("why", why));
	loop_free_later(c->ctx->loop, c, conn_free);
}

static void
watch(struct bus_conn *c)
{
	uint32_t events =
		(c->paused ? 0u : (uint32_t)EPOLLIN) | (c->blocked ? (uint32_t)EPOLLOUT : 0u);

	if (!c->closing && loop_io_set(c->ctx->loop, &c->io, c->fd, events, on_io, c) < 0)
		give_up(c, "cannot watch");
}

/* Write until the queue is empty or the socket full. 0, or a negative errno: the connection is of
 * no use any more. */
static int
push(struct bus_conn *c)
{
	struct iovec iov[BUS_OUTQ_IOV];
	struct msghdr msg = {.msg_iov = iov};

	while (!c->blocked && !bus_outq_empty(&c->peer->out)) {
		size_t total = 0;
		ssize_t n;
		int r;

		msg.msg_iovlen = bus_outq_peek(&c->peer->out, iov);
		for (size_t i = 0; i < msg.msg_iovlen; i++)
			total += iov[i].iov_len;
		n = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return -errno;
		r = n > 0 ? bus_broker_sent(c->peer, (size_t)n) : 0;
		if (r < 0)
			return r;
		c->blocked = n < 0 || (size_t)n < total;
	}
	return 0;
}

static void
flush(struct bus_conn *c)
{
	int r;

	if (c->closing || !c->peer)
		return;
	r = push(c);
	if (r < 0)
		give_up(c, strerror(-r));
	else
		watch(c);
}

static void
on_linger(struct loop_timer *t)
{
	give_up(t->user, "refused");
}

/* The -ERR is in the queue: send it, stop listening to what the client says, close soon. */
static void
refuse(struct bus_conn *c, enum bus_error err)
{
	log_event(LV_WARN, "bus.client.refused", KV_U("client", c->peer->id),
		  KV_S("name", c->peer->name), KV_S("why", bus_error_text(err)));
	flush(c);
	if (c->closing)
		return;
	bus_broker_detach(c->peer);
	c->peer = NULL;
	c->blocked = c->paused = false;
	list_unlink(&c->dirty);
	buf_fini(&c->in);
	(void)shutdown(c->fd, SHUT_WR);
	watch(c);
	if (!c->closing && loop_timer_set(c->ctx->loop, &c->timer, LINGER_MS, on_linger, c) < 0)
		give_up(c, "refused");
}

/* Handle the events at the front of `in`; the number of bytes done with. The connection may be
 * refused or closing afterwards. */
static size_t
handle(struct bus_conn *c, struct sv in)
{
	size_t start = in.n, used = 0;
	struct bus_ev ev;

	while (in.n && !c->closing) {
		int r;

		if (bus_outq_control_bytes(&c->peer->out) > CONTROL_HIGH) {
			flush(c);
			if (bus_outq_control_bytes(&c->peer->out) > CONTROL_LOW) {
				c->paused = true;
				watch(c);
				break;
			}
		}
		r = bus_parse(&c->parser, in, &used, &ev);
		if (r == 0)
			break;
		if (r < 0)
			bus_broker_refuse(c->peer, bus_error_of(r));
		else
			r = bus_broker_event(c->peer, &ev);
		if (r < 0) {
			if (bus_error_of(r) == BUS_ERROR_COUNT)
				give_up(c, "no memory");
			else
				refuse(c, bus_error_of(r));
			break;
		}
		in = sv_drop(in, used);
	}
	return start - in.n;
}

/* Keep what was not handled for the next bytes. */
static void
keep(struct bus_conn *c, struct sv rest)
{
	struct buf old = c->in;

	if (c->closing || !c->peer)
		return;
	if (old.n && rest.p >= old.p && rest.p <= old.p + old.n) {
		buf_drop(&c->in, (size_t)(rest.p - old.p));
		if (c->in.n == 0)
			buf_fini(&c->in);
		return;
	}
	buf_reset(&c->in);
	if (buf_put(&c->in, rest) < 0)
		give_up(c, "no memory");
}

static void
on_report_timer(struct loop_timer *t)
{
	struct bus_conn_ctx *ctx = t->user;
	unsigned n = bus_broker_report(ctx->broker, loop_unix_ms(ctx->loop));

	log_event(LV_WARN, "bus.dropped", KV_U("clients", n));
}

/* A second after the first loss those who lost something are told of. */
static void
arm_report(struct bus_conn_ctx *ctx)
{
	if (bus_broker_lossy(ctx->broker) && !ctx->report.loop &&
	    loop_timer_set(ctx->loop, &ctx->report, REPORT_MS, on_report_timer, ctx) < 0)
		log_plain(LV_WARN, "bus.no_memory");
}

static void
take_in(struct bus_conn *c, struct sv in)
{
	size_t used = handle(c, in);

	keep(c, sv_drop(in, used));
	arm_report(c->ctx);
}

/* Read once. Small remains are put in front of the shared memory, so an idle connection holds none
 * of its own. */
static void
read_some(struct bus_conn *c)
{
	bool own = c->in.n > BUS_CONN_SCRATCH - READ_MAX;
	char *at;
	ssize_t n;

	if (own) {
		if (buf_reserve(&c->in, READ_MAX) < 0) {
			give_up(c, "no memory");
			return;
		}
		at = c->in.p + c->in.n;
	} else {
		if (c->in.n)
			memcpy(c->ctx->scratch, c->in.p, c->in.n);
		at = c->ctx->scratch + c->in.n;
	}
	n = recv(c->fd, at, READ_MAX, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		give_up(c, n == 0 ? "end of stream" : "read failed");
		return;
	}
	c->heard_ms = loop_now_ms(c->ctx->loop);
	c->pings = 0;
	if (own) {
		c->in.n += (size_t)n;
		take_in(c, buf_sv(&c->in));
	} else {
		struct sv in = {c->ctx->scratch, c->in.n + (size_t)n};

		buf_fini(&c->in);
		buf_init(&c->in, IN_MAX);
		take_in(c, in);
	}
}

static void
discard(struct bus_conn *c)
{
	ssize_t n = recv(c->fd, c->ctx->scratch, BUS_CONN_SCRATCH, MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		give_up(c, "refused");
}

static void
resume(struct bus_conn *c)
{
	if (!c->paused || c->closing || !c->peer ||
	    bus_outq_control_bytes(&c->peer->out) > CONTROL_LOW)
		return;
	c->paused = false;
	watch(c);
	if (!c->closing)
		take_in(c, buf_sv(&c->in));
}

static void
on_io(struct loop_io *io, uint32_t events)
{
	struct bus_conn *c = io->user;

	if (!c->peer) {
		discard(c);
		return;
	}
	if (events & EPOLLOUT) {
		c->blocked = false;
		flush(c);
		resume(c);
	}
	/* A peer that hung up may have left bytes; when they are not to be read now, there is
	 * nobody to answer either. */
	if (!c->closing && c->peer && (events & (EPOLLERR | EPOLLHUP)) && c->paused)
		give_up(c, "hung up");
	if (!c->closing && c->peer && !c->paused && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
		read_some(c);
}

static void
arm(struct bus_conn *c, uint64_t delay_ms, loop_timer_fn *fn)
{
	if (!c->closing && loop_timer_set(c->ctx->loop, &c->timer, delay_ms, fn, c) < 0)
		give_up(c, "no memory");
}

static void
on_silence(struct loop_timer *t)
{
	struct bus_conn *c = t->user;
	uint64_t now = loop_now_ms(c->ctx->loop);
	uint64_t due = c->heard_ms + (uint64_t)BUS_CONN_PING_MS * (c->pings + 1);

	bus_outq_trim(&c->peer->out);
	if (now < due) {
		arm(c, due - now, on_silence);
		return;
	}
	if (c->pings == BUS_CONN_PINGS_MAX) {
		bus_broker_refuse(c->peer, BUS_ERROR_STALE);
		refuse(c, BUS_ERROR_STALE);
		return;
	}
	c->pings++;
	if (bus_broker_ping(c->peer) < 0)
		give_up(c, "no memory");
	arm(c, BUS_CONN_PING_MS, on_silence);
}

static void
on_connect_deadline(struct loop_timer *t)
{
	struct bus_conn *c = t->user;

	if (c->peer->connected) {
		on_silence(t);
		return;
	}
	bus_broker_refuse(c->peer, BUS_ERROR_AUTH_TIMEOUT);
	refuse(c, BUS_ERROR_AUTH_TIMEOUT);
}

static void
arm_flush(struct bus_conn_ctx *ctx)
{
	if (!ctx->flush.loop && loop_timer_set(ctx->loop, &ctx->flush, 0, on_flush_timer, ctx) < 0)
		log_plain(LV_WARN, "bus.no_memory");
}

/* Write all that became ready in this turn, each queue with one call. */
static void
on_flush_timer(struct loop_timer *t)
{
	struct bus_conn_ctx *ctx = t->user;

	/* Flushing one may end another and reading on may make others ready, so the list is taken
	 * from the front. */
	for (int i = 0; i < LIMIT_BUS_CLIENTS && !list_empty(&ctx->dirty); i++) {
		struct bus_conn *c = CONTAINER_OF(ctx->dirty.next, struct bus_conn, dirty);

		list_unlink(&c->dirty);
		flush(c);
		resume(c);
	}
	if (!list_empty(&ctx->dirty))
		arm_flush(ctx);
	arm_report(ctx);
}

static void
on_ready(struct bus_peer *p)
{
	struct bus_conn *c = p->user;
	struct bus_conn_ctx *ctx = c->ctx;

	if (c->closing || c->dirty.next != &c->dirty)
		return;
	list_append(&ctx->dirty, &c->dirty);
	arm_flush(ctx);
}

static void
on_long_queue(struct bus_peer *p)
{
	flush(p->user);
}

const struct bus_broker_ops bus_conn_ops = {.ready = on_ready, .flush = on_long_queue};

static void
turn_away(int fd)
{
	static const struct bus_ev ev = {.verb = BUS_VERB_ERR};
	struct bus_ev line = ev;
	struct buf b;

	line.text = sv_from(bus_error_text(BUS_ERROR_CONNECTIONS));
	buf_init(&b, LIMIT_BUS_LINE_BYTES);
	if (bus_proto_put(&b, &line) == 0)
		(void)send(fd, b.p, b.n, MSG_NOSIGNAL | MSG_DONTWAIT);
	buf_fini(&b);
}

int
bus_conn_open(struct bus_conn_ctx *ctx, int own_fd, unsigned granted, const char *token)
{
	struct bus_conn *c = calloc(1, sizeof(*c));
	int r = -ENOMEM;

	if (!c) {
		(void)close(own_fd);
		return r;
	}
	c->ctx = ctx;
	c->fd = own_fd;
	c->heard_ms = loop_now_ms(ctx->loop);
	list_init(&c->dirty);
	list_init(&c->link);
	buf_init(&c->in, IN_MAX);
	bus_parser_init(&c->parser, BUS_SIDE_CLIENT);
	r = bus_broker_attach(ctx->broker, c, granted, token, &c->peer);
	if (r == -EUSERS)
		turn_away(own_fd);
	if (r == 0)
		r = loop_io_set(ctx->loop, &c->io, own_fd, EPOLLIN, on_io, c);
	if (r == 0)
		r = loop_timer_set(ctx->loop, &c->timer, BUS_CONN_CONNECT_MS, on_connect_deadline,
				   c);
	if (r < 0) {
		conn_free(c);
		return r;
	}
	list_append(&ctx->conns, &c->link);
	return 0;
}

void
bus_conn_close_all(struct bus_conn_ctx *ctx)
{
	LIST_FOR (it, &ctx->conns) {
		struct bus_conn *c = CONTAINER_OF(it, struct bus_conn, link);

		if (c->peer && !c->closing)
			(void)push(c);
		conn_free(c);
	}
}
