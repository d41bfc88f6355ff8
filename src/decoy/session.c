/* SPDX-License-Identifier: Apache-2.0 */
/* One visitor on one decoy port: bytes in, the service's bytes out, and the captures between. */
#include "decoy/session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/log.h"

#define READ_BYTES     4096
#define READS_PER_TURN 8
/* A visitor that does not read his answers is waited for no longer. */
#define WRITE_MS       30000

struct session {
	struct list link;
	struct listener *listener;
	struct loop_io io;
	struct loop_timer idle, life, delay;
	int fd;
	struct buf in, out;
	uint64_t bytes_in, bytes_out, began_ms, began_mono_ms;
	bool over, delayed, peer_done;
	enum decoy_close why; /* once it is over */
	struct capture common;
	char session_id[ID_UUID_SIZE], peer_ip[46];
	/* The service's own, behind it. */
	_Alignas(16) char state[];
};

static const char *const close_texts[] = {
#define DECOY_CLOSE(name, text) text,
#include "decoy/close.def"
#undef DECOY_CLOSE
};

static void on_io(struct loop_io *io, uint32_t events);

static struct session *
session_of(struct list *link)
{
	return CONTAINER_OF(link, struct session, link);
}

static struct decoy_io
io_of(struct session *s)
{
	struct listener *l = s->listener;

	return (struct decoy_io){.out = &s->out,
				 .captures = &l->engine->captures,
				 .common = &s->common,
				 .next_no = &l->engine->next_no,
				 .now_ms = loop_unix_ms(l->engine->loop),
				 .hostname = l->hostname,
				 .seed = l->seed,
				 .port = l->port};
}

static void
free_session(void *obj)
{
	struct session *s = obj;

	buf_fini(&s->in);
	buf_fini(&s->out);
	free(s);
}

static void
capture_end(struct session *s, enum decoy_close why)
{
	struct decoy_io io = io_of(s);
	char duration[32], in[24], out[24];
	struct capture_field filled[] = {{SV("duration_s"), {duration, 0}},
					 {SV("bytes_in"), {in, 0}},
					 {SV("bytes_out"), {out, 0}},
					 {SV("reason"), sv_from(close_texts[why])}};

	filled[0].value.n = (size_t)snprintf(
		duration, sizeof(duration), "%.3f",
		(double)(loop_now_ms(s->listener->engine->loop) - s->began_mono_ms) / 1000);
	filled[1].value.n =
		(size_t)snprintf(in, sizeof(in), "%llu", (unsigned long long)s->bytes_in);
	filled[2].value.n =
		(size_t)snprintf(out, sizeof(out), "%llu", (unsigned long long)s->bytes_out);
	if (decoy_capture(&io, CAPTURE_DISCONNECT, filled, ARRAY_LEN(filled)) < 0)
		log_plain(LV_ERR, "decoy.capture.lost");
}

void
session_close(struct list *link, enum decoy_close why)
{
	struct session *s = session_of(link);
	struct listener *l = s->listener;
	struct decoy_io io = io_of(s);

	if (s->fd < 0)
		return;
	loop_io_clear(&s->io);
	loop_timer_clear(&s->idle);
	loop_timer_clear(&s->life);
	loop_timer_clear(&s->delay);
	(void)close(s->fd);
	s->fd = -1;
	list_unlink(&s->link);
	l->nsessions--;
	l->engine->sessions--;
	if (l->service->end)
		l->service->end(s->state, l->config, &io);
	capture_end(s, why);
	engine_flush_captures(l->engine);
	loop_free_later(l->engine->loop, s, free_session);
}

static void
on_idle(struct loop_timer *t)
{
	struct session *s = t->user;

	session_close(&s->link, DECOY_CLOSE_IDLE);
}

static void
on_life(struct loop_timer *t)
{
	struct session *s = t->user;

	session_close(&s->link, DECOY_CLOSE_LIFE);
}

static void
arm_idle(struct session *s, uint64_t ms)
{
	if (loop_timer_set(s->listener->engine->loop, &s->idle, ms, on_idle, s) < 0)
		session_close(&s->link, DECOY_CLOSE_LIMIT);
}

/* What it waits for, from its state: bytes of the visitor, room for ours, or a pause to end. */
static void
watch(struct session *s)
{
	struct engine *g = s->listener->engine;
	uint32_t events = 0;

	if (s->fd < 0)
		return;
	if (!s->delayed && s->out.n > 0)
		events |= EPOLLOUT;
	/* Bounded on both sides: who does not read is not read from. */
	if (!s->delayed && !s->over && !s->peer_done && !g->paused && s->out.n < s->out.max / 2 &&
	    s->in.n < s->in.max)
		events |= EPOLLIN;
	if (loop_io_set(g->loop, &s->io, s->fd, events, on_io, s) < 0)
		session_close(&s->link, DECOY_CLOSE_LIMIT);
}

/* Whether all was written. */
static bool
write_out(struct session *s)
{
	while (s->out.n > 0) {
		ssize_t n = send(s->fd, s->out.p, s->out.n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return false;
		if (n < 0) {
			session_close(&s->link, DECOY_CLOSE_EOF);
			return false;
		}
		s->bytes_out += (uint64_t)n;
		buf_drop(&s->out, (size_t)n);
	}
	return true;
}

static void step(struct session *s);

static void
on_delay(struct loop_timer *t)
{
	struct session *s = t->user;

	s->delayed = false;
	step(s);
}

static enum decoy_close
reason_of(int r)
{
	if (r == -EBADMSG)
		return DECOY_CLOSE_BAD_INPUT;
	return r == 1 ? DECOY_CLOSE_QUIT : DECOY_CLOSE_LIMIT;
}

/* After a call of the service: its pause, its end. */
static void
after_call(struct session *s, int r, uint32_t delay_ms)
{
	struct engine *g = s->listener->engine;

	engine_flush_captures(g);
	if (r != 0) {
		s->over = true;
		/* What it said last is still sent; the reason stands in the capture. */
		s->why = reason_of(r);
	}
	if (delay_ms == 0)
		return;
	s->delayed = true;
	if (loop_timer_set(g->loop, &s->delay, delay_ms, on_delay, s) < 0)
		session_close(&s->link, DECOY_CLOSE_LIMIT);
}

static void
feed(struct session *s)
{
	const struct decoy_service *service = s->listener->service;

	while (s->fd >= 0 && s->in.n > 0 && !s->over && !s->delayed && s->out.n < s->out.max / 2 &&
	       !s->listener->engine->paused) {
		struct decoy_io io = io_of(s);
		size_t used = 0;
		int r = service->input(s->state, s->listener->config, &io, buf_sv(&s->in), &used);

		buf_drop(&s->in, used);
		/* A full buffer from which nothing can be taken will never be a whole unit. */
		if (r == 0 && used == 0 && s->in.n >= s->in.max)
			r = -EMSGSIZE;
		after_call(s, r, io.delay_ms);
		if (used == 0)
			break;
	}
}

/* Go on with whatever is possible now. */
static void
step(struct session *s)
{
	feed(s);
	if (s->fd < 0)
		return;
	if (!s->delayed) {
		bool done = write_out(s);

		if (s->fd < 0)
			return;
		if (done && s->over) {
			session_close(&s->link, s->why);
			return;
		}
		if (done && s->peer_done && s->in.n == 0) {
			session_close(&s->link, DECOY_CLOSE_EOF);
			return;
		}
		if (done && s->peer_done) {
			feed(s);
			if (s->fd >= 0 && !s->delayed && !s->over && s->out.n == 0) {
				session_close(&s->link, DECOY_CLOSE_EOF);
				return;
			}
		}
		arm_idle(s, s->over || s->out.n ? WRITE_MS : s->listener->service->idle_ms);
	}
	watch(s);
}

static void
read_in(struct session *s)
{
	for (int i = 0; i < READS_PER_TURN && s->in.n < s->in.max; i++) {
		size_t want = s->in.max - s->in.n < READ_BYTES ? s->in.max - s->in.n : READ_BYTES;
		ssize_t n;

		if (buf_reserve(&s->in, want) < 0)
			return;
		n = recv(s->fd, s->in.p + s->in.n, want, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n <= 0) {
			s->peer_done = true;
			return;
		}
		s->bytes_in += (uint64_t)n;
		s->in.n += (size_t)n;
	}
}

static void
on_io(struct loop_io *io, uint32_t events)
{
	struct session *s = io->user;

	if (events & (EPOLLERR | EPOLLHUP)) {
		/* Both directions are closed: what lies in the buffer is still worth a look. */
		read_in(s);
		s->peer_done = true;
		feed(s);
		if (s->fd >= 0)
			session_close(&s->link, s->over ? s->why : DECOY_CLOSE_EOF);
		return;
	}
	if (events & EPOLLIN)
		read_in(s);
	step(s);
}

void
session_pause(struct list *link)
{
	struct session *s = session_of(link);

	if (s->listener->engine->paused)
		watch(s);
	else
		step(s);
}

static void
peer_of(int fd, char ip[46], uint16_t *ret_port, uint16_t *ret_local)
{
	struct sockaddr_storage addr;
	socklen_t n = sizeof(addr);
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)&addr;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)&addr;

	ip[0] = 0;
	if (getpeername(fd, (struct sockaddr *)&addr, &n) == 0) {
		if (addr.ss_family == AF_INET)
			(void)inet_ntop(AF_INET, &v4->sin_addr, ip, 46);
		else if (addr.ss_family == AF_INET6)
			(void)inet_ntop(AF_INET6, &v6->sin6_addr, ip, 46);
		*ret_port = ntohs(v4->sin_port);
	}
	n = sizeof(addr);
	if (getsockname(fd, (struct sockaddr *)&addr, &n) == 0)
		*ret_local = ntohs(v4->sin_port);
}

static unsigned
from_same_source(const struct engine *g, const char *ip)
{
	unsigned n = 0;

	LIST_FOR (at, &g->listeners) {
		struct listener *l = CONTAINER_OF(at, struct listener, link);

		LIST_FOR (seat, &l->sessions) {
			n += strcmp(session_of(seat)->peer_ip, ip) == 0;
		}
	}
	return n;
}

void
session_open(struct listener *l, int own_fd)
{
	struct engine *g = l->engine;
	struct session *s = calloc(1, sizeof(*s) + l->service->state_size);
	struct decoy_io io;
	int r;

	if (!s) {
		(void)close(own_fd);
		return;
	}
	s->listener = l;
	s->fd = own_fd;
	s->began_ms = loop_unix_ms(g->loop);
	s->began_mono_ms = loop_now_ms(g->loop);
	id_uuid7(s->session_id);
	peer_of(own_fd, s->peer_ip, &s->common.peer_port, &s->common.local_port);
	s->common.source = g->source;
	s->common.topology_id = sv_from(l->topology_id);
	s->common.decky_uuid = sv_from(l->decky_uuid);
	s->common.decky = sv_from(l->decky);
	s->common.service = sv_from(l->service->name);
	s->common.session_id = sv_from(s->session_id);
	s->common.peer_ip = sv_from(s->peer_ip);
	buf_init(&s->in, l->service->in_max);
	buf_init(&s->out, l->service->out_max);
	io = io_of(s);
	if (g->sessions >= SESSIONS_MAX || l->nsessions >= SESSIONS_PER_LISTENER_MAX ||
	    from_same_source(g, s->peer_ip) >= SESSIONS_PER_SOURCE_MAX) {
		g->limit_hits++;
		r = decoy_capture(&io, CAPTURE_LIMIT, NULL, 0);
		engine_flush_captures(g);
		(void)r;
		(void)close(own_fd);
		free(s);
		return;
	}
	list_append(&l->sessions, &s->link);
	l->nsessions++;
	g->sessions++;
	r = decoy_capture(&io, CAPTURE_CONNECT, NULL, 0);
	if (r == 0 && loop_timer_set(g->loop, &s->life, SESSION_LIFE_MS, on_life, s) == 0)
		r = l->service->start(s->state, l->config, &io);
	after_call(s, r, io.delay_ms);
	if (s->fd >= 0)
		step(s);
}
