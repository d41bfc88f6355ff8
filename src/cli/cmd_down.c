/* SPDX-License-Identifier: Apache-2.0 */
/* `decnet down`: stop the suite of this state directory. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/pidfile.h"
#include "util/conf.h"

#define TIMEOUT_S     20
#define TIMEOUT_MAX_S 86400
#define KILL_MS	      5000

/* Whether the process has ended within the time. */
static bool
ended(int pidfd, int timeout_ms)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	int r;

	do
		r = poll(&p, 1, timeout_ms);
	while (r < 0 && errno == EINTR);
	return r > 0;
}

static int
stop(pid_t pid, int timeout_ms)
{
	int pidfd = pidfd_open(pid, 0), code = CLI_OK;

	if (pidfd < 0)
		return errno == ESRCH
			       ? CLI_OK
			       : cli_fail(CLI_FAILED, "process %d: %s", (int)pid, strerror(errno));
	if (pidfd_send_signal(pidfd, SIGTERM, NULL, 0) < 0 && errno != ESRCH) {
		code = cli_fail(errno == EPERM ? CLI_DENIED : CLI_FAILED, "process %d: %s",
				(int)pid, strerror(errno));
	} else if (!ended(pidfd, timeout_ms)) {
		/* The second signal tells the supervisor to kill what is left. */
		code = cli_fail(CLI_FAILED, "not stopped after %d s; killed", timeout_ms / 1000);
		(void)pidfd_send_signal(pidfd, SIGTERM, NULL, 0);
		if (!ended(pidfd, KILL_MS))
			(void)pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
	}
	(void)close(pidfd);
	return code;
}

int
cmd_down(struct cli *c)
{
	uint64_t timeout_s = TIMEOUT_S;
	const struct cli_option options[] = {{"--timeout", CLI_NUMBER, &timeout_s}};
	struct conf conf = {0};
	struct err e = {0};
	pid_t pid;
	int r = cli_options(c, options, ARRAY_LEN(options), 0, 0);

	if (r != 0)
		return r;
	if (timeout_s > TIMEOUT_MAX_S)
		return cli_usage(c, "--timeout: at most a day", NULL);
	if (conf_load(&conf, &e) < 0)
		return cli_fail(CLI_USAGE, "%s", err_text(&e));
	pid = pidfile_owner(conf.state_dir, &e);
	if (pid < 0)
		r = cli_fail(CLI_FAILED, "%s", err_text(&e));
	else if (pid == 0)
		r = cli_fail(CLI_FAILED, "decnet is not running");
	else
		r = stop(pid, (int)timeout_s * 1000);
	conf_fini(&conf);
	return r;
}
