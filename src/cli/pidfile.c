/* SPDX-License-Identifier: Apache-2.0 */
/* The lock of a state directory. The lock says whether somebody runs; the text only who. */
#include "cli/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "util/sv.h"

#define NAME	  "decnet.pid"
#define PATH_SIZE 1200

static int
open_file(const char *state_dir, int flags, struct err *e)
{
	char path[PATH_SIZE];
	int fd;

	if ((size_t)snprintf(path, sizeof(path), "%s/" NAME, state_dir) >= sizeof(path))
		return err_set(e, -ENAMETOOLONG, "DECNET_STATE_DIR: path too long");
	fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? err_set(e, -errno, "%s: %m", path) : fd;
}

static pid_t
read_pid(int fd)
{
	char text[32];
	ssize_t n = pread(fd, text, sizeof(text), 0);
	uint64_t pid = 0;
	struct sv s = {text, n > 0 ? (size_t)n : 0};

	s = sv_cut(&s, '\n');
	return sv_u64(s, INT32_MAX, &pid) == 0 ? (pid_t)pid : 0;
}

int
pidfile_rewrite(int fd, struct err *e)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
		return err_set(e, -errno, "cannot write " NAME ": %m");
	return 0;
}

int
pidfile_take(const char *state_dir, struct err *e)
{
	int fd = open_file(state_dir, O_RDWR | O_CREAT, e), r;

	if (fd < 0)
		return fd;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		r = errno == EWOULDBLOCK ? err_set(e, -EEXIST, "decnet is running already (pid %d)",
						   (int)read_pid(fd))
					 : err_set(e, -errno, "cannot lock " NAME ": %m");
		(void)close(fd);
		return r;
	}
	r = pidfile_rewrite(fd, e);
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	return fd;
}

pid_t
pidfile_owner(const char *state_dir, struct err *e)
{
	int fd = open_file(state_dir, O_RDONLY, e);
	pid_t pid = 0;

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	if (flock(fd, LOCK_SH | LOCK_NB) < 0)
		pid = errno == EWOULDBLOCK ? read_pid(fd)
					   : err_set(e, -errno, "cannot lock " NAME ": %m");
	(void)close(fd);
	return pid;
}
