/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets on their way to the decoy process and in its hands. */
#include "netdrv/serve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netdrv/channel.h"
#include "util/hash.h"
#include "util/json.h"
#include "util/limits.h"
#include "util/list.h"
#include "util/log.h"

struct socket_entry {
	struct list link, by_id;
	struct netdrv_listener want;
	int fd;	     /* bound and listening; a duplicate of what the decoy has */
	bool served; /* the decoy said so */
	bool closing;
};

/* One request of the mutator under way. */
struct request {
	struct serve *serve;
	char id[CONTROL_LISTENER_MAX + 1];
	netdrv_done_fn *done;
	netdrv_list_fn *list_done;
	void *user;
	char **ids;
	size_t n, cap;
	bool asked_udp; /* of a list */
};

/* One decoy process, as its channel shows it. */
struct end {
	struct serve *serve;
	bool udp;
	struct channel *channel; /* NULL: there is none */
};

/* Thousands of sockets are looked for by their id. */
#define BUCKETS 4096

struct serve {
	struct loop *loop;
	struct end ends[NETDRV_CHANNELS];
	struct serve_source source;
	struct list sockets;
	struct list buckets[BUCKETS]; /* of socket_entry.by_id */
};

/* The listener's name says what it is, also when nothing else is known of it. */
static struct end *
end_of(struct serve *d, const char *id)
{
	size_t n = strlen(id);

	return &d->ends[n > 4 && strcmp(id + n - 4, "/udp") == 0];
}

/* Ask the decoy process in question, or answer for one that is not there. */
static void
ask(struct end *end, json_t *own_message, int fd, channel_answer_fn *fn, void *user)
{
	if (end->channel) {
		channel_call(end->channel, own_message, fd, fn, user);
		return;
	}
	json_decref(own_message);
	fn(user, -ENOTCONN, NULL, true, "no decoys of datagrams");
}

static size_t
bucket_of(const char *id)
{
	return hash_fold(hash_text(id)) % BUCKETS;
}

static struct socket_entry *
find_socket(const struct serve *d, const char *id)
{
	LIST_FOR (at, &d->buckets[bucket_of(id)]) {
		struct socket_entry *s = CONTAINER_OF(at, struct socket_entry, by_id);

		if (strcmp(s->want.id, id) == 0)
			return s;
	}
	return NULL;
}

bool
serve_has(const struct serve *d, const char *id)
{
	const struct socket_entry *s = find_socket(d, id);

	return s && s->served && !s->closing;
}

static void
socket_free(struct socket_entry *s)
{
	list_unlink(&s->link);
	list_unlink(&s->by_id);
	netdrv_listener_fini(&s->want);
	if (s->fd >= 0)
		(void)close(s->fd);
	free(s);
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
			 s->want.service, "port", (int)s->want.port, "proto",
			 s->want.udp ? "udp" : "tcp", "config", s->want.config, "hostname",
			 s->want.decky, "seed", seed, "archetype", s->want.archetype);
}

static struct request *
request_new(struct serve *d, const char *id, netdrv_done_fn *done, void *user)
{
	struct request *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->serve = d;
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
	struct socket_entry *s = find_socket(q->serve, q->id);

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
send_open(struct serve *d, const struct socket_entry *s, struct request *q)
{
	ask(end_of(d, s->want.id), open_message(s), s->fd, on_opened, q);
}

/* The socket of an opening, or why there is none. */
static void
on_bound(void *user, int fd, const char *why)
{
	struct request *q = user;
	struct socket_entry *s = find_socket(q->serve, q->id);

	/* Closed, or bound by another request, while this one was under way. */
	if (fd >= 0 && (!s || s->closing || s->fd >= 0)) {
		(void)close(fd);
		fd = s && !s->closing ? 0 : -ECANCELED;
	} else if (fd >= 0) {
		s->fd = fd;
	}
	if (fd >= 0) {
		send_open(q->serve, s, q);
		return;
	}
	if (!why || !why[0])
		why = strerror(-fd);
	if (s && !q->done)
		log_event(LV_ERR, "netdrv.listener.lost", KV_S("listener", q->id),
			  KV_S("why", why));
	if (s && s->fd < 0 && !s->closing)
		socket_free(s);
	if (q->done)
		q->done(q->user, fd, why);
	request_free(q);
}

static struct socket_entry *
socket_new(struct serve *d, const struct netdrv_listener *l)
{
	struct socket_entry *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	list_init(&s->link);
	list_init(&s->by_id);
	s->fd = -1;
	if (netdrv_listener_copy(l, &s->want) < 0) {
		socket_free(s);
		return NULL;
	}
	list_append(&d->sockets, &s->link);
	list_append(&d->buckets[bucket_of(l->id)], &s->by_id);
	return s;
}

void
serve_open(struct serve *d, const struct netdrv_listener *l, netdrv_done_fn *done, void *user)
{
	struct socket_entry *s = find_socket(d, l->id);
	struct request *q;

	if (s && s->served && !s->closing) {
		done(user, 0, NULL);
		return;
	}
	q = request_new(d, l->id, done, user);
	if (!s && q)
		s = socket_new(d, l);
	if (!q || !s) {
		free(q);
		done(user, -ENOMEM, "out of memory");
		return;
	}
	s->closing = false;
	if (s->fd >= 0)
		send_open(d, s, q);
	else
		d->source.bind(d->source.owner, &s->want, on_bound, q);
}

int
serve_learn(struct serve *d, const struct netdrv_listener *l)
{
	struct socket_entry *s = find_socket(d, l->id);
	struct netdrv_listener fresh;

	if (s && netdrv_listener_same(l, &s->want))
		return 0;
	if (s) {
		if (netdrv_listener_copy(l, &fresh) < 0)
			return -ENOMEM;
		netdrv_listener_fini(&s->want);
		s->want = fresh;
		return 0;
	}
	s = socket_new(d, l);
	if (!s)
		return -ENOMEM;
	s->served = true;
	return 0;
}

static void
on_closed(void *user, int r, const json_t *message, bool final, const char *why)
{
	struct request *q = user;
	struct socket_entry *s = find_socket(q->serve, q->id);

	(void)message;
	if (!final)
		return;
	if (r == 0 && s && s->closing)
		socket_free(s);
	q->done(q->user, r, why);
	request_free(q);
}

void
serve_close(struct serve *d, const char *id, netdrv_done_fn *done, void *user)
{
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
	ask(end_of(d, id), json_pack("{s:s, s:s}", "op", "close", "listener", id), -1, on_closed,
	    q);
}

void
serve_forget(struct serve *d, const char *decky_uuid, netdrv_done_fn *done, void *user)
{
	LIST_FOR (at, &d->sockets) {
		struct socket_entry *s = CONTAINER_OF(at, struct socket_entry, link);

		if (!s->closing && strcmp(s->want.decky_uuid, decky_uuid) == 0)
			serve_close(d, s->want.id, done, user);
	}
}

/* What two processes can have open. */
#define IDS_MAX (2 * LIMIT_DECOY_LISTENERS)

/* Ids beyond memory, or beyond what there can be, are missing in the list; what is missing is
 * looked for elsewhere, too. */
static void
add_ids(struct request *q, const json_t *ids)
{
	size_t n = q->n + json_array_size(ids), i;
	const json_t *id;

	if (n > IDS_MAX)
		return;
	if (n > q->cap) {
		size_t cap = q->cap ? q->cap * 2 : 64;
		char **v;

		while (cap < n)
			cap *= 2;
		v = realloc(q->ids, cap * sizeof(*v));
		if (!v)
			return;
		q->ids = v;
		q->cap = cap;
	}
	json_array_foreach(ids, i, id) if (json_is_string(id) &&
					   (q->ids[q->n] = sv_dup(sv_from(json_string_value(id)))))
		q->n++;
}

static void
on_listed(void *user, int r, const json_t *message, bool final, const char *why)
{
	struct request *q = user;

	(void)why;
	if (!final)
		add_ids(q, json_object_get(message, "listeners"));
	if (!final)
		return;
	/* Then those of datagrams. */
	if (r == 0 && !q->asked_udp && q->serve->ends[1].channel) {
		q->asked_udp = true;
		ask(&q->serve->ends[1], json_pack("{s:s}", "op", "list"), -1, on_listed, q);
		return;
	}
	q->list_done(q->user, r, (const char *const *)q->ids, q->n);
	request_free(q);
}

void
serve_list(struct serve *d, netdrv_list_fn *done, void *user)
{
	struct request *q = request_new(d, "", NULL, user);

	if (!q) {
		done(user, -ENOMEM, NULL, 0);
		return;
	}
	q->list_done = done;
	ask(&d->ends[0], json_pack("{s:s}", "op", "list"), -1, on_listed, q);
}

/* A new decoy process: it gets every socket again; connections that came meanwhile wait in them. */
static void
on_started(void *user, const json_t *message)
{
	struct end *end = user;
	struct serve *d = end->serve;
	unsigned n = 0;

	LIST_FOR (at, &d->sockets) {
		struct socket_entry *s = CONTAINER_OF(at, struct socket_entry, link);
		struct request *q;

		if (s->closing || end_of(d, s->want.id) != end)
			continue;
		q = request_new(d, s->want.id, NULL, NULL);
		if (!q) {
			log_event(LV_ERR, "netdrv.listener.lost", KV_S("listener", s->want.id),
				  KV_S("why", "out of memory"));
			socket_free(s);
			continue;
		}
		n++;
		/* One that was learnt from the process that is gone has no socket here; its port
		 * is free now. */
		if (s->fd >= 0)
			send_open(d, s, q);
		else
			d->source.bind(d->source.owner, &s->want, on_bound, q);
	}
	log_event(LV_INFO, "netdrv.decoy.started", KV_S("serves", end->udp ? "udp" : "tcp"),
		  KV_I("pid", json_integer_value(json_object_get(message, "pid"))),
		  KV_U("listeners", n));
	d->source.on_state(d->source.user, true);
}

int
serve_new(struct loop *l, const int own_control_fds[NETDRV_CHANNELS],
	  const struct serve_source *source, struct serve **ret, struct err *e)
{
	struct serve *d = calloc(1, sizeof(*d));
	int r = 0;

	if (!d) {
		netdrv_close_channels(own_control_fds);
		return err_set(e, -ENOMEM, "out of memory");
	}
	d->loop = l;
	d->source = *source;
	list_init(&d->sockets);
	for (unsigned i = 0; i < BUCKETS; i++)
		list_init(&d->buckets[i]);
	for (size_t i = 0; i < NETDRV_CHANNELS; i++) {
		struct end *end = &d->ends[i];

		*end = (struct end){.serve = d, .udp = i == 1};
		if (own_control_fds[i] < 0)
			continue;
		if (r == 0)
			r = channel_new(l, own_control_fds[i], on_started, end, &end->channel, e);
		else
			(void)close(own_control_fds[i]);
	}
	if (r < 0) {
		channel_free(d->ends[0].channel);
		free(d);
		return r;
	}
	*ret = d;
	return 0;
}

void
serve_free(struct serve *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < NETDRV_CHANNELS; i++)
		channel_free(d->ends[i].channel);
	LIST_FOR (at, &d->sockets)
		socket_free(CONTAINER_OF(at, struct socket_entry, link));
	free(d);
}
