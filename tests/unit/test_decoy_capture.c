/* SPDX-License-Identifier: Apache-2.0 */
/* The wire form of captures: round trips, ceilings, and bytes that are no frame. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "decoy/capture.h"
#include "util/limits.h"

static struct capture
sample(void)
{
	return (struct capture){
		.source = 0x0123456789abcdefULL,
		.no = 42,
		.ts_ms = 1769847300250ULL,
		.type = CAPTURE_AUTH,
		.topology_id = SV("t"),
		.decky_uuid = SV("u"),
		.decky = SV("web-1"),
		.service = SV("telnet"),
		.session_id = SV("s"),
		.peer_ip = SV("203.0.113.9"),
		.peer_port = 40000,
		.local_port = 23,
		.nfields = 2,
		.fields = {{SV("username"), SV("root")}, {SV("password"), SV("a\0b\n")}},
	};
}

static void
round_trip(void **state)
{
	struct capture c = sample(), got;
	struct buf b;
	size_t used = 0;

	(void)state;
	buf_init(&b, 4096);
	assert_int_equal(capture_put(&b, &c), 0);
	for (size_t n = 0; n < b.n; n++)
		assert_int_equal(capture_get((struct sv){b.p, n}, &used, &got), 0);
	assert_int_equal(capture_put(&b, &c), 0);
	assert_int_equal(capture_get(buf_sv(&b), &used, &got), 1);
	assert_int_equal(used, b.n / 2);
	assert_true(got.source == c.source && got.no == 42 && got.ts_ms == c.ts_ms);
	assert_int_equal(got.type, CAPTURE_AUTH);
	assert_int_equal(got.peer_port, 40000);
	assert_int_equal(got.local_port, 23);
	assert_true(sv_eq(got.decky, SV("web-1")));
	assert_int_equal(got.nfields, 2);
	assert_true(sv_eq(got.fields[1].value, SV("a\0b\n")));
	buf_fini(&b);
}

static void
ceilings(void **state)
{
	static char big[LIMIT_CAPTURE_BYTES];
	struct capture c = sample();
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	c.fields[1].value = (struct sv){big, 65000};
	assert_int_equal(capture_put(&b, &c), 0);
	c.fields[0].value = (struct sv){big, 1000};
	assert_int_equal(capture_put(&b, &c), -EMSGSIZE);
	c.fields[0].value = (struct sv){big, 65536};
	assert_int_equal(capture_put(&b, &c), -EMSGSIZE);
	/* What did not fit left nothing behind. */
	assert_true(b.n < 66000);
	b.max = b.n + 3;
	assert_int_equal(capture_put(&b, &c), -ENOBUFS);
	buf_fini(&b);
}

static void
refused(void **state)
{
	static const struct {
		size_t at;
		unsigned char value;
		int want;
	} rows[] = {
		{0, 1, -EMSGSIZE},		   /* a length over the ceiling */
		{3, 5, -EBADMSG},		   /* shorter than its head */
		{4, 9, -EBADMSG},		   /* version */
		{5, CAPTURE_TYPE_COUNT, -EBADMSG}, /* type */
		{34, CAPTURE_FIELDS_MAX + 1, -EBADMSG},
		{34, 1, -EBADMSG},    /* bytes left over */
		{34, 3, -EBADMSG},    /* a field is missing */
		{35, 0xff, -EBADMSG}, /* a text longer than the frame */
	};
	struct capture c = sample(), got;
	size_t used = 0;
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		buf_reset(&b);
		assert_int_equal(capture_put(&b, &c), 0);
		b.p[rows[i].at] = (char)rows[i].value;
		assert_int_equal(capture_get(buf_sv(&b), &used, &got), rows[i].want);
	}
	buf_fini(&b);
}

static void
fixed_messages(void **state)
{
	struct capture_ack ack = {UINT64_MAX, 7}, ack2;
	struct capture_hello hello = {1, 1769847300250ULL, 4242, 3}, hello2;
	unsigned char a[CAPTURE_ACK_BYTES], h[CAPTURE_HELLO_BYTES];
	struct sv av = {(const char *)a, sizeof(a)}, hv = {(const char *)h, sizeof(h)};

	(void)state;
	capture_ack_put(&ack, a);
	capture_hello_put(&hello, h);
	assert_int_equal(capture_ack_get(av, &ack2), 0);
	assert_memory_equal(&ack, &ack2, sizeof(ack));
	assert_int_equal(capture_hello_get(hv, &hello2), 0);
	assert_memory_equal(&hello, &hello2, sizeof(hello));
	assert_int_equal(capture_ack_get(hv, &ack2), -EBADMSG);
	assert_int_equal(capture_hello_get(av, &hello2), -EBADMSG);
	assert_int_equal(capture_ack_get((struct sv){av.p, av.n - 1}, &ack2), -EBADMSG);
}

static void
words(void **state)
{
	(void)state;
	assert_string_equal(capture_word(CAPTURE_FILE_CAPTURED), "file_captured");
	assert_true(capture_interaction(CAPTURE_AUTH));
	assert_false(capture_interaction(CAPTURE_FINGERPRINT));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip), cmocka_unit_test(ceilings),
		cmocka_unit_test(refused),    cmocka_unit_test(fixed_messages),
		cmocka_unit_test(words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
