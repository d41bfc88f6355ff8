/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_ANSWER_H
#define HTTP_ANSWER_H

/* What the two protocols have in common when they answer. Between the files of this folder only. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/server.h"

/* How a request of some protocol is answered. */
struct http_via {
	void (*respond)(struct http_req *req, int status, const struct http_header *headers,
			size_t nheaders, struct sv body);
	struct http_stream *(*begin)(struct http_req *req, int status,
				     const struct http_header *headers, size_t nheaders,
				     const struct http_stream_ops *ops, void *user);
	bool (*gone)(const struct http_req *req);
};

/* A stream, as a member of what its protocol keeps of it. */
struct http_stream {
	const struct http_stream_via *via;
	const struct http_stream_ops *ops;
	void *user;
};

struct http_stream_via {
	bool (*chunked)(const struct http_stream *s);
	ssize_t (*writev)(struct http_stream *s, const struct iovec *iov, int n);
	int (*want_write)(struct http_stream *s);
	void (*end)(struct http_stream *s);
	void (*abort)(struct http_stream *s);
};

/* What the access log says of one answer. */
struct http_log {
	char *line; /* "METHOD path", or NULL */
	int status;
	uint64_t bytes, began_ms;
};

void http_log_begin(struct http_log *g, const struct http_server *s, const struct http_req *req,
		    int status, uint64_t began_ms);
/* Tell the application, once. */
void http_log_end(struct http_log *g, struct http_server *s);

/* Whether a body belongs to the answer: not to HEAD, 204, 304. */
bool http_answer_has_body(struct sv method, int status);

/* Instead of a status: 400 for a peer without TLS where there is only HTTPS. */
#define HTTP_REFUSE_PLAIN 1

/* An answer of the server itself, to what never reaches the application. */
struct http_refusal {
	int status;
	const struct http_header *headers;
	size_t nheaders;
	char body[96];
};

/* Its parts; counted. `status` is 400, 408, 414, 431, 503 or HTTP_REFUSE_PLAIN. */
struct http_refusal http_refuse(struct http_server *s, int status);

#endif
