/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_H2_STREAM_H
#define HTTP_H2_STREAM_H

/* One request of an HTTP/2 session and its answer. Between h2.c and h2_stream.c only. */

#include <stdbool.h>
#include <stdint.h>

#include <nghttp2/nghttp2.h>

#include "http/conn.h"
#include "util/list.h"
#include "util/sv.h"

struct http_h2_stream;

struct http_h2 {
	struct http_conn *conn;
	nghttp2_session *session;
	struct list streams; /* of struct http_h2_stream */
	unsigned nstreams;   /* in the list */
	size_t body_bytes;   /* of all requests in the list */
	size_t answer_bytes; /* of all answers in the list */
	struct loop_timer soon;
	bool leaving; /* a GOAWAY is on its way */
	bool broken;  /* to be closed */
	bool dead;    /* the socket is closed */
};

/*
 * Frames out before this turn of the loop ends: not at once, because nghttp2 may be on the stack,
 * because the application expects no callback from inside its calls, and because the frames of
 * several streams make one record.
 */
void http_h2_flush_soon(struct http_h2 *h);
/* Close the connection likewise. */
void http_h2_break(struct http_h2 *h);
/* A stream has left the list. */
void http_h2_stream_left(struct http_h2 *h);

/* In the list of its session. NULL without memory. */
struct http_h2_stream *http_h2_stream_new(struct http_h2 *h, int32_t id);
/* A field of the head. */
void http_h2_stream_field(struct http_h2_stream *s, nghttp2_rcbuf *name, nghttp2_rcbuf *value);
/* The head is complete; `last`: there is no body. */
void http_h2_stream_head(struct http_h2_stream *s, bool last);
void http_h2_stream_body(struct http_h2_stream *s, struct sv bytes);
void http_h2_stream_body_end(struct http_h2_stream *s);
/* The last byte of the answer has been sent. */
void http_h2_stream_sent(struct http_h2_stream *s);
/* nghttp2 has forgotten it. */
void http_h2_stream_closed(struct http_h2_stream *s);
/* Its connection is gone. Leaves the list. */
void http_h2_stream_orphan(struct list *link);
/* If it waits for room and has some: remember that, and then tell once. Returns whether it told. */
void http_h2_stream_mark(struct list *link);
bool http_h2_stream_tell(struct list *link);

#endif
