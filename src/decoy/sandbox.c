/* SPDX-License-Identifier: Apache-2.0 */
/* Privileges dropped, namespaces left, system calls filtered, and the proof that the filter bites.
 */
#include "decoy/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/log.h"

#define NOBODY 65534

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* What serving sockets that are already there needs, and nothing else. */
static const int allowed[] = {
	SCMP_SYS(accept4),	 SCMP_SYS(brk),
	SCMP_SYS(clock_gettime), SCMP_SYS(close),
	SCMP_SYS(epoll_ctl),	 SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_wait),	 SCMP_SYS(exit),
	SCMP_SYS(exit_group),	 SCMP_SYS(fcntl),
	SCMP_SYS(futex),	 SCMP_SYS(getpeername),
	SCMP_SYS(getpid),	 SCMP_SYS(getrandom),
	SCMP_SYS(getsockname),	 SCMP_SYS(gettimeofday),
	SCMP_SYS(munmap),	 SCMP_SYS(mremap),
	SCMP_SYS(read),		 SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),	 SCMP_SYS(restart_syscall),
	SCMP_SYS(rt_sigreturn),	 SCMP_SYS(write),
};

/* Builds with AddressSanitizer manage their shadow memory at run time. */
static const int sanitizer_calls[] = {
	SCMP_SYS(gettid),	SCMP_SYS(madvise),	  SCMP_SYS(mprotect),
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sched_yield),	SCMP_SYS(sigaltstack),	  SCMP_SYS(tgkill),
};

static int
load_filter(struct err *e)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = 0;

	if (!ctx)
		return err_set(e, -ENOMEM, "seccomp: out of memory");
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(allowed); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	for (size_t i = 0; r == 0 && SANITIZED && i < ARRAY_LEN(sanitizer_calls); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, sanitizer_calls[i], 0);
	/* To the peer the socket has, and not by a first packet of a new connection. */
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(sendto), 2,
				     SCMP_A4(SCMP_CMP_EQ, 0),
				     SCMP_A3(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, 0));
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r < 0 ? err_set(e, r, "seccomp: %s", strerror(-r)) : 0;
}

static void
try_socket(int fd)
{
	(void)fd;
	(void)socket(AF_INET, SOCK_STREAM, 0);
}

static void
try_connect(int fd)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(9),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	(void)connect(fd, (struct sockaddr *)&to, sizeof(to));
}

static void
try_bind(int fd)
{
	struct sockaddr_in to = {.sin_family = AF_INET};

	(void)bind(fd, (struct sockaddr *)&to, sizeof(to));
}

static void
try_listen(int fd)
{
	(void)listen(fd, 1);
}

static void
try_shutdown(int fd)
{
	(void)shutdown(fd, SHUT_RDWR);
}

static void
try_sendto_address(int fd)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(9),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	(void)sendto(fd, "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&to, sizeof(to));
}

static void
try_fast_open(int fd)
{
	(void)send(fd, "x", 1, MSG_NOSIGNAL | MSG_FASTOPEN);
}

static void
try_sendmsg(int fd)
{
	struct msghdr msg = {0};

	(void)sendmsg(fd, &msg, MSG_NOSIGNAL);
}

static void
try_execve(int fd)
{
	char *const none[] = {NULL};

	(void)fd;
	(void)execve("/bin/true", none, none);
}

static void
try_openat(int fd)
{
	(void)fd;
	(void)syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
}

static void
try_open(int fd)
{
	(void)fd;
	(void)syscall(SYS_open, "/etc/passwd", O_RDONLY);
}

static void
try_clone(int fd)
{
	(void)fd;
	if (syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) == 0)
		_exit(0);
}

static void
try_ptrace(int fd)
{
	(void)fd;
	(void)syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
}

static void
try_ioctl(int fd)
{
	int n;

	(void)ioctl(fd, FIONREAD, &n);
}

static void
try_setns(int fd)
{
	(void)syscall(SYS_setns, fd, 0);
}

static void
try_unshare(int fd)
{
	(void)fd;
	(void)syscall(SYS_unshare, CLONE_NEWUTS);
}

static void
try_bpf(int fd)
{
	(void)fd;
	(void)syscall(SYS_bpf, 0, NULL, 0);
}

static void
try_io_uring(int fd)
{
	struct io_uring_params params = {0};

	(void)fd;
	(void)syscall(SYS_io_uring_setup, 1, &params);
}

static void
try_exec_memory(int fd)
{
	(void)fd;
	(void)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static const struct {
	const char *name;
	void (*run)(int fd);
} forbidden[] = {
	{"socket", try_socket},
	{"connect", try_connect},
	{"bind", try_bind},
	{"listen", try_listen},
	{"shutdown", try_shutdown},
	{"sendto with an address", try_sendto_address},
	{"MSG_FASTOPEN", try_fast_open},
	{"sendmsg", try_sendmsg},
	{"execve", try_execve},
	{"open", try_open},
	{"openat", try_openat},
	{"clone", try_clone},
	{"ptrace", try_ptrace},
	{"ioctl", try_ioctl},
	{"setns", try_setns},
	{"unshare", try_unshare},
	{"bpf", try_bpf},
	{"io_uring_setup", try_io_uring},
	{"mmap with PROT_EXEC", try_exec_memory},
};

static int
prove_one(size_t i, int fd, struct err *e)
{
	struct rlimit none = {0, 0};
	int status = 0;
	pid_t pid = fork();

	if (pid < 0)
		return err_set(e, -errno, "fork: %m");
	if (pid == 0) {
		(void)setrlimit(RLIMIT_CORE, &none);
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || load_filter(NULL) < 0)
			_exit(3);
		forbidden[i].run(fd);
		_exit(0);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_set(e, -errno, "waitpid: %m");
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 3)
		return err_set(e, -EPERM, "the filter cannot be loaded");
	return err_set(e, -EPERM, "%s came through the filter", forbidden[i].name);
}

int
sandbox_prove(struct err *e)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), r = 0;

	if (fd < 0)
		return err_set(e, -errno, "socket: %m");
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(forbidden); i++)
		r = prove_one(i, fd, e);
	(void)close(fd);
	return r;
}

/* Namespaces and the root directory: as much as we are allowed to. The filter is what must hold. */
static void
leave_the_world(const char *empty_dir)
{
	const int spaces = CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS;

	if (geteuid() != 0) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
			log_event(LV_INFO, "decoy.sandbox.namespaces",
				  KV_S("why", strerror(errno)));
		return;
	}
	if (unshare(spaces) < 0)
		log_event(LV_WARN, "decoy.sandbox.namespaces", KV_S("why", strerror(errno)));
	if (chroot(empty_dir) < 0 || chdir("/") < 0)
		log_event(LV_WARN, "decoy.sandbox.chroot", KV_S("why", strerror(errno)));
}

static int
drop_ids(struct err *e)
{
	if (geteuid() != 0)
		return 0;
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	/* Leaving root takes every capability along. */
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
	    setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return err_set(e, -errno, "cannot leave root: %m");
	return 0;
}

int
sandbox_close(const char *empty_dir, struct err *e)
{
	const struct rlimit none = {0, 0};
	struct rlimit files;
	int r;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	leave_the_world(empty_dir);
	r = drop_ids(e);
	if (r < 0)
		return r;
	/* RLIMIT_FSIZE stays: the log may be a file, and none can be opened any more. */
	if (setrlimit(RLIMIT_CORE, &none) < 0 || setrlimit(RLIMIT_NPROC, &none) < 0)
		return err_set(e, -errno, "setrlimit: %m");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(e, -errno, "prctl: %m");
	return load_filter(e);
}
