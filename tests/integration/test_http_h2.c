/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 on the server's side over a socket pair, with a stepped clock: deadlines, ceilings,
 * streams and the ends of all of them. The peer is nghttp2's client. */
#include <errno.h>
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

#include "http/conn.h"
#include "http/h2.h"
#include "http/h2_stream.h"
#include "util/limits.h"

#define STREAMS 256

struct seen {
	int status;
	uint32_t reset; /* code */
	size_t bytes;
	bool ended, was_reset;
};

struct world {
	struct loop *loop;
	struct http_server *server;
	int fd; /* the peer's end; -1: closed */
	nghttp2_session *peer;
	bool eof;	/* the server has closed */
	int64_t goaway; /* its code, or -1 */
	struct seen seen[STREAMS];
	size_t body_left; /* that the peer still has to send; SIZE_MAX: never ends */
	/* What the application does. */
	bool hold, stream;
	size_t answer;
	struct http_req *held[STREAMS];
	size_t nheld;
	struct http_stream *s;
	unsigned closes, writables;
};

static uint64_t now;
static char large[LIMIT_BODY_BYTES];

static uint64_t
fake_clock(void *user)
{
	(void)user;
	return now;
}

/* ---- the application ---- */

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
static const struct http_header type = {"Content-Type", "text/plain"};

static void
on_request(void *user, struct http_req *req)
{
	struct world *w = user;

	assert_int_equal(req->major, 2);
	if (w->hold)
		w->held[w->nheld++] = req;
	else if (w->stream)
		w->s = http_stream_begin(req, 200, &type, 1, &stream_ops, w);
	else
		http_respond(req, req->body_error ? 413 : 200, &type, 1,
			     (struct sv){large, w->answer});
}

/* ---- the peer ---- */

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t n,
	  const uint8_t *value, size_t m, uint8_t flags, void *user)
{
	struct world *w = user;
	uint64_t status = 0;

	(void)session;
	(void)flags;
	if (n == 7 && memcmp(name, ":status", 7) == 0 &&
	    sv_u64((struct sv){(const char *)value, m}, 999, &status) == 0)
		w->seen[frame->hd.stream_id % STREAMS].status = (int)status;
	return 0;
}

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n,
	void *user)
{
	struct world *w = user;

	(void)session;
	(void)flags;
	(void)bytes;
	w->seen[id % STREAMS].bytes += n;
	return 0;
}

static int
on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct world *w = user;
	struct seen *seen = &w->seen[frame->hd.stream_id % STREAMS];

	(void)session;
	if (frame->hd.type == NGHTTP2_RST_STREAM) {
		seen->was_reset = true;
		seen->reset = frame->rst_stream.error_code;
	} else if (frame->hd.type == NGHTTP2_GOAWAY) {
		w->goaway = frame->goaway.error_code;
	} else if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
		seen->ended = true;
	}
	return 0;
}

static ssize_t
body(nghttp2_session *session, int32_t id, uint8_t *dst, size_t room, uint32_t *flags,
     nghttp2_data_source *source, void *user)
{
	struct world *w = user;
	size_t n = room < w->body_left ? room : w->body_left;

	(void)session;
	(void)id;
	(void)source;
	if (w->body_left == 0)
		return NGHTTP2_ERR_DEFERRED;
	memset(dst, 'b', n);
	if (w->body_left != SIZE_MAX)
		w->body_left -= n;
	*flags = 0;
	return (ssize_t)n;
}

static void
peer_read(struct world *w)
{
	uint8_t bytes[16384];
	ssize_t n;

	while ((n = recv(w->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		assert_int_equal(nghttp2_session_mem_recv(w->peer, bytes, (size_t)n), n);
	if (n == 0)
		w->eof = true;
}

static void
peer_write(struct world *w)
{
	const uint8_t *p;
	ssize_t n;

	for (int i = 0; i < 8 && (n = nghttp2_session_mem_send(w->peer, &p)) > 0; i++)
		(void)send(w->fd, p, (size_t)n, MSG_NOSIGNAL);
}

static void
turn(struct world *w, int times)
{
	for (int i = 0; i < times; i++) {
		if (w->fd >= 0)
			peer_write(w);
		assert_int_equal(loop_turn(w->loop, 0), 0);
		if (w->fd >= 0)
			peer_read(w);
	}
}

static void
later(struct world *w, uint64_t ms)
{
	now += ms;
	turn(w, 4);
}

static nghttp2_nv
pair(char *name, char *value)
{
	return (nghttp2_nv){.name = (uint8_t *)name,
			    .value = (uint8_t *)value,
			    .namelen = strlen(name),
			    .valuelen = strlen(value)};
}

static int32_t
ask(struct world *w, char *method, bool with_body)
{
	const nghttp2_data_provider provider = {.read_callback = body};
	const nghttp2_nv head[] = {pair((char[]){":method"}, method),
				   pair((char[]){":scheme"}, (char[]){"https"}),
				   pair((char[]){":path"}, (char[]){"/x"}),
				   pair((char[]){":authority"}, (char[]){"localhost"})};
	int32_t id = nghttp2_submit_request(w->peer, NULL, head, ARRAY_LEN(head),
					    with_body ? &provider : NULL, NULL);

	assert_true(id > 0 && id < STREAMS);
	turn(w, 3);
	return id;
}

static int32_t
get(struct world *w)
{
	return ask(w, (char[]){"GET"}, false);
}

static void
connect_peer(struct world *w, uint32_t window)
{
	const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window}};
	nghttp2_session_callbacks *calls = NULL;
	nghttp2_option *option = NULL;
	struct http_conn *c;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	http_conn_open(w->server, fds[0], "192.0.2.1");
	c = CONTAINER_OF(w->server->conns.prev, struct http_conn, link);
	c->state = CONN_H2;
	http_h2_begin(c);
	w->fd = fds[1];
	assert_int_equal(nghttp2_session_callbacks_new(&calls), 0);
	nghttp2_session_callbacks_set_on_header_callback(calls, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(calls, on_frame);
	/* It opens windows only where a test says so. */
	assert_int_equal(nghttp2_option_new(&option), 0);
	nghttp2_option_set_no_auto_window_update(option, 1);
	assert_int_equal(nghttp2_session_client_new2(&w->peer, calls, w, option), 0);
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(calls);
	assert_int_equal(nghttp2_submit_settings(w->peer, 0, settings, 1), 0);
	w->goaway = -1;
	turn(w, 2);
}

static int
setup(void **state)
{
	static const struct http_ops ops = {.on_request = on_request};
	const struct http_options options = {
		.host = "127.0.0.1", .max_connections = 8, .body_max = LIMIT_BODY_BYTES};
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	now = 1000000;
	w->answer = 5;
	assert_int_equal(loop_new(&w->loop, NULL), 0);
	loop_set_clock(w->loop, fake_clock, NULL);
	assert_int_equal(http_server_new(w->loop, &options, &ops, w, &w->server, NULL), 0);
	*state = w;
	return 0;
}

static struct http_counters
counters(const struct world *w)
{
	struct http_counters n;

	http_server_counters(w->server, &n);
	return n;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	if (w->fd >= 0)
		(void)close(w->fd);
	w->fd = -1;
	turn(w, 3);
	assert_int_equal(counters(w).open, 0);
	nghttp2_session_del(w->peer);
	http_server_free(w->server);
	loop_free(w->loop);
	free(w);
	return 0;
}

/* ---- tests ---- */

static void
test_answer_and_idle(void **state)
{
	struct world *w = *state;
	int32_t id;

	connect_peer(w, 65535);
	id = get(w);
	assert_int_equal(w->seen[id].status, 200);
	assert_int_equal(w->seen[id].bytes, 5);
	id = ask(w, (char[]){"HEAD"}, false);
	assert_true(w->seen[id].ended);
	assert_int_equal(w->seen[id].bytes, 0);
	later(w, HTTP_IDLE_MS - 1);
	assert_int_equal(w->goaway, -1);
	later(w, 1);
	assert_int_equal(w->goaway, NGHTTP2_NO_ERROR);
	assert_true(w->eof);
}

static void
test_nothing_said(void **state)
{
	struct world *w = *state;

	connect_peer(w, 65535);
	later(w, HTTP_HEAD_MS);
	assert_true(w->eof);
}

static void
test_body_that_stalls(void **state)
{
	struct world *w = *state;
	int32_t id;

	connect_peer(w, 65535);
	w->body_left = 10;
	id = ask(w, (char[]){"POST"}, true);
	later(w, HTTP_BODY_MS - 1);
	assert_int_equal(w->seen[id].status, 0);
	later(w, 1);
	assert_int_equal(w->seen[id].status, 408);
	/* The rest of the body is not waited for, either. */
	later(w, 2000);
	assert_true(w->seen[id].was_reset);
	assert_int_equal(counters(w).timed_out, 1);
	/* The connection goes on. */
	assert_int_equal(w->seen[get(w)].status, 200);
	assert_int_equal(w->goaway, -1);
}

static void
test_body_too_large(void **state)
{
	struct world *w = *state;
	int32_t id;

	connect_peer(w, 65535);
	w->body_left = SIZE_MAX;
	id = ask(w, (char[]){"POST"}, true);
	turn(w, 40);
	assert_int_equal(w->seen[id].status, 413);
	assert_int_equal(counters(w).body_too_large, 1);
}

static void
test_answers_not_taken(void **state)
{
	struct world *w = *state;
	unsigned calm = 0;

	connect_peer(w, 0);
	w->answer = sizeof(large);
	for (int i = 0; i < 12; i++) {
		int32_t id = get(w);

		calm += w->seen[id].was_reset && w->seen[id].reset == NGHTTP2_ENHANCE_YOUR_CALM;
	}
	/* Eight are one mebibyte each; the one that passes the ceiling is let through. */
	assert_int_equal(calm, 12 - LIMIT_H2_ANSWER_BYTES / (int)sizeof(large) - 1);
	assert_int_equal(counters(w).h2_refused, calm);
	later(w, HTTP_BODY_MS);
	for (int id = 1; id < 24; id += 2)
		assert_true(w->seen[id].was_reset);
	assert_false(w->eof);
}

static void
test_gone_while_held(void **state)
{
	struct world *w = *state;
	int32_t first, second;

	connect_peer(w, 65535);
	w->hold = true;
	first = get(w);
	second = get(w);
	assert_int_equal(w->nheld, 2);
	assert_int_equal(nghttp2_submit_rst_stream(w->peer, 0, first, NGHTTP2_CANCEL), 0);
	turn(w, 2);
	assert_true(http_req_gone(w->held[0]));
	assert_false(http_req_gone(w->held[1]));
	http_respond(w->held[0], 200, NULL, 0, SV("nobody"));
	turn(w, 2);
	assert_int_equal(w->seen[first].status, 0);
	(void)close(w->fd);
	w->fd = -1;
	turn(w, 2);
	assert_true(http_req_gone(w->held[1]));
	assert_null(http_stream_begin(w->held[1], 200, NULL, 0, &stream_ops, w));
	turn(w, 1);
	assert_int_equal(w->seen[second].status, 0);
	assert_int_equal(w->closes, 0);
}

static void
test_held_and_reset(void **state)
{
	struct world *w = *state;

	connect_peer(w, 65535);
	w->hold = true;
	/* A peer that resets what it asked for still pays for what is being worked on. */
	for (int i = 0; i < 127; i++) {
		int32_t id = get(w);

		assert_int_equal(nghttp2_submit_rst_stream(w->peer, 0, id, NGHTTP2_CANCEL), 0);
		turn(w, 1);
	}
	assert_int_equal(w->nheld, 127);
	assert_int_equal(counters(w).h2_refused, 0);
	while (w->nheld)
		http_respond(w->held[--w->nheld], 200, NULL, 0, SV(""));
	turn(w, 2);
}

static void
test_stream(void **state)
{
	struct world *w = *state;
	struct iovec iov = {large, 3000};
	int32_t id;

	connect_peer(w, 65535);
	w->stream = true;
	id = get(w);
	assert_int_equal(w->seen[id].status, 200);
	assert_non_null(w->s);
	assert_false(http_stream_chunked(w->s));
	assert_int_equal(http_stream_writev(w->s, &iov, 1), 3000);
	assert_int_equal(http_stream_want_write(w->s), 0);
	assert_int_equal(w->writables, 0);
	turn(w, 3);
	assert_int_equal(w->seen[id].bytes, 3000);
	assert_int_equal(w->writables, 1);
	/* Quiet for as long as it likes. */
	later(w, (uint64_t)10 * HTTP_IDLE_MS);
	assert_int_equal(w->closes, 0);
	assert_int_equal(http_stream_writev(w->s, &iov, 1), 3000);
	http_stream_end(w->s);
	assert_int_equal(w->closes, 1);
	turn(w, 3);
	assert_int_equal(w->seen[id].bytes, 6000);
	assert_true(w->seen[id].ended);
	assert_false(w->seen[id].was_reset);
}

static void
test_stream_without_window(void **state)
{
	struct world *w = *state;
	struct iovec iov = {large, 100000};
	int32_t id;

	connect_peer(w, 0);
	w->stream = true;
	id = get(w);
	assert_int_equal(http_stream_writev(w->s, &iov, 1), LIMIT_H2_STREAM_BYTES);
	assert_int_equal(http_stream_writev(w->s, &iov, 1), -EAGAIN);
	assert_int_equal(http_stream_want_write(w->s), 0);
	turn(w, 3);
	assert_int_equal(w->writables, 0);
	/* Some room is progress, but not enough to write again. */
	later(w, HTTP_BODY_MS - 1);
	assert_int_equal(nghttp2_submit_window_update(w->peer, 0, id, 1000), 0);
	turn(w, 3);
	assert_int_equal(w->seen[id].bytes, 1000);
	assert_int_equal(w->writables, 0);
	later(w, HTTP_BODY_MS - 1);
	assert_int_equal(w->closes, 0);
	later(w, 1);
	assert_int_equal(w->closes, 1);
	assert_true(w->seen[id].was_reset);
	assert_false(w->eof);
}

static void
test_stream_aborted(void **state)
{
	struct world *w = *state;
	int32_t id;

	connect_peer(w, 65535);
	w->stream = true;
	id = get(w);
	http_stream_abort(w->s);
	assert_int_equal(w->closes, 1);
	turn(w, 3);
	assert_int_equal(w->seen[id].reset, NGHTTP2_CANCEL);
	id = get(w);
	assert_int_equal(nghttp2_submit_rst_stream(w->peer, 0, id, NGHTTP2_CANCEL), 0);
	turn(w, 3);
	assert_int_equal(w->closes, 2);
	(void)get(w);
	(void)close(w->fd);
	w->fd = -1;
	turn(w, 3);
	assert_int_equal(w->closes, 3);
}

static void
test_drain(void **state)
{
	struct world *w = *state;
	int32_t id;

	connect_peer(w, 65535);
	w->hold = true;
	id = get(w);
	http_server_drain(w->server);
	turn(w, 3);
	assert_int_equal(w->goaway, NGHTTP2_NO_ERROR);
	assert_false(w->eof);
	http_respond(w->held[0], 200, NULL, 0, SV("last"));
	turn(w, 3);
	assert_int_equal(w->seen[id].bytes, 4);
	assert_true(w->eof);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answer_and_idle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_said, setup, teardown),
		cmocka_unit_test_setup_teardown(test_body_that_stalls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_body_too_large, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answers_not_taken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone_while_held, setup, teardown),
		cmocka_unit_test_setup_teardown(test_held_and_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stream_without_window, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stream_aborted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_drain, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
