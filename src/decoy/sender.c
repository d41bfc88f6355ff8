/* SPDX-License-Identifier: Apache-2.0 */
/* Captures on their way out, kept until the resolver has them in the store. */
#include "decoy/sender.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/limits.h"
#include "util/list.h"
#include "util/log.h"

/* There is room again when so much has been acknowledged. */
#define ROOM_AGAIN (LIMIT_CAPTURE_UNACKED_BYTES / 2)

struct node {
	struct list link;
	uint64_t last_no;
	size_t n;
	char bytes[];
};

struct sender {
	struct loop *loop;
	struct loop_io io;
	int fd;
	uint64_t source;
	struct list kept;  /* unacknowledged, oldest first */
	struct list *next; /* the first not yet sent, or &kept */
	size_t kept_bytes;
	bool full, blocked;
	sender_full_fn *on_full;
	void *user;
};

static void send_all(struct sender *s);

static void
acknowledge(struct sender *s, const struct capture_ack *ack)
{
	if (ack->source == 0) {
		s->next = s->kept.next;
		return;
	}
	if (ack->source != s->source)
		return;
	LIST_FOR (at, &s->kept) {
		struct node *node = CONTAINER_OF(at, struct node, link);

		if (node->last_no > ack->no)
			break;
		if (s->next == at)
			s->next = at->next;
		list_unlink(at);
		s->kept_bytes -= node->n;
		free(node);
	}
	if (s->full && s->kept_bytes <= ROOM_AGAIN) {
		s->full = false;
		s->on_full(s->user, false);
	}
}

static void
on_io(struct loop_io *io, uint32_t events)
{
	struct sender *s = io->user;
	struct capture_ack ack;
	char text[64];

	for (int i = 0; i < 64 && (events & EPOLLIN); i++) {
		ssize_t n = recv(s->fd, text, sizeof(text), MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			/* The supervisor keeps both ends: an end of file means that it is gone, and
			 * so are we soon. */
			if (n == 0)
				loop_io_clear(&s->io);
			break;
		}
		if (capture_ack_get((struct sv){text, (size_t)n}, &ack) == 0)
			acknowledge(s, &ack);
	}
	s->blocked = false;
	send_all(s);
}

static void
send_all(struct sender *s)
{
	while (s->next != &s->kept && !s->blocked) {
		struct node *node = CONTAINER_OF(s->next, struct node, link);

		if (send(s->fd, node->bytes, node->n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
			if (errno == EINTR)
				continue;
			s->blocked = true;
			break;
		}
		s->next = s->next->next;
	}
	if (s->io.loop &&
	    loop_io_set(s->loop, &s->io, s->fd, EPOLLIN | (s->blocked ? (uint32_t)EPOLLOUT : 0),
			on_io, s) < 0)
		log_plain(LV_ERR, "decoy.capture.epoll");
}

int
sender_new(struct loop *l, int own_fd, uint64_t source, sender_full_fn *on_full, void *user,
	   struct sender **ret_sender, struct err *e)
{
	struct sender *s = calloc(1, sizeof(*s));
	int r;

	if (!s) {
		(void)close(own_fd);
		return err_set(e, -ENOMEM, "out of memory");
	}
	s->loop = l;
	s->fd = own_fd;
	s->source = source;
	s->on_full = on_full;
	s->user = user;
	list_init(&s->kept);
	s->next = &s->kept;
	r = loop_io_set(l, &s->io, own_fd, EPOLLIN, on_io, s);
	if (r < 0) {
		sender_free(s);
		return err_set(e, r, "capture channel: %s", strerror(-r));
	}
	*ret_sender = s;
	return 0;
}

void
sender_free(struct sender *s)
{
	if (!s)
		return;
	LIST_FOR (at, &s->kept)
		free(CONTAINER_OF(at, struct node, link));
	loop_io_clear(&s->io);
	(void)close(s->fd);
	free(s);
}

int
sender_put(struct sender *s, struct buf *frames, uint64_t last_no)
{
	struct node *node;

	if (frames->n == 0)
		return 0;
	node = malloc(sizeof(*node) + frames->n);
	if (!node)
		return -ENOMEM;
	node->last_no = last_no;
	node->n = frames->n;
	memcpy(node->bytes, frames->p, frames->n);
	buf_reset(frames);
	list_append(&s->kept, &node->link);
	if (s->next == &s->kept)
		s->next = &node->link;
	s->kept_bytes += node->n;
	send_all(s);
	if (!s->full && s->kept_bytes >= LIMIT_CAPTURE_UNACKED_BYTES) {
		s->full = true;
		log_event(LV_WARN, "decoy.captures.full", KV_U("bytes", s->kept_bytes));
		s->on_full(s->user, true);
	}
	return 0;
}

void
sender_hello(struct sender *s, const struct capture_hello *hello)
{
	unsigned char text[CAPTURE_HELLO_BYTES];

	capture_hello_put(hello, text);
	/* A heartbeat that finds no room is not missed by anybody: the next one comes soon. */
	if (send(s->fd, text, sizeof(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
}

bool
sender_full(const struct sender *s)
{
	return s->full;
}
