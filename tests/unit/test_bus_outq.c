/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bus/outq.h"
#include "util/limits.h"

static int
put(struct bus_outq *q, const char *sid, struct sv payload)
{
	const struct bus_ev ev = {
		.verb = BUS_VERB_MSG, .subject = SV("a"), .sid = sv_from(sid), .payload = payload};

	return bus_outq_message(q, &ev);
}

static void
pong(struct bus_outq *q)
{
	const struct bus_ev ev = {.verb = BUS_VERB_PONG};

	assert_int_equal(bus_outq_control(q, &ev), 0);
}

/* Take at most n bytes as a writev would. */
static size_t
take(struct bus_outq *q, char *dst, size_t n)
{
	struct iovec iov[BUS_OUTQ_IOV];
	unsigned count = bus_outq_peek(q, iov);
	size_t done = 0;

	for (unsigned i = 0; i < count && done < n; i++) {
		size_t part = iov[i].iov_len < n - done ? iov[i].iov_len : n - done;

		memcpy(dst + done, iov[i].iov_base, part);
		done += part;
	}
	assert_int_equal(bus_outq_sent(q, done), 0);
	return done;
}

static void
keeps_order_however_it_is_cut(void **state)
{
	static const char want[] =
		"PONG\r\nMSG a 1 3\r\none\r\nPONG\r\nPONG\r\nMSG a 2 3\r\ntwo\r\n";

	(void)state;
	for (size_t step = 1; step <= sizeof(want); step++) {
		struct bus_outq q = {0};
		char got[128];
		size_t n = 0;

		pong(&q);
		assert_int_equal(put(&q, "1", SV("one")), 0);
		pong(&q);
		pong(&q);
		assert_int_equal(put(&q, "2", SV("two")), 0);
		assert_int_equal(bus_outq_control_bytes(&q), 18);
		while (!bus_outq_empty(&q))
			n += take(&q, got + n, step);
		assert_int_equal(n, sizeof(want) - 1);
		assert_memory_equal(got, want, n);
		assert_int_equal(bus_outq_bytes(&q), 0);
		assert_int_equal(bus_outq_control_bytes(&q), 0);
		bus_outq_fini(&q);
	}
}

static void
drops_the_oldest_not_begun(void **state)
{
	struct bus_outq q = {0};
	char got[65536], sid[16];
	size_t n = 0;

	(void)state;
	assert_int_equal(put(&q, "begun", SV("x")), 0);
	n += take(&q, got, 5);
	pong(&q);
	for (int i = 0; i < LIMIT_BUS_PENDING_MSGS; i++) {
		(void)snprintf(sid, sizeof(sid), "%d", i);
		assert_int_equal(put(&q, sid, SV("x")), 0);
	}
	assert_true(bus_outq_full(&q, 1));
	assert_int_equal(put(&q, "last", SV("x")), 1);
	assert_int_equal(q.dropped, 1);
	while (!bus_outq_empty(&q))
		n += take(&q, got + n, sizeof(got) - n);
	got[n] = '\0';
	/* The begun message is whole, the control line is there, message 0 is gone. */
	assert_memory_equal(got, "MSG a begun 1\r\nx\r\nPONG\r\nMSG a 1 1\r\nx\r\n", 37);
	assert_non_null(strstr(got, "MSG a 1023 1\r\nx\r\nMSG a last 1\r\nx\r\n"));
	bus_outq_fini(&q);
}

static void
bounds_the_bytes(void **state)
{
	struct bus_outq q = {0};
	size_t size = LIMIT_BUS_PAYLOAD_BYTES, total = 0;
	char *big = malloc(size), *sink = malloc(2 * size);

	(void)state;
	memset(big, 'x', size);
	for (int i = 0; i < 20; i++)
		assert_true(put(&q, "1", (struct sv){big, size}) == (i >= 7));
	assert_int_equal(q.dropped, 13);
	assert_int_equal(q.messages, 7);
	assert_true(q.message_bytes <= LIMIT_BUS_PENDING_BYTES);
	while (!bus_outq_empty(&q))
		total += take(&q, sink, 300001);
	assert_int_equal(total, 7 * (size + strlen("MSG a 1 1048576\r\n\r\n")));
	assert_int_equal(q.ring_cap, 0);
	free(big);
	free(sink);
	bus_outq_fini(&q);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_order_however_it_is_cut),
		cmocka_unit_test(drops_the_oldest_not_begun),
		cmocka_unit_test(bounds_the_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
