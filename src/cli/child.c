/* SPDX-License-Identifier: Apache-2.0 */
/* fork and exec of one process of the suite. */
#include "cli/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/sv.h"

#define PATH_SIZE 1024

int
child_find(const char *program, char *dst, size_t dst_size, struct err *e)
{
	char self[PATH_SIZE];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	self[n > 0 ? n : 0] = '\0';
	slash = strrchr(self, '/');
	if (slash) {
		*slash = '\0';
		if ((size_t)snprintf(dst, dst_size, "%s/%s", self, program) < dst_size &&
		    access(dst, X_OK) == 0)
			return 0;
	}
	if ((size_t)snprintf(dst, dst_size, DECNET_LIBEXECDIR "/%s", program) < dst_size &&
	    access(dst, X_OK) == 0)
		return 0;
	return err_set(e, -ENOENT, "%s: not found beside %s nor in " DECNET_LIBEXECDIR, program,
		       slash ? self : "decnet");
}

/* In the child: nothing of the parent but what is given on purpose. Returns only on failure. */
static int
become(const char *path, const char *argument, pid_t parent, const struct child_fd *fds,
       size_t nfds)
{
	sigset_t none;
	char number[16];

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	/* Ctrl-C on the terminal is for the supervisor alone: it stops the others in order. */
	(void)setpgid(0, 0);
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)
		return ESRCH;
	for (size_t i = 0; i < nfds; i++) {
		/* The copy is not close-on-exec. */
		int fd = fcntl(fds[i].fd, F_DUPFD, 3);

		if (fd < 0)
			return errno;
		(void)snprintf(number, sizeof(number), "%d", fd);
		if (setenv(fds[i].variable, number, 1) < 0)
			return errno;
	}
	(void)execl(path, path, argument, (char *)NULL);
	return errno;
}

pid_t
child_start(const char *path, const char *argument, const struct child_fd *fds, size_t nfds,
	    struct err *e)
{
	pid_t parent = getpid(), pid;
	int tell[2], why = 0;
	ssize_t n;

	/* The writing end closes with a successful exec, and carries the errno of a failed one. */
	if (pipe2(tell, O_CLOEXEC) < 0)
		return err_set(e, -errno, "pipe: %m");
	pid = fork();
	if (pid == 0) {
		why = become(path, argument, parent, fds, nfds);
		if (write(tell[1], &why, sizeof(why)) < 0)
			_exit(126);
		_exit(127);
	}
	why = pid < 0 ? errno : 0;
	(void)close(tell[1]);
	if (pid > 0) {
		do
			n = read(tell[0], &why, sizeof(why));
		while (n < 0 && errno == EINTR);
		if (n > 0)
			(void)waitpid(pid, NULL, 0);
	}
	(void)close(tell[0]);
	if (why != 0)
		return err_set(e, -why, "cannot start %s: %s", path, strerror(why));
	return pid;
}
