/* SPDX-License-Identifier: Apache-2.0 */
/* A request that came by HTTP/2, from its first field to the last byte of its answer. */
#include "http/h2_stream.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "http/field.h"
#include "http/parse.h"
#include "util/buf.h"
#include "util/limits.h"

/* How long a peer may go on sending a body after its answer. */
#define LEFT_OVER_MS 2000
#define METHOD_MAX   32

struct http_h2_stream {
	struct http_req req;
	struct http_stream stream;
	struct list link;
	struct http_h2 *h; /* NULL: the connection is gone */
	struct http_server *server;
	int32_t id;
	enum {
		STREAM_READ,  /* head or body */
		STREAM_APP,   /* the application holds the request */
		STREAM_WRITE, /* an answer of known length, or the last bytes of a stream */
		STREAM_OPEN   /* the application writes */
	} state;
	bool closed;   /* nghttp2 has forgotten it */
	bool read;     /* the request is complete */
	bool deferred; /* nghttp2 waits to be told of new bytes */
	bool ended;    /* `out` is the last of the answer */
	bool sent;     /* to the last byte */
	bool want, due;
	int refusal; /* status that the head has earned already, or 0 */
	struct loop_timer timer;
	struct sv scheme, authority, target;
	struct http_field *fields;
	nghttp2_rcbuf **held; /* two for each field, and those of the pseudo fields */
	size_t nfields, nheld, cap;
	size_t head_bytes;
	uint64_t length; /* announced; UINT64_MAX: not */
	uint64_t began_ms;
	struct buf body;
	struct buf out;
	size_t out_at;
	size_t counted; /* of the session's answer_bytes */
	struct http_log log;
};

static const struct http_via h2_via;
static const struct http_stream_via h2_stream_via;
static void stream_abort(struct http_stream *stream);

static struct http_h2_stream *
stream_of(struct list *link)
{
	return CONTAINER_OF(link, struct http_h2_stream, link);
}

static void on_timer(struct loop_timer *t);

static void
arm(struct http_h2_stream *s, uint64_t ms)
{
	if (s->h && !s->closed && loop_timer_set(s->server->loop, &s->timer, ms, on_timer, s) < 0)
		http_h2_break(s->h);
}

struct http_h2_stream *
http_h2_stream_new(struct http_h2 *h, int32_t id)
{
	struct http_h2_stream *s = calloc(1, sizeof(*s));
	struct http_server *server = h->conn->server;

	if (!s)
		return NULL;
	s->h = h;
	s->server = server;
	s->id = id;
	s->length = UINT64_MAX;
	s->began_ms = loop_now_ms(server->loop);
	s->req.via = &h2_via;
	s->req.major = 2;
	memcpy(s->req.peer, h->conn->peer, sizeof(s->req.peer));
	s->stream.via = &h2_stream_via;
	buf_init(&s->body, server->options.body_max);
	buf_init(&s->out, SIZE_MAX / 2);
	list_append(&h->streams, &s->link);
	h->nstreams++;
	arm(s, HTTP_HEAD_MS);
	return s;
}

static void
drop_request(struct http_h2_stream *s)
{
	for (size_t i = 0; i < s->nheld; i++)
		nghttp2_rcbuf_decref(s->held[i]);
	s->nheld = s->nfields = 0;
	free(TAKE(s->held));
	free(TAKE(s->fields));
	if (s->h)
		s->h->body_bytes -= s->body.n;
	buf_fini(&s->body);
}

static void
stream_free(void *obj)
{
	struct http_h2_stream *s = obj;

	drop_request(s);
	buf_fini(&s->out);
	free(s->log.line);
	free(s);
}

/* Out of the list, and away with it at the end of the turn. */
static void
leave(struct http_h2_stream *s)
{
	struct http_h2 *h = s->h;

	loop_timer_clear(&s->timer);
	drop_request(s);
	s->h = NULL;
	if (h) {
		h->answer_bytes -= s->counted;
		list_unlink(&s->link);
		http_h2_stream_left(h);
	}
	loop_free_later(s->server->loop, s, stream_free);
}

/* Nothing can be said on it any more. */
static void
over(struct http_h2_stream *s)
{
	http_log_end(&s->log, s->server);
	loop_timer_clear(&s->timer);
	if (s->state == STREAM_OPEN) {
		s->state = STREAM_WRITE;
		s->stream.ops->on_close(s->stream.user, &s->stream);
	}
}

void
http_h2_stream_closed(struct http_h2_stream *s)
{
	s->closed = true;
	over(s);
	/* What the application holds goes with its answer. */
	if (s->state != STREAM_APP)
		leave(s);
}

void
http_h2_stream_orphan(struct list *link)
{
	struct http_h2_stream *s = stream_of(link);
	struct http_h2 *h = s->h;

	s->closed = true;
	list_unlink(&s->link);
	h->nstreams--;
	s->h = NULL;
	over(s);
	if (s->state != STREAM_APP)
		leave(s);
}

void
http_h2_stream_sent(struct http_h2_stream *s)
{
	s->sent = true;
	/* The rest of the body is not wanted. Clients that are told so at once are known to forget
	 * the answer over it; so what still comes is dropped for a while. */
	if (!s->read)
		arm(s, LEFT_OVER_MS);
}

static void
reset(struct http_h2_stream *s, uint32_t code)
{
	if (!s->h || s->closed)
		return;
	if (nghttp2_submit_rst_stream(s->h->session, NGHTTP2_FLAG_NONE, s->id, code) != 0)
		http_h2_break(s->h);
	http_h2_flush_soon(s->h);
}

/* -- the answer -- */

static ssize_t
on_read(nghttp2_session *session, int32_t id, uint8_t *dst, size_t room, uint32_t *flags,
	nghttp2_data_source *source, void *user)
{
	struct http_h2_stream *s = source->ptr;
	size_t n = s->out.n - s->out_at;

	(void)session;
	(void)id;
	(void)user;
	if (n > room)
		n = room;
	if (n)
		memcpy(dst, s->out.p + s->out_at, n);
	s->out_at += n;
	s->log.bytes += n;
	if (s->out_at == s->out.n) {
		buf_fini(&s->out);
		s->out_at = 0;
		if (s->ended)
			*flags |= NGHTTP2_DATA_FLAG_EOF;
	}
	/* Some progress. What the application of a stream has written waits no longer than that,
	 * either: it cannot see what is held back here. */
	if (s->state == STREAM_OPEN && s->out.n == 0)
		loop_timer_clear(&s->timer);
	else if (n)
		arm(s, HTTP_BODY_MS);
	s->deferred = n == 0 && !s->ended;
	return s->deferred ? NGHTTP2_ERR_DEFERRED : (ssize_t)n;
}

static nghttp2_nv
pair(const char *name, const char *value)
{
	nghttp2_nv nv = {.namelen = strlen(name), .valuelen = strlen(value)};

	/* nghttp2 copies both; its interface wants them writable. */
	memcpy(&nv.name, &name, sizeof(name));
	memcpy(&nv.value, &value, sizeof(value));
	return nv;
}

/* Lower-case copies of the names, one after another. */
static char *
lower_names(const struct http_header *headers, size_t n)
{
	size_t size = 1, at = 0;
	char *text;

	for (size_t i = 0; i < n; i++)
		size += strlen(headers[i].name) + 1;
	text = malloc(size);
	for (size_t i = 0; text && i < n; i++)
		for (const char *p = headers[i].name;; p++) {
			text[at++] = (char)tolower((unsigned char)*p);
			if (!*p)
				break;
		}
	return text;
}

/* 0 or a negative number. `length` < 0: not known. */
static int
submit(struct http_h2_stream *s, int status, const struct http_header *headers, size_t n,
       long long length, bool has_body)
{
	nghttp2_data_provider provider = {.source.ptr = s, .read_callback = on_read};
	nghttp2_nv *nva = calloc(n + 3, sizeof(*nva));
	char *names = lower_names(headers, n), *name = names;
	char code[8], size[24];
	size_t k = 0;
	int r = -1;

	if (nva && names) {
		(void)snprintf(code, sizeof(code), "%d", status);
		nva[k++] = pair(":status", code);
		nva[k++] = pair("date", http_server_date(s->server));
		for (size_t i = 0; i < n; i++) {
			nva[k++] = pair(name, headers[i].value);
			name += strlen(name) + 1;
		}
		(void)snprintf(size, sizeof(size), "%lld", length);
		if (length >= 0 && status != 204 && status != 304)
			nva[k++] = pair("content-length", size);
		r = nghttp2_submit_response(s->h->session, s->id, nva, k,
					    has_body ? &provider : NULL);
	}
	free(names);
	free(nva);
	return r;
}

static void
answer(struct http_h2_stream *s, int status, const struct http_header *headers, size_t n,
       struct sv method, struct sv body)
{
	bool has_body = http_answer_has_body(method, status) && body.n > 0;
	int r = 0;

	s->state = STREAM_WRITE;
	s->ended = true;
	if (has_body && s->h->answer_bytes > LIMIT_H2_ANSWER_BYTES) {
		reset(s, NGHTTP2_ENHANCE_YOUR_CALM);
	} else {
		if (has_body)
			r = buf_put(&s->out, body);
		s->counted = s->out.n;
		s->h->answer_bytes += s->counted;
		if (r == 0)
			r = submit(s, status, headers, n, (long long)body.n, has_body);
		if (r < 0)
			reset(s, NGHTTP2_INTERNAL_ERROR);
	}
	arm(s, HTTP_BODY_MS);
	http_h2_flush_soon(s->h);
}

/* What never reaches the application. */
static void
refuse(struct http_h2_stream *s, int status)
{
	struct http_refusal f = http_refuse(s->server, status);

	drop_request(s);
	answer(s, status, f.headers, f.nheaders, SV(""), sv_from(f.body));
}

static void
on_timer(struct loop_timer *t)
{
	struct http_h2_stream *s = t->user;

	if (s->state == STREAM_READ) {
		refuse(s, 408);
	} else if (s->state == STREAM_OPEN) {
		s->server->counters.timed_out++;
		stream_abort(&s->stream);
	} else if (s->ended && s->h) {
		/* It takes nothing of its answer; the second time not even the reset. */
		s->ended = false;
		reset(s, s->sent ? NGHTTP2_NO_ERROR : NGHTTP2_CANCEL);
		arm(s, HTTP_HEAD_MS);
	} else if (s->h) {
		http_conn_close(s->h->conn);
	}
}

/* -- the request -- */

static bool
hold(struct http_h2_stream *s, nghttp2_rcbuf *bytes)
{
	if (s->nheld == s->cap * 2) {
		size_t cap = s->cap ? s->cap * 2 : 8;
		struct http_field *fields = realloc(s->fields, cap * sizeof(*fields));
		nghttp2_rcbuf **held;

		if (!fields)
			return false;
		s->fields = fields;
		held = realloc(s->held, cap * 2 * sizeof(*held));
		if (!held)
			return false;
		s->held = held;
		s->cap = cap;
	}
	nghttp2_rcbuf_incref(bytes);
	s->held[s->nheld++] = bytes;
	return true;
}

static struct sv
view(nghttp2_rcbuf *bytes)
{
	nghttp2_vec v = nghttp2_rcbuf_get_buf(bytes);

	return (struct sv){(const char *)v.base, v.len};
}

static void
pseudo_field(struct http_h2_stream *s, struct sv name, struct sv value)
{
	if (sv_eq(name, SV(":method")))
		s->req.method = value;
	else if (sv_eq(name, SV(":path")))
		s->target = value;
	else if (sv_eq(name, SV(":authority")))
		s->authority = value;
	else if (sv_eq(name, SV(":scheme")))
		s->scheme = value;
}

void
http_h2_stream_field(struct http_h2_stream *s, nghttp2_rcbuf *name, nghttp2_rcbuf *value)
{
	struct sv n = view(name), v = view(value);
	bool pseudo = n.n && n.p[0] == ':';

	if (s->refusal || s->state != STREAM_READ)
		return;
	/* What ": " and CRLF take in HTTP/1 counts here, too; the target has a ceiling of its own.
	 */
	if (!pseudo)
		s->head_bytes += n.n + v.n + 4;
	if (pseudo && sv_eq(n, SV(":path")) &&
	    v.n > LIMIT_REQUEST_LINE_BYTES - (sizeof("GET  HTTP/1.1") - 1))
		s->refusal = 414;
	else if (s->head_bytes > LIMIT_HEADER_BYTES || s->nfields + 1 >= LIMIT_HEADER_FIELDS ||
		 (pseudo && v.n > LIMIT_REQUEST_LINE_BYTES))
		s->refusal = 431;
	else if (!hold(s, name) || !hold(s, value))
		s->refusal = 503;
	else if (pseudo)
		pseudo_field(s, n, v);
	else
		s->fields[s->nfields++] = (struct http_field){n, v};
	if (!s->refusal && sv_eq(n, SV("content-length")) &&
	    sv_u64(v, UINT64_MAX / 2, &s->length) < 0)
		s->refusal = 400;
}

static void
hand_over(struct http_h2_stream *s, int body_error)
{
	loop_timer_clear(&s->timer);
	s->state = STREAM_APP;
	if (body_error) {
		s->server->counters.body_too_large++;
		if (s->h)
			s->h->body_bytes -= s->body.n;
		buf_fini(&s->body);
	}
	s->req.body = buf_sv(&s->body);
	s->req.body_error = body_error;
	s->server->counters.requests++;
	s->server->ops.on_request(s->server->user, &s->req);
}

static void
go_on(struct http_h2_stream *s)
{
	nghttp2_nv status = pair(":status", "100");

	if (nghttp2_submit_headers(s->h->session, NGHTTP2_FLAG_NONE, s->id, NULL, &status, 1,
				   NULL) != 0)
		reset(s, NGHTTP2_INTERNAL_ERROR);
}

/* What a head must be in HTTP/1.1, too. */
static bool
head_is_clear(const struct http_h2_stream *s)
{
	struct sv host = s->authority;

	for (size_t i = 0; i < s->nfields; i++) {
		const struct http_field *f = &s->fields[i];

		for (size_t k = 0; k < i && http_field_single(f->name); k++)
			if (sv_eq_ci(s->fields[k].name, f->name))
				return false;
		if (!sv_eq_ci(f->name, SV("host")))
			continue;
		if (host.p && !sv_eq_ci(host, f->value))
			return false;
		host = f->value;
	}
	return http_host_valid(host) && http_token(s->req.method) && s->req.method.n <= METHOD_MAX;
}

void
http_h2_stream_head(struct http_h2_stream *s, bool last)
{
	s->read = last;
	if (s->state != STREAM_READ)
		return;
	if (!s->refusal && (!head_is_clear(s) || http_target_read(s->req.method, s->target,
								  &s->req.path, &s->req.query) < 0))
		s->refusal = 400;
	if (s->refusal) {
		refuse(s, s->refusal);
		return;
	}
	s->req.fields = s->fields;
	if (s->authority.p && !http_req_header(&s->req, "host").p) {
		/* hold() left room for it: pseudo fields have places, too. */
		s->fields[s->nfields++] = (struct http_field){SV("host"), s->authority};
	}
	s->req.nfields = s->nfields;
	s->req.has_body = !last || s->length != UINT64_MAX;
	if (s->length != UINT64_MAX && s->length > s->server->options.body_max) {
		hand_over(s, 413);
		return;
	}
	if (last) {
		hand_over(s, 0);
		return;
	}
	if (sv_eq_ci(http_req_header(&s->req, "expect"), SV("100-continue")))
		go_on(s);
	arm(s, HTTP_BODY_MS);
}

void
http_h2_stream_body(struct http_h2_stream *s, struct sv bytes)
{
	int r;

	if (s->state != STREAM_READ)
		return;
	if (bytes.n > LIMIT_H2_BODY_BYTES - s->h->body_bytes) {
		s->state = STREAM_WRITE;
		reset(s, NGHTTP2_REFUSED_STREAM);
		return;
	}
	r = buf_put(&s->body, bytes);
	if (r == 0)
		s->h->body_bytes += bytes.n;
	else if (r == -ENOBUFS)
		hand_over(s, 413);
	else
		refuse(s, 503);
}

void
http_h2_stream_body_end(struct http_h2_stream *s)
{
	s->read = true;
	if (s->state == STREAM_READ)
		hand_over(s, 0);
}

/* -- the application's side -- */

static struct http_h2_stream *
of_req(const struct http_req *req)
{
	return CONTAINER_OF(req, struct http_h2_stream, req);
}

static struct http_h2_stream *
of_stream(const struct http_stream *s)
{
	return CONTAINER_OF(s, struct http_h2_stream, stream);
}

static bool
is_gone(const struct http_req *req)
{
	return of_req(req)->closed;
}

static void
respond(struct http_req *req, int status, const struct http_header *headers, size_t nheaders,
	struct sv body)
{
	struct http_h2_stream *s = of_req(req);
	bool head = sv_eq(req->method, SV("HEAD"));

	if (s->closed) {
		leave(s);
		return;
	}
	http_log_begin(&s->log, s->server, req, status, s->began_ms);
	answer(s, status, headers, nheaders, head ? SV("HEAD") : SV(""), body);
	drop_request(s);
}

static struct http_stream *
begin(struct http_req *req, int status, const struct http_header *headers, size_t nheaders,
      const struct http_stream_ops *ops, void *user)
{
	struct http_h2_stream *s = of_req(req);
	int size = HTTP_STREAM_SNDBUF;

	if (s->closed) {
		leave(s);
		return NULL;
	}
	http_log_begin(&s->log, s->server, req, status, s->began_ms);
	(void)setsockopt(s->h->conn->sock.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	s->stream.ops = ops;
	s->stream.user = user;
	buf_init(&s->out, LIMIT_H2_STREAM_BYTES);
	drop_request(s);
	if (submit(s, status, headers, nheaders, -1, true) < 0) {
		s->state = STREAM_WRITE;
		reset(s, NGHTTP2_INTERNAL_ERROR);
		return NULL;
	}
	s->state = STREAM_OPEN;
	http_h2_flush_soon(s->h);
	return &s->stream;
}

static bool
stream_chunked(const struct http_stream *s)
{
	(void)s;
	return false;
}

static ssize_t
stream_writev(struct http_stream *stream, const struct iovec *iov, int n)
{
	struct http_h2_stream *s = of_stream(stream);
	size_t room, put = 0;

	if (s->state != STREAM_OPEN || !s->h)
		return -EPIPE;
	/* Room comes all at once, when everything has gone. */
	if (s->out_at > 0 || s->out.n == s->out.max)
		return -EAGAIN;
	room = s->out.max - s->out.n;
	for (int i = 0; i < n && put < room; i++) {
		struct sv part = {iov[i].iov_base, iov[i].iov_len};

		if (part.n > room - put)
			part.n = room - put;
		if (buf_put(&s->out, part) < 0)
			break;
		put += part.n;
	}
	if (put == 0)
		return -EAGAIN;
	if (s->out.n == put)
		arm(s, HTTP_BODY_MS);
	if (s->deferred && nghttp2_session_resume_data(s->h->session, s->id) != 0)
		return -EPIPE;
	s->deferred = false;
	http_h2_flush_soon(s->h);
	return (ssize_t)put;
}

static int
stream_want_write(struct http_stream *stream)
{
	struct http_h2_stream *s = of_stream(stream);

	if (s->state != STREAM_OPEN || !s->h)
		return -EPIPE;
	s->want = true;
	http_h2_flush_soon(s->h);
	return 0;
}

void
http_h2_stream_mark(struct list *link)
{
	struct http_h2_stream *s = stream_of(link);

	s->due = s->want && s->out.n == 0 && s->state == STREAM_OPEN;
}

bool
http_h2_stream_tell(struct list *link)
{
	struct http_h2_stream *s = stream_of(link);

	if (!s->due || s->state != STREAM_OPEN)
		return false;
	s->due = s->want = false;
	s->stream.ops->on_writable(s->stream.user, &s->stream);
	return true;
}

/* The application is done with it; what is left is ours. */
static void
let_go(struct http_h2_stream *s)
{
	s->state = STREAM_WRITE;
	arm(s, HTTP_BODY_MS);
	http_h2_flush_soon(s->h);
	s->stream.ops->on_close(s->stream.user, &s->stream);
}

static void
stream_end(struct http_stream *stream)
{
	struct http_h2_stream *s = of_stream(stream);

	if (s->state != STREAM_OPEN || !s->h)
		return;
	s->ended = true;
	if (s->deferred && nghttp2_session_resume_data(s->h->session, s->id) != 0)
		reset(s, NGHTTP2_INTERNAL_ERROR);
	s->deferred = false;
	let_go(s);
}

static void
stream_abort(struct http_stream *stream)
{
	struct http_h2_stream *s = of_stream(stream);

	if (s->state != STREAM_OPEN || !s->h)
		return;
	reset(s, NGHTTP2_CANCEL);
	let_go(s);
}

static const struct http_via h2_via = {.respond = respond, .begin = begin, .gone = is_gone};

static const struct http_stream_via h2_stream_via = {
	.chunked = stream_chunked,
	.writev = stream_writev,
	.want_write = stream_want_write,
	.end = stream_end,
	.abort = stream_abort,
};
