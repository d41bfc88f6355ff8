/* SPDX-License-Identifier: Apache-2.0 */
/* The assembler of eBPF, and the programs of the personas: packets of every kind through the
 * kernel's own machine, where it lets us. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "netd/ebpf.h"
#include "netd/look_code.h"

#define LOOPBACK   1 /* the link that test runs are said to come by */
#define FRAME_MAX  256
#define PASSED	   UINT32_MAX
#define REDIRECTED 7u
#define RANDOM	   20000

static const uint8_t own_ip[4] = {10, 1, 2, 3}, other_ip[4] = {10, 9, 8, 7};
static const struct netd_id decky = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

/* -- the assembler -- */

static void
mistakes_are_told(void **state)
{
	struct ebpf p;
	unsigned label;

	(void)state;
	ebpf_init(&p);
	assert_int_equal(ebpf_finish(&p, NULL), -EINVAL);

	ebpf_init(&p);
	label = ebpf_label(&p);
	ebpf_jump(&p, label);
	ebpf_exit(&p);
	assert_int_equal(ebpf_finish(&p, NULL), -EINVAL);

	ebpf_init(&p);
	label = ebpf_label(&p);
	ebpf_jump(&p, label);
	ebpf_place(&p, label);
	assert_int_equal(ebpf_finish(&p, NULL), -EINVAL);

	ebpf_init(&p);
	label = ebpf_label(&p);
	ebpf_place(&p, label);
	ebpf_place(&p, label);
	ebpf_exit(&p);
	assert_int_equal(ebpf_finish(&p, NULL), -EINVAL);

	ebpf_init(&p);
	ebpf_jump(&p, 3);
	ebpf_exit(&p);
	assert_int_equal(ebpf_finish(&p, NULL), -EINVAL);

	ebpf_init(&p);
	ebpf_alu_imm(&p, BPF_MOV, 11, 0);
	assert_int_equal(ebpf_finish(&p, NULL), -EINVAL);

	ebpf_init(&p);
	ebpf_alu_imm(&p, BPF_MOV, BPF_REG_10, 0);
	assert_int_equal(ebpf_finish(&p, NULL), -EINVAL);

	ebpf_init(&p);
	ebpf_load(&p, BPF_W, 0, 1, 40000);
	assert_int_equal(ebpf_finish(&p, NULL), -EINVAL);

	ebpf_init(&p);
	ebpf_swap(&p, 1, 64);
	assert_int_equal(ebpf_finish(&p, NULL), -EINVAL);

	ebpf_init(&p);
	for (unsigned i = 0; i <= EBPF_INSNS; i++)
		ebpf_exit(&p);
	assert_int_equal(ebpf_finish(&p, NULL), -ENOSPC);

	ebpf_init(&p);
	for (unsigned i = 0; i <= EBPF_LABELS; i++)
		(void)ebpf_label(&p);
	ebpf_exit(&p);
	assert_int_equal(ebpf_finish(&p, NULL), -ENOSPC);
}

static void
jumps_are_resolved(void **state)
{
	struct bpf_insn insns[4];
	struct ebpf p;
	unsigned back, forth;

	(void)state;
	ebpf_init(&p);
	back = ebpf_label(&p);
	forth = ebpf_label(&p);
	ebpf_place(&p, back);
	ebpf_if_imm(&p, BPF_JEQ, 1, 7, forth);
	ebpf_jump(&p, back);
	ebpf_place(&p, forth);
	ebpf_alu_imm(&p, BPF_MOV, 0, -1);
	ebpf_exit(&p);
	assert_int_equal(ebpf_finish(&p, NULL), 0);
	assert_int_equal(p.n, 4);
	memcpy(insns, p.v, sizeof(insns));
	assert_int_equal(insns[0].off, 1);
	assert_int_equal(insns[0].imm, 7);
	assert_int_equal(insns[1].off, -2);
	assert_int_equal(insns[2].imm, -1);
}

static void
every_persona_has_programs(void **state)
{
	struct ebpf p;

	(void)state;
	for (unsigned i = 0; i < NETD_PERSONA_COUNT; i++) {
		assert_int_equal(look_code_out((enum netd_persona)i, 3, &p, NULL), 0);
		assert_true(p.n > 10);
		assert_int_equal(look_code_in((enum netd_persona)i, 3, &p, NULL), 0);
	}
}

static void
clocks_differ_and_stay(void **state)
{
	uint32_t clocks[200];

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		struct netd_id id = {{0}};

		id.b[i % 16] = (uint8_t)(1 + i / 16);
		clocks[i] = look_own_of(&id).clock;
		assert_int_equal(look_own_of(&id).clock, clocks[i]);
		for (unsigned k = 0; k < i; k++)
			assert_true(clocks[k] - clocks[i] > 1000 && clocks[i] - clocks[k] > 1000);
	}
}

/* -- the kernel's machine -- */

struct machine {
	int map, out, in;
};

static long
bpf(int cmd, union bpf_attr *attr)
{
	return syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static struct machine
load(enum netd_persona persona)
{
	struct look_key key = {.index = LOOPBACK};
	struct look_own own = look_own_of(&decky);
	struct machine m;
	struct ebpf p;
	struct err e = {0};

	memcpy(key.ip, own_ip, sizeof(key.ip));
	m.map = ebpf_map_new("test_own", sizeof(key), sizeof(own), 16, &e);
	if (m.map == -EPERM) {
		print_message("# eBPF programs may not be loaded here: %s\n", err_text(&e));
		skip();
	}
	assert_true(m.map >= 0);
	assert_int_equal(ebpf_map_add(m.map, &key, &own), 0);
	assert_int_equal(ebpf_map_add(m.map, &key, &own), 0);
	assert_int_equal(look_code_out(persona, m.map, &p, &e), 0);
	m.out = ebpf_load_program(&p, "test_out", &e);
	if (m.out < 0)
		fail_msg("%s", err_text(&e));
	assert_int_equal(look_code_in(persona, m.map, &p, &e), 0);
	m.in = ebpf_load_program(&p, "test_in", &e);
	if (m.in < 0)
		fail_msg("%s", err_text(&e));
	return m;
}

static void
unload(struct machine m)
{
	(void)close(m.map);
	(void)close(m.out);
	(void)close(m.in);
}

struct frame {
	uint8_t b[FRAME_MAX];
	size_t n;
	uint32_t verdict;
};

static struct frame
run(int program, const struct frame *in)
{
	struct frame out = {.n = 0};
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.test.prog_fd = (uint32_t)program;
	attr.test.data_in = (uint64_t)(uintptr_t)in->b;
	attr.test.data_size_in = (uint32_t)in->n;
	attr.test.data_out = (uint64_t)(uintptr_t)out.b;
	attr.test.data_size_out = sizeof(out.b);
	if (bpf(BPF_PROG_TEST_RUN, &attr) < 0)
		fail_msg("test run: %s", strerror(errno));
	out.n = attr.test.data_size_out;
	out.verdict = attr.test.retval;
	return out;
}

static uint32_t
get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void
put16(uint8_t *p, unsigned value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static void
put32(uint8_t *p, uint32_t value)
{
	put16(p, value >> 16);
	put16(p + 2, value & 0xffff);
}

static uint32_t
add_up(uint32_t sum, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum += (uint32_t)p[i] << (i % 2 ? 0 : 8);
	return sum;
}

/* The checksum's field value for such a sum; 0 over bytes that contain a right one. */
static uint16_t
folded(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static size_t
l4_of(const struct frame *f)
{
	return 14 + 4 * (f->b[14] & 15u);
}

static uint32_t
l4_sum(const struct frame *f)
{
	size_t l4 = l4_of(f), n = f->n - l4;
	uint32_t sum = 0;

	if (f->b[23] == 6)
		sum = add_up(6 + (uint32_t)n, f->b + 26, 8);
	return add_up(sum, f->b + l4, n);
}

static bool
sums_are_right(const struct frame *f)
{
	return folded(add_up(0, f->b + 14, l4_of(f) - 14)) == 0 && folded(l4_sum(f)) == 0;
}

static void
put_sums(struct frame *f)
{
	size_t at = l4_of(f) + (f->b[23] == 6 ? 16 : 2);

	put16(f->b + 24, 0);
	put16(f->b + 24, folded(add_up(0, f->b + 14, l4_of(f) - 14)));
	put16(f->b + at, 0);
	put16(f->b + at, folded(l4_sum(f)));
	assert_true(sums_are_right(f));
}

/* An IPv4 packet with `n` bytes after its header of 20 + `ip_options` bytes. */
static struct frame
packet(const uint8_t *from, const uint8_t *to, uint8_t proto, const void *bytes, size_t n,
       size_t ip_options)
{
	static const uint8_t macs[12] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};
	struct frame f = {.n = 34 + ip_options + n};

	memcpy(f.b, macs, sizeof(macs));
	put16(f.b + 12, 0x0800);
	f.b[14] = (uint8_t)(0x45 + ip_options / 4);
	f.b[15] = 0xc0;
	put16(f.b + 16, (unsigned)(f.n - 14));
	put16(f.b + 20, 0x4000);
	f.b[22] = 64;
	f.b[23] = proto;
	memcpy(f.b + 26, from, 4);
	memcpy(f.b + 30, to, 4);
	memset(f.b + 34, 1, ip_options);
	memcpy(f.b + 34 + ip_options, bytes, n);
	put_sums(&f);
	return f;
}

static struct frame
segment(bool out, uint8_t flags, const void *options, size_t noptions, size_t ip_options)
{
	uint8_t b[80] = {0x00, 0x50, 0x9c, 0x40};

	put32(b + 4, 0x11223344);
	put32(b + 8, flags & 0x10 ? 0x55667788 : 0);
	b[12] = (uint8_t)((20 + noptions) << 2);
	b[13] = flags;
	put16(b + 14, 0xfaf0);
	memcpy(b + 20, options, noptions);
	/* Some text, of an odd length. */
	memset(b + 20 + noptions, 'x', 7);
	return packet(out ? own_ip : other_ip, out ? other_ip : own_ip, 6, b, 27 + noptions,
		      ip_options);
}

#define MSS   "\x02\x04\x05\xb4"
#define SCALE "\x01\x03\x03\x08"
#define SACK  "\x04\x02"
#define NOPS  "\x01\x01"
#define STAMP "\x08\x0a\x00\x01\x02\x03\x0a\x0b\x0c\x0d"

static const struct {
	const char *linux_has, *windows_has;
	size_t n;
	bool scaled;
} answers[] = {
	{MSS SACK STAMP SCALE, MSS SCALE SACK STAMP, 20, true},
	{MSS NOPS STAMP SCALE, MSS SCALE NOPS STAMP, 20, true},
	{MSS SACK STAMP, MSS SACK STAMP, 16, false},
	{MSS NOPS STAMP, MSS NOPS STAMP, 16, false},
	{MSS NOPS SACK SCALE, MSS SCALE NOPS SACK, 12, true},
	{MSS SCALE, MSS SCALE, 8, true},
	{MSS NOPS SACK, MSS NOPS SACK, 8, false},
	{MSS, MSS, 4, false},
	/* No such answer comes from Linux; it stays in order. */
	{NOPS NOPS NOPS NOPS SACK NOPS, NOPS NOPS NOPS NOPS SACK NOPS, 12, false},
};

static void
windows_answers(void **state)
{
	struct machine m = load(NETD_PERSONA_WINDOWS);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		struct frame in = segment(true, 0x12, answers[i].linux_has, answers[i].n, 0);
		struct frame out = run(m.out, &in);

		assert_int_equal(out.verdict, PASSED);
		assert_int_equal(out.n, in.n);
		assert_memory_equal(out.b + 54, answers[i].windows_has, answers[i].n);
		assert_int_equal(get32(out.b + 46) & 0xffff, answers[i].scaled ? 0xffff : 0xff70);
		assert_true(sums_are_right(&out));
	}
	unload(m);
}

static void
packets_are_counted(void **state)
{
	static const enum netd_persona personas[] = {NETD_PERSONA_WINDOWS, NETD_PERSONA_EMBEDDED};
	struct frame in = segment(true, 0x18, "", 0, 0);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(personas); i++) {
		struct machine m = load(personas[i]);
		uint16_t first = (uint16_t)look_own_of(&decky).count;

		for (unsigned k = 0; k < 3; k++) {
			struct frame out = run(m.out, &in);

			assert_int_equal(get32(out.b + 18) >> 16, (uint16_t)(first + k));
			assert_int_equal(out.b[20], personas[i] == NETD_PERSONA_WINDOWS ? 0x40 : 0);
			assert_true(sums_are_right(&out));
		}
		unload(m);
	}
}

static void
resets_and_icmp(void **state)
{
	struct machine m = load(NETD_PERSONA_WINDOWS);
	struct frame in = segment(true, 0x04, "", 0, 0), out = run(m.out, &in);
	static const uint8_t ping[] = {0, 9, 0, 0, 1, 2, 3, 4, 'a', 'b', 'c'};
	static const uint8_t unreachable[] = {3, 3, 0, 0, 0, 0, 0, 0, 0x45, 0};

	(void)state;
	assert_int_equal(get32(out.b + 42), 0x11223344);
	assert_true(sums_are_right(&out));
	in = segment(true, 0x14, "", 0, 0);
	out = run(m.out, &in);
	assert_int_equal(get32(out.b + 42), 0x55667788);
	in = packet(own_ip, other_ip, 1, ping, sizeof(ping), 0);
	out = run(m.out, &in);
	assert_int_equal(out.b[35], 0);
	assert_int_equal(out.b[15], 0xc0);
	assert_true(sums_are_right(&out));
	in = packet(own_ip, other_ip, 1, unreachable, sizeof(unreachable), 0);
	out = run(m.out, &in);
	assert_int_equal(out.b[35], 3);
	assert_int_equal(out.b[15], 0);
	assert_true(sums_are_right(&out));
	unload(m);
}

/* What is added on the way out is taken away on the way in, wherever the option is. */
static void
clocks_are_shifted_and_back(void **state)
{
	static const struct {
		const char *options;
		size_t n, stamp; /* of the option */
		size_t ip_options;
	} rows[] = {
		{NOPS STAMP, 12, 2, 0},
		{NOPS STAMP NOPS "\x05\x0a\0\0\0\1\0\0\0\2", 24, 2, 0},
		{MSS SACK STAMP SCALE, 20, 6, 0},
		{STAMP NOPS, 12, 0, 0},
		{"\x01" STAMP "\x01", 12, 1, 0},
		{SACK "\x01" STAMP "\x01\x01\x01", 16, 3, 4},
		{NOPS STAMP, 12, 2, 40},
		{"\x1e\x1c"
		 "abcdefghijklmnopqrstuvwxyz" NOPS STAMP,
		 40, 30, 0},
	};
	struct machine m = load(NETD_PERSONA_LINUX);
	uint32_t clock = look_own_of(&decky).clock;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct frame in =
			segment(true, 0x10, rows[i].options, rows[i].n, rows[i].ip_options);
		size_t at = 54 + rows[i].ip_options + rows[i].stamp + 2;
		struct frame out = run(m.out, &in);

		assert_int_equal(get32(out.b + at), 0x00010203 + clock);
		assert_int_equal(get32(out.b + at + 4), 0x0a0b0c0d);
		assert_true(sums_are_right(&out));
		in = segment(false, 0x10, rows[i].options, rows[i].n, rows[i].ip_options);
		out = run(m.in, &in);
		assert_int_equal(get32(out.b + at), 0x00010203);
		assert_int_equal(get32(out.b + at + 4), 0x0a0b0c0d - clock);
		assert_true(sums_are_right(&out));
	}
	unload(m);
}

/* Options that hold no time stamp, or lie about their lengths. */
static void
what_is_no_stamp_stays(void **state)
{
	static const struct {
		const char *options;
		size_t n;
		uint8_t flags;
	} rows[] = {
		{"", 0, 0x10},
		{NOPS NOPS NOPS NOPS NOPS NOPS, 12, 0x10},
		{"\0" NOPS STAMP "\1\1\1", 16, 0x10},
		{"\x08\x0b\0\1\2\3\4\5\6\7\1\1", 12, 0x10},
		{"\x05\0\0\1\2\3\4\5\6\7\1\1", 12, 0x10},
		{"\x05\1\0\1\2\3\4\5\6\7\1\1", 12, 0x10},
		{"\x05\xff" STAMP, 12, 0x10},
		{"\1\1\1\x08\x0a\1\2\3\4\5\6\7", 12, 0x10},
		/* The echo of nothing, and a SYN, which echoes nothing. */
		{NOPS "\x08\x0a\1\2\3\4\0\0\0\0", 12, 0x10},
		{MSS SACK STAMP SCALE, 20, 0x02},
	};
	struct machine m = load(NETD_PERSONA_LINUX);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct frame in = segment(false, rows[i].flags, rows[i].options, rows[i].n, 0);
		struct frame out = run(m.in, &in);

		assert_int_equal(out.verdict, PASSED);
		assert_memory_equal(out.b, in.b, in.n);
	}
	unload(m);
}

static void
others_pass(void **state)
{
	struct frame in = segment(true, 0x12, answers[0].linux_has, 20, 0), out;

	(void)state;
	for (unsigned i = 0; i < NETD_PERSONA_COUNT; i++) {
		struct machine m = load((enum netd_persona)i);

		/* what a router passes on, either way */
		memcpy(in.b + 26, other_ip, 4);
		put_sums(&in);
		out = run(m.out, &in);
		assert_memory_equal(out.b, in.b, in.n);
		out = run(m.in, &in);
		assert_memory_equal(out.b, in.b, in.n);
		/* a fragment */
		memcpy(in.b + 26, own_ip, 4);
		put16(in.b + 20, 0x2000);
		put_sums(&in);
		out = run(m.out, &in);
		assert_memory_equal(out.b, in.b, in.n);
		put16(in.b + 20, 0x4000);
		unload(m);
	}
}

static void
odd_segments_are_reset(void **state)
{
	static const struct {
		uint8_t flags;
		uint32_t counts;
	} rows[] = {{0x00, 0}, {0xc0, 0}, {0x2b, 2}, {0x03, 2}, {0x43, 2}};
	struct machine m = load(NETD_PERSONA_WINDOWS_SERVER);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct frame in =
			segment(false, rows[i].flags, SCALE NOPS NOPS MSS STAMP NOPS, 24, 0);
		struct frame out;

		put32(in.b + 42, 0xdeadbeef);
		put_sums(&in);
		out = run(m.in, &in);
		assert_int_equal(out.verdict, REDIRECTED);
		assert_int_equal(out.n, 54);
		assert_true(sums_are_right(&out));
		assert_memory_equal(out.b, in.b + 6, 6);
		assert_memory_equal(out.b + 6, in.b, 6);
		assert_memory_equal(out.b + 26, own_ip, 4);
		assert_memory_equal(out.b + 30, other_ip, 4);
		assert_int_equal(out.b[22], 128);
		assert_int_equal(get32(out.b + 34), 0x9c400050);
		assert_int_equal(get32(out.b + 38), 0);
		assert_int_equal(get32(out.b + 42), 0x11223344 + 7 + rows[i].counts);
		assert_int_equal(get32(out.b + 46), 0x50140000);
	}
	unload(m);
}

/* Whatever comes: the right stays right, and nothing grows. */
static void
any_packet(void **state)
{
	static const uint8_t flags[] = {0x02, 0x12, 0x10, 0x18, 0x04, 0x14, 0x11, 0x00, 0x2b};
	uint64_t x = 88172645463325252u;

	(void)state;
	for (unsigned i = 0; i < NETD_PERSONA_COUNT; i++) {
		struct machine m = load((enum netd_persona)i);

		for (unsigned k = 0; k < RANDOM / NETD_PERSONA_COUNT; k++) {
			uint8_t options[40];
			struct frame in, out;
			bool outward = k & 1;

			for (size_t b = 0; b < sizeof(options); b++) {
				x ^= x << 13;
				x ^= x >> 7;
				x ^= x << 17;
				/* Often kinds and lengths that mean something. */
				options[b] = (uint8_t)(x & 0x300 ? x % 12 : x >> 24);
			}
			in = segment(outward, flags[x % sizeof(flags)], options, x / 64 % 11 * 4,
				     x / 4096 % 4 * 4);
			out = run(outward ? m.out : m.in, &in);
			assert_true(out.verdict == PASSED || out.verdict == REDIRECTED);
			assert_true(out.n <= in.n);
			assert_true(sums_are_right(&out));
			/* Cut anywhere; without the header of IP the kernel runs no test. */
			in.n = 34 + x / 100000 % (in.n - 33);
			out = run(outward ? m.out : m.in, &in);
			assert_true(out.n <= in.n || out.verdict == REDIRECTED);
		}
		unload(m);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mistakes_are_told),
		cmocka_unit_test(jumps_are_resolved),
		cmocka_unit_test(every_persona_has_programs),
		cmocka_unit_test(clocks_differ_and_stay),
		cmocka_unit_test(windows_answers),
		cmocka_unit_test(packets_are_counted),
		cmocka_unit_test(resets_and_icmp),
		cmocka_unit_test(clocks_are_shifted_and_back),
		cmocka_unit_test(what_is_no_stamp_stays),
		cmocka_unit_test(others_pass),
		cmocka_unit_test(odd_segments_are_reset),
		cmocka_unit_test(any_packet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
