/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The programs of the personas, instruction by instruction. Offsets into packets count from the
 * Ethernet header; what is read lies on the stack in the places below, in network order.
 */
#include "netd/look_code.h"

#include <arpa/inet.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <netinet/in.h>
#include <string.h>

#include "util/mix.h"

#define CTX BPF_REG_6 /* struct __sk_buff */
#define L4  BPF_REG_7 /* where the header after IP begins */
#define OWN BPF_REG_8 /* struct look_own */
#define TMP BPF_REG_9
#define FP  BPF_REG_10
#define R0  BPF_REG_0
#define R1  BPF_REG_1
#define R2  BPF_REG_2
#define R3  BPF_REG_3
#define R4  BPF_REG_4
#define R5  BPF_REG_5

/* Places on the stack. The IP header without options, the TCP header without options: */
#define IP4_AT	     (-24)
#define IP4_TOS	     (IP4_AT + 1)
#define IP4_LENGTH   (IP4_AT + 2)
#define IP4_ID	     (IP4_AT + 4)
#define IP4_FRAGMENT (IP4_AT + 6)
#define IP4_TTL	     (IP4_AT + 8)
#define IP4_PROTO    (IP4_AT + 9)
#define IP4_SUM	     (IP4_AT + 10)
#define IP4_SOURCE   (IP4_AT + 12)
#define IP4_TARGET   (IP4_AT + 16)
#define TCP_AT	     (-48)
#define TCP_SEQ	     (TCP_AT + 4)
#define TCP_ACK	     (TCP_AT + 8)
#define TCP_OFFSET   (TCP_AT + 12)
#define TCP_FLAGS    (TCP_AT + 13)
#define TCP_WINDOW   (TCP_AT + 14)
#define TCP_SUM	     (TCP_AT + 16)
#define TCP_URGENT   (TCP_AT + 18)
/* The pseudo header of the checksum, right before the TCP header; the key of the table before: */
#define PSEUDO_AT    (-60)
#define KEY_AT	     (-56)
/* Up to 40 bytes of options, or a few bytes of another header; and a new value. */
#define BYTES_AT     (-104)
#define BYTES_MAX    40
#define NEW_AT	     (-112)

#define ETH_IP	       ETH_HLEN
#define IP4_BYTES      20
#define TCP_BYTES      20
#define ETH_ADDRESSES  12
#define PSEUDO_BYTES   12
#define FLAG_FIN       0x01
#define FLAG_SYN       0x02
#define FLAG_RST       0x04
#define FLAG_ACK       0x10
#define FLAGS	       0x3f /* but for those of ECN */
#define OPTION_NOP     1
#define OPTION_STAMP   8
#define STAMP_BYTES    10
#define SCALE_OPTION   0x0103 /* NOP, window scale */
#define ICMP_REPLY     0
#define ICMP_UNREACH   3
#define DONT_FRAGMENT  0x4000
#define MORE_OR_OFFSET 0x3fff
#define OFFSET_ONLY    0x1fff

static const struct look {
	unsigned ttl;
	bool clock;
	uint16_t window, plain_window;
	unsigned traits;
} looks[NETD_PERSONA_COUNT] = {
#define PERSONA(name, word, tl, stamps, ws, sack, ecn, again, gap, rmem, win, plain, trts)         \
	[NETD_PERSONA_##name] = {tl, stamps, win, plain, trts},
#include "netd/persona.def"
#undef PERSONA
};

/* What both programs are about. */
struct code {
	struct ebpf *p;
	const struct look *look;
	unsigned pass;	/* the packet goes on as it is */
	unsigned ident; /* the last thing that is done to what leaves */
};

/* -- pieces -- */

/* r(dst) = the place on the stack */
static void
place_of(struct ebpf *p, int dst, int at)
{
	ebpf_alu(p, BPF_MOV, dst, FP);
	ebpf_alu_imm(p, BPF_ADD, dst, at);
}

/* Bytes of the packet from r2 on into the stack; without them, to `without`. */
static void
read_packet(struct ebpf *p, int at, int bytes, unsigned without)
{
	ebpf_alu(p, BPF_MOV, R1, CTX);
	place_of(p, R3, at);
	ebpf_alu_imm(p, BPF_MOV, R4, bytes);
	ebpf_call(p, BPF_FUNC_skb_load_bytes);
	ebpf_if_imm(p, BPF_JNE, R0, 0, without);
}

/* r2 = L4 + off */
static void
at_l4(struct ebpf *p, int off)
{
	ebpf_alu(p, BPF_MOV, R2, L4);
	ebpf_alu_imm(p, BPF_ADD, R2, off);
}

/* Bytes of the stack into the packet from r2 on. Checksums are the caller's. */
static void
write_packet(struct ebpf *p, int at, int bytes)
{
	ebpf_alu(p, BPF_MOV, R1, CTX);
	place_of(p, R3, at);
	ebpf_alu_imm(p, BPF_MOV, R4, bytes);
	ebpf_alu_imm(p, BPF_MOV, R5, 0);
	ebpf_call(p, BPF_FUNC_skb_store_bytes);
}

/* In a checksum at r2, r3 is exchanged for r4; both of `bytes` 2 or 4. */
static void
exchange(struct ebpf *p, int helper, int bytes)
{
	ebpf_alu(p, BPF_MOV, R1, CTX);
	ebpf_alu_imm(p, BPF_MOV, R5, bytes);
	ebpf_call(p, helper);
}

static void
leave(struct ebpf *p)
{
	ebpf_alu_imm(p, BPF_MOV, R0, TC_ACT_UNSPEC);
	ebpf_exit(p);
}

/* The headers onto the stack, L4 and OWN found; what is not for the program passes. */
static void
begin(struct code *c, int map_fd, int own_address, int fragments)
{
	struct ebpf *p = c->p;

	ebpf_init(p);
	c->pass = ebpf_label(p);
	c->ident = ebpf_label(p);
	ebpf_alu(p, BPF_MOV, CTX, R1);
	ebpf_load(p, BPF_W, R1, CTX, offsetof(struct __sk_buff, protocol));
	ebpf_if_imm(p, BPF_JNE, R1, htons(ETH_P_IP), c->pass);
	ebpf_alu_imm(p, BPF_MOV, R2, ETH_IP);
	read_packet(p, IP4_AT, IP4_BYTES, c->pass);
	ebpf_load(p, BPF_B, L4, FP, IP4_AT);
	ebpf_alu(p, BPF_MOV, R1, L4);
	ebpf_alu_imm(p, BPF_AND, R1, 0xf0);
	ebpf_if_imm(p, BPF_JNE, R1, 0x40, c->pass);
	ebpf_alu_imm(p, BPF_AND, L4, 0x0f);
	ebpf_alu_imm(p, BPF_LSH, L4, 2);
	ebpf_if_imm(p, BPF_JLT, L4, IP4_BYTES, c->pass);
	ebpf_alu_imm(p, BPF_ADD, L4, ETH_IP);

	ebpf_load(p, BPF_W, R1, CTX, offsetof(struct __sk_buff, ifindex));
	ebpf_store(p, BPF_W, FP, KEY_AT, R1);
	ebpf_load(p, BPF_W, R1, FP, own_address);
	ebpf_store(p, BPF_W, FP, KEY_AT + 4, R1);
	ebpf_map(p, R1, map_fd);
	place_of(p, R2, KEY_AT);
	ebpf_call(p, BPF_FUNC_map_lookup_elem);
	ebpf_if_imm(p, BPF_JEQ, R0, 0, c->pass);
	ebpf_alu(p, BPF_MOV, OWN, R0);

	ebpf_load(p, BPF_H, R1, FP, IP4_FRAGMENT);
	ebpf_alu_imm(p, BPF_AND, R1, htons((uint16_t)fragments));
	ebpf_if_imm(p, BPF_JNE, R1, 0, c->pass);
}

static int
end(struct code *c, struct err *e)
{
	ebpf_place(c->p, c->pass);
	leave(c->p);
	return ebpf_finish(c->p, e);
}

/*
 * TMP = where the time stamp option of the segment is, or to `none`. Every option takes at least a
 * byte, and beyond the last place where one could begin nothing is looked at: so the loop ends.
 */
static void
find_stamp(struct ebpf *p, unsigned none)
{
	unsigned next = ebpf_label(p), nop = ebpf_label(p), found = ebpf_label(p);

	ebpf_load(p, BPF_B, TMP, FP, TCP_OFFSET);
	ebpf_alu_imm(p, BPF_AND, TMP, 0xf0);
	ebpf_alu_imm(p, BPF_RSH, TMP, 2);
	ebpf_if_imm(p, BPF_JLT, TMP, TCP_BYTES + STAMP_BYTES, none);
	ebpf_alu_imm(p, BPF_SUB, TMP, TCP_BYTES);
	/* Older kernels let the stack be read only where it was written. */
	for (int at = 0; at < BYTES_MAX; at += 8)
		ebpf_store_imm(p, BPF_DW, FP, BYTES_AT + at, 0);
	at_l4(p, TCP_BYTES);
	ebpf_alu(p, BPF_MOV, R1, CTX);
	place_of(p, R3, BYTES_AT);
	ebpf_alu(p, BPF_MOV, R4, TMP);
	ebpf_call(p, BPF_FUNC_skb_load_bytes);
	ebpf_if_imm(p, BPF_JNE, R0, 0, none);

	ebpf_alu_imm(p, BPF_MOV, R1, 0);
	ebpf_place(p, next);
	ebpf_alu(p, BPF_MOV, R2, R1);
	ebpf_alu_imm(p, BPF_ADD, R2, STAMP_BYTES);
	ebpf_if(p, BPF_JGT, R2, TMP, none);
	ebpf_alu(p, BPF_MOV, R2, FP);
	ebpf_alu(p, BPF_ADD, R2, R1);
	ebpf_load(p, BPF_B, R3, R2, BYTES_AT);
	ebpf_if_imm(p, BPF_JEQ, R3, 0, none);
	ebpf_if_imm(p, BPF_JEQ, R3, OPTION_NOP, nop);
	ebpf_load(p, BPF_B, R4, R2, BYTES_AT + 1);
	ebpf_if_imm(p, BPF_JEQ, R3, OPTION_STAMP, found);
	ebpf_if_imm(p, BPF_JLT, R4, 2, none);
	ebpf_alu(p, BPF_ADD, R1, R4);
	ebpf_jump(p, next);
	ebpf_place(p, nop);
	ebpf_alu_imm(p, BPF_ADD, R1, 1);
	ebpf_jump(p, next);

	ebpf_place(p, found);
	ebpf_if_imm(p, BPF_JNE, R4, STAMP_BYTES, none);
	ebpf_alu(p, BPF_MOV, TMP, L4);
	ebpf_alu_imm(p, BPF_ADD, TMP, TCP_BYTES);
	ebpf_alu(p, BPF_ADD, TMP, R1);
}

/* r(dst) is turned by a byte within its 32 bits. */
static void
turn(struct ebpf *p, int dst, int scratch)
{
	ebpf_alu(p, BPF_MOV, scratch, dst);
	ebpf_alu_imm(p, BPF_RSH, scratch, 24);
	ebpf_alu_imm(p, BPF_LSH, dst, 8);
	ebpf_alu(p, BPF_OR, dst, scratch);
}

/* Add the decky's clock (BPF_ADD) to the 32 bits at TMP + off, or take it away (BPF_SUB); what is
 * zero says nothing and stays. The checksum follows. */
static void
shift_stamp(struct ebpf *p, int op, int off, unsigned done)
{
	unsigned even = ebpf_label(p);

	ebpf_alu(p, BPF_MOV, R2, TMP);
	ebpf_alu_imm(p, BPF_ADD, R2, off);
	read_packet(p, BYTES_AT, 4, done);
	ebpf_load(p, BPF_W, R3, FP, BYTES_AT);
	ebpf_if_imm(p, BPF_JEQ, R3, 0, done);
	ebpf_alu(p, BPF_MOV, R4, R3);
	ebpf_swap(p, R4, 32);
	ebpf_load(p, BPF_W, R1, OWN, offsetof(struct look_own, clock));
	ebpf_alu(p, op, R4, R1);
	ebpf_swap(p, R4, 32);
	ebpf_store(p, BPF_W, FP, NEW_AT, R4);
	/* The checksum is one of pairs of bytes: at an odd place their halves are the other way
	 * round. */
	ebpf_alu(p, BPF_MOV, R1, TMP);
	ebpf_alu_imm(p, BPF_AND, R1, 1);
	ebpf_if_imm(p, BPF_JEQ, R1, 0, even);
	turn(p, R3, R1);
	turn(p, R4, R1);
	ebpf_place(p, even);
	at_l4(p, TCP_SUM - TCP_AT);
	exchange(p, BPF_FUNC_l4_csum_replace, 4);
	ebpf_alu(p, BPF_MOV, R2, TMP);
	ebpf_alu_imm(p, BPF_ADD, R2, off);
	write_packet(p, NEW_AT, 4);
}

/* -- what leaves -- */

/* The acknowledgement number of a reset without ACK is its own sequence number. */
static void
reset_ack(struct code *c)
{
	struct ebpf *p = c->p;
	unsigned other = ebpf_label(p);

	ebpf_load(p, BPF_B, R1, FP, TCP_FLAGS);
	ebpf_alu_imm(p, BPF_AND, R1, FLAG_RST | FLAG_ACK);
	ebpf_if_imm(p, BPF_JNE, R1, FLAG_RST, other);
	at_l4(p, TCP_SUM - TCP_AT);
	ebpf_load(p, BPF_W, R3, FP, TCP_ACK);
	ebpf_load(p, BPF_W, R4, FP, TCP_SEQ);
	exchange(p, BPF_FUNC_l4_csum_replace, 4);
	at_l4(p, TCP_ACK - TCP_AT);
	write_packet(p, TCP_SEQ, 4);
	ebpf_jump(p, c->ident);
	ebpf_place(p, other);
}

/* Of options of 4 + `bytes` bytes, the last four are put after the first four, if they are the
 * window scale: whole pairs of bytes move, so the checksum stays. */
static void
scale_second(struct code *c, int bytes, unsigned plain)
{
	struct ebpf *p = c->p;

	at_l4(p, TCP_BYTES + 4);
	read_packet(p, BYTES_AT + 4, bytes, c->ident);
	ebpf_load(p, BPF_H, R1, FP, BYTES_AT + bytes);
	ebpf_if_imm(p, BPF_JNE, R1, htons(SCALE_OPTION), plain);
	if (bytes == 4 || !(c->look->traits & LOOK_SCALE_SECOND))
		return;
	ebpf_load(p, BPF_W, R1, FP, BYTES_AT + bytes);
	ebpf_store(p, BPF_W, FP, BYTES_AT, R1);
	at_l4(p, TCP_BYTES + 4);
	write_packet(p, BYTES_AT, bytes);
}

/* The window that a SYN-ACK names, and the order of its options. Linux writes them in one of six
 * ways, of 4, 8, 12, 16 or 20 bytes; the window scale is the last. */
static void
syn_ack(struct code *c, unsigned other)
{
	static const int sizes[] = {20, 12, 8};
	struct ebpf *p = c->p;
	unsigned plain = ebpf_label(p), scaled = ebpf_label(p), window = ebpf_label(p);

	ebpf_load(p, BPF_B, R1, FP, TCP_FLAGS);
	ebpf_alu_imm(p, BPF_AND, R1, FLAG_SYN | FLAG_ACK);
	ebpf_if_imm(p, BPF_JNE, R1, FLAG_SYN | FLAG_ACK, other);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		unsigned next = ebpf_label(p);

		ebpf_load(p, BPF_B, R1, FP, TCP_OFFSET);
		ebpf_alu_imm(p, BPF_AND, R1, 0xf0);
		ebpf_if_imm(p, BPF_JNE, R1, (TCP_BYTES + sizes[i]) << 2, next);
		scale_second(c, sizes[i] - 4, plain);
		ebpf_jump(p, scaled);
		ebpf_place(p, next);
	}
	ebpf_place(p, plain);
	ebpf_store_imm(p, BPF_H, FP, NEW_AT, htons(c->look->plain_window));
	ebpf_jump(p, window);
	ebpf_place(p, scaled);
	ebpf_store_imm(p, BPF_H, FP, NEW_AT, htons(c->look->window));
	ebpf_place(p, window);
	at_l4(p, TCP_SUM - TCP_AT);
	ebpf_load(p, BPF_H, R3, FP, TCP_WINDOW);
	ebpf_load(p, BPF_H, R4, FP, NEW_AT);
	exchange(p, BPF_FUNC_l4_csum_replace, 2);
	at_l4(p, TCP_WINDOW - TCP_AT);
	write_packet(p, NEW_AT, 2);
}

static void
tcp_out(struct code *c)
{
	struct ebpf *p = c->p;
	unsigned other = ebpf_label(p);

	at_l4(p, 0);
	read_packet(p, TCP_AT, TCP_BYTES, c->ident);
	if (c->look->traits & LOOK_RESET_ACK)
		reset_ack(c);
	if (c->look->window)
		syn_ack(c, other);
	ebpf_place(p, other);
	if (c->look->clock) {
		find_stamp(p, c->ident);
		shift_stamp(p, BPF_ADD, 2, c->ident);
	}
	ebpf_jump(p, c->ident);
}

/* The first two bytes of the ICMP header are type and code, of the IP header version and TOS. */
static void
icmp_out(struct code *c)
{
	struct ebpf *p = c->p;
	unsigned error = ebpf_label(p);

	at_l4(p, 0);
	read_packet(p, BYTES_AT, 4, c->ident);
	ebpf_load(p, BPF_B, R1, FP, BYTES_AT);
	ebpf_if_imm(p, BPF_JEQ, R1, ICMP_UNREACH, error);
	ebpf_if_imm(p, BPF_JNE, R1, ICMP_REPLY, c->ident);
	ebpf_load(p, BPF_H, R3, FP, BYTES_AT);
	ebpf_store_imm(p, BPF_H, FP, NEW_AT, 0);
	at_l4(p, 2);
	ebpf_alu_imm(p, BPF_MOV, R4, 0);
	exchange(p, BPF_FUNC_l4_csum_replace, 2);
	at_l4(p, 0);
	write_packet(p, NEW_AT, 2);
	ebpf_jump(p, c->ident);

	ebpf_place(p, error);
	ebpf_load(p, BPF_H, R3, FP, IP4_AT);
	ebpf_store(p, BPF_H, FP, NEW_AT, R3);
	ebpf_store_imm(p, BPF_B, FP, NEW_AT + 1, 0);
	ebpf_load(p, BPF_H, R4, FP, NEW_AT);
	ebpf_alu_imm(p, BPF_MOV, R2, ETH_IP + (IP4_SUM - IP4_AT));
	exchange(p, BPF_FUNC_l3_csum_replace, 2);
	ebpf_alu_imm(p, BPF_MOV, R2, ETH_IP);
	write_packet(p, NEW_AT, 2);
	ebpf_jump(p, c->ident);
}

/* Count the packet, or all those that it will be cut into. */
static void
count(struct code *c)
{
	struct ebpf *p = c->p;
	unsigned several = ebpf_label(p);

	ebpf_load(p, BPF_W, R4, CTX, offsetof(struct __sk_buff, gso_segs));
	ebpf_if_imm(p, BPF_JNE, R4, 0, several);
	ebpf_alu_imm(p, BPF_MOV, R4, 1);
	ebpf_place(p, several);
	ebpf_fetch_add(p, OWN, offsetof(struct look_own, count), R4);
	ebpf_swap(p, R4, 16);
	ebpf_store(p, BPF_H, FP, NEW_AT, R4);
	ebpf_load(p, BPF_H, R4, FP, IP4_FRAGMENT);
	if (c->look->traits & LOOK_NEVER_DF)
		ebpf_alu_imm(p, BPF_AND, R4, htons((uint16_t)~DONT_FRAGMENT));
	ebpf_store(p, BPF_H, FP, NEW_AT + 2, R4);
	ebpf_load(p, BPF_W, R3, FP, IP4_ID);
	ebpf_load(p, BPF_W, R4, FP, NEW_AT);
	ebpf_alu_imm(p, BPF_MOV, R2, ETH_IP + (IP4_SUM - IP4_AT));
	exchange(p, BPF_FUNC_l3_csum_replace, 4);
	ebpf_alu_imm(p, BPF_MOV, R2, ETH_IP + (IP4_ID - IP4_AT));
	write_packet(p, NEW_AT, 4);
}

int
look_code_out(enum netd_persona persona, int map_fd, struct ebpf *ret, struct err *e)
{
	struct code c = {.p = ret, .look = &looks[persona]};
	unsigned tcp;

	begin(&c, map_fd, IP4_SOURCE, MORE_OR_OFFSET);
	tcp = ebpf_label(ret);
	ebpf_load(ret, BPF_B, R1, FP, IP4_PROTO);
	ebpf_if_imm(ret, BPF_JEQ, R1, IPPROTO_TCP, tcp);
	if (c.look->traits & LOOK_PLAIN_ICMP) {
		ebpf_if_imm(ret, BPF_JNE, R1, IPPROTO_ICMP, c.ident);
		icmp_out(&c);
	} else {
		ebpf_jump(ret, c.ident);
	}
	ebpf_place(ret, tcp);
	tcp_out(&c);
	ebpf_place(ret, c.ident);
	if (c.look->traits & LOOK_COUNTS)
		count(&c);
	return end(&c, e);
}

/* -- what comes -- */

/* r0, a sum of words, becomes the field of a header. */
static void
fold(struct ebpf *p)
{
	for (unsigned i = 0; i < 2; i++) {
		ebpf_alu(p, BPF_MOV, R1, R0);
		ebpf_alu_imm(p, BPF_RSH, R1, 16);
		ebpf_alu_imm(p, BPF_AND, R0, 0xffff);
		ebpf_alu(p, BPF_ADD, R0, R1);
	}
	ebpf_alu_imm(p, BPF_XOR, R0, 0xffff);
}

/* r0 = the sum of bytes of the stack */
static void
sum(struct ebpf *p, int at, int bytes)
{
	ebpf_alu_imm(p, BPF_MOV, R1, 0);
	ebpf_alu_imm(p, BPF_MOV, R2, 0);
	place_of(p, R3, at);
	ebpf_alu_imm(p, BPF_MOV, R4, bytes);
	ebpf_alu_imm(p, BPF_MOV, R5, 0);
	ebpf_call(p, BPF_FUNC_csum_diff);
}

/* Two values of the stack change places. */
static void
swap_places(struct ebpf *p, int size, int a, int b)
{
	ebpf_load(p, size, R1, FP, a);
	ebpf_load(p, size, R2, FP, b);
	ebpf_store(p, size, FP, a, R2);
	ebpf_store(p, size, FP, b, R1);
}

/* The headers on the stack become those of a reset that answers the segment; TMP is what SYN and
 * FIN count (RFC 9293, 3.10.7.1). */
static void
make_reset(struct code *c)
{
	struct ebpf *p = c->p;

	/* acknowledged: sequence number + length of the text + SYN + FIN */
	ebpf_load(p, BPF_H, R1, FP, IP4_LENGTH);
	ebpf_swap(p, R1, 16);
	ebpf_alu_imm(p, BPF_SUB, R1, IP4_BYTES);
	ebpf_load(p, BPF_B, R2, FP, TCP_OFFSET);
	ebpf_alu_imm(p, BPF_AND, R2, 0xf0);
	ebpf_alu_imm(p, BPF_RSH, R2, 2);
	ebpf_alu(p, BPF_SUB, R1, R2);
	ebpf_alu(p, BPF_ADD, R1, TMP);
	ebpf_load(p, BPF_W, R2, FP, TCP_SEQ);
	ebpf_swap(p, R2, 32);
	ebpf_alu(p, BPF_ADD, R1, R2);
	ebpf_swap(p, R1, 32);
	ebpf_store(p, BPF_W, FP, TCP_ACK, R1);
	ebpf_store_imm(p, BPF_W, FP, TCP_SEQ, 0);
	ebpf_store_imm(p, BPF_B, FP, TCP_OFFSET, TCP_BYTES << 2);
	ebpf_store_imm(p, BPF_B, FP, TCP_FLAGS, FLAG_RST | FLAG_ACK);
	ebpf_store_imm(p, BPF_H, FP, TCP_WINDOW, 0);
	ebpf_store_imm(p, BPF_W, FP, TCP_SUM, 0);
	swap_places(p, BPF_H, TCP_AT, TCP_AT + 2);
	swap_places(p, BPF_W, IP4_SOURCE, IP4_TARGET);
	ebpf_load(p, BPF_W, R1, FP, IP4_SOURCE);
	ebpf_store(p, BPF_W, FP, PSEUDO_AT, R1);
	ebpf_load(p, BPF_W, R1, FP, IP4_TARGET);
	ebpf_store(p, BPF_W, FP, PSEUDO_AT + 4, R1);
	ebpf_store_imm(p, BPF_H, FP, PSEUDO_AT + 8, htons(IPPROTO_TCP));
	ebpf_store_imm(p, BPF_H, FP, PSEUDO_AT + 10, htons(TCP_BYTES));
	sum(p, PSEUDO_AT, PSEUDO_BYTES + TCP_BYTES);
	fold(p);
	ebpf_store(p, BPF_H, FP, TCP_SUM, R0);

	ebpf_store_imm(p, BPF_B, FP, IP4_TOS, 0);
	ebpf_store_imm(p, BPF_H, FP, IP4_LENGTH, htons(IP4_BYTES + TCP_BYTES));
	ebpf_store_imm(p, BPF_H, FP, IP4_ID, 0);
	ebpf_store_imm(p, BPF_H, FP, IP4_FRAGMENT, htons(DONT_FRAGMENT));
	ebpf_store_imm(p, BPF_B, FP, IP4_TTL, (int32_t)c->look->ttl);
	ebpf_store_imm(p, BPF_H, FP, IP4_SUM, 0);
	sum(p, IP4_AT, IP4_BYTES);
	fold(p);
	ebpf_store(p, BPF_H, FP, IP4_SUM, R0);
}

/* The packet turns round and comes in at the link as if the decky had sent it. */
static void
send_back(struct code *c)
{
	struct ebpf *p = c->p;

	ebpf_alu(p, BPF_MOV, R1, CTX);
	ebpf_alu_imm(p, BPF_MOV, R2, ETH_HLEN + IP4_BYTES + TCP_BYTES);
	ebpf_alu_imm(p, BPF_MOV, R3, 0);
	ebpf_call(p, BPF_FUNC_skb_change_tail);
	ebpf_if_imm(p, BPF_JNE, R0, 0, c->pass);
	ebpf_alu_imm(p, BPF_MOV, R2, 0);
	read_packet(p, BYTES_AT, ETH_ADDRESSES, c->pass);
	ebpf_alu_imm(p, BPF_MOV, R2, 0);
	write_packet(p, BYTES_AT + ETH_ALEN, ETH_ALEN);
	ebpf_alu_imm(p, BPF_MOV, R2, ETH_ALEN);
	write_packet(p, BYTES_AT, ETH_ALEN);
	ebpf_alu_imm(p, BPF_MOV, R2, ETH_IP);
	write_packet(p, IP4_AT, IP4_BYTES);
	at_l4(p, 0);
	write_packet(p, TCP_AT, TCP_BYTES);
	ebpf_load(p, BPF_W, R1, CTX, offsetof(struct __sk_buff, ifindex));
	ebpf_alu_imm(p, BPF_MOV, R2, BPF_F_INGRESS);
	ebpf_call(p, BPF_FUNC_redirect);
	ebpf_exit(p);
}

/* Segments that are no part of any connection, whether somebody listens or not. */
static void
odd_resets(struct code *c)
{
	struct ebpf *p = c->p;
	unsigned answer = ebpf_label(p), other = ebpf_label(p);

	ebpf_load(p, BPF_B, R1, FP, TCP_FLAGS);
	ebpf_alu_imm(p, BPF_AND, R1, FLAGS);
	ebpf_alu_imm(p, BPF_MOV, TMP, 0);
	ebpf_if_imm(p, BPF_JEQ, R1, 0, answer);
	ebpf_alu_imm(p, BPF_AND, R1, FLAG_SYN | FLAG_FIN | FLAG_RST | FLAG_ACK);
	ebpf_alu_imm(p, BPF_MOV, TMP, 2);
	ebpf_if_imm(p, BPF_JNE, R1, FLAG_SYN | FLAG_FIN, other);
	ebpf_place(p, answer);
	/* With options of IP the headers are not where the answer's will be. */
	ebpf_if_imm(p, BPF_JNE, L4, ETH_HLEN + IP4_BYTES, c->pass);
	make_reset(c);
	send_back(c);
	ebpf_place(p, other);
}

int
look_code_in(enum netd_persona persona, int map_fd, struct ebpf *ret, struct err *e)
{
	struct code c = {.p = ret, .look = &looks[persona]};

	/* One that does nothing takes the place of one that did. */
	if (!c.look->clock && !(c.look->traits & LOOK_ODD_RESETS)) {
		ebpf_init(ret);
		leave(ret);
		return ebpf_finish(ret, e);
	}
	begin(&c, map_fd, IP4_TARGET, OFFSET_ONLY);
	ebpf_load(ret, BPF_B, R1, FP, IP4_PROTO);
	ebpf_if_imm(ret, BPF_JNE, R1, IPPROTO_TCP, c.pass);
	at_l4(ret, 0);
	read_packet(ret, TCP_AT, TCP_BYTES, c.pass);
	if (c.look->traits & LOOK_ODD_RESETS)
		odd_resets(&c);
	if (c.look->clock) {
		ebpf_load(ret, BPF_B, R1, FP, TCP_FLAGS);
		ebpf_alu_imm(ret, BPF_AND, R1, FLAG_ACK);
		ebpf_if_imm(ret, BPF_JEQ, R1, 0, c.pass);
		find_stamp(ret, c.pass);
		shift_stamp(ret, BPF_SUB, 6, c.pass);
	}
	ebpf_place(ret, c.ident);
	return end(&c, e);
}

/* -- deckies -- */

struct look_own
look_own_of(const struct netd_id *decky)
{
	uint64_t halves[2], h;

	memcpy(halves, decky->b, sizeof(halves));
	h = mix(mix(halves[0]) ^ halves[1]);
	return (struct look_own){.clock = (uint32_t)(h >> 32), .count = (uint32_t)h};
}
