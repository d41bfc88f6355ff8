/* SPDX-License-Identifier: Apache-2.0 */
/* Making the broker's listening sockets, and taking the place of a broker that died. */
#include "bus/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/file.h"
#include "util/log.h"
#include "util/sv.h"

#define BACKLOG 512

static int
address_of(const char *path, struct sockaddr_un *ret, struct err *e)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (sv_copy(sv_from(path), ret->sun_path, sizeof(ret->sun_path)) < 0)
		return err_set(e, -ENAMETOOLONG, "path of the bus socket is too long");
	return 0;
}

/* 0: nothing is in the way (any more). */
static int
clear_way(const struct sockaddr_un *addr, struct err *e)
{
	struct stat st;
	int fd, r = 0;

	if (lstat(addr->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : err_set(e, -errno, "%s: %m", addr->sun_path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, -ENOTSOCK, "%s is not a socket", addr->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(e, -errno, "socket: %m");
	/* EAGAIN is a live listener with a full backlog. */
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 || errno == EAGAIN)
		r = err_set(e, -EADDRINUSE, "%s is owned by a running broker", addr->sun_path);
	else if (errno != ECONNREFUSED)
		r = err_set(e, -errno, "%s: %m", addr->sun_path);
	else if (unlink(addr->sun_path) < 0 && errno != ENOENT)
		r = err_set(e, -errno, "cannot remove %s: %m", addr->sun_path);
	(void)close(fd);
	return r;
}

/* The group may use the socket, if there is such a group and we may give it away. */
static void
give_group(const char *path, const char *group)
{
	struct group *gr = group && *group ? getgrnam(group) : NULL;

	if (gr && chown(path, (uid_t)-1, gr->gr_gid) < 0)
		log_event(LV_WARN, "bus.socket.group", KV_S("group", group),
			  KV_S("why", strerror(errno)));
}

static int
bind_unix(const struct sockaddr_un *addr, const char *group, ino_t *ret_inode, struct err *e)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;
	mode_t mask;
	int r;

	if (fd < 0)
		return err_set(e, -errno, "socket: %m");
	/* Nobody but us may connect before the group and the mode are right. */
	mask = umask(0177);
	r = bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 ? -errno : 0;
	(void)umask(mask);
	if (r < 0) {
		(void)close(fd);
		return err_set(e, r, "cannot bind %s: %s", addr->sun_path, strerror(-r));
	}
	give_group(addr->sun_path, group);
	if (chmod(addr->sun_path, 0660) < 0 || listen(fd, BACKLOG) < 0 ||
	    lstat(addr->sun_path, &st) < 0) {
		r = err_set(e, -errno, "%s: %m", addr->sun_path);
		(void)unlink(addr->sun_path);
		(void)close(fd);
		return r;
	}
	*ret_inode = st.st_ino;
	return fd;
}

static bool
below(const char *path, const char *dir)
{
	size_t n = dir ? strlen(dir) : 0;

	return n > 1 && strncmp(path, dir, n) == 0 && path[n] == '/';
}

static int
make_parent(const char *path, char *dir, size_t dir_size, struct err *e)
{
	const char *home = getenv("HOME"), *slash = strrchr(path, '/');

	if (!slash)
		return sv_copy(SV("."), dir, dir_size);
	if (sv_copy((struct sv){path, slash == path ? 1 : (size_t)(slash - path)}, dir, dir_size) <
	    0)
		return err_set(e, -ENAMETOOLONG, "path of the bus socket is too long");
	/* As the rule that computed the path: without HOME it is root's. */
	if (!below(path, home && *home ? home : "/root") && !below(path, getenv("XDG_RUNTIME_DIR")))
		return 0;
	return access(dir, F_OK) == 0 ? 0 : file_mkdirs(dir, 0700, e);
}

int
bus_listen_unix(const char *path, const char *group, ino_t *ret_inode, struct err *e)
{
	struct sockaddr_un addr;
	char dir[sizeof(addr.sun_path)];
	int lock, r;

	r = address_of(path, &addr, e);
	if (r == 0)
		r = make_parent(path, dir, sizeof(dir), e);
	if (r < 0)
		return r;
	/* Of two brokers that start at once, one looks and binds before the other looks. */
	lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0)
		return err_set(e, -errno, "%s: %m", dir);
	if (flock(lock, LOCK_EX) < 0)
		r = err_set(e, -errno, "cannot lock %s: %m", dir);
	if (r == 0)
		r = clear_way(&addr, e);
	if (r == 0)
		r = bind_unix(&addr, group, ret_inode, e);
	(void)close(lock);
	return r;
}

void
bus_listen_remove(const char *path, ino_t inode)
{
	struct stat st;

	if (lstat(path, &st) == 0 && st.st_ino == inode)
		(void)unlink(path);
}

/* Only numeric loopback addresses, and the one name everybody means one by. */
static int
parse_address(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	struct sv host = sv_from(text);
	struct sockaddr_in in4 = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	const char *colon = strrchr(text, ':');
	uint64_t port = 0;
	char name[64];

	if (!colon || sv_u64(sv_from(colon + 1), UINT16_MAX, &port) < 0)
		return -EINVAL;
	host.n = (size_t)(colon - text);
	if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = (struct sv){host.p + 1, host.n - 2};
	if (sv_copy(host, name, sizeof(name)) < 0)
		return -EINVAL;
	if (inet_pton(AF_INET, strcmp(name, "localhost") == 0 ? "127.0.0.1" : name,
		      &in4.sin_addr) == 1 &&
	    ntohl(in4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET) {
		in4.sin_port = htons((uint16_t)port);
		memcpy(ret, &in4, sizeof(in4));
		*ret_len = sizeof(in4);
		return 0;
	}
	if (inet_pton(AF_INET6, name, &in6.sin6_addr) == 1 &&
	    IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr)) {
		in6.sin6_port = htons((uint16_t)port);
		memcpy(ret, &in6, sizeof(in6));
		*ret_len = sizeof(in6);
		return 0;
	}
	return -EINVAL;
}

int
bus_listen_tcp(const char *text, struct err *e)
{
	struct sockaddr_storage addr = {0};
	socklen_t len = 0;
	int one = 1, fd, r;

	r = parse_address(text, &addr, &len);
	if (r < 0)
		return err_set(e, r, "expected a loopback address and a port: %s", text);
	fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(e, -errno, "socket: %m");
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (const struct sockaddr *)&addr, len) < 0 || listen(fd, BACKLOG) < 0) {
		r = err_set(e, -errno, "cannot listen on %s: %m", text);
		(void)close(fd);
		return r;
	}
	return fd;
}
