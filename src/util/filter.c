/* SPDX-License-Identifier: Apache-2.0 */
/* System calls that all processes have in common, and loading the filter. */
#include "util/filter.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct filter_rule common[] = {
	/* the loop, its signals and its clock */
	{SCMP_SYS(epoll_wait), 0, {{0}}},
	{SCMP_SYS(epoll_pwait), 0, {{0}}},
	{SCMP_SYS(epoll_ctl), 0, {{0}}},
	{SCMP_SYS(clock_gettime), 0, {{0}}},
	{SCMP_SYS(gettimeofday), 0, {{0}}},
	{SCMP_SYS(restart_syscall), 0, {{0}}},
	{SCMP_SYS(rt_sigreturn), 0, {{0}}},
	{SCMP_SYS(rt_sigprocmask), 0, {{0}}},
	/* descriptors that are there */
	{SCMP_SYS(recvfrom), 0, {{0}}},
	{SCMP_SYS(recvmsg), 0, {{0}}},
	{SCMP_SYS(read), 0, {{0}}},
	{SCMP_SYS(write), 0, {{0}}},
	{SCMP_SYS(writev), 0, {{0}}},
	{SCMP_SYS(close), 0, {{0}}},
	/* memory, never code */
	{SCMP_SYS(brk), 0, {{0}}},
	{SCMP_SYS(munmap), 0, {{0}}},
	{SCMP_SYS(mremap), 0, {{0}}},
	{SCMP_SYS(madvise), 0, {{0}}},
	{SCMP_SYS(mprotect), 1, {SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)}},
	/* the rest of the C library, and a proper end */
	{SCMP_SYS(futex), 0, {{0}}},
	{SCMP_SYS(getrandom), 0, {{0}}},
	{SCMP_SYS(getpid), 0, {{0}}},
	{SCMP_SYS(gettid), 0, {{0}}},
	{SCMP_SYS(exit), 0, {{0}}},
	{SCMP_SYS(exit_group), 0, {{0}}},
#ifdef FILTER_SANITIZED
	{SCMP_SYS(sigaltstack), 0, {{0}}},
	{SCMP_SYS(sched_yield), 0, {{0}}},
	{SCMP_SYS(rt_sigaction), 0, {{0}}},
#endif
};

static int
add(scmp_filter_ctx ctx, const struct filter_rules *list)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < list->n; i++)
		r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, list->v[i].nr, list->v[i].n,
					   list->v[i].args);
	return r;
}

int
filter_load(uint32_t otherwise, const struct filter_rules *lists, size_t n)
{
	const struct filter_rules all = {common, ARRAY_LEN(common)};
	scmp_filter_ctx ctx = seccomp_init(otherwise);
	int r = ctx ? add(ctx, &all) : -ENOMEM;

	for (size_t i = 0; r == 0 && i < n; i++)
		r = add(ctx, &lists[i]);
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				     SCMP_A0_64(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}
