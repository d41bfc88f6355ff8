/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to decnet-netd and their answers. */
#include "netdrv/netd_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/fdpass.h"
#include "util/list.h"
#include "util/log.h"

#define TURN_ANSWERS 256

struct call {
	struct list link; /* in unsent or waiting */
	struct netd_request request;
	netd_line_fn *on_line;
	netd_done_fn *done;
	void *user;
};

struct netd_client {
	struct loop *loop;
	struct loop_io io;
	struct loop_timer patience;
	struct loop_timer refuse; /* tells calls that were one too many */
	int fd;
	netd_started_fn *on_started;
	void *user;
	struct list unsent, waiting, refused;
	unsigned calls;
	uint64_t next_n;
};

static void send_all(struct netd_client *c);

/* The last word on a call. */
static void
finish(struct netd_client *c, struct call *call, int r, int own_fd, const char *why)
{
	list_unlink(&call->link);
	c->calls--;
	call->done(call->user, &call->request, r, own_fd, why);
	free(call);
}

static void
fail_all(struct netd_client *c, struct list *calls, int r, const char *why)
{
	while (!list_empty(calls))
		finish(c, CONTAINER_OF(calls->next, struct call, link), r, -1, why);
}

static void
on_impatient(struct loop_timer *t)
{
	struct netd_client *c = t->user;

	fail_all(c, &c->waiting, -ETIMEDOUT, "decnet-netd did not answer");
	fail_all(c, &c->unsent, -ETIMEDOUT, "decnet-netd did not answer");
}

/* Every sign of life begins the time anew. */
static void
watch_time(struct netd_client *c)
{
	if (list_empty(&c->waiting) && list_empty(&c->unsent))
		loop_timer_clear(&c->patience);
	else if (loop_timer_set(c->loop, &c->patience, NETD_PATIENCE_MS, on_impatient, c) < 0)
		log_plain(LV_ERR, "netdrv.netd.memory");
}

static struct call *
find_call(struct netd_client *c, uint64_t n)
{
	LIST_FOR (at, &c->waiting) {
		struct call *call = CONTAINER_OF(at, struct call, link);

		if (call->request.n == n)
			return call;
	}
	return NULL;
}

/* A new life of decnet-netd knows nothing of what its former one had read. */
static void
on_restart(struct netd_client *c)
{
	while (!list_empty(&c->waiting)) {
		struct list *last = c->waiting.prev;

		list_unlink(last);
		list_append(c->unsent.next, last);
	}
	c->on_started(c->user);
	send_all(c);
}

static void
on_answer(struct netd_client *c, const struct netd_answer *a, int own_fd)
{
	struct call *call = a->kind == NETD_STARTED ? NULL : find_call(c, a->n);

	if (a->kind == NETD_STARTED)
		on_restart(c);
	if (call && a->kind == NETD_DONE) {
		finish(c, call, a->r, own_fd, a->r < 0 ? a->text : NULL);
		own_fd = -1;
	} else if (call && call->on_line) {
		call->on_line(call->user, a->kind, &a->thing);
	}
	if (own_fd >= 0)
		(void)close(own_fd);
}

/* One message: 1; 0 when there is none; a negative errno when the channel is of no use any more. */
static int
receive(struct netd_client *c, struct netd_answer *ret, int *ret_fd)
{
	uint8_t bytes[NETD_ANSWER_SIZE + 1];
	unsigned nfds = 0;
	ssize_t n = fdpass_recv(c->fd, bytes, sizeof(bytes), ret_fd, 1, &nfds);

	if (nfds == 0)
		*ret_fd = -1;
	if (n == -EAGAIN)
		return 0;
	if (n == 0 || (n < 0 && n != -EMSGSIZE))
		return n == 0 ? -EPIPE : (int)n;
	if (n < 0 || netd_answer_parse((struct sv){(const char *)bytes, (size_t)n}, ret) < 0) {
		log_plain(LV_WARN, "netdrv.netd.malformed");
		*ret = (struct netd_answer){.kind = NETD_KIND_COUNT};
	}
	return 1;
}

static void
on_io(struct loop_io *io, uint32_t events)
{
	struct netd_client *c = io->user;
	bool heard = false;
	int r = 1;

	if (events & EPOLLOUT)
		send_all(c);
	for (unsigned i = 0; i < TURN_ANSWERS && r > 0 && (events & EPOLLIN); i++) {
		struct netd_answer a;
		int fd = -1;

		r = receive(c, &a, &fd);
		if (r > 0)
			on_answer(c, &a, fd);
		heard |= r > 0;
	}
	if (r < 0) {
		log_event(LV_ERR, "netdrv.netd.closed", KV_S("why", strerror(-r)));
		loop_io_clear(&c->io);
	}
	if (heard)
		watch_time(c);
}

static void
send_all(struct netd_client *c)
{
	uint32_t events = EPOLLIN;

	while (!list_empty(&c->unsent)) {
		struct call *call = CONTAINER_OF(c->unsent.next, struct call, link);
		uint8_t bytes[NETD_REQUEST_SIZE];
		int r;

		netd_request_put(&call->request, bytes);
		r = fdpass_send(c->fd, bytes, sizeof(bytes), NULL, 0);
		if (r == -EAGAIN) {
			events |= EPOLLOUT;
			break;
		}
		if (r < 0) {
			finish(c, call, r, -1, strerror(-r));
			continue;
		}
		list_unlink(&call->link);
		list_append(&c->waiting, &call->link);
	}
	if (c->io.loop && loop_io_set(c->loop, &c->io, c->fd, events, on_io, c) < 0)
		log_plain(LV_ERR, "netdrv.netd.epoll");
}

static void
on_refuse(struct loop_timer *t)
{
	struct netd_client *c = t->user;

	fail_all(c, &c->refused, -EBUSY, "too many requests wait for decnet-netd");
}

void
netd_call(struct netd_client *c, enum netd_op op, const struct netd_thing *thing,
	  netd_line_fn *on_line, netd_done_fn *done, void *user)
{
	struct netd_request q = {.op = op, .n = c->next_n++};
	struct call *call = calloc(1, sizeof(*call));

	if (thing)
		q.thing = *thing;
	if (!call) {
		done(user, &q, -ENOMEM, -1, "out of memory");
		return;
	}
	*call = (struct call){.request = q, .on_line = on_line, .done = done, .user = user};
	list_init(&call->link);
	if (c->calls++ >= NETD_CALLS_MAX) {
		list_append(&c->refused, &call->link);
		if (loop_timer_set(c->loop, &c->refuse, 0, on_refuse, c) < 0)
			fail_all(c, &c->refused, -ENOMEM, "out of memory");
		return;
	}
	list_append(&c->unsent, &call->link);
	if (!c->patience.loop)
		watch_time(c);
	send_all(c);
}

int
netd_client_new(struct loop *l, int own_fd, netd_started_fn *on_started, void *user,
		struct netd_client **ret, struct err *e)
{
	struct netd_client *c = calloc(1, sizeof(*c));
	struct netd_answer stale;
	uint32_t start;
	int fd, r;

	if (!c) {
		(void)close(own_fd);
		return err_set(e, -ENOMEM, "out of memory");
	}
	id_random(&start, sizeof(start));
	c->next_n = ((uint64_t)start << 16) + 1;
	c->loop = l;
	c->fd = own_fd;
	c->on_started = on_started;
	c->user = user;
	list_init(&c->unsent);
	list_init(&c->waiting);
	list_init(&c->refused);
	/* A listening socket that nobody takes would keep its port. */
	while (receive(c, &stale, &fd) > 0)
		if (fd >= 0)
			(void)close(fd);
	r = loop_io_set(l, &c->io, own_fd, EPOLLIN, on_io, c);
	if (r < 0) {
		netd_client_free(c);
		return err_set(e, r, "channel to decnet-netd: %s", strerror(-r));
	}
	*ret = c;
	return 0;
}

void
netd_client_free(struct netd_client *c)
{
	if (!c)
		return;
	fail_all(c, &c->unsent, -ECANCELED, "the driver is being closed");
	fail_all(c, &c->waiting, -ECANCELED, "the driver is being closed");
	fail_all(c, &c->refused, -ECANCELED, "the driver is being closed");
	loop_timer_clear(&c->patience);
	loop_timer_clear(&c->refuse);
	loop_io_clear(&c->io);
	(void)close(c->fd);
	free(c);
}
