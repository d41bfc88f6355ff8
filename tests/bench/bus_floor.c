/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor of a broker: the least that passes messages on over the same wire (PUB, SUB, PING of
 * the NATS client protocol) on a UNIX socket. One table of exact subjects and of prefixes that end
 * in `.>`, one buffer and one send for each subscriber and turn. No limits, no roles, no dropping,
 * no validation.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench.h"

#define BUCKETS	 65536
#define IN_BYTES (256 * 1024)
#define EVENTS	 256
#define PEERS	 2048

struct peer {
	int fd;
	bool dirty, waiting, dead;
	char *in, *out;
	size_t in_n, out_at, out_n, out_cap;
};

struct sub {
	struct sub *next;
	struct peer *peer;
	uint32_t hash;
	size_t key_n, sid_n;
	char text[]; /* key, sid */
};

static struct sub *table[BUCKETS];
static struct peer *dirty[PEERS];
static unsigned ndirty;
static int ep;

static uint32_t
mix(uint32_t h, char c)
{
	return (h ^ (unsigned char)c) * 16777619u;
}

static void
flush(struct peer *p)
{
	struct epoll_event ev = {.data.ptr = p};
	ssize_t n = 0;
	bool waiting;

	while (p->out_at < p->out_n && n >= 0) {
		n = send(p->fd, p->out + p->out_at, p->out_n - p->out_at,
			 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0)
			p->out_at += (size_t)n;
	}
	if (p->out_at == p->out_n)
		p->out_at = p->out_n = 0;
	waiting = p->out_n > 0;
	ev.events = waiting ? EPOLLIN | EPOLLOUT : EPOLLIN;
	if (waiting != p->waiting && epoll_ctl(ep, EPOLL_CTL_MOD, p->fd, &ev) < 0)
		bench_die("epoll_ctl: %m");
	p->waiting = waiting;
}

static char *
room(struct peer *p, size_t n)
{
	if (p->out_n + n > p->out_cap) {
		while (p->out_n + n > p->out_cap)
			p->out_cap = p->out_cap ? p->out_cap * 2 : 65536;
		p->out = realloc(p->out, p->out_cap);
		if (!p->out)
			bench_die("no memory");
	}
	if (!p->dirty && ndirty < PEERS) {
		p->dirty = true;
		dirty[ndirty++] = p;
	}
	return p->out + p->out_n;
}

/* `length` is the end of the line, from the number of bytes on, and what follows it. */
static void
deliver(const struct sub *s, const char *topic, size_t topic_n, const char *length, size_t rest_n)
{
	char *at = room(s->peer, topic_n + s->sid_n + rest_n + 8), *begin = at;

	memcpy(at, "MSG ", 4);
	at += 4;
	memcpy(at, topic, topic_n);
	at += topic_n;
	*at++ = ' ';
	memcpy(at, s->text + s->key_n, s->sid_n);
	at += s->sid_n;
	*at++ = ' ';
	memcpy(at, length, rest_n);
	at += rest_n;
	s->peer->out_n += (size_t)(at - begin);
}

static void
publish(const char *topic, size_t topic_n, const char *length, size_t rest_n)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < topic_n; i++) {
		h = mix(h, topic[i]);
		if (topic[i] != '.' && i + 1 < topic_n)
			continue;
		for (const struct sub *s = table[h % BUCKETS]; s; s = s->next)
			if (s->hash == h && s->key_n == i + 1 && memcmp(s->text, topic, i + 1) == 0)
				deliver(s, topic, topic_n, length, rest_n);
	}
}

static void
subscribe(struct peer *p, const char *line, size_t n)
{
	const char *sid = memchr(line, ' ', n);
	struct sub *s;

	if (!sid)
		return;
	s = calloc(1, sizeof(*s) + n);
	if (!s)
		bench_die("no memory");
	s->peer = p;
	s->key_n = (size_t)(sid - line);
	if (line[s->key_n - 1] == '>')
		s->key_n--;
	s->sid_n = n - (size_t)(sid - line) - 1;
	memcpy(s->text, line, s->key_n);
	memcpy(s->text + s->key_n, sid + 1, s->sid_n);
	s->hash = 2166136261u;
	for (size_t i = 0; i < s->key_n; i++)
		s->hash = mix(s->hash, s->text[i]);
	s->next = table[s->hash % BUCKETS];
	table[s->hash % BUCKETS] = s;
}

/* The unit at the front: bytes used, or 0 while it is not whole. */
static size_t
unit(struct peer *p, const char *in, size_t n)
{
	const char *lf = memchr(in, '\n', n), *length;
	size_t head_n, rest_n;

	if (!lf)
		return 0;
	head_n = (size_t)(lf - in) + 1;
	if (memcmp(in, "PUB ", 4) == 0) {
		length = memchr(in + 4, ' ', head_n - 4);
		if (!length)
			bench_die("not a PUB");
		rest_n = (size_t)(lf - length) + strtoul(length + 1, NULL, 10) + 2;
		if (n < (size_t)(length + 1 - in) + rest_n)
			return 0;
		publish(in + 4, (size_t)(length - in) - 4, length + 1, rest_n);
		return (size_t)(length + 1 - in) + rest_n;
	}
	if (memcmp(in, "SUB ", 4) == 0) {
		subscribe(p, in + 4, head_n - 6);
	} else if (memcmp(in, "PING", 4) == 0) {
		memcpy(room(p, 6), "PONG\r\n", 6);
		p->out_n += 6;
	}
	return head_n;
}

static void
forget(struct peer *p)
{
	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct sub **at = &table[i]; *at;) {
			struct sub *s = *at;

			if (s->peer == p) {
				*at = s->next;
				free(s);
			} else {
				at = &s->next;
			}
		}
	p->dead = true;
	(void)close(p->fd);
	free(p->in);
	free(p->out);
	p->in = p->out = NULL;
	p->out_n = p->out_at = p->out_cap = 0;
}

static void
readable(struct peer *p)
{
	ssize_t n = recv(p->fd, p->in + p->in_n, IN_BYTES - p->in_n, MSG_DONTWAIT);
	size_t at = 0, used;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		forget(p);
		return;
	}
	p->in_n += (size_t)n;
	while (at < p->in_n && (used = unit(p, p->in + at, p->in_n - at)) > 0)
		at += used;
	p->in_n -= at;
	memmove(p->in, p->in + at, p->in_n);
}

static void
accept_one(int listener)
{
	struct epoll_event ev = {.events = EPOLLIN};
	struct peer *p = calloc(1, sizeof(*p));

	if (!p || !(p->in = malloc(IN_BYTES)))
		bench_die("no memory");
	p->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ev.data.ptr = p;
	if (p->fd < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, p->fd, &ev) < 0)
		bench_die("accept: %m");
}

int
main(int argc, char **argv)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	struct epoll_event ev[EVENTS] = {{.events = EPOLLIN}};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (argc != 2 || strlen(argv[1]) >= sizeof(at.sun_path))
		bench_die("usage: bench_bus_floor PATH");
	memcpy(at.sun_path, argv[1], strlen(argv[1]));
	if (bind(listener, (const struct sockaddr *)&at, sizeof(at)) < 0 ||
	    listen(listener, 1024) < 0)
		bench_die("cannot listen: %m");
	ep = epoll_create1(EPOLL_CLOEXEC);
	if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev[0]) < 0)
		bench_die("epoll: %m");
	for (;;) {
		int n = epoll_wait(ep, ev, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			struct peer *p = ev[i].data.ptr;

			if (!p) {
				accept_one(listener);
				continue;
			}
			if (ev[i].events & EPOLLOUT)
				flush(p);
			if (ev[i].events & ~(uint32_t)EPOLLOUT)
				readable(p);
		}
		for (unsigned i = 0; i < ndirty; i++) {
			dirty[i]->dirty = false;
			if (!dirty[i]->dead)
				flush(dirty[i]);
		}
		ndirty = 0;
	}
}
