/* SPDX-License-Identifier: Apache-2.0 */
/* Joining DMZ LANs to a physical interface. */
#include "netd/uplink.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "netd/fence.h"
#include "netd/setting.h"
#include "util/log.h"

/* Of IPv6 every interface that is up has one of its own link, which nobody has given it. */
static bool
is_given(const struct sockaddr *address)
{
	struct sockaddr_in6 six;

	if (address->sa_family != AF_INET6)
		return address->sa_family == AF_INET;
	memcpy(&six, address, sizeof(six));
	return !IN6_IS_ADDR_LINKLOCAL(&six.sin6_addr);
}

/* Whether the host itself uses the interface. */
static bool
has_address(const char *name)
{
	struct ifaddrs *all = NULL;
	bool found = false;

	if (getifaddrs(&all) < 0)
		return false;
	for (const struct ifaddrs *at = all; at; at = at->ifa_next)
		found |= at->ifa_addr && is_given(at->ifa_addr) && strcmp(at->ifa_name, name) == 0;
	freeifaddrs(all);
	return found;
}

int
uplink_open(struct uplink *u, const char *name, struct err *e)
{
	unsigned index;

	*u = (struct uplink){.host.fd = -1};
	if (!name)
		return 0;
	if (sv_copy(sv_from(name), u->name, sizeof(u->name)) < 0 ||
	    (index = if_nametoindex(name)) == 0)
		return err_set(e, -EINVAL, "DECNET_UPLINK: there is no interface %s", name);
	if (has_address(name))
		return err_set(e, -EINVAL,
			       "DECNET_UPLINK: %s has an address of this host, which could not be "
			       "reached by it any more; give the deckies an interface of their own",
			       name);
	u->lower = (int)index;
	u->on = true;
	return nl_open(&u->host, e);
}

/* A macvlan takes what is meant for one receiver; what is meant for many the interface hands to the
 * host as well. So the host has no IPv6 there, where a router's advertisement would give it an
 * address and a way out through attackers, says nothing of its other addresses, and takes nothing
 * whose answer would go another way, which is everything. */
static const char *const deaf[][3] = {
	{"net/ipv6/conf/", "/disable_ipv6", "1"},
	{"net/ipv4/conf/", "/rp_filter", "1"},
	{"net/ipv4/conf/", "/arp_ignore", "8"},
	{"net/ipv4/conf/", "/accept_redirects", "0"},
};

int
uplink_deafen(const struct uplink *u, struct err *e)
{
	struct settings settings;
	struct err why = {0};
	int r = u->on ? settings_open(&settings, e) : 0;

	if (!u->on || r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(deaf); i++) {
		char key[64];

		(void)snprintf(key, sizeof(key), "%s%s%s", deaf[i][0], u->name, deaf[i][1]);
		r = settings_put(&settings, &(struct setting){key, deaf[i][2]}, 1, e);
	}
	settings_close(&settings);
	/* What the settings let through: a sender without an address, and where the host trusts
	 * every way back, anybody. */
	if (r == 0 && fence_deafen(u->name, &why) < 0)
		log_event(LV_WARN, "netd.uplink.settings_only", KV_S("why", err_text(&why)));
	if (r < 0)
		err_wrap(e, "DECNET_UPLINK");
	return r;
}

void
uplink_close(struct uplink *u)
{
	nl_close(&u->host);
	u->on = false;
}

struct search {
	const char *name;
	int index;
	bool same; /* it is of this interface */
	const char *alias;
};

static void
on_link(void *user, const struct nl_link *link)
{
	struct search *search = user;

	if (strcmp(link->name, search->name) != 0)
		return;
	search->index = link->index;
	search->same = strcmp(link->alias, search->alias) == 0;
}

static int
make_bridge(struct uplink *u, struct nl *fabric, int *next_index, struct err *e)
{
	struct search bridge = {.name = UPLINK_BRIDGE, .alias = ""};
	int r = nl_links(fabric, on_link, &bridge, e);

	if (r < 0)
		return r;
	u->bridge = bridge.index;
	if (u->bridge)
		return 0;
	u->bridge = (*next_index)++;
	nl_put_bridge(fabric, u->bridge, UPLINK_BRIDGE);
	return nl_commit(fabric, e);
}

int
uplink_join(struct uplink *u, struct nl *fabric, int fabric_ns, int *next_index, struct err *e)
{
	struct search there = {.name = UPLINK_NAME, .alias = u->name};
	int index, r;

	if (!u->on)
		return 0;
	r = make_bridge(u, fabric, next_index, e);
	if (r == 0)
		r = nl_links(fabric, on_link, &there, e);
	if (r < 0 || (there.index && there.same))
		return r;
	if (there.index) {
		nl_put_group(fabric, there.index, NL_GROUP_GONE);
		nl_put_delete_group(fabric, NL_GROUP_GONE);
	}
	index = (*next_index)++;
	r = nl_commit(fabric, e);
	if (r == 0) {
		nl_put_passthru(&u->host, u->lower, index, UPLINK_NAME, fabric_ns);
		nl_put_up(&u->host, u->lower);
		r = nl_commit(&u->host, e);
	}
	if (r == 0) {
		nl_put_master(fabric, index, u->bridge);
		nl_put_alias(fabric, index, u->name);
		r = nl_commit(fabric, e);
	}
	if (r < 0)
		err_wrap(e, "DECNET_UPLINK: %s", u->name);
	return r;
}

void
uplink_put_trunk(const struct uplink *u, struct nl *fabric, int lan_index, int *next_index,
		 int *ret_trunk)
{
	char near[IFNAMSIZ], far[IFNAMSIZ];
	int peer;

	*ret_trunk = (*next_index)++;
	peer = (*next_index)++;
	(void)snprintf(near, sizeof(near), "t%d", lan_index);
	(void)snprintf(far, sizeof(far), "u%d", lan_index);
	nl_put_trunk(fabric, *ret_trunk, near, lan_index, peer, far);
	nl_put_master(fabric, peer, u->bridge);
}

bool
uplink_is_trunk(const char *name, int *ret_lan_index)
{
	uint64_t index;

	if (name[0] != 't' || sv_u64(sv_from(name + 1), INT32_MAX, &index) < 0)
		return false;
	*ret_lan_index = (int)index;
	return true;
}
