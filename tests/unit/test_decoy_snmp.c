/* SPDX-License-Identifier: Apache-2.0 */
/* The management agent: requests written here, answers taken apart again. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "decoy/service.h"
#include "decoy/services/ber.h"
#include "fake/decoy_talk.h"

#define GET  0xa0
#define NEXT 0xa1
#define SET  0xa3
#define BULK 0xa5

static unsigned char bytes[8192];

/* A request for `n` objects, in `bytes`. */
static struct sv
request(int64_t version, const char *community, uint8_t pdu, int64_t second, int64_t third,
	const char *const *oids, unsigned n)
{
	struct ber_out o = {.base = bytes, .at = sizeof(bytes)};
	size_t end = o.at;

	for (unsigned i = n; i-- > 0;) {
		struct ber_oid oid = ber_oid_of(oids[i]);
		size_t pair = o.at;

		ber_put_octets(&o, BER_NULL, SV(""));
		ber_put_oid(&o, &oid);
		ber_put_head(&o, BER_SEQUENCE, pair);
	}
	ber_put_head(&o, BER_SEQUENCE, end);
	ber_put_integer(&o, BER_INTEGER, third);
	ber_put_integer(&o, BER_INTEGER, second);
	ber_put_integer(&o, BER_INTEGER, -77);
	ber_put_head(&o, pdu, end);
	ber_put_octets(&o, BER_OCTETS, sv_from(community));
	ber_put_integer(&o, BER_INTEGER, version);
	ber_put_head(&o, BER_SEQUENCE, end);
	assert_false(o.failed);
	return (struct sv){(const char *)bytes + o.at, sizeof(bytes) - o.at};
}

/* The answer as text: `status/index oid=tag:value …`, texts quoted, numbers in decimal. */
static void
show(struct sv answer, char *dst, size_t size)
{
	struct sv message, community, pdu, list, pair, name, value;
	int64_t version, id, status, index;
	struct ber_oid oid;
	size_t n;
	uint8_t tag;

	dst[0] = '\0';
	if (answer.n == 0)
		return;
	assert_int_equal(ber_expect(&answer, BER_SEQUENCE, &message), 0);
	assert_int_equal(answer.n, 0);
	assert_int_equal(ber_integer(&message, &version), 0);
	assert_int_equal(ber_expect(&message, BER_OCTETS, &community), 0);
	assert_int_equal(ber_expect(&message, 0xa2, &pdu), 0);
	assert_int_equal(ber_integer(&pdu, &id), 0);
	assert_int_equal(id, -77);
	assert_int_equal(ber_integer(&pdu, &status), 0);
	assert_int_equal(ber_integer(&pdu, &index), 0);
	assert_int_equal(ber_expect(&pdu, BER_SEQUENCE, &list), 0);
	n = (size_t)snprintf(dst, size, "%lld/%lld", (long long)status, (long long)index);
	while (list.n > 0) {
		assert_int_equal(ber_expect(&list, BER_SEQUENCE, &pair), 0);
		assert_int_equal(ber_expect(&pair, BER_OID, &name), 0);
		assert_int_equal(ber_arcs(name, &oid), 0);
		assert_int_equal(ber_get(&pair, &tag, &value), 1);
		n += (size_t)snprintf(dst + n, size - n, " ");
		for (unsigned i = 0; i < oid.n; i++)
			n += (size_t)snprintf(dst + n, size - n, "%s%u", i ? "." : "", oid.arc[i]);
		n += (size_t)snprintf(dst + n, size - n, "=%02x", tag);
		if (tag == BER_OCTETS)
			n += (size_t)snprintf(dst + n, size - n, ":%.*s", (int)value.n, value.p);
	}
	assert_true(n < size);
}

static void
answers(void **state)
{
	static const struct {
		int64_t version;
		const char *community;
		uint8_t pdu;
		int64_t second, third;
		const char *oid;
		const char *answer; /* NULL: silence */
	} rows[] = {
		{1, "public", GET, 0, 0, "1.3.6.1.2.1.1.5.0", "0/0 1.3.6.1.2.1.1.5.0=04:web-01"},
		{0, "private", GET, 0, 0, "1.3.6.1.2.1.1.5.0", "0/0 1.3.6.1.2.1.1.5.0=04:web-01"},
		{1, "secret", GET, 0, 0, "1.3.6.1.2.1.1.5.0", NULL},
		{1, "", GET, 0, 0, "1.3.6.1.2.1.1.5.0", NULL},
		{1, "public", GET, 0, 0, "1.3.6.1.2.1.1.5.1", "0/0 1.3.6.1.2.1.1.5.1=81"},
		{1, "public", GET, 0, 0, "1.3.6.1.4.1.9", "0/0 1.3.6.1.4.1.9=80"},
		{0, "public", GET, 0, 0, "1.3.6.1.4.1.9", "2/1 1.3.6.1.4.1.9=05"},
		{1, "public", NEXT, 0, 0, "1.3.6.1.2.1.1.5", "0/0 1.3.6.1.2.1.1.5.0=04:web-01"},
		{1, "public", NEXT, 0, 0, "1.3", NULL /* the description: below */},
		{1, "public", NEXT, 0, 0, "2.1", "0/0 2.1=82"},
		{0, "public", NEXT, 0, 0, "2.1", "2/1 2.1=05"},
		{1, "public", SET, 0, 0, "1.3.6.1.2.1.1.5.0", "6/1 1.3.6.1.2.1.1.5.0=05"},
		{0, "public", SET, 0, 0, "1.3.6.1.2.1.1.5.0", "2/1 1.3.6.1.2.1.1.5.0=05"},
		{1, "public", BULK, 0, 2, "1.3.6.1.2.1.1.6.0",
		 "0/0 1.3.6.1.2.1.1.7.0=02 1.3.6.1.2.1.2.1.0=02"},
		{1, "public", BULK, 1, 9, "1.3.6.1.2.1.1.6.0", "0/0 1.3.6.1.2.1.1.7.0=02"},
		{1, "public", BULK, -5, -5, "1.3.6.1.2.1.1.6.0", "0/0"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sv in = request(rows[i].version, rows[i].community, rows[i].pdu,
				       rows[i].second, rows[i].third, &rows[i].oid, 1);
		char text[4096];
		struct talk t;

		talk_run(decoy_service_find("snmp"), NULL, in, in.n, true, &t);
		assert_false(t.broke_rule);
		assert_int_equal(t.end, 0);
		assert_int_equal(t.consumed, in.n);
		show(buf_sv(&t.out), text, sizeof(text));
		if (strcmp(rows[i].oid, "1.3") == 0)
			assert_non_null(strstr(text, "0/0 1.3.6.1.2.1.1.1.0=04:Linux web-01 6.1"));
		else if (strcmp(text, rows[i].answer ? rows[i].answer : "") != 0)
			fail_msg("row %zu: %s", i, text);
		talk_fini(&t);
	}
}

/* However much is asked for, the answer is one packet, or says that it would not be. */
static void
answers_fit_a_packet(void **state)
{
	const char *many[48];
	char text[16384];
	struct talk t;
	struct sv in;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = "1.3.6.1.2.1.1.1.0";
	in = request(1, "public", GET, 0, 0, many, ARRAY_LEN(many));
	talk_run(decoy_service_find("snmp"), NULL, in, in.n, true, &t);
	show(buf_sv(&t.out), text, sizeof(text));
	assert_string_equal(text, "1/0");
	talk_fini(&t);
	in = request(1, "public", BULK, 0, 1000000, many, ARRAY_LEN(many));
	talk_run(decoy_service_find("snmp"), NULL, in, in.n, true, &t);
	show(buf_sv(&t.out), text, sizeof(text));
	assert_true(t.out.n > 500 && t.out.n <= 1400);
	assert_memory_equal(text, "0/0 ", 4);
	talk_fini(&t);
}

static void
malformed_is_told(void **state)
{
	static const struct sv rows[] = {
		SV("\x02\x01\x00"),		     /* no sequence */
		SV("\x30\x80\x00\x00"),		     /* indefinite length */
		SV("\x30\x85\x01\x01\x01\x01\x01"),  /* a length of five bytes */
		SV("\x30\x84\xff\xff\xff\xff"),	     /* longer than anything */
		SV("\x30\x03\x02\x01\x01"),	     /* only a version */
		SV("\x30\x06\x02\x01\x05\x04\x01p"), /* a version that is none */
		SV("\x30\x05\x02\x01\x01\x04\x09"),  /* a member that is cut */
		SV("\x3f\x81\x01\x00"),		     /* a long tag */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct talk t;

		talk_run(decoy_service_find("snmp"), NULL, rows[i], rows[i].n, true, &t);
		if (t.end != -EBADMSG || t.out.n > 0)
			fail_msg("row %zu: %d", i, t.end);
		talk_fini(&t);
	}
}

static void
numbers_and_names_come_back(void **state)
{
	static const int64_t numbers[] = {0,	1,    127,	 128,	    255,       256,	 -1,
					  -128, -129, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN};
	static const char *const names[] = {"0.0", "1.3", "2.999", "2.39.128.16384.4294967295"};
	struct ber_oid oid, back;
	struct sv in, value;
	int64_t got;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		struct ber_out o = {.base = bytes, .at = sizeof(bytes)};

		ber_put_integer(&o, BER_INTEGER, numbers[i]);
		in = (struct sv){(const char *)bytes + o.at, sizeof(bytes) - o.at};
		assert_int_equal(ber_integer(&in, &got), 0);
		assert_true(got == numbers[i] && in.n == 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct ber_out o = {.base = bytes, .at = sizeof(bytes)};

		oid = ber_oid_of(names[i]);
		ber_put_oid(&o, &oid);
		in = (struct sv){(const char *)bytes + o.at, sizeof(bytes) - o.at};
		assert_int_equal(ber_expect(&in, BER_OID, &value), 0);
		assert_int_equal(ber_arcs(value, &back), 0);
		assert_int_equal(ber_oid_cmp(&oid, &back), 0);
	}
	assert_int_equal(ber_arcs(SV("\x2b\x86"), &back), -EBADMSG);
	assert_int_equal(ber_arcs(SV("\xff\xff\xff\xff\xff\xff\x01"), &back), -EBADMSG);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(answers_fit_a_packet),
		cmocka_unit_test(malformed_is_told),
		cmocka_unit_test(numbers_and_names_come_back),
	};

	return cmocka_run_group_tests_name("decoy_snmp", tests, NULL, NULL);
}
