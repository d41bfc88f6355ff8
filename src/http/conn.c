/* SPDX-License-Identifier: Apache-2.0 */
/* A connection from accept to close. What is said on it is h1.c's and h2.c's. */
#include "http/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/h2.h"
#include "util/attr.h"

#define LINGER_MS	2000
#define READS_PER_TURN	4
/* Refused connections that may still be told so, above the ceiling. */
#define REFUSED_AT_ONCE 64

static void
conn_free(void *obj)
{
	struct http_conn *c = obj;

	http_h1_fini(c);
	http_h2_fini(c);
	free(c);
}

void
http_conn_give_back(struct http_conn *c)
{
	loop_free_later(c->server->loop, c, conn_free);
}

void
http_conn_close(struct http_conn *c)
{
	bool done = true;

	if (c->state == CONN_DEAD)
		return;
	if (c->state == CONN_TLS)
		c->server->counters.handshake_failed++;
	c->state = CONN_DEAD;
	loop_io_clear(&c->io);
	loop_timer_clear(&c->timer);
	http_sock_close(&c->sock);
	list_unlink(&c->link);
	http_server_leave(c->server);
	done = c->h2 ? http_h2_closed(c) : http_h1_closed(c);
	if (done)
		http_conn_give_back(c);
}

static void on_io(struct loop_io *io, uint32_t events);
static void on_timer(struct loop_timer *t);

int
http_conn_rewatch(struct http_conn *c)
{
	uint32_t events = c->want;

	if (http_sock_waiting(&c->sock))
		events |= EPOLLOUT;
	return loop_io_set(c->server->loop, &c->io, c->sock.fd, events, on_io, c);
}

void
http_conn_watch(struct http_conn *c, uint32_t events)
{
	if (c->state == CONN_DEAD)
		return;
	c->want = events;
	if (http_conn_rewatch(c) < 0)
		http_conn_close(c);
}

void
http_conn_arm(struct http_conn *c, uint64_t ms)
{
	if (c->state != CONN_DEAD &&
	    loop_timer_set(c->server->loop, &c->timer, ms, on_timer, c) < 0)
		http_conn_close(c);
}

void
http_conn_linger(struct http_conn *c)
{
	http_sock_shutdown(&c->sock);
	c->state = CONN_LINGER;
	http_conn_watch(c, EPOLLIN);
	http_conn_arm(c, LINGER_MS);
}

size_t
http_conn_drop_input(struct http_conn *c)
{
	char junk[HTTP_SOCK_READ_BYTES] A_SCRATCH;
	size_t dropped = 0;

	for (int i = 0; i < READS_PER_TURN; i++) {
		ssize_t n = http_sock_recv(&c->sock, junk, sizeof(junk));

		if (n == -EAGAIN)
			break;
		if (n <= 0) {
			http_conn_close(c);
			break;
		}
		dropped += (size_t)n;
	}
	return dropped;
}

static void
on_timer(struct loop_timer *t)
{
	struct http_conn *c = t->user;

	switch (c->state) {
	case CONN_H1: http_h1_on_timer(c); break;
	case CONN_H2: http_h2_on_timer(c); break;
	case CONN_TLS:
	case CONN_LINGER:
	case CONN_DEAD: http_conn_close(c); break;
	}
}

static void
shake_hands(struct http_conn *c)
{
	int r = http_sock_handshake(&c->sock);

	if (r < 0 && http_sock_fall_back(&c->sock)) {
		c->server->counters.handshake_failed++;
		c->state = CONN_H1;
		http_h1_refuse_plain(c);
		return;
	}
	if (r < 0) {
		/* An alert has said why. */
		http_conn_close(c);
		return;
	}
	if (r == 0) {
		http_conn_watch(c, EPOLLIN);
		return;
	}
	if (http_sock_is_h2(&c->sock)) {
		c->state = CONN_H2;
		http_h2_begin(c);
	} else {
		c->state = CONN_H1;
		http_h1_begin(c);
	}
}

static void
on_io(struct loop_io *io, uint32_t events)
{
	struct http_conn *c = io->user;

	if ((events & EPOLLOUT) && http_sock_waiting(&c->sock)) {
		int r = http_sock_flush(&c->sock);

		if (r == -EAGAIN)
			events &= ~(uint32_t)EPOLLOUT;
		else if (r == 0)
			r = http_conn_rewatch(c);
		if (r < 0 && r != -EAGAIN) {
			http_conn_close(c);
			return;
		}
	}
	switch (c->state) {
	case CONN_TLS: shake_hands(c); break;
	case CONN_H1: http_h1_on_io(c, events); break;
	case CONN_H2: http_h2_on_io(c, events); break;
	case CONN_LINGER:
		if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
			(void)http_conn_drop_input(c);
		break;
	case CONN_DEAD: break;
	}
}

void
http_conn_open(struct http_server *s, int own_fd, const char *peer)
{
	struct http_conn *c = NULL;
	int one = 1;

	if (s->counters.open < s->options.max_connections + REFUSED_AT_ONCE)
		c = calloc(1, sizeof(*c));
	if (!c) {
		s->counters.refused_busy++;
		(void)close(own_fd);
		return;
	}
	(void)setsockopt(own_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->server = s;
	http_sock_init(&c->sock, own_fd);
	c->state = CONN_H1;
	(void)snprintf(c->peer, sizeof(c->peer), "%s", peer);
	http_h1_init(c);
	list_append(&s->conns, &c->link);
	s->counters.accepted++;
	if (!http_server_enter(s)) {
		/* Shaking hands to say so would cost more than serving. */
		if (s->options.tls) {
			s->counters.refused_busy++;
			http_conn_close(c);
		} else {
			http_h1_refuse_busy(c);
		}
		return;
	}
	if (!s->options.tls) {
		http_h1_begin(c);
		return;
	}
	if (http_sock_tls(&c->sock, s->options.tls) < 0) {
		http_conn_close(c);
		return;
	}
	c->state = CONN_TLS;
	http_conn_watch(c, EPOLLIN);
	http_conn_arm(c, HTTP_HEAD_MS);
}

void
http_conn_drain(struct list *link)
{
	struct http_conn *c = CONTAINER_OF(link, struct http_conn, link);

	switch (c->state) {
	case CONN_TLS: http_conn_close(c); break;
	case CONN_H1:
		if (http_h1_idle(c))
			http_conn_close(c);
		break;
	case CONN_H2: http_h2_drain(c); break;
	case CONN_LINGER:
	case CONN_DEAD: break;
	}
}

void
http_conn_kill(struct list *link)
{
	http_conn_close(CONTAINER_OF(link, struct http_conn, link));
}
