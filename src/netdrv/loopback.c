/* SPDX-License-Identifier: Apache-2.0 */
/* Deckies on 127.0.0.0/8: addresses and sockets. */
#include "netdrv/loopback.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netdrv/serve.h"
#include "util/hash.h"
#include "util/list.h"

/* 127.100.0.1 and the 65,534 after it; .0 and .255 are left out, since some tools take them for
 * networks. */
#define FIRST_ADDRESS 0x7f640001u
#define LAST_ADDRESS  0x7f64fffeu
#define BACKLOG	      128

/* Thousands of deckies are looked for by their id. */
#define BUCKETS 1024

struct assignment {
	struct list by_decky;
	char decky_uuid[ID_UUID_SIZE];
	uint32_t address;
};

struct loopback {
	struct netdrv base;
	struct serve *serve;
	uint16_t offset;
	struct list buckets[BUCKETS];
	uint8_t taken[(LAST_ADDRESS - FIRST_ADDRESS) / 8 + 1]; /* a bit for each address */
};

static struct loopback *
self(struct netdrv *d)
{
	return CONTAINER_OF(d, struct loopback, base);
}

static struct list *
bucket_of(struct loopback *d, const char *decky_uuid)
{
	return &d->buckets[hash_fold(hash_text(decky_uuid)) % BUCKETS];
}

static struct assignment *
find_assignment(struct loopback *d, const char *decky_uuid)
{
	LIST_FOR (at, bucket_of(d, decky_uuid)) {
		struct assignment *a = CONTAINER_OF(at, struct assignment, by_decky);

		if (strcmp(a->decky_uuid, decky_uuid) == 0)
			return a;
	}
	return NULL;
}

static bool
is_taken(const struct loopback *d, uint32_t address)
{
	uint32_t bit = address - FIRST_ADDRESS;

	return d->taken[bit / 8] >> bit % 8 & 1;
}

static void
turn(struct loopback *d, uint32_t address)
{
	uint32_t bit = address - FIRST_ADDRESS;

	d->taken[bit / 8] ^= (uint8_t)(1u << bit % 8);
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
	turn(d, address);
	list_append(bucket_of(d, a->decky_uuid), &a->by_decky);
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
	struct assignment *a = find_assignment(d, decky_uuid);
	uint32_t address = FIRST_ADDRESS;
	struct in_addr in;
	int r;

	if (a) {
		address = a->address;
	} else {
		while (address <= LAST_ADDRESS && is_taken(d, address))
			address = next_usable(address + 1);
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
	struct assignment *a = find_assignment(d, decky_uuid);
	struct in_addr in;
	uint32_t address;

	if (inet_pton(AF_INET, text, &in) != 1)
		return -EINVAL;
	address = ntohl(in.s_addr);
	if (a)
		return a->address == address ? 0 : -EADDRINUSE;
	if (address < FIRST_ADDRESS || address > LAST_ADDRESS)
		return -EINVAL;
	if (is_taken(d, address))
		return -EADDRINUSE;
	return add_assignment(d, decky_uuid, address);
}

static void
loopback_release(struct netdrv *base, const char *decky_uuid)
{
	struct loopback *d = self(base);
	struct assignment *a = find_assignment(d, decky_uuid);

	if (!a)
		return;
	turn(d, a->address);
	list_unlink(&a->by_decky);
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

static int
bind_socket(struct loopback *d, const struct netdrv_listener *l, char *why, size_t why_size)
{
	struct assignment *a = find_assignment(d, l->decky_uuid);
	struct sockaddr_in addr = {.sin_family = AF_INET};
	int one = 1, fd;
	char text[NETDRV_ADDRESS_SIZE];

	if (!a)
		return -EADDRNOTAVAIL;
	addr.sin_addr.s_addr = htonl(a->address);
	addr.sin_port = htons(loopback_port(&d->base, l->port));
	fd = socket(AF_INET, (l->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* Of datagram sockets two could then share a port. */
	if (!l->udp)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    (!l->udp && listen(fd, BACKLOG) < 0)) {
		int r = -errno;

		(void)inet_ntop(AF_INET, &addr.sin_addr, text, sizeof(text));
		(void)snprintf(why, why_size, "%s:%u: %s", text, (unsigned)ntohs(addr.sin_port),
			       strerror(-r));
		(void)close(fd);
		return r;
	}
	return fd;
}

static void
loopback_bind(void *owner, const struct netdrv_listener *l, serve_bound_fn *done, void *user)
{
	char why[128] = "";
	int fd = bind_socket(owner, l, why, sizeof(why));

	done(user, fd, why);
}

static void
loopback_open(struct netdrv *base, const struct netdrv_listener *l, netdrv_done_fn *done,
	      void *user)
{
	serve_open(self(base)->serve, l, done, user);
}

static int
loopback_learn(struct netdrv *base, const struct netdrv_listener *l)
{
	return serve_learn(self(base)->serve, l);
}

static void
loopback_close(struct netdrv *base, const char *id, netdrv_done_fn *done, void *user)
{
	serve_close(self(base)->serve, id, done, user);
}

static void
loopback_list(struct netdrv *base, netdrv_list_fn *done, void *user)
{
	serve_list(self(base)->serve, done, user);
}

static bool
loopback_has(const struct netdrv *base, const char *id)
{
	return serve_has(CONTAINER_OF(base, const struct loopback, base)->serve, id);
}

static void
loopback_free(struct netdrv *base)
{
	struct loopback *d = self(base);

	serve_free(d->serve);
	for (size_t i = 0; i < BUCKETS; i++) {
		LIST_FOR (at, &d->buckets[i])
			free(CONTAINER_OF(at, struct assignment, by_decky));
	}
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
netdrv_loopback_new(struct loop *l, const int own_control_fds[NETDRV_CHANNELS],
		    uint16_t port_offset, netdrv_state_fn *on_state, void *user,
		    struct netdrv **ret_driver, struct err *e)
{
	struct loopback *d = calloc(1, sizeof(*d));
	struct serve_source source = {
		.bind = loopback_bind, .on_state = on_state, .owner = d, .user = user};
	int r;

	if (!d) {
		netdrv_close_channels(own_control_fds);
		return err_set(e, -ENOMEM, "out of memory");
	}
	d->base.ops = &ops;
	d->offset = port_offset;
	for (size_t i = 0; i < BUCKETS; i++)
		list_init(&d->buckets[i]);
	r = serve_new(l, own_control_fds, &source, &d->serve, e);
	if (r < 0) {
		free(d);
		return r;
	}
	*ret_driver = &d->base;
	return 0;
}
