/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor of a fan-out: the least that a process can do which sends each event to each viewer by
 * one system call. No limits, no queues, no framing, no access, no catching up: a viewer whose
 * socket is full loses the event. GET opens a viewer, the body of a POST is an event.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

#define INPUT_BYTES 131072
#define EVENTS	    256

struct peer {
	int fd;
	unsigned index; /* among the viewers */
	bool viewer;
	size_t n;
	char *in; /* INPUT_BYTES, of a publisher */
};

static struct peer **viewers;
static unsigned nviewers, viewers_cap;
static int ep;

static void
answer(struct peer *p, const char *text)
{
	bench_send(p->fd, text, strlen(text));
}

static void
fan_out(const char *data, size_t n)
{
	static char frame[INPUT_BYTES + 16];
	size_t frame_n = n + 8;

	memcpy(frame, "data: ", 6);
	memcpy(frame + 6, data, n);
	memcpy(frame + 6 + n, "\n\n", 2);
	for (unsigned i = 0; i < nviewers; i++)
		(void)!send(viewers[i]->fd, frame, frame_n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
add_viewer(struct peer *p)
{
	if (nviewers == viewers_cap) {
		viewers_cap = viewers_cap ? viewers_cap * 2 : 1024;
		viewers = realloc(viewers, viewers_cap * sizeof(struct peer *));
		if (!viewers)
			bench_die("no memory");
	}
	p->viewer = true;
	p->index = nviewers;
	viewers[nviewers++] = p;
	answer(p, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
		  "Cache-Control: no-cache\r\n\r\n: floor\n\n");
	free(p->in);
	p->in = NULL;
}

static void
drop(struct peer *p)
{
	if (p->viewer) {
		viewers[p->index] = viewers[--nviewers];
		viewers[p->index]->index = p->index;
	}
	(void)close(p->fd);
	free(p->in);
	free(p);
}

/* Bytes of the request at the front of what has come, or 0 while it is not whole. */
static size_t
request(struct peer *p)
{
	const char *end = memmem(p->in, p->n, "\r\n\r\n", 4), *length;
	size_t head_n, body_n = 0;

	if (!end)
		return 0;
	head_n = (size_t)(end - p->in) + 4;
	length = memmem(p->in, head_n, "Content-Length: ", 16);
	if (length)
		body_n = (size_t)strtoul(length + 16, NULL, 10);
	if (p->n - head_n < body_n)
		return 0;
	if (p->in[0] == 'P') {
		fan_out(p->in + head_n, body_n);
		answer(p, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
	} else {
		add_viewer(p);
	}
	return head_n + body_n;
}

static void
readable(struct peer *p)
{
	char none[256];
	ssize_t n;
	size_t used;

	if (p->viewer) {
		if (recv(p->fd, none, sizeof(none), MSG_DONTWAIT) == 0 || errno != EAGAIN)
			drop(p);
		return;
	}
	if (!p->in && !(p->in = malloc(INPUT_BYTES + 1)))
		bench_die("no memory");
	n = recv(p->fd, p->in + p->n, INPUT_BYTES - p->n, MSG_DONTWAIT);
	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			drop(p);
		return;
	}
	p->n += (size_t)n;
	p->in[p->n] = '\0';
	while (!p->viewer && (used = request(p)) > 0 && !p->viewer) {
		p->n -= used;
		memmove(p->in, p->in + used, p->n + 1);
	}
}

static void
accept_some(int listener)
{
	for (int i = 0; i < 256; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), one = 1;
		struct epoll_event ev = {.events = EPOLLIN};
		struct peer *p;

		if (fd < 0)
			return;
		p = calloc(1, sizeof(*p));
		if (!p)
			bench_die("no memory");
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		p->fd = fd;
		ev.data.ptr = p;
		if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0)
			bench_die("epoll_ctl: %m");
	}
}

int
main(int argc, char **argv)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	struct epoll_event ev[EVENTS] = {{.events = EPOLLIN}};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

	if (argc != 2)
		bench_die("usage: bench_sse_floor PORT");
	bench_descriptors(19000);
	(void)signal(SIGPIPE, SIG_IGN);
	at.sin_port = htons((uint16_t)bench_number("PORT", argv[1], UINT16_MAX));
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	(void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (const struct sockaddr *)&at, sizeof(at)) < 0 ||
	    listen(listener, 4096) < 0)
		bench_die("cannot listen: %m");
	ep = epoll_create1(EPOLL_CLOEXEC);
	if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev[0]) < 0)
		bench_die("epoll: %m");
	for (;;) {
		int n = epoll_wait(ep, ev, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			if (ev[i].data.ptr)
				readable(ev[i].data.ptr);
			else
				accept_some(listener);
		}
	}
}
