/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to the decoy process: what is taken, what is refused and with which words. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "decoy/control.h"

#define OPEN_HEAD "{\"n\":7,\"op\":\"open\",\"listener\":\"t/d:80\",\"decky\":\"web-01\","

static void
an_open_request(void **state)
{
	static const char text[] =
		"{\"n\":7,\"op\":\"open\",\"listener\":\"a/b_c.d:80-x\","
		"\"topology_id\":\"0198c0de-0000-7000-8000-000000000001\","
		"\"decky_uuid\":\"0198c0de-0000-7000-8000-000000000002\",\"decky\":\"web-01\","
		"\"service\":\"http\",\"port\":80,\"proto\":\"tcp\","
		"\"config\":{\"response_code\":503},\"hostname\":\"web-01.example\","
		"\"seed\":\"00112233445566fF\",\"archetype\":\"linux-server\"}";
	struct control c;

	(void)state;
	assert_int_equal(control_parse((struct sv){text, sizeof(text) - 1}, &c, NULL), 0);
	assert_int_equal(c.n, 7);
	assert_int_equal(c.op, CONTROL_OPEN);
	assert_string_equal(c.listener, "a/b_c.d:80-x");
	assert_string_equal(c.topology_id, "0198c0de-0000-7000-8000-000000000001");
	assert_string_equal(c.decky_uuid, "0198c0de-0000-7000-8000-000000000002");
	assert_string_equal(c.decky, "web-01");
	assert_string_equal(c.service, "http");
	assert_string_equal(c.hostname, "web-01.example");
	assert_string_equal(c.archetype, "linux-server");
	assert_int_equal(c.port, 80);
	assert_true(c.seed == 0x00112233445566ffULL);
	assert_int_equal(json_integer_value(json_object_get(c.config, "response_code")), 503);
	control_fini(&c);
}

static void
short_requests(void **state)
{
	struct control c;

	(void)state;
	assert_int_equal(
		control_parse(SV("{\"n\":0,\"op\":\"close\",\"listener\":\"x\"}"), &c, NULL), 0);
	assert_int_equal(c.op, CONTROL_CLOSE);
	assert_string_equal(c.listener, "x");
	control_fini(&c);
	assert_int_equal(control_parse(SV("{\"op\":\"list\",\"n\":9}"), &c, NULL), 0);
	assert_int_equal(c.op, CONTROL_LIST);
	control_fini(&c);
}

static void
refused(void **state)
{
	static const struct {
		struct sv text;
		int64_t n;
		const char *why; /* what the text begins with */
	} rows[] = {
		{{"", 0}, -1, ""},
		{SV("[]"), -1, "not an object"},
		{SV("{\"op\":\"list\"}"), -1, "n: malformed"},
		{SV("{\"n\":-4,\"op\":\"list\"}"), -1, "n: malformed"},
		{SV("{\"n\":1}"), 1, "op: unknown"},
		{SV("{\"n\":1,\"op\":\"close\"}"), 1, "listener: missing"},
		{SV("{\"n\":1,\"op\":\"close\",\"listener\":\"\"}"), 1, "listener: malformed"},
		{SV("{\"n\":1,\"op\":\"close\",\"listener\":\"a b\"}"), 1, "listener: malformed"},
		{SV("{\"n\":1,\"op\":\"close\",\"listener\":\"a\\u0000b\"}"), 1,
		 "listener: malformed"},
		{SV(OPEN_HEAD "\"service\":\"http\"}"), 7, "hostname: missing"},
		{SV(OPEN_HEAD "\"service\":\"http\",\"hostname\":\"h\",\"proto\":\"tcp\"}"), 7,
		 "seed: missing"},
		{SV(OPEN_HEAD "\"service\":\"http\",\"hostname\":\"h\",\"proto\":\"tcp\","
			      "\"seed\":\"0011223344556x77\"}"),
		 7, "seed: malformed"},
		{SV(OPEN_HEAD "\"service\":\"http\",\"hostname\":\"h\",\"proto\":\"sctp\","
			      "\"seed\":\"0011223344556677\"}"),
		 7, "proto: only tcp and udp"},
		{SV(OPEN_HEAD "\"service\":\"http\",\"hostname\":\"h\",\"proto\":\"tcp\","
			      "\"seed\":\"0011223344556677\",\"port\":65536}"),
		 7, "port: malformed"},
		{SV(OPEN_HEAD "\"service\":\"http\",\"hostname\":\"h\",\"proto\":\"tcp\","
			      "\"seed\":\"0011223344556677\",\"port\":80,\"config\":[]}"),
		 7, "config: malformed"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = {0};
		struct control c;

		if (control_parse(rows[i].text, &c, &e) != -EBADMSG || c.n != rows[i].n ||
		    strncmp(err_text(&e), rows[i].why, strlen(rows[i].why)) != 0)
			fail_msg("row %zu: n %lld, %s", i, (long long)c.n, err_text(&e));
		control_fini(&c);
	}
}

static void
too_long(void **state)
{
	static char text[CONTROL_BYTES_MAX + 1];
	struct control c;

	(void)state;
	memset(text, ' ', sizeof(text));
	memcpy(text, "{\"n\":1,\"op\":\"list\"}", 19);
	assert_int_equal(control_parse((struct sv){text, sizeof(text)}, &c, NULL), -EBADMSG);
	control_fini(&c);
	assert_int_equal(control_parse((struct sv){text, sizeof(text) - 1}, &c, NULL), 0);
	control_fini(&c);
}

static void
answers(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, CONTROL_ANSWER_MAX);
	assert_int_equal(control_put_ok(&b, 7), 0);
	assert_int_equal(control_put_error(&b, 9, "say \"no\"\n"), 0);
	assert_int_equal(control_put_started(&b, 0xabc, 42), 0);
	assert_int_equal(buf_putc(&b, '\0'), 0);
	assert_string_equal(b.p, "{\"n\":7,\"ok\":true}"
				 "{\"n\":9,\"ok\":false,\"error\":\"say \\\"no\\\"\\n\"}"
				 "{\"op\":\"started\",\"source\":\"0000000000000abc\",\"pid\":42}");
	buf_fini(&b);
}

static void
pieces_of_a_list(void **state)
{
	char id[CONTROL_LISTENER_MAX + 1];
	struct buf b;
	size_t n = 0;

	(void)state;
	buf_init(&b, CONTROL_LIST_MAX);
	assert_int_equal(control_put_listener(&b, 8, "t/d:80"), 0);
	assert_int_equal(control_put_listener(&b, 8, "t/e:53/udp"), 0);
	assert_int_equal(control_end_listeners(&b), 0);
	assert_int_equal(buf_putc(&b, '\0'), 0);
	assert_string_equal(b.p, "{\"n\":8,\"listeners\":[\"t/d:80\",\"t/e:53/udp\"]}");
	buf_reset(&b);
	/* As many of the longest as fit, and it can always be ended. */
	memset(id, 'x', sizeof(id) - 1);
	id[sizeof(id) - 1] = '\0';
	while (control_put_listener(&b, INT64_MIN, id) == 0)
		n++;
	assert_true(n >= CONTROL_LIST_MAX / (sizeof(id) + 4));
	assert_int_equal(control_put_listener(&b, INT64_MIN, id), -ENOBUFS);
	assert_int_equal(control_end_listeners(&b), 0);
	assert_true(b.n <= CONTROL_LIST_MAX);
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_open_request), cmocka_unit_test(short_requests),
		cmocka_unit_test(refused),	   cmocka_unit_test(too_long),
		cmocka_unit_test(answers),	   cmocka_unit_test(pieces_of_a_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
