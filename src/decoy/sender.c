/* SPDX-License-Identifier: Apache-2.0 */
/* The decoy's end of the capture channel. */
#include "decoy/sender.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/id.h"
#include "util/limits.h"
#include "util/list.h"
#include "util/log.h"

#define MESSAGE_BYTES	  LIMIT_CAPTURE_BYTES /* frames are gathered up to this */
#define MESSAGES_PER_TURN 64

struct frame {
	struct list link;
	uint64_t no;
	size_t n;
	char bytes[];
};

struct sender {
	struct loop *loop;
	struct loop_io io;
	struct loop_timer hello, flush;
	int fd;
	uint64_t source, started_ms;
	uint64_t next_no;
	struct list frames;  /* unacknowledged, oldest first */
	struct list *unsent; /* the first of them that was not sent, or the head */
	uint64_t waiting;
	size_t bytes;
	bool held, hello_due;
	struct buf scratch, message;
	struct sender_ops ops;
};

static void watch(struct sender *s, bool writable);

/* -- out -- */

static int
send_bytes(struct sender *s, const void *bytes, size_t n)
{
	ssize_t r;

	do
		r = send(s->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

static int
send_hello(struct sender *s)
{
	const struct capture_hello h = {
		.source = s->source,
		.started_ms = s->started_ms,
		.pid = (uint32_t)getpid(),
		.connections = s->ops.connections(s->ops.user),
	};
	unsigned char raw[CAPTURE_HELLO_BYTES];

	capture_hello_put(&h, raw);
	return send_bytes(s, raw, sizeof(raw));
}

/* One message of as many frames as fit. */
static int
send_some(struct sender *s)
{
	struct list *at = s->unsent;
	int r;

	buf_reset(&s->message);
	while (at != &s->frames) {
		struct frame *f = CONTAINER_OF(at, struct frame, link);

		if (f->n > MESSAGE_BYTES - s->message.n)
			break;
		r = buf_put(&s->message, (struct sv){f->bytes, f->n});
		if (r < 0)
			return r;
		at = at->next;
	}
	r = send_bytes(s, s->message.p, s->message.n);
	if (r == 0)
		s->unsent = at;
	return r;
}

static void
pump(struct sender *s)
{
	int r = 0;

	if (s->fd < 0)
		return;
	if (s->hello_due) {
		r = send_hello(s);
		s->hello_due = r == -EAGAIN;
	}
	for (unsigned i = 0; r == 0 && i < MESSAGES_PER_TURN && s->unsent != &s->frames; i++)
		r = send_some(s);
	/* EPIPE and the like show themselves as EPOLLHUP; without memory we try again. */
	watch(s, r == -EAGAIN || r == -ENOMEM || s->unsent != &s->frames);
}

static void
on_flush(struct loop_timer *t)
{
	pump(t->user);
}

static void
on_hello(struct loop_timer *t)
{
	struct sender *s = t->user;

	s->hello_due = true;
	pump(s);
	if (loop_timer_set(s->loop, &s->hello, CAPTURE_HELLO_EVERY_MS, on_hello, s) < 0)
		log_plain(LV_ERR, "decoy.sender.timer");
}

/* -- in -- */

static void
set_held(struct sender *s)
{
	bool held = s->held ? s->bytes > LIMIT_CAPTURE_UNACKED_BYTES / 2
			    : s->bytes >= LIMIT_CAPTURE_UNACKED_BYTES;

	if (held == s->held)
		return;
	s->held = held;
	log_event(LV_WARN, held ? "decoy.captures.held" : "decoy.captures.released",
		  KV_U("waiting", s->waiting), KV_U("bytes", s->bytes));
	s->ops.hold(s->ops.user, held);
}

static void
drop_until(struct sender *s, uint64_t no)
{
	LIST_FOR (at, &s->frames) {
		struct frame *f = CONTAINER_OF(at, struct frame, link);

		if (f->no > no)
			break;
		if (s->unsent == at)
			s->unsent = at->next;
		list_unlink(at);
		s->waiting--;
		s->bytes -= f->n;
		free(f);
	}
	set_held(s);
	if (s->waiting == 0)
		s->ops.drained(s->ops.user);
}

static void
take_ack(struct sender *s, struct sv message)
{
	struct capture_ack ack;

	if (capture_ack_get(message, &ack) < 0) {
		log_event(LV_WARN, "decoy.ack.malformed", KV_U("bytes", message.n));
		return;
	}
	if (ack.source == 0) {
		s->unsent = s->frames.next;
		return;
	}
	/* Another source is a former life of this process. A number that was never sent is not
	 * believed. */
	if (ack.source == s->source && ack.no < s->next_no)
		drop_until(s, ack.no);
}

static void
close_channel(struct sender *s)
{
	loop_io_clear(&s->io);
	(void)close(s->fd);
	s->fd = -1;
	s->ops.gone(s->ops.user);
}

static void
on_channel(struct loop_io *io, uint32_t events)
{
	struct sender *s = io->user;
	char raw[CAPTURE_ACK_BYTES + 1];

	for (unsigned i = 0; i < MESSAGES_PER_TURN && (events & EPOLLIN); i++) {
		ssize_t n = recv(s->fd, raw, sizeof(raw), MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			close_channel(s);
			return;
		}
		take_ack(s, (struct sv){raw, (size_t)n});
	}
	if (!(events & EPOLLIN) && (events & (EPOLLHUP | EPOLLERR))) {
		close_channel(s);
		return;
	}
	pump(s);
}

static void
watch(struct sender *s, bool writable)
{
	uint32_t events = EPOLLIN | (writable ? (uint32_t)EPOLLOUT : 0);

	if (s->io.loop && loop_io_set(s->loop, &s->io, s->fd, events, on_channel, s) < 0)
		log_plain(LV_ERR, "decoy.sender.epoll");
}

/* -- life -- */

int
sender_new(struct loop *l, int own_fd, const struct sender_ops *ops, struct sender **ret,
	   struct err *e)
{
	struct sender *s = calloc(1, sizeof(*s));
	int r;

	if (!s) {
		(void)close(own_fd);
		return err_set(e, -ENOMEM, "out of memory");
	}
	s->loop = l;
	s->fd = own_fd;
	s->ops = *ops;
	s->next_no = 1;
	s->started_ms = clock_unix_ms();
	list_init(&s->frames);
	s->unsent = &s->frames;
	buf_init(&s->scratch, LIMIT_CAPTURE_BYTES);
	buf_init(&s->message, MESSAGE_BYTES);
	/* Zero means something else on the channel. */
	while (s->source == 0)
		id_random(&s->source, sizeof(s->source));
	r = loop_io_set(l, &s->io, own_fd, EPOLLIN, on_channel, s);
	if (r < 0) {
		sender_free(s);
		return err_set(e, r, "capture channel: %s", strerror(-r));
	}
	*ret = s;
	return 0;
}

void
sender_free(struct sender *s)
{
	if (!s)
		return;
	LIST_FOR (at, &s->frames)
		free(CONTAINER_OF(at, struct frame, link));
	loop_timer_clear(&s->hello);
	loop_timer_clear(&s->flush);
	loop_io_clear(&s->io);
	if (s->fd >= 0)
		(void)close(s->fd);
	buf_fini(&s->scratch);
	buf_fini(&s->message);
	free(s);
}

int
sender_start(struct sender *s)
{
	return loop_timer_set(s->loop, &s->hello, 0, on_hello, s);
}

uint64_t
sender_source(const struct sender *s)
{
	return s->source;
}

uint64_t
sender_waiting(const struct sender *s)
{
	return s->waiting;
}

bool
sender_held(const struct sender *s)
{
	return s->held;
}

int
sender_put(struct sender *s, struct capture *c)
{
	struct frame *f;
	int r;

	c->source = s->source;
	c->no = s->next_no;
	buf_reset(&s->scratch);
	r = capture_put(&s->scratch, c);
	if (r < 0)
		return r;
	f = malloc(sizeof(*f) + s->scratch.n);
	if (!f)
		return -ENOMEM;
	f->no = s->next_no++;
	f->n = s->scratch.n;
	memcpy(f->bytes, s->scratch.p, f->n);
	list_append(&s->frames, &f->link);
	if (s->unsent == &s->frames)
		s->unsent = &f->link;
	s->waiting++;
	s->bytes += f->n;
	set_held(s);
	/* Everything of this turn leaves together, at its end. */
	if (!s->flush.loop && loop_timer_set(s->loop, &s->flush, 0, on_flush, s) < 0)
		pump(s);
	return 0;
}
