/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to the decoy process and their answers. */
#include "netdrv/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "decoy/control.h"
#include "util/fdpass.h"
#include "util/id.h"
#include "util/json.h"
#include "util/list.h"
#include "util/log.h"

struct call {
	struct list link; /* in channel.unsent or channel.waiting */
	struct channel *channel;
	int64_t n;
	char *text; /* NULL once it was sent */
	int fd;	    /* our duplicate, or -1 */
	struct loop_timer deadline;
	channel_answer_fn *fn;
	void *user;
	int failure; /* set when it failed before it was sent */
};

struct channel {
	struct loop *loop;
	struct loop_io io;
	int fd;
	channel_started_fn *on_started;
	void *user;
	struct list unsent, waiting;
	unsigned calls;
	int64_t next_n;
	char in[CONTROL_BYTES_MAX];
};

static void
call_free(void *obj)
{
	struct call *call = obj;

	free(call->text);
	if (call->fd >= 0)
		(void)close(call->fd);
	free(call);
}

/* The last word on a call. */
static void
finish(struct call *call, int r, const json_t *message, const char *why)
{
	struct channel *c = call->channel;

	list_unlink(&call->link);
	loop_timer_clear(&call->deadline);
	c->calls--;
	call->fn(call->user, r, message, true, why);
	loop_free_later(c->loop, call, call_free);
}

static void
on_deadline(struct loop_timer *t)
{
	struct call *call = t->user;

	if (call->failure == -EBUSY)
		finish(call, -EBUSY, NULL, "too many requests wait for the decoy process");
	else if (call->failure)
		finish(call, call->failure, NULL, strerror(-call->failure));
	else
		finish(call, -ETIMEDOUT, NULL, "the decoy process did not answer");
}

static void send_all(struct channel *c);

static void
on_answer(struct channel *c, const json_t *message)
{
	const json_t *n = json_object_get(message, "n"), *ok = json_object_get(message, "ok");

	LIST_FOR (at, &c->waiting) {
		struct call *call = CONTAINER_OF(at, struct call, link);

		if (call->n != json_integer_value(n))
			continue;
		if (!ok)
			call->fn(call->user, 0, message, false, NULL);
		else if (json_is_true(ok))
			finish(call, 0, message, NULL);
		else {
			const char *why = json_get_text(message, "error");

			finish(call, why && strcmp(why, "exists") == 0 ? -EEXIST : -EREMOTEIO,
			       message, why ? why : "refused");
		}
		return;
	}
	/* An answer to a former life of this process, or one that came after its deadline. */
}

static void
on_message(struct channel *c, struct sv text)
{
	json_t *message = NULL;
	const char *op;

	if (json_parse(text, &message, NULL) < 0) {
		log_plain(LV_WARN, "netdrv.channel.malformed");
		return;
	}
	op = json_get_text(message, "op");
	if (op && strcmp(op, "started") == 0)
		c->on_started(c->user, message);
	else
		on_answer(c, message);
	json_decref(message);
}

static void
on_io(struct loop_io *io, uint32_t events)
{
	struct channel *c = io->user;

	if (events & EPOLLOUT)
		send_all(c);
	for (unsigned i = 0; i < 64 && (events & EPOLLIN); i++) {
		int fds[1];
		unsigned nfds = 0;
		ssize_t n = fdpass_recv(c->fd, c->in, sizeof(c->in), fds, 0, &nfds);

		if (n == -EAGAIN)
			return;
		if (n == 0 || (n < 0 && n != -EMSGSIZE)) {
			log_event(LV_ERR, "netdrv.channel.closed", KV_I("errno", -n));
			loop_io_clear(&c->io);
			return;
		}
		if (n > 0)
			on_message(c, (struct sv){c->in, (size_t)n});
	}
}

static void
send_all(struct channel *c)
{
	uint32_t events = EPOLLIN;

	LIST_FOR (at, &c->unsent) {
		struct call *call = CONTAINER_OF(at, struct call, link);
		int r = fdpass_send(c->fd, call->text, strlen(call->text), &call->fd,
				    call->fd >= 0);

		if (r == -EAGAIN) {
			events |= EPOLLOUT;
			break;
		}
		if (r < 0) {
			finish(call, r, NULL, strerror(-r));
			continue;
		}
		free(TAKE(call->text));
		list_unlink(&call->link);
		list_append(&c->waiting, &call->link);
	}
	if (c->io.loop && loop_io_set(c->loop, &c->io, c->fd, events, on_io, c) < 0)
		log_plain(LV_ERR, "netdrv.channel.epoll");
}

int
channel_new(struct loop *l, int own_fd, channel_started_fn *on_started, void *user,
	    struct channel **ret_channel, struct err *e)
{
	struct channel *c = calloc(1, sizeof(*c));
	uint32_t start;
	int r;

	if (!c) {
		(void)close(own_fd);
		return err_set(e, -ENOMEM, "out of memory");
	}
	id_random(&start, sizeof(start));
	c->next_n = (int64_t)start << 16;
	c->loop = l;
	c->fd = own_fd;
	c->on_started = on_started;
	c->user = user;
	list_init(&c->unsent);
	list_init(&c->waiting);
	r = loop_io_set(l, &c->io, own_fd, EPOLLIN, on_io, c);
	if (r < 0) {
		channel_free(c);
		return err_set(e, r, "control channel: %s", strerror(-r));
	}
	*ret_channel = c;
	return 0;
}

/* Each caller is told, so that it can free what it holds for the answer. */
static void
drop_calls(struct list *calls)
{
	LIST_FOR (at, calls) {
		struct call *call = CONTAINER_OF(at, struct call, link);

		list_unlink(at);
		loop_timer_clear(&call->deadline);
		call->fn(call->user, -ECANCELED, NULL, true, "the driver is being closed");
		call_free(call);
	}
}

void
channel_free(struct channel *c)
{
	if (!c)
		return;
	drop_calls(&c->unsent);
	drop_calls(&c->waiting);
	loop_io_clear(&c->io);
	(void)close(c->fd);
	free(c);
}

void
channel_call(struct channel *c, json_t *own_request, int fd, channel_answer_fn *fn, void *user)
{
	struct call *call = calloc(1, sizeof(*call));
	uint64_t delay = CHANNEL_DEADLINE_MS;

	if (!call || !own_request) {
		free(call);
		json_decref(own_request);
		fn(user, -ENOMEM, NULL, true, "out of memory");
		return;
	}
	*call = (struct call){.channel = c, .n = c->next_n++, .fn = fn, .user = user, .fd = -1};
	list_init(&call->link);
	if (c->calls >= CHANNEL_CALLS_MAX)
		call->failure = -EBUSY;
	if (json_object_set_new(own_request, "n", json_integer(call->n)) == 0)
		call->text = json_text(own_request);
	json_decref(own_request);
	if (!call->text)
		call->failure = -ENOMEM;
	else if (strlen(call->text) > CONTROL_BYTES_MAX)
		call->failure = -EMSGSIZE;
	else if (fd >= 0 && (call->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0)) < 0)
		call->failure = -errno;
	c->calls++;
	list_append(call->failure ? &c->waiting : &c->unsent, &call->link);
	/* A failure is reported from the loop, like every other answer. */
	if (call->failure)
		delay = 0;
	if (loop_timer_set(c->loop, &call->deadline, delay, on_deadline, call) < 0) {
		finish(call, -ENOMEM, NULL, "out of memory");
		return;
	}
	if (!call->failure)
		send_all(c);
}
