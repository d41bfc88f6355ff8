/* SPDX-License-Identifier: Apache-2.0 */
/* What a process inside the domain can still reach: tried by a child, which tells by its exit. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/landlock.h"

enum outcome { AS_WANTED, NO_LANDLOCK, FAILED, FILES, NEW_FILES, OLD_FILE, CONNECT, BIND, SIGNAL };

struct reach {
	int open_file, listener;
	uint16_t port;
};

static int
tcp(int (*call)(int, const struct sockaddr *, socklen_t), uint16_t port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = port};
	int fd = socket(AF_INET, SOCK_STREAM, 0), r;

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	r = call(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 ? errno : 0;
	(void)close(fd);
	return r;
}

static enum outcome
try(const struct reach *w)
{
	struct err e = {0};
	unsigned abi;
	char c;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || landlock_nothing(&abi, &e) < 0)
		return FAILED;
	if (abi == 0)
		return NO_LANDLOCK;
	if (open("/etc/passwd", O_RDONLY) >= 0 || errno != EACCES)
		return FILES;
	if (open("/tmp/decnet-landlock", O_WRONLY | O_CREAT, 0600) >= 0 || errno != EACCES)
		return NEW_FILES;
	if (pread(w->open_file, &c, 1, 0) != 1)
		return OLD_FILE;
	if (abi >= 4 && tcp(connect, w->port) != EACCES)
		return CONNECT;
	if (abi >= 4 && tcp(bind, 0) != EACCES)
		return BIND;
	if (abi >= 6 && (kill(getppid(), 0) == 0 || errno != EPERM))
		return SIGNAL;
	return AS_WANTED;
}

/* The domain that keeps files and binding. */
static enum outcome
try_connections(const struct reach *w)
{
	struct err e = {0};
	int r, signal;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || landlock_connections(&e) < 0)
		return FAILED;
	if (open("/etc/passwd", O_RDONLY) < 0)
		return FILES;
	if (tcp(bind, 0) != 0)
		return BIND;
	r = tcp(connect, w->port);
	if (r == 0)
		return NO_LANDLOCK;
	signal = kill(getppid(), 0) == 0 ? 0 : errno;
	/* Signals came two versions later. */
	return r != EACCES ? CONNECT : signal != 0 && signal != EPERM ? SIGNAL : AS_WANTED;
}

static void outcome_of(enum outcome (*fn)(const struct reach *w))
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t n = sizeof(at);
	struct reach w;
	int status = 0;
	pid_t pid;

	w.open_file = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	w.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(w.open_file >= 0 && w.listener >= 0);
	assert_int_equal(bind(w.listener, (const struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(w.listener, 1), 0);
	assert_int_equal(getsockname(w.listener, (struct sockaddr *)&at, &n), 0);
	w.port = at.sin_port;
	/* All of it works outside. */
	assert_int_equal(tcp(connect, w.port), 0);
	assert_int_equal(tcp(bind, 0), 0);

	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit((int)fn(&w));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	(void)close(w.open_file);
	(void)close(w.listener);
	if (WEXITSTATUS(status) == NO_LANDLOCK) {
		print_message("this kernel has no Landlock\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), AS_WANTED);
}

static void
reaches_nothing(void **state)
{
	(void)state;
	outcome_of(try);
}

static void
reaches_files_alone(void **state)
{
	(void)state;
	outcome_of(try_connections);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reaches_nothing),
		cmocka_unit_test(reaches_files_alone),
	};

	return cmocka_run_group_tests_name("util_landlock", tests, NULL, NULL);
}
