/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_H1_H
#define HTTP_H1_H

/* HTTP/1.0 and 1.1 on one connection: one request at a time; the next is read after the answer. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/answer.h"
#include "http/parse.h"
#include "util/buf.h"

struct http_conn;
struct http_h1_request;

/* Part of the connection. */
struct http_h1 {
	enum { H1_HEAD, H1_BODY, H1_APP, H1_WRITE, H1_STREAM } state;
	bool keep_alive, http10, gone, busy, head_begun;
	uint32_t stream_input; /* bytes that a viewer has sent */
	struct http_head_parser parser;
	struct buf in, out;
	struct http_h1_request *request; /* from the end of a head to its answer */
	struct http_stream stream;
	struct http_log log;
};

void http_h1_init(struct http_conn *c);
/* Wait for the first request. */
void http_h1_begin(struct http_conn *c);
/* Say, without TLS, that the port speaks HTTPS only, and close. */
void http_h1_refuse_plain(struct http_conn *c);
/* Say 503 and close. */
void http_h1_refuse_busy(struct http_conn *c);
void http_h1_on_io(struct http_conn *c, uint32_t events);
void http_h1_on_timer(struct http_conn *c);
/* Whether no request is under way. */
bool http_h1_idle(const struct http_conn *c);
/* The socket has closed. Returns whether the object may go, or a request still needs it. */
bool http_h1_closed(struct http_conn *c);
void http_h1_fini(struct http_conn *c);

#endif
