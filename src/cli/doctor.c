/* SPDX-License-Identifier: Apache-2.0 */
/* The checks of `decnet doctor`. None needs a running suite, and none disturbs one. */
#include "cli/doctor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/child.h"
#include "cli/doctor_netns.h"
#include "cli/restart.h"
#include "store/db.h"
#include "util/sv.h"

#define WANTED_FILES 8192 /* descriptors; fewer are a low ceiling of connections */

extern char **environ;

const char *
verdict_word(enum verdict v)
{
	static const char *const words[] = {"ok", "fixed", "warning", "bad"};

	return words[v];
}

void
doctor_say(struct doctor *d, const char *subject, enum verdict v, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	d->bad += v == VERDICT_BAD;
	(void)json_array_append_new(d->findings,
				    json_pack("{s:s, s:s, s:s}", "subject", subject, "verdict",
					      verdict_word(v), "detail", text));
}

static bool
known_variable(struct sv name)
{
	/* Those of the command line, and those that the processes hand to each other. */
	static const char *const others[] = {
		"DECNET_URL",	     "DECNET_TOKEN",	      "DECNET_FD_CAPTURE",
		"DECNET_FD_CONTROL", "DECNET_FD_CAPTURE_UDP", "DECNET_FD_CONTROL_UDP",
		"DECNET_FD_NETD",    "DECNET_FD_NOTICE",      "DECNET_READY_FD"};
	static const char *const settings[] = {
#define CONF_TEXT(field, variable, def, max, help)	variable,
#define CONF_UINT(field, variable, def, min, max, help) variable,
#define CONF_BOOL(field, variable, def, help)		variable,
#include "util/conf.def"
#undef CONF_TEXT
#undef CONF_UINT
#undef CONF_BOOL
	};

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (sv_eq(name, sv_from(others[i])))
			return true;
	for (size_t i = 0; i < ARRAY_LEN(settings); i++)
		if (sv_eq(name, sv_from(settings[i])))
			return true;
	return false;
}

void
doctor_check_environment(struct doctor *d)
{
	unsigned unknown = 0;

	for (char **v = environ; *v; v++) {
		struct sv rest = sv_from(*v), name = sv_cut(&rest, '=');

		if (!sv_starts(name, SV("DECNET_")) || known_variable(name))
			continue;
		unknown++;
		doctor_say(d, "environment", VERDICT_WARNING, "%.*s means nothing to decnet",
			   (int)name.n, name.p);
	}
	if (unknown == 0)
		doctor_say(d, "environment", VERDICT_OK, "every setting can be used");
}

void
doctor_check_programs(struct doctor *d)
{
	unsigned missing = 0;

	for (unsigned p = 0; p < PROCESS_COUNT; p++) {
		char path[4096];
		struct err e = {0};

		if (child_find(process_program((enum process)p), path, sizeof(path), &e) == 0)
			continue;
		missing++;
		doctor_say(d, "programs", VERDICT_BAD, "%s", err_text(&e));
	}
	if (missing == 0)
		doctor_say(d, "programs", VERDICT_OK, "all %u are installed",
			   (unsigned)PROCESS_COUNT);
}

/* What lies in the state directory is for its owner alone. */
static void
check_file(struct doctor *d, const char *name, mode_t wanted)
{
	char path[2048];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s%s%s", d->conf->state_dir, *name ? "/" : "", name);
	if (lstat(path, &st) < 0) {
		if (errno != ENOENT)
			doctor_say(d, "files", VERDICT_BAD, "%s: %s", path, strerror(errno));
		return;
	}
	if (S_ISLNK(st.st_mode)) {
		doctor_say(d, "files", VERDICT_BAD, "%s is a symbolic link", path);
	} else if (st.st_uid != geteuid()) {
		doctor_say(d, "files", VERDICT_BAD, "%s belongs to uid %u, not to us (%u)", path,
			   (unsigned)st.st_uid, (unsigned)geteuid());
	} else if ((st.st_mode & 0777 & ~wanted) == 0) {
		doctor_say(d, "files", VERDICT_OK, "%s has mode %04o", path,
			   (unsigned)(st.st_mode & 0777));
	} else if (d->fix && chmod(path, wanted) == 0) {
		doctor_say(d, "files", VERDICT_FIXED, "%s had mode %04o, has %04o", path,
			   (unsigned)(st.st_mode & 0777), (unsigned)wanted);
	} else {
		doctor_say(d, "files", VERDICT_BAD, "%s has mode %04o; expected %04o", path,
			   (unsigned)(st.st_mode & 0777), (unsigned)wanted);
	}
}

void
doctor_check_files(struct doctor *d)
{
	static const char *const names[] = {"decnet.db",  "decnet.db-wal", "decnet.db-shm",
					    "jwt.secret", "decnet.log",	   "decnet.pid"};

	check_file(d, "", 0700);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		check_file(d, names[i], 0600);
}

void
doctor_check_store(struct doctor *d)
{
	const char *path = d->conf->db_url;
	struct err e = {0};
	struct db *db = NULL;
	int r;

	/* Opening would make the file. */
	if (strncmp(path, "sqlite:", 7) == 0) {
		path += strncmp(path + 7, "//", 2) == 0 ? 9 : 7;
		if (access(path, F_OK) < 0 && errno == ENOENT) {
			doctor_say(d, "store", VERDICT_OK, "%s: the first start makes it", path);
			return;
		}
	}
	r = db_open(d->conf->db_url, DB_READ_ONLY, &db, &e);
	db_close(db);
	if (r == -ESTALE && d->fix && db_migrate(d->conf->db_url, &e) == 0)
		doctor_say(d, "store", VERDICT_FIXED, "the schema is up to date now");
	else if (r == -ESTALE)
		doctor_say(d, "store", VERDICT_BAD, "%s; the next start, or --fix, brings it up",
			   err_text(&e));
	else if (r < 0)
		doctor_say(d, "store", VERDICT_BAD, "%s", err_text(&e));
	else
		doctor_say(d, "store", VERDICT_OK, "the schema is up to date");
}

/* Does somebody listen at this socket? 1, 0, or a negative errno. */
static int
answers(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd, r;

	if (strlen(path) >= sizeof(at.sun_path))
		return -ENAMETOOLONG;
	memcpy(at.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	r = connect(fd, (const struct sockaddr *)&at, sizeof(at)) == 0 ? 1 : -errno;
	(void)close(fd);
	return r == -ECONNREFUSED || r == -ENOENT ? 0 : r;
}

void
doctor_check_bus(struct doctor *d)
{
	const char *path = d->conf->bus_socket;
	struct stat st;
	int r;

	if (strcmp(d->conf->bus_type, "unix") != 0) {
		doctor_say(d, "bus", VERDICT_OK, "no broker of ours: bus type %s",
			   d->conf->bus_type);
		return;
	}
	if (lstat(path, &st) < 0) {
		doctor_say(d, "bus", d->running ? VERDICT_BAD : VERDICT_OK, "%s: %s", path,
			   d->running ? "not there, though the suite runs"
				      : "not there; the broker makes it");
		return;
	}
	r = S_ISSOCK(st.st_mode) ? answers(path) : -ENOTSOCK;
	if (r < 0)
		doctor_say(d, "bus", VERDICT_BAD, "%s: %s", path, strerror(-r));
	else if (r == 1)
		doctor_say(d, "bus", VERDICT_OK, "%s: a broker answers", path);
	else if (d->fix && !d->running && unlink(path) == 0)
		doctor_say(d, "bus", VERDICT_FIXED, "%s: left behind by a broker, removed", path);
	else
		doctor_say(d, "bus", d->running ? VERDICT_BAD : VERDICT_WARNING,
			   "%s: nobody answers; %s", path,
			   d->running ? "the broker is being restarted, or is stuck"
				      : "the next start removes it");
}

/* Whether a server could listen there now. 0 or a negative errno; 1 when the text is no address. */
static int
can_listen(const char *host, const char *port)
{
	const struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
				       .ai_socktype = SOCK_STREAM};
	struct addrinfo *at = NULL;
	int fd, r, on = 1;

	if (getaddrinfo(host, port, &hints, &at) != 0)
		return 1;
	fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		r = -errno;
	} else {
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		r = bind(fd, at->ai_addr, at->ai_addrlen) < 0 ? -errno : 0;
		(void)close(fd);
	}
	freeaddrinfo(at);
	return r;
}

static void
check_port(struct doctor *d, const char *what, const char *host, const char *port,
	   enum verdict when_taken)
{
	int r = can_listen(host, port);

	if (r == 0)
		doctor_say(d, "ports", d->running ? VERDICT_WARNING : VERDICT_OK, "%s: %s:%s %s",
			   what, host, port, d->running ? "is not used" : "is free");
	else if (r > 0)
		doctor_say(d, "ports", VERDICT_BAD, "%s: %s:%s is no address", what, host, port);
	else if (d->running && r == -EADDRINUSE)
		doctor_say(d, "ports", VERDICT_OK, "%s: %s:%s is in use, and the suite runs", what,
			   host, port);
	else
		doctor_say(d, "ports", when_taken, "%s: %s:%s: %s", what, host, port, strerror(-r));
}

void
doctor_check_ports(struct doctor *d)
{
	const char *at = d->conf->metrics_listen, *colon = at ? strrchr(at, ':') : NULL;
	char port[24], host[256];

	(void)snprintf(port, sizeof(port), "%llu", (unsigned long long)d->conf->api_port);
	check_port(d, "dashboard", d->conf->api_host, port, VERDICT_BAD);
	if (!at || !*at)
		return;
	if (!colon || (size_t)(colon - at) >= sizeof(host)) {
		doctor_say(d, "ports", VERDICT_BAD, "DECNET_METRICS_LISTEN: expected address:port");
		return;
	}
	(void)sv_copy((struct sv){at, (size_t)(colon - at)}, host, sizeof(host));
	/* The suite runs without its metrics when another one has the port. */
	check_port(d, "metrics", host, colon + 1, VERDICT_WARNING);
}

void
doctor_check_tls(struct doctor *d)
{
	const char *const paths[] = {d->conf->tls_cert, d->conf->tls_key};
	struct stat st;

	if (!paths[0] && !paths[1]) {
		doctor_say(d, "tls", VERDICT_OK, "off");
		return;
	}
	if (!paths[0] || !paths[1]) {
		doctor_say(d, "tls", VERDICT_BAD,
			   "DECNET_TLS_CERT and DECNET_TLS_KEY belong together; one is not set");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		bool key = i == 1;

		if (stat(paths[i], &st) < 0 || access(paths[i], R_OK) < 0)
			doctor_say(d, "tls", VERDICT_BAD, "%s: %s", paths[i], strerror(errno));
		else if (key && (st.st_mode & S_IROTH))
			doctor_say(d, "tls", VERDICT_WARNING, "%s: everybody may read this key",
				   paths[i]);
		else
			doctor_say(d, "tls", VERDICT_OK, "%s can be read", paths[i]);
	}
}

/* The loopback driver needs nothing but the right to bind its addresses. */
static void
check_loopback(struct doctor *d)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	(void)inet_pton(AF_INET, "127.100.0.1", &at.sin_addr);
	r = fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 ? -errno : 0;
	if (fd >= 0)
		(void)close(fd);
	if (r < 0)
		doctor_say(d, "driver", VERDICT_BAD, "loopback: 127.100.0.1 cannot be used: %s",
			   strerror(-r));
	else if (d->conf->port_offset < 1024 && geteuid() != 0)
		doctor_say(d, "driver", VERDICT_WARNING,
			   "loopback: ports below 1024 may be refused to us "
			   "(DECNET_PORT_OFFSET=%llu)",
			   (unsigned long long)d->conf->port_offset);
	else
		doctor_say(d, "driver", VERDICT_OK,
			   "loopback: deckies can listen on 127.100.0.0/16");
}

void
doctor_check_driver(struct doctor *d)
{
	bool chosen =
		strcmp(d->conf->net_driver, "netns") == 0 ||
		(strcmp(d->conf->net_driver, "auto") == 0 && d->conf->uplink && geteuid() == 0);

	if (chosen)
		doctor_check_netns(d);
	else
		check_loopback(d);
	doctor_check_leftovers(d);
}

void
doctor_check_limits(struct doctor *d)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		doctor_say(d, "limits", VERDICT_BAD, "getrlimit: %s", strerror(errno));
	else
		doctor_say(d, "limits",
			   files.rlim_max < WANTED_FILES ? VERDICT_WARNING : VERDICT_OK,
			   "up to %llu descriptors a process", (unsigned long long)files.rlim_max);
}
