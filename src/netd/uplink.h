/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETD_UPLINK_H
#define NETD_UPLINK_H

/*
 * The way from a physical network to the DMZ LANs: a macvlan that takes all of an interface, a
 * bridge around it, and a pair of links from there to each DMZ's bridge. The fence is between: it
 * watches the deckies' ports, and the uplink is none.
 */

#include <stdbool.h>

#include "netd/nl.h"
#include "util/attr.h"
#include "util/err.h"

#define UPLINK_NAME   "uplink"
#define UPLINK_BRIDGE "uplinks"

struct uplink {
	bool on;
	struct nl host; /* in the namespace that the interface is in */
	int lower;	/* its index there */
	char name[16];
	int bridge; /* in the fabric; 0 until it is made */
};

/*
 * `name` NULL: none. In the namespace that the interface is in. 0; -EINVAL when there is no such
 * interface, or when it has addresses: the host would not be reached by them any more; another
 * negative errno.
 */
int uplink_open(struct uplink *u, const char *name, struct err *e) A_NODISCARD;
/* Let the host itself hear nothing of what comes in by the interface, which it otherwise does when
 * that is meant for many; it stays so. In the same namespace. 0 or a negative errno. */
int uplink_deafen(const struct uplink *u, struct err *e) A_NODISCARD;
void uplink_close(struct uplink *u);
/* Bring the interface into the fabric, unless it is there; `fabric` is open there, new links get
 * numbers from *next_index on. 0 or a negative errno. */
int uplink_join(struct uplink *u, struct nl *fabric, int fabric_ns, int *next_index,
		struct err *e) A_NODISCARD;
/* Put what ties the LAN's bridge to the uplink. The first end's index is *ret_trunk. */
void uplink_put_trunk(const struct uplink *u, struct nl *fabric, int lan_index, int *next_index,
		      int *ret_trunk);
/* Whether it is the name of a LAN's end of such a pair; the index of the LAN's bridge. */
bool uplink_is_trunk(const char *name, int *ret_lan_index);

#endif
