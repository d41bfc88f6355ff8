/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUS_CLIENT_H
#define BUS_CLIENT_H

/*
 * Our side of the bus: publish and subscribe on the loop, nothing blocks. Drivers: unix (embedded
 * broker), nats (an outside cluster, over TCP), null. The connection is opened on first use. A lost
 * one is re-opened with a pause of 2 s and every subscription renewed; publishing meanwhile is a
 * counted no-op.
 */

#include <stdbool.h>
#include <stdint.h>

#include "util/attr.h"
#include "util/conf.h"
#include "util/loop.h"
#include "util/sv.h"

struct bus_client;
struct bus_sub;

typedef void bus_msg_fn(void *user, struct sv subject, struct sv payload);
/* connected: true after every (re-)connect, false after a loss. Never called by the null driver,
 * nor from within a call of this header. */
typedef void bus_state_fn(void *user, bool connected);

/*
 * `role` is `api`, `mutator`, `resolver`, `cli`, …: the CONNECT name is decnet-<role>. The driver
 * is conf->bus_type; conf is borrowed. on_state may be NULL. 0 or a negative errno (-EINVAL:
 * DECNET_BUS_URL is unusable); not being able to connect is no failure.
 */
int bus_client_new(struct loop *l, const struct conf *conf, const char *role,
		   bus_state_fn *on_state, void *user, struct bus_client **ret_client,
		   struct err *e) A_NODISCARD;
/* What was published and is not written yet is tried once more. Also from within its callbacks.
 * NULL is fine. */
void bus_client_free(struct bus_client *c);
bool bus_client_connected(const struct bus_client *c);
/* Whether the driver is the null bus. */
bool bus_client_null(const struct bus_client *c);

/* Renewed at each reconnect; freed by bus_unsubscribe or with the client. 0, -EINVAL (bad pattern
 * or queue), -ENOMEM. */
int bus_subscribe(struct bus_client *c, const char *pattern, const char *queue, bus_msg_fn *fn,
		  void *user, struct bus_sub **ret_sub) A_NODISCARD;
/* Also from within its own function. NULL is fine. */
void bus_unsubscribe(struct bus_sub *s);
/* Never blocks, never fails loudly: at most once. 0, -ENOTCONN (counted), -ENOBUFS (counted),
 * -EINVAL (bad subject), -EMSGSIZE. */
int bus_publish(struct bus_client *c, const char *subject, struct sv payload);
/* bus_event_encode and bus_publish in one; type from the topic. Also -ENOMEM. */
int bus_publish_event(struct bus_client *c, const char *topic, uint64_t ts_ms, int64_t seq,
		      const char *payload_text);

/* The same with the trace that it belongs to (W3C traceparent); NULL: none. */
int bus_publish_traced(struct bus_client *c, const char *topic, uint64_t ts_ms, int64_t seq,
		       const char *payload_text, const char *traceparent);

struct bus_client_stats {
	uint64_t sent, received, not_connected, overflowed, reconnects, refused;
};
void bus_client_stats(const struct bus_client *c, struct bus_client_stats *ret);

#endif
