/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECOY_FLOW_H
#define DECOY_FLOW_H

/*
 * Datagrams of attackers: what one address and port sends to one listener is a flow, with a session
 * id, a beginning and an end like a connection. Every datagram is one unit of input, every answer
 * one datagram. The only file that reads datagrams of a peer.
 *
 * An address in a datagram proves nothing, so a decoy must not be somebody's amplifier: a flow gets
 * at most LIMIT_DECOY_REPLY_RATIO times the bytes it sent; answers beyond are swallowed and told
 * once as `limit`.
 */

#include <stdbool.h>

#include "decoy/listener.h"
#include "decoy/sender.h"
#include "decoy/session.h"
#include "decoy/visit.h"
#include "util/attr.h"
#include "util/loop.h"

/* A flow that says nothing for so long is over. */
#define FLOW_IDLE_MS  30000
/* At a ceiling a flow that says nothing for so long makes room for a new one. */
#define FLOW_YIELD_MS 5000

struct flows;

/* The limits are those of connections, for flows. 0 or -ENOMEM. */
int flows_new(struct loop *l, const struct session_limits *limits, struct flows **ret) A_NODISCARD;
/* Ends every flow without a word. */
void flows_free(struct flows *all);
void flows_set_sender(struct flows *all, struct sender *sender);
/* Read what has come to a listener, a bounded number of datagrams. At a ceiling of flows the one of
 * that source, decky or all that is silent longest ends, if it is for FLOW_YIELD_MS: an address in
 * a datagram proves nothing, and who makes up many would else keep everybody out. Otherwise the
 * datagram is dropped and told as `limit`, at most once a second for a listener. */
void flows_read(struct flows *all, struct listener *l);
/* End the flows of a listener, or all (NULL). */
void flows_end(struct flows *all, struct listener *l, enum decoy_close why);
unsigned flows_count(const struct flows *all);

#endif
