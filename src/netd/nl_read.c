/* SPDX-License-Identifier: Apache-2.0 */
/* rtnetlink: what the kernel says that there is. */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "netd/nl.h"
#include "netd/nl_detail.h"

#define DUMP_RESTARTS 3

int
nl_collect(const struct nlattr *attr, void *user)
{
	const struct nlattr **table = user;

	if (mnl_attr_get_type(attr) <= NL_ATTRS_MAX)
		table[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

const char *
nl_text_of(const struct nlattr *attr)
{
	return attr ? mnl_attr_get_str(attr) : "";
}

/* Ask for everything of a kind. */
static int
ask_all(struct nl *s, uint16_t type, uint8_t family)
{
	char bytes[64] __attribute__((aligned(8))) = {0};
	struct nlmsghdr *h = mnl_nlmsg_put_header(bytes);
	struct ifinfomsg *m; /* of routes, too; all begin with the family */

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	h->nlmsg_seq = s->seq++;
	m = mnl_nlmsg_put_extra_header(h, type == RTM_GETNEIGH ? sizeof(struct ndmsg)
							       : sizeof(struct ifinfomsg));
	m->ifi_family = family;
	/* The counters of a link are longer than all that is of interest. */
	if (type == RTM_GETLINK)
		mnl_attr_put_u32(h, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	return send(s->fd, h, h->nlmsg_len, 0) < 0 ? -errno : 0;
}

/* One piece of the answer: 1, or 0 when it was the last one. */
static int
read_some(struct nl *s, nl_message_fn *fn, void *user, bool *ret_again)
{
	char bytes[NL_ANSWER_BYTES] A_UNINIT __attribute__((aligned(8)));
	ssize_t got;
	int n;

	do
		got = recv(s->fd, bytes, sizeof(bytes), 0);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	n = (int)got;
	for (struct nlmsghdr *h = (struct nlmsghdr *)(void *)bytes; mnl_nlmsg_ok(h, n);
	     h = mnl_nlmsg_next(h, &n)) {
		if (h->nlmsg_flags & NLM_F_DUMP_INTR)
			*ret_again = true;
		if (h->nlmsg_type == NLMSG_DONE)
			return 0;
		if (h->nlmsg_type == NLMSG_ERROR)
			return ((struct nlmsgerr *)mnl_nlmsg_get_payload(h))->error;
		fn(user, h);
	}
	return 1;
}

int
nl_dump(struct nl *s, uint16_t type, uint8_t family, nl_message_fn *fn, void *user, bool *ret_again)
{
	int r = ask_all(s, type, family);

	*ret_again = false;
	if (r == 0)
		r = 1;
	while (r > 0)
		r = read_some(s, fn, user, ret_again);
	return r;
}

struct link_walk {
	nl_link_fn *fn;
	void *user;
};

static struct nl_link
read_link(const struct nlmsghdr *h)
{
	const struct ifinfomsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *attrs[NL_ATTRS_MAX + 1] = {NULL};

	(void)mnl_attr_parse(h, sizeof(*m), nl_collect, attrs);
	return (struct nl_link){
		.index = m->ifi_index,
		.name = nl_text_of(attrs[IFLA_IFNAME]),
		.alias = nl_text_of(attrs[IFLA_IFALIAS]),
		.operstate = attrs[IFLA_OPERSTATE] ? mnl_attr_get_u8(attrs[IFLA_OPERSTATE]) : 0,
	};
}

static void
on_link(void *user, const struct nlmsghdr *h)
{
	const struct link_walk *walk = user;
	struct nl_link link;

	if (h->nlmsg_type != RTM_NEWLINK)
		return;
	link = read_link(h);
	walk->fn(walk->user, &link);
}

int
nl_links(struct nl *s, nl_link_fn *fn, void *user, struct err *e)
{
	struct link_walk walk = {fn, user};
	bool again = true;
	int r = 0;

	/* A link may be told twice then; the callers bear it. */
	for (unsigned i = 0; r == 0 && again && i < DUMP_RESTARTS; i++)
		r = nl_dump(s, RTM_GETLINK, AF_UNSPEC, on_link, &walk, &again);
	return r < 0 ? err_set(e, r, "list of links: %s", strerror(-r)) : 0;
}

int
nl_links_begin(struct nl *s)
{
	return ask_all(s, RTM_GETLINK, AF_UNSPEC);
}

int
nl_links_more(struct nl *s, nl_link_fn *fn, void *user)
{
	struct link_walk walk = {fn, user};
	bool again;

	return read_some(s, on_link, &walk, &again);
}

/* -- programs -- */

/* Each is asked for by its place: a dump would tell those of one link only. As many at a time as
 * the socket holds the answers of. */
#define ASK_LINKS 16
#define HOOKS	  2

/* Marks links of a batch; how many of its questions, counted from `first`, the bytes answer. */
static unsigned
read_programs(char *bytes, int size, uint32_t first, struct nl_hooked *links, unsigned n)
{
	unsigned answers = 0;

	for (struct nlmsghdr *h = (struct nlmsghdr *)(void *)bytes; mnl_nlmsg_ok(h, size);
	     h = mnl_nlmsg_next(h, &size)) {
		const struct nlmsgerr *failed = mnl_nlmsg_get_payload(h);
		uint32_t which = h->nlmsg_seq - first;

		if (which >= n * HOOKS)
			continue;
		answers++;
		/* Without the filter; without a place for filters. */
		if (h->nlmsg_type == NLMSG_ERROR &&
		    (failed->error == -ENOENT || failed->error == -EINVAL))
			links[which / HOOKS].bare = true;
	}
	return answers;
}

static int
ask_programs(struct nl *s, struct nl_hooked *links, unsigned n)
{
	struct {
		struct nlmsghdr h;
		struct tcmsg m;
	} ask[ASK_LINKS * HOOKS] = {0};
	char bytes[NL_ANSWER_BYTES] A_UNINIT __attribute__((aligned(8)));
	uint32_t first = s->seq;
	unsigned left = n * HOOKS;

	for (unsigned i = 0; i < left; i++) {
		ask[i].h = (struct nlmsghdr){sizeof(ask[i]), RTM_GETTFILTER, NLM_F_REQUEST,
					     s->seq++, 0};
		ask[i].m = nl_program_place(links[i / HOOKS].index,
					    i % HOOKS ? NL_HOOK_OUT : NL_HOOK_IN);
	}
	if (send(s->fd, ask, left * sizeof(ask[0]), 0) < 0)
		return -errno;
	while (left > 0) {
		ssize_t got = recv(s->fd, bytes, sizeof(bytes), 0);

		if (got < 0 && errno != EINTR)
			return -errno;
		if (got > 0)
			left -= read_programs(bytes, (int)got, first, links, n);
	}
	return 0;
}

int
nl_find_bare(struct nl *s, struct nl_hooked *links, size_t n, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < n; i++)
		links[i].bare = false;
	for (size_t at = 0; r == 0 && at < n; at += ASK_LINKS)
		r = ask_programs(s, links + at,
				 n - at < ASK_LINKS ? (unsigned)(n - at) : ASK_LINKS);
	return r < 0 ? err_set(e, r, "programs at links: %s", strerror(-r)) : 0;
}

/* -- others -- */

static void
on_neighbour(void *user, const struct nlmsghdr *h)
{
	const struct ndmsg *m = mnl_nlmsg_get_payload(h);
	int *n = user;

	*n += h->nlmsg_type == RTM_NEWNEIGH && m->ndm_state & NUD_PERMANENT;
}

int
nl_addresses(struct nl *s)
{
	bool again;
	int n = 0, r = nl_dump(s, RTM_GETNEIGH, AF_INET, on_neighbour, &n, &again);

	return r < 0 ? r : n;
}

int
nl_link(struct nl *s, int index, nl_link_fn *fn, void *user)
{
	char bytes[NL_ANSWER_BYTES] A_UNINIT __attribute__((aligned(8)));
	struct nlmsghdr *h = mnl_nlmsg_put_header(bytes);
	struct ifinfomsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	struct nl_link link;
	ssize_t n;

	h->nlmsg_type = RTM_GETLINK;
	h->nlmsg_flags = NLM_F_REQUEST;
	h->nlmsg_seq = s->seq++;
	m->ifi_index = index;
	mnl_attr_put_u32(h, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	n = send(s->fd, h, h->nlmsg_len, 0);
	if (n >= 0)
		n = recv(s->fd, bytes, sizeof(bytes), 0);
	if (n < 0)
		return -errno;
	if (h->nlmsg_type == NLMSG_ERROR)
		return ((const struct nlmsgerr *)mnl_nlmsg_get_payload(h))->error;
	if (h->nlmsg_type != RTM_NEWLINK)
		return -EBADMSG;
	link = read_link(h);
	fn(user, &link);
	return 0;
}

static void
on_operstate(void *user, const struct nl_link *link)
{
	*(unsigned *)user = link->operstate;
}

int
nl_operstate(struct nl *s, int index)
{
	unsigned state = 0;
	int r = nl_link(s, index, on_operstate, &state);

	return r < 0 ? r : (int)state;
}
