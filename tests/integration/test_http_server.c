/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server over real loopback sockets, in one thread: the peer is a blocking socket that is
 * served by turning the loop. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/server.h"
#include "util/buf.h"

struct world {
	struct loop *loop;
	struct http_server *server;
	struct http_req *held; /* not answered yet */
	bool hold, stream;
	struct http_stream *s;
	unsigned requests, closes, writables;
	int last_body_error;
	char last_body[64];
};

static uint64_t now;

static uint64_t
fake_clock(void *user)
{
	(void)user;
	return now;
}

static void
on_writable(void *user, struct http_stream *s)
{
	struct world *w = user;

	(void)s;
	w->writables++;
}

static void
on_close(void *user, struct http_stream *s)
{
	struct world *w = user;

	(void)s;
	w->closes++;
	w->s = NULL;
}

static const struct http_stream_ops stream_ops = {on_writable, on_close};

static void
on_request(void *user, struct http_req *req)
{
	static const struct http_header type = {"Content-Type", "text/plain"};
	struct world *w = user;
	char text[128];
	int n;

	w->requests++;
	w->last_body_error = req->body_error;
	(void)snprintf(w->last_body, sizeof(w->last_body), "%.*s",
		       (int)(req->body.n < 60 ? req->body.n : 60), req->body.n ? req->body.p : "");
	if (w->hold) {
		w->held = req;
		return;
	}
	if (w->stream) {
		w->s = http_stream_begin(req, 200, &type, 1, &stream_ops, w);
		return;
	}
	n = snprintf(text, sizeof(text), "%.*s %.*s", (int)req->method.n, req->method.p,
		     (int)req->path.n, req->path.p);
	http_respond(req, req->body_error ? 413 : 200, &type, 1, (struct sv){text, (size_t)n});
}

static int
setup(void **state)
{
	static const struct http_ops ops = {.on_request = on_request};
	const struct http_options options = {
		.host = "127.0.0.1", .max_connections = 8, .body_max = 1000};
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	now = 1000000;
	assert_int_equal(loop_new(&w->loop, NULL), 0);
	loop_set_clock(w->loop, fake_clock, NULL);
	assert_int_equal(http_server_new(w->loop, &options, &ops, w, &w->server, NULL), 0);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	http_server_free(w->server);
	loop_free(w->loop);
	free(w);
	return 0;
}

static int
dial(struct world *w)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(http_server_port(w->server)),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static void
turn(struct world *w, int times)
{
	for (int i = 0; i < times; i++)
		assert_int_equal(loop_turn(w->loop, 0), 0);
}

static void
say(int fd, struct sv text)
{
	assert_int_equal(send(fd, text.p, text.n, MSG_NOSIGNAL), (ssize_t)text.n);
}

/* Everything that comes while the loop is turned; *ret_eof tells whether the server has closed. */
static void
hear(struct world *w, int fd, char *dst, size_t size, bool *ret_eof)
{
	size_t n = 0;

	*ret_eof = false;
	for (int i = 0; i < 20 && !*ret_eof; i++) {
		ssize_t got;

		turn(w, 2);
		got = recv(fd, dst + n, size - 1 - n, 0);
		if (got > 0)
			n += (size_t)got;
		else if (got == 0 || errno != EAGAIN)
			*ret_eof = true;
	}
	dst[n] = 0;
}

static void
keep_alive_and_pipelining_in_order(void **state)
{
	struct world *w = *state;
	char text[4096], *a, *b, *c;
	bool eof;
	int fd = dial(w);

	say(fd, SV("GET /a HTTP/1.1\r\nHost: x\r\n\r\nPOST /b HTTP/1.1\r\nHost: "
		   "x\r\nContent-Length: 5\r\n\r\nhelloHEAD /c "
		   "HTTP/1.1\r\nHost: x\r\n\r\n"));
	hear(w, fd, text, sizeof(text), &eof);
	assert_int_equal(w->requests, 3);
	a = strstr(text, "GET /a");
	b = strstr(text, "POST /b");
	assert_true(a && b && a < b);
	c = strstr(b, "HTTP/1.1 200 OK");
	assert_true(c && !strstr(c, "HEAD /c") && strstr(c, "Content-Length: 7"));
	assert_false(eof);
	say(fd, SV("GET /d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
	hear(w, fd, text, sizeof(text), &eof);
	assert_non_null(strstr(text, "Connection: close"));
	assert_true(eof);
	(void)close(fd);
}

static void
bodies(void **state)
{
	struct world *w = *state;
	char text[4096];
	bool eof;
	int fd = dial(w);

	say(fd,
	    SV("POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"));
	turn(w, 4);
	assert_int_equal(w->requests, 0);
	say(fd, SV("2\r\nde\r\n0\r\n\r\n"));
	hear(w, fd, text, sizeof(text), &eof);
	assert_string_equal(w->last_body, "abcde");
	say(fd,
	    SV("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"));
	hear(w, fd, text, sizeof(text), &eof);
	assert_string_equal(text, "HTTP/1.1 100 Continue\r\n\r\n");
	say(fd, SV("xyz"));
	hear(w, fd, text, sizeof(text), &eof);
	assert_string_equal(w->last_body, "xyz");
	assert_false(eof);
	/* Over the ceiling: the application answers, then the connection ends, though the body
	 * never came. */
	say(fd, SV("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n"));
	hear(w, fd, text, sizeof(text), &eof);
	assert_int_equal(w->last_body_error, 413);
	assert_non_null(strstr(text, "HTTP/1.1 413 "));
	assert_true(eof);
	(void)close(fd);
	fd = dial(w);
	say(fd, SV("POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n"));
	hear(w, fd, text, sizeof(text), &eof);
	assert_int_equal(w->last_body_error, 413);
	assert_true(eof);
	(void)close(fd);
}

static void
refusals(void **state)
{
	static const struct {
		struct sv in;
		const char *status;
	} rows[] = {
		{SV("\x16\x03\x01"), "HTTP/1.1 400 "},
		{SV("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: "
		    "chunked\r\n\r\n"),
		 "HTTP/1.1 400 "},
		{SV("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
		 "HTTP/1.1 400 "},
	};
	struct world *w = *state;
	char text[4096];
	bool eof;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int fd = dial(w);

		say(fd, rows[i].in);
		hear(w, fd, text, sizeof(text), &eof);
		assert_non_null(strstr(text, rows[i].status));
		assert_non_null(strstr(text, "{\"detail\":\"Malformed HTTP request\"}"));
		assert_true(eof);
		(void)close(fd);
	}
	assert_int_equal(w->requests, 0);
}

static void
a_trickle_does_not_renew_the_deadline(void **state)
{
	struct world *w = *state;
	char text[4096];
	bool eof;
	int head = dial(w), body = dial(w), idle = dial(w);

	say(body, SV("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n"));
	for (int second = 0; second < 9; second++) {
		say(head, SV("X"));
		say(body, SV("Y"));
		turn(w, 4);
		now += 1000;
	}
	hear(w, head, text, sizeof(text), &eof);
	assert_string_equal(text, "");
	now += 2000;
	hear(w, head, text, sizeof(text), &eof);
	assert_non_null(strstr(text, "HTTP/1.1 408 Request Timeout"));
	assert_non_null(strstr(text, "{\"detail\":\"Request timeout\"}"));
	assert_true(eof);
	/* One that never said anything is just closed. */
	hear(w, idle, text, sizeof(text), &eof);
	assert_string_equal(text, "");
	assert_true(eof);
	now += 30000;
	hear(w, body, text, sizeof(text), &eof);
	assert_non_null(strstr(text, "HTTP/1.1 408 "));
	(void)close(head);
	(void)close(body);
	(void)close(idle);
}

static void
an_answer_to_a_peer_that_left_goes_nowhere(void **state)
{
	struct world *w = *state;
	struct linger hard = {1, 0};
	int fd = dial(w);

	w->hold = true;
	say(fd, SV("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
	turn(w, 4);
	assert_non_null(w->held);
	assert_false(http_req_gone(w->held));
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
	(void)close(fd);
	turn(w, 4);
	assert_true(http_req_gone(w->held));
	http_respond(w->held, 200, NULL, 0, SV("late"));
	turn(w, 2);
}

static void
one_connection_too_many_is_told(void **state)
{
	struct world *w = *state;
	char text[1024];
	bool eof;
	int fds[9];

	for (int i = 0; i < 9; i++) {
		fds[i] = dial(w);
		turn(w, 2);
	}
	hear(w, fds[8], text, sizeof(text), &eof);
	assert_non_null(strstr(text, "HTTP/1.1 503 "));
	assert_non_null(strstr(text, "Server busy"));
	for (int i = 0; i < 9; i++)
		(void)close(fds[i]);
}

static void
streams(void **state)
{
	struct world *w = *state;
	static char block[65536];
	struct iovec iov = {block, sizeof(block)};
	char text[4096];
	ssize_t r = 0;
	bool eof;
	int fd = dial(w);

	w->stream = true;
	say(fd, SV("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
	hear(w, fd, text, sizeof(text), &eof);
	assert_non_null(w->s);
	assert_non_null(strstr(text, "Transfer-Encoding: chunked"));
	assert_true(http_stream_chunked(w->s));
	iov = (struct iovec){block, 8};
	memcpy(block, "3\r\nabc\r\n", 8);
	assert_int_equal(http_stream_writev(w->s, &iov, 1), 8);
	/* A reader that stops: the socket's buffer is small, then nothing is taken. */
	iov = (struct iovec){block, sizeof(block)};
	for (int i = 0; i < 10000 && r >= 0; i++)
		r = http_stream_writev(w->s, &iov, 1);
	assert_int_equal(r, -EAGAIN);
	assert_int_equal(http_stream_want_write(w->s), 0);
	turn(w, 3);
	assert_int_equal(w->writables, 0);
	/* It reads again. */
	for (int i = 0; i < 2000 && w->writables == 0; i++) {
		(void)!recv(fd, block, sizeof(block), 0);
		turn(w, 1);
	}
	assert_int_equal(w->writables, 1);
	http_stream_abort(w->s);
	assert_int_equal(w->closes, 1);
	(void)close(fd);
	/* An orderly end. */
	fd = dial(w);
	say(fd, SV("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
	turn(w, 4);
	http_stream_end(w->s);
	hear(w, fd, text, sizeof(text), &eof);
	assert_non_null(strstr(text, "\r\n\r\n0\r\n\r\n"));
	assert_true(eof);
	assert_int_equal(w->closes, 2);
	(void)close(fd);
	/* A peer that leaves. */
	fd = dial(w);
	say(fd, SV("GET / HTTP/1.0\r\n\r\n"));
	turn(w, 4);
	assert_false(http_stream_chunked(w->s));
	(void)close(fd);
	turn(w, 4);
	assert_int_equal(w->closes, 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(keep_alive_and_pipelining_in_order, setup,
						teardown),
		cmocka_unit_test_setup_teardown(bodies, setup, teardown),
		cmocka_unit_test_setup_teardown(refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(a_trickle_does_not_renew_the_deadline, setup,
						teardown),
		cmocka_unit_test_setup_teardown(an_answer_to_a_peer_that_left_goes_nowhere, setup,
						teardown),
		cmocka_unit_test_setup_teardown(one_connection_too_many_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(streams, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
