/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses and credentials of the broker a client talks to. */
#include "bus/dial.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/json.h"

#define SCHEME "nats://"
#define PORT   "4222"

int
bus_dial_unix(struct bus_dial *d, const char *path, struct err *e)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	*d = (struct bus_dial){0};
	if (sv_copy(sv_from(path), un.sun_path, sizeof(un.sun_path)) < 0)
		return err_set(e, -EINVAL, "DECNET_BUS_SOCKET: path too long");
	memcpy(&d->to[0].addr, &un, sizeof(un));
	d->to[0].len = sizeof(un);
	d->n = 1;
	return 0;
}

/* `token@` or `user:password@`. */
static int
read_credentials(struct bus_dial *d, struct sv text)
{
	struct sv user = sv_cut(&text, ':');

	if (text.n == 0)
		return sv_copy(user, d->token, sizeof(d->token));
	if (sv_copy(user, d->user, sizeof(d->user)) < 0)
		return -EINVAL;
	return sv_copy(text, d->password, sizeof(d->password));
}

/* `host`, `host:port`, `[v6]:port`. */
static int
split_host(struct sv text, char host[256], char port[8])
{
	struct sv name, number;
	uint64_t value;

	if (text.n && text.p[0] == '[') {
		name = sv_drop(text, 1);
		number = name;
		name = sv_cut(&number, ']');
		if (number.n && number.p[0] == ':')
			number = sv_drop(number, 1);
	} else {
		number = text;
		name = sv_cut(&number, ':');
	}
	if (number.n == 0)
		number = SV(PORT);
	if (name.n == 0 || sv_copy(name, host, 256) < 0 || sv_u64(number, UINT16_MAX, &value) < 0)
		return -EINVAL;
	return sv_copy(number, port, 8);
}

static int
read_server(struct bus_dial *d, struct sv text, unsigned *lookups)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	char host[256], port[8];
	size_t at;

	if (sv_starts(text, SV(SCHEME)))
		text = sv_drop(text, sizeof(SCHEME) - 1);
	while (text.n && text.p[text.n - 1] == '/')
		text.n--;
	/* The last @ ends the credentials: a password may hold one. */
	for (at = text.n; at > 0 && text.p[at - 1] != '@';)
		at--;
	if (at > 0 && read_credentials(d, (struct sv){text.p, at - 1}) < 0)
		return -EINVAL;
	if (split_host(sv_drop(text, at), host, port) < 0)
		return -EINVAL;
	if (getaddrinfo(host, port, &hints, &found) != 0)
		return 0;
	++*lookups;
	for (struct addrinfo *ai = found; ai && d->n < BUS_DIAL_MAX; ai = ai->ai_next) {
		memcpy(&d->to[d->n].addr, ai->ai_addr, ai->ai_addrlen);
		d->to[d->n++].len = ai->ai_addrlen;
	}
	freeaddrinfo(found);
	return 0;
}

int
bus_dial_url(struct bus_dial *d, const char *url, struct err *e)
{
	struct sv rest = sv_from(url);
	unsigned lookups = 0;

	*d = (struct bus_dial){0};
	while (rest.n) {
		struct sv server = sv_trim(sv_cut(&rest, ','));

		if (server.n && read_server(d, server, &lookups) < 0)
			return err_set(e, -EINVAL,
				       "DECNET_BUS_URL: expected nats://[token@]host[:port]");
	}
	if (lookups == 0)
		return err_set(e, -EHOSTUNREACH, "DECNET_BUS_URL: no server could be looked up");
	return 0;
}

int
bus_dial_next(struct bus_dial *d, bool *ret_pending)
{
	const struct bus_dial_to *to = &d->to[d->next++ % d->n];
	int one = 1, fd, r;

	fd = socket(to->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (to->addr.ss_family != AF_UNIX)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	*ret_pending = false;
	if (connect(fd, (const struct sockaddr *)&to->addr, to->len) == 0)
		return fd;
	if (errno == EINPROGRESS) {
		*ret_pending = true;
		return fd;
	}
	r = -errno;
	(void)close(fd);
	return r;
}

char *
bus_dial_connect_text(const struct bus_dial *d, const char *name)
{
	json_t *o = json_pack("{s:b,s:b,s:s,s:s,s:s,s:i,s:b,s:b}", "verbose", 0, "pedantic", 0,
			      "name", name, "lang", "c", "version", DECNET_VERSION, "protocol", 1,
			      "echo", 1, "headers", 1);
	bool bad = !o;
	char *text;

	if (!bad && d->token[0])
		bad = json_object_set_new(o, "auth_token", json_view(sv_from(d->token))) < 0;
	if (!bad && d->user[0])
		bad = json_object_set_new(o, "user", json_view(sv_from(d->user))) < 0 ||
		      json_object_set_new(o, "pass", json_view(sv_from(d->password))) < 0;
	text = bad ? NULL : json_text(o);
	json_decref(o);
	return text;
}
