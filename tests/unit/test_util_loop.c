/* SPDX-License-Identifier: Apache-2.0 */
/* The loop with an injected clock, deferred free inside a batch, and the thread pool behind it. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/fdpass.h"
#include "util/loop.h"
#include "util/pool.h"

static uint64_t now;

static uint64_t
fake_clock(void *user)
{
	(void)user;
	return now;
}

static int
setup(void **state)
{
	struct loop *l = NULL;

	now = 1000;
	assert_int_equal(loop_new(&l, NULL), 0);
	loop_set_clock(l, fake_clock, NULL);
	*state = l;
	return 0;
}

static int
teardown(void **state)
{
	loop_free(*state);
	return 0;
}

static char order[64];

static void
on_timer(struct loop_timer *t)
{
	(void)strncat(order, t->user, sizeof(order) - strlen(order) - 1);
}

static void
timers_fire_in_the_order_of_their_time(void **state)
{
	struct loop_timer timers[4] = {0};
	static const struct {
		uint64_t delay;
		const char *name;
	} rows[] = {{30, "c"}, {10, "a"}, {20, "b"}, {40, "d"}};

	order[0] = 0;
	for (int i = 0; i < 4; i++) {
		char *name = NULL;

		memcpy(&name, &rows[i].name, sizeof(name));
		assert_int_equal(loop_timer_set(*state, &timers[i], rows[i].delay, on_timer, name),
				 0);
	}
	assert_int_equal(loop_turn(*state, 0), 0);
	assert_string_equal(order, "");
	now += 25;
	assert_int_equal(loop_turn(*state, 0), 0);
	assert_string_equal(order, "ab");
	loop_timer_clear(&timers[0]);
	now += 100;
	assert_int_equal(loop_turn(*state, 0), 0);
	assert_string_equal(order, "abd");
}

static int fired;

static void
on_again(struct loop_timer *t)
{
	fired++;
	assert_int_equal(loop_timer_set(t->user, t, 0, on_again, t->user), 0);
}

static void
set(struct loop *l, struct loop_timer *t, uint64_t delay, const char *name)
{
	assert_int_equal(loop_timer_set(l, t, delay, on_timer, (void *)(uintptr_t)name), 0);
}

static void
look_at(struct loop *l, uint64_t when)
{
	now = when;
	assert_int_equal(loop_turn(l, 0), 0);
}

static void
timers_put_off_or_brought_forward_fire_at_their_last_time(void **state)
{
	struct loop_timer a = {0}, b = {0}, c = {0};
	struct loop *l = *state;

	order[0] = '\0';
	set(l, &a, 10, "a");
	set(l, &b, 20, "b");
	set(l, &c, 30, "c");
	set(l, &a, 25, "A");
	set(l, &a, 40, "a");
	set(l, &c, 5, "c");
	look_at(l, 1004);
	assert_string_equal(order, "");
	look_at(l, 1015);
	assert_string_equal(order, "c");
	set(l, &b, 60, "b");
	look_at(l, 1039);
	assert_string_equal(order, "c");
	look_at(l, 1040);
	assert_string_equal(order, "ca");
	/* Put off, then cleared; and one whose place was reached before its time. */
	set(l, &a, 1, "a");
	set(l, &a, 9, "a");
	look_at(l, 1045);
	loop_timer_clear(&a);
	look_at(l, 1074);
	assert_string_equal(order, "ca");
	look_at(l, 1075);
	assert_string_equal(order, "cab");
}

static void
a_timer_that_arms_itself_for_now_waits_a_turn(void **state)
{
	struct loop_timer t = {0};

	fired = 0;
	assert_int_equal(loop_timer_set(*state, &t, 0, on_again, *state), 0);
	assert_int_equal(loop_turn(*state, 0), 0);
	assert_int_equal(fired, 1);
	assert_int_equal(loop_turn(*state, 0), 0);
	assert_int_equal(fired, 2);
	loop_timer_clear(&t);
}

struct end {
	struct loop_io io;
	struct end *peer;
	int fd, called;
	bool *freed;
};

static void
end_free(void *obj)
{
	struct end *end = obj;

	*end->freed = true;
	(void)close(end->fd);
	free(end);
}

static void
on_end(struct loop_io *io, uint32_t events)
{
	struct end *end = io->user, *peer = end->peer;
	struct loop *l = io->loop;

	(void)events;
	/* Both ends are ready in this batch; whoever comes first closes both. */
	loop_io_clear(&end->io);
	loop_io_clear(&peer->io);
	loop_free_later(l, end, end_free);
	loop_free_later(l, peer, end_free);
	fired++;
}

static void
what_a_callback_frees_is_not_called(void **state)
{
	struct end *ends[2];
	bool freed[2] = {false, false};
	int fds[2];

	fired = 0;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
			 0);
	for (int i = 0; i < 2; i++) {
		ends[i] = calloc(1, sizeof(*ends[i]));
		assert_non_null(ends[i]);
		ends[i]->fd = fds[i];
		ends[i]->freed = &freed[i];
		assert_int_equal(write(fds[i], "x", 1), 1);
		assert_int_equal(
			loop_io_set(*state, &ends[i]->io, fds[i], EPOLLIN, on_end, ends[i]), 0);
	}
	ends[0]->peer = ends[1];
	ends[1]->peer = ends[0];
	assert_int_equal(loop_turn(*state, 0), 0);
	assert_int_equal(fired, 1);
	assert_true(freed[0] && freed[1]);
}

static _Thread_local int thread_number;

static int
thread_init(void *user, void **ret_state, struct err *e)
{
	int *count = user;

	if (__atomic_load_n(count, __ATOMIC_SEQ_CST) < 0)
		return err_set(e, -EIO, "made to fail");
	thread_number = __atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST);
	*ret_state = &thread_number;
	return 0;
}

struct job {
	struct pool_job job;
	int ran, done;
	struct loop *loop;
};

static void
job_run(struct pool_job *job, void *thread_state)
{
	struct job *j = job->user;

	j->ran = *(int *)thread_state > 0;
}

static void
job_done(struct pool_job *job)
{
	struct job *j = job->user;

	j->done++;
	fired++;
}

static void
jobs_run_on_threads_and_end_on_the_loop(void **state)
{
	struct job jobs[100] = {0};
	int count = 0;
	struct pool_ops ops = {.init = thread_init, .user = &count};
	struct pool *p = NULL;

	fired = 0;
	loop_set_clock(*state, NULL, NULL);
	assert_int_equal(pool_new(*state, 3, 200, &ops, &p, NULL), 0);
	assert_int_equal(count, 3);
	for (int i = 0; i < 100; i++) {
		jobs[i].job = (struct pool_job){.run = job_run, .done = job_done, .user = &jobs[i]};
		assert_int_equal(pool_submit(p, &jobs[i].job), 0);
	}
	while (fired < 100)
		assert_int_equal(loop_turn(*state, 1000), 0);
	for (int i = 0; i < 100; i++)
		assert_true(jobs[i].ran && jobs[i].done == 1);
	pool_free(p);
}

static void
a_thread_that_cannot_start_is_told(void **state)
{
	int count = -1;
	struct pool_ops ops = {.init = thread_init, .user = &count};
	struct pool *p = NULL;
	struct err e = {0};

	assert_int_equal(pool_new(*state, 2, 1, &ops, &p, &e), -EIO);
	assert_string_equal(e.msg, "made to fail");
	assert_null(p);
}

static int gate[2];

static void
wait_for_gate(struct pool_job *job, void *thread_state)
{
	char c;

	(void)job;
	(void)thread_state;
	(void)!read(gate[0], &c, 1);
}

static void
the_queue_has_a_ceiling(void **state)
{
	struct job jobs[4] = {0};
	int count = 0;
	struct pool_ops ops = {.init = thread_init, .user = &count};
	struct pool *p = NULL;

	fired = 0;
	assert_int_equal(pipe(gate), 0);
	assert_int_equal(pool_new(*state, 1, 2, &ops, &p, NULL), 0);
	for (int i = 0; i < 4; i++)
		jobs[i].job =
			(struct pool_job){.run = wait_for_gate, .done = job_done, .user = &jobs[i]};
	assert_int_equal(pool_submit(p, &jobs[0].job), 0);
	/* Wait until the one thread has taken the first job and sits in it. */
	while (pool_depth(p) > 0)
		(void)sched_yield();
	assert_int_equal(pool_submit(p, &jobs[1].job), 0);
	assert_int_equal(pool_submit(p, &jobs[2].job), 0);
	assert_int_equal(pool_submit(p, &jobs[3].job), -EBUSY);
	assert_int_equal(pool_refused(p), 1);
	(void)close(gate[1]);
	pool_free(p);
	(void)close(gate[0]);
	assert_int_equal(fired, 3);
}

static pthread_barrier_t together;

static void
wait_for_the_others(struct pool_job *job, void *thread_state)
{
	(void)job;
	(void)thread_state;
	(void)pthread_barrier_wait(&together);
}

/* Each round only ends when every thread sits in a job of its own. */
static void
a_long_job_holds_up_no_other(void **state)
{
	struct job jobs[3] = {0};
	int count = 0;
	struct pool_ops ops = {.init = thread_init, .user = &count};
	struct pool *p = NULL;

	assert_int_equal(pthread_barrier_init(&together, NULL, ARRAY_LEN(jobs)), 0);
	assert_int_equal(pool_new(*state, ARRAY_LEN(jobs), 8, &ops, &p, NULL), 0);
	for (int round = 1; round <= 200; round++) {
		fired = 0;
		for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
			jobs[i].job = (struct pool_job){
				.run = wait_for_the_others, .done = job_done, .user = &jobs[i]};
			assert_int_equal(pool_submit(p, &jobs[i].job), 0);
		}
		while (fired < (int)ARRAY_LEN(jobs))
			assert_int_equal(loop_turn(*state, 1000), 0);
	}
	pool_free(p);
	(void)pthread_barrier_destroy(&together);
}

static void
descriptors_cross_a_socket(void **state)
{
	int pair[2], pipes[2], got[2];
	unsigned n = 0;
	char text[16], byte = 0;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(fdpass_recv(pair[1], text, sizeof(text), got, 2, &n), -EAGAIN);
	assert_int_equal(fdpass_send(pair[0], "hello", 5, &pipes[1], 1), 0);
	assert_int_equal(fdpass_send(pair[0], "two", 3, pipes, 2), 0);
	assert_int_equal(fdpass_send(pair[0], "none", 4, NULL, 0), 0);
	assert_int_equal(fdpass_recv(pair[1], text, sizeof(text), got, 1, &n), 5);
	assert_int_equal(n, 1);
	assert_int_equal(write(got[0], "x", 1), 1);
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	assert_int_equal(byte, 'x');
	(void)close(got[0]);
	assert_int_equal(fdpass_recv(pair[1], text, sizeof(text), got, 1, &n), -EMSGSIZE);
	assert_int_equal(fdpass_recv(pair[1], text, sizeof(text), got, 1, &n), 4);
	assert_int_equal(n, 0);
	(void)close(pair[0]);
	assert_int_equal(fdpass_recv(pair[1], text, sizeof(text), got, 1, &n), 0);
	(void)close(pair[1]);
	(void)close(pipes[0]);
	(void)close(pipes[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(timers_fire_in_the_order_of_their_time, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			timers_put_off_or_brought_forward_fire_at_their_last_time, setup, teardown),
		cmocka_unit_test_setup_teardown(a_timer_that_arms_itself_for_now_waits_a_turn,
						setup, teardown),
		cmocka_unit_test_setup_teardown(what_a_callback_frees_is_not_called, setup,
						teardown),
		cmocka_unit_test_setup_teardown(jobs_run_on_threads_and_end_on_the_loop, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_thread_that_cannot_start_is_told, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_queue_has_a_ceiling, setup, teardown),
		cmocka_unit_test_setup_teardown(a_long_job_holds_up_no_other, setup, teardown),
		cmocka_unit_test_setup_teardown(descriptors_cross_a_socket, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
