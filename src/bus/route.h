/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUS_ROUTE_H
#define BUS_ROUTE_H

/* The subscriptions of the broker's clients and how a message finds them. Pure. */

#include <stdbool.h>
#include <stdint.h>

#include "bus/proto.h"
#include "util/attr.h"
#include "util/sv.h"

struct bus_memo_entry;
struct bus_peer;
struct bus_routes;

/* `msg` is a MSG for this client's subscription. */
typedef void bus_route_fn(void *user, struct bus_peer *to, const struct bus_ev *msg);

struct bus_routes *bus_routes_new(uint64_t seed);
void bus_routes_free(struct bus_routes *rt);

/* Whether the client has a subscription of this id. */
bool bus_routes_has(const struct bus_peer *p, struct sv sid);
/* From a SUB whose subject is a valid pattern; an id that is in use keeps what it has. 0 or
 * -ENOMEM. */
int bus_routes_add(struct bus_routes *rt, struct bus_peer *p, const struct bus_ev *ev) A_NODISCARD;
/* At once (max 0), or when `max` messages counted from the SUB have come. An unknown id is no
 * error. */
void bus_routes_unsubscribe(struct bus_routes *rt, struct bus_peer *p, struct sv sid, uint64_t max);
void bus_routes_remove_all(struct bus_routes *rt, struct bus_peer *p);
/* What is known of a subject that came lately (and so is valid), or NULL. Valid until the next call
 * of a function that takes `rt` and is not const. */
const struct bus_memo_entry *bus_routes_known(const struct bus_routes *rt, struct sv subject);
/*
 * Call fn once for each subscription the PUB or HPUB goes to, one of each queue group (by turns,
 * over all patterns that have a group of that name). `from` is NULL for the broker itself; that its
 * role may publish on the subject is remembered. `known` is what bus_routes_known said. fn must not
 * change subscriptions.
 */
void bus_routes_send(struct bus_routes *rt, struct bus_peer *from, const struct bus_ev *pub,
		     const struct bus_memo_entry *known, bus_route_fn *fn, void *user);

#endif
