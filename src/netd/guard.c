/* SPDX-License-Identifier: Apache-2.0 */
/* Capabilities, system calls and Landlock of decnet-netd. */
#include "netd/guard.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Debian 12's header ends before networks (ABI 4). */
#ifndef LANDLOCK_ACCESS_NET_CONNECT_TCP
#define LANDLOCK_ACCESS_NET_CONNECT_TCP (1ULL << 1)
#endif
#define LANDLOCK_ABI_NET 4

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

static const cap_value_t kept[] = {CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_NET_BIND_SERVICE};

static bool
has(cap_t caps, cap_value_t which)
{
	cap_flag_value_t value = CAP_CLEAR;

	return cap_get_flag(caps, which, CAP_EFFECTIVE, &value) == 0 && value == CAP_SET;
}

bool
guard_privileged(void)
{
	cap_t caps = cap_get_proc();
	bool enough = caps && has(caps, CAP_NET_ADMIN) && has(caps, CAP_SYS_ADMIN);

	if (caps)
		(void)cap_free(caps);
	return enough;
}

int
guard_capabilities(struct err *e)
{
	const struct rlimit none = {0, 0};
	cap_t caps = cap_init();
	int r = 0;

	for (cap_value_t c = 0; c <= cap_max_bits(); c++) {
		bool keep = false;

		for (size_t i = 0; i < ARRAY_LEN(kept); i++)
			keep |= kept[i] == c;
		if (!keep)
			(void)cap_drop_bound(c);
	}
	(void)cap_reset_ambient();
	if (!caps || cap_set_flag(caps, CAP_PERMITTED, ARRAY_LEN(kept), kept, CAP_SET) < 0 ||
	    cap_set_flag(caps, CAP_EFFECTIVE, ARRAY_LEN(kept), kept, CAP_SET) < 0 ||
	    cap_set_proc(caps) < 0)
		r = err_set(e, -errno, "capabilities: %m");
	if (caps)
		(void)cap_free(caps);
	if (r == 0 && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		       prctl(PR_SET_DUMPABLE, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0))
		r = err_set(e, -errno, "privileges: %m");
	return r;
}

struct rule {
	int nr;
	unsigned n;
	struct scmp_arg_cmp args[2];
};

static const struct rule rules[] = {
	/* the loop, its signals and its clock; nftables waits with pselect */
	{SCMP_SYS(epoll_wait), 0, {{0}}},
	{SCMP_SYS(epoll_pwait), 0, {{0}}},
	{SCMP_SYS(epoll_ctl), 0, {{0}}},
	{SCMP_SYS(pselect6), 0, {{0}}},
	{SCMP_SYS(select), 0, {{0}}},
	{SCMP_SYS(clock_gettime), 0, {{0}}},
	{SCMP_SYS(gettimeofday), 0, {{0}}},
	{SCMP_SYS(restart_syscall), 0, {{0}}},
	{SCMP_SYS(rt_sigreturn), 0, {{0}}},
	{SCMP_SYS(rt_sigprocmask), 0, {{0}}},
	{SCMP_SYS(rt_sigaction), 0, {{0}}},
	/* the channel, netlink, and listening sockets; never connect, and nothing of accept */
	{SCMP_SYS(socket), 1, {SCMP_A0_32(SCMP_CMP_EQ, AF_NETLINK)}},
	{SCMP_SYS(socket), 1, {SCMP_A0_32(SCMP_CMP_EQ, AF_INET)}},
	{SCMP_SYS(bind), 0, {{0}}},
	{SCMP_SYS(listen), 0, {{0}}},
	{SCMP_SYS(setsockopt), 0, {{0}}},
	{SCMP_SYS(getsockopt), 0, {{0}}},
	{SCMP_SYS(getsockname), 0, {{0}}},
	{SCMP_SYS(sendto), 0, {{0}}},
	{SCMP_SYS(sendmsg), 0, {{0}}},
	{SCMP_SYS(recvfrom), 0, {{0}}},
	{SCMP_SYS(recvmsg), 0, {{0}}},
	/* namespaces of networks, and names for them */
	{SCMP_SYS(unshare), 1, {SCMP_A0_64(SCMP_CMP_EQ, CLONE_NEWNET)}},
	{SCMP_SYS(setns), 1, {SCMP_A1_64(SCMP_CMP_EQ, CLONE_NEWNET)}},
	{SCMP_SYS(mount), 1, {SCMP_A3_64(SCMP_CMP_EQ, MS_BIND)}},
	{SCMP_SYS(umount2), 1, {SCMP_A1_64(SCMP_CMP_EQ, MNT_DETACH)}},
	/* the table of own addresses, of programs that were loaded before */
	{SCMP_SYS(bpf), 1, {SCMP_A0_32(SCMP_CMP_EQ, BPF_MAP_UPDATE_ELEM)}},
	{SCMP_SYS(bpf), 1, {SCMP_A0_32(SCMP_CMP_EQ, BPF_MAP_DELETE_ELEM)}},
	{SCMP_SYS(openat), 0, {{0}}},
	{SCMP_SYS(unlink), 0, {{0}}},
	{SCMP_SYS(rmdir), 0, {{0}}},
	{SCMP_SYS(getdents64), 0, {{0}}},
	{SCMP_SYS(fstatfs), 0, {{0}}},
	{SCMP_SYS(newfstatat), 0, {{0}}},
	{SCMP_SYS(fstat), 0, {{0}}},
	{SCMP_SYS(lseek), 0, {{0}}},
	{SCMP_SYS(read), 0, {{0}}},
	{SCMP_SYS(write), 0, {{0}}},
	{SCMP_SYS(writev), 0, {{0}}},
	{SCMP_SYS(close), 0, {{0}}},
	{SCMP_SYS(fcntl), 0, {{0}}},
	/* memory, never code */
	{SCMP_SYS(brk), 0, {{0}}},
	{SCMP_SYS(munmap), 0, {{0}}},
	{SCMP_SYS(mremap), 0, {{0}}},
	{SCMP_SYS(madvise), 0, {{0}}},
	{SCMP_SYS(mmap), 1, {SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)}},
	{SCMP_SYS(mprotect), 1, {SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)}},
	/* the rest of the C library, and a proper end */
	{SCMP_SYS(futex), 0, {{0}}},
	{SCMP_SYS(getrandom), 0, {{0}}},
	{SCMP_SYS(getpid), 0, {{0}}},
	{SCMP_SYS(gettid), 0, {{0}}},
	{SCMP_SYS(exit), 0, {{0}}},
	{SCMP_SYS(exit_group), 0, {{0}}},
#ifdef SANITIZED
	/* the sanitizers' own run time, which looks for leaks from a thread at the end */
	{SCMP_SYS(sigaltstack), 0, {{0}}},
	{SCMP_SYS(sched_yield), 0, {{0}}},
#endif
};

static int
no_connections(void)
{
	const struct {
		uint64_t fs, net;
	} attr = {0, LANDLOCK_ACCESS_NET_CONNECT_TCP};
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	long fd, r;

	if (abi < LANDLOCK_ABI_NET)
		return 0;
	fd = syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (fd < 0)
		return -errno;
	r = syscall(SYS_landlock_restrict_self, fd, 0);
	if (r < 0)
		r = -errno;
	(void)close((int)fd);
	return (int)r;
}

int
guard_seal(struct err *e)
{
	scmp_filter_ctx ctx;
	int r = no_connections();

	if (r < 0)
		return err_set(e, r, "landlock: %s", strerror(-r));
	ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	r = ctx ? 0 : -ENOMEM;
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(rules); i++)
		r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, rules[i].nr, rules[i].n,
					   rules[i].args);
	/* abort() of this very process. */
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				     SCMP_A0_64(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r < 0 ? err_set(e, r, "seccomp: %s", strerror(-r)) : 0;
}
