/* SPDX-License-Identifier: Apache-2.0 */
/* Requests become links, addresses, routes, settings and sockets. */
#include "netd/fabric.h"

#include <errno.h>
#include <linux/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netd/alias.h"
#include "netd/fabric_detail.h"

#define BACKLOG		 128
/* In a decky's namespace 1 is the loopback. */
#define PEER_INDEX(slot) (2 + (int)(slot))

static int
no_decky(struct err *e)
{
	return err_set(e, -ENOENT, "no such decky");
}

static void
port_name(int index, char dst[IFNAMSIZ])
{
	(void)snprintf(dst, IFNAMSIZ, "p%d", index);
}

/* The entry of a request's decky, of this topology. */
static struct table_entry *
decky_of(struct fabric *f, const struct netd_thing *t)
{
	struct table_entry *decky = table_decky(&f->table, &t->decky);

	return decky && netd_id_eq(&decky->thing.topology, &t->topology) ? decky : NULL;
}

/* The descriptor of a decky's namespace, or a negative errno. */
static int
space_of(struct fabric *f, const struct netd_thing *t, struct err *e)
{
	char name[SPACE_NAME_SIZE];
	int fd;

	space_name(&t->topology, &t->decky, name);
	fd = space_find(&f->space, name);
	return fd < 0 ? err_set(e, fd, "the decky's namespace is gone") : fd;
}

/* -- LANs -- */

static int
lan_add(struct fabric *f, const struct netd_thing *t, struct err *e)
{
	struct table_entry lan = {.kind = NETD_LAN, .thing = *t};
	const struct table_entry *there = table_lan(&f->table, &t->lan);
	char alias[NETD_ALIAS_SIZE], name[IFNAMSIZ];
	int r;

	if (there) {
		bool same = there->thing.ip == t->ip && there->thing.bits == t->bits &&
			    netd_id_eq(&there->thing.topology, &t->topology);

		return same ? 0 : err_set(e, -EEXIST, "the LAN is there with another subnet");
	}
	lan.index = f->next_index++;
	(void)snprintf(name, sizeof(name), "b%d", lan.index);
	netd_alias_put(NETD_LAN, t, alias);
	if (!table_add(&f->table, &lan))
		return err_set(e, -ENOBUFS, "too many networks");
	nl_put_bridge(&f->nl, lan.index, name);
	if (f->uplink.on && t->flags & NETD_DMZ)
		uplink_put_trunk(&f->uplink, &f->nl, lan.index, &f->next_index,
				 &table_lan(&f->table, &t->lan)->trunk);
	nl_put_alias(&f->nl, lan.index, alias);
	r = nl_commit(&f->nl, e);
	if (r < 0)
		fabric_give_up(f, table_lan(&f->table, &t->lan));
	return r;
}

static int
lan_del(struct fabric *f, const struct netd_thing *t, struct err *e)
{
	struct table_entry *lan = table_lan(&f->table, &t->lan);

	if (!lan || !netd_id_eq(&lan->thing.topology, &t->topology))
		return 0;
	for (size_t i = 0; i < f->table.n; i++)
		if (f->table.v[i].kind == NETD_NIC && netd_id_eq(&f->table.v[i].thing.lan, &t->lan))
			return err_set(e, -EBUSY, "there are deckies on the LAN");
	fabric_give_up(f, lan);
	return 1;
}

/* -- deckies -- */

typedef void change_fn(struct netd_thing *nic, const struct netd_thing *t);

static void
set_persona(struct netd_thing *nic, const struct netd_thing *t)
{
	nic->persona = t->persona;
}

static void
set_flags(struct netd_thing *nic, const struct netd_thing *t)
{
	nic->flags = t->flags;
}

static void
set_mark(struct netd_thing *nic, const struct netd_thing *t)
{
	nic->mark = t->mark;
}

/* Change what the links of a decky say of it. */
static int
rewrite_aliases(struct fabric *f, const struct netd_thing *t, change_fn *change, struct err *e)
{
	struct table_entry *nic = NULL;
	char alias[NETD_ALIAS_SIZE];
	int r = 0;

	while (r == 0 && (nic = table_next_nic(&f->table, &t->decky, nic))) {
		change(&nic->thing, t);
		netd_alias_put(NETD_NIC, &nic->thing, alias);
		nl_put_alias(&f->nl, nic->index, alias);
		r = nl_commit(&f->nl, e);
	}
	return r;
}

/* The decky is another kind of system from now on. */
static int
change_persona(struct fabric *f, const struct netd_thing *t, struct err *e)
{
	int r = rewrite_aliases(f, t, set_persona, e);
	const struct table_entry *nic = NULL;

	while (r == 0 && (nic = table_next_nic(&f->table, &t->decky, nic))) {
		look_put_programs(&f->look, &f->nl, nic->index, (enum netd_persona)t->persona);
		r = nl_commit(&f->nl, e);
	}
	return r;
}

static int
decky_add(struct fabric *f, const struct netd_thing *t, struct err *e)
{
	struct table_entry *there = table_decky(&f->table, &t->decky);
	struct table_entry decky = {.kind = NETD_DECKY, .thing = *t};
	char name[SPACE_NAME_SIZE];
	int fd;

	if (there && !decky_of(f, t))
		return err_set(e, -EEXIST, "the decky is in another topology");
	if (there && there->thing.persona == t->persona)
		return 0;
	space_name(&t->topology, &t->decky, name);
	fd = space_make(&f->space, name, (enum netd_persona)t->persona, e);
	if (fd < 0)
		return fd;
	(void)close(fd);
	if (there) {
		there->thing.persona = t->persona;
		return change_persona(f, t, e);
	}
	if (table_add(&f->table, &decky))
		return 0;
	space_drop(&f->space, name);
	return err_set(e, -ENOBUFS, "too many deckies");
}

static int
decky_del(struct fabric *f, const struct netd_thing *t)
{
	struct table_entry *decky = decky_of(f, t), *nic;
	char name[SPACE_NAME_SIZE];

	if (!decky)
		return 0;
	while ((nic = table_next_nic(&f->table, &t->decky, NULL)))
		fabric_give_up(f, nic);
	/* Giving up may have moved it. */
	table_remove(&f->table, table_decky(&f->table, &t->decky));
	space_name(&t->topology, &t->decky, name);
	space_drop(&f->space, name);
	return fabric_silence(f, &t->decky) ? 0 : 1;
}

static int
decky_forward(struct fabric *f, const struct netd_thing *t, struct err *e)
{
	struct table_entry *decky = decky_of(f, t);
	const struct table_entry *nic = NULL;
	bool on = t->flags & NETD_FORWARD;
	char port[IFNAMSIZ];
	int ns, r;

	if (!decky)
		return no_decky(e);
	ns = space_of(f, t, e);
	if (ns < 0)
		return ns;
	decky->thing.flags = t->flags;
	r = rewrite_aliases(f, t, set_flags, e);
	while ((nic = table_next_nic(&f->table, &t->decky, nic))) {
		port_name(nic->index, port);
		fence_put_router(f->fence, port, on);
	}
	if (r == 0)
		r = fence_commit(f->fence, e);
	if (r == 0 && (r = space_enter(ns)) == 0) {
		r = space_set(&f->space, "net/ipv4/ip_forward", on ? "1" : "0", e);
		space_home(&f->space);
	}
	(void)close(ns);
	return r < 0 ? err_set(e, r, "forwarding: %s", strerror(-r)) : 0;
}

static int
decky_mark(struct fabric *f, const struct netd_thing *t, struct err *e)
{
	if (!decky_of(f, t))
		return no_decky(e);
	return rewrite_aliases(f, t, set_mark, e);
}

/* -- interfaces -- */

/* The inner half: the link up, with its address. */
static int
set_inside(struct fabric *f, int ns, const struct netd_thing *t, struct err *e)
{
	int index = PEER_INDEX(t->slot);
	int r = space_enter(ns);

	if (r < 0)
		return err_set(e, r, "namespace: %s", strerror(-r));
	r = nl_open(&f->inner, e);
	if (r == 0) {
		nl_put_inside(&f->inner, index);
		nl_put_address(&f->inner, index, t->ip, t->bits);
		r = nl_commit(&f->inner, e);
		nl_close(&f->inner);
	}
	space_home(&f->space);
	return r;
}

static int
make_nic(struct fabric *f, const struct table_entry *nic, int bridge, int ns, struct err *e)
{
	const struct netd_thing *t = &nic->thing;
	char alias[NETD_ALIAS_SIZE], port[IFNAMSIZ], peer[IFNAMSIZ];
	int r;

	port_name(nic->index, port);
	(void)snprintf(peer, sizeof(peer), "eth%u", t->slot);
	/* The fence stands before there is anything to pass it. */
	fabric_put_nic(f, nic);
	r = fence_commit(f->fence, e);
	if (r == 0)
		r = look_check(&f->look, e);
	if (r < 0)
		return r;
	nl_put_veth(&f->nl, nic->index, port, bridge, PEER_INDEX(t->slot), peer, t->mac, ns);
	look_put_programs(&f->look, &f->nl, nic->index, (enum netd_persona)t->persona);
	r = nl_commit(&f->nl, e);
	if (r == 0)
		r = set_inside(f, ns, t, e);
	if (r < 0)
		return r;
	netd_alias_put(NETD_NIC, t, alias);
	nl_put_port(&f->nl, nic->index, bridge, t->ip, t->mac, alias);
	return nl_commit(&f->nl, e);
}

/* An interface with the same place in the decky has been given up, but still has it. */
static bool
place_is_taken(const struct fabric *f, const struct netd_thing *t)
{
	const struct table_entry *entry = NULL;

	while ((entry = table_next_nic(&f->gone, &t->decky, entry)))
		if (entry->thing.slot == t->slot)
			return true;
	return false;
}

static int
nic_add(struct fabric *f, const struct netd_thing *t, struct err *e)
{
	struct table_entry *there = table_nic(&f->table, &t->decky, &t->lan);
	const struct table_entry *lan = table_lan(&f->table, &t->lan), *decky = decky_of(f, t);
	struct table_entry nic = {.kind = NETD_NIC, .thing = *t};
	int bridge, ns, r;

	if (!decky)
		return no_decky(e);
	if (!lan || !netd_id_eq(&lan->thing.topology, &t->topology))
		return err_set(e, -ENOENT, "no such LAN");
	if (t->bits != lan->thing.bits || (t->ip & netd_mask(t->bits)) != lan->thing.ip)
		return err_set(e, -EINVAL, "the address is not of the LAN's subnet");
	if (there)
		return there->thing.ip == t->ip && there->thing.slot == t->slot &&
				       memcmp(there->thing.mac, t->mac, 6) == 0
			       ? 1
			       : err_set(e, -EEXIST, "the interface is there and differs");
	if (place_is_taken(f, t))
		fabric_flush(f);
	nic.thing.flags = decky->thing.flags;
	nic.thing.persona = decky->thing.persona;
	nic.index = f->next_index++;
	bridge = lan->index;
	ns = space_of(f, t, e);
	if (ns < 0)
		return ns;
	if (!table_add(&f->table, &nic)) {
		(void)close(ns);
		return err_set(e, -ENOBUFS, "too many interfaces");
	}
	r = make_nic(f, &nic, bridge, ns, e);
	(void)close(ns);
	if (r < 0)
		fabric_give_up(f, table_nic(&f->table, &t->decky, &t->lan));
	return r < 0 ? r : 1;
}

static int
nic_del(struct fabric *f, const struct netd_thing *t)
{
	struct table_entry *nic = table_nic(&f->table, &t->decky, &t->lan);

	if (!nic || !netd_id_eq(&nic->thing.topology, &t->topology))
		return 0;
	fabric_give_up(f, nic);
	return fabric_silence(f, &t->decky) ? 0 : 1;
}

/* A link that has no carrier yet loses the first packet, and whoever sent it waits a second: so an
 * interface is there when the kernel has brought up both of its ends. Then it says so. */
static int
nic_settled(struct fabric *f, const struct netd_thing *t)
{
	const struct table_entry *nic = table_nic(&f->table, &t->decky, &t->lan);
	int state, ns, r;

	if (!nic)
		return -ENOENT;
	state = nl_operstate(&f->nl, nic->index);
	if (state != FABRIC_OPER_UP)
		return state < 0 ? state : 0;
	ns = space_of(f, t, NULL);
	if (ns < 0)
		return ns;
	r = space_enter(ns);
	(void)close(ns);
	if (r < 0)
		return r;
	r = nl_open(&f->inner, NULL);
	if (r == 0) {
		state = nl_operstate(&f->inner, PEER_INDEX(nic->thing.slot));
		r = state < 0 ? state : state == FABRIC_OPER_UP;
		if (r > 0) {
			nl_put_announce(&f->inner, PEER_INDEX(nic->thing.slot), nic->thing.mac);
			state = nl_commit(&f->inner, NULL);
			r = state < 0 ? state : 1;
		}
		nl_close(&f->inner);
	}
	space_home(&f->space);
	return r;
}

/* -- routes and sockets -- */

static int
routes(struct fabric *f, const struct netd_request *q, struct err *e)
{
	int ns, r;

	if (!decky_of(f, &q->thing))
		return no_decky(e);
	ns = space_of(f, &q->thing, e);
	if (ns < 0)
		return ns;
	r = space_enter(ns);
	(void)close(ns);
	if (r < 0)
		return err_set(e, r, "namespace: %s", strerror(-r));
	r = nl_open(&f->inner, e);
	if (r == 0 && q->op == NETD_OP_ROUTES_CLEAR) {
		r = nl_clear_routes(&f->inner, e);
		nl_close(&f->inner);
	} else if (r == 0) {
		nl_put_route(&f->inner, q->thing.ip, q->thing.bits, q->thing.via);
		r = nl_commit(&f->inner, e);
		nl_close(&f->inner);
	}
	space_home(&f->space);
	return r;
}

/* In the decky's namespace: on all of its addresses, those of later interfaces included. */
static int
bind_here(const struct netd_thing *t)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(t->port)};
	bool udp = t->flags & NETD_UDP;
	int one = 1, r = 0;
	int fd =
		socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	/* Of datagram sockets two could then share a port; an answer comes from where it was asked.
	 */
	if (udp)
		(void)setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one));
	else
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 || (!udp && listen(fd, BACKLOG) < 0))
		r = -errno;
	if (r == 0)
		return fd;
	(void)close(fd);
	return r;
}

static int
decky_listen(struct fabric *f, const struct netd_thing *t, int *ret_fd, struct err *e)
{
	int ns, r;

	if (!decky_of(f, t))
		return no_decky(e);
	ns = space_of(f, t, e);
	if (ns < 0)
		return ns;
	r = space_enter(ns);
	(void)close(ns);
	if (r == 0) {
		r = bind_here(t);
		space_home(&f->space);
	}
	if (r < 0)
		return err_set(e, r, "port %u: %s", t->port, strerror(-r));
	*ret_fd = r;
	return 0;
}

/* -- all of them -- */

static int
carry_out(struct fabric *f, const struct netd_request *q, int *ret_fd, struct err *e)
{
	const struct netd_thing *t = &q->thing;

	switch (q->op) {
	case NETD_OP_LAN_ADD: return lan_add(f, t, e);
	case NETD_OP_LAN_DEL: return lan_del(f, t, e);
	case NETD_OP_DECKY_ADD: return decky_add(f, t, e);
	case NETD_OP_DECKY_DEL: return decky_del(f, t);
	case NETD_OP_NIC_ADD: return nic_add(f, t, e);
	case NETD_OP_NIC_DEL: return nic_del(f, t);
	case NETD_OP_ROUTES_CLEAR:
	case NETD_OP_ROUTE_ADD: return routes(f, q, e);
	case NETD_OP_FORWARD: return decky_forward(f, t, e);
	case NETD_OP_MARK: return decky_mark(f, t, e);
	case NETD_OP_LISTEN: return decky_listen(f, t, ret_fd, e);
	case NETD_OP_HELLO:
	case NETD_OP_LIST:
	case NETD_OP_COUNT: break;
	}
	return err_set(e, -EINVAL, "not an operation on networks");
}

int
fabric_do(struct fabric *f, const struct netd_request *q, int *ret_fd, struct err *e)
{
	int r = carry_out(f, q, ret_fd, e);

	f->doubtful |= r < 0;
	return r;
}

int
fabric_settled(struct fabric *f, const struct netd_request *q)
{
	/* Whatever goes is gone with the next flush. */
	if (q->op != NETD_OP_NIC_ADD)
		return f->gone.n == 0;
	return nic_settled(f, &q->thing);
}
