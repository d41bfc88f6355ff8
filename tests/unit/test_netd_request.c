/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to decnet-netd: every op with all that it needs is read back as it was; anything
 * missing, too much or out of range is refused. The texts on links, too. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "netd/alias.h"
#include "netd/request.h"

#define UUID "01a1fdb5-c0b7-742f-92f1-6a1b0bd38de5"

static struct netd_id
id(uint8_t first)
{
	struct netd_id one = {{first, 1, 2, 3}};

	return one;
}

static const unsigned fields_of[NETD_OP_COUNT] = {
#define NETD_OP(name, word, fields) [NETD_OP_##name] = (fields),
#include "netd/ops.def"
#undef NETD_OP
};

/* A request that has every field of its op. */
static struct netd_request
full(enum netd_op op)
{
	struct netd_request q = {.op = op, .n = 7};
	unsigned has = fields_of[op];

	if (has & NETD_T)
		q.thing.topology = id(1);
	if (has & NETD_D)
		q.thing.decky = id(2);
	if (has & NETD_L)
		q.thing.lan = id(3);
	if (has & NETD_A) {
		q.thing.ip = op == NETD_OP_NIC_ADD ? 0xac100002 : 0xac100000;
		q.thing.bits = 24;
	}
	if (has & NETD_V)
		q.thing.via = 0xac100003;
	if (has & NETD_M)
		memcpy(q.thing.mac, "\x00\x0c\x29\x01\x02\x03", 6);
	if (has & NETD_S)
		q.thing.slot = 255;
	if (has & NETD_P)
		q.thing.port = 65535;
	if (has & NETD_O)
		q.thing.persona = NETD_PERSONA_COUNT - 1;
	if (has & NETD_K)
		q.thing.mark = UINT64_MAX;
	return q;
}

static int
parse(const struct netd_request *q, struct netd_request *ret)
{
	uint8_t *bytes = malloc(NETD_REQUEST_SIZE);
	int r;

	assert_non_null(bytes);
	netd_request_put(q, bytes);
	r = netd_request_parse((struct sv){(const char *)bytes, NETD_REQUEST_SIZE}, ret);
	free(bytes);
	return r;
}

static void
every_op_is_read_back(void **state)
{
	(void)state;
	for (unsigned op = 0; op < NETD_OP_COUNT; op++) {
		struct netd_request q = full((enum netd_op)op), got;

		assert_int_equal(parse(&q, &got), 0);
		assert_memory_equal(&got.thing, &q.thing, sizeof(q.thing));
		assert_int_equal(got.op, op);
		assert_int_equal(got.n, 7);
	}
}

/* Each field that an op has, taken away; each that it has not, given. */
static void
no_field_too_few_or_too_many(void **state)
{
	(void)state;
	for (unsigned op = 0; op < NETD_OP_COUNT; op++) {
		for (unsigned bit = 1; bit <= NETD_K; bit <<= 1) {
			struct netd_request q = full((enum netd_op)op), got;
			bool has = fields_of[op] & bit;

			/* Slot 0, persona 0 and mark 0 are values like others. */
			if (has && (bit == NETD_S || bit == NETD_O || bit == NETD_K))
				continue;
			switch (bit) {
			case NETD_T: q.thing.topology = id(has ? 0 : 1); break;
			case NETD_D: q.thing.decky = id(has ? 0 : 1); break;
			case NETD_L: q.thing.lan = id(has ? 0 : 1); break;
			case NETD_A: q.thing.ip = has ? 1 : 0xac100002; break;
			case NETD_V: q.thing.via = has ? 0 : 0xac100003; break;
			case NETD_M: q.thing.mac[0] = has ? 1 : 2; break;
			case NETD_S: q.thing.slot = 1; break;
			case NETD_P: q.thing.port = has ? 0 : 80; break;
			case NETD_O: q.thing.persona = 1; break;
			case NETD_K: q.thing.mark = 1; break;
			default: fail();
			}
			if (has && bit <= NETD_L) {
				struct netd_id none = {{0}};

				*(bit == NETD_T	  ? &q.thing.topology
				  : bit == NETD_D ? &q.thing.decky
						  : &q.thing.lan) = none;
			}
			assert_int_equal(parse(&q, &got), -EBADMSG);
			assert_int_equal(got.n, 7);
		}
	}
}

struct row {
	const char *label;
	enum netd_op op;
	uint32_t ip, via;
	uint8_t bits, persona;
	uint16_t flags;
	uint64_t n;
	int want;
};

static void
ranges(void **state)
{
	static const struct row rows[] = {
		{"a LAN", NETD_OP_LAN_ADD, 0xac100000, 0, 24, 0, NETD_DMZ, 1, 0},
		{"number 0", NETD_OP_LAN_ADD, 0xac100000, 0, 24, 0, 0, 0, -EBADMSG},
		{"host bits in a subnet", NETD_OP_LAN_ADD, 0xac100001, 0, 24, 0, 0, 1, -EBADMSG},
		{"a subnet too wide", NETD_OP_LAN_ADD, 0xac000000, 0, 15, 0, 0, 1, -EBADMSG},
		{"a subnet too narrow", NETD_OP_LAN_ADD, 0xac100000, 0, 30, 0, 0, 1, -EBADMSG},
		{"33 bits", NETD_OP_LAN_ADD, 0xac100000, 0, 33, 0, 0, 1, -EBADMSG},
		{"the loopback", NETD_OP_LAN_ADD, 0x7f000000, 0, 24, 0, 0, 1, -EBADMSG},
		{"multicast", NETD_OP_LAN_ADD, 0xe0000000, 0, 24, 0, 0, 1, -EBADMSG},
		{"a flag of another op", NETD_OP_LAN_ADD, 0xac100000, 0, 24, 0, NETD_UDP, 1,
		 -EBADMSG},
		{"the subnet's own address", NETD_OP_NIC_ADD, 0xac100000, 0, 24, 0, 0, 1, -EBADMSG},
		{"broadcast", NETD_OP_NIC_ADD, 0xac1000ff, 0, 24, 0, 0, 1, -EBADMSG},
		{"the last host", NETD_OP_NIC_ADD, 0xac1000fe, 0, 24, 0, 0, 1, 0},
		{"the default route", NETD_OP_ROUTE_ADD, 0, 0xac100001, 0, 0, 0, 1, 0},
		{"half the default route", NETD_OP_ROUTE_ADD, 0, 0xac100001, 1, 0, 0, 1, -EBADMSG},
		{"a hop in no net", NETD_OP_ROUTE_ADD, 0, 0x00000001, 0, 0, 0, 1, -EBADMSG},
		{"no such persona", NETD_OP_DECKY_ADD, 0, 0, 0, NETD_PERSONA_COUNT, 0, 1, -EBADMSG},
		{"UDP", NETD_OP_LISTEN, 0, 0, 0, 0, NETD_UDP, 1, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct netd_request q = full(rows[i].op), got;

		q.n = rows[i].n;
		q.thing.ip = rows[i].ip;
		q.thing.bits = rows[i].bits;
		q.thing.persona = rows[i].persona;
		q.thing.flags = rows[i].flags;
		if (fields_of[rows[i].op] & NETD_V)
			q.thing.via = rows[i].via;
		if (parse(&q, &got) != rows[i].want)
			fail_msg("%s", rows[i].label);
	}
}

static void
sizes_and_rests(void **state)
{
	struct netd_request q = full(NETD_OP_NIC_ADD), got;
	uint8_t bytes[NETD_REQUEST_SIZE + 1];
	struct netd_answer a = {.kind = NETD_NIC, .n = 9, .r = -EBUSY, .thing = q.thing}, back;
	uint8_t answer[NETD_ANSWER_SIZE];

	(void)state;
	memset(bytes, 0, sizeof(bytes));
	netd_request_put(&q, bytes);
	for (size_t n = 0; n <= sizeof(bytes); n++)
		assert_int_equal(netd_request_parse((struct sv){(const char *)bytes, n}, &got),
				 n == NETD_REQUEST_SIZE ? 0 : -EBADMSG);
	/* What is between the fields stays zero. */
	bytes[NETD_REQUEST_SIZE - 1] = 1;
	assert_int_equal(
		netd_request_parse((struct sv){(const char *)bytes, NETD_REQUEST_SIZE}, &got),
		-EBADMSG);
	(void)snprintf(a.text, sizeof(a.text), "there are deckies on the LAN");
	netd_answer_put(&a, answer);
	assert_int_equal(
		netd_answer_parse((struct sv){(const char *)answer, sizeof(answer)}, &back), 0);
	assert_memory_equal(&back.thing, &a.thing, sizeof(a.thing));
	assert_string_equal(back.text, a.text);
	assert_int_equal(back.r, -EBUSY);
	assert_int_equal(
		netd_answer_parse((struct sv){(const char *)answer, sizeof(answer) - 1}, &back),
		-EBADMSG);
}

static void
ids(void **state)
{
	struct netd_id one;
	char text[ID_UUID_SIZE];

	(void)state;
	assert_int_equal(netd_id_parse(SV(UUID), &one), 0);
	netd_id_text(&one, text);
	assert_string_equal(text, UUID);
	assert_false(netd_id_none(&one));
	assert_int_equal(netd_id_parse(SV("01A1fdb5-c0b7-742f-92f1-6a1b0bd38de5"), &one), -EBADMSG);
	assert_int_equal(netd_id_parse(SV("nothing"), &one), -EBADMSG);
}

static void
words_on_links(void **state)
{
	static const char *const bad[] = {
		"",
		"decnet1",
		"decnet1 lan",
		"decnet1 lan " UUID " " UUID " 172.16.0.0/24",
		"decnet1 lan " UUID " " UUID " 172.16.0.1/24 dmz",
		"decnet1 lan " UUID " " UUID " 172.16.0.0/24 outer",
		"decnet1 lan " UUID " " UUID " 172.16.0.0/24 dmz more",
		"decnet2 lan " UUID " " UUID " 172.16.0.0/24 dmz",
		"decnet1 nic " UUID " " UUID " " UUID " 172.16.0.0/24 00:0c:29:00:00:01 0 0 host "
		"0000000000000001",
		"decnet1 nic " UUID " " UUID " " UUID " 172.16.0.2/24 00:0c:29:00:00 0 0 host "
		"0000000000000001",
		"decnet1 nic " UUID " " UUID " " UUID " 172.16.0.2/24 00:0c:29:00:00:01 256 0 host "
		"0000000000000001",
		"decnet1 nic " UUID " " UUID " " UUID " 172.16.0.2/24 00:0c:29:00:00:01 0 99 host "
		"0000000000000001",
		"decnet1 nic " UUID " " UUID " " UUID " 172.16.0.2/24 00:0c:29:00:00:01 0 0 host 1",
	};
	struct netd_thing nic = full(NETD_OP_NIC_ADD).thing, lan = full(NETD_OP_LAN_ADD).thing, got;
	char text[NETD_ALIAS_SIZE];
	enum netd_kind kind;

	(void)state;
	nic.mark = 0x1f00000000000001;
	nic.flags = NETD_FORWARD;
	nic.persona = NETD_PERSONA_EMBEDDED;
	netd_alias_put(NETD_NIC, &nic, text);
	assert_int_equal(netd_alias_parse(sv_from(text), &kind, &got), 0);
	assert_int_equal(kind, NETD_NIC);
	assert_memory_equal(&got, &nic, sizeof(nic));
	lan.flags = NETD_DMZ;
	netd_alias_put(NETD_LAN, &lan, text);
	assert_int_equal(netd_alias_parse(sv_from(text), &kind, &got), 0);
	assert_int_equal(kind, NETD_LAN);
	assert_memory_equal(&got, &lan, sizeof(lan));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (netd_alias_parse(sv_from(bad[i]), &kind, &got) != -EBADMSG)
			fail_msg("%s", bad[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_op_is_read_back),
		cmocka_unit_test(no_field_too_few_or_too_many),
		cmocka_unit_test(ranges),
		cmocka_unit_test(sizes_and_rests),
		cmocka_unit_test(ids),
		cmocka_unit_test(words_on_links),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
