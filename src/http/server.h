/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

/*
 * The HTTP server: sockets, TLS, HTTP/1.1 and HTTP/2, deadlines, ceilings. It knows nothing of the
 * product: each complete request goes to one callback on the loop and is answered later, from the
 * loop's thread, exactly once, by http_respond or http_stream_begin. The request stays valid until
 * then, also when its peer has gone.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "util/attr.h"
#include "util/err.h"
#include "util/loop.h"
#include "util/sv.h"

struct http_server;
struct http_tls;
struct http_stream;
struct http_via;

struct http_header {
	const char *name;
	const char *value;
};

struct http_field {
	struct sv name, value;
};

struct http_req {
	struct sv method; /* as sent; methods are case-sensitive */
	struct sv path;	  /* begins with '/', not decoded */
	struct sv query;  /* after '?', not decoded; empty when there is none */
	struct sv body;	  /* decoded; empty when there is none */
	bool has_body;	  /* a body was announced, even an empty one */
	int body_error;	  /* 413: the body is over the ceiling and was not read; answer, then the
			     connection (HTTP/2: the stream) closes. Else 0 */
	int major, minor; /* of the HTTP version */
	const struct http_field *fields;
	size_t nfields;
	char peer[46]; /* address text of the TCP peer */
	void *user;    /* the application's */
	const struct http_via *via;
};

/* The first field of that name (in any case), or a view with p == NULL. */
struct sv http_req_header(const struct http_req *req, const char *name);
/* Whether the peer has closed its connection; the answer will go nowhere. */
bool http_req_gone(const struct http_req *req);

struct http_counters {
	uint64_t accepted, requests, refused_busy, malformed, uri_too_long, head_too_large,
		body_too_large, timed_out, handshake_failed, accept_failed,
		h2_refused, /* streams, at a ceiling */
		h2_ended;   /* sessions, for what the peer sent */
	unsigned open;
};

struct http_ops {
	/* A complete request. */
	void (*on_request)(void *user, struct http_req *req);
	/* After an answer (a stream: after its end): for logs and metrics. The path has no query.
	 * May be NULL. */
	void (*on_answered)(void *user, struct sv method, struct sv path, int status,
			    uint64_t bytes, uint64_t ms);
};

struct http_options {
	const char *host;
	uint16_t port;		  /* 0: a free one */
	unsigned max_connections; /* at it: 503 `Server busy`, closed */
	/* Several servers with one more ceiling for all of them together: they count here; NULL:
	 * none. Borrowed. */
	atomic_uint *all;
	unsigned max_all;
	size_t body_max;
	bool reuse_port; /* SO_REUSEPORT: several servers, one a thread, on one port */
	/* NULL: plain HTTP. With it HTTPS only, and HTTP/2 by ALPN. Borrowed. */
	struct http_tls *tls;
};

/* Listens when it returns. 0, or a negative errno with the address in `e`. */
int http_server_new(struct loop *l, const struct http_options *options, const struct http_ops *ops,
		    void *user, struct http_server **ret_server, struct err *e) A_NODISCARD;
uint16_t http_server_port(const struct http_server *s);
void http_server_counters(const struct http_server *s, struct http_counters *ret);
/* Accept no more and close idle connections; what is being answered goes on. */
void http_server_drain(struct http_server *s);
/* Close everything. Requests that the application still holds must have been answered. */
void http_server_free(struct http_server *s);

/*
 * Answer. The body is copied; Content-Length, Date and Connection are added. A HEAD request gets
 * the head only. Names of headers may be in any case; Connection and Transfer-Encoding are not the
 * application's to send. Consumes the request.
 */
void http_respond(struct http_req *req, int status, const struct http_header *headers,
		  size_t nheaders, struct sv body);

struct http_stream_ops {
	/* The socket takes bytes again; called once for each http_stream_want_write. */
	void (*on_writable)(void *user, struct http_stream *s);
	/* The connection is gone (closed by the peer, failed, or after http_stream_end); the stream
	 * is invalid afterwards. Called exactly once. */
	void (*on_close)(void *user, struct http_stream *s);
};

/*
 * Answer with a head and no length: what follows is the application's to write. Consumes the
 * request. NULL when the peer has gone or there is no memory (no callback will come). Otherwise
 * on_close comes exactly once.
 */
struct http_stream *http_stream_begin(struct http_req *req, int status,
				      const struct http_header *headers, size_t nheaders,
				      const struct http_stream_ops *ops, void *user);
/* Whether the bytes must be framed as chunks (RFC 9112, 7.1): on HTTP/1.1. On HTTP/1.0 the end of
 * the connection is the end of the body; HTTP/2 has frames of its own. */
bool http_stream_chunked(const struct http_stream *s);
/*
 * Write straight to the socket. Bytes taken (> 0), -EAGAIN (ask for http_stream_want_write), or
 * -EPIPE (on_close will come or is under way). Nothing is queued here, but at most 16 KiB a stream
 * that HTTP/2's windows, or a TLS record that was begun, hold back.
 */
ssize_t http_stream_writev(struct http_stream *s, const struct iovec *iov, int n);
/* 0 or a negative errno. */
int http_stream_want_write(struct http_stream *s) A_NODISCARD;
/* Nothing is left to write (the application has written its last frame wholly): end the body and
 * close. on_close follows. */
void http_stream_end(struct http_stream *s);
/* Close at once, in the middle of whatever was being written. on_close follows. */
void http_stream_abort(struct http_stream *s);

#endif
