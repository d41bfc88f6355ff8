/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECOY_SESSION_H
#define DECOY_SESSION_H

/*
 * Attackers' connections: reads, hands the bytes to the service, sends what it answers after the
 * wait it asks for, and tells the sender what happened. The only file that reads from a peer.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "decoy/listener.h"
#include "decoy/sender.h"
#include "decoy/visit.h"
#include "util/attr.h"
#include "util/loop.h"

struct session_limits {
	unsigned all, per_decky, per_source;
};

struct sessions;

/* The sender is set with sessions_set_sender before the first accept. 0 or -ENOMEM. */
int sessions_new(struct loop *l, const struct session_limits *limits,
		 struct sessions **ret) A_NODISCARD;
/* Ends every session without a word. */
void sessions_free(struct sessions *all);
void sessions_set_sender(struct sessions *all, struct sender *sender);
/* A connection: takes the descriptor over. At a ceiling it is closed at once and told as `limit`,
 * at most once a second for a listener. */
void sessions_accept(struct sessions *all, struct listener *l, int own_fd,
		     const struct sockaddr_storage *peer);
/* End the sessions of a listener, or all (NULL). */
void sessions_end(struct sessions *all, struct listener *l, enum decoy_close why);
/* While held, nothing is read from any peer and nobody is timed out. */
void sessions_hold(struct sessions *all, bool held);
unsigned sessions_count(const struct sessions *all);

#endif
