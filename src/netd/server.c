/* SPDX-License-Identifier: Apache-2.0 */
/* The channel of decnet-netd. One request after the other is carried out; while answers wait for
 * room in the socket, none is read. */
#include "netd/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netd/request.h"
#include "util/fdpass.h"
#include "util/limits.h"
#include "util/list.h"
#include "util/log.h"

/* Requests of one turn. */
#define TURN_REQUESTS 64
/* How often the kernel is asked whether a link has come up, and for how long. */
#define SETTLE_MS     1
#define SETTLE_MAX_MS 5000
/* Quiet for so long, the stock of namespaces is filled. */
#define QUIET_MS      20
/* And so long, links that are cut off already are deleted: who comes just then waits for it. */
#define IDLE_MS	      500
/* Lists that wait for the one that is under way. */
#define LISTS_MAX     4

struct answer {
	struct netd_answer body;
	int fd; /* to be sent along and closed, or -1 */
};

/* A request that is carried out, but has not taken effect in the kernel yet. */
struct waiting {
	struct list link;
	struct netd_request request;
	uint64_t since_ms;
};

struct server {
	struct loop *loop;
	struct loop_io io;
	int fd;
	struct fabric *fabric;
	struct answer *out; /* what the socket has no room for */
	size_t out_at, out_n, out_cap;
	struct list waiting;
	struct loop_timer settle, quiet, idle, list;
	uint64_t lists[LISTS_MAX]; /* numbers of the requests; the first one is under way */
	unsigned nlists;
};

static void on_io(struct loop_io *io, uint32_t events);

static void
watch(struct server *s)
{
	uint32_t events = s->out_n > 0 ? EPOLLOUT : EPOLLIN;

	if (s->io.loop && loop_io_set(s->loop, &s->io, s->fd, events, on_io, s) < 0)
		log_plain(LV_ERR, "netd.channel.epoll");
}

/* 0, or -EAGAIN. Whatever else happens to the channel, the answer is done with. */
static int
send_one(struct server *s, struct answer *a)
{
	uint8_t bytes[NETD_ANSWER_SIZE];
	int r;

	netd_answer_put(&a->body, bytes);
	r = fdpass_send(s->fd, bytes, sizeof(bytes), &a->fd, a->fd >= 0);
	if (r == -EAGAIN)
		return r;
	if (r < 0)
		log_event(LV_WARN, "netd.channel.send", KV_S("why", strerror(-r)));
	if (a->fd >= 0)
		(void)close(a->fd);
	return 0;
}

static void
answer(struct server *s, const struct netd_answer *body, int own_fd)
{
	struct answer a = {*body, own_fd};

	if (s->out_n == 0 && send_one(s, &a) == 0)
		return;
	if (s->out_n == s->out_cap) {
		size_t cap = s->out_cap ? s->out_cap * 2 : 256;
		struct answer *out =
			cap <= 2 * LIMIT_NETD_THINGS ? realloc(s->out, cap * sizeof(*out)) : NULL;

		/* The driver asks again when its time is up. */
		if (!out) {
			log_plain(LV_ERR, "netd.answer.lost");
			if (own_fd >= 0)
				(void)close(own_fd);
			return;
		}
		s->out = out;
		s->out_cap = cap;
	}
	s->out[s->out_n++] = a;
	watch(s);
}

static void
flush_out(struct server *s)
{
	while (s->out_at < s->out_n && send_one(s, &s->out[s->out_at]) == 0)
		s->out_at++;
	if (s->out_at < s->out_n)
		return;
	s->out_at = s->out_n = 0;
	watch(s);
}

static void
done(struct server *s, uint64_t n, int r, const struct err *e, int own_fd)
{
	struct netd_answer body = {.kind = NETD_DONE, .n = n, .r = r};

	if (r < 0)
		(void)snprintf(body.text, sizeof(body.text), "%.*s", NETD_TEXT_MAX, err_text(e));
	answer(s, &body, own_fd);
}

/* -- what takes a moment -- */

static void
settle(struct server *s)
{
	LIST_FOR (at, &s->waiting) {
		struct waiting *w = CONTAINER_OF(at, struct waiting, link);
		int r = fabric_settled(s->fabric, &w->request);
		struct err e = {0};

		if (r == 0 && loop_now_ms(s->loop) - w->since_ms > SETTLE_MAX_MS)
			r = -ETIMEDOUT;
		if (r == 0)
			continue;
		if (r < 0)
			(void)err_set(&e, r, "%s: %s", netd_op_word(w->request.op), strerror(-r));
		done(s, w->request.n, r < 0 ? r : 0, &e, -1);
		list_unlink(at);
		free(w);
	}
}

static void
on_settle(struct loop_timer *t)
{
	struct server *s = t->user;

	fabric_flush(s->fabric);
	settle(s);
	if (!list_empty(&s->waiting) &&
	    loop_timer_set(s->loop, &s->settle, SETTLE_MS, on_settle, s) < 0)
		log_plain(LV_ERR, "netd.memory");
}

static void
on_idle(struct loop_timer *t)
{
	struct server *s = t->user;

	fabric_flush(s->fabric);
}

static void
on_quiet(struct loop_timer *t)
{
	struct server *s = t->user;

	if (!fabric_prepare(s->fabric) && loop_timer_set(s->loop, &s->quiet, 0, on_quiet, s) < 0)
		log_plain(LV_ERR, "netd.memory");
}

static void
wait_for(struct server *s, const struct netd_request *q)
{
	struct waiting *w = malloc(sizeof(*w));
	struct err e = {0};

	if (!w) {
		done(s, q->n, -ENOMEM, (err_set(&e, -ENOMEM, "out of memory"), &e), -1);
		return;
	}
	w->request = *q;
	w->since_ms = loop_now_ms(s->loop);
	list_append(&s->waiting, &w->link);
	if (!s->settle.loop && loop_timer_set(s->loop, &s->settle, 0, on_settle, s) < 0)
		log_plain(LV_ERR, "netd.memory");
}

/* -- requests -- */

static void
on_listed(void *user, enum netd_kind kind, const struct netd_thing *t)
{
	struct server *s = user;
	struct netd_answer body = {.kind = kind, .n = s->lists[0], .thing = *t};

	answer(s, &body, -1);
}

static void begin_list(struct server *s);

static void
end_list(struct server *s, int r, const struct err *e)
{
	if (r < 0)
		log_event(LV_WARN, "netd.list", KV_S("why", err_text(e)));
	done(s, s->lists[0], r, e, -1);
	/* The place of the names is gone, and what has none is found by nobody: the next life of
	 * this process begins with nothing, and gets all of it again. */
	if (r == -ENOENT) {
		log_plain(LV_ERR, "netd.names.gone");
		loop_stop(s->loop);
	}
	s->nlists--;
	memmove(s->lists, s->lists + 1, s->nlists * sizeof(*s->lists));
	if (s->nlists > 0)
		begin_list(s);
}

/* A piece in each turn, so that requests come between. */
static void
on_list(struct loop_timer *t)
{
	struct server *s = t->user;
	struct err e = {0};
	int r = fabric_list_more(s->fabric, on_listed, s, &e);

	if (r > 0)
		r = loop_timer_set(s->loop, &s->list, 0, on_list, s) < 0 ? -ENOMEM : 1;
	if (r <= 0)
		end_list(s, r, &e);
}

static void
begin_list(struct server *s)
{
	struct err e = {0};
	int r = fabric_list_begin(s->fabric, &e);

	if (r == 0 && loop_timer_set(s->loop, &s->list, 0, on_list, s) < 0)
		r = err_set(&e, -ENOMEM, "out of memory");
	if (r < 0)
		end_list(s, r, &e);
}

static void
list(struct server *s, uint64_t n)
{
	struct err e = {0};

	if (s->nlists == LISTS_MAX) {
		done(s, n, -EBUSY, (err_set(&e, -EBUSY, "too many lists at a time"), &e), -1);
		return;
	}
	s->lists[s->nlists++] = n;
	if (s->nlists == 1)
		begin_list(s);
}

static void
hello(struct server *s, uint64_t n)
{
	struct netd_answer body = {
		.kind = NETD_SELF, .n = n, .thing = {.mark = (uint64_t)getpid()}};

	answer(s, &body, -1);
	done(s, n, 0, NULL, -1);
}

static void
handle(struct server *s, const struct netd_request *q)
{
	struct err e = {0};
	int fd = -1, r;

	if (q->op == NETD_OP_LIST) {
		list(s, q->n);
		return;
	}
	if (q->op == NETD_OP_HELLO) {
		hello(s, q->n);
		return;
	}
	r = fabric_do(s->fabric, q, &fd, &e);
	if (r < 0)
		log_event(LV_WARN, "netd.refused", KV_S("op", netd_op_word(q->op)),
			  KV_S("why", err_text(&e)));
	/* Recent kernels bring a link up when they are asked how it is; others after a while. */
	if (r > 0 && fabric_settled(s->fabric, q) > 0)
		r = 0;
	if (r > 0)
		wait_for(s, q);
	else
		done(s, q->n, r, &e, fd);
}

static void
malformed(struct server *s, uint64_t n)
{
	struct err e = {0};

	log_plain(LV_WARN, "netd.request.malformed");
	if (n != 0)
		done(s, n, -EBADMSG, (err_set(&e, -EBADMSG, "malformed request"), &e), -1);
}

static void
on_io(struct loop_io *io, uint32_t events)
{
	struct server *s = io->user;
	uint8_t bytes[NETD_REQUEST_SIZE + 1];
	struct netd_request q;

	if (events & EPOLLOUT)
		flush_out(s);
	for (unsigned i = 0; i < TURN_REQUESTS && s->out_n == 0 && (events & EPOLLIN); i++) {
		int fds[1];
		unsigned nfds = 0;
		ssize_t n = fdpass_recv(s->fd, bytes, sizeof(bytes), fds, 0, &nfds);

		if (n == -EAGAIN)
			break;
		if (n == 0 || (n < 0 && n != -EMSGSIZE)) {
			/* Nobody is left who could ask. */
			log_event(LV_INFO, "netd.channel.closed", KV_I("errno", -n));
			loop_stop(s->loop);
			return;
		}
		if (n < 0)
			malformed(s, 0);
		else if (netd_request_parse((struct sv){(const char *)bytes, (size_t)n}, &q) < 0)
			malformed(s, q.n);
		else
			handle(s, &q);
	}
	if (loop_timer_set(s->loop, &s->quiet, QUIET_MS, on_quiet, s) < 0 ||
	    loop_timer_set(s->loop, &s->idle, IDLE_MS, on_idle, s) < 0)
		log_plain(LV_ERR, "netd.memory");
}

int
server_new(struct loop *l, int own_fd, struct fabric *fabric, struct server **ret, struct err *e)
{
	const struct netd_answer started = {.kind = NETD_STARTED};
	struct server *s = calloc(1, sizeof(*s));
	int r;

	if (!s) {
		(void)close(own_fd);
		return err_set(e, -ENOMEM, "out of memory");
	}
	s->loop = l;
	s->fd = own_fd;
	s->fabric = fabric;
	list_init(&s->waiting);
	r = loop_io_set(l, &s->io, own_fd, EPOLLIN, on_io, s);
	if (r == 0)
		r = loop_timer_set(l, &s->quiet, QUIET_MS, on_quiet, s);
	if (r < 0) {
		server_free(s);
		return err_set(e, r, "channel: %s", strerror(-r));
	}
	answer(s, &started, -1);
	*ret = s;
	return 0;
}

void
server_free(struct server *s)
{
	if (!s)
		return;
	for (size_t i = s->out_at; i < s->out_n; i++)
		if (s->out[i].fd >= 0)
			(void)close(s->out[i].fd);
	free(s->out);
	LIST_FOR (at, &s->waiting)
		free(CONTAINER_OF(at, struct waiting, link));
	loop_timer_clear(&s->settle);
	loop_timer_clear(&s->quiet);
	loop_timer_clear(&s->idle);
	loop_timer_clear(&s->list);
	loop_io_clear(&s->io);
	(void)close(s->fd);
	free(s);
}
