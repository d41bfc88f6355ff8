/* SPDX-License-Identifier: Apache-2.0 */
/* Identity, namespaces, root directory, system calls: how a process locks itself in. */
#include "util/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/filter.h"
#include "util/landlock.h"

#define NOBODY	     65534
#define PROBE_ERRNO  ENOTNAM /* no system call returns it: the filter did */
#define PROBE_FAILED 255

unsigned long
sandbox_raise_files(void)
{
	struct rlimit files = {0};

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return 1024;
	files.rlim_cur = files.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &files);
	(void)getrlimit(RLIMIT_NOFILE, &files);
	return files.rlim_cur;
}

/* -- identity -- */

static void
miss(struct sandbox_report *r, const char *what)
{
	size_t n = strlen(r->why);

	(void)snprintf(r->why + n, sizeof(r->why) - n, "%s%s: %m", n ? "; " : "", what);
}

/* The directory has no name any more, so nothing can ever appear in it. */
static bool
enter_empty_root(const char *dir)
{
	if (chdir(dir) < 0)
		return false;
	if (rmdir(dir) < 0 || chroot(".") < 0)
		return false;
	return chdir("/") == 0;
}

static void
isolate(bool root, struct sandbox_report *ret)
{
	static const int own = CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;
	char dir[] = "/tmp/decnet-empty-XXXXXX";
	bool have_dir = mkdtemp(dir) != NULL;

	if (!have_dir)
		miss(ret, "empty directory");
	ret->network = unshare(own | (root ? 0 : CLONE_NEWUSER)) == 0;
	if (!ret->network)
		miss(ret, "namespaces");
	if (!have_dir)
		return;
	ret->root = enter_empty_root(dir);
	if (!ret->root) {
		miss(ret, "chroot");
		(void)rmdir(dir);
	}
}

static int
drop_capabilities(struct err *e)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {0};

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
	    syscall(SYS_capset, &head, none) < 0)
		return err_set(e, -errno, "capabilities: %m");
	return 0;
}

static int
become(uid_t uid, gid_t gid, struct err *e)
{
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return err_set(e, -errno, "user %u: %m", (unsigned)uid);
	/* The way back must be closed. */
	if (setuid(0) == 0 || geteuid() != uid || getegid() != gid)
		return err_set(e, -EPERM, "user %u: the old one came back", (unsigned)uid);
	return 0;
}

/* Whether this user namespace has that user at all; in the first one all are there. */
static bool
user_exists(uid_t uid)
{
	FILE *f = fopen("/proc/self/uid_map", "re");
	unsigned first, outside, count;
	bool found = !f;

	while (f && !found && fscanf(f, "%u %u %u", &first, &outside, &count) == 3)
		found = uid >= first && uid - first < count;
	if (f)
		(void)fclose(f);
	return found;
}

int
sandbox_enter(const char *user, struct sandbox_report *ret, struct err *e)
{
	const struct rlimit none = {0, 0};
	bool root = geteuid() == 0;
	const struct passwd *pw = root ? getpwnam(user) : NULL;
	uid_t uid = pw ? pw->pw_uid : NOBODY;
	gid_t gid = pw ? pw->pw_gid : NOBODY;
	pid_t parent = getppid();
	bool other = root && user_exists(uid);
	int death = 0, r = 0;

	*ret = (struct sandbox_report){0};
	(void)prctl(PR_GET_PDEATHSIG, &death);
	isolate(root, ret);
	/* Without CAP_SETPCAP the set stays, but nothing can be gained from it any more. */
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		(void)prctl(PR_CAPBSET_DROP, cap);
	if (other)
		r = become(uid, gid, e);
	if (r == 0)
		r = drop_capabilities(e);
	if (r == 0 && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		       prctl(PR_SET_DUMPABLE, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0))
		r = err_set(e, -errno, "privileges: %m");
	if (r == 0)
		r = landlock_nothing(&ret->landlock, e);
	if (r < 0)
		return r;
	ret->user = other;
	/* The kernel forgets it when the identity changes; the parent may have died meanwhile. */
	if (death && (prctl(PR_SET_PDEATHSIG, death) < 0 || getppid() != parent))
		return err_set(e, -ESRCH, "the parent is gone");
	return 0;
}

/* -- system calls -- */

/*
 * All that a server on inherited sockets needs besides what every process does. What is not here:
 * every way to a new socket, file, process or mapping of code, and to somewhere else on a socket
 * that is there (connect, an address or fast open in sendto, shutdown, most options).
 */
static const struct filter_rule server_rules[] = {
	/* inherited descriptors */
	{SCMP_SYS(accept4), 0, {{0}}},
	{SCMP_SYS(sendto),
	 2,
	 {SCMP_A3_64(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, 0), SCMP_A4_64(SCMP_CMP_EQ, 0)}},
	{SCMP_SYS(fcntl),
	 2,
	 {SCMP_A1_32(SCMP_CMP_EQ, F_SETFL), SCMP_A2_64(SCMP_CMP_EQ, O_RDWR | O_NONBLOCK)}},
	{SCMP_SYS(getsockopt),
	 2,
	 {SCMP_A1_32(SCMP_CMP_EQ, SOL_SOCKET), SCMP_A2_32(SCMP_CMP_EQ, SO_ACCEPTCONN)}},
	{SCMP_SYS(getsockopt),
	 2,
	 {SCMP_A1_32(SCMP_CMP_EQ, SOL_SOCKET), SCMP_A2_32(SCMP_CMP_EQ, SO_TYPE)}},
	/* memory that is neither code nor a file */
	{SCMP_SYS(mmap),
	 2,
	 {SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
	  SCMP_A3_64(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS)}},
};

/* Besides, for answers to datagrams: they say where they go. */
static const struct filter_rule datagram_rule = {
	SCMP_SYS(sendmsg), 1, {SCMP_A2_64(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, 0)}};

static int
load_filter(uint32_t otherwise, bool datagrams)
{
	const struct filter_rules lists[] = {{server_rules, ARRAY_LEN(server_rules)},
					     {&datagram_rule, 1}};

	return filter_load(otherwise, lists, datagrams ? 2 : 1);
}

/* -- proof -- */

struct attempt {
	const char *name;
	long nr;
	long args[6];
	bool connections_only; /* what may be done with datagrams */
};

static const char nowhere[32];

/* Each would be a way out. None can do harm if it got through. */
static const struct attempt attempts[] = {
	{"socket", SYS_socket, {AF_INET, SOCK_STREAM, 0}},
	{"socket (unix)", SYS_socket, {AF_UNIX, SOCK_STREAM, 0}},
	{"socketpair", SYS_socketpair, {AF_UNIX, SOCK_STREAM, 0, 0}},
	{"connect", SYS_connect, {-1, 0, 0}},
	{"bind", SYS_bind, {-1, 0, 0}},
	{"listen", SYS_listen, {-1, 0}},
	{"shutdown", SYS_shutdown, {-1, SHUT_RDWR}},
	{"setsockopt", SYS_setsockopt, {-1, SOL_SOCKET, SO_REUSEADDR, 0, 0}},
	{"sendmsg", SYS_sendmsg, {-1, 0, 0}, true},
	{"sendmsg with fast open", SYS_sendmsg, {-1, 0, MSG_FASTOPEN}, false},
	{"sendmmsg", SYS_sendmmsg, {-1, 0, 0, 0}},
	{"sendto with an address", SYS_sendto, {-1, 0, 0, 0, (long)nowhere, sizeof(nowhere)}},
	{"sendto with fast open", SYS_sendto, {-1, 0, 0, MSG_FASTOPEN, 0, 0}},
	{"execve", SYS_execve, {(long)nowhere, 0, 0}},
	{"execveat", SYS_execveat, {-1, (long)nowhere, 0, 0, 0}},
#ifdef SYS_open
	{"open", SYS_open, {(long)nowhere, O_RDONLY, 0}},
#endif
	{"openat", SYS_openat, {AT_FDCWD, (long)nowhere, O_RDONLY, 0}},
	{"openat2", SYS_openat2, {AT_FDCWD, (long)nowhere, 0, 0}},
#ifdef SYS_fork
	{"fork", SYS_fork, {0}},
#endif
	{"clone", SYS_clone, {SIGCHLD, 0, 0, 0, 0}},
	{"clone3", SYS_clone3, {0, 0}},
	{"ptrace", SYS_ptrace, {-1, 0, 0, 0}},
	{"process_vm_writev", SYS_process_vm_writev, {0, 0, 0, 0, 0, 0}},
	{"kill", SYS_kill, {1, 0}},
	{"ioctl", SYS_ioctl, {-1, 0, 0}},
	{"setns", SYS_setns, {-1, 0}},
	{"unshare", SYS_unshare, {0}},
	{"mount", SYS_mount, {0, 0, 0, 0, 0}},
	{"chroot", SYS_chroot, {(long)nowhere}},
	{"setuid", SYS_setuid, {0}},
	{"prctl", SYS_prctl, {PR_GET_DUMPABLE, 0, 0, 0, 0}},
	{"bpf", SYS_bpf, {-1, 0, 0}},
	{"io_uring_setup", SYS_io_uring_setup, {0, 0}},
	{"memfd_create", SYS_memfd_create, {0, 0}},
	{"mmap of code", SYS_mmap, {0, 4096, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0}},
	{"mmap of a file", SYS_mmap, {0, 4096, PROT_READ, MAP_PRIVATE, -1, 0}},
	{"mprotect to code", SYS_mprotect, {0, 0, PROT_EXEC}},
	{"fcntl (other commands)", SYS_fcntl, {-1, F_SETOWN, 1}},
};

/* In the child: 0 all refused, else the number of the one that was not, from 1. */
static int
try_all(bool datagrams)
{
	if (load_filter(SCMP_ACT_ERRNO(PROBE_ERRNO), datagrams) < 0)
		return PROBE_FAILED;
	for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
		const long *a = attempts[i].args;

		if (datagrams && attempts[i].connections_only)
			continue;
		errno = 0;
		if (syscall(attempts[i].nr, a[0], a[1], a[2], a[3], a[4], a[5]) != -1 ||
		    errno != PROBE_ERRNO)
			return (int)i + 1;
	}
	return 0;
}

/* In the child: the filter as it will be must kill. Only returns if it does not. */
static int
try_one(bool datagrams)
{
	if (load_filter(SCMP_ACT_KILL_PROCESS, datagrams) < 0)
		return PROBE_FAILED;
	(void)syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
	return 1;
}

static int
probe(int (*fn)(bool datagrams), bool datagrams, int *ret_status, struct err *e)
{
	pid_t pid = fork();

	if (pid < 0)
		return err_set(e, -errno, "fork: %m");
	if (pid == 0)
		_exit(fn(datagrams));
	while (waitpid(pid, ret_status, 0) < 0)
		if (errno != EINTR)
			return err_set(e, -errno, "waitpid: %m");
	return 0;
}

static int
prove(bool datagrams, struct err *e)
{
	int status = 0;
	int r = probe(try_all, datagrams, &status, e);

	if (r < 0)
		return r;
	if (WIFEXITED(status) && WEXITSTATUS(status) == PROBE_FAILED)
		return err_set(e, -ENOSYS, "seccomp is not available");
	if (WIFEXITED(status) && WEXITSTATUS(status) > 0)
		return err_set(e, -EPERM, "%s is not refused",
			       attempts[WEXITSTATUS(status) - 1].name);
	if (!WIFEXITED(status))
		return err_set(e, -EPERM, "the probe ended by signal %d", WTERMSIG(status));
	r = probe(try_one, datagrams, &status, e);
	if (r < 0)
		return r;
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
		return err_set(e, -EPERM, "a forbidden call does not kill");
	return 0;
}

int
sandbox_seal(bool datagrams, struct err *e)
{
	const struct rlimit none = {0, 0};
	int r = prove(datagrams, e);

	if (r < 0)
		return r;
	if (setrlimit(RLIMIT_NPROC, &none) < 0)
		return err_set(e, -errno, "setrlimit: %m");
	r = load_filter(SCMP_ACT_KILL_PROCESS, datagrams);
	return r < 0 ? err_set(e, r, "seccomp: %s", strerror(-r)) : 0;
}
