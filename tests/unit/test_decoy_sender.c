/* SPDX-License-Identifier: Apache-2.0 */
/* The decoy's end of the capture channel: order, acknowledgements, sending again, the ceiling. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "decoy/sender.h"
#include "util/limits.h"

struct world {
	struct loop *loop;
	struct sender *sender;
	int far;
	unsigned holds, releases, drains, gone;
	uint64_t next; /* the number that must come next */
	uint64_t hellos;
};

static void
on_hold(void *user, bool held)
{
	struct world *w = user;

	w->holds += held;
	w->releases += !held;
}

static void
on_drained(void *user)
{
	((struct world *)user)->drains++;
}

static void
on_gone(void *user)
{
	((struct world *)user)->gone++;
}

static uint32_t
connections(void *user)
{
	(void)user;
	return 3;
}

static void
start(struct world *w)
{
	const struct sender_ops ops = {on_hold, on_drained, on_gone, connections, w};
	int ends[2];

	*w = (struct world){.next = 1};
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), 0);
	assert_int_equal(loop_new(&w->loop, NULL), 0);
	assert_int_equal(sender_new(w->loop, ends[0], &ops, &w->sender, NULL), 0);
	w->far = ends[1];
}

static void
finish(struct world *w)
{
	sender_free(w->sender);
	loop_free(w->loop);
	(void)close(w->far);
}

static void
put(struct world *w, size_t bytes)
{
	static char value[60000];
	struct capture c = {.type = CAPTURE_COMMAND,
			    .ts_ms = 1,
			    .nfields = 1,
			    .fields = {{SV("command"), {value, bytes}}}};

	assert_int_equal(sender_put(w->sender, &c), 0);
}

/* Read what has come; every number must be the next one. The messages read. */
static unsigned
take(struct world *w)
{
	static char message[256 * 1024];
	unsigned messages = 0;

	for (;;) {
		ssize_t n = recv(w->far, message, sizeof(message), MSG_DONTWAIT);
		struct capture_hello hello;
		struct capture c;
		size_t used = 0;
		struct sv in;

		if (n <= 0)
			return messages;
		in = (struct sv){message, (size_t)n};
		messages++;
		assert_true(in.n <= LIMIT_CAPTURE_BYTES);
		if (capture_hello_get(in, &hello) == 0) {
			assert_true(hello.source == sender_source(w->sender));
			assert_int_equal(hello.connections, 3);
			w->hellos++;
			continue;
		}
		while (in.n) {
			assert_int_equal(capture_get(in, &used, &c), 1);
			assert_true(c.source == sender_source(w->sender));
			assert_int_equal(c.no, w->next);
			w->next++;
			in = sv_drop(in, used);
		}
	}
}

static void
turn(struct world *w)
{
	for (int i = 0; i < 3; i++)
		assert_int_equal(loop_turn(w->loop, 0), 0);
}

static void
ack(struct world *w, uint64_t source, uint64_t no)
{
	unsigned char raw[CAPTURE_ACK_BYTES];

	capture_ack_put(&(struct capture_ack){source, no}, raw);
	assert_int_equal(send(w->far, raw, sizeof(raw), 0), sizeof(raw));
	turn(w);
}

static void
in_order_and_gathered(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	assert_int_equal(sender_start(w.sender), 0);
	for (int i = 0; i < 100; i++)
		put(&w, 20);
	turn(&w);
	assert_int_equal(take(&w), 2); /* a hello, and all of one turn together */
	assert_int_equal(w.hellos, 1);
	assert_int_equal(w.next, 101);
	assert_int_equal(sender_waiting(w.sender), 100);
	ack(&w, sender_source(w.sender), 60);
	assert_int_equal(sender_waiting(w.sender), 40);
	/* A number that was never sent, and a former life: neither is believed. */
	ack(&w, sender_source(w.sender), 101);
	ack(&w, sender_source(w.sender) + 1, 100);
	assert_int_equal(send(w.far, "nonsense", 8, 0), 8);
	turn(&w);
	assert_int_equal(sender_waiting(w.sender), 40);
	assert_int_equal(w.drains, 0);
	/* A new resolver gets what is not acknowledged, from its first number on. */
	w.next = 61;
	ack(&w, 0, 0);
	(void)take(&w);
	assert_int_equal(w.next, 101);
	ack(&w, sender_source(w.sender), 100);
	assert_int_equal(sender_waiting(w.sender), 0);
	assert_int_equal(w.drains, 1);
	finish(&w);
}

/* Much more than the socket takes: it waits, and nothing is lost or doubled. */
static void
a_slow_reader(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	for (int i = 0; i < 100; i++)
		put(&w, 30000);
	turn(&w);
	for (int i = 0; i < 1000 && w.next <= 100; i++) {
		(void)take(&w);
		turn(&w);
	}
	assert_int_equal(w.next, 101);
	/* Asked again in the middle, it begins again. */
	w.next = 1;
	ack(&w, 0, 0);
	(void)take(&w);
	assert_true(w.next < 100);
	w.next = 1;
	ack(&w, 0, 0);
	while (w.next <= 100) {
		struct world before = w;

		turn(&w);
		(void)take(&w);
		assert_true(w.next > before.next || w.next > 100);
	}
	finish(&w);
}

static void
the_ceiling_holds_and_releases(void **state)
{
	struct world w;
	uint64_t no = 0;

	(void)state;
	start(&w);
	while (!sender_held(w.sender)) {
		put(&w, 50000);
		no++;
	}
	assert_int_equal(w.holds, 1);
	assert_true(no * 50000 <= LIMIT_CAPTURE_UNACKED_BYTES + 50000);
	/* What ends meanwhile is still told. */
	put(&w, 100);
	assert_int_equal(w.holds, 1);
	ack(&w, sender_source(w.sender), no / 4);
	assert_int_equal(w.releases, 0);
	ack(&w, sender_source(w.sender), no * 3 / 4);
	assert_int_equal(w.releases, 1);
	assert_false(sender_held(w.sender));
	finish(&w);
}

static void
the_other_end_goes_away(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	put(&w, 10);
	turn(&w);
	(void)shutdown(w.far, SHUT_RDWR);
	turn(&w);
	assert_int_equal(w.gone, 1);
	put(&w, 10);
	turn(&w);
	assert_int_equal(sender_waiting(w.sender), 2);
	finish(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_order_and_gathered),
		cmocka_unit_test(a_slow_reader),
		cmocka_unit_test(the_ceiling_holds_and_releases),
		cmocka_unit_test(the_other_end_goes_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
