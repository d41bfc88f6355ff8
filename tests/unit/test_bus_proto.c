/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bus/proto.h"
#include "util/limits.h"

struct row {
	const char *in;
	int r;
	enum bus_verb verb;
	const char *subject, *reply, *queue, *sid, *text, *headers, *payload;
	uint64_t max;
};

static int
is(struct sv got, const char *want)
{
	return sv_eq(got, sv_from(want));
}

static void
check_rows(enum bus_side side, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct row *w = &rows[i];
		struct bus_parser ps;
		struct bus_ev ev;
		size_t used = 0;
		int r;

		bus_parser_init(&ps, side);
		r = bus_parse(&ps, sv_from(w->in), &used, &ev);
		if (r != w->r)
			fail_msg("%s: %d", w->in, r);
		if (r != 1)
			continue;
		if (ev.verb != w->verb || used != strlen(w->in) || !is(ev.subject, w->subject) ||
		    !is(ev.reply, w->reply) || !is(ev.queue, w->queue) || !is(ev.sid, w->sid) ||
		    !is(ev.text, w->text) || !is(ev.headers, w->headers) ||
		    !is(ev.payload, w->payload) || ev.max != w->max)
			fail_msg("%s: another event", w->in);
	}
}

#define HEAD "NATS/1.0\r\nA: b\r\n\r\n"

static void
reads_clients(void **state)
{
	static const struct row rows[] = {
		{.in = "PING\r\n", .r = 1, .verb = BUS_VERB_PING},
		{.in = "ping\n", .r = 1, .verb = BUS_VERB_PING},
		{.in = "PoNg \t\r\n", .r = 1, .verb = BUS_VERB_PONG},
		{.in = "CONNECT {\"a\":1}\r\n",
		 .r = 1,
		 .verb = BUS_VERB_CONNECT,
		 .text = "{\"a\":1}"},
		{.in = "PUB a.b 5\r\nhello\r\n",
		 .r = 1,
		 .verb = BUS_VERB_PUB,
		 .subject = "a.b",
		 .payload = "hello"},
		{.in = "pub\ta.b\t_INBOX.1  0\n\n",
		 .r = 1,
		 .verb = BUS_VERB_PUB,
		 .subject = "a.b",
		 .reply = "_INBOX.1"},
		{.in = "HPUB a r 18 20\r\n" HEAD "hi\r\n",
		 .r = 1,
		 .verb = BUS_VERB_HPUB,
		 .subject = "a",
		 .reply = "r",
		 .headers = HEAD,
		 .payload = "hi"},
		{.in = "SUB a.> 7\r\n", .r = 1, .verb = BUS_VERB_SUB, .subject = "a.>", .sid = "7"},
		{.in = "SUB a.* workers 7x\r\n",
		 .r = 1,
		 .verb = BUS_VERB_SUB,
		 .subject = "a.*",
		 .queue = "workers",
		 .sid = "7x"},
		{.in = "UNSUB 7\r\n", .r = 1, .verb = BUS_VERB_UNSUB, .sid = "7"},
		{.in = "UNSUB 7 12\r\n", .r = 1, .verb = BUS_VERB_UNSUB, .sid = "7", .max = 12},
		{.in = "", .r = 0},
		{.in = "PIN", .r = 0},
		{.in = "PING\r", .r = 0},
		{.in = "PUB a 5\r\nhel", .r = 0},
		{.in = "PUB a 5\r\nhello\r", .r = 0},
		{.in = "GET / HTTP/1.1\r\n", .r = -EOPNOTSUPP},
		{.in = "\r\n", .r = -EOPNOTSUPP},
		{.in = " PING\r\n", .r = -EOPNOTSUPP},
		{.in = "MSG a 1 0\r\n\r\n", .r = -EOPNOTSUPP},
		{.in = "+OK\r\n", .r = -EOPNOTSUPP},
		{.in = "PING now\r\n", .r = -EBADMSG},
		{.in = "CONNECT\r\n", .r = -EBADMSG},
		{.in = "PUB a\r\n", .r = -EBADMSG},
		{.in = "PUB a b c 0\r\n\r\n", .r = -EBADMSG},
		{.in = "PUB a -1\r\n", .r = -EBADMSG},
		{.in = "PUB a 1x\r\n", .r = -EBADMSG},
		{.in = "PUB a 5\r\nhelloXX", .r = -EBADMSG},
		{.in = "PUB a 5\r\nhello\rX", .r = -EBADMSG},
		{.in = "PUB a 1048577\r\n", .r = -EMSGSIZE},
		{.in = "PUB a 99999999999999999999999\r\n", .r = -EMSGSIZE},
		{.in = "HPUB a 5 4\r\n", .r = -EBADMSG},
		{.in = "HPUB a 4\r\n", .r = -EBADMSG},
		{.in = "HPUB a 0 1048577\r\n", .r = -EMSGSIZE},
		{.in = "SUB a\r\n", .r = -EBADMSG},
		{.in = "SUB a b c d\r\n", .r = -EBADMSG},
		{.in = "SUB a b\x01 1\r\n", .r = -EBADMSG},
		{.in = "SUB a x12345678901234567890123456789012345678901234567890123456789012345\n",
		 .r = -EBADMSG},
		{.in = "UNSUB\r\n", .r = -EBADMSG},
		{.in = "UNSUB 1 x\r\n", .r = -EBADMSG},
	};

	(void)state;
	check_rows(BUS_SIDE_CLIENT, rows, ARRAY_LEN(rows));
}

static void
reads_brokers(void **state)
{
	static const struct row rows[] = {
		{.in = "INFO {}\r\n", .r = 1, .verb = BUS_VERB_INFO, .text = "{}"},
		{.in = "+OK\r\n", .r = 1, .verb = BUS_VERB_OK},
		{.in = "-ERR 'Stale Connection'\r\n",
		 .r = 1,
		 .verb = BUS_VERB_ERR,
		 .text = "Stale Connection"},
		{.in = "MSG a.b 9 2\r\nhi\r\n",
		 .r = 1,
		 .verb = BUS_VERB_MSG,
		 .subject = "a.b",
		 .sid = "9",
		 .payload = "hi"},
		{.in = "HMSG a.b 9 r 18 20\r\n" HEAD "hi\r\n",
		 .r = 1,
		 .verb = BUS_VERB_HMSG,
		 .subject = "a.b",
		 .sid = "9",
		 .reply = "r",
		 .headers = HEAD,
		 .payload = "hi"},
		{.in = "PUB a 0\r\n\r\n", .r = -EOPNOTSUPP},
		{.in = "MSG a 9\r\n", .r = -EBADMSG},
	};

	(void)state;
	check_rows(BUS_SIDE_BROKER, rows, ARRAY_LEN(rows));
}

static void
bounds_the_line(void **state)
{
	char line[LIMIT_BUS_LINE_BYTES + 8];
	size_t max = LIMIT_BUS_LINE_BYTES, used;
	struct bus_parser ps;
	struct bus_ev ev;

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line, "CONNECT ", 8);
	memcpy(line + max, "\r\n", 2);
	bus_parser_init(&ps, BUS_SIDE_CLIENT);
	assert_int_equal(bus_parse(&ps, (struct sv){line, max + 2}, &used, &ev), 1);
	assert_int_equal(used, max + 2);
	memcpy(line + max, "xx\r\n", 4);
	bus_parser_init(&ps, BUS_SIDE_CLIENT);
	assert_int_equal(bus_parse(&ps, (struct sv){line, max + 1}, &used, &ev), 0);
	assert_int_equal(bus_parse(&ps, (struct sv){line, max + 2}, &used, &ev), -E2BIG);
	memcpy(line + max, "x\n", 2);
	bus_parser_init(&ps, BUS_SIDE_CLIENT);
	assert_int_equal(bus_parse(&ps, (struct sv){line, max + 2}, &used, &ev), -E2BIG);
}

static void
writes_what_it_reads(void **state)
{
	static const struct bus_ev events[] = {
		{.verb = BUS_VERB_PING},
		{.verb = BUS_VERB_CONNECT, .text = {"{}", 2}},
		{.verb = BUS_VERB_PUB, .subject = {"a", 1}, .payload = {"hello", 5}},
		{.verb = BUS_VERB_PUB,
		 .subject = {"a", 1},
		 .reply = {"r", 1},
		 .headers = {HEAD, 18},
		 .payload = {"hello", 5}},
		{.verb = BUS_VERB_SUB, .subject = {"a", 1}, .queue = {"q", 1}, .sid = {"1", 1}},
		{.verb = BUS_VERB_UNSUB, .sid = {"1", 1}, .max = 4294967295},
	};
	static const char want[] =
		"PING\r\nCONNECT {}\r\nPUB a 5\r\nhello\r\nHPUB a r 18 23\r\n" HEAD
		"hello\r\nSUB a q 1\r\nUNSUB 1 4294967295\r\n";
	const struct bus_ev msg = {.verb = BUS_VERB_MSG,
				   .subject = {"a", 1},
				   .sid = {"1", 1},
				   .reply = {"r", 1},
				   .payload = {"", 0}};
	const struct bus_ev err = {.verb = BUS_VERB_ERR, .text = SV("Parser Error")};
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	for (size_t i = 0; i < ARRAY_LEN(events); i++)
		assert_int_equal(bus_proto_put(&b, &events[i]), 0);
	assert_true(sv_eq(buf_sv(&b), sv_from(want)));
	buf_reset(&b);
	assert_int_equal(bus_proto_put(&b, &msg), 0);
	assert_int_equal(bus_proto_put(&b, &err), 0);
	assert_true(sv_eq(buf_sv(&b), SV("MSG a 1 r 0\r\n\r\n-ERR 'Parser Error'\r\n")));
	buf_fini(&b);
}

static void
tells_errors_apart(void **state)
{
	(void)state;
	for (unsigned i = 0; i < BUS_ERROR_COUNT; i++)
		assert_int_equal(bus_error_of(bus_error_code((enum bus_error)i)), i);
	assert_int_equal(bus_error_of(-ENOMEM), BUS_ERROR_COUNT);
	assert_string_equal(bus_error_text(BUS_ERROR_PARSER), "Parser Error");
	assert_true(bus_error_closes(BUS_ERROR_PARSER));
	assert_false(bus_error_closes(BUS_ERROR_SUBJECT));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_clients),      cmocka_unit_test(reads_brokers),
		cmocka_unit_test(bounds_the_line),    cmocka_unit_test(writes_what_it_reads),
		cmocka_unit_test(tells_errors_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
