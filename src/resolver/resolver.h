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

struct resolver;

/*
 * `own_channel` is the resolver's end of the capture channel. Each thread of the pool has a struct
 * db as its state; one thread keeps the order. 0 or a negative errno.
 */
int resolver_new(struct loop *l, const struct conf *conf, struct pool *pool, struct bus_client *bus,
		 int own_channel, struct resolver **ret_resolver, struct err *e) A_NODISCARD;
/* The bus is there (again): say so there. */
void resolver_bus_up(struct resolver *res);
/* Take nothing more in and take the heartbeat back; then free the pool, then the resolver. */
void resolver_stop(struct resolver *res);
void resolver_free(struct resolver *res);

#endif
