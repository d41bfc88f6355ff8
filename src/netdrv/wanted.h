/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETDRV_WANTED_H
#define NETDRV_WANTED_H

/*
 * What a topology means for the network, as the things that decnet-netd makes: LANs, deckies with
 * the persona of their archetype, interfaces with a hardware address of its vendor, routes. And the
 * requests that lead there from what there is. Pure.
 *
 * Routes: everybody's default route leads towards the DMZ, through the nearest decky that forwards;
 * in the DMZ to the first address of its subnet, where a real router would be. Whoever forwards, is
 * on several LANs, or is in the DMZ also knows the way to every LAN that is reached otherwise.
 */

#include <stddef.h>

#include "netd/request.h"
#include "topology/model.h"
#include "util/attr.h"
#include "util/chain.h"

/* Found by their ids with a look or two, however many they are; ids must not be changed where they
 * stand. */
struct things {
	struct netd_thing *v;
	size_t n, cap;
	struct chain by_ids, by_decky;
};

struct wanted {
	struct netd_id topology;
	struct things lans, deckies, nics, routes; /* routes: decky, ip/bits, via */
};

/* Copy at the end. 0 or -ENOMEM. */
int things_add(struct things *t, const struct netd_thing *thing) A_NODISCARD;
void things_fini(struct things *t);
/* The thing of exactly these ids, where NULL is none; NULL. */
struct netd_thing *things_find(const struct things *t, const struct netd_id *decky,
			       const struct netd_id *lan);
/* The thing of a decky that comes after `before`, or the first (NULL); NULL. As long as none was
 * removed, the last added comes first. */
struct netd_thing *things_next(const struct things *t, const struct netd_id *decky,
			       const struct netd_thing *before);
/* The last one takes its place. NULL: nothing. */
void things_remove(struct things *t, struct netd_thing *thing);

/* What the topology of that id wants; t NULL: nothing. A decky without a LAN is on no network. 0,
 * -EBADMSG (its rows do not make sense), -ENOMEM; in each case wanted_fini. */
int wanted_from(const char *topology_id, const struct topo *t, struct wanted *ret) A_NODISCARD;
void wanted_fini(struct wanted *w);

/* What there is, of any topologies, as decnet-netd lists it. */
struct actual {
	struct things lans, deckies, nics;
};

void actual_fini(struct actual *a);
/* A request was carried out. 0 or -ENOMEM. */
int actual_apply(struct actual *a, const struct netd_request *q) A_NODISCARD;
/* One line of a list. 0 or -ENOMEM. */
int actual_add(struct actual *a, enum netd_kind kind, const struct netd_thing *t) A_NODISCARD;

struct requests {
	struct netd_request *v;
	size_t n, cap;
};

/* From what there is of its topology to what it wants; in this order, without numbers. 0 or
 * -ENOMEM; requests_fini in each case. */
int wanted_requests(const struct actual *a, const struct wanted *w,
		    struct requests *ret) A_NODISCARD;
void requests_fini(struct requests *r);

#endif
