/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECOY_SENDER_H
#define DECOY_SENDER_H

/*
 * Captures on their way to the resolver: numbered without gaps, kept until they are acknowledged,
 * sent again when a new resolver asks. At LIMIT_CAPTURE_UNACKED_BYTES the owner is told to stop
 * reading from its peers, at half of it to go on; nothing is ever dropped for want of room.
 */

#include <stdbool.h>
#include <stdint.h>

#include "decoy/capture.h"
#include "util/attr.h"
#include "util/err.h"
#include "util/loop.h"

struct sender;

struct sender_ops {
	/* Too much waits for the resolver (true), or no longer (false). */
	void (*hold)(void *user, bool held);
	/* Everything is acknowledged. */
	void (*drained)(void *user);
	/* The other end is closed for good. */
	void (*gone)(void *user);
	/* Sessions open now, for the hello. */
	uint32_t (*connections)(void *user);
	void *user;
};

/* The descriptor is taken over, also on failure. 0 or a negative errno. */
int sender_new(struct loop *l, int own_fd, const struct sender_ops *ops, struct sender **ret,
	       struct err *e) A_NODISCARD;
void sender_free(struct sender *s);
/* Say hello now and every CAPTURE_HELLO_EVERY_MS. 0 or -ENOMEM. */
int sender_start(struct sender *s) A_NODISCARD;
uint64_t sender_source(const struct sender *s);
/* Number and queue a capture; source and number are set in *c. 0, -EMSGSIZE, -ENOMEM. */
int sender_put(struct sender *s, struct capture *c) A_NODISCARD;
/* Captures that are not acknowledged. */
uint64_t sender_waiting(const struct sender *s);
bool sender_held(const struct sender *s);

#endif
