/* SPDX-License-Identifier: Apache-2.0 */
/* The application's side of requests and streams, whatever protocol they came by. */
#include "http/answer.h"

#include <stdio.h>
#include <stdlib.h>

#include "http/conn.h"
#include "util/attr.h"

struct sv
http_req_header(const struct http_req *req, const char *name)
{
	for (size_t i = 0; i < req->nfields; i++)
		if (sv_eq_ci(req->fields[i].name, sv_from(name)))
			return req->fields[i].value;
	return (struct sv){NULL, 0};
}

bool
http_req_gone(const struct http_req *req)
{
	return req->via->gone(req);
}

void
http_respond(struct http_req *req, int status, const struct http_header *headers, size_t nheaders,
	     struct sv body)
{
	req->via->respond(req, status, headers, nheaders, body);
}

struct http_stream *
http_stream_begin(struct http_req *req, int status, const struct http_header *headers,
		  size_t nheaders, const struct http_stream_ops *ops, void *user)
{
	return req->via->begin(req, status, headers, nheaders, ops, user);
}

bool
http_stream_chunked(const struct http_stream *s)
{
	return s->via->chunked(s);
}

ssize_t
http_stream_writev(struct http_stream *s, const struct iovec *iov, int n)
{
	return s->via->writev(s, iov, n);
}

int
http_stream_want_write(struct http_stream *s)
{
	return s->via->want_write(s);
}

void
http_stream_end(struct http_stream *s)
{
	s->via->end(s);
}

void
http_stream_abort(struct http_stream *s)
{
	s->via->abort(s);
}

bool
http_answer_has_body(struct sv method, int status)
{
	return status != 204 && status != 304 && !sv_eq(method, SV("HEAD"));
}

void
http_log_begin(struct http_log *g, const struct http_server *s, const struct http_req *req,
	       int status, uint64_t began_ms)
{
	size_t size = req->method.n + req->path.n + 2;

	g->line = s->ops.on_answered ? malloc(size) : NULL;
	if (g->line)
		(void)snprintf(g->line, size, "%.*s %.*s", (int)req->method.n, req->method.p,
			       (int)req->path.n, req->path.p);
	g->status = status;
	g->bytes = 0;
	g->began_ms = began_ms;
}

void
http_log_end(struct http_log *g, struct http_server *s)
{
	struct sv path = sv_from(g->line), method = sv_cut(&path, ' ');

	if (g->line)
		s->ops.on_answered(s->user, method, path, g->status, g->bytes,
				   loop_now_ms(s->loop) - g->began_ms);
	free(TAKE(g->line));
}

struct http_refusal
http_refuse(struct http_server *s, int status)
{
	/* The last one is for 503 only. */
	static const struct http_header headers[] = {
		{"Content-Type", "application/json"},
		{"Cache-Control", "no-store"},
		{"X-Content-Type-Options", "nosniff"},
		{"Referrer-Policy", "no-referrer"},
		{"Retry-After", "1"},
	};
	const struct {
		int status;
		const char *detail;
		uint64_t *counter;
	} rows[] = {
		{HTTP_REFUSE_PLAIN, "This port speaks HTTPS", &s->counters.malformed},
		{400, "Malformed HTTP request", &s->counters.malformed},
		{408, "Request timeout", &s->counters.timed_out},
		{414, "URI too long", &s->counters.uri_too_long},
		{431, "Request header fields too large", &s->counters.head_too_large},
		{503, "Server busy", &s->counters.refused_busy},
	};
	struct http_refusal r = {.status = status == HTTP_REFUSE_PLAIN ? 400 : status,
				 .headers = headers,
				 .nheaders = ARRAY_LEN(headers) - (status == 503 ? 0 : 1)};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].status != status)
			continue;
		(*rows[i].counter)++;
		(void)snprintf(r.body, sizeof(r.body), "{\"detail\":\"%s\"}", rows[i].detail);
	}
	return r;
}
