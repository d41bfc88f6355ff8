/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RESOLVER_RESOLVER_H
#define RESOLVER_RESOLVER_H

/* The resolver on the loop: reads the capture channel, hands batches to the store thread, tells the
 * bus and the decoy what was committed. */

#include "bus/client.h"
#include "util/attr.h"
#include "util/conf.h"
#include "util/err.h"
#include "util/loop.h"
#include "util/pool.h"

/* Capture channels: of the decoys of connections, and of those of datagrams. */
#define RESOLVER_CHANNELS 2

struct resolver;

/*
 * `own_channels` are the resolver's ends of the capture channels, -1 where there is none. Each
 * thread of the pool has a struct db as its state; one thread keeps the order. 0 or a negative
 * errno.
 */
int resolver_new(struct loop *l, const struct conf *conf, struct pool *pool, struct bus_client *bus,
		 const int own_channels[RESOLVER_CHANNELS], struct resolver **ret_resolver,
		 struct err *e) A_NODISCARD;
/* The bus is there (again): say so there. */
void resolver_bus_up(struct resolver *res);
/* Take nothing more in and take the heartbeat back; then free the pool, then the resolver. */
void resolver_stop(struct resolver *res);
void resolver_free(struct resolver *res);

#endif
