/* SPDX-License-Identifier: Apache-2.0 */
/* Small files and directories. */
#include "util/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int
file_read(const char *path, size_t max, char **ret_text, struct err *e)
{
	char *text = NULL;
	size_t n = 0;
	int fd, r = 0;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(e, -errno, "cannot open %s: %m", path);
	text = malloc(max + 2);
	if (!text)
		r = err_set(e, -ENOMEM, "out of memory");
	while (r == 0) {
		ssize_t got = read(fd, text + n, max + 1 - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			r = err_set(e, -errno, "cannot read %s: %m", path);
		if (got <= 0)
			break;
		n += (size_t)got;
		if (n > max)
			r = err_set(e, -EFBIG, "%s is over %zu bytes", path, max);
	}
	(void)close(fd);
	if (r < 0) {
		free(text);
		return r;
	}
	text[n] = 0;
	*ret_text = text;
	return 0;
}

static int
write_all(int fd, const void *data, size_t n)
{
	const char *p = data;

	while (n > 0) {
		ssize_t put = write(fd, p, n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		p += put;
		n -= (size_t)put;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

static int
write_through(const char *path, const void *data, size_t n, mode_t mode,
	      int (*place)(const char *temp, const char *path), struct err *e)
{
	char temp[4096];
	int fd, r;

	if ((size_t)snprintf(temp, sizeof(temp), "%s.new.%d", path, (int)getpid()) >= sizeof(temp))
		return err_set(e, -ENAMETOOLONG, "%s: name too long", path);
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	if (fd < 0)
		return err_set(e, -errno, "cannot create %s: %m", temp);
	r = fchmod(fd, mode) < 0 ? -errno : write_all(fd, data, n);
	(void)close(fd);
	if (r == 0 && place(temp, path) < 0)
		r = -errno;
	if (r < 0 || place == link)
		(void)unlink(temp);
	return r < 0 ? err_set(e, r, "cannot write %s: %s", path, strerror(-r)) : 0;
}

int
file_write(const char *path, const void *data, size_t n, mode_t mode, struct err *e)
{
	return write_through(path, data, n, mode, rename, e);
}

int
file_create(const char *path, const void *data, size_t n, mode_t mode, struct err *e)
{
	return write_through(path, data, n, mode, link, e);
}

int
file_mkdirs(const char *path, mode_t mode, struct err *e)
{
	char part[4096];
	size_t n = strlen(path);

	if (n == 0 || n >= sizeof(part))
		return err_set(e, -ENAMETOOLONG, "bad directory name");
	memcpy(part, path, n + 1);
	for (char *p = part + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = 0;
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return err_set(e, -errno, "cannot make %s: %m", part);
		*p = '/';
	}
	if (mkdir(part, mode) < 0 && errno != EEXIST)
		return err_set(e, -errno, "cannot make %s: %m", part);
	return 0;
}
