/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UTIL_LOOP_H
#define UTIL_LOOP_H

/*
 * One epoll loop, one thread. Watchers and timers are members of the objects that own them;
 * zeroed memory is a valid idle watcher or timer. Time is read once a turn.
 */

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "util/attr.h"
#include "util/err.h"
#include "util/list.h"

struct loop;
struct loop_io;
struct loop_timer;
struct loop_wake;

typedef void loop_io_fn(struct loop_io *io, uint32_t events);
typedef void loop_timer_fn(struct loop_timer *t);
typedef void loop_free_fn(void *obj);
typedef void loop_wake_fn(struct loop_wake *w);
typedef void loop_signal_fn(void *user, int signo);
typedef uint64_t loop_clock_fn(void *user);

struct loop_io {
	struct loop *loop; /* NULL while not watched */
	int fd;
	uint32_t events;
	loop_io_fn *fn;
	void *user;
};

struct loop_timer {
	struct loop *loop; /* NULL while not armed */
	uint64_t due_ms;   /* loop time */
	uint64_t look_ms; /* when the loop looks at it: its place in the heap; never after due_ms */
	size_t heap_at;
	loop_timer_fn *fn;
	void *user;
};

/* An eventfd that any thread may ring; the function runs on the loop's thread. */
struct loop_wake {
	struct loop_io io;
	int fd; /* written once, before any other thread knows of it */
	bool open;
	loop_wake_fn *fn;
	void *user;
};

/* 0, -EMFILE, -ENOMEM. The clock is CLOCK_MONOTONIC unless one is given (tests). */
int loop_new(struct loop **ret_loop, struct err *e) A_NODISCARD;
void loop_free(struct loop *l);
/* Milliseconds for `now` from here on; NULL restores the real clock. */
void loop_set_clock(struct loop *l, loop_clock_fn *fn, void *user);

/* Time of this turn: monotonic milliseconds, for deadlines. */
uint64_t loop_now_ms(const struct loop *l);
/* Wall clock of this turn: Unix milliseconds, for rows and events. */
uint64_t loop_unix_ms(const struct loop *l);

/*
 * Watch fd for `events` (EPOLLIN, EPOLLOUT, …; level triggered); EPOLLERR and EPOLLHUP always come.
 * Called again it changes the events. 0 or a negative errno.
 */
int loop_io_set(struct loop *l, struct loop_io *io, int fd, uint32_t events, loop_io_fn *fn,
		void *user) A_NODISCARD;
/* Stop watching; the descriptor stays open and the owner's. An event already fetched this turn is
 * not delivered. */
void loop_io_clear(struct loop_io *io);

/* Arm (or re-arm) for `delay_ms` from now. One shot; later than before costs next to nothing. 0 or
 * -ENOMEM. */
int loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t delay_ms, loop_timer_fn *fn,
		   void *user) A_NODISCARD;
void loop_timer_clear(struct loop_timer *t);

/* Make the descriptor; it may be rung from here on. 0 or a negative errno. */
int loop_wake_open(struct loop_wake *w) A_NODISCARD;
/* On the loop's thread: call the function when it is, or was, rung. 0 or a negative errno. */
int loop_wake_serve(struct loop *l, struct loop_wake *w, loop_wake_fn *fn, void *user) A_NODISCARD;
/* Both. 0 or a negative errno. */
int loop_wake_init(struct loop *l, struct loop_wake *w, loop_wake_fn *fn, void *user) A_NODISCARD;
/* Safe from any thread. */
void loop_wake_ring(struct loop_wake *w);
void loop_wake_fini(struct loop_wake *w);

/* Deliver these signals (0-terminated list) through the loop; they are blocked in this thread. 0 or
 * a negative errno. */
int loop_signals(struct loop *l, const int *signos, loop_signal_fn *fn, void *user) A_NODISCARD;

/* Free an object at the end of this turn; the only way to free one from a callback. */
void loop_free_later(struct loop *l, void *obj, loop_free_fn *fn);

/* One turn: wait at most max_wait_ms (-1: until something happens), run what is due, then free. 0
 * or a negative errno. */
int loop_turn(struct loop *l, int max_wait_ms) A_NODISCARD;
/* Turn until loop_stop. 0 or the first failure of a turn. */
int loop_run(struct loop *l) A_NODISCARD;
void loop_stop(struct loop *l);

#endif
