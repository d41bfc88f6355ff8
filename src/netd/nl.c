/* SPDX-License-Identifier: Apache-2.0 */
/* rtnetlink messages and the socket that carries them. */
#include "netd/nl.h"
#include "netd/nl_detail.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE_MAX 1024
/* Marks our routes among those of the kernel (the range for others than the kernel begins at 192).
 */
#define ROUTE_PROTO 213

int
nl_open(struct nl *s, struct err *e)
{
	struct sockaddr_nl any = {.nl_family = AF_NETLINK};
	const int one = 1;

	s->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (s->fd < 0)
		return err_set(e, -errno, "netlink: %m");
	if (bind(s->fd, (struct sockaddr *)&any, sizeof(any)) < 0) {
		int r = err_set(e, -errno, "netlink: %m");

		nl_close(s);
		return r;
	}
	/* Short acknowledgements, with the kernel's reason. */
	(void)setsockopt(s->fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	(void)setsockopt(s->fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	s->seq = 1;
	s->n = s->last = 0;
	s->count = 0;
	s->r = 0;
	return 0;
}

void
nl_close(struct nl *s)
{
	if (s->fd >= 0)
		(void)close(s->fd);
	s->fd = -1;
}

/* -- batches -- */

static struct nlmsghdr *
begin(struct nl *s, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *h;

	if (NL_BATCH_BYTES - s->n < MESSAGE_MAX) {
		s->r = -EMSGSIZE;
		return NULL;
	}
	h = mnl_nlmsg_put_header(s->buf + s->n);
	h->nlmsg_type = type;
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
	h->nlmsg_seq = s->seq++;
	return h;
}

static void
end(struct nl *s, struct nlmsghdr *h)
{
	/* Only the last message is acknowledged; failures always are. */
	if (s->count > 0) {
		struct nlmsghdr *before = (struct nlmsghdr *)(void *)(s->buf + s->last);

		before->nlmsg_flags &= (uint16_t)~NLM_F_ACK;
	}
	s->last = s->n;
	s->n += MNL_ALIGN(h->nlmsg_len);
	s->count++;
}

static struct nlmsghdr *
begin_link(struct nl *s, uint16_t type, uint16_t flags, int index, bool up)
{
	struct nlmsghdr *h = begin(s, type, flags);
	struct ifinfomsg *m;

	if (!h)
		return NULL;
	m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	m->ifi_index = index;
	if (up)
		m->ifi_flags = m->ifi_change = IFF_UP;
	return h;
}

/* The kernel's own words on a failure, from the attributes after the error. */
static void
read_reason(const struct nlmsghdr *h, char *dst, size_t size)
{
	const struct nlattr *attrs[NL_ATTRS_MAX + 1] = {NULL};

	dst[0] = 0;
	if (!(h->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	(void)mnl_attr_parse(h, sizeof(struct nlmsgerr), nl_collect, attrs);
	(void)snprintf(dst, size, "%s", nl_text_of(attrs[NLMSGERR_ATTR_MSG]));
}

/* True with the answer to the last message. */
static bool
read_acks(struct nl *s, char *bytes, int n, uint32_t last)
{
	bool done = false;

	for (struct nlmsghdr *h = (struct nlmsghdr *)(void *)bytes; mnl_nlmsg_ok(h, n);
	     h = mnl_nlmsg_next(h, &n)) {
		const struct nlmsgerr *answer = mnl_nlmsg_get_payload(h);

		if (h->nlmsg_type != NLMSG_ERROR)
			continue;
		if (answer->error && s->r == 0) {
			s->r = answer->error;
			read_reason(h, s->why, sizeof(s->why));
		}
		done |= h->nlmsg_seq == last;
	}
	return done;
}

int
nl_commit(struct nl *s, struct err *e)
{
	char bytes[NL_ANSWER_BYTES] A_UNINIT __attribute__((aligned(8)));
	uint32_t last = s->seq - 1;
	int r = s->r;

	if (r == 0 && s->count > 0) {
		ssize_t n = send(s->fd, s->buf, s->n, 0);

		s->why[0] = 0;
		while (n >= 0) {
			n = recv(s->fd, bytes, sizeof(bytes), 0);
			if (n < 0 && errno == EINTR)
				n = 0;
			else if (n > 0 && read_acks(s, bytes, (int)n, last))
				break;
		}
		r = n < 0 ? -errno : s->r;
	}
	s->n = s->last = 0;
	s->count = 0;
	s->r = 0;
	if (r < 0)
		return err_set(e, r, "%s%s%s", s->why, s->why[0] ? ": " : "", strerror(-r));
	return 0;
}

/* -- links -- */

static void
put_bridge_address(struct nlmsghdr *h, int index)
{
	const uint8_t mac[6] = {2,
				0xdc,
				(uint8_t)(index >> 24),
				(uint8_t)(index >> 16),
				(uint8_t)(index >> 8),
				(uint8_t)index};

	mnl_attr_put(h, IFLA_ADDRESS, sizeof(mac), mac);
}

void
nl_put_bridge_address(struct nl *s, int index)
{
	struct nlmsghdr *h = begin_link(s, RTM_NEWLINK, 0, index, false);

	if (!h)
		return;
	put_bridge_address(h, index);
	end(s, h);
}

void
nl_put_bridge(struct nl *s, int index, const char *name)
{
	struct nlmsghdr *h = begin_link(s, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, index, true);
	struct nlattr *info, *data;

	if (!h)
		return;
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	mnl_attr_put_u32(h, IFLA_GROUP, NL_GROUP_LIVE);
	put_bridge_address(h, index);
	info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "bridge");
	data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	mnl_attr_put_u8(h, IFLA_BR_MCAST_SNOOPING, 0);
	mnl_attr_put_u32(h, IFLA_BR_FORWARD_DELAY, 0);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
	end(s, h);
}

void
nl_put_veth(struct nl *s, int index, const char *name, int master, int peer_index, const char *peer,
	    const uint8_t mac[6], int ns_fd)
{
	struct nlmsghdr *h = begin_link(s, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, index, false);
	struct nlattr *info, *data, *other;
	struct ifinfomsg *m;

	if (!h)
		return;
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	/* The default is a queue for each possible CPU, which costs memory and gains nothing. */
	mnl_attr_put_u32(h, IFLA_NUM_TX_QUEUES, 1);
	mnl_attr_put_u32(h, IFLA_NUM_RX_QUEUES, 1);
	mnl_attr_put_u32(h, IFLA_MASTER, (uint32_t)master);
	mnl_attr_put_u32(h, IFLA_GROUP, NL_GROUP_LIVE);
	info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	other = mnl_attr_nest_start(h, VETH_INFO_PEER);
	/* It cannot be made up at once: the kernel opens it before the pair is tied. */
	m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	m->ifi_index = peer_index;
	mnl_attr_put_strz(h, IFLA_IFNAME, peer);
	mnl_attr_put_u32(h, IFLA_NUM_TX_QUEUES, 1);
	mnl_attr_put_u32(h, IFLA_NUM_RX_QUEUES, 1);
	mnl_attr_put(h, IFLA_ADDRESS, 6, mac);
	mnl_attr_put_u32(h, IFLA_NET_NS_FD, (uint32_t)ns_fd);
	mnl_attr_nest_end(h, other);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
	end(s, h);
}

void
nl_put_trunk(struct nl *s, int index, const char *name, int master, int peer_index,
	     const char *peer)
{
	struct nlmsghdr *h = begin_link(s, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, index, true);
	struct nlattr *info, *data, *other;
	struct ifinfomsg *m;

	if (!h)
		return;
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	mnl_attr_put_u32(h, IFLA_MASTER, (uint32_t)master);
	mnl_attr_put_u32(h, IFLA_GROUP, NL_GROUP_LIVE);
	info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	other = mnl_attr_nest_start(h, VETH_INFO_PEER);
	m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	m->ifi_index = peer_index;
	mnl_attr_put_strz(h, IFLA_IFNAME, peer);
	mnl_attr_nest_end(h, other);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
	end(s, h);
}

void
nl_put_master(struct nl *s, int index, int master)
{
	struct nlmsghdr *h = begin_link(s, RTM_NEWLINK, 0, index, true);

	if (!h)
		return;
	mnl_attr_put_u32(h, IFLA_MASTER, (uint32_t)master);
	end(s, h);
}

void
nl_put_passthru(struct nl *s, int lower, int index, const char *name, int ns_fd)
{
	struct nlmsghdr *h = begin_link(s, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, index, false);
	struct nlattr *info, *data;

	if (!h)
		return;
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	mnl_attr_put_u32(h, IFLA_LINK, (uint32_t)lower);
	mnl_attr_put_u32(h, IFLA_GROUP, NL_GROUP_LIVE);
	mnl_attr_put_u32(h, IFLA_NET_NS_FD, (uint32_t)ns_fd);
	info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "macvlan");
	data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	mnl_attr_put_u32(h, IFLA_MACVLAN_MODE, MACVLAN_MODE_PASSTHRU);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
	end(s, h);
}

void
nl_put_alias(struct nl *s, int index, const char *alias)
{
	struct nlmsghdr *h = begin_link(s, RTM_NEWLINK, 0, index, false);

	if (!h)
		return;
	mnl_attr_put_strz(h, IFLA_IFALIAS, alias);
	end(s, h);
}

/* What a bridge is told of a neighbour: its port, or on the bridge itself its address. */
static struct nlmsghdr *
begin_neighbour(struct nl *s, uint16_t type, uint16_t flags, const struct ndmsg *about)
{
	struct nlmsghdr *h = begin(s, type, flags);

	if (h)
		memcpy(mnl_nlmsg_put_extra_header(h, sizeof(*about)), about, sizeof(*about));
	return h;
}

void
nl_put_port(struct nl *s, int index, int bridge, uint32_t ip, const uint8_t mac[6],
	    const char *alias)
{
	/* Of a bridge NOARP is a static entry, PERMANENT one of the bridge's own. A static one that
	 * is not sticky follows whoever sends with that address. */
	const struct ndmsg place = {.ndm_family = AF_BRIDGE,
				    .ndm_ifindex = index,
				    .ndm_state = NUD_NOARP,
				    .ndm_flags = NTF_MASTER | NTF_STICKY};
	const struct ndmsg address = {
		.ndm_family = AF_INET, .ndm_ifindex = bridge, .ndm_state = NUD_PERMANENT};
	struct nlmsghdr *h = begin_neighbour(s, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &place);
	struct nlattr *info, *data;

	if (!h)
		return;
	mnl_attr_put(h, NDA_LLADDR, 6, mac);
	end(s, h);
	h = begin_neighbour(s, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &address);
	if (!h)
		return;
	mnl_attr_put_u32(h, NDA_DST, htonl(ip));
	mnl_attr_put(h, NDA_LLADDR, 6, mac);
	end(s, h);
	h = begin_link(s, RTM_NEWLINK, 0, index, true);
	if (!h)
		return;
	if (alias)
		mnl_attr_put_strz(h, IFLA_IFALIAS, alias);
	info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_SLAVE_KIND, "bridge");
	data = mnl_attr_nest_start(h, IFLA_INFO_SLAVE_DATA);
	mnl_attr_put_u8(h, IFLA_BRPORT_PROXYARP_WIFI, 1);
	mnl_attr_put_u8(h, IFLA_BRPORT_BCAST_FLOOD, 0);
	mnl_attr_put_u8(h, IFLA_BRPORT_MCAST_FLOOD, 0);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
	end(s, h);
}

void
nl_put_forget(struct nl *s, int bridge, uint32_t ip)
{
	const struct ndmsg about = {.ndm_family = AF_INET, .ndm_ifindex = bridge};
	struct nlmsghdr *h = begin_neighbour(s, RTM_DELNEIGH, 0, &about);

	if (!h)
		return;
	mnl_attr_put_u32(h, NDA_DST, htonl(ip));
	end(s, h);
}

void
nl_put_group(struct nl *s, int index, uint32_t group)
{
	struct nlmsghdr *h = begin_link(s, RTM_NEWLINK, 0, index, false);

	if (!h)
		return;
	mnl_attr_put_u32(h, IFLA_GROUP, group);
	end(s, h);
}

void
nl_put_delete_group(struct nl *s, uint32_t group)
{
	struct nlmsghdr *h = begin_link(s, RTM_DELLINK, 0, 0, false);

	if (!h)
		return;
	mnl_attr_put_u32(h, IFLA_GROUP, group);
	end(s, h);
}

static void
put_up(struct nl *s, int index, bool inside)
{
	static const struct {
		uint16_t what;
		uint32_t value;
	} rules[] = {
		{IPV4_DEVCONF_ARP_IGNORE, 1},	       {IPV4_DEVCONF_ARP_ANNOUNCE, 2},
		{IPV4_DEVCONF_RP_FILTER, 0},	       {IPV4_DEVCONF_ACCEPT_REDIRECTS, 0},
		{IPV4_DEVCONF_SEND_REDIRECTS, 0},      {IPV4_DEVCONF_ARP_NOTIFY, 1},
		{IPV4_DEVCONF_ACCEPT_SOURCE_ROUTE, 0},
	};
	struct nlmsghdr *h = begin_link(s, RTM_NEWLINK, 0, index, true);
	struct nlattr *spec, *inet, *conf;

	if (!h)
		return;
	spec = mnl_attr_nest_start(h, IFLA_AF_SPEC);
	inet = mnl_attr_nest_start(h, AF_INET6);
	mnl_attr_put_u8(h, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(h, inet);
	if (inside) {
		inet = mnl_attr_nest_start(h, AF_INET);
		conf = mnl_attr_nest_start(h, IFLA_INET_CONF);
		for (size_t i = 0; i < ARRAY_LEN(rules); i++)
			mnl_attr_put_u32(h, rules[i].what, rules[i].value);
		mnl_attr_nest_end(h, conf);
		mnl_attr_nest_end(h, inet);
	}
	mnl_attr_nest_end(h, spec);
	end(s, h);
}

void
nl_put_up(struct nl *s, int index)
{
	put_up(s, index, false);
}

void
nl_put_inside(struct nl *s, int index)
{
	put_up(s, index, true);
}

void
nl_put_announce(struct nl *s, int index, const uint8_t mac[6])
{
	struct nlmsghdr *h = begin_link(s, RTM_NEWLINK, 0, index, false);

	if (!h)
		return;
	/* A change of the hardware address is announced, also to the same one. */
	mnl_attr_put(h, IFLA_ADDRESS, 6, mac);
	end(s, h);
}

/* -- programs -- */

/* Ours among the filters of a hook. */
#define FILTER_PRIORITY 1
#define FILTER_HANDLE	1

struct tcmsg
nl_program_place(int index, enum nl_hook hook)
{
	return (struct tcmsg){
		.tcm_family = AF_UNSPEC,
		.tcm_ifindex = index,
		.tcm_parent = TC_H_MAKE(TC_H_CLSACT,
					hook == NL_HOOK_IN ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS),
		.tcm_handle = FILTER_HANDLE,
		.tcm_info = TC_H_MAKE(FILTER_PRIORITY << 16, htons(ETH_P_IP)),
	};
}

static struct nlmsghdr *
begin_traffic(struct nl *s, uint16_t type, struct tcmsg traffic)
{
	struct nlmsghdr *h = begin(s, type, NLM_F_CREATE);
	struct tcmsg *m;

	if (!h)
		return NULL;
	m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	*m = traffic;
	return h;
}

void
nl_put_hooks(struct nl *s, int index)
{
	struct tcmsg traffic = {.tcm_family = AF_UNSPEC,
				.tcm_ifindex = index,
				.tcm_parent = TC_H_CLSACT,
				.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0)};
	struct nlmsghdr *h = begin_traffic(s, RTM_NEWQDISC, traffic);

	if (!h)
		return;
	mnl_attr_put_strz(h, TCA_KIND, "clsact");
	end(s, h);
}

void
nl_put_program(struct nl *s, int index, enum nl_hook hook, int program_fd, const char *name)
{
	struct nlmsghdr *h = begin_traffic(s, RTM_NEWTFILTER, nl_program_place(index, hook));
	struct nlattr *options;

	if (!h)
		return;
	mnl_attr_put_strz(h, TCA_KIND, "bpf");
	options = mnl_attr_nest_start(h, TCA_OPTIONS);
	mnl_attr_put_u32(h, TCA_BPF_FD, (uint32_t)program_fd);
	mnl_attr_put_strz(h, TCA_BPF_NAME, name);
	mnl_attr_put_u32(h, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
	mnl_attr_nest_end(h, options);
	end(s, h);
}

/* -- addresses and routes -- */

void
nl_put_address(struct nl *s, int index, uint32_t ip, unsigned bits)
{
	struct nlmsghdr *h = begin(s, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
	struct ifaddrmsg *m;

	if (!h)
		return;
	m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	m->ifa_family = AF_INET;
	m->ifa_prefixlen = (uint8_t)bits;
	m->ifa_index = (uint32_t)index;
	mnl_attr_put_u32(h, IFA_LOCAL, htonl(ip));
	mnl_attr_put_u32(h, IFA_ADDRESS, htonl(ip));
	mnl_attr_put_u32(h, IFA_BROADCAST, htonl(ip | ~netd_mask(bits)));
	end(s, h);
}

static struct nlmsghdr *
begin_route(struct nl *s, uint16_t type, uint16_t flags, uint32_t ip, unsigned bits)
{
	struct nlmsghdr *h = begin(s, type, flags);
	struct rtmsg *m;

	if (!h)
		return NULL;
	m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	m->rtm_family = AF_INET;
	m->rtm_dst_len = (uint8_t)bits;
	m->rtm_table = RT_TABLE_MAIN;
	m->rtm_protocol = ROUTE_PROTO;
	m->rtm_type = RTN_UNICAST;
	if (bits)
		mnl_attr_put_u32(h, RTA_DST, htonl(ip));
	return h;
}

void
nl_put_route(struct nl *s, uint32_t ip, unsigned bits, uint32_t via)
{
	struct nlmsghdr *h = begin_route(s, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, ip, bits);

	if (!h)
		return;
	mnl_attr_put_u32(h, RTA_GATEWAY, htonl(via));
	end(s, h);
}

/* -- routes that are ours -- */

static void
on_route(void *user, const struct nlmsghdr *h)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *attrs[NL_ATTRS_MAX + 1] = {NULL};
	struct nl *s = user;
	struct nlmsghdr *gone;
	uint32_t ip;

	if (h->nlmsg_type != RTM_NEWROUTE || m->rtm_protocol != ROUTE_PROTO ||
	    m->rtm_table != RT_TABLE_MAIN || NL_BATCH_BYTES - s->n < MESSAGE_MAX)
		return;
	(void)mnl_attr_parse(h, sizeof(*m), nl_collect, attrs);
	ip = attrs[RTA_DST] ? ntohl(mnl_attr_get_u32(attrs[RTA_DST])) : 0;
	gone = begin_route(s, RTM_DELROUTE, 0, ip, m->rtm_dst_len);
	if (gone)
		end(s, gone);
}

int
nl_clear_routes(struct nl *s, struct err *e)
{
	bool again = true;
	int r = 0;

	/* As many at a time as a batch holds, until there are none. */
	while (r == 0) {
		r = nl_dump(s, RTM_GETROUTE, AF_INET, on_route, s, &again);
		if (r < 0)
			return err_set(e, r, "list of routes: %s", strerror(-r));
		if (s->count == 0)
			break;
		r = nl_commit(s, e);
	}
	return r;
}
