/* SPDX-License-Identifier: Apache-2.0 */
/* Network namespaces and their names. */
#include "netd/space.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "netd/nl.h"
#include "util/file.h"
#include "util/log.h"

#define SELF "/proc/thread-self/ns/net"

/* Of every namespace. A new one takes over much of what the host has set, so nothing is left to
 * chance. A file that is opened stays in memory as long as the namespace, so what can be said of an
 * interface is said to it, see nl_put_inside. */
static const struct setting common[] = {
	/* The default, too. */
	{"net/ipv6/conf/all/disable_ipv6", "1"},   {"net/ipv4/ip_forward", "0"},
	{"net/ipv4/conf/all/rp_filter", "0"},	   {"net/ipv4/conf/all/accept_redirects", "0"},
	{"net/ipv4/conf/all/send_redirects", "0"},
};

/* Of the fabric besides. Bridges are bridges: no rules for routers on what they carry. */
static const struct setting bridges[] = {
	{"net/ipv4/conf/all/arp_ignore", "1"},
	{"net/ipv4/conf/all/arp_announce", "2"},
	{"net/ipv4/conf/default/rp_filter", "0"},
	{"net/ipv4/conf/default/accept_redirects", "0"},
	{"net/ipv4/conf/default/send_redirects", "0"},
	{"net/bridge/bridge-nf-call-iptables", "0"},
	{"net/bridge/bridge-nf-call-arptables", "0"},
};

static const struct persona {
	unsigned ttl, timestamps, scaling, sack, ecn, repeats, gap_ms;
	const char *rmem;
} personas[NETD_PERSONA_COUNT] = {
#define PERSONA(name, word, tl, ts, ws, sk, ec, again, gap, rm, ...)                               \
	[NETD_PERSONA_##name] = {tl, ts, ws, sk, ec, again, gap, rm},
#include "netd/persona.def"
#undef PERSONA
};

void
space_name(const struct netd_id *topology, const struct netd_id *decky, char dst[SPACE_NAME_SIZE])
{
	netd_id_text(topology, dst);
	dst[ID_UUID_SIZE - 1] = '.';
	netd_id_text(decky, dst + ID_UUID_SIZE);
}

int
space_enter(int ns_fd)
{
	return setns(ns_fd, CLONE_NEWNET) < 0 ? -errno : 0;
}

void
space_home(const struct space *s)
{
	/* In a decky's namespace the next request would hit the wrong network: better not to go on.
	 */
	if (space_enter(s->home) < 0)
		abort();
}

int
space_set(struct space *s, const char *key, const char *value, struct err *e)
{
	return settings_put(&s->settings, &(struct setting){key, value}, 1, e);
}

static int
set_persona(struct space *s, const struct persona *p, struct err *e)
{
	char ttl[8], timestamps[4], scaling[4], sack[4], ecn[4], repeats[4], gap[12];
	const struct setting settings[] = {
		{"net/ipv4/ip_default_ttl", ttl},
		{"net/ipv4/tcp_timestamps", timestamps},
		{"net/ipv4/tcp_window_scaling", scaling},
		{"net/ipv4/tcp_sack", sack},
		{"net/ipv4/tcp_ecn", ecn},
		{"net/ipv4/tcp_synack_retries", repeats},
		{"net/ipv4/icmp_ratelimit", gap},
		{"net/ipv4/tcp_rmem", p->rmem},
	};

	(void)snprintf(ttl, sizeof(ttl), "%u", p->ttl);
	/* 1 is a clock for each connection, which nothing real has; 2 the kernel's, one for all. */
	(void)snprintf(timestamps, sizeof(timestamps), "%u",
		       p->timestamps && s->own_clock ? 2 : p->timestamps);
	(void)snprintf(scaling, sizeof(scaling), "%u", p->scaling);
	(void)snprintf(sack, sizeof(sack), "%u", p->sack);
	(void)snprintf(ecn, sizeof(ecn), "%u", p->ecn);
	(void)snprintf(repeats, sizeof(repeats), "%u", p->repeats);
	(void)snprintf(gap, sizeof(gap), "%u", p->gap_ms);
	return settings_put(&s->settings, settings, ARRAY_LEN(settings), e);
}

/* A new namespace with the common settings and its loopback up. The thread is in it afterwards. */
static int
make_blank(struct space *s, struct err *e)
{
	struct nl *nl = malloc(sizeof(*nl));
	int fd = -1, r = 0;

	if (!nl)
		return err_set(e, -ENOMEM, "out of memory");
	if (unshare(CLONE_NEWNET) < 0)
		r = err_set(e, -errno, "new network namespace: %m");
	if (r == 0 && (fd = open(SELF, O_RDONLY | O_CLOEXEC)) < 0)
		r = err_set(e, -errno, SELF ": %m");
	if (r == 0)
		r = settings_put(&s->settings, common, ARRAY_LEN(common), e);
	if (r == 0 && (r = nl_open(nl, e)) == 0) {
		nl_put_up(nl, 1);
		r = nl_commit(nl, e);
		nl_close(nl);
	}
	free(nl);
	if (r < 0 && fd >= 0)
		(void)close(fd);
	return r < 0 ? r : fd;
}

static int
path_of(const struct space *s, const char *name, char path[SPACE_PATH_SIZE])
{
	return snprintf(path, SPACE_PATH_SIZE, "%s/%s", s->dir, name) < SPACE_PATH_SIZE
		       ? 0
		       : -ENAMETOOLONG;
}

static int
pin(const struct space *s, const char *name, int ns_fd, struct err *e)
{
	char path[SPACE_PATH_SIZE], source[40];
	int fd, r = path_of(s, name, path);

	if (r < 0)
		return err_set(e, r, "%s: the path is too long", name);
	fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(e, -errno, "%s: %m", path);
	(void)close(fd);
	(void)snprintf(source, sizeof(source), "/proc/self/fd/%d", ns_fd);
	if (mount(source, path, NULL, MS_BIND, NULL) < 0) {
		r = err_set(e, -errno, "%s: cannot keep a namespace here: %m", path);
		(void)unlink(path);
	}
	return r;
}

int
space_find(const struct space *s, const char *name)
{
	char path[SPACE_PATH_SIZE];
	struct statfs fs;
	int fd, r = path_of(s, name, path);

	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	/* After a reboot the file is there, but no namespace on it. */
	if (fstatfs(fd, &fs) == 0 && fs.f_type == NSFS_MAGIC)
		return fd;
	(void)close(fd);
	return -ENOENT;
}

bool
space_there(const struct space *s, const char *name)
{
	char path[SPACE_PATH_SIZE];
	struct statfs fs;

	return path_of(s, name, path) == 0 && statfs(path, &fs) == 0 && fs.f_type == NSFS_MAGIC;
}

static bool
is_name(const struct dirent *entry)
{
	return entry->d_name[0] != '.' && strcmp(entry->d_name, SPACE_FABRIC) != 0;
}

int
space_count(const struct space *s)
{
	DIR *dir = opendir(s->dir);
	const struct dirent *entry;
	int n = 0;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir)))
		n += is_name(entry);
	(void)closedir(dir);
	return n;
}

void
space_drop(const struct space *s, const char *name)
{
	char path[SPACE_PATH_SIZE];

	if (path_of(s, name, path) < 0)
		return;
	(void)umount2(path, MNT_DETACH);
	(void)unlink(path);
}

int
space_make(struct space *s, const char *name, enum netd_persona persona, struct err *e)
{
	int fd = space_find(s, name), r = 0;

	if (fd >= 0)
		r = space_enter(fd);
	else if (s->nstock > 0)
		r = space_enter(fd = s->stock[--s->nstock]);
	else
		r = fd = make_blank(s, e);
	if (r < 0 && fd < 0)
		return r;
	r = r < 0 ? err_set(e, r, "cannot enter: %s", strerror(-r))
		  : set_persona(s, &personas[persona], e);
	space_home(s);
	if (r == 0) {
		int there = space_find(s, name);

		if (there >= 0)
			(void)close(there);
		else
			r = pin(s, name, fd, e);
	}
	if (r == 0)
		return fd;
	(void)close(fd);
	return r;
}

bool
space_fill(struct space *s)
{
	int fd;

	if (s->nstock == SPACE_STOCK)
		return true;
	fd = make_blank(s, NULL);
	space_home(s);
	if (fd < 0)
		return true;
	s->stock[s->nstock++] = fd;
	return s->nstock == SPACE_STOCK;
}

int
space_each(const struct space *s, space_each_fn *fn, void *user, struct err *e)
{
	DIR *dir = opendir(s->dir);
	const struct dirent *entry;

	if (!dir)
		return err_set(e, -errno, "%s: %m", s->dir);
	while ((entry = readdir(dir))) {
		if (!is_name(entry))
			continue;
		if (space_there(s, entry->d_name))
			fn(user, entry->d_name);
		else
			space_drop(s, entry->d_name);
	}
	(void)closedir(dir);
	return 0;
}

/* A file system in memory for the names: of a disk's, each name costs more than the namespace
 * itself where many have just been removed. It goes with the names at once. What is there already
 * stays as it is, and where none can be mounted the directory serves. */
static void
mount_names(const char *dir)
{
	if (mount("decnet", dir, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
		log_event(LV_INFO, "netd.names.disk", KV_S("why", strerror(errno)));
}

int
space_open(struct space *s, const char *dir, struct err *e)
{
	int r;

	*s = (struct space){.home = -1};
	if (sv_copy(sv_from(dir), s->dir, sizeof(s->dir)) < 0)
		return err_set(e, -ENAMETOOLONG, "%s: the path is too long", dir);
	r = file_mkdirs(dir, 0700, e);
	if (r == 0)
		r = settings_open(&s->settings, e);
	if (r < 0)
		return r;
	s->home = space_find(s, SPACE_FABRIC);
	if (s->home >= 0) {
		r = space_enter(s->home);
		return r < 0 ? err_set(e, r, "%s/" SPACE_FABRIC ": %s", dir, strerror(-r)) : 0;
	}
	mount_names(dir);
	r = s->home = make_blank(s, e);
	if (r >= 0)
		r = settings_put(&s->settings, bridges, ARRAY_LEN(bridges), e);
	return r < 0 ? r : pin(s, SPACE_FABRIC, s->home, e);
}

void
space_close(struct space *s)
{
	while (s->nstock > 0)
		(void)close(s->stock[--s->nstock]);
	if (s->home >= 0)
		(void)close(s->home);
	s->home = -1;
	settings_close(&s->settings);
}

static void
on_leftover(void *user, const char *name)
{
	space_drop(user, name);
}

void
space_unname(struct space *s)
{
	struct err e = {0};

	/* The file system of the names with all of them, or on a disk one after the other. */
	(void)umount2(s->dir, MNT_DETACH);
	if (space_each(s, on_leftover, s, &e) < 0)
		log_event(LV_WARN, "netd.remove", KV_S("why", err_text(&e)));
	space_drop(s, SPACE_FABRIC);
}

void
space_remove(struct space *s)
{
	(void)rmdir(s->dir);
	space_close(s);
}
