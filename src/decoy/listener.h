/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECOY_LISTENER_H
#define DECOY_LISTENER_H

/* One listening socket of a decky, with everything its sessions need to know of the place. */

#include <stdbool.h>
#include <stdint.h>

#include "decoy/control.h"
#include "decoy/service.h"
#include "util/attr.h"
#include "util/list.h"
#include "util/loop.h"

struct listener {
	struct list link;     /* in a bucket of the engine */
	struct list sessions; /* struct session.by_listener */
	unsigned refs;	      /* the engine and each session */
	void *owner;
	int fd; /* -1 once closed */
	struct loop_io io;
	struct loop_timer retry; /* when descriptors ran out */
	uint64_t limit_told_ms;
	uint64_t lost; /* captures that could not be kept */
	const struct decoy_service *service;
	struct control place; /* the request that opened it; its config object is kept */
	struct decoy_host host;
	void *config;
};

/* Takes the request's contents (also on failure) and, on success, the descriptor. 0, -ENOENT (no
 * such service), -EINVAL (config), -ENOMEM. */
int listener_new(struct control *own_request, int fd, struct listener **ret,
		 struct err *e) A_NODISCARD;
/* Stop listening; the socket is closed here. */
void listener_close(struct listener *l);
struct listener *listener_ref(struct listener *l);
void listener_unref(struct listener *l);

#endif
