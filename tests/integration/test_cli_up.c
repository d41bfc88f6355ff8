/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor with a real process under it: start, restart, refusal of a second one, stop, the
 * background. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/pidfile.h"
#include "util/clock.h"
#include "util/file.h"
#include "util/sv.h"

#define DEADLINE_MS 20000
#define LOG_MAX	    65536

struct world {
	char dir[64], program[512], socket[128];
	pid_t up;
	int log_fd;
	char log[LOG_MAX];
	size_t log_n, log_at; /* what was waited for ends at log_at */
};

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/decnet-up-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	(void)snprintf(w->program, sizeof(w->program), "%s/decnet", getenv("DECNET_BIN_DIR"));
	(void)snprintf(w->socket, sizeof(w->socket), "%s/bus.sock", w->dir);
	(void)setenv("DECNET_STATE_DIR", w->dir, 1);
	(void)setenv("DECNET_BUS_SOCKET", w->socket, 1);
	w->log_fd = -1;
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	static const char *const names[] = {"decnet.db",  "decnet.db-wal", "decnet.db-shm",
					    "decnet.pid", "decnet.log",	   "bus.sock"};
	struct world *w = *state;
	char path[256];

	if (w->up > 0) {
		(void)kill(w->up, SIGKILL);
		(void)waitpid(w->up, NULL, 0);
	}
	if (w->log_fd >= 0)
		(void)close(w->log_fd);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", w->dir, names[i]);
		(void)unlink(path);
	}
	(void)rmdir(w->dir);
	free(w);
	return 0;
}

/* Start `decnet` with these arguments; what it says comes to log_fd if that is wanted. */
static pid_t
spawn(struct world *w, const char *const *args, int keep_log)
{
	int pipes[2];
	pid_t pid;

	if (keep_log) {
		assert_int_equal(pipe(pipes), 0);
	} else {
		pipes[0] = open("/dev/null", O_RDONLY);
		pipes[1] = open("/dev/null", O_WRONLY);
	}
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		char *argv[8] = {w->program};

		for (int i = 0; args[i]; i++)
			memcpy(&argv[i + 1], &args[i], sizeof(char *));
		(void)dup2(pipes[1], STDERR_FILENO);
		(void)dup2(pipes[1], STDOUT_FILENO);
		(void)close(pipes[0]);
		(void)close(pipes[1]);
		(void)execv(w->program, argv);
		_exit(127);
	}
	(void)close(pipes[1]);
	if (keep_log)
		w->log_fd = pipes[0];
	else
		(void)close(pipes[0]);
	return pid;
}

static int
exit_code(pid_t pid)
{
	uint64_t end = clock_mono_ms() + DEADLINE_MS;
	int status = 0;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (clock_mono_ms() > end) {
			(void)kill(pid, SIGKILL);
			fail_msg("process %d does not end", (int)pid);
		}
		(void)poll(NULL, 0, 10);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int
run(struct world *w, const char *const *args)
{
	return exit_code(spawn(w, args, 0));
}

/* Wait for a line that begins with this event, after the last one waited for; its `pid=`. */
static pid_t
wait_for(struct world *w, const char *event)
{
	uint64_t end = clock_mono_ms() + DEADLINE_MS;
	char *at, *pid;

	while (!(at = strstr(w->log + w->log_at, event)) || !strchr(at, '\n')) {
		struct pollfd p = {.fd = w->log_fd, .events = POLLIN};
		ssize_t n;

		if (clock_mono_ms() > end || w->log_n >= LOG_MAX - 1)
			fail_msg("no %s in: %s", event, w->log);
		if (poll(&p, 1, 100) <= 0)
			continue;
		n = read(w->log_fd, w->log + w->log_n, LOG_MAX - 1 - w->log_n);
		if (n <= 0)
			fail_msg("ended before %s: %s", event, w->log);
		w->log_n += (size_t)n;
		w->log[w->log_n] = '\0';
	}
	pid = strstr(at, "pid=");
	w->log_at = (size_t)(strchr(at, '\n') - w->log);
	return pid && pid < w->log + w->log_at ? (pid_t)strtol(pid + 4, NULL, 10) : 0;
}

static const char *const up[] = {"up", "--foreground", "--only", "bus", NULL};
static const char *const up_back[] = {"up", "--only", "bus", NULL};
static const char *const down[] = {"down", NULL};

static void
restarts_what_dies(void **state)
{
	struct world *w = *state;
	pid_t first, second;

	w->up = spawn(w, up, 1);
	first = wait_for(w, "supervisor.ready");
	(void)wait_for(w, "supervisor.up");
	assert_int_equal(access(w->socket, F_OK), 0);
	assert_int_equal(kill(first, SIGKILL), 0);
	assert_int_equal(wait_for(w, "supervisor.exit"), first);
	second = wait_for(w, "supervisor.ready");
	assert_int_not_equal(first, second);
	/* There is one suite of a state directory. */
	assert_int_equal(run(w, up), 1);
	assert_int_equal(run(w, up_back), 1);
	assert_int_equal(run(w, down), 0);
	assert_int_equal(exit_code(w->up), 0);
	w->up = 0;
	assert_int_equal(access(w->socket, F_OK), -1);
	assert_int_equal(kill(second, 0), -1);
	assert_int_equal(run(w, down), 1);
}

static void
stops_on_a_signal(void **state)
{
	struct world *w = *state;
	pid_t bus;

	w->up = spawn(w, up, 1);
	bus = wait_for(w, "supervisor.ready");
	assert_int_equal(kill(w->up, SIGINT), 0);
	assert_int_equal(wait_for(w, "supervisor.stop"), bus);
	(void)wait_for(w, "supervisor.ended");
	assert_int_equal(exit_code(w->up), 0);
	w->up = 0;
	assert_int_equal(kill(bus, 0), -1);
}

static void
leaves_nobody_when_killed(void **state)
{
	struct world *w = *state;
	uint64_t end = clock_mono_ms() + DEADLINE_MS;
	pid_t bus;

	w->up = spawn(w, up, 1);
	bus = wait_for(w, "supervisor.ready");
	assert_int_equal(kill(w->up, SIGKILL), 0);
	assert_int_equal(exit_code(w->up), 128 + SIGKILL);
	w->up = 0;
	/* The broker removes its socket when it ends in order. */
	while (access(w->socket, F_OK) == 0) {
		if (clock_mono_ms() > end)
			fail_msg("process %d lives on", (int)bus);
		(void)poll(NULL, 0, 10);
	}
	/* The lock went with its owner. */
	assert_int_equal(run(w, up_back), 0);
	assert_int_equal(run(w, down), 0);
}

static void
goes_to_the_background(void **state)
{
	struct world *w = *state;
	char path[256], *text = NULL;

	assert_int_equal(run(w, up_back), 0);
	/* Everything serves when it returns. */
	assert_int_equal(access(w->socket, F_OK), 0);
	assert_true(pidfile_owner(w->dir, NULL) > 0);
	assert_int_equal(run(w, down), 0);
	assert_int_equal(pidfile_owner(w->dir, NULL), 0);
	assert_int_equal(access(w->socket, F_OK), -1);
	(void)snprintf(path, sizeof(path), "%s/decnet.log", w->dir);
	assert_int_equal(file_read(path, LOG_MAX, &text, NULL), 0);
	assert_non_null(strstr(text, "supervisor.ended"));
	free(text);
}

static void
tells_a_failed_start(void **state)
{
	static const char *const bad_driver[] = {"up", "--only", "bus", "--driver", "nosuch", NULL};
	struct world *w = *state;

	assert_int_equal(run(w, bad_driver), 2);
	(void)setenv("DECNET_BUS_ROLES", "api=no-such-user", 1);
	assert_int_equal(run(w, up), 2);
	assert_int_equal(run(w, up_back), 2);
	(void)unsetenv("DECNET_BUS_ROLES");
	(void)setenv("DECNET_DB_URL", "sqlite:/nosuch/dir/decnet.db", 1);
	assert_int_not_equal(run(w, up), 0);
	(void)unsetenv("DECNET_DB_URL");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(restarts_what_dies, setup, teardown),
		cmocka_unit_test_setup_teardown(stops_on_a_signal, setup, teardown),
		cmocka_unit_test_setup_teardown(leaves_nobody_when_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(goes_to_the_background, setup, teardown),
		cmocka_unit_test_setup_teardown(tells_a_failed_start, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
