/* SPDX-License-Identifier: Apache-2.0 */
/* One connection: read, parse, hand over, write the answer, again. The only code that touches the
 * socket. */
#include "http/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "http/parse.h"
#include "util/buf.h"
#include "util/limits.h"

#define HEAD_DEADLINE_MS 10000
#define BODY_DEADLINE_MS 30000
#define IDLE_MS		 60000
/* After a refusal what the peer still sends is read and dropped for so long, so that it sees the
 * answer and no reset. */
#define LINGER_MS	 1000
#define READ_BYTES	 16384
#define READS_PER_TURN	 4
#define STREAM_SNDBUF	 32768
/* A viewer has nothing to say; one that says this much is not a viewer. */
#define STREAM_INPUT_MAX 65536

enum conn_state { CONN_HEAD, CONN_BODY, CONN_APP, CONN_WRITE, CONN_STREAM, CONN_LINGER, CONN_DEAD };

/* Lives from the end of a head to its answer. */
struct request {
	struct http_req pub;
	struct http_head head;
	char *head_bytes;
	struct buf body;
	struct http_chunked chunked;
	uint64_t began_ms;
};

struct http_conn {
	struct list link;
	struct http_server *server;
	struct loop_io io;
	struct loop_timer timer;
	int fd;
	enum conn_state state;
	bool keep_alive, chunked_stream, gone, busy, head_begun, end_when_written;
	struct buf in, out;
	struct http_head_parser parser;
	struct request *request;
	/* Of a stream. */
	const struct http_stream_ops *stream_ops;
	void *stream_user;
	size_t stream_input;
	/* For on_answered. */
	char *log_line; /* "METHOD path", or NULL */
	int log_status;
	uint64_t log_bytes, log_began_ms;
	char peer[46];
};

static void on_io(struct loop_io *io, uint32_t events);
static void process(struct http_conn *c);

static struct http_stream *
stream_of(struct http_conn *c)
{
	return (struct http_stream *)c;
}

static struct http_conn *
conn_of(const struct http_stream *s)
{
	return (struct http_conn *)(uintptr_t)s;
}

static void
request_free(struct request *q)
{
	if (!q)
		return;
	free(q->head_bytes);
	buf_fini(&q->body);
	free(q);
}

static void
conn_free(void *obj)
{
	struct http_conn *c = obj;

	request_free(c->request);
	buf_fini(&c->in);
	buf_fini(&c->out);
	free(c->log_line);
	free(c);
}

static void
answered(struct http_conn *c)
{
	struct http_server *s = c->server;
	struct sv path;

	if (!c->log_line)
		return;
	if (s->ops.on_answered) {
		path = sv_from(c->log_line);
		s->ops.on_answered(s->user, sv_cut(&path, ' '), path, c->log_status, c->log_bytes,
				   loop_now_ms(s->loop) - c->log_began_ms);
	}
	free(TAKE(c->log_line));
}

/* The socket closes now. The object goes at the end of the turn, or, while the application holds
 * the request, when that is answered. */
static void
conn_close(struct http_conn *c)
{
	enum conn_state was = c->state;

	if (was == CONN_DEAD)
		return;
	c->state = CONN_DEAD;
	loop_io_clear(&c->io);
	loop_timer_clear(&c->timer);
	(void)close(c->fd);
	c->fd = -1;
	list_unlink(&c->link);
	http_server_leave(c->server);
	answered(c);
	if (was == CONN_STREAM)
		c->stream_ops->on_close(c->stream_user, stream_of(c));
	if (was == CONN_APP)
		c->gone = true;
	else
		loop_free_later(c->server->loop, c, conn_free);
}

static void
on_timer(struct loop_timer *t)
{
	struct http_conn *c = t->user;
	static const char text[] = "{\"detail\":\"Request timeout\"}";
	bool begun = c->state == CONN_BODY || (c->state == CONN_HEAD && c->head_begun);

	if (!begun) {
		conn_close(c);
		return;
	}
	c->server->counters.timed_out++;
	/* One try: a peer that does not read either gets nothing. */
	(void)!dprintf(c->fd,
		       "HTTP/1.1 408 Request Timeout\r\nContent-Type: "
		       "application/json\r\nContent-Length: %zu\r\n"
		       "Connection: close\r\nCache-Control: no-store\r\nX-Content-Type-Options: "
		       "nosniff\r\n\r\n%s",
		       sizeof(text) - 1, text);
	conn_close(c);
}

static void
arm(struct http_conn *c, uint64_t ms)
{
	if (loop_timer_set(c->server->loop, &c->timer, ms, on_timer, c) < 0)
		conn_close(c);
}

static void
watch(struct http_conn *c, uint32_t events)
{
	if (c->state != CONN_DEAD &&
	    loop_io_set(c->server->loop, &c->io, c->fd, events, on_io, c) < 0)
		conn_close(c);
}

static void
linger(struct http_conn *c)
{
	c->state = CONN_LINGER;
	(void)shutdown(c->fd, SHUT_WR);
	buf_fini(&c->in);
	buf_fini(&c->out);
	watch(c, EPOLLIN);
	arm(c, LINGER_MS);
}

static void
next_request(struct http_conn *c)
{
	answered(c);
	buf_fini(&c->out);
	c->state = CONN_HEAD;
	c->parser = (struct http_head_parser){0};
	c->head_begun = c->in.n > 0;
	watch(c, EPOLLIN);
	arm(c, c->head_begun ? HEAD_DEADLINE_MS : IDLE_MS);
}

/* Write what is in `out`; when it is gone, go on. */
static void
flush(struct http_conn *c)
{
	while (c->out.n > 0) {
		ssize_t n = send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			watch(c, EPOLLOUT);
			arm(c, BODY_DEADLINE_MS);
			return;
		}
		if (n < 0) {
			conn_close(c);
			return;
		}
		c->log_bytes += (uint64_t)n;
		buf_drop(&c->out, (size_t)n);
	}
	if (c->keep_alive && !c->server->draining)
		next_request(c);
	else
		linger(c);
}

static const char *
date_now(struct http_server *s)
{
	uint64_t now = loop_unix_ms(s->loop) / 1000;

	if (now != s->date_s) {
		time_t seconds = (time_t)now;
		struct tm tm;

		(void)gmtime_r(&seconds, &tm);
		(void)strftime(s->date, sizeof(s->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		s->date_s = now;
	}
	return s->date;
}

static int
put_head(struct http_conn *c, struct buf *out, int status, const struct http_header *headers,
	 size_t n, const char *framing, size_t length)
{
	int r = buf_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, http_reason(status),
			   date_now(c->server));

	for (size_t i = 0; r == 0 && i < n; i++)
		r = buf_printf(out, "%s: %s\r\n", headers[i].name, headers[i].value);
	if (r == 0 && framing)
		r = buf_put(out, sv_from(framing));
	else if (r == 0 && status != 204 && status != 304)
		r = buf_printf(out, "Content-Length: %zu\r\n", length);
	if (r == 0 && !c->keep_alive)
		r = buf_put(out, SV("Connection: close\r\n"));
	return r < 0 ? r : buf_put(out, SV("\r\n"));
}

/* An answer of the server itself, for what never becomes a request. */
static void
refuse(struct http_conn *c, int status, const char *detail)
{
	static const struct http_header headers[] = {
		{"Content-Type", "application/json"},
		{"Cache-Control", "no-store"},
		{"X-Content-Type-Options", "nosniff"},
		{"Referrer-Policy", "no-referrer"},
	};
	char body[128];
	int n = snprintf(body, sizeof(body), "{\"detail\":\"%s\"}", detail);

	c->keep_alive = false;
	c->state = CONN_WRITE;
	buf_reset(&c->out);
	if (put_head(c, &c->out, status, headers, ARRAY_LEN(headers), NULL, (size_t)n) < 0 ||
	    buf_put(&c->out, (struct sv){body, (size_t)n}) < 0) {
		conn_close(c);
		return;
	}
	flush(c);
}

static void
refuse_head(struct http_conn *c, int r)
{
	struct http_counters *n = &c->server->counters;

	if (r == -ENAMETOOLONG) {
		n->uri_too_long++;
		refuse(c, 414, "URI too long");
	} else if (r == -E2BIG) {
		n->head_too_large++;
		refuse(c, 431, "Request header fields too large");
	} else {
		n->malformed++;
		refuse(c, 400, "Malformed HTTP request");
	}
}

static struct sv
moved(struct sv view, const char *from, const char *to)
{
	return view.p ? (struct sv){to + (view.p - from), view.n} : view;
}

/* The head's bytes move out of the input buffer, which goes on to hold what follows. */
static struct request *
request_new(struct http_conn *c, const struct http_head *head, size_t used)
{
	struct request *q = calloc(1, sizeof(*q));

	if (!q || !(q->head_bytes = malloc(used))) {
		free(q);
		return NULL;
	}
	memcpy(q->head_bytes, c->in.p, used);
	q->head = *head;
	for (size_t i = 0; i < head->nfields; i++) {
		q->head.fields[i].name = moved(head->fields[i].name, c->in.p, q->head_bytes);
		q->head.fields[i].value = moved(head->fields[i].value, c->in.p, q->head_bytes);
	}
	q->pub.method = moved(head->method, c->in.p, q->head_bytes);
	q->pub.path = moved(head->path, c->in.p, q->head_bytes);
	q->pub.query = moved(head->query, c->in.p, q->head_bytes);
	q->pub.fields = q->head.fields;
	q->pub.nfields = head->nfields;
	q->pub.minor = head->minor;
	q->pub.conn = c;
	q->pub.has_body = head->chunked || head->has_length;
	memcpy(q->pub.peer, c->peer, sizeof(q->pub.peer));
	buf_init(&q->body, c->server->options.body_max);
	q->began_ms = loop_now_ms(c->server->loop);
	buf_drop(&c->in, used);
	return q;
}

static void
hand_over(struct http_conn *c, int body_error)
{
	struct request *q = c->request;

	loop_timer_clear(&c->timer);
	c->state = CONN_APP;
	if (body_error)
		c->keep_alive = false;
	if (c->in.n == 0)
		buf_fini(&c->in);
	q->pub.body = buf_sv(&q->body);
	q->pub.body_error = body_error;
	c->server->counters.requests++;
	/* Nothing is read while it is being answered; only that the peer leaves is noticed. */
	watch(c, EPOLLRDHUP);
	if (c->state == CONN_APP || c->gone)
		c->server->ops.on_request(c->server->user, &q->pub);
}

/* Move on with the body. 1: handed over, 0: more bytes are needed, -1: refused. */
static int
step_body(struct http_conn *c)
{
	struct request *q = c->request;
	size_t used = 0;
	int r = 0;

	if (q->head.chunked) {
		r = http_chunked_decode(&q->chunked, buf_sv(&c->in), &used, &q->body);
	} else {
		struct sv part = buf_sv(&c->in);

		if (part.n > q->head.length - q->body.n)
			part.n = (size_t)(q->head.length - q->body.n);
		r = buf_put(&q->body, part);
		used = part.n;
		if (r == 0)
			r = q->body.n == q->head.length;
	}
	buf_drop(&c->in, used);
	if (r == -EFBIG) {
		c->server->counters.body_too_large++;
		hand_over(c, 413);
		return 1;
	}
	if (r < 0) {
		request_free(TAKE(c->request));
		refuse_head(c, r);
		return -1;
	}
	if (r == 0)
		return 0;
	hand_over(c, 0);
	return 1;
}

static int
step_head(struct http_conn *c)
{
	struct http_head head;
	size_t used = 0;
	int r;

	/* Empty lines before a request are ignored (RFC 9112, 2.2). */
	while (c->in.n >= 2 && c->in.p[0] == '\r' && c->in.p[1] == '\n')
		buf_drop(&c->in, 2);
	if (c->in.n == 0 || (c->in.n == 1 && c->in.p[0] == '\r'))
		return 0;
	r = http_head_parse(&c->parser, buf_sv(&c->in), &used, &head);
	if (r < 0) {
		refuse_head(c, r);
		return -1;
	}
	if (r == 0)
		return 0;
	c->keep_alive = head.keep_alive;
	c->request = request_new(c, &head, used);
	if (!c->request) {
		conn_close(c);
		return -1;
	}
	if (head.has_length && head.length > c->server->options.body_max) {
		c->server->counters.body_too_large++;
		hand_over(c, 413);
		return 1;
	}
	if (head.expect_continue && (head.chunked || head.length > 0) && c->in.n == 0 &&
	    send(c->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25, MSG_NOSIGNAL) < 0) {
		conn_close(c);
		return -1;
	}
	c->state = CONN_BODY;
	arm(c, BODY_DEADLINE_MS);
	return 1;
}

/* Work on what has been read. Answers that come at once lead back here: a flag instead of
 * recursion. */
static void
process(struct http_conn *c)
{
	int r = 1;

	if (c->busy)
		return;
	c->busy = true;
	while (r > 0 && (c->state == CONN_HEAD || c->state == CONN_BODY))
		r = c->state == CONN_HEAD ? step_head(c) : step_body(c);
	c->busy = false;
	if (c->state != CONN_HEAD)
		return;
	if (c->in.n == 0) {
		buf_fini(&c->in);
	} else if (!c->head_begun) {
		c->head_begun = true;
		arm(c, HEAD_DEADLINE_MS);
	}
}

/* Bytes read, 0 when there are none now, -1 when the peer is gone. */
static ssize_t
read_some(struct http_conn *c)
{
	ssize_t n;

	if (buf_reserve(&c->in, READ_BYTES) < 0)
		return -1;
	do
		n = recv(c->fd, c->in.p + c->in.n, READ_BYTES, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
	if (n == 0)
		return -1;
	c->in.n += (size_t)n;
	return n;
}

static void
on_readable(struct http_conn *c)
{
	for (int i = 0; i < READS_PER_TURN && (c->state == CONN_HEAD || c->state == CONN_BODY);
	     i++) {
		ssize_t n = read_some(c);

		if (n < 0) {
			conn_close(c);
			return;
		}
		if (n == 0) {
			if (c->in.n == 0)
				buf_fini(&c->in);
			return;
		}
		process(c);
	}
}

/* Whatever a viewer or a refused peer still sends is read and dropped. */
static void
drop_input(struct http_conn *c)
{
	char junk[4096];
	ssize_t n;

	for (int i = 0; i < READS_PER_TURN; i++) {
		n = recv(c->fd, junk, sizeof(junk), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n <= 0) {
			conn_close(c);
			return;
		}
		c->stream_input += (size_t)n;
		if (c->state == CONN_STREAM && c->stream_input > STREAM_INPUT_MAX) {
			conn_close(c);
			return;
		}
	}
}

static void
on_io(struct loop_io *io, uint32_t events)
{
	struct http_conn *c = io->user;

	switch (c->state) {
	case CONN_HEAD:
	case CONN_BODY: on_readable(c); break;
	case CONN_APP:
		/* A half-closed peer still waits for its answer (RFC 9112, 9.6); one that is wholly
		 * gone does not. */
		if (events & (EPOLLERR | EPOLLHUP))
			conn_close(c);
		else
			watch(c, 0);
		break;
	case CONN_WRITE:
		if (events & (EPOLLERR | EPOLLHUP))
			conn_close(c);
		else
			flush(c);
		process(c);
		break;
	case CONN_STREAM:
		if (events & (EPOLLERR | EPOLLHUP)) {
			conn_close(c);
			break;
		}
		if (events & EPOLLIN)
			drop_input(c);
		if (c->state == CONN_STREAM && (events & EPOLLOUT)) {
			watch(c, EPOLLIN);
			if (c->state == CONN_STREAM)
				c->stream_ops->on_writable(c->stream_user, stream_of(c));
		}
		break;
	case CONN_LINGER: drop_input(c); break;
	case CONN_DEAD: break;
	}
}

void
http_conn_open(struct http_server *s, int own_fd, const char *peer)
{
	struct http_conn *c = calloc(1, sizeof(*c));
	int one = 1;

	if (!c) {
		(void)close(own_fd);
		return;
	}
	(void)setsockopt(own_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->server = s;
	c->fd = own_fd;
	c->state = CONN_HEAD;
	(void)snprintf(c->peer, sizeof(c->peer), "%s", peer);
	buf_init(&c->in, LIMIT_REQUEST_LINE_BYTES + LIMIT_HEADER_BYTES + 4 * READ_BYTES);
	buf_init(&c->out, SIZE_MAX / 2);
	list_append(&s->conns, &c->link);
	s->counters.accepted++;
	if (!http_server_enter(s)) {
		s->counters.refused_busy++;
		refuse(c, 503, "Server busy");
		return;
	}
	watch(c, EPOLLIN);
	if (c->state != CONN_DEAD)
		arm(c, HEAD_DEADLINE_MS);
}

void
http_conn_drain(struct list *link)
{
	struct http_conn *c = CONTAINER_OF(link, struct http_conn, link);

	c->keep_alive = false;
	if (c->state == CONN_HEAD && !c->head_begun)
		conn_close(c);
}

void
http_conn_kill(struct list *link)
{
	conn_close(CONTAINER_OF(link, struct http_conn, link));
}

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
	return req->conn->gone;
}

/* The request's end. Returns its connection, or NULL when the peer had gone. */
static struct http_conn *
take_request(struct http_req *req, int status)
{
	struct http_conn *c = req->conn;
	struct request *q = c->request;

	if (c->gone) {
		loop_free_later(c->server->loop, c, conn_free);
		return NULL;
	}
	c->log_line = malloc(req->method.n + req->path.n + 2);
	if (c->log_line)
		(void)snprintf(c->log_line, req->method.n + req->path.n + 2, "%.*s %.*s",
			       (int)req->method.n, req->method.p, (int)req->path.n, req->path.p);
	c->log_status = status;
	c->log_bytes = 0;
	c->log_began_ms = q->began_ms;
	return c;
}

void
http_respond(struct http_req *req, int status, const struct http_header *headers, size_t nheaders,
	     struct sv body)
{
	struct http_conn *c = take_request(req, status);
	bool head_only;
	int r;

	if (!c)
		return;
	head_only = sv_eq(req->method, SV("HEAD")) || status == 204 || status == 304;
	r = put_head(c, &c->out, status, headers, nheaders, NULL, body.n);
	if (r == 0 && !head_only)
		r = buf_put(&c->out, body);
	request_free(TAKE(c->request));
	c->state = CONN_WRITE;
	if (r < 0) {
		conn_close(c);
		return;
	}
	flush(c);
	if (c->state == CONN_HEAD)
		process(c);
}

struct http_stream *
http_stream_begin(struct http_req *req, int status, const struct http_header *headers,
		  size_t nheaders, const struct http_stream_ops *ops, void *user)
{
	struct http_conn *c = take_request(req, status);
	int size = STREAM_SNDBUF, r;
	ssize_t n;

	if (!c)
		return NULL;
	c->chunked_stream = req->minor == 1;
	c->keep_alive = false;
	request_free(TAKE(c->request));
	buf_fini(&c->in);
	/* A reader that stops hides what it does not read in the kernel's buffer: keep that small.
	 */
	(void)setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	r = put_head(c, &c->out, status, headers, nheaders,
		     c->chunked_stream ? "Transfer-Encoding: chunked\r\n" : "", 0);
	/* A fresh answer always fits into the socket's buffer; if it does not, the peer is not a
	 * viewer. */
	n = r == 0 ? send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL) : -1;
	c->state = CONN_WRITE;
	if (n < 0 || (size_t)n != c->out.n) {
		conn_close(c);
		return NULL;
	}
	c->log_bytes = (uint64_t)n;
	buf_fini(&c->out);
	c->state = CONN_STREAM;
	c->stream_ops = ops;
	c->stream_user = user;
	/* Callbacks never come from inside this call: what fails now is noticed by the next one. */
	if (loop_io_set(c->server->loop, &c->io, c->fd, EPOLLIN, on_io, c) < 0) {
		c->state = CONN_WRITE;
		conn_close(c);
		return NULL;
	}
	return stream_of(c);
}

bool
http_stream_chunked(const struct http_stream *s)
{
	return conn_of(s)->chunked_stream;
}

ssize_t
http_stream_writev(struct http_stream *s, const struct iovec *iov, int n)
{
	struct http_conn *c = conn_of(s);
	struct msghdr msg = {.msg_iovlen = (size_t)n};
	ssize_t put;

	memcpy(&msg.msg_iov, &iov, sizeof(iov));
	if (c->state != CONN_STREAM)
		return -EPIPE;
	do
		put = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (put < 0 && errno == EINTR);
	if (put > 0)
		c->log_bytes += (uint64_t)put;
	if (put >= 0)
		return put;
	return errno == EAGAIN || errno == EWOULDBLOCK ? -EAGAIN : -EPIPE;
}

int
http_stream_want_write(struct http_stream *s)
{
	struct http_conn *c = conn_of(s);

	if (c->state != CONN_STREAM)
		return -EPIPE;
	return loop_io_set(c->server->loop, &c->io, c->fd, EPOLLIN | EPOLLOUT, on_io, c);
}

static void
stream_over(struct http_conn *c)
{
	c->stream_ops->on_close(c->stream_user, stream_of(c));
	c->stream_ops = NULL;
	answered(c);
}

void
http_stream_end(struct http_stream *s)
{
	struct http_conn *c = conn_of(s);
	ssize_t n = 0;

	if (c->state != CONN_STREAM)
		return;
	if (c->chunked_stream)
		n = send(c->fd, "0\r\n\r\n", 5, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0) {
		conn_close(c);
		return;
	}
	c->state = CONN_LINGER;
	stream_over(c);
	linger(c);
}

void
http_stream_abort(struct http_stream *s)
{
	struct http_conn *c = conn_of(s);

	if (c->state == CONN_STREAM)
		conn_close(c);
}
