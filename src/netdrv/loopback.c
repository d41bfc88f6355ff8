/* SPDX-License-Identifier: Apache-2.0 */
/* Deckies on 127.0.0.0/8: addresses, sockets, and handing them to the decoy process. */
#include "netdrv/loopback.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netdrv/channel.h"
#include "util/json.h"
#include "util/list.h"
#include "util/log.h"

/* 127.100.0.1 and the 65,534 after it; .0 and .255 are left out, since some tools take them for
 * networks. */
#define FIRST_ADDRESS 0x7f640001u
#define LAST_ADDRESS  0x7f64fffeu
#define BACKLOG	      128

struct assignment {
	struct list link;
	char decky_uuid[ID_UUID_SIZE];
	uint32_t address;
};

struct socket_entry {
	struct list link;
	struct loopback *driver;
	struct netdrv_listener want;
	int fd;	     /* bound and listening; a duplicate of what the decoy has */
	bool served; /* the decoy said so */
	bool closing;
};

/* One request of the mutator under way. */
struct request {
	struct loopback *driver;
	char id[CONTROL_LISTENER_MAX + 1];
	netdrv_done_fn *done;
	netdrv_list_fn *list_done;
	void *user;
	char **ids;
	size_t n, cap;
};

struct loopback {
	struct netdrv base;
	struct loop *loop;
	struct channel *channel;
	uint16_t offset;
	netdrv_state_fn *on_state;
	void *user;
	struct list assignments, sockets;
};

static struct loopback *
self(struct netdrv *d)
{
	return CONTAINER_OF(d, struct loopback, base);
}

static struct assignment *
find_assignment(const struct loopback *d, const char *decky_uuid, uint32_t address)
{
	LIST_FOR (at, &d->assignments) {
		struct assignment *a = CONTAINER_OF(at, struct assignment, link);

		if (decky_uuid ? strcmp(a->decky_uuid, decky_uuid) == 0 : a->address == address)
			return a;
	}
	return NULL;
}

static int
add_assignment(struct loopback *d, const char *decky_uuid, uint32_t address)
{
	struct assignment *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	if (sv_copy(sv_from(decky_uuid), a->decky_uuid, sizeof(a->decky_uuid)) < 0) {
		free(a);
		return -EINVAL;
	}
	a->address = address;
	/* Kept in rising order, so that the first gap is the lowest free address. */
	LIST_FOR (at, &d->assignments) {
		if (CONTAINER_OF(at, struct assignment, link)->address > address) {
			list_append(at, &a->link);
			return 0;
		}
	}
	list_append(&d->assignments, &a->link);
	return 0;
}

static uint32_t
next_usable(uint32_t address)
{
	while ((address & 0xff) == 0 || (address & 0xff) == 0xff)
		address++;
	return address;
}

static int
loopback_assign(struct netdrv *base, const char *decky_uuid, char dst[NETDRV_ADDRESS_SIZE])
{
	struct loopback *d = self(base);
	struct assignment *a = find_assignment(d, decky_uuid, 0);
	uint32_t address = FIRST_ADDRESS;
	struct in_addr in;
	int r;

	if (a) {
		address = a->address;
	} else {
		LIST_FOR (at, &d->assignments) {
			if (CONTAINER_OF(at, struct assignment, link)->address != address)
				break;
			address = next_usable(address + 1);
		}
		if (address > LAST_ADDRESS)
			return -EADDRNOTAVAIL;
		r = add_assignment(d, decky_uuid, address);
		if (r < 0)
			return r;
	}
	in.s_addr = htonl(address);
	(void)inet_ntop(AF_INET, &in, dst, NETDRV_ADDRESS_SIZE);
	return 0;
}

static int
loopback_adopt(struct netdrv *base, const char *decky_uuid, const char *text)
{
	struct loopback *d = self(base);
	struct assignment *a = find_assignment(d, decky_uuid, 0);
	struct in_addr in;
	uint32_t address;

	if (inet_pton(AF_INET, text, &in) != 1)
		return -EINVAL;
	address = ntohl(in.s_addr);
	if (a)
		return a->address == address ? 0 : -EADDRINUSE;
	if (address < FIRST_ADDRESS || address > LAST_ADDRESS)
		return -EINVAL;
	if (find_assignment(d, NULL, address))
		return -EADDRINUSE;
	return add_assignment(d, decky_uuid, address);
}

static void
loopback_release(struct netdrv *base, const char *decky_uuid)
{
	struct assignment *a = find_assignment(self(base), decky_uuid, 0);

	if (!a)
		return;
	list_unlink(&a->link);
	free(a);
}

static uint16_t
loopback_port(const struct netdrv *base, uint16_t service_port)
{
	const struct loopback *d = CONTAINER_OF(base, const struct loopback, base);
	unsigned port = (unsigned)service_port + d->offset;

	/* Past the end it wraps into the range below the offset's ports, never to 0. */
	return (uint16_t)(port > 65535 ? port - 65535 + 1024 : port);
}

static struct socket_entry *
find_socket(const struct loopback *d, const char *id)
{
	LIST_FOR (at, &d->sockets) {
		struct socket_entry *s = CONTAINER_OF(at, struct socket_entry, link);

		if (strcmp(s->want.id, id) == 0)
			return s;
	}
	return NULL;
}

static bool
loopback_has(const struct netdrv *base, const char *id)
{
	const struct loopback *d = CONTAINER_OF(base, const struct loopback, base);
	const struct socket_entry *s = find_socket(d, id);

	return s && s->served && !s->closing;
}

static void
socket_free(struct socket_entry *s)
{
	list_unlink(&s->link);
	netdrv_listener_fini(&s->want);
	if (s->fd >= 0)
		(void)close(s->fd);
	free(s);
}

static int
bind_socket(const struct loopback *d, const struct socket_entry *s, char *why, size_t why_size)
{
	struct assignment *a = find_assignment(d, s->want.decky_uuid, 0);
	struct sockaddr_in addr = {.sin_family = AF_INET};
	int one = 1, fd;
	char text[NETDRV_ADDRESS_SIZE];

	if (!a)
		return -EADDRNOTAVAIL;
	addr.sin_addr.s_addr = htonl(a->address);
	addr.sin_port = htons(loopback_port(&d->base, s->want.port));
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, BACKLOG) < 0) {
		int r = -errno;

		(void)inet_ntop(AF_INET, &addr.sin_addr, text, sizeof(text));
		(void)snprintf(why, why_size, "%s:%u: %s", text, (unsigned)ntohs(addr.sin_port),
			       strerror(-r));
		(void)close(fd);
		return r;
	}
	return fd;
}

static json_t *
open_message(const struct socket_entry *s)
{
	char seed[17];

	/* The same decky always looks the same, and no two look alike. */
	(void)snprintf(seed, sizeof(seed), "%.8s%.8s", s->want.decky_uuid + 24,
		       s->want.decky_uuid + 28);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:O, s:s, s:s, s:s}", "op",
			 "open", "listener", s->want.id, "topology_id", s->want.topology_id,
			 "decky_uuid", s->want.decky_uuid, "decky", s->want.decky, "service",
			 s->want.service, "port", (int)s->want.port, "proto", "tcp", "config",
			 s->want.config, "hostname", s->want.decky, "seed", seed, "archetype",
			 s->want.archetype);
}

static struct request *
request_new(struct loopback *d, const char *id, netdrv_done_fn *done, void *user)
{
	struct request *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->driver = d;
	q->done = done;
	q->user = user;
	(void)sv_copy(sv_from(id), q->id, sizeof(q->id));
	return q;
}

static void
request_free(struct request *q)
{
	for (size_t i = 0; i < q->n; i++)
		free(q->ids[i]);
	free(q->ids);
	free(q);
}

static void
on_opened(void *user, int r, const json_t *message, bool final, const char *why)
{
	struct request *q = user;
	struct socket_entry *s = find_socket(q->driver, q->id);

	(void)message;
	if (!final)
		return;
	/* The decoy's former life, or our own, had it handed over already: that is what was wanted.
	 */
	if (r == -EEXIST)
		r = 0;
	if (r == 0 && s)
		s->served = true;
	else if (r < 0 && s && !s->served)
		socket_free(s);
	if (q->done)
		q->done(q->user, r, why);
	request_free(q);
}

static void
loopback_open(struct netdrv *base, const struct netdrv_listener *l, netdrv_done_fn *done,
	      void *user)
{
	struct loopback *d = self(base);
	struct socket_entry *s = find_socket(d, l->id);
	struct request *q;
	char why[128] = "";
	int r = -ENOMEM;

	if (s && s->served && !s->closing) {
		done(user, 0, NULL);
		return;
	}
	if (!s && (s = calloc(1, sizeof(*s)))) {
		list_init(&s->link);
		s->driver = d;
		s->fd = -1;
		r = netdrv_listener_copy(l, &s->want);
		if (r == 0)
			r = s->fd = bind_socket(d, s, why, sizeof(why));
		if (r < 0) {
			socket_free(s);
			done(user, r, why[0] ? why : strerror(-r));
			return;
		}
		list_append(&d->sockets, &s->link);
	}
	q = s ? request_new(d, l->id, done, user) : NULL;
	if (!q) {
		done(user, -ENOMEM, "out of memory");
		return;
	}
	s->closing = false;
	channel_call(d->channel, open_message(s), s->fd, on_opened, q);
}

static int
loopback_learn(struct netdrv *base, const struct netdrv_listener *l)
{
	struct loopback *d = self(base);
	struct socket_entry *s;

	s = find_socket(d, l->id);
	if (s) {
		struct netdrv_listener fresh;

		if (netdrv_listener_copy(l, &fresh) < 0)
			return -ENOMEM;
		netdrv_listener_fini(&s->want);
		s->want = fresh;
		return 0;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	list_init(&s->link);
	s->driver = d;
	s->fd = -1;
	if (netdrv_listener_copy(l, &s->want) < 0) {
		socket_free(s);
		return -ENOMEM;
	}
	s->served = true;
	list_append(&d->sockets, &s->link);
	return 0;
}

static void
on_closed(void *user, int r, const json_t *message, bool final, const char *why)
{
	struct request *q = user;
	struct socket_entry *s = find_socket(q->driver, q->id);

	(void)message;
	if (!final)
		return;
	if (r == 0 && s && s->closing)
		socket_free(s);
	q->done(q->user, r, why);
	request_free(q);
}

static void
loopback_close(struct netdrv *base, const char *id, netdrv_done_fn *done, void *user)
{
	struct loopback *d = self(base);
	struct socket_entry *s = find_socket(d, id);
	struct request *q = request_new(d, id, done, user);

	if (!q) {
		done(user, -ENOMEM, "out of memory");
		return;
	}
	if (s) {
		/* Our duplicate goes first: the port must be dead when the decoy has closed its
		 * own. */
		s->closing = true;
		if (s->fd >= 0)
			(void)close(s->fd);
		s->fd = -1;
	}
	channel_call(d->channel, json_pack("{s:s, s:s}", "op", "close", "listener", id), -1,
		     on_closed, q);
}

static void
on_listed(void *user, int r, const json_t *message, bool final, const char *why)
{
	struct request *q = user;
	const char *id = message ? json_get_text(message, "listener") : NULL;

	(void)why;
	if (!final && id) {
		if (q->n == q->cap) {
			size_t cap = q->cap ? q->cap * 2 : 64;
			char **ids = realloc(q->ids, cap * sizeof(*ids));

			if (!ids)
				return;
			q->ids = ids;
			q->cap = cap;
		}
		if ((q->ids[q->n] = sv_dup(sv_from(id))))
			q->n++;
		return;
	}
	if (!final)
		return;
	q->list_done(q->user, r, (const char *const *)q->ids, q->n);
	request_free(q);
}

static void
loopback_list(struct netdrv *base, netdrv_list_fn *done, void *user)
{
	struct loopback *d = self(base);
	struct request *q = request_new(d, "", NULL, user);

	if (!q) {
		done(user, -ENOMEM, NULL, 0);
		return;
	}
	q->list_done = done;
	channel_call(d->channel, json_pack("{s:s}", "op", "list"), -1, on_listed, q);
}

/* A new decoy process: it gets every socket again; connections that came meanwhile wait in them. */
static void
on_started(void *user, const json_t *message)
{
	struct loopback *d = user;
	unsigned n = 0;

	LIST_FOR (at, &d->sockets) {
		struct socket_entry *s = CONTAINER_OF(at, struct socket_entry, link);
		char why[128] = "";
		struct request *q;

		if (s->closing)
			continue;
		/* Learnt from the process that is gone: its port is free now. */
		if (s->fd < 0)
			s->fd = bind_socket(d, s, why, sizeof(why));
		q = s->fd >= 0 ? request_new(d, s->want.id, NULL, NULL) : NULL;
		if (!q) {
			log_event(LV_ERR, "netdrv.listener.lost", KV_S("listener", s->want.id),
				  KV_S("why", why));
			socket_free(s);
			continue;
		}
		channel_call(d->channel, open_message(s), s->fd, on_opened, q);
		n++;
	}
	log_event(LV_INFO, "netdrv.decoy.started",
		  KV_I("pid", json_integer_value(json_object_get(message, "pid"))),
		  KV_U("listeners", n));
	d->on_state(d->user, true);
}

static void
loopback_free(struct netdrv *base)
{
	struct loopback *d = self(base);

	channel_free(d->channel);
	LIST_FOR (at, &d->sockets)
		socket_free(CONTAINER_OF(at, struct socket_entry, link));
	LIST_FOR (at, &d->assignments)
		free(CONTAINER_OF(at, struct assignment, link));
	free(d);
}

static const struct netdrv_ops ops = {
	.name = "loopback",
	.free = loopback_free,
	.assign = loopback_assign,
	.adopt = loopback_adopt,
	.release = loopback_release,
	.port = loopback_port,
	.open = loopback_open,
	.learn = loopback_learn,
	.close = loopback_close,
	.list = loopback_list,
	.has = loopback_has,
};

int
netdrv_loopback_new(struct loop *l, int own_control_fd, uint16_t port_offset,
		    netdrv_state_fn *on_state, void *user, struct netdrv **ret_driver,
		    struct err *e)
{
	struct loopback *d = calloc(1, sizeof(*d));
	int r;

	if (!d) {
		(void)close(own_control_fd);
		return err_set(e, -ENOMEM, "out of memory");
	}
	d->base.ops = &ops;
	d->loop = l;
	d->offset = port_offset;
	d->on_state = on_state;
	d->user = user;
	list_init(&d->assignments);
	list_init(&d->sockets);
	r = channel_new(l, own_control_fd, on_started, d, &d->channel, e);
	if (r < 0) {
		free(d);
		return r;
	}
	*ret_driver = &d->base;
	return 0;
}
