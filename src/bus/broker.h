/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUS_BROKER_H
#define BUS_BROKER_H

/*
 * The routing of the embedded broker: clients, subscriptions, queue groups, permissions, pending
 * queues. Pure: whoever owns the sockets feeds it events and writes what the queues hold.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/outq.h"
#include "bus/proto.h"
#include "bus/role.h"
#include "util/attr.h"
#include "util/list.h"
#include "util/sv.h"

struct bus_broker;
struct bus_peer;

struct bus_broker_ops {
	/* There are bytes in this client's queue where there were none; write them when convenient.
	 */
	void (*ready)(struct bus_peer *p);
	/* Its queue is long: write now what can be written, so that only a truly slow client loses
	 * messages. */
	void (*flush)(struct bus_peer *p);
};

/* One client. Readable by the owner of the socket; only the broker writes it. */
struct bus_peer {
	struct bus_broker *broker;
	void *user;
	uint64_t id;
	char name[64];
	enum bus_role role;
	unsigned granted;  /* roles it may have */
	const char *token; /* what auth_token must be; NULL: not needed */
	bool connected;	   /* a CONNECT was accepted */
	bool verbose, echo, headers;
	bool ready; /* ops->ready was called and the queue has not been empty since */
	struct bus_outq out;
	uint64_t messages_in, messages_out, denied;
	uint64_t reported; /* value of out.dropped in the last report */
	struct list subs;
	unsigned nsubs;
	struct list link; /* of the broker */
};

struct bus_broker_stats {
	uint64_t messages_in, messages_out, dropped, denied, refused;
	unsigned clients;
};

/* NULL without memory. `seed` should be random. */
struct bus_broker *bus_broker_new(uint64_t seed, const struct bus_broker_ops *ops);
/* Detaches every client. */
void bus_broker_free(struct bus_broker *b);

/*
 * A new client that may have the `granted` roles and must give `token` (borrowed; NULL: none). INFO
 * is in its queue. 0, -ENOMEM, or -EUSERS at LIMIT_BUS_CLIENTS.
 */
int bus_broker_attach(struct bus_broker *b, void *user, unsigned granted, const char *token,
		      struct bus_peer **ret_peer) A_NODISCARD;
/* Its subscriptions go, its queue too. NULL is fine. */
void bus_broker_detach(struct bus_peer *p);
/*
 * One event of this client. Answers and messages are put into queues. 0, or the code of an error
 * that ends the connection (-ERR is then in the queue), or -ENOMEM (likewise ends it, without a
 * line).
 */
int bus_broker_event(struct bus_peer *p, const struct bus_ev *ev) A_NODISCARD;
/* Put the -ERR of this error into the client's queue. */
void bus_broker_refuse(struct bus_peer *p, enum bus_error err);
/* Put a PING into the client's queue. 0 or -ENOMEM. */
int bus_broker_ping(struct bus_peer *p) A_NODISCARD;
/* Account for bytes of the client's queue that have left. 0 or -ENOMEM (end the connection). */
int bus_broker_sent(struct bus_peer *p, size_t n) A_NODISCARD;

/* A message of the broker itself; the subject is valid. */
void bus_broker_publish(struct bus_broker *b, struct sv subject, struct sv payload);
/*
 * Publish `system.bus.dropped` for each client that has lost messages since the last call. Number
 * of clients reported.
 */
unsigned bus_broker_report(struct bus_broker *b, uint64_t unix_ms);
/* Whether bus_broker_report would have something to say. */
bool bus_broker_lossy(const struct bus_broker *b);
void bus_broker_stats(const struct bus_broker *b, struct bus_broker_stats *ret);
/* The clients, linked by bus_peer.link. */
struct list *bus_broker_peers(struct bus_broker *b);

#endif
