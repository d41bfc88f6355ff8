/* SPDX-License-Identifier: Apache-2.0 */
/* Capabilities, system calls and Landlock of decnet-netd. */
#include "netd/guard.h"

#include <errno.h>
#include <linux/bpf.h>
#include <sched.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/filter.h"
#include "util/landlock.h"

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

/* Besides what every process needs. */
static const struct filter_rule rules[] = {
	/* nftables waits with pselect */
	{SCMP_SYS(pselect6), 0, {{0}}},
	{SCMP_SYS(select), 0, {{0}}},
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
	{SCMP_SYS(statfs), 0, {{0}}},
	{SCMP_SYS(newfstatat), 0, {{0}}},
	{SCMP_SYS(fstat), 0, {{0}}},
	{SCMP_SYS(lseek), 0, {{0}}},
	{SCMP_SYS(fcntl), 0, {{0}}},
	/* memory, never code */
	{SCMP_SYS(mmap), 1, {SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)}},
};

int
guard_seal(struct err *e)
{
	const struct filter_rules list = {rules, ARRAY_LEN(rules)};
	int r = landlock_connections(e);

	if (r == 0 && (r = filter_load(SCMP_ACT_KILL_PROCESS, &list, 1)) < 0)
		(void)err_set(e, r, "seccomp: %s", strerror(-r));
	return r;
}
