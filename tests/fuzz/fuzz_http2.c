/* SPDX-License-Identifier: Apache-2.0 */
/* A peer's frames of HTTP/2 into a real session over a socket pair, with an application that
 * answers at once, late, at length, or with a stream. The first byte says how the bytes are cut.
 * Nothing may be left over when the peer has gone. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/conn.h"
#include "http/h2.h"

#define INPUT_MAX  8192
#define HELD_MAX   256
#define LARGE	   100000
#define TURNS_LAST 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct app {
	struct loop *loop;
	struct http_server *server;
	struct http_req *held[HELD_MAX];
	struct http_stream *streams[HELD_MAX];
	size_t nheld, nstreams;
};

static const struct http_header type = {"Content-Type", "text/plain"};
static char large[LARGE];
static uint64_t now = 1000000;

static uint64_t
fake_clock(void *user)
{
	(void)user;
	return now;
}

static void
on_writable(void *user, struct http_stream *s)
{
	struct iovec iov[2] = {{large, 10}, {large, 20000}};
	struct app *a = user;

	if (http_stream_chunked(s))
		abort();
	if (http_stream_writev(s, iov, 2) == -EAGAIN && http_stream_want_write(s) < 0)
		abort();
	if (a->nstreams > 4)
		http_stream_end(s);
}

static void
on_close(void *user, struct http_stream *s)
{
	struct app *a = user;

	for (size_t i = 0; i < a->nstreams; i++)
		if (a->streams[i] == s) {
			a->streams[i] = a->streams[--a->nstreams];
			return;
		}
	abort();
}

static void
open_stream(struct app *a, struct http_req *req)
{
	static const struct http_stream_ops ops = {on_writable, on_close};
	struct http_stream *s = http_stream_begin(req, 200, &type, 1, &ops, a);
	struct iovec iov = {large, 100};

	if (!s)
		return;
	a->streams[a->nstreams++] = s;
	if (http_stream_writev(s, &iov, 1) > 0 && http_stream_want_write(s) < 0)
		abort();
}

static void
on_request(void *user, struct http_req *req)
{
	struct app *a = user;
	char last = req->path.n ? req->path.p[req->path.n - 1] : 0;

	/* What the application may rely on. */
	if (req->major != 2 || req->path.n == 0 || req->path.p[0] != '/' || req->method.n == 0 ||
	    memchr(req->path.p, '?', req->path.n) || !http_req_header(req, "host").p)
		abort();
	for (size_t i = 0; i < req->nfields; i++)
		if (req->fields[i].name.n == 0 ||
		    (req->fields[i].value.n &&
		     memchr(req->fields[i].value.p, '\n', req->fields[i].value.n)))
			abort();
	if (last == 'h' && a->nheld < HELD_MAX)
		a->held[a->nheld++] = req;
	else if (last == 's' && a->nstreams < HELD_MAX)
		open_stream(a, req);
	else if (last == 'l')
		http_respond(req, 200, &type, 1, (struct sv){large, sizeof(large)});
	else
		http_respond(req, req->body_error ? 413 : 200, &type, 1, req->body);
}

static void
turn(struct app *a, int fd, int times)
{
	char junk[65536];

	for (int i = 0; i < times; i++) {
		if (loop_turn(a->loop, 0) < 0)
			abort();
		while (recv(fd, junk, sizeof(junk), MSG_DONTWAIT) > 0)
			;
	}
}

/* The application answers what it has; returns when nothing is held. */
static void
answer_all(struct app *a)
{
	while (a->nheld) {
		struct http_req *req = a->held[--a->nheld];

		http_respond(req, 404, &type, 1, http_req_gone(req) ? SV("gone") : SV("late"));
	}
}

static void
feed(struct app *a, int fd, struct sv in, size_t step)
{
	struct sv all = in;

	while (in.n) {
		size_t n = in.n < step ? in.n : step;

		if (send(fd, in.p, n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)n)
			return;
		in = sv_drop(in, n);
		turn(a, fd, 1);
		if (in.n < all.n / 2 && a->nheld > 2)
			answer_all(a);
	}
}

static struct app *
app_get(void)
{
	static const struct http_ops ops = {.on_request = on_request};
	static const struct http_options options = {
		.host = "127.0.0.1", .max_connections = 8, .body_max = 1000};
	static struct app app;

	if (app.loop)
		return &app;
	if (loop_new(&app.loop, NULL) < 0)
		abort();
	loop_set_clock(app.loop, fake_clock, NULL);
	if (http_server_new(app.loop, &options, &ops, &app, &app.server, NULL) < 0)
		abort();
	return &app;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	struct app *a = app_get();
	struct http_counters counters;
	struct http_conn *c;
	int fds[2];

	if (n < 1 || n > INPUT_MAX || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) < 0)
		return 0;
	http_conn_open(a->server, fds[0], "192.0.2.1");
	c = CONTAINER_OF(a->server->conns.prev, struct http_conn, link);
	c->state = CONN_H2;
	http_h2_begin(c);
	feed(a, fds[1], (struct sv){preface, sizeof(preface) - 1}, sizeof(preface));
	feed(a, fds[1], (struct sv){(const char *)data + 1, n - 1}, data[0] ? data[0] : n);
	turn(a, fds[1], 2);
	/* Deadlines, at some of them an answer, and the end. */
	now += data[0] % 2 ? 11000 : 100;
	turn(a, fds[1], 2);
	answer_all(a);
	turn(a, fds[1], 2);
	if (a->nstreams && data[0] % 3 == 0)
		http_stream_abort(a->streams[0]);
	(void)close(fds[1]);
	for (int i = 0; i < TURNS_LAST; i++)
		if (loop_turn(a->loop, 0) < 0)
			abort();
	now += 100000;
	for (int i = 0; i < TURNS_LAST; i++)
		if (loop_turn(a->loop, 0) < 0)
			abort();
	answer_all(a);
	if (loop_turn(a->loop, 0) < 0)
		abort();
	http_server_counters(a->server, &counters);
	if (counters.open != 0 || a->nstreams != 0 || a->nheld != 0)
		abort();
	return 0;
}
