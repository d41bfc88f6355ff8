/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP/2 session: frames in and out of nghttp2, and the connection's deadlines. What a stream
 * of it says is h2_stream.c's. */
#include "http/h2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "http/conn.h"
#include "http/h2_stream.h"
#include "util/attr.h"
#include "util/limits.h"

#define READS_PER_TURN	 4
/* How much of a header list a peer may send; the ceilings themselves are told as 431 and 414. */
#define HEADER_LIST_HINT (LIMIT_HEADER_BYTES + LIMIT_REQUEST_LINE_BYTES)
#define BATCH_BYTES	 16384
#define RESETS_PER_S	 20

static void
session_free(void *obj)
{
	struct http_h2 *h = obj;

	nghttp2_session_del(h->session);
	free(h);
}

void
http_h2_fini(struct http_conn *c)
{
	if (!c->h2)
		return;
	session_free(TAKE(c->h2));
}

static int
on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct http_h2 *h = user;
	struct http_h2_stream *s;
	int32_t id = frame->hd.stream_id;

	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	if (h->dead)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (h->nstreams >= LIMIT_H2_HELD || !(s = http_h2_stream_new(h, id))) {
		/* The peer may safely ask again. */
		return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id,
						 NGHTTP2_REFUSED_STREAM) == 0
			       ? 0
			       : NGHTTP2_ERR_CALLBACK_FAILURE;
	}
	loop_timer_clear(&h->conn->timer);
	return nghttp2_session_set_stream_user_data(session, id, s);
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
	  nghttp2_rcbuf *value, uint8_t flags, void *user)
{
	struct http_h2 *h = user;
	struct http_h2_stream *s =
		nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	(void)flags;
	/* Trailers are read past and forgotten. */
	if (s && !h->dead && frame->hd.type == NGHTTP2_HEADERS &&
	    frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		http_h2_stream_field(s, name, value);
	return 0;
}

static int
on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct http_h2 *h = user;
	struct http_h2_stream *s =
		nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	bool last = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

	if (!s || h->dead)
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		http_h2_stream_head(s, last);
	else if (last && (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA))
		http_h2_stream_body_end(s);
	return 0;
}

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n,
	void *user)
{
	struct http_h2 *h = user;
	struct http_h2_stream *s = nghttp2_session_get_stream_user_data(session, id);

	(void)flags;
	if (s && !h->dead)
		http_h2_stream_body(s, (struct sv){(const char *)bytes, n});
	return 0;
}

static int
on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct http_h2 *h = user;
	struct http_counters *n = &h->conn->server->counters;
	struct http_h2_stream *s;

	/* What is refused here or in the library is seen here. */
	if (frame->hd.type == NGHTTP2_RST_STREAM &&
	    (frame->rst_stream.error_code == NGHTTP2_REFUSED_STREAM ||
	     frame->rst_stream.error_code == NGHTTP2_ENHANCE_YOUR_CALM))
		n->h2_refused++;
	if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR)
		n->h2_ended++;
	if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM) ||
	    (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS))
		return 0;
	s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	if (s)
		http_h2_stream_sent(s);
	return 0;
}

static int
on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
	struct http_h2_stream *s = nghttp2_session_get_stream_user_data(session, id);

	(void)code;
	(void)user;
	if (s)
		http_h2_stream_closed(s);
	return 0;
}

static nghttp2_session *
session_new(struct http_h2 *h)
{
	nghttp2_session_callbacks *calls = NULL;
	nghttp2_option *option = NULL;
	nghttp2_session *session = NULL;

	if (nghttp2_session_callbacks_new(&calls) == 0 && nghttp2_option_new(&option) == 0) {
		nghttp2_session_callbacks_set_on_begin_headers_callback(calls, on_begin_headers);
		nghttp2_session_callbacks_set_on_header_callback2(calls, on_header);
		nghttp2_session_callbacks_set_on_frame_recv_callback(calls, on_frame);
		nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, on_data);
		nghttp2_session_callbacks_set_on_frame_send_callback(calls, on_sent);
		nghttp2_session_callbacks_set_on_stream_close_callback(calls, on_stream_close);
		nghttp2_option_set_no_closed_streams(option, 1);
		/* Beyond it the session ends with GOAWAY: who resets what it has just asked for
		 * makes us work for nothing. */
		nghttp2_option_set_stream_reset_rate_limit(option, LIMIT_H2_RESETS, RESETS_PER_S);
		if (nghttp2_session_server_new2(&session, calls, h, option) != 0)
			session = NULL;
	}
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(calls);
	return session;
}

static void flush(struct http_h2 *h);

void
http_h2_begin(struct http_conn *c)
{
	static const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, LIMIT_H2_STREAMS},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADER_LIST_HINT},
	};
	struct http_h2 *h = calloc(1, sizeof(*h));

	if (h) {
		h->conn = c;
		list_init(&h->streams);
		h->session = session_new(h);
	}
	if (!h || !h->session ||
	    nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) !=
		    0) {
		if (h)
			session_free(h);
		http_conn_close(c);
		return;
	}
	c->h2 = h;
	http_conn_watch(c, EPOLLIN);
	http_conn_arm(c, HTTP_HEAD_MS);
	flush(h);
}

/* Frames out while the socket takes them: many to a record. Returns 0 or -EPIPE. */
static int
send_frames(struct http_h2 *h)
{
	struct http_sock *sock = &h->conn->sock;
	char batch[BATCH_BYTES] A_SCRATCH;
	size_t have = 0;
	const uint8_t *p;
	ssize_t n = 0;
	int r = 0;

	while (r == 0 && !http_sock_waiting(sock) &&
	       (n = nghttp2_session_mem_send(h->session, &p)) > 0) {
		struct sv part = {(const char *)p, (size_t)n};

		if (part.n > sizeof(batch) - have) {
			r = http_sock_put(sock, (struct sv){batch, have});
			have = 0;
		}
		if (r == 0 && part.n > sizeof(batch)) {
			r = http_sock_put(sock, part);
		} else if (r == 0) {
			memcpy(batch + have, part.p, part.n);
			have += part.n;
		}
	}
	if (r == 0)
		r = http_sock_put(sock, (struct sv){batch, have});
	return r < 0 || n < 0 ? -1 : 0;
}

/* The connection goes when the session is over, or when it is to take no more and has none. */
static bool
is_over(const struct http_h2 *h)
{
	if (http_sock_waiting(&h->conn->sock) || nghttp2_session_want_write(h->session))
		return false;
	return !nghttp2_session_want_read(h->session) ||
	       (h->conn->server->draining && h->nstreams == 0);
}

/* The application may end, abort or begin streams from inside its callback, so each look begins
 * anew. */
static void
tell_writable(struct http_h2 *h)
{
	LIST_FOR (at, &h->streams)
		http_h2_stream_mark(at);
	for (bool again = true; again && !h->dead;) {
		again = false;
		LIST_FOR (at, &h->streams) {
			again = http_h2_stream_tell(at);
			if (again)
				break;
		}
	}
}

static void
flush(struct http_h2 *h)
{
	struct http_conn *c = h->conn;

	if (c->state != CONN_H2)
		return;
	loop_timer_clear(&h->soon);
	if (h->broken || send_frames(h) < 0) {
		http_conn_close(c);
		return;
	}
	if (is_over(h)) {
		http_conn_linger(c);
		return;
	}
	http_conn_watch(c, EPOLLIN);
	if (!h->dead)
		tell_writable(h);
}

static void
on_soon(struct loop_timer *t)
{
	flush(t->user);
}

void
http_h2_flush_soon(struct http_h2 *h)
{
	if (!h->soon.loop && !h->dead &&
	    loop_timer_set(h->conn->server->loop, &h->soon, 0, on_soon, h) < 0)
		h->broken = true;
}

void
http_h2_break(struct http_h2 *h)
{
	h->broken = true;
	http_h2_flush_soon(h);
}

/* 0, -1: the connection is to be closed. */
static int
take_frames(struct http_h2 *h)
{
	uint8_t bytes[HTTP_SOCK_READ_BYTES] A_SCRATCH;

	for (int i = 0; i < READS_PER_TURN; i++) {
		ssize_t n = http_sock_recv(&h->conn->sock, bytes, sizeof(bytes));

		if (n == -EAGAIN)
			return 0;
		if (n <= 0)
			return -1;
		n = nghttp2_session_mem_recv(h->session, bytes, (size_t)n);
		if (n < 0)
			h->conn->server->counters.h2_ended++;
		if (n < 0 || h->dead)
			return -1;
	}
	return 0;
}

void
http_h2_on_io(struct http_conn *c, uint32_t events)
{
	struct http_h2 *h = c->h2;

	if (events & EPOLLIN && take_frames(h) < 0) {
		/* What the session still has to say about it may pass. */
		if (!h->dead)
			(void)send_frames(h);
		http_conn_close(c);
		return;
	}
	if (events & (EPOLLERR | EPOLLHUP)) {
		http_conn_close(c);
		return;
	}
	flush(h);
}

void
http_h2_stream_left(struct http_h2 *h)
{
	if (--h->nstreams == 0 && !h->dead && h->conn->state == CONN_H2)
		http_conn_arm(h->conn, HTTP_IDLE_MS);
	http_h2_flush_soon(h);
}

void
http_h2_on_timer(struct http_conn *c)
{
	struct http_h2 *h = c->h2;

	/* The second time it has not even taken the good-bye. */
	if (h->leaving || nghttp2_session_terminate_session(h->session, NGHTTP2_NO_ERROR) != 0) {
		http_conn_close(c);
		return;
	}
	h->leaving = true;
	http_conn_arm(c, HTTP_HEAD_MS);
	flush(h);
}

void
http_h2_drain(struct http_conn *c)
{
	struct http_h2 *h = c->h2;

	if (nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
				  nghttp2_session_get_last_proc_stream_id(h->session),
				  NGHTTP2_NO_ERROR, NULL, 0) != 0)
		h->broken = true;
	http_h2_flush_soon(h);
}

bool
http_h2_closed(struct http_conn *c)
{
	struct http_h2 *h = c->h2;

	h->dead = true;
	loop_timer_clear(&h->soon);
	while (!list_empty(&h->streams))
		http_h2_stream_orphan(h->streams.next);
	/* The session may be on the stack. Requests that are still held need neither. */
	c->h2 = NULL;
	loop_free_later(c->server->loop, h, session_free);
	return true;
}
