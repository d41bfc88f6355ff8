/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETD_NL_H
#define NETD_NL_H

/*
 * rtnetlink: messages collected into one batch, sent with one call, and their answers. The kernel
 * answers within the call, so nothing here waits. A socket belongs to the network namespace that
 * it was opened in.
 */

#include <stdbool.h>
#include <stdint.h>

#include "netd/request.h"
#include "util/attr.h"
#include "util/err.h"

#define NL_BATCH_BYTES 16384

/* Link groups: all that is ours, and what is to be deleted with the next nl_put_delete_group. */
#define NL_GROUP_LIVE 0x64630001u
#define NL_GROUP_GONE 0x64630002u

struct nl {
	int fd;
	uint32_t seq;
	unsigned count; /* messages of the batch */
	size_t n, last;
	int r; /* the first failure of the batch */
	char why[96];
	char buf[NL_BATCH_BYTES];
};

/* A link as a dump shows it. */
struct nl_link {
	int index;
	const char *name;
	const char *alias; /* "" when it has none */
	unsigned operstate;
};

typedef void nl_link_fn(void *user, const struct nl_link *link);

/* In the namespace that the thread is in. 0 or a negative errno. */
int nl_open(struct nl *s, struct err *e) A_NODISCARD;
void nl_close(struct nl *s);
/* Send what was put. 0, or the first failure with the kernel's text; the other messages of the
 * batch were carried out all the same. */
int nl_commit(struct nl *s, struct err *e) A_NODISCARD;

/* A batch holds a few dozen messages; one that does not fit is told by nl_commit as -EMSGSIZE. */
/* Its hardware address is its own, by its index: when one changes, the kernel forgets all that
 * nl_put_port has told. */
void nl_put_bridge(struct nl *s, int index, const char *name);
/* That address, for one that is older. */
void nl_put_bridge_address(struct nl *s, int index);
/* A veth pair: `name` is a port of `master`; the other end, `peer`, lies in the namespace `ns_fd`.
 * Both stay down: what is hung to a link that is up makes it wait for all processors. */
void nl_put_veth(struct nl *s, int index, const char *name, int master, int peer_index,
		 const char *peer, const uint8_t mac[6], int ns_fd);
/* A pair within the namespace, each end up and a port of its own bridge. */
void nl_put_trunk(struct nl *s, int index, const char *name, int master, int peer_index,
		  const char *peer);
void nl_put_master(struct nl *s, int index, int master);
/* All of what `lower` receives, also for others, as a link of the namespace `ns_fd`; nothing is
 * left for the host itself. */
void nl_put_passthru(struct nl *s, int lower, int index, const char *name, int ns_fd);
void nl_put_alias(struct nl *s, int index, const char *alias);
/*
 * A port of a decky: its bridge answers for it who has its address, and spares it what is meant for
 * everybody. Of a LAN of a thousand each question would else be copied to all of them, which takes
 * milliseconds. That needs to know the address and the port behind it: `bridge` is asked by it. The
 * port is up afterwards, and has that alias, or the one that it had (NULL).
 */
void nl_put_port(struct nl *s, int index, int bridge, uint32_t ip, const uint8_t mac[6],
		 const char *alias);
/* The bridge forgets an address. */
void nl_put_forget(struct nl *s, int bridge, uint32_t ip);
void nl_put_group(struct nl *s, int index, uint32_t group);
void nl_put_delete_group(struct nl *s, uint32_t group);
/* A place for programs at what comes in by a link and at what leaves by it. One that is there stays
 * as it is. */
void nl_put_hooks(struct nl *s, int index);
enum nl_hook { NL_HOOK_IN, NL_HOOK_OUT };
/* Our program there becomes `program_fd`. */
void nl_put_program(struct nl *s, int index, enum nl_hook hook, int program_fd, const char *name);
/* Up, without an IPv6 address. */
void nl_put_up(struct nl *s, int index);
/* The same for a decky's own end, where an address is answered for only on its own LAN, and nobody
 * is told a better way. */
void nl_put_inside(struct nl *s, int index);
void nl_put_address(struct nl *s, int index, uint32_t ip, unsigned bits);
/* A link that nl_put_inside has made tells its neighbours who has its address (gratuitous ARP, RFC
 * 5227, 3): they may remember whoever had it before. `mac` is the one that it has. */
void nl_put_announce(struct nl *s, int index, const uint8_t mac[6]);
/* To ip/bits by way of `via`; replaces the one that is there. */
void nl_put_route(struct nl *s, uint32_t ip, unsigned bits, uint32_t via);

/* Every link of the namespace, without its counters. 0 or a negative errno. */
int nl_links(struct nl *s, nl_link_fn *fn, void *user, struct err *e) A_NODISCARD;
/* A link, and what nl_find_bare finds: whether it lacks one of our programs, or the place for it.
 */
struct nl_hooked {
	int index;
	bool bare;
};
/* A link that is not there (any more) is not bare. 0 or a negative errno. */
int nl_find_bare(struct nl *s, struct nl_hooked *links, size_t n, struct err *e) A_NODISCARD;
/*
 * The links a piece at a time, for a socket that does nothing else meanwhile: begin, then more
 * until it says 0. A piece is some 30 links. What changes between two pieces may be missing, be
 * told as it was, or twice: nl_link tells how it is. 1: there is more; 0; a negative errno.
 */
int nl_links_begin(struct nl *s) A_NODISCARD;
int nl_links_more(struct nl *s, nl_link_fn *fn, void *user) A_NODISCARD;
/* One link. 0, or a negative errno (-ENODEV: there is none). */
int nl_link(struct nl *s, int index, nl_link_fn *fn, void *user) A_NODISCARD;
/* How many addresses nl_put_port has told the bridges of the namespace, or a negative errno. */
int nl_addresses(struct nl *s) A_NODISCARD;
/* IFLA_OPERSTATE of a link, or a negative errno (-ENODEV: there is none). */
int nl_operstate(struct nl *s, int index) A_NODISCARD;
/* Delete all routes that nl_put_route has made in this namespace. 0 or a negative errno. */
int nl_clear_routes(struct nl *s, struct err *e) A_NODISCARD;

#endif
