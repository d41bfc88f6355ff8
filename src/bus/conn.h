/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUS_CONN_H
#define BUS_CONN_H

/* One socket on the broker: reads into the parser, writes what the client's queue holds, keeps the
 * deadlines. */

#include <stdbool.h>

#include "bus/broker.h"
#include "util/attr.h"
#include "util/list.h"
#include "util/loop.h"

struct bus_conn;

/* What all connections of a broker share; owned by the server. */
struct bus_conn_ctx {
	struct loop *loop;
	struct bus_broker *broker;
	char *scratch; /* BUS_CONN_SCRATCH bytes that are read into */
	struct list conns;
	struct list dirty; /* have something to write at the end of this turn */
	struct loop_timer flush;
	struct loop_timer report;
};

#define BUS_CONN_SCRATCH    196608
#define BUS_CONN_CONNECT_MS 5000
#define BUS_CONN_PING_MS    30000
#define BUS_CONN_PINGS_MAX  2

extern const struct bus_broker_ops bus_conn_ops;

/*
 * Serve own_fd (non-blocking, closed also on failure) as a client that may have the `granted` roles
 * and must give `token` (NULL: none). 0, or a negative errno; -EUSERS: the client was told so.
 */
int bus_conn_open(struct bus_conn_ctx *ctx, int own_fd, unsigned granted,
		  const char *token) A_NODISCARD;
/* Write what can be written, and close every connection; for the end of the broker, outside of
 * callbacks. */
void bus_conn_close_all(struct bus_conn_ctx *ctx);

#endif
