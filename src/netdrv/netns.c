/* SPDX-License-Identifier: Apache-2.0 */
/* Topologies as namespaces and links, and sockets in them. */
#include "netdrv/netns.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netdrv/netd_client.h"
#include "netdrv/serve.h"
#include "netdrv/wanted.h"
#include "util/list.h"
#include "util/log.h"

/* The helper is asked every 10 s. */
#define HELPER_FRESH_MS 25000
/* Of one pass; the next one takes the others. */
#define ORPHANS_MAX	64

struct netns {
	struct netdrv base;
	struct loop *loop;
	struct serve *serve;
	struct netd_client *netd;
	netdrv_state_fn *on_state;
	void *user;
	struct actual actual; /* as last listed, and as changed since */
	bool known;	      /* whether it is to be relied on */
	bool spoiled;	      /* something failed since the list began */
	bool listing, closing;
	struct actual fresh; /* what a list under way has told */
	struct list waiting; /* changes that wait until something is known */
	struct list changes; /* under way */
	struct list listers;
	int64_t helper; /* process id, as it last said */
	uint64_t helper_ms;
};

/* Somebody who asked for all there is. */
struct lister {
	struct list link;
	netdrv_list_fn *done;
	void *user;
};

/* One topology on its way to what is wanted. */
struct change {
	struct list link;
	struct netns *driver;
	struct wanted wanted;
	netdrv_done_fn *done;
	void *user;
	struct requests requests;
	size_t next, pending;
	int r;
	char why[160];
};

/* One socket that is asked for. */
struct binding {
	serve_bound_fn *done;
	void *user;
};

static struct netns *
self(struct netdrv *d)
{
	return CONTAINER_OF(d, struct netns, base);
}

/* -- what there is -- */

static void start_change(struct change *c);
static void list_when_quiet(struct netns *d);

static void
change_end(struct change *c)
{
	int changed = c->requests.n < INT32_MAX ? (int)c->requests.n : INT32_MAX;

	list_unlink(&c->link);
	c->done(c->user, c->r < 0 ? c->r : changed, c->r < 0 ? c->why : NULL);
	wanted_fini(&c->wanted);
	requests_fini(&c->requests);
	free(c);
}

static void
change_fail(struct change *c, int r, const char *why)
{
	if (c->r == 0) {
		c->r = r;
		(void)snprintf(c->why, sizeof(c->why), "%s", why ? why : strerror(-r));
	}
}

static void
on_line(void *user, enum netd_kind kind, const struct netd_thing *t)
{
	struct netns *d = user;

	if (actual_add(&d->fresh, kind, t) < 0)
		log_plain(LV_ERR, "netdrv.memory");
}

static void
tell_listers(struct netns *d, int r)
{
	struct list listers;

	list_move(&d->listers, &listers);
	LIST_FOR (at, &listers) {
		struct lister *l = CONTAINER_OF(at, struct lister, link);

		if (r < 0)
			l->done(l->user, r, NULL, 0);
		else
			serve_list(d->serve, l->done, l->user);
		free(l);
	}
}

static void
on_list_end(void *user, const struct netd_request *q, int r, int fd, const char *why)
{
	struct netns *d = user;
	struct list waiting;

	(void)q;
	(void)fd;
	d->listing = false;
	if (r == 0) {
		actual_fini(&d->actual);
		d->actual = d->fresh;
		d->known = !d->spoiled;
	} else {
		d->known = false;
		actual_fini(&d->fresh);
	}
	d->fresh = (struct actual){0};
	tell_listers(d, r);
	if (r == 0 && !d->known) {
		list_when_quiet(d);
		return;
	}
	list_move(&d->waiting, &waiting);
	LIST_FOR (at, &waiting) {
		struct change *c = CONTAINER_OF(at, struct change, link);

		list_unlink(at);
		list_append(&d->changes, at);
		if (r < 0) {
			change_fail(c, r, why);
			change_end(c);
		} else {
			start_change(c);
		}
	}
	list_when_quiet(d);
}

/*
 * decnet-netd tells what is there between two requests, so what it tells of a change under way is
 * true up to one of them, and the answers to the others add the rest: changes and a list need not
 * wait for each other. Only where nothing is known, the changes under way end first: one of them
 * has failed.
 */
static void
list_when_quiet(struct netns *d)
{
	if (d->closing || d->listing || (!d->known && !list_empty(&d->changes)) ||
	    (list_empty(&d->waiting) && list_empty(&d->listers)))
		return;
	d->listing = true;
	d->spoiled = false;
	actual_fini(&d->fresh);
	netd_call(d->netd, NETD_OP_LIST, NULL, on_line, on_list_end, d);
}

/* -- from what there is to what is wanted -- */

static void
on_forgotten(void *user, int r, const char *why)
{
	(void)user;
	if (r < 0)
		log_event(LV_WARN, "netdrv.listener.left", KV_S("why", why));
}

/* Sockets in a namespace that is gone are of no use; they are opened again by the next pass. */
static void
forget_sockets(struct netns *d, const struct netd_id *decky)
{
	char uuid[ID_UUID_SIZE];

	netd_id_text(decky, uuid);
	serve_forget(d->serve, uuid, on_forgotten, d);
}

static void send_more(struct change *c);

static void
on_change_step(void *user, const struct netd_request *q, int r, int fd, const char *why)
{
	struct change *c = user;
	struct netns *d = c->driver;
	char text[160];

	(void)fd;
	if (r == 0 && actual_apply(&d->actual, q) < 0)
		r = -ENOMEM;
	if (r < 0) {
		/* What else may have gone wrong with it is read from the kernel next time. */
		d->known = false;
		d->spoiled = true;
		(void)snprintf(text, sizeof(text), "%s: %s", netd_op_word(q->op),
			       why ? why : strerror(-r));
		change_fail(c, r, text);
	}
	c->pending--;
	send_more(c);
}

/* All at once: decnet-netd carries them out in their order. */
static void
send_more(struct change *c)
{
	struct netns *d = c->driver;

	/* One more than there are, so that answers that come at once do not end the change. */
	c->pending++;
	while (c->next < c->requests.n && c->r == 0) {
		const struct netd_request *q = &c->requests.v[c->next++];

		if (q->op == NETD_OP_DECKY_ADD &&
		    !things_find(&d->actual.deckies, &q->thing.decky, NULL))
			forget_sockets(d, &q->thing.decky);
		c->pending++;
		netd_call(d->netd, q->op, &q->thing, NULL, on_change_step, c);
	}
	if (--c->pending > 0)
		return;
	change_end(c);
	list_when_quiet(d);
}

static void
start_change(struct change *c)
{
	int r = wanted_requests(&c->driver->actual, &c->wanted, &c->requests);

	if (r < 0)
		change_fail(c, r, "out of memory");
	send_more(c);
}

static void
netns_network(struct netdrv *base, const char *topology_id, const struct topo *t,
	      netdrv_done_fn *done, void *user)
{
	struct netns *d = self(base);
	struct change *c = calloc(1, sizeof(*c));
	int r = c ? wanted_from(topology_id, t, &c->wanted) : -ENOMEM;

	if (r == 0 && d->closing)
		r = -ECANCELED;
	if (r < 0) {
		if (c)
			wanted_fini(&c->wanted);
		free(c);
		done(user, r, r == -EBADMSG ? "the topology's rows make no sense" : strerror(-r));
		return;
	}
	c->driver = d;
	c->done = done;
	c->user = user;
	list_init(&c->link);
	if (d->known) {
		list_append(&d->changes, &c->link);
		start_change(c);
		return;
	}
	list_append(&d->waiting, &c->link);
	list_when_quiet(d);
}

/* -- sockets -- */

static void
on_socket(void *user, const struct netd_request *q, int r, int fd, const char *why)
{
	struct binding *b = user;

	(void)q;
	b->done(b->user, r < 0 ? r : fd < 0 ? -EBADF : fd, why);
	free(b);
}

static void
netns_bind(void *owner, const struct netdrv_listener *l, serve_bound_fn *done, void *user)
{
	struct netns *d = owner;
	struct binding *b = calloc(1, sizeof(*b));
	struct netd_thing thing = {.port = l->port, .flags = l->udp ? NETD_UDP : 0};

	if (d->closing || !b || netd_id_parse(sv_from(l->topology_id), &thing.topology) < 0 ||
	    netd_id_parse(sv_from(l->decky_uuid), &thing.decky) < 0) {
		free(b);
		done(user, d->closing ? -ECANCELED : -EINVAL, NULL);
		return;
	}
	*b = (struct binding){done, user};
	netd_call(d->netd, NETD_OP_LISTEN, &thing, NULL, on_socket, b);
}

static void
netns_open(struct netdrv *base, const struct netdrv_listener *l, netdrv_done_fn *done, void *user)
{
	serve_open(self(base)->serve, l, done, user);
}

static int
netns_learn(struct netdrv *base, const struct netdrv_listener *l)
{
	return serve_learn(self(base)->serve, l);
}

static void
netns_close(struct netdrv *base, const char *id, netdrv_done_fn *done, void *user)
{
	serve_close(self(base)->serve, id, done, user);
}

/* A pass looks at the kernel, too. */
static void
netns_list(struct netdrv *base, netdrv_list_fn *done, void *user)
{
	struct netns *d = self(base);
	struct lister *l = calloc(1, sizeof(*l));

	if (!l) {
		done(user, -ENOMEM, NULL, 0);
		return;
	}
	*l = (struct lister){.done = done, .user = user};
	list_append(&d->listers, &l->link);
	list_when_quiet(d);
}

static bool
netns_has(const struct netdrv *base, const char *id)
{
	return serve_has(CONTAINER_OF(base, const struct netns, base)->serve, id);
}

static uint16_t
netns_port(const struct netdrv *base, uint16_t service_port)
{
	(void)base;
	return service_port;
}

/* -- topologies that nobody knows -- */

/* A topology that holds something, once; the next one from *at on, or false. */
static bool
next_topology(const struct netns *d, size_t *at, struct netd_id *ret)
{
	const struct things *lans = &d->actual.lans, *deckies = &d->actual.deckies;

	while (*at < lans->n + deckies->n) {
		size_t i = (*at)++;
		bool first = true;

		*ret = i < lans->n ? lans->v[i].topology : deckies->v[i - lans->n].topology;
		for (size_t k = 0; k < i && first; k++)
			first = !netd_id_eq(k < lans->n ? &lans->v[k].topology
							: &deckies->v[k - lans->n].topology,
					    ret);
		if (first)
			return true;
	}
	return false;
}

static void
netns_orphans(struct netdrv *base, netdrv_known_fn *known, void *user)
{
	struct netns *d = self(base);
	struct netd_id orphans[ORPHANS_MAX], one;
	char id[ID_UUID_SIZE];
	size_t at = 0, n = 0;

	while (d->known && n < ORPHANS_MAX && next_topology(d, &at, &one)) {
		netd_id_text(&one, id);
		if (!known(user, id))
			orphans[n++] = one;
	}
	/* Removing changes what was walked through. */
	for (size_t i = 0; i < n; i++) {
		netd_id_text(&orphans[i], id);
		log_event(LV_INFO, "netdrv.orphan", KV_S("topology", id));
		netns_network(base, id, NULL, on_forgotten, d);
	}
}

/* -- the privileged half -- */

static void
on_self(void *user, enum netd_kind kind, const struct netd_thing *t)
{
	struct netns *d = user;

	if (kind != NETD_SELF)
		return;
	d->helper = (int64_t)t->mark;
	d->helper_ms = loop_now_ms(d->loop);
}

static void
on_hello(void *user, const struct netd_request *q, int r, int fd, const char *why)
{
	(void)user;
	(void)q;
	(void)r;
	(void)fd;
	(void)why;
}

static int64_t
netns_helper(struct netdrv *base)
{
	struct netns *d = self(base);

	if (!d->closing)
		netd_call(d->netd, NETD_OP_HELLO, NULL, on_self, on_hello, d);
	return loop_now_ms(d->loop) - d->helper_ms < HELPER_FRESH_MS ? d->helper : 0;
}

/* -- life -- */

static void
on_netd_started(void *user)
{
	struct netns *d = user;

	log_plain(LV_INFO, "netdrv.netd.started");
	d->known = false;
	(void)netns_helper(&d->base);
	/* The list is asked for again. */
	actual_fini(&d->fresh);
	d->on_state(d->user, true);
}

static void
netns_free(struct netdrv *base)
{
	struct netns *d = self(base);

	d->closing = true;
	netd_client_free(d->netd);
	tell_listers(d, -ECANCELED);
	LIST_FOR (at, &d->waiting) {
		struct change *c = CONTAINER_OF(at, struct change, link);

		change_fail(c, -ECANCELED, NULL);
		change_end(c);
	}
	serve_free(d->serve);
	actual_fini(&d->actual);
	actual_fini(&d->fresh);
	free(d);
}

static const struct netdrv_ops ops = {
	.name = "netns",
	.free = netns_free,
	.network = netns_network,
	.helper = netns_helper,
	.orphans = netns_orphans,
	.port = netns_port,
	.open = netns_open,
	.learn = netns_learn,
	.close = netns_close,
	.list = netns_list,
	.has = netns_has,
};

int
netdrv_netns_new(struct loop *l, const int own_control_fds[NETDRV_CHANNELS], int own_netd_fd,
		 netdrv_state_fn *on_state, void *user, struct netdrv **ret_driver, struct err *e)
{
	struct netns *d = calloc(1, sizeof(*d));
	struct serve_source source = {
		.bind = netns_bind, .on_state = on_state, .owner = d, .user = user};
	int r;

	if (!d) {
		netdrv_close_channels(own_control_fds);
		(void)close(own_netd_fd);
		return err_set(e, -ENOMEM, "out of memory");
	}
	d->base.ops = &ops;
	d->loop = l;
	d->on_state = on_state;
	d->user = user;
	list_init(&d->waiting);
	list_init(&d->changes);
	list_init(&d->listers);
	r = serve_new(l, own_control_fds, &source, &d->serve, e);
	if (r == 0)
		r = netd_client_new(l, own_netd_fd, on_netd_started, d, &d->netd, e);
	else
		(void)close(own_netd_fd);
	if (r < 0) {
		serve_free(d->serve);
		free(d);
		return r;
	}
	*ret_driver = &d->base;
	return 0;
}
