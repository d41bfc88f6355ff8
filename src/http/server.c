/* SPDX-License-Identifier: Apache-2.0 */
/* Listening and accepting; what belongs to the whole server. */
#include "http/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "http/conn.h"

#define BACKLOG		 1024
#define ACCEPTS_PER_TURN 64
/* Without descriptors or memory for another peer the listener would be ready again at once. */
#define ACCEPT_REST_MS	 100

static void
peer_text(const struct sockaddr_storage *addr, char dst[46])
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)addr;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)addr;

	dst[0] = 0;
	if (addr->ss_family == AF_INET)
		(void)inet_ntop(AF_INET, &v4->sin_addr, dst, 46);
	else if (addr->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		(void)inet_ntop(AF_INET, v6->sin6_addr.s6_addr + 12, dst, 46);
	else if (addr->ss_family == AF_INET6)
		(void)inet_ntop(AF_INET6, &v6->sin6_addr, dst, 46);
}

bool
http_server_enter(struct http_server *s)
{
	const struct http_options *o = &s->options;
	unsigned all = o->all ? atomic_fetch_add(o->all, 1) : 0;

	s->counters.open++;
	return s->counters.open <= o->max_connections && (!o->all || all < o->max_all);
}

void
http_server_leave(struct http_server *s)
{
	s->counters.open--;
	if (s->options.all)
		atomic_fetch_sub(s->options.all, 1);
}

static void on_accept(struct loop_io *io, uint32_t events);

static void
accept_again(struct loop_timer *t)
{
	struct http_server *s = t->user;

	if (loop_io_set(s->loop, &s->io, s->fd, EPOLLIN, on_accept, s) < 0 &&
	    loop_timer_set(s->loop, t, ACCEPT_REST_MS, accept_again, s) < 0)
		s->counters.accept_failed++;
}

/* Those that wait are taken when others have closed. */
static void
accept_failed(struct http_server *s, int code)
{
	if (code != EMFILE && code != ENFILE && code != ENOBUFS && code != ENOMEM)
		return;
	s->counters.accept_failed++;
	if (loop_timer_set(s->loop, &s->accept_timer, ACCEPT_REST_MS, accept_again, s) == 0)
		loop_io_clear(&s->io);
}

static void
on_accept(struct loop_io *io, uint32_t events)
{
	struct http_server *s = io->user;

	(void)events;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct sockaddr_storage addr = {0};
		socklen_t n = sizeof(addr);
		char peer[46];
		int fd = accept4(s->fd, (struct sockaddr *)&addr, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0) {
			accept_failed(s, errno);
			return;
		}
		peer_text(&addr, peer);
		http_conn_open(s, fd, peer);
	}
}

static int
listen_on(const struct addrinfo *ai, bool reuse_port)
{
	int one = 1, fd, r;

	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (reuse_port)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
		r = -errno;
		(void)close(fd);
		return r;
	}
	return fd;
}

static int
open_socket(const struct http_options *o, uint16_t *ret_port, struct err *e)
{
	struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
				 .ai_socktype = SOCK_STREAM};
	struct sockaddr_storage addr = {0};
	struct addrinfo *list = NULL;
	socklen_t n = sizeof(addr);
	char port[8];
	int fd = -EADDRNOTAVAIL, r;

	(void)snprintf(port, sizeof(port), "%u", (unsigned)o->port);
	r = getaddrinfo(o->host, port, &hints, &list);
	if (r != 0)
		return err_set(e, -EADDRNOTAVAIL, "%s: %s", o->host, gai_strerror(r));
	for (const struct addrinfo *ai = list; ai && fd < 0; ai = ai->ai_next)
		fd = listen_on(ai, o->reuse_port);
	freeaddrinfo(list);
	if (fd < 0)
		return err_set(e, fd, "%s:%s: %s", o->host, port, strerror(-fd));
	if (getsockname(fd, (struct sockaddr *)&addr, &n) == 0)
		*ret_port = ntohs(addr.ss_family == AF_INET6
					  ? ((struct sockaddr_in6 *)(void *)&addr)->sin6_port
					  : ((struct sockaddr_in *)(void *)&addr)->sin_port);
	return fd;
}

int
http_server_new(struct loop *l, const struct http_options *options, const struct http_ops *ops,
		void *user, struct http_server **ret_server, struct err *e)
{
	struct http_server *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	s->loop = l;
	s->options = *options;
	/* The caller's text need not outlive this call. */
	s->options.host = NULL;
	s->ops = *ops;
	s->user = user;
	list_init(&s->conns);
	s->fd = -1;
	r = s->fd = open_socket(options, &s->port, e);
	if (r >= 0) {
		r = loop_io_set(l, &s->io, s->fd, EPOLLIN, on_accept, s);
		if (r < 0)
			(void)err_set(e, r, "epoll: %s", strerror(-r));
	}
	if (r < 0) {
		if (s->fd >= 0)
			(void)close(s->fd);
		free(s);
		return r;
	}
	*ret_server = s;
	return 0;
}

uint16_t
http_server_port(const struct http_server *s)
{
	return s->port;
}

void
http_server_counters(const struct http_server *s, struct http_counters *ret)
{
	*ret = s->counters;
}

const char *
http_server_date(struct http_server *s)
{
	uint64_t now = loop_unix_ms(s->loop) / 1000;

	if (now != s->date_s) {
		time_t seconds = (time_t)now;
		struct tm tm;

		(void)gmtime_r(&seconds, &tm);
		(void)strftime(s->date, sizeof(s->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		s->date_s = now;
	}
	return s->date;
}

void
http_server_drain(struct http_server *s)
{
	s->draining = true;
	loop_timer_clear(&s->accept_timer);
	if (s->fd >= 0) {
		loop_io_clear(&s->io);
		(void)close(s->fd);
		s->fd = -1;
	}
	LIST_FOR (at, &s->conns)
		http_conn_drain(at);
}

void
http_server_free(struct http_server *s)
{
	if (!s)
		return;
	http_server_drain(s);
	LIST_FOR (at, &s->conns)
		http_conn_kill(at);
	/* After its connections, which go at the end of the turn. */
	loop_free_later(s->loop, s, free);
}
