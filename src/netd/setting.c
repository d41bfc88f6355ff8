/* SPDX-License-Identifier: Apache-2.0 */
/* Writing what stands under /proc/sys/net. */
#include "netd/setting.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/mount.h, which does not go together with sys/mount.h everywhere. */
#define CONFIG_CREATE 6

/* The directory `sys` of a new procfs that has no place in the tree, or a negative errno. */
static int
open_view(void)
{
	long context = syscall(SYS_fsopen, "proc", 1 /* close on exec */), tree;
	int fd = -1;

	if (context < 0)
		return -errno;
	if (syscall(SYS_fsconfig, context, CONFIG_CREATE, NULL, NULL, 0) < 0)
		tree = -errno;
	else if ((tree = syscall(SYS_fsmount, context, 1 /* close on exec */, 0)) < 0)
		tree = -errno;
	(void)close((int)context);
	if (tree < 0)
		return (int)tree;
	fd = openat((int)tree, "sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	/* What is opened in it keeps it. */
	(void)close((int)tree);
	return fd;
}

int
settings_open(struct settings *s, struct err *e)
{
	int fd;

	*s = (struct settings){.n = 0};
	while (s->n < SETTING_VIEWS && (fd = open_view()) >= 0)
		s->views[s->n++] = fd;
	if (s->n > 0)
		return 0;
	fd = open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(e, -errno, "/proc/sys: %m");
	s->views[s->n++] = fd;
	return 0;
}

void
settings_close(struct settings *s)
{
	while (s->n > 0)
		(void)close(s->views[--s->n]);
}

static int
put_value(int dir, const char *key, const char *value)
{
	size_t n = strlen(value);
	int fd = openat(dir, key, O_WRONLY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, value, n) != (ssize_t)n)
		r = errno ? -errno : -EIO;
	(void)close(fd);
	return r;
}

/* net/ipv4 of net/ipv4/ip_forward: what is behind it is looked up in the namespace's own part. */
static size_t
group_of(const char *key)
{
	const char *slash = strchr(key, '/');

	slash = slash ? strchr(slash + 1, '/') : NULL;
	return slash ? (size_t)(slash - key) : 0;
}

static int
open_group(int view, const char *key, size_t n)
{
	char path[32];
	int fd;

	if (n == 0 || n >= sizeof(path))
		return -EINVAL;
	memcpy(path, key, n);
	path[n] = 0;
	fd = openat(view, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int
settings_put(struct settings *s, const struct setting *all, size_t n, struct err *e)
{
	int view = s->views[s->next++ % s->n], dir = -1, r = 0;
	size_t group = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		const char *key = all[i].key;

		if (i == 0 || group_of(key) != group || memcmp(key, all[i - 1].key, group) != 0) {
			if (dir >= 0)
				(void)close(dir);
			group = group_of(key);
			dir = open_group(view, key, group);
		}
		r = dir < 0 ? dir : put_value(dir, key + group + 1, all[i].value);
		if (r == -ENOENT && !strstr(key, "ipv4"))
			r = 0;
		if (r < 0)
			(void)err_set(e, r, "%s: %s", key, strerror(-r));
	}
	if (dir >= 0)
		(void)close(dir);
	return r;
}
