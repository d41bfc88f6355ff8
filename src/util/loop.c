/* SPDX-License-Identifier: Apache-2.0 */
/* One epoll loop with timers in a binary heap, wake-ups from other threads, signals, and deferred
 * free. */
#include "util/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "util/clock.h"

#define EVENTS_PER_TURN 256

struct garbage {
	void *obj;
	loop_free_fn *fn;
};

struct loop {
	int epfd;
	bool stop;
	uint64_t now_ms, unix_ms;
	loop_clock_fn *clock;
	void *clock_user;
	struct loop_timer **heap;
	size_t timers, timers_cap;
	struct epoll_event batch[EVENTS_PER_TURN];
	int batch_n, batch_at;
	struct garbage *garbage;
	size_t garbage_n, garbage_cap;
	int signal_fd;
	struct loop_io signal_io;
	loop_signal_fn *on_signal;
	void *signal_user;
};

static void
read_time(struct loop *l)
{
	l->now_ms = l->clock ? l->clock(l->clock_user) : clock_mono_ms();
	l->unix_ms = clock_unix_ms();
}

int
loop_new(struct loop **ret_loop, struct err *e)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return err_set(e, -ENOMEM, "out of memory");
	l->signal_fd = -1;
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epfd < 0) {
		int r = err_set(e, -errno, "epoll_create1: %m");

		free(l);
		return r;
	}
	read_time(l);
	*ret_loop = l;
	return 0;
}

static void
free_garbage(struct loop *l)
{
	/* A destructor may hand over more garbage, so the count is read anew each time. */
	for (size_t i = 0; i < l->garbage_n; i++)
		l->garbage[i].fn(l->garbage[i].obj);
	l->garbage_n = 0;
}

void
loop_free(struct loop *l)
{
	if (!l)
		return;
	free_garbage(l);
	if (l->signal_fd >= 0)
		(void)close(l->signal_fd);
	(void)close(l->epfd);
	free(l->garbage);
	free(l->heap);
	free(l);
}

void
loop_set_clock(struct loop *l, loop_clock_fn *fn, void *user)
{
	l->clock = fn;
	l->clock_user = user;
	read_time(l);
}

uint64_t
loop_now_ms(const struct loop *l)
{
	return l->now_ms;
}

uint64_t
loop_unix_ms(const struct loop *l)
{
	return l->unix_ms;
}

int
loop_io_set(struct loop *l, struct loop_io *io, int fd, uint32_t events, loop_io_fn *fn, void *user)
{
	struct epoll_event ev = {.events = events, .data.ptr = io};

	if (io->loop && io->fd == fd && io->events == events) {
		io->fn = fn;
		io->user = user;
		return 0;
	}
	if (epoll_ctl(l->epfd, io->loop ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;
	io->loop = l;
	io->fd = fd;
	io->events = events;
	io->fn = fn;
	io->user = user;
	return 0;
}

void
loop_io_clear(struct loop_io *io)
{
	struct loop *l = io->loop;

	if (!l)
		return;
	(void)epoll_ctl(l->epfd, EPOLL_CTL_DEL, io->fd, NULL);
	for (int i = l->batch_at; i < l->batch_n; i++)
		if (l->batch[i].data.ptr == io)
			l->batch[i].data.ptr = NULL;
	io->loop = NULL;
}

static void
heap_put(struct loop *l, size_t at, struct loop_timer *t)
{
	l->heap[at] = t;
	t->heap_at = at;
}

static void
heap_up(struct loop *l, size_t at)
{
	struct loop_timer *t = l->heap[at];

	while (at > 0 && l->heap[(at - 1) / 2]->look_ms > t->look_ms) {
		heap_put(l, at, l->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	heap_put(l, at, t);
}

static void
heap_down(struct loop *l, size_t at)
{
	struct loop_timer *t = l->heap[at];

	for (;;) {
		size_t child = at * 2 + 1;

		if (child >= l->timers)
			break;
		if (child + 1 < l->timers && l->heap[child + 1]->look_ms < l->heap[child]->look_ms)
			child++;
		if (l->heap[child]->look_ms >= t->look_ms)
			break;
		heap_put(l, at, l->heap[child]);
		at = child;
	}
	heap_put(l, at, t);
}

int
loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t delay_ms, loop_timer_fn *fn,
	       void *user)
{
	uint64_t due_ms = l->now_ms + delay_ms;

	t->fn = fn;
	t->user = user;
	/* A deadline that is put off stays where it is: when the loop gets there it sees. */
	if (t->loop && t->look_ms <= due_ms) {
		t->due_ms = due_ms;
		return 0;
	}
	loop_timer_clear(t);
	if (l->timers == l->timers_cap) {
		size_t cap = l->timers_cap ? l->timers_cap * 2 : 16;
		struct loop_timer **heap = realloc(l->heap, cap * sizeof(*heap));

		if (!heap)
			return -ENOMEM;
		l->heap = heap;
		l->timers_cap = cap;
	}
	t->loop = l;
	t->due_ms = t->look_ms = due_ms;
	heap_put(l, l->timers, t);
	heap_up(l, l->timers++);
	return 0;
}

void
loop_timer_clear(struct loop_timer *t)
{
	struct loop *l = t->loop;
	size_t at = t->heap_at;

	if (!l)
		return;
	t->loop = NULL;
	l->timers--;
	if (at == l->timers)
		return;
	heap_put(l, at, l->heap[l->timers]);
	heap_up(l, at);
	heap_down(l, l->heap[at]->heap_at);
}

static void
on_wake(struct loop_io *io, uint32_t events)
{
	struct loop_wake *w = io->user;
	uint64_t count;

	(void)events;
	if (read(io->fd, &count, sizeof(count)) == (ssize_t)sizeof(count))
		w->fn(w);
}

int
loop_wake_open(struct loop_wake *w)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		return -errno;
	*w = (struct loop_wake){.fd = fd, .open = true};
	return 0;
}

int
loop_wake_serve(struct loop *l, struct loop_wake *w, loop_wake_fn *fn, void *user)
{
	w->fn = fn;
	w->user = user;
	return loop_io_set(l, &w->io, w->fd, EPOLLIN, on_wake, w);
}

int
loop_wake_init(struct loop *l, struct loop_wake *w, loop_wake_fn *fn, void *user)
{
	int r = loop_wake_open(w);

	if (r == 0)
		r = loop_wake_serve(l, w, fn, user);
	if (r < 0)
		loop_wake_fini(w);
	return r;
}

void
loop_wake_ring(struct loop_wake *w)
{
	uint64_t one = 1;

	/* It can only fail when the counter is full, and then the loop is already to wake. */
	if (write(w->fd, &one, sizeof(one)) < 0)
		return;
}

void
loop_wake_fini(struct loop_wake *w)
{
	if (!w->open)
		return;
	loop_io_clear(&w->io);
	(void)close(w->fd);
	w->open = false;
}

static void
on_signal_fd(struct loop_io *io, uint32_t events)
{
	struct loop *l = io->user;
	struct signalfd_siginfo info;

	(void)events;
	while (read(io->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		l->on_signal(l->signal_user, (int)info.ssi_signo);
}

int
loop_signals(struct loop *l, const int *signos, loop_signal_fn *fn, void *user)
{
	sigset_t set;

	(void)sigemptyset(&set);
	for (; *signos; signos++)
		(void)sigaddset(&set, *signos);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	l->signal_fd = signalfd(l->signal_fd, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (l->signal_fd < 0)
		return -errno;
	l->on_signal = fn;
	l->signal_user = user;
	return loop_io_set(l, &l->signal_io, l->signal_fd, EPOLLIN, on_signal_fd, l);
}

void
loop_free_later(struct loop *l, void *obj, loop_free_fn *fn)
{
	if (l->garbage_n == l->garbage_cap) {
		size_t cap = l->garbage_cap ? l->garbage_cap * 2 : 64;
		struct garbage *g = realloc(l->garbage, cap * sizeof(*g));

		/* Without memory the object is leaked rather than freed while it may be in use. */
		if (!g)
			return;
		l->garbage = g;
		l->garbage_cap = cap;
	}
	l->garbage[l->garbage_n++] = (struct garbage){obj, fn};
}

static int
wait_ms(const struct loop *l, int max_wait_ms)
{
	uint64_t left;

	if (l->timers == 0)
		return max_wait_ms;
	if (l->heap[0]->look_ms <= l->now_ms)
		return 0;
	left = l->heap[0]->look_ms - l->now_ms;
	if (max_wait_ms >= 0 && (uint64_t)max_wait_ms < left)
		return max_wait_ms;
	return left > 60000 ? 60000 : (int)left;
}

int
loop_turn(struct loop *l, int max_wait_ms)
{
	size_t due;
	int n;

	read_time(l);
	n = epoll_wait(l->epfd, l->batch, EVENTS_PER_TURN, wait_ms(l, max_wait_ms));
	if (n < 0 && errno != EINTR)
		return -errno;
	read_time(l);
	l->batch_n = n < 0 ? 0 : n;
	for (l->batch_at = 0; l->batch_at < l->batch_n;) {
		struct epoll_event ev = l->batch[l->batch_at++];
		struct loop_io *io = ev.data.ptr;

		if (io)
			io->fn(io, ev.events);
	}
	l->batch_n = 0;
	/* At most as many as there were: a timer that re-arms itself for "now" waits for the next
	 * turn. */
	for (due = l->timers; due > 0 && l->timers > 0 && l->heap[0]->look_ms <= l->now_ms; due--) {
		struct loop_timer *t = l->heap[0];

		if (t->due_ms > l->now_ms) {
			t->look_ms = t->due_ms;
			heap_down(l, 0);
			continue;
		}
		loop_timer_clear(t);
		t->fn(t);
	}
	free_garbage(l);
	return 0;
}

int
loop_run(struct loop *l)
{
	int r = 0;

	l->stop = false;
	while (!l->stop && r == 0)
		r = loop_turn(l, -1);
	return r;
}

void
loop_stop(struct loop *l)
{
	l->stop = true;
}
