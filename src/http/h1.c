/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1: read, parse, hand over, write the answer, again. */
#include "http/h1.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "http/conn.h"
#include "util/attr.h"
#include "util/limits.h"

#define READS_PER_TURN	 4
/* Most heads fit, so that the buffer need not grow. */
#define HEAD_USUAL	 512
/* A viewer has nothing to say; one that says this much is not a viewer. */
#define STREAM_INPUT_MAX 65536

struct http_h1_request {
	struct http_req pub;
	struct http_conn *conn;
	bool is_chunked;
	uint64_t length; /* of the body, unless it is chunked */
	struct buf body;
	struct http_chunked chunked;
	uint64_t began_ms;
	struct http_field fields[]; /* and then the bytes of the head */
};

static void process(struct http_conn *c);
static const struct http_via h1_via;
static const struct http_stream_via h1_stream_via;

static struct http_h1_request *
request_of(const struct http_req *req)
{
	return CONTAINER_OF(req, struct http_h1_request, pub);
}

static struct http_conn *
conn_of(const struct http_stream *s)
{
	return CONTAINER_OF(s, struct http_conn, h1.stream);
}

static void
request_free(struct http_h1_request *q)
{
	if (!q)
		return;
	buf_fini(&q->body);
	free(q);
}

void
http_h1_init(struct http_conn *c)
{
	buf_init(&c->h1.in,
		 LIMIT_REQUEST_LINE_BYTES + LIMIT_HEADER_BYTES + 4 * HTTP_SOCK_READ_BYTES);
	buf_init(&c->h1.out, SIZE_MAX / 2);
}

void
http_h1_fini(struct http_conn *c)
{
	request_free(TAKE(c->h1.request));
	buf_fini(&c->h1.in);
	buf_fini(&c->h1.out);
	free(TAKE(c->h1.log.line));
}

bool
http_h1_idle(const struct http_conn *c)
{
	return c->h1.state == H1_HEAD && !c->h1.head_begun;
}

bool
http_h1_closed(struct http_conn *c)
{
	struct http_stream *s = &c->h1.stream;

	http_log_end(&c->h1.log, c->server);
	if (c->h1.state == H1_STREAM)
		s->ops->on_close(s->user, s);
	/* The application still holds the request. */
	c->h1.gone = c->h1.state == H1_APP;
	return !c->h1.gone;
}

static void
next_request(struct http_conn *c)
{
	struct http_h1 *h = &c->h1;

	http_log_end(&h->log, c->server);
	buf_fini(&h->out);
	h->state = H1_HEAD;
	h->parser = (struct http_head_parser){0};
	h->head_begun = h->in.n > 0;
	http_conn_watch(c, EPOLLIN);
	http_conn_arm(c, h->head_begun ? HTTP_HEAD_MS : HTTP_IDLE_MS);
}

static void
finish(struct http_conn *c)
{
	http_log_end(&c->h1.log, c->server);
	buf_fini(&c->h1.in);
	buf_fini(&c->h1.out);
	http_conn_linger(c);
}

/* Write what is in `out`; when it is gone, go on. */
static void
flush(struct http_conn *c)
{
	struct http_h1 *h = &c->h1;

	while (h->out.n > 0 || http_sock_waiting(&c->sock)) {
		struct iovec iov = {h->out.p, h->out.n};
		ssize_t n =
			h->out.n ? http_sock_writev(&c->sock, &iov, 1) : http_sock_flush(&c->sock);

		if (n == -EAGAIN) {
			http_conn_watch(c, EPOLLOUT);
			http_conn_arm(c, HTTP_BODY_MS);
			return;
		}
		if (n < 0) {
			http_conn_close(c);
			return;
		}
		h->log.bytes += (uint64_t)n;
		buf_drop(&h->out, (size_t)n);
	}
	if (h->keep_alive && !c->server->draining)
		next_request(c);
	else
		finish(c);
}

/* This and what follows is done for every answer; printf would take a tenth of its time. */
static int
put_texts(struct buf *out, const char *const *texts, size_t n)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++)
		r = buf_put(out, sv_from(texts[i]));
	return r;
}

static int
put_number(struct buf *out, const char *before, uint64_t number)
{
	char digits[24];
	size_t at = sizeof(digits) - 1;

	digits[at] = '\0';
	do
		digits[--at] = (char)('0' + number % 10);
	while ((number /= 10) > 0);
	return put_texts(out, (const char *const[]){before, digits + at}, 2);
}

static int
put_head(struct http_conn *c, int status, const struct http_header *headers, size_t n)
{
	struct http_h1 *h = &c->h1;
	const char *const rest[] = {" ", http_reason(status),
				    "\r\nDate: ", http_server_date(c->server), "\r\n"};
	int r = buf_reserve(&h->out, HEAD_USUAL);

	if (r == 0)
		r = put_number(&h->out, "HTTP/1.1 ", (uint64_t)status);
	if (r == 0)
		r = put_texts(&h->out, rest, ARRAY_LEN(rest));
	for (size_t i = 0; r == 0 && i < n; i++) {
		const char *const line[] = {headers[i].name, ": ", headers[i].value, "\r\n"};

		r = put_texts(&h->out, line, ARRAY_LEN(line));
	}
	if (r == 0 && (!h->keep_alive || c->server->draining))
		r = buf_put(&h->out, SV("Connection: close\r\n"));
	else if (r == 0 && h->http10)
		r = buf_put(&h->out, SV("Connection: keep-alive\r\n"));
	return r;
}

static int
put_answer(struct http_conn *c, struct sv method, int status, const struct http_header *headers,
	   size_t n, struct sv body)
{
	struct buf *out = &c->h1.out;
	int r = put_head(c, status, headers, n);

	if (r == 0 && status != 204 && status != 304) {
		r = put_number(out, "Content-Length: ", body.n);
		if (r == 0)
			r = buf_put(out, SV("\r\n"));
	}
	if (r == 0)
		r = buf_put(out, SV("\r\n"));
	if (r == 0 && http_answer_has_body(method, status))
		r = buf_put(out, body);
	return r;
}

/* An answer of the server itself, after which the connection closes. */
static void
refuse(struct http_conn *c, int status)
{
	struct http_refusal f = http_refuse(c->server, status);

	request_free(TAKE(c->h1.request));
	c->h1.keep_alive = false;
	c->h1.state = H1_WRITE;
	buf_reset(&c->h1.out);
	if (put_answer(c, SV(""), f.status, f.headers, f.nheaders, sv_from(f.body)) < 0)
		http_conn_close(c);
	else
		flush(c);
}

static void
refuse_head(struct http_conn *c, int r)
{
	refuse(c, r == -ENAMETOOLONG ? 414 : r == -E2BIG ? 431 : r == -ENOMEM ? 503 : 400);
}

void
http_h1_refuse_plain(struct http_conn *c)
{
	refuse(c, HTTP_REFUSE_PLAIN);
}

void
http_h1_refuse_busy(struct http_conn *c)
{
	refuse(c, 503);
}

void
http_h1_on_timer(struct http_conn *c)
{
	/* The application's time is its own. The deadline of the head is left to pass: nearly every
	 * answer comes sooner and puts it off. */
	if (c->h1.state == H1_APP || c->h1.state == H1_STREAM)
		return;
	/* Who has not begun a request, or does not take its answer, is just closed. */
	if (c->h1.state == H1_BODY || (c->h1.state == H1_HEAD && c->h1.head_begun))
		refuse(c, 408);
	else
		http_conn_close(c);
}

static struct sv
moved(struct sv view, const char *from, const char *to)
{
	return view.p ? (struct sv){to + (view.p - from), view.n} : view;
}

/* The head's bytes move out of the input buffer, which goes on to hold what follows. */
static struct http_h1_request *
request_new(struct http_conn *c, const struct http_head *head, size_t used)
{
	size_t fields = head->nfields * sizeof(head->fields[0]);
	struct http_h1_request *q = malloc(sizeof(*q) + fields + used);
	const char *from = c->h1.in.p;
	char *bytes;

	if (!q)
		return NULL;
	*q = (struct http_h1_request){.is_chunked = head->chunked, .length = head->length};
	bytes = (char *)q->fields + fields;
	memcpy(bytes, from, used);
	for (size_t i = 0; i < head->nfields; i++) {
		q->fields[i].name = moved(head->fields[i].name, from, bytes);
		q->fields[i].value = moved(head->fields[i].value, from, bytes);
	}
	q->pub.method = moved(head->method, from, bytes);
	q->pub.path = moved(head->path, from, bytes);
	q->pub.query = moved(head->query, from, bytes);
	q->pub.fields = q->fields;
	q->pub.nfields = head->nfields;
	q->pub.major = 1;
	q->pub.minor = head->minor;
	q->pub.via = &h1_via;
	q->pub.has_body = head->chunked || head->has_length;
	memcpy(q->pub.peer, c->peer, sizeof(q->pub.peer));
	q->conn = c;
	buf_init(&q->body, c->server->options.body_max);
	q->began_ms = loop_now_ms(c->server->loop);
	buf_drop(&c->h1.in, used);
	return q;
}

static void
hand_over(struct http_conn *c, int body_error)
{
	struct http_h1_request *q = c->h1.request;

	c->h1.state = H1_APP;
	if (body_error) {
		c->h1.keep_alive = false;
		c->server->counters.body_too_large++;
	}
	if (c->h1.in.n == 0)
		buf_fini(&c->h1.in);
	q->pub.body = body_error ? (struct sv){NULL, 0} : buf_sv(&q->body);
	q->pub.body_error = body_error;
	c->server->counters.requests++;
	c->server->ops.on_request(c->server->user, &q->pub);
}

/* Move on with the body. 1: handed over, 0: more bytes are needed, -1: refused. */
static int
step_body(struct http_conn *c)
{
	struct http_h1_request *q = c->h1.request;
	struct sv in = buf_sv(&c->h1.in);
	size_t used = 0;
	int r;

	if (q->is_chunked) {
		r = http_chunked_decode(&q->chunked, in, &used, &q->body);
	} else {
		used = in.n < q->length - q->body.n ? in.n : (size_t)(q->length - q->body.n);
		r = buf_put(&q->body, (struct sv){in.p, used});
		if (r == 0)
			r = q->body.n == q->length;
	}
	buf_drop(&c->h1.in, used);
	if (r < 0 && r != -EFBIG) {
		refuse_head(c, r);
		return -1;
	}
	if (r == 0)
		return 0;
	hand_over(c, r == -EFBIG ? 413 : 0);
	return 1;
}

static int
step_head(struct http_conn *c)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct iovec iov = {(char *)(uintptr_t)go_on, sizeof(go_on) - 1};
	struct http_h1 *h = &c->h1;
	struct http_head head A_SCRATCH;
	size_t used = 0;
	int r;

	/* Empty lines before a request are ignored (RFC 9112, 2.2). */
	while (h->in.n >= 2 && h->in.p[0] == '\r' && h->in.p[1] == '\n')
		buf_drop(&h->in, 2);
	if (h->in.n == 0 || (h->in.n == 1 && h->in.p[0] == '\r'))
		return 0;
	r = http_head_parse(&h->parser, buf_sv(&h->in), &used, &head);
	if (r == 0)
		return 0;
	h->http10 = r > 0 && head.minor == 0;
	h->keep_alive = r > 0 && head.keep_alive;
	if (r > 0)
		h->request = request_new(c, &head, used);
	if (r < 0 || !h->request) {
		refuse_head(c, r < 0 ? r : -ENOMEM);
		return -1;
	}
	if (head.has_length && head.length > c->server->options.body_max) {
		hand_over(c, 413);
		return 1;
	}
	/* A peer that has already sent some of its body does not wait. */
	if (head.expect_continue && (head.chunked || head.length > 0) && h->in.n == 0 &&
	    http_sock_writev(&c->sock, &iov, 1) != (ssize_t)iov.iov_len) {
		http_conn_close(c);
		return -1;
	}
	h->state = H1_BODY;
	/* What is here already needs no waiting for. */
	if (!head.chunked && head.length <= h->in.n)
		return 1;
	http_conn_watch(c, EPOLLIN);
	http_conn_arm(c, HTTP_BODY_MS);
	return c->state == CONN_H1 ? 1 : -1;
}

/* Work on what has been read. Answers that come at once lead back here: a flag instead of
 * recursion. */
static void
process(struct http_conn *c)
{
	struct http_h1 *h = &c->h1;
	int r = 1;

	if (h->busy)
		return;
	h->busy = true;
	while (r > 0 && c->state == CONN_H1 && (h->state == H1_HEAD || h->state == H1_BODY))
		r = h->state == H1_HEAD ? step_head(c) : step_body(c);
	h->busy = false;
	if (c->state != CONN_H1)
		return;
	if (h->in.n == 0 && (h->state == H1_HEAD || h->state == H1_BODY))
		buf_fini(&h->in);
	if (h->state == H1_HEAD && h->in.n > 0 && !h->head_begun) {
		h->head_begun = true;
		http_conn_arm(c, HTTP_HEAD_MS);
	}
}

/* Bytes read, 0 when there are none now, -1 when the peer is gone. */
static ssize_t
read_some(struct http_conn *c)
{
	/* Most requests are small: what is kept of them is, too. */
	char bytes[HTTP_SOCK_READ_BYTES] A_SCRATCH;
	ssize_t n = http_sock_recv(&c->sock, bytes, sizeof(bytes));

	if (n <= 0)
		return n == -EAGAIN ? 0 : -1;
	return buf_put(&c->h1.in, (struct sv){bytes, (size_t)n}) < 0 ? -1 : n;
}

static void
on_readable(struct http_conn *c)
{
	struct http_h1 *h = &c->h1;

	for (int i = 0; i < READS_PER_TURN && c->state == CONN_H1 &&
			(h->state == H1_HEAD || h->state == H1_BODY);
	     i++) {
		ssize_t n = read_some(c);

		if (n < 0) {
			http_conn_close(c);
			return;
		}
		if (n == 0 && h->in.n == 0)
			buf_fini(&h->in);
		if (n > 0)
			process(c);
		/* Then there was no more; if there is now, epoll says so. */
		if (n < HTTP_SOCK_READ_BYTES)
			return;
	}
}

static void
on_stream_io(struct http_conn *c, uint32_t events)
{
	struct http_stream *s = &c->h1.stream;

	if (events & (EPOLLERR | EPOLLHUP)) {
		http_conn_close(c);
		return;
	}
	if (events & EPOLLIN)
		c->h1.stream_input += (uint32_t)http_conn_drop_input(c);
	if (c->h1.stream_input > STREAM_INPUT_MAX)
		http_conn_close(c);
	if (c->state != CONN_H1 || !(events & c->want & EPOLLOUT))
		return;
	http_conn_watch(c, EPOLLIN);
	if (c->state == CONN_H1)
		s->ops->on_writable(s->user, s);
}

void
http_h1_on_io(struct http_conn *c, uint32_t events)
{
	switch (c->h1.state) {
	case H1_HEAD:
	case H1_BODY: on_readable(c); break;
	case H1_APP:
		/* Nothing is read while it is being answered. A half-closed peer still waits for
		 * its answer (RFC 9112, 9.6); one that is wholly gone does not. */
		if (events & (EPOLLERR | EPOLLHUP))
			http_conn_close(c);
		else
			http_conn_watch(c, 0);
		break;
	case H1_WRITE:
		if (events & (EPOLLERR | EPOLLHUP))
			http_conn_close(c);
		else
			flush(c);
		if (c->state == CONN_H1)
			process(c);
		break;
	case H1_STREAM: on_stream_io(c, events); break;
	}
}

void
http_h1_begin(struct http_conn *c)
{
	c->h1.state = H1_HEAD;
	http_conn_watch(c, EPOLLIN);
	http_conn_arm(c, HTTP_HEAD_MS);
}

static bool
is_gone(const struct http_req *req)
{
	return request_of(req)->conn->h1.gone;
}

/* The request's end. Returns its connection, or NULL when the peer had gone. */
static struct http_conn *
take_request(struct http_req *req, int status)
{
	struct http_conn *c = request_of(req)->conn;

	if (c->h1.gone) {
		http_conn_give_back(c);
		return NULL;
	}
	http_log_begin(&c->h1.log, c->server, req, status, request_of(req)->began_ms);
	return c;
}

static void
respond(struct http_req *req, int status, const struct http_header *headers, size_t nheaders,
	struct sv body)
{
	struct http_conn *c = take_request(req, status);
	int r;

	if (!c)
		return;
	r = put_answer(c, req->method, status, headers, nheaders, body);
	request_free(TAKE(c->h1.request));
	c->h1.state = H1_WRITE;
	if (r < 0) {
		http_conn_close(c);
		return;
	}
	flush(c);
	if (c->state == CONN_H1 && c->h1.state == H1_HEAD)
		process(c);
}

/* The head of a stream's answer; it always fits into the socket's buffer. If it does not, the peer
 * is not a viewer. */
static bool
send_stream_head(struct http_conn *c, int status, const struct http_header *headers, size_t n)
{
	struct buf *out = &c->h1.out;
	bool sent = put_head(c, status, headers, n) == 0 &&
		    (c->h1.http10 || buf_put(out, SV("Transfer-Encoding: chunked\r\n")) == 0) &&
		    buf_put(out, SV("\r\n")) == 0;
	struct iovec iov = {out->p, out->n};

	sent = sent && http_sock_writev(&c->sock, &iov, 1) == (ssize_t)out->n;
	c->h1.log.bytes = out->n;
	buf_fini(out);
	return sent;
}

static struct http_stream *
begin(struct http_req *req, int status, const struct http_header *headers, size_t nheaders,
      const struct http_stream_ops *ops, void *user)
{
	struct http_conn *c = take_request(req, status);
	int size = HTTP_STREAM_SNDBUF;

	if (!c)
		return NULL;
	c->h1.keep_alive = false;
	request_free(TAKE(c->h1.request));
	buf_fini(&c->h1.in);
	(void)setsockopt(c->sock.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	c->want = EPOLLIN;
	/* Callbacks never come from inside this call. */
	c->h1.state = H1_WRITE;
	if (!send_stream_head(c, status, headers, nheaders) || http_conn_rewatch(c) < 0) {
		http_conn_close(c);
		return NULL;
	}
	c->h1.state = H1_STREAM;
	c->h1.stream = (struct http_stream){.via = &h1_stream_via, .ops = ops, .user = user};
	return &c->h1.stream;
}

static bool
stream_chunked(const struct http_stream *s)
{
	return !conn_of(s)->h1.http10;
}

static bool
is_open(const struct http_conn *c)
{
	return c->state == CONN_H1 && c->h1.state == H1_STREAM;
}

static ssize_t
stream_writev(struct http_stream *s, const struct iovec *iov, int n)
{
	struct http_conn *c = conn_of(s);
	ssize_t put;

	if (!is_open(c))
		return -EPIPE;
	put = http_sock_writev(&c->sock, iov, n);
	if (put > 0)
		c->h1.log.bytes += (uint64_t)put;
	if (put > 0 && http_conn_rewatch(c) < 0)
		return -EPIPE;
	return put;
}

static int
stream_want_write(struct http_stream *s)
{
	struct http_conn *c = conn_of(s);

	if (!is_open(c))
		return -EPIPE;
	c->want = EPOLLIN | EPOLLOUT;
	return http_conn_rewatch(c);
}

static void
stream_end(struct http_stream *s)
{
	struct http_conn *c = conn_of(s);
	bool chunked = stream_chunked(s);

	if (!is_open(c))
		return;
	c->h1.state = H1_WRITE;
	s->ops->on_close(s->user, s);
	if (chunked && buf_put(&c->h1.out, SV("0\r\n\r\n")) < 0)
		http_conn_close(c);
	else
		flush(c);
}

static void
stream_abort(struct http_stream *s)
{
	struct http_conn *c = conn_of(s);

	if (is_open(c))
		http_conn_close(c);
}

static const struct http_via h1_via = {.respond = respond, .begin = begin, .gone = is_gone};

static const struct http_stream_via h1_stream_via = {
	.chunked = stream_chunked,
	.writev = stream_writev,
	.want_write = stream_want_write,
	.end = stream_end,
	.abort = stream_abort,
};
