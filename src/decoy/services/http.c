/* SPDX-License-Identifier: Apache-2.0 */
/* A web server over plain HTTP/1.1: bodies of any form and size, and answers in the frame of the
 * imitated server. What its pages say is http_pages.c. */
#include "decoy/services/http.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "decoy/persona.h"

#define BODY_SWALLOWED_MAX (16 * 1024 * 1024) /* then 413 */
#define CHUNK_LINE_MAX	   256
#define FIRST_IDLE_MS	   20000 /* mod_reqtimeout, as Debian has it */
#define KEEP_IDLE_MS	   5000	 /* KeepAliveTimeout */
#define REQUESTS_MAX	   100	 /* MaxKeepAliveRequests */

extern const struct decoy_service decoy_service_http;

enum phase { AT_HEAD, AT_BODY, AT_CHUNK_HEAD, AT_CHUNK, AT_CHUNK_END, AT_TRAILER };

/* Text of a request that outlives its bytes; longer ones are cut. */
struct kept {
	char text[2048];
	size_t n;
};

struct http {
	enum phase phase;
	size_t scanned;
	uint64_t left; /* of the body or the chunk */
	bool told_10, told_11;
	unsigned requests;
	struct http_asked q;
	struct kept method, target, path, host, user_agent, authorization, type;
	char body[HTTP_KEPT_BODY];
	size_t body_n;
	crypto_hash_sha256_state sum;
};

/* -- the configuration -- */

static int
http_configure(void *config, const json_t *object, struct err *e)
{
	struct http_config *c = config;
	struct sv server;
	int64_t code;

	(void)e;
	c->app = http_app_find(decoy_config_text(object, "fake_app", "none"));
	c->style = http_app_style(c->app);
	server = decoy_config_text(object, "server_header", http_app_server(c->app));
	if (sv_copy(server, c->server, sizeof(c->server)) < 0)
		c->server[0] = '\0';
	/* A line end in a configured header would let its author write the answer's frame. */
	for (char *p = c->server; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
	c->strict = sv_starts(sv_from(c->server), SV("Apache/"));
	c->extra = decoy_config_text(object, "extra_headers", NULL);
	c->body = decoy_config_text(object, "custom_body", NULL);
	code = decoy_config_int(object, "response_code", 200);
	c->code = code >= 200 && code <= 599 ? (int)code : 200;
	return 0;
}

/* -- answers -- */

/* One `name: value` a line, as configured; lines that are no header are left out. */
static int
put_extra(struct buf *out, struct sv rest)
{
	int r = 0;

	while (r == 0 && rest.n) {
		struct sv line = sv_trim(sv_cut(&rest, '\n'));

		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		if (sv_find(line, ':') == 0 || sv_find(line, ':') == line.n ||
		    sv_find(line, '\r') < line.n || sv_find(line, '\0') < line.n)
			continue;
		r = buf_put(out, line);
		if (r == 0)
			r = buf_put(out, SV("\r\n"));
	}
	return r;
}

static void
http_date(uint64_t ms, char dst[40])
{
	time_t at = (time_t)(ms / 1000);
	struct tm tm;

	(void)gmtime_r(&at, &tm);
	(void)strftime(dst, 40, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

static int
put_server(struct buf *out, const struct http_config *c)
{
	return c->server[0] ? buf_printf(out, "Server: %s\r\n", c->server) : 0;
}

/* A file has the date of the machine's set-up, and Apache's tag of size and microseconds. */
static int
put_file(struct decoy_io *io, const struct http_page *page)
{
	uint64_t seed = io->host->seed;
	uint64_t at = persona_boot_ms(seed, io->now_ms) -
		      persona_pick(seed, "page", UINT64_C(1), UINT64_C(90) * 86400000);
	char date[40];

	http_date(at, date);
	return buf_printf(io->out,
			  "Last-Modified: %s\r\nETag: \"%zx-%" PRIx64
			  "\"\r\nAccept-Ranges: bytes\r\n",
			  date, page->body.n, at * 1000 + seed % 1000);
}

static int
put_connection(const struct http *s, struct buf *out, const struct http_config *c)
{
	if (!s->q.keep_alive)
		return buf_put(out, SV("Connection: close\r\n"));
	if (!s->q.asks_keep_alive)
		return 0;
	if (c->style == HTTP_APACHE)
		return buf_printf(out,
				  "Keep-Alive: timeout=5, max=%u\r\nConnection: Keep-Alive\r\n",
				  REQUESTS_MAX + 1 - s->requests);
	return s->q.minor == 0 ? buf_put(out, SV("Connection: keep-alive\r\n")) : 0;
}

static int
put_type(struct buf *out, const struct http_page *page)
{
	return page->type[0] ? buf_printf(out, "Content-Type: %s\r\n", page->type) : 0;
}

static int
put_length(struct buf *out, const struct http_page *page)
{
	return page->status == 304 || page->status == 204
		       ? 0
		       : buf_printf(out, "Content-Length: %zu\r\n", page->body.n);
}

/* The order of the headers tells servers apart, so each has its own. */
static int
put_head(const struct http *s, struct decoy_io *io, const struct http_config *c,
	 const struct http_page *page)
{
	struct buf *out = io->out;
	bool coyote = c->style == HTTP_COYOTE;
	char date[40];
	int r;

	http_date(io->now_ms, date);
	r = buf_printf(out, "HTTP/1.1 %d %s\r\n", page->status,
		       coyote ? "" : http_reason(page->status));
	if (r == 0 && !coyote)
		r = buf_printf(out, "Date: %s\r\n", date);
	if (r == 0 && c->style != HTTP_JETTY)
		r = put_server(out, c);
	if (r == 0 && page->file && c->style == HTTP_APACHE)
		r = put_file(io, page);
	if (r == 0 && page->headers)
		r = buf_put(out, sv_from(page->headers));
	if (r == 0)
		r = put_extra(out, c->extra);
	if (r == 0 && c->style != HTTP_APACHE)
		r = put_type(out, page);
	if (r == 0)
		r = put_length(out, page);
	if (r == 0 && coyote)
		r = buf_printf(out, "Date: %s\r\n", date);
	if (r == 0)
		r = put_connection(s, out, c);
	if (r == 0 && c->style == HTTP_APACHE)
		r = put_type(out, page);
	if (r == 0 && c->style == HTTP_JETTY)
		r = put_server(out, c);
	return r < 0 ? r : buf_put(out, SV("\r\n"));
}

static int
put_answer(const struct http *s, struct decoy_io *io, const struct http_config *c,
	   const struct http_page *page)
{
	int r = s->q.minor < 0 ? 0 : put_head(s, io, c, page);

	if (r == 0 && !sv_eq(s->q.method, SV("HEAD")))
		r = buf_put(io->out, page->body);
	return r;
}

/* -- captures -- */

static int
tell_request(struct http *s, struct decoy_io *io, int status)
{
	const struct http_asked *q = &s->q;
	bool *told = q->minor == 1 ? &s->told_11 : &s->told_10;
	char code[12];
	int r = 0;

	(void)snprintf(code, sizeof(code), "%d", status);
	if (!*told && q->minor >= 0) {
		*told = true;
		r = DECOY_CAPTURE(io, CAPTURE_FINGERPRINT, {SV("primitive"), SV("http.version")},
				  {SV("value"), q->minor == 1 ? SV("http/1.1") : SV("http/1.0")});
	}
	if (r < 0)
		return r;
	return DECOY_CAPTURE(io, CAPTURE_REQUEST, {SV("method"), q->method},
			     {SV("path"), q->target}, {SV("host"), q->host},
			     {SV("user_agent"), q->user_agent}, {SV("status"), sv_from(code)});
}

static int
tell_file(struct decoy_io *io, struct sv name, uint64_t size, const unsigned char digest[32])
{
	char text[24], hex[65];

	for (unsigned i = 0; i < 32; i++)
		(void)snprintf(hex + (size_t)2 * i, 3, "%02x", digest[i]);
	(void)snprintf(text, sizeof(text), "%" PRIu64, size);
	return DECOY_CAPTURE(io, CAPTURE_FILE_CAPTURED, {SV("name"), name},
			     {SV("size"), sv_from(text)}, {SV("sha256"), sv_from(hex)});
}

/* The first file of a form that uploads one, when all of it was kept. */
static int
tell_part(struct http *s, struct decoy_io *io)
{
	unsigned char digest[crypto_hash_sha256_BYTES];
	struct sv body = s->q.body, name, boundary;
	size_t at = sv_search(body, SV("filename=\"")), end;

	if (at == SIZE_MAX || s->q.length != body.n)
		return 0;
	boundary = (struct sv){body.p, sv_find(body, '\r')};
	name = sv_drop(body, at + 10);
	name.n = sv_find(name, '"');
	body = sv_drop(body, at);
	at = sv_search(body, SV("\r\n\r\n"));
	if (at == SIZE_MAX || boundary.n < 3)
		return 0;
	body = sv_drop(body, at + 4);
	end = sv_search(body, boundary);
	if (end == SIZE_MAX || end < 2)
		return 0;
	(void)crypto_hash_sha256(digest, (const unsigned char *)body.p, end - 2);
	return tell_file(io, name, end - 2, digest);
}

/* What was sent that is no form: a payload. */
static int
tell_body(struct http *s, struct decoy_io *io)
{
	unsigned char digest[crypto_hash_sha256_BYTES];
	struct sv name = s->q.path, type = s->q.type;

	if (s->q.length == 0 || (type.n == 0 && !sv_eq(s->q.method, SV("PUT"))) ||
	    sv_starts(type, SV("application/x-www-form-urlencoded")) ||
	    sv_starts(type, SV("text/xml")) || sv_starts(type, SV("application/json")))
		return 0;
	if (sv_starts(type, SV("multipart/form-data")))
		return tell_part(s, io);
	(void)crypto_hash_sha256_final(&s->sum, digest);
	while (sv_find(name, '/') < name.n)
		name = sv_drop(name, sv_find(name, '/') + 1);
	return tell_file(io, name, s->q.length, digest);
}

/* -- requests -- */

static struct sv
keep(struct kept *k, struct sv text)
{
	k->n = text.n < sizeof(k->text) ? text.n : sizeof(k->text);
	if (k->n)
		memcpy(k->text, text.p, k->n);
	return (struct sv){k->text, k->n};
}

/* The request is whole: answer it. */
static int
reply(struct http *s, struct decoy_io *io)
{
	const struct http_config *c = io->config;
	struct http_page page = {.status = 200, .type = "text/html; charset=UTF-8"};
	char scratch[HTTP_SCRATCH_MAX];
	int r;

	s->phase = AT_HEAD;
	s->q.body = (struct sv){s->body, s->body_n};
	io->pause = DECOY_PAUSE_COMMAND;
	io->idle_ms = KEEP_IDLE_MS;
	if (++s->requests >= REQUESTS_MAX)
		s->q.keep_alive = false;
	r = http_login_capture(io, c, &s->q);
	if (r == 0)
		r = tell_body(s, io);
	if (r < 0)
		return r;
	http_pages_find(c, io, &s->q, &page, scratch);
	if (page.status == 501)
		s->q.keep_alive = false;
	r = tell_request(s, io, page.status);
	if (r == 0)
		r = put_answer(s, io, c, &page);
	return r < 0 ? r : !s->q.keep_alive;
}

/* A request that is none, or too much of one: an error page, and the end. */
static int
refuse(struct http *s, struct decoy_io *io, int status, bool whole)
{
	const struct http_config *c = io->config;
	struct http_page page = {.status = status};
	char scratch[HTTP_SCRATCH_MAX];
	int r = 0;

	s->q.keep_alive = false;
	http_pages_error(c, io, &s->q, status, &page, scratch);
	if (whole)
		r = tell_request(s, io, status);
	if (r == 0)
		r = put_answer(s, io, c, &page);
	if (r < 0)
		return r;
	return whole ? 1 : -EBADMSG;
}

static int
begin_body(struct http *s, struct decoy_io *io, const struct http_head *h)
{
	int r = 0;

	s->body_n = 0;
	s->q.length = 0;
	(void)crypto_hash_sha256_init(&s->sum);
	if (h->framing == HTTP_NO_BODY || (h->framing == HTTP_LENGTH && h->length == 0))
		return reply(s, io);
	if (h->framing == HTTP_LENGTH && h->length > BODY_SWALLOWED_MAX)
		return refuse(s, io, 413, true);
	s->left = h->length;
	s->phase = h->framing == HTTP_CHUNKED ? AT_CHUNK_HEAD : AT_BODY;
	if (h->expects)
		r = buf_put(io->out, SV("HTTP/1.1 100 Continue\r\n\r\n"));
	return r;
}

static int
on_head(struct http *s, struct decoy_io *io, struct sv in, size_t *ret_used)
{
	const struct http_config *c = io->config;
	struct http_head h;
	struct sv path = {"", 0};
	size_t n = 0;
	int r, status;

	/* Empty lines before a request are passed over. */
	while (*ret_used < in.n && (in.p[*ret_used] == '\r' || in.p[*ret_used] == '\n'))
		++*ret_used;
	if (*ret_used > 0)
		return 0;
	/* TLS on the plain port is known by its first bytes; nobody sends the rest unanswered. */
	if (in.p[0] == 0x16 && in.n == 1)
		return 0;
	s->q = (struct http_asked){.minor = 1, .method = SV("GET")};
	if ((unsigned char)in.p[0] < ' ' || (unsigned char)in.p[0] > '~')
		return refuse(s, io, 400, false);
	r = http_head_end(in, &s->scanned, &n);
	if (r == 0)
		return 0;
	if (r < 0)
		return refuse(s, io, s->scanned == 0 ? 414 : 400, false);
	s->scanned = 0;
	*ret_used = n;
	status = http_head_read((struct sv){in.p, n}, c->strict, &h);
	if (status != 0)
		return refuse(s, io, status, false);
	s->q = (struct http_asked){
		.method = keep(&s->method, h.method),
		.target = keep(&s->target, h.target),
		.host = keep(&s->host, h.host),
		.user_agent = keep(&s->user_agent, h.user_agent),
		.authorization = keep(&s->authorization, h.authorization),
		.type = keep(&s->type, h.type),
		.minor = h.version.n ? h.minor : -1,
		.keep_alive = h.keep_alive,
		.asks_keep_alive = h.asks_keep_alive,
	};
	status = http_head_path(h.target, s->path.text, sizeof(s->path.text), &path);
	s->q.path = path;
	/* An escaped slash is nowhere, and neither is the authority of CONNECT. */
	if (status == 400 && !sv_eq(h.method, SV("CONNECT")))
		return refuse(s, io, 400, true);
	return begin_body(s, io, &h);
}

/* At most `left` bytes of a body. */
static void
absorb(struct http *s, struct sv in, size_t *ret_used)
{
	size_t n = in.n < s->left ? in.n : (size_t)s->left, room = sizeof(s->body) - s->body_n;

	(void)crypto_hash_sha256_update(&s->sum, (const unsigned char *)in.p, n);
	if (room > n)
		room = n;
	memcpy(s->body + s->body_n, in.p, room);
	s->body_n += room;
	s->q.length += n;
	s->left -= n;
	*ret_used = n;
}

/* A line of the chunked form without its end. 1, 0 more is needed, -EBADMSG. */
static int
chunk_line(struct sv in, size_t *ret_used, struct sv *ret)
{
	size_t nl = sv_find(in, '\n');

	if (nl == in.n)
		return in.n > CHUNK_LINE_MAX ? -EBADMSG : 0;
	if (nl > CHUNK_LINE_MAX || nl == 0 || in.p[nl - 1] != '\r')
		return -EBADMSG;
	*ret = (struct sv){in.p, nl - 1};
	*ret_used = nl + 1;
	return 1;
}

static int
chunk_size(struct sv line, uint64_t *ret)
{
	uint64_t n = 0;

	line = sv_trim((struct sv){line.p, sv_find(line, ';')});
	if (line.n == 0 || line.n > 8)
		return -EBADMSG;
	for (size_t i = 0; i < line.n; i++) {
		static const char digits[] = "0123456789abcdef";
		const char *at = line.p[i] ? strchr(digits, line.p[i] | 0x20) : NULL;

		/* The bit makes letters small, and other characters something else. */
		if (!at || (line.p[i] < '0') || (line.p[i] > '9' && (line.p[i] | 0x20) < 'a'))
			return -EBADMSG;
		n = n << 4 | (uint64_t)(at - digits);
	}
	*ret = n;
	return 0;
}

static int
on_chunk_line(struct http *s, struct decoy_io *io, struct sv in, size_t *ret_used)
{
	struct sv line = {NULL, 0};
	int r = chunk_line(in, ret_used, &line);

	if (r == 0)
		return 0;
	if (r < 0)
		return refuse(s, io, 400, true);
	if (s->phase == AT_TRAILER)
		return line.n == 0 ? reply(s, io) : 0;
	if (s->phase == AT_CHUNK_END) {
		s->phase = AT_CHUNK_HEAD;
		return line.n == 0 ? 0 : refuse(s, io, 400, true);
	}
	if (chunk_size(line, &s->left) < 0)
		return refuse(s, io, 400, true);
	if (s->left > BODY_SWALLOWED_MAX - s->q.length)
		return refuse(s, io, 413, true);
	s->phase = s->left > 0 ? AT_CHUNK : AT_TRAILER;
	return 0;
}

static int
http_start(void *state, struct decoy_io *io)
{
	(void)state;
	io->idle_ms = FIRST_IDLE_MS;
	return 0;
}

static int
http_input(void *state, struct decoy_io *io, struct sv in, size_t *ret_used)
{
	struct http *s = state;

	if (in.n == 0)
		return 0;
	switch (s->phase) {
	case AT_HEAD: return on_head(s, io, in, ret_used);
	case AT_BODY: absorb(s, in, ret_used); return s->left > 0 ? 0 : reply(s, io);
	case AT_CHUNK:
		absorb(s, in, ret_used);
		if (s->left == 0)
			s->phase = AT_CHUNK_END;
		return 0;
	case AT_CHUNK_HEAD:
	case AT_CHUNK_END:
	case AT_TRAILER: return on_chunk_line(s, io, in, ret_used);
	}
	return -EBADMSG;
}

const struct decoy_service decoy_service_http = {
	.name = "http",
	.transports = DECOY_TCP,
	.idle_ms = 60 * 1000,
	.life_ms = 3600 * 1000,
	.config_size = sizeof(struct http_config),
	.state_size = sizeof(struct http),
	.in_max = HTTP_HEAD_MAX + HTTP_LINE_MAX + 64,
	.out_max = 256 * 1024,
	.latency = {[DECOY_PAUSE_AUTH_FAILED] = {60, 260}, [DECOY_PAUSE_COMMAND] = {1, 4}},
	.configure = http_configure,
	.start = http_start,
	.input = http_input,
};
