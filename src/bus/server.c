/* SPDX-License-Identifier: Apache-2.0 */
/* The embedded broker as a whole: accepts clients, grants roles by uid, tells how it is. */
#include "bus/server.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bus/conn.h"
#include "bus/event.h"
#include "bus/listen.h"
#include "bus/topic.h"
#include "util/id.h"
#include "util/log.h"

#define ACCEPTS_PER_TURN 64
#define ACCEPT_PAUSE_MS	 100
#define HEALTH_MS	 10000
#define GRANTS_MAX	 64

struct grant {
	uid_t uid;
	unsigned roles;
};

struct listener {
	struct bus_server *server;
	struct loop_io io;
	int fd;
	bool local; /* the kernel tells who the peer is */
};

struct bus_server {
	struct bus_conn_ctx ctx;
	const struct conf *conf;
	struct listener local, tcp;
	struct loop_timer health, accept_again;
	ino_t inode;
	uint64_t started_ms;
	struct grant grants[GRANTS_MAX];
	unsigned ngrants;
};

static void on_listener(struct loop_io *io, uint32_t events);

static int
grant(struct bus_server *s, enum bus_role role, uid_t uid, struct err *e)
{
	if (s->ngrants == GRANTS_MAX)
		return err_set(e, -EINVAL, "DECNET_BUS_ROLES: more than %d entries", GRANTS_MAX);
	s->grants[s->ngrants++] = (struct grant){uid, BUS_ROLE_BIT(role)};
	return 0;
}

/* One `role=user`; a user is a name or a number. */
static int
grant_text(struct bus_server *s, struct sv entry, unsigned *named, struct err *e)
{
	struct sv user = entry;
	enum bus_role role = bus_role_find(sv_trim(sv_cut(&user, '=')));
	struct passwd *pw;
	uint64_t uid;
	char name[64];

	user = sv_trim(user);
	if (role == BUS_ROLE_COUNT || role == BUS_ROLE_GUEST || user.n == 0 ||
	    sv_copy(user, name, sizeof(name)) < 0)
		return err_set(e, -EINVAL, "DECNET_BUS_ROLES: not role=user: %.*s", (int)entry.n,
			       entry.p);
	*named |= BUS_ROLE_BIT(role);
	if (sv_u64(user, UINT32_MAX - 1, &uid) == 0)
		return grant(s, role, (uid_t)uid, e);
	pw = getpwnam(name);
	if (!pw)
		return err_set(e, -EINVAL, "DECNET_BUS_ROLES: no user %s", name);
	return grant(s, role, pw->pw_uid, e);
}

/* What DECNET_BUS_ROLES says; for roles it does not name the system user of that name. */
static int
load_grants(struct bus_server *s, struct err *e)
{
	struct sv rest = sv_from(s->conf->bus_roles);
	unsigned named = BUS_ROLE_BIT(BUS_ROLE_GUEST);
	char name[64];
	int r = 0;

	while (r == 0 && rest.n) {
		struct sv entry = sv_trim(sv_cut(&rest, ','));

		if (entry.n)
			r = grant_text(s, entry, &named, e);
	}
	for (unsigned i = 0; r == 0 && i < BUS_ROLE_COUNT; i++) {
		struct passwd *pw;

		if (named & BUS_ROLE_BIT(i))
			continue;
		(void)snprintf(name, sizeof(name), "decnet-%s", bus_role_word((enum bus_role)i));
		pw = getpwnam(name);
		if (pw)
			r = grant(s, (enum bus_role)i, pw->pw_uid, e);
	}
	return r;
}

static unsigned
roles_of(const struct bus_server *s, int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	unsigned roles = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return 0;
	if (cred.uid == 0 || cred.uid == geteuid())
		return BUS_ROLE_ALL;
	for (unsigned i = 0; i < s->ngrants; i++)
		if (s->grants[i].uid == cred.uid)
			roles |= s->grants[i].roles;
	return roles;
}

static int
watch_listener(struct listener *ls)
{
	if (ls->fd < 0)
		return 0;
	return loop_io_set(ls->server->ctx.loop, &ls->io, ls->fd, EPOLLIN, on_listener, ls);
}

static void
on_accept_again(struct loop_timer *t)
{
	struct bus_server *s = t->user;

	if (watch_listener(&s->local) < 0 || watch_listener(&s->tcp) < 0)
		log_plain(LV_ERR, "bus.listen.lost");
}

/* Without descriptors the listener would wake us all the time. */
static void
pause_accepting(struct bus_server *s)
{
	log_event(LV_WARN, "bus.accept.paused", KV_S("why", strerror(errno)));
	if (loop_timer_set(s->ctx.loop, &s->accept_again, ACCEPT_PAUSE_MS, on_accept_again, s) < 0)
		return;
	loop_io_clear(&s->local.io);
	loop_io_clear(&s->tcp.io);
}

static void
on_listener(struct loop_io *io, uint32_t events)
{
	struct listener *ls = io->user;
	struct bus_server *s = ls->server;
	int one = 1;

	(void)events;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int fd = accept4(ls->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), r;

		if (fd < 0 &&
		    (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS))
			pause_accepting(s);
		if (fd < 0)
			return;
		if (!ls->local)
			(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		r = bus_conn_open(&s->ctx, fd, ls->local ? roles_of(s, fd) : 0,
				  ls->local ? NULL : s->conf->bus_token);
		if (r < 0)
			log_event(LV_WARN, "bus.client.turned_away", KV_S("why", strerror(-r)));
	}
}

static void
publish_health(struct bus_server *s)
{
	uint64_t now = loop_unix_ms(s->ctx.loop);
	struct bus_broker_stats st;
	char topic[BUS_SUBJECT_MAX + 1], payload[512];
	char *event;

	bus_broker_stats(s->ctx.broker, &st);
	(void)snprintf(
		payload, sizeof(payload),
		"{\"pid\":%d,\"uptime_sec\":%" PRIu64 ",\"clients\":%u,\"messages_in\":%" PRIu64
		",\"messages_out\":%" PRIu64 ",\"dropped\":%" PRIu64 ",\"ts\":%" PRIu64 ".%03u}",
		(int)getpid(), (loop_now_ms(s->ctx.loop) - s->started_ms) / 1000, st.clients,
		st.messages_in, st.messages_out, st.dropped, now / 1000, (unsigned)(now % 1000));
	if (bus_topic_build(BUS_TOPIC_SYSTEM_BUS_HEALTH, NULL, topic) < 0)
		return;
	event = bus_event_encode(topic, "health", now, 0, payload);
	if (event)
		bus_broker_publish(s->ctx.broker, sv_from(topic), sv_from(event));
	free(event);
}

static void
on_health(struct loop_timer *t)
{
	struct bus_server *s = t->user;

	publish_health(s);
	if (loop_timer_set(s->ctx.loop, &s->health, HEALTH_MS, on_health, s) < 0)
		log_plain(LV_WARN, "bus.no_memory");
}

static int
open_listeners(struct bus_server *s, struct err *e)
{
	int fd = bus_listen_unix(s->conf->bus_socket, s->conf->bus_group, &s->inode, e);

	if (fd < 0)
		return fd;
	s->local.fd = fd;
	if (s->conf->bus_listen && *s->conf->bus_listen) {
		if (!s->conf->bus_token)
			return err_set(e, -EINVAL,
				       "DECNET_BUS_TOKEN: required with DECNET_BUS_LISTEN");
		fd = bus_listen_tcp(s->conf->bus_listen, e);
		if (fd == -EINVAL)
			err_wrap(e, "DECNET_BUS_LISTEN");
		if (fd < 0)
			return fd;
		s->tcp.fd = fd;
	}
	if (watch_listener(&s->local) < 0 || watch_listener(&s->tcp) < 0)
		return err_set(e, -ENOMEM, "cannot watch the listeners");
	return 0;
}

int
bus_server_open(struct loop *l, const struct conf *conf, struct bus_server **ret_server,
		struct err *e)
{
	struct bus_server *s = calloc(1, sizeof(*s));
	uint64_t seed;
	int r;

	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	s->conf = conf;
	s->local = (struct listener){.server = s, .fd = -1, .local = true};
	s->tcp = (struct listener){.server = s, .fd = -1};
	s->ctx.loop = l;
	list_init(&s->ctx.conns);
	list_init(&s->ctx.dirty);
	s->started_ms = loop_now_ms(l);
	id_random(&seed, sizeof(seed));
	s->ctx.scratch = malloc(BUS_CONN_SCRATCH);
	s->ctx.broker = bus_broker_new(seed, &bus_conn_ops);
	if (!s->ctx.scratch || !s->ctx.broker)
		r = err_set(e, -ENOMEM, "out of memory");
	else
		r = load_grants(s, e);
	if (r == 0)
		r = open_listeners(s, e);
	/* The first heartbeat when there may be somebody to hear it: clients attach in the first
	 * turns. */
	if (r == 0 && loop_timer_set(l, &s->health, 0, on_health, s) < 0)
		r = err_set(e, -ENOMEM, "out of memory");
	if (r < 0) {
		bus_server_close(s);
		return r;
	}
	*ret_server = TAKE(s);
	return 0;
}

static void
close_listener(struct listener *ls)
{
	loop_io_clear(&ls->io);
	if (ls->fd >= 0)
		(void)close(ls->fd);
}

void
bus_server_close(struct bus_server *s)
{
	if (!s)
		return;
	if (s->local.fd >= 0)
		bus_listen_remove(s->conf->bus_socket, s->inode);
	close_listener(&s->local);
	close_listener(&s->tcp);
	bus_conn_close_all(&s->ctx);
	loop_timer_clear(&s->health);
	loop_timer_clear(&s->accept_again);
	loop_timer_clear(&s->ctx.flush);
	loop_timer_clear(&s->ctx.report);
	bus_broker_free(s->ctx.broker);
	free(s->ctx.scratch);
	free(s);
}
