/* SPDX-License-Identifier: Apache-2.0 */
/* A web server over plain HTTP/1.1: how it reads requests and frames answers. What its pages say is
 * http_pages.c. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "decoy/services/http_pages.h"

#define HEAD_MAX   16384
#define BODY_MAX   65536
#define FIELDS_MAX 64

struct http {
	bool seen; /* the version was captured */
};

extern const struct decoy_service decoy_service_http;

static int
http_configure(void *config, const json_t *object, struct err *e)
{
	struct http_config *c = config;
	const char *app = json_string_value(json_object_get(object, "fake_app"));
	const char *server = json_string_value(json_object_get(object, "server_header"));
	const char *extra = json_string_value(json_object_get(object, "extra_headers"));
	const char *body = json_string_value(json_object_get(object, "custom_body"));
	const json_t *code = json_object_get(object, "response_code");

	(void)e;
	c->app = http_app_find(app ? app : "none");
	(void)snprintf(c->server, sizeof(c->server), "%s",
		       server ? server : http_app_server(c->app));
	(void)snprintf(c->extra, sizeof(c->extra), "%s", extra ? extra : "");
	(void)snprintf(c->body, sizeof(c->body), "%s", body ? body : "");
	c->code = json_is_integer(code) ? (int)json_integer_value(code) : 200;
	if (c->code < 100 || c->code > 599)
		c->code = 200;
	/* A line end at the wrong place in a configured header would let its author write the
	 * answer's frame. */
	for (char *p = c->server; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
	return 0;
}

static const char *
reason(int status)
{
	static const struct {
		int status;
		const char *text;
	} rows[] = {{200, "OK"},
		    {301, "Moved Permanently"},
		    {302, "Found"},
		    {400, "Bad Request"},
		    {401, "Unauthorized"},
		    {403, "Forbidden"},
		    {404, "Not Found"},
		    {405, "Method Not Allowed"},
		    {413, "Request Entity Too Large"},
		    {500, "Internal Server Error"},
		    {503, "Service Unavailable"}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].status == status)
			return rows[i].text;
	return "OK";
}

/* One `name: value` a line, as configured; lines that are no header are left out. */
static int
put_extra(struct buf *out, const char *extra)
{
	struct sv rest = sv_from(extra);
	int r = 0;

	while (r == 0 && rest.n) {
		struct sv line = sv_trim(sv_cut(&rest, '\n'));

		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		if (sv_find(line, ':') == 0 || sv_find(line, ':') == line.n ||
		    memchr(line.p, '\r', line.n))
			continue;
		r = buf_put(out, line);
		if (r == 0)
			r = buf_put(out, SV("\r\n"));
	}
	return r;
}

static int
put_answer(struct decoy_io *io, const struct http_config *c, const struct http_asked *q,
	   const struct http_page *page)
{
	char date[40];
	time_t now = (time_t)(io->now_ms / 1000);
	struct tm tm;
	int r;

	(void)gmtime_r(&now, &tm);
	(void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	r = buf_printf(io->out, "HTTP/1.1 %d %s\r\nDate: %s\r\nServer: %s\r\n", page->status,
		       reason(page->status), date, c->server);
	if (r == 0)
		r = put_extra(io->out, c->extra);
	if (r == 0 && page->headers)
		r = buf_put(io->out, sv_from(page->headers));
	if (r == 0)
		r = buf_printf(io->out, "Content-Length: %zu\r\n%sContent-Type: %s\r\n\r\n",
			       page->body.n,
			       q->keep_alive ? (q->minor == 0 ? "Connection: keep-alive\r\n" : "")
					     : "Connection: close\r\n",
			       page->type);
	if (r == 0 && !sv_eq(q->method, SV("HEAD")))
		r = buf_put(io->out, page->body);
	return r;
}

/* The end of the head: an empty line, with or without CRs (as Apache and nginx both take it). 0
 * when it is not there yet. */
static size_t
head_end(struct sv in)
{
	for (size_t i = 0; i + 1 < in.n; i++) {
		if (in.p[i] != '\n')
			continue;
		if (in.p[i + 1] == '\n')
			return i + 2;
		if (in.p[i + 1] == '\r' && i + 2 < in.n && in.p[i + 2] == '\n')
			return i + 3;
	}
	return 0;
}

static struct sv
take_line(struct sv *rest)
{
	struct sv line = sv_cut(rest, '\n');

	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

/* 0, or -EBADMSG when it is no request at all. */
static int
read_head(struct sv head, struct http_asked *q)
{
	struct sv line = take_line(&head), version;

	*q = (struct http_asked){.minor = 1};
	q->method = sv_cut(&line, ' ');
	q->target = sv_cut(&line, ' ');
	version = sv_trim(line);
	if (q->method.n == 0 || q->target.n == 0 || !sv_starts(version, SV("HTTP/1.")))
		return -EBADMSG;
	for (size_t i = 0; i < q->method.n; i++)
		if (q->method.p[i] < 'A' || q->method.p[i] > 'Z')
			return -EBADMSG;
	q->version = version;
	q->minor = version.n == 8 && version.p[7] == '0' ? 0 : 1;
	q->keep_alive = q->minor == 1;
	for (unsigned n = 0; head.n && n < FIELDS_MAX; n++) {
		struct sv value = take_line(&head), name = sv_cut(&value, ':');

		value = sv_trim(value);
		if (sv_eq_ci(name, SV("host")))
			q->host = value;
		else if (sv_eq_ci(name, SV("user-agent")))
			q->user_agent = value;
		else if (sv_eq_ci(name, SV("authorization")))
			q->authorization = value;
		else if (sv_eq_ci(name, SV("connection")))
			q->keep_alive = sv_eq_ci(value, SV("keep-alive")) ||
					(q->minor == 1 && !sv_eq_ci(value, SV("close")));
		else if (sv_eq_ci(name, SV("content-length")) &&
			 sv_u64(value, UINT64_MAX / 2, &q->length) < 0)
			return -EBADMSG;
		else if (sv_eq_ci(name, SV("transfer-encoding")))
			q->chunked = true;
	}
	q->path = q->target;
	q->path.n = sv_find(q->target, '?');
	return 0;
}

static int
record(struct http *s, struct decoy_io *io, const struct http_asked *q, int status)
{
	char code[12];
	int n = snprintf(code, sizeof(code), "%d", status), r = 0;
	const struct capture_field version[] = {{SV("primitive"), SV("http.version")},
						{SV("value"), q->version}};
	const struct capture_field fields[] = {
		{SV("method"), q->method},
		{SV("path"), q->target},
		{SV("host"), q->host},
		{SV("user_agent"), q->user_agent},
		{SV("status"), {code, (size_t)n}},
	};

	if (!s->seen && q->version.n) {
		s->seen = true;
		r = decoy_capture(io, CAPTURE_FINGERPRINT, version, ARRAY_LEN(version));
	}
	return r < 0 ? r : decoy_capture(io, CAPTURE_REQUEST, fields, ARRAY_LEN(fields));
}

static int
reply(struct http *s, const struct http_config *c, struct decoy_io *io, struct http_asked *q)
{
	char scratch[HTTP_PAGE_MAX];
	struct http_page page = {.status = 200, .type = "text/html; charset=UTF-8"};
	int r = http_pages_login(io, c, q);

	if (r < 0)
		return r;
	http_pages_find(c, io, q, &page, scratch, sizeof(scratch));
	r = record(s, io, q, page.status);
	if (r == 0)
		r = put_answer(io, c, q, &page);
	if (r < 0)
		return r;
	return q->keep_alive ? 0 : 1;
}

/* What a server says to bytes that are no request: a TLS hello on the plain port, a scanner's
 * probe. */
static int
refuse(struct http *s, const struct http_config *c, struct decoy_io *io, struct sv in, int status)
{
	struct http_asked q = {.method = SV("GET"), .minor = 1};
	char scratch[HTTP_PAGE_MAX];
	struct http_page page = {.status = status, .type = "text/html; charset=iso-8859-1"};
	int r;

	(void)s;
	http_pages_error(c, io, status, sv_starts(in, SV("\x16\x03")), &page, scratch,
			 sizeof(scratch));
	r = put_answer(io, c, &q, &page);
	return r < 0 ? r : -EBADMSG;
}

static int
http_input(void *state, struct decoy_io *io, struct sv in, size_t *ret_used)
{
	const struct http_config *c = io->config;
	struct http *s = state;
	struct http_asked q;
	size_t head;

	/* An empty line before a request is taken by both servers. */
	if (in.n >= 1 && (in.p[0] == '\r' || in.p[0] == '\n')) {
		*ret_used = 1;
		return 0;
	}
	if (in.n == 0)
		return 0;
	/* A TLS hello is known by its first two bytes. */
	if (in.n == 1 && in.p[0] == 0x16)
		return 0;
	if ((unsigned char)in.p[0] < ' ' || (unsigned char)in.p[0] > '~')
		return refuse(s, c, io, in, 400);
	head = head_end(in);
	if (head == 0) {
		if (in.n >= HEAD_MAX)
			return refuse(s, c, io, in, 400);
		return 0;
	}
	if (read_head((struct sv){in.p, head}, &q) < 0) {
		*ret_used = head;
		return refuse(s, c, io, in, 400);
	}
	/* A chunked body is not waited for: its request is answered and the talk ends, as with an
	 * upload that is too large. */
	if (q.chunked || q.length > BODY_MAX) {
		q.keep_alive = false;
		q.length = 0;
	}
	if (in.n - head < q.length)
		return 0;
	q.body = (struct sv){in.p + head, (size_t)q.length};
	*ret_used = head + (size_t)q.length;
	return reply(s, c, io, &q);
}

const struct decoy_service decoy_service_http = {
	.name = "http",
	.idle_ms = 60 * 1000,
	.life_ms = 3600 * 1000,
	.config_size = sizeof(struct http_config),
	.state_size = sizeof(struct http),
	.in_max = HEAD_MAX + BODY_MAX,
	.out_max = 262144,
	.configure = http_configure,
	.input = http_input,
};
