/* SPDX-License-Identifier: Apache-2.0 */
/* What `decnet doctor` finds out of real networks: decnet-netd itself is asked, since it knows what
 * it needs. */
#include "cli/doctor_netns.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/child.h"
#include "util/sv.h"

#define LINES_MAX 64

/* What decnet-netd says with that option; its exit code, or -1. */
static int
ask(const char *option, char *text, size_t size)
{
	char path[1024];
	int pipes[2], status = 0;
	size_t n = 0;
	ssize_t got = 1;
	pid_t pid;

	text[0] = '\0';
	if (child_find("decnet-netd", path, sizeof(path), NULL) < 0 || pipe(pipes) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		(void)dup2(pipes[1], STDOUT_FILENO);
		(void)close(pipes[0]);
		(void)close(pipes[1]);
		(void)execl(path, path, option, (char *)NULL);
		_exit(127);
	}
	(void)close(pipes[1]);
	while (pid > 0 && got != 0 && n < size - 1) {
		got = read(pipes[0], text + n, size - 1 - n);
		if (got < 0 && errno != EINTR)
			break;
		n += got > 0 ? (size_t)got : 0;
	}
	text[n] = '\0';
	(void)close(pipes[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void
doctor_check_netns(struct doctor *d)
{
	char text[8192];
	struct sv rest, line;
	int code = ask("--check", text, sizeof(text));

	rest = sv_from(text);
	for (unsigned i = 0; i < LINES_MAX && rest.n > 0; i++) {
		struct sv word;

		line = sv_cut(&rest, '\n');
		word = sv_cut(&line, ' ');
		doctor_say(d, "driver",
			   sv_eq(word, SV("ok"))      ? VERDICT_OK
			   : sv_eq(word, SV("lacks")) ? VERDICT_WARNING
						      : VERDICT_BAD,
			   "netns: %.*s", (int)line.n, line.p);
	}
	if (code != 0 && code != 2)
		doctor_say(d, "driver", VERDICT_BAD, "netns: decnet-netd cannot be asked");
}

static unsigned
count_names(const char *dir)
{
	DIR *names = opendir(dir);
	const struct dirent *entry;
	unsigned n = 0;

	while (names && (entry = readdir(names)))
		n += entry->d_name[0] != '.';
	if (names)
		(void)closedir(names);
	return n;
}

void
doctor_check_leftovers(struct doctor *d)
{
	char dir[1100], text[256];
	unsigned n;

	(void)snprintf(dir, sizeof(dir), "%s/netns", d->conf->state_dir);
	n = d->running ? 0 : count_names(dir);
	if (n == 0)
		return;
	if (d->fix && ask("--remove", text, sizeof(text)) == 0)
		doctor_say(d, "driver", VERDICT_FIXED,
			   "netns: %u namespaces that were left over are gone", n);
	else
		doctor_say(d, "driver", VERDICT_WARNING,
			   "netns: %u namespaces are left over in %s; the next start takes them "
			   "over, --fix removes them",
			   n, dir);
}
