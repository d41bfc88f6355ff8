/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions of eBPF one by one, and bpf(2). */
#include "netd/ebpf.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REGISTERS 11
#define NOWHERE	  (-1)
/* What the verifier has to say of a program that it refuses. */
#define LOG_BYTES (1u << 20)

_Static_assert(sizeof(struct bpf_insn) == sizeof(uint64_t), "an instruction is eight bytes");
_Static_assert(EBPF_LABELS < UINT8_MAX, "a label and none fit into a byte");

void
ebpf_init(struct ebpf *p)
{
	*p = (struct ebpf){0};
	for (unsigned i = 0; i < EBPF_LABELS; i++)
		p->at[i] = NOWHERE;
}

static void
fail(struct ebpf *p, int r)
{
	if (p->r == 0)
		p->r = r;
}

unsigned
ebpf_label(struct ebpf *p)
{
	if (p->nlabels < EBPF_LABELS)
		return p->nlabels++;
	fail(p, -ENOSPC);
	return 0;
}

void
ebpf_place(struct ebpf *p, unsigned label)
{
	if (label >= p->nlabels || p->at[label] != NOWHERE)
		fail(p, -EINVAL);
	else
		p->at[label] = (int16_t)p->n;
}

static void
emit(struct ebpf *p, int code, int dst, int src, int off, int32_t imm)
{
	struct bpf_insn insn = {.code = (uint8_t)code, .off = (int16_t)off, .imm = imm};

	if (dst < 0 || dst >= REGISTERS || src < 0 || src >= REGISTERS || off < INT16_MIN ||
	    off > INT16_MAX) {
		fail(p, -EINVAL);
		return;
	}
	if (p->n == EBPF_INSNS) {
		fail(p, -ENOSPC);
		return;
	}
	insn.dst_reg = (unsigned)dst & 15u;
	insn.src_reg = (unsigned)src & 15u;
	memcpy(&p->v[p->n++], &insn, sizeof(insn));
}

static void
emit_jump(struct ebpf *p, int code, int dst, int src, int32_t imm, unsigned label)
{
	if (label >= p->nlabels)
		fail(p, -EINVAL);
	else if (p->n < EBPF_INSNS)
		p->to[p->n] = (uint8_t)(label + 1);
	emit(p, code, dst, src, 0, imm);
}

/* The end of the stack is not to be written to. */
static void
check_target(struct ebpf *p, int reg)
{
	if (reg == BPF_REG_10)
		fail(p, -EINVAL);
}

void
ebpf_alu(struct ebpf *p, int op, int dst, int src)
{
	check_target(p, dst);
	emit(p, BPF_ALU64 | BPF_X | op, dst, src, 0, 0);
}

void
ebpf_alu_imm(struct ebpf *p, int op, int dst, int32_t imm)
{
	check_target(p, dst);
	emit(p, BPF_ALU64 | BPF_K | op, dst, 0, 0, imm);
}

void
ebpf_swap(struct ebpf *p, int reg, int bits)
{
	check_target(p, reg);
	if (bits != 16 && bits != 32)
		fail(p, -EINVAL);
	emit(p, BPF_ALU | BPF_END | BPF_TO_BE, reg, 0, 0, bits);
}

void
ebpf_load(struct ebpf *p, int size, int dst, int src, int off)
{
	check_target(p, dst);
	emit(p, BPF_LDX | BPF_MEM | size, dst, src, off, 0);
}

void
ebpf_store(struct ebpf *p, int size, int dst, int off, int src)
{
	emit(p, BPF_STX | BPF_MEM | size, dst, src, off, 0);
}

void
ebpf_store_imm(struct ebpf *p, int size, int dst, int off, int32_t imm)
{
	emit(p, BPF_ST | BPF_MEM | size, dst, 0, off, imm);
}

void
ebpf_fetch_add(struct ebpf *p, int dst, int off, int src)
{
	check_target(p, src);
	emit(p, BPF_STX | BPF_ATOMIC | BPF_W, dst, src, off, BPF_ADD | BPF_FETCH);
}

void
ebpf_jump(struct ebpf *p, unsigned label)
{
	emit_jump(p, BPF_JMP | BPF_JA, 0, 0, 0, label);
}

void
ebpf_if(struct ebpf *p, int op, int a, int b, unsigned label)
{
	emit_jump(p, BPF_JMP | BPF_X | op, a, b, 0, label);
}

void
ebpf_if_imm(struct ebpf *p, int op, int a, int32_t imm, unsigned label)
{
	emit_jump(p, BPF_JMP | BPF_K | op, a, 0, imm, label);
}

void
ebpf_call(struct ebpf *p, int helper)
{
	emit(p, BPF_JMP | BPF_CALL, 0, 0, 0, helper);
}

void
ebpf_map(struct ebpf *p, int dst, int map_fd)
{
	check_target(p, dst);
	/* The one instruction of two places. */
	emit(p, BPF_LD | BPF_IMM | BPF_DW, dst, BPF_PSEUDO_MAP_FD, 0, map_fd);
	emit(p, 0, 0, 0, 0, 0);
}

void
ebpf_exit(struct ebpf *p)
{
	emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

int
ebpf_finish(struct ebpf *p, struct err *e)
{
	for (unsigned i = 0; i < p->n; i++) {
		struct bpf_insn insn;
		int at;

		if (p->to[i] == 0)
			continue;
		at = p->at[p->to[i] - 1];
		/* A label behind the end is no instruction. */
		if (at == NOWHERE || at >= (int)p->n) {
			fail(p, -EINVAL);
			break;
		}
		memcpy(&insn, &p->v[i], sizeof(insn));
		insn.off = (int16_t)(at - (int)i - 1);
		memcpy(&p->v[i], &insn, sizeof(insn));
	}
	if (p->n == 0)
		fail(p, -EINVAL);
	return p->r < 0 ? err_set(e, p->r, "eBPF program: %s", strerror(-p->r)) : 0;
}

/* -- the kernel -- */

static long
bpf(int cmd, union bpf_attr *attr)
{
	return syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static uint64_t
address(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

/* All of the union, not of its first member only: the kernel looks at what a call does not use. */
static union bpf_attr
nothing(void)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	return attr;
}

/* The last line but the verifier's statistics. */
static const char *
reason(char *log)
{
	char *stats = strstr(log, "processed "), *line;
	size_t n;

	if (stats)
		*stats = 0;
	n = strlen(log);
	while (n > 0 && log[n - 1] == '\n')
		log[--n] = 0;
	line = strrchr(log, '\n');
	return line ? line + 1 : log;
}

int
ebpf_load_program(const struct ebpf *p, const char *name, struct err *e)
{
	union bpf_attr attr = nothing();
	char *log;
	long fd;
	int r;

	attr.prog_type = BPF_PROG_TYPE_SCHED_CLS;
	attr.insn_cnt = p->n;
	attr.insns = address(p->v);
	/* Only helpers that are there for every licence are called. */
	attr.license = address("Apache-2.0");
	(void)snprintf(attr.prog_name, sizeof(attr.prog_name), "%s", name);
	fd = bpf(BPF_PROG_LOAD, &attr);
	if (fd >= 0)
		return (int)fd;
	r = -errno;
	log = calloc(1, LOG_BYTES);
	if (log && r != -EPERM) {
		attr.log_level = 1;
		attr.log_buf = address(log);
		attr.log_size = LOG_BYTES;
		fd = bpf(BPF_PROG_LOAD, &attr);
	}
	if (fd < 0)
		(void)err_set(e, r, "eBPF program %s: %s%s%s", name, strerror(-r),
			      log && log[0] ? ": " : "", log ? reason(log) : "");
	free(log);
	return fd < 0 ? r : (int)fd;
}

int
ebpf_map_new(const char *name, size_t key_bytes, size_t value_bytes, unsigned max, struct err *e)
{
	union bpf_attr attr = nothing();
	long fd;

	attr.map_type = BPF_MAP_TYPE_HASH;
	attr.key_size = (uint32_t)key_bytes;
	attr.value_size = (uint32_t)value_bytes;
	attr.max_entries = max;
	attr.map_flags = BPF_F_NO_PREALLOC;
	(void)snprintf(attr.map_name, sizeof(attr.map_name), "%s", name);
	fd = bpf(BPF_MAP_CREATE, &attr);
	return fd < 0 ? err_set(e, -errno, "eBPF map: %m") : (int)fd;
}

int
ebpf_map_add(int map_fd, const void *key, const void *value)
{
	union bpf_attr attr = nothing();

	attr.map_fd = (uint32_t)map_fd;
	attr.key = address(key);
	attr.value = address(value);
	attr.flags = BPF_NOEXIST;
	if (bpf(BPF_MAP_UPDATE_ELEM, &attr) < 0 && errno != EEXIST)
		return errno == E2BIG ? -ENOSPC : -errno;
	return 0;
}

void
ebpf_map_remove(int map_fd, const void *key)
{
	union bpf_attr attr = nothing();

	attr.map_fd = (uint32_t)map_fd;
	attr.key = address(key);
	(void)bpf(BPF_MAP_DELETE_ELEM, &attr);
}
