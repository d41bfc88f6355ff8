/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETD_EBPF_H
#define NETD_EBPF_H

/*
 * An assembler for eBPF, with labels, and the few calls of bpf(2) that the suite needs. Emitting
 * never fails at the place: the first mistake (no room, no such register, a label used twice or
 * never) is kept and told by ebpf_finish. The kernel's verifier has the last word.
 */

#include <stddef.h>
#include <stdint.h>

#include "util/attr.h"
#include "util/err.h"

#define EBPF_INSNS  512
#define EBPF_LABELS 32

/* Registers: 0 is a call's answer, 1 to 5 its arguments and lost by it, 6 to 9 kept, 10 the end of
 * the 512 bytes of stack. */
struct ebpf {
	uint64_t v[EBPF_INSNS]; /* struct bpf_insn */
	uint8_t to[EBPF_INSNS]; /* the label that an instruction jumps to, plus one */
	int16_t at[EBPF_LABELS];
	unsigned n, nlabels;
	int r;
};

void ebpf_init(struct ebpf *p);
/* A label that is placed later, or was before: loops must end, or the verifier says no. */
unsigned ebpf_label(struct ebpf *p);
void ebpf_place(struct ebpf *p, unsigned label);

/* `op` is BPF_ADD, BPF_AND, …, BPF_MOV; all of 64 bits. */
void ebpf_alu(struct ebpf *p, int op, int dst, int src);
void ebpf_alu_imm(struct ebpf *p, int op, int dst, int32_t imm);
/* The low `bits` (16, 32) between the order of the host and that of the network; the rest is zero.
 */
void ebpf_swap(struct ebpf *p, int reg, int bits);
/* `size` is BPF_B, BPF_H, BPF_W, BPF_DW. */
void ebpf_load(struct ebpf *p, int size, int dst, int src, int off);
void ebpf_store(struct ebpf *p, int size, int dst, int off, int src);
void ebpf_store_imm(struct ebpf *p, int size, int dst, int off, int32_t imm);
/* Add to 32 bits of memory; `src` becomes what was there before. */
void ebpf_fetch_add(struct ebpf *p, int dst, int off, int src);
void ebpf_jump(struct ebpf *p, unsigned label);
/* `op` is BPF_JEQ, BPF_JNE, BPF_JGT, …, unsigned, of 64 bits. */
void ebpf_if(struct ebpf *p, int op, int a, int b, unsigned label);
void ebpf_if_imm(struct ebpf *p, int op, int a, int32_t imm, unsigned label);
/* `helper` is one of BPF_FUNC_…. */
void ebpf_call(struct ebpf *p, int helper);
void ebpf_map(struct ebpf *p, int dst, int map_fd);
void ebpf_exit(struct ebpf *p);
/* Resolve the labels. 0; -EINVAL: the program has a mistake; -ENOSPC: it is too long. */
int ebpf_finish(struct ebpf *p, struct err *e) A_NODISCARD;

/* Give a finished program to the kernel, for packets at a link. `name` is for people, up to 15
 * characters. Its descriptor, or a negative errno with the verifier's last line. */
int ebpf_load_program(const struct ebpf *p, const char *name, struct err *e) A_NODISCARD;
/* A hash table of the kernel. Its descriptor or a negative errno. */
int ebpf_map_new(const char *name, size_t key_bytes, size_t value_bytes, unsigned max,
		 struct err *e) A_NODISCARD;
/* Add an entry; one that is there stays as it is. 0, -ENOSPC (full) or another negative errno. */
int ebpf_map_add(int map_fd, const void *key, const void *value) A_NODISCARD;
/* Remove an entry, if it is there. */
void ebpf_map_remove(int map_fd, const void *key);

#endif
