/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_H2_H
#define HTTP_H2_H

/* HTTP/2 on one connection: nghttp2 does the frames, this does requests, answers and streams. */

#include <stdbool.h>
#include <stdint.h>

struct http_conn;

/* Wait for the first request. Closes the connection without memory. */
void http_h2_begin(struct http_conn *c);
void http_h2_on_io(struct http_conn *c, uint32_t events);
void http_h2_on_timer(struct http_conn *c);
/* Take no more requests; close after the last answer. */
void http_h2_drain(struct http_conn *c);
/* The socket has closed. Returns whether the object may go, or a request still needs it. */
bool http_h2_closed(struct http_conn *c);
void http_h2_fini(struct http_conn *c);

#endif
