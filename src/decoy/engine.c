/* SPDX-License-Identifier: Apache-2.0 */
/* Orders of the driver, and the listening sockets they bring. */
#include "decoy/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "decoy/control.h"
#include "decoy/flow.h"
#include "decoy/listener.h"
#include "decoy/sender.h"
#include "util/fdpass.h"
#include "util/hash.h"
#include "util/limits.h"
#include "util/log.h"

#define BUCKETS		  4096
#define ACCEPTS_PER_TURN  32
#define REQUESTS_PER_TURN 32
#define RETRY_MS	  200 /* when descriptors ran out */
/* Buckets of one piece of a list; between pieces other requests come. */
#define PIECE_BUCKETS	  64
/* Answers that the driver has not read. While any waits, no further request is read and no further
 * piece of a list is made. */
#define ANSWERS_MAX	  ((size_t)LIMIT_DECOY_LISTENERS * (CONTROL_LISTENER_MAX + 64))

struct engine {
	struct loop *loop;
	struct sessions *sessions; /* of connections, or NULL */
	struct flows *flows;	   /* of datagrams, or NULL */
	struct sender *sender;
	int control;
	struct loop_io control_io;
	struct buf answers; /* each with its length before it */
	struct list buckets[BUCKETS];
	unsigned listeners;
	bool listing;
	int64_t list_n; /* the number of the request */
	size_t list_at; /* the next bucket to tell */
	bool stopping;
	struct loop_timer stop;
	char request[CONTROL_BYTES_MAX];
};

static void on_control(struct loop_io *io, uint32_t events);

/* -- listeners -- */

static struct list *
bucket_of(struct engine *en, const char *id)
{
	return &en->buckets[hash_fold(hash_text(id)) % BUCKETS];
}

static struct listener *
find(struct engine *en, const char *id)
{
	struct list *bucket = bucket_of(en, id);

	LIST_FOR (at, bucket) {
		struct listener *l = CONTAINER_OF(at, struct listener, link);

		if (strcmp(l->place.listener, id) == 0)
			return l;
	}
	return NULL;
}

static void on_listener(struct loop_io *io, uint32_t events);

static void
watch_listener(struct engine *en, struct listener *l)
{
	bool rest = sender_held(en->sender) || l->retry.loop;

	if (l->fd >= 0 &&
	    loop_io_set(en->loop, &l->io, l->fd, rest ? 0 : EPOLLIN, on_listener, l) < 0)
		log_event(LV_ERR, "decoy.listener.epoll", KV_S("listener", l->place.listener));
}

static void
on_retry(struct loop_timer *t)
{
	struct listener *l = t->user;

	watch_listener(l->owner, l);
}

static void
on_listener(struct loop_io *io, uint32_t events)
{
	struct listener *l = io->user;
	struct engine *en = l->owner;

	(void)events;
	if (en->flows) {
		flows_read(en->flows, l);
		return;
	}
	for (unsigned i = 0; i < ACCEPTS_PER_TURN && !sender_held(en->sender); i++) {
		struct sockaddr_storage peer = {0};
		socklen_t n = sizeof(peer);
		int fd = accept4(l->fd, (struct sockaddr *)&peer, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			sessions_accept(en->sessions, l, fd, &peer);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			log_event(LV_ERR, "decoy.accept", KV_I("errno", errno));
			if (loop_timer_set(en->loop, &l->retry, RETRY_MS, on_retry, l) == 0)
				watch_listener(en, l);
		}
		/* Anything else is a connection that went away before we saw it. */
		return;
	}
}

static void
remove_listener(struct engine *en, struct listener *l, enum decoy_close why)
{
	listener_close(l);
	list_unlink(&l->link);
	en->listeners--;
	if (en->flows)
		flows_end(en->flows, l, why);
	else
		sessions_end(en->sessions, l, why);
	listener_unref(l);
}

/* -- orders -- */

/* Only what this process serves: a socket of the other kind would come past its filter. */
static int
check_socket(const struct engine *en, int fd, struct err *e)
{
	socklen_t n = sizeof(int);
	int got = 0;

	if (en->flows) {
		if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &got, &n) < 0 || got != SOCK_DGRAM)
			return err_set(e, -EINVAL, "the descriptor is no datagram socket");
	} else if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &got, &n) < 0 || !got) {
		return err_set(e, -EINVAL, "the descriptor is no listening socket");
	}
	/* Its flags are shared with the driver's duplicate; an accept must never wait. */
	if (fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		return err_set(e, -errno, "fcntl: %m");
	return 0;
}

static int
do_open(struct engine *en, struct control *request, int *fd, struct err *e)
{
	struct listener *l = NULL;
	int r;

	if (find(en, request->listener))
		return err_set(e, -EEXIST, "exists");
	if (*fd < 0)
		return err_set(e, -EINVAL, "no descriptor came with it");
	if (request->udp != (en->flows != NULL))
		return err_set(e, -EINVAL, "this process serves %s", en->flows ? "udp" : "tcp");
	if (en->stopping)
		return err_set(e, -ESHUTDOWN, "stopping");
	if (en->listeners >= LIMIT_DECOY_LISTENERS)
		return err_set(e, -ENOBUFS, "too many listeners");
	r = check_socket(en, *fd, e);
	if (r == 0)
		r = listener_new(request, *fd, &l, e);
	if (r < 0)
		return r;
	*fd = -1;
	l->owner = en;
	list_append(bucket_of(en, l->place.listener), &l->link);
	en->listeners++;
	watch_listener(en, l);
	return 0;
}

static int
queue_answer(struct engine *en, const struct buf *text)
{
	uint32_t n = (uint32_t)text->n;
	int r = buf_reserve(&en->answers, sizeof(n) + text->n);

	if (r == 0)
		r = buf_put(&en->answers, (struct sv){(const char *)&n, sizeof(n)});
	return r < 0 ? r : buf_put(&en->answers, buf_sv(text));
}

static void
answer(struct engine *en, int64_t n, int result, const struct err *e)
{
	struct buf text;
	int r;

	buf_init(&text, CONTROL_ANSWER_MAX);
	r = result < 0 ? control_put_error(&text, n, err_text(e)) : control_put_ok(&text, n);
	if (r == 0)
		r = queue_answer(en, &text);
	if (r < 0)
		log_event(LV_ERR, "decoy.control.answer", KV_I("errno", -r));
	buf_fini(&text);
}

/* Put a piece that has something in it, and begin anew. */
static int
end_piece(struct engine *en, struct buf *text)
{
	int r = text->n > 0 ? control_end_listeners(text) : 0;

	if (r == 0 && text->n > 0)
		r = queue_answer(en, text);
	buf_reset(text);
	return r;
}

static int
put_bucket(struct engine *en, size_t at, struct buf *text)
{
	int r = 0;

	LIST_FOR (node, &en->buckets[at]) {
		const char *id = CONTAINER_OF(node, struct listener, link)->place.listener;

		if (r == 0)
			r = control_put_listener(text, en->list_n, id);
		if (r == -ENOBUFS && (r = end_piece(en, text)) == 0)
			r = control_put_listener(text, en->list_n, id);
	}
	return r;
}

/* Tell some of the listeners; after the last ones, that it was all. */
static void
list_more(struct engine *en)
{
	size_t end = en->list_at + PIECE_BUCKETS;
	struct err e = {0};
	struct buf text;
	int r = 0;

	buf_init(&text, CONTROL_LIST_MAX);
	for (; r == 0 && en->list_at < end && en->list_at < BUCKETS; en->list_at++)
		r = put_bucket(en, en->list_at, &text);
	if (r == 0)
		r = end_piece(en, &text);
	buf_fini(&text);
	if (r == 0 && en->list_at < BUCKETS)
		return;
	en->listing = false;
	if (r < 0)
		(void)err_set(&e, r, "out of memory");
	answer(en, en->list_n, r, &e);
}

/* A driver that asks again has begun a new life: its former one hears no more. */
static void
list_begin(struct engine *en, int64_t n)
{
	struct err e = {0};

	if (en->listing)
		answer(en, en->list_n, err_set(&e, -ECANCELED, "there is a new request"), &e);
	en->listing = true;
	en->list_n = n;
	en->list_at = 0;
}

/* 0: done; 1: it is answered later; a negative errno. */
static int
obey(struct engine *en, struct control *request, int *fd, struct err *e)
{
	struct listener *l;

	switch (request->op) {
	case CONTROL_OPEN: return do_open(en, request, fd, e);
	case CONTROL_CLOSE:
		l = find(en, request->listener);
		if (l)
			remove_listener(en, l, DECOY_CLOSE_CLOSED);
		return 0;
	case CONTROL_LIST: list_begin(en, request->n); return 1;
	}
	return 0;
}

static void
take_request(struct engine *en, struct sv text, int fd)
{
	struct control request;
	struct err e = {0};
	int64_t n;
	int r = control_parse(text, &request, &e);

	n = request.n;
	if (r == 0) {
		char listener[CONTROL_LISTENER_MAX + 1];
		static const char *const words[] = {"open", "close", "list"};
		enum control_op op = request.op;

		(void)sv_copy(sv_from(request.listener), listener, sizeof(listener));
		r = obey(en, &request, &fd, &e);
		log_event(r < 0 && r != -EEXIST ? LV_WARN : LV_DEBUG, "decoy.control",
			  KV_S("op", words[op]), KV_S("listener", listener),
			  KV_S("why", r < 0 ? err_text(&e) : ""));
	} else {
		log_event(LV_WARN, "decoy.control.malformed", KV_S("why", err_text(&e)));
	}
	if (n >= 0 && r <= 0)
		answer(en, n, r, &e);
	control_fini(&request);
	if (fd >= 0)
		(void)close(fd);
}

/* -- the control channel -- */

static void
watch_control(struct engine *en)
{
	uint32_t events = en->answers.n > 0 ? EPOLLOUT : en->listing ? EPOLLIN | EPOLLOUT : EPOLLIN;

	if (loop_io_set(en->loop, &en->control_io, en->control, events, on_control, en) < 0)
		log_plain(LV_ERR, "decoy.control.epoll");
}

/* 0 when everything left, -EAGAIN, or the end of the channel. */
static int
send_answers(struct engine *en)
{
	size_t at = 0;
	int r = 0;

	while (at < en->answers.n) {
		uint32_t n;

		memcpy(&n, en->answers.p + at, sizeof(n));
		if (send(en->control, en->answers.p + at + sizeof(n), n,
			 MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
			r = -errno;
			if (r == -EINTR)
				continue;
			break;
		}
		at += sizeof(n) + n;
	}
	buf_drop(&en->answers, at);
	return r;
}

static void
control_gone(struct engine *en, int code)
{
	log_event(LV_ERR, "decoy.control.closed", KV_I("errno", -code));
	loop_io_clear(&en->control_io);
	engine_stop(en);
}

static void
on_control(struct loop_io *io, uint32_t events)
{
	struct engine *en = io->user;
	int r = 0;

	for (unsigned i = 0; i < REQUESTS_PER_TURN && (events & EPOLLIN) && en->answers.n == 0;
	     i++) {
		int fds[1] = {-1};
		unsigned nfds = 0;
		ssize_t n =
			fdpass_recv(en->control, en->request, sizeof(en->request), fds, 1, &nfds);

		if (n == -EAGAIN)
			break;
		if (n == -EMSGSIZE) {
			log_event(LV_WARN, "decoy.control.malformed", KV_S("why", "too long"));
			continue;
		}
		if (n <= 0) {
			control_gone(en, (int)n);
			return;
		}
		take_request(en, (struct sv){en->request, (size_t)n}, nfds > 0 ? fds[0] : -1);
		r = send_answers(en);
	}
	if (events & EPOLLOUT && en->answers.n == 0 && en->listing)
		list_more(en);
	if (events & EPOLLOUT)
		r = send_answers(en);
	if ((r < 0 && r != -EAGAIN) ||
	    ((events & (EPOLLHUP | EPOLLERR)) && !(events & (EPOLLIN | EPOLLOUT)))) {
		control_gone(en, r);
		return;
	}
	watch_control(en);
}

/* -- what the sender says -- */

static void
on_hold(void *user, bool held)
{
	struct engine *en = user;

	for (size_t i = 0; i < BUCKETS; i++)
		LIST_FOR (at, &en->buckets[i])
			watch_listener(en, CONTAINER_OF(at, struct listener, link));
	if (en->sessions)
		sessions_hold(en->sessions, held);
}

static void
on_drained(void *user)
{
	struct engine *en = user;

	if (en->stopping)
		loop_stop(en->loop);
}

static void
on_gone(void *user)
{
	struct engine *en = user;

	log_plain(LV_ERR, "decoy.captures.closed");
	en->stopping = true;
	loop_stop(en->loop);
}

static uint32_t
count_connections(void *user)
{
	const struct engine *en = user;

	return en->flows ? flows_count(en->flows) : sessions_count(en->sessions);
}

/* -- life -- */

int
engine_new(struct loop *l, int own_capture_fd, int own_control_fd,
	   const struct session_limits *limits, bool datagrams, struct engine **ret, struct err *e)
{
	struct engine *en = calloc(1, sizeof(*en));
	struct sender_ops ops = {on_hold, on_drained, on_gone, count_connections, en};
	int r;

	if (!en) {
		(void)close(own_capture_fd);
		(void)close(own_control_fd);
		return err_set(e, -ENOMEM, "out of memory");
	}
	en->loop = l;
	en->control = own_control_fd;
	buf_init(&en->answers, ANSWERS_MAX);
	for (size_t i = 0; i < BUCKETS; i++)
		list_init(&en->buckets[i]);
	r = sender_new(l, own_capture_fd, &ops, &en->sender, e);
	if (r == 0) {
		r = datagrams ? flows_new(l, limits, &en->flows)
			      : sessions_new(l, limits, &en->sessions);
		if (r < 0)
			(void)err_set(e, r, "out of memory");
	}
	if (r < 0) {
		engine_free(en);
		return r;
	}
	if (datagrams)
		flows_set_sender(en->flows, en->sender);
	else
		sessions_set_sender(en->sessions, en->sender);
	*ret = en;
	return 0;
}

int
engine_start(struct engine *en)
{
	struct buf text;
	int r;

	buf_init(&text, CONTROL_ANSWER_MAX);
	r = control_put_started(&text, sender_source(en->sender), getpid());
	if (r == 0)
		r = queue_answer(en, &text);
	buf_fini(&text);
	if (r == 0)
		r = sender_start(en->sender);
	if (r == 0)
		watch_control(en);
	return r;
}

static void
on_stop(struct loop_timer *t)
{
	struct engine *en = t->user;

	log_event(LV_WARN, "decoy.stop.unacknowledged",
		  KV_U("captures", sender_waiting(en->sender)));
	loop_stop(en->loop);
}

void
engine_stop(struct engine *en)
{
	if (en->stopping)
		return;
	en->stopping = true;
	for (size_t i = 0; i < BUCKETS; i++)
		LIST_FOR (at, &en->buckets[i])
			remove_listener(en, CONTAINER_OF(at, struct listener, link),
					DECOY_CLOSE_SHUTDOWN);
	if (sender_waiting(en->sender) == 0 ||
	    loop_timer_set(en->loop, &en->stop, ENGINE_STOP_MS, on_stop, en) < 0)
		loop_stop(en->loop);
}

void
engine_free(struct engine *en)
{
	if (!en)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		LIST_FOR (at, &en->buckets[i]) {
			struct listener *l = CONTAINER_OF(at, struct listener, link);

			listener_close(l);
			list_unlink(at);
			listener_unref(l);
		}
	}
	flows_free(en->flows);
	sessions_free(en->sessions);
	sender_free(en->sender);
	loop_timer_clear(&en->stop);
	loop_io_clear(&en->control_io);
	(void)close(en->control);
	buf_fini(&en->answers);
	free(en);
}
