/* SPDX-License-Identifier: Apache-2.0 */
/* `decnet up`: become the supervisor, here or in the background. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/pidfile.h"
#include "cli/rest.h"
#include "cli/restart.h"
#include "cli/supervisor.h"
#include "util/conf.h"
#include "util/log.h"
#include "util/loop.h"

#define READYZ_MS 20000

struct up {
	struct conf conf;
	struct loop *loop;
	struct supervisor *supervisor;
	unsigned set;
	bool terminal; /* standard input was one */
	int tell_fd;   /* to the process that put us in the background; -1: none */
	int notice_fd; /* the same, for what it shall print */
	int code;
};

/* Whoever waits for the start learns how it went: the exit code. */
static void
tell(struct up *u, unsigned char code)
{
	if (u->tell_fd < 0)
		return;
	if (write(u->tell_fd, &code, 1) != 1)
		log_plain(LV_WARN, "supervisor.nobody_waits");
	(void)close(u->tell_fd);
	u->tell_fd = -1;
}

static void
on_up(void *user)
{
	tell(user, CLI_OK);
}

static void
on_ended(void *user, int r, const struct err *e)
{
	struct up *u = user;

	u->code = r == 0 ? CLI_OK : r == -EINVAL ? CLI_USAGE : CLI_FAILED;
	if (r < 0)
		log_event(LV_ERR, "supervisor.failed", KV_S("why", err_text(e)));
	loop_stop(u->loop);
}

static void
on_signal(void *user, int signo)
{
	struct up *u = user;

	if (signo == SIGCHLD) {
		supervisor_on_child(u->supervisor);
		return;
	}
	log_event(LV_INFO, "supervisor.signal", KV_I("signal", signo));
	/* Also what the end of a terminal sends to those who run in it. */
	if (signo == SIGHUP && !(u->terminal && !isatty(STDIN_FILENO))) {
		supervisor_reload(u->supervisor);
		return;
	}
	supervisor_stop(u->supervisor);
}

static int
supervise(struct up *u, struct err *e)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD, 0};
	const struct supervisor_ops ops = {.up = on_up, .ended = on_ended, .user = u};
	int r = loop_new(&u->loop, e);

	if (r == 0)
		r = loop_signals(u->loop, signals, on_signal, u);
	if (r == 0)
		r = supervisor_new(u->loop, &u->conf, u->set, &ops, &u->supervisor, e);
	if (r == 0)
		supervisor_set_notice(u->supervisor, u->notice_fd);
	if (r == 0)
		r = loop_run(u->loop);
	supervisor_free(u->supervisor);
	loop_free(u->loop);
	return r;
}

/* The life of the supervisor; its exit code. */
static int
run(struct up *u)
{
	struct err e = {0};
	int r;

	u->terminal = isatty(STDIN_FILENO) == 1;
	conf_log(&u->conf, "decnet");
	r = supervise(u, &e);
	if (r < 0)
		u->code = cli_fail(r == -EINVAL ? CLI_USAGE : CLI_FAILED, "%s", err_text(&e));
	tell(u, (unsigned char)u->code);
	return u->code;
}

/* What is said from now on goes to a file of the state directory. */
static int
redirect(const struct conf *conf, struct err *e)
{
	char path[1200];
	int log, null;

	(void)snprintf(path, sizeof(path), "%s/decnet.log", conf->state_dir);
	log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (log < 0 || null < 0)
		return err_set(e, -errno, "%s: %m", path);
	if (dup2(null, STDIN_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0 ||
	    dup2(log, STDERR_FILENO) < 0)
		return err_set(e, -errno, "dup2: %m");
	(void)close(log);
	(void)close(null);
	return 0;
}

/* The process in the background. Does not return. */
static void
background(struct up *u, int pid_fd, int tell_fd)
{
	struct err e = {0};

	(void)setsid();
	u->tell_fd = tell_fd;
	if (pidfile_rewrite(pid_fd, &e) < 0 || redirect(&u->conf, &e) < 0) {
		(void)cli_fail(CLI_FAILED, "%s", err_text(&e));
		tell(u, CLI_FAILED);
		_exit(CLI_FAILED);
	}
	exit(run(u));
}

/* Wait until the supervisor has started all, and the server says that it is ready. */
static int
wait_for_start(const struct cli *c, const struct up *u, int fd)
{
	unsigned char code = CLI_FAILED;
	ssize_t n;

	do
		n = read(fd, &code, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1 && code == CLI_OK && (u->set & (1u << PROCESS_API)) &&
	    rest_wait_ready(c, &u->conf, READYZ_MS) < 0)
		code = CLI_UNREACHABLE;
	if (code != CLI_OK)
		return cli_fail(code, "the start failed; see %s/decnet.log", u->conf.state_dir);
	return CLI_OK;
}

/* What the server had to say to a person and not to the log: the first password. */
static void
pass_on(int fd)
{
	char text[512];
	ssize_t n;

	while ((n = read(fd, text, sizeof(text))) > 0)
		(void)fwrite(text, 1, (size_t)n, stderr);
	explicit_bzero(text, sizeof(text));
}

static int
go_to_background(const struct cli *c, struct up *u, int pid_fd)
{
	int tell_fds[2], notice_fds[2];
	pid_t pid;
	char url[REST_URL_MAX];
	int code;

	if (pipe2(tell_fds, O_CLOEXEC) < 0)
		return cli_fail(CLI_FAILED, "pipe: %s", strerror(errno));
	if (pipe2(notice_fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return cli_fail(CLI_FAILED, "pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		return cli_fail(CLI_FAILED, "fork: %s", strerror(errno));
	if (pid == 0) {
		(void)close(tell_fds[0]);
		(void)close(notice_fds[0]);
		u->notice_fd = notice_fds[1];
		background(u, pid_fd, tell_fds[1]);
	}
	(void)close(tell_fds[1]);
	(void)close(notice_fds[1]);
	code = wait_for_start(c, u, tell_fds[0]);
	pass_on(notice_fds[0]);
	(void)close(tell_fds[0]);
	(void)close(notice_fds[0]);
	if (code == CLI_OK && (u->set & (1u << PROCESS_API))) {
		rest_own_url(&u->conf, url);
		(void)fprintf(stderr, "decnet: serving %s/\n", url);
	}
	return code;
}

int
cmd_up(struct cli *c)
{
	bool foreground = false;
	const char *driver = NULL, *only = NULL;
	const struct cli_option options[] = {{"--foreground", CLI_FLAG, &foreground},
					     {"--driver", CLI_TEXT, &driver},
					     {"--only", CLI_TEXT, &only}};
	struct up u = {.set = (1u << PROCESS_COUNT) - 1u, .tell_fd = -1, .notice_fd = -1};
	struct err e = {0};
	int r = cli_options(c, options, ARRAY_LEN(options), 0, 0), pid_fd;

	if (r != 0)
		return r;
	if (only && process_parse_set(only, &u.set) < 0)
		return cli_usage(
			c, "--only: expected a list of bus, decoy, resolver, netd, mutator, api",
			only);
	if (driver && setenv("DECNET_NET_DRIVER", driver, 1) < 0)
		return cli_fail(CLI_FAILED, "%s", strerror(errno));
	r = conf_load(&u.conf, &e);
	if (r < 0)
		return cli_fail(CLI_USAGE, "%s", err_text(&e));
	pid_fd = pidfile_take(u.conf.state_dir, &e);
	if (pid_fd < 0)
		r = cli_fail(CLI_FAILED, "%s", err_text(&e));
	else
		r = foreground ? run(&u) : go_to_background(c, &u, pid_fd);
	if (pid_fd >= 0)
		(void)close(pid_fd);
	conf_fini(&u.conf);
	return r;
}
