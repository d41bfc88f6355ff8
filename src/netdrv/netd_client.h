/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETDRV_NETD_CLIENT_H
#define NETDRV_NETD_CLIENT_H

/*
 * The driver's end of the channel to decnet-netd (netd/request.h). Every request is idempotent, so
 * what was not answered when decnet-netd ended is asked again when it is back. Requests are
 * answered in any order.
 */

#include <stdint.h>

#include "netd/request.h"
#include "util/attr.h"
#include "util/err.h"
#include "util/loop.h"

/* At the ceiling a call fails with -EBUSY. */
#define NETD_CALLS_MAX	 65536
/* So long nothing at all may be answered while something is asked. */
#define NETD_PATIENCE_MS 15000

struct netd_client;

/*
 * r 0: done, and fd is the listening socket of a LISTEN (the receiver's), else -1. r < 0: failed,
 * with a text. `q` is what was asked.
 */
typedef void netd_done_fn(void *user, const struct netd_request *q, int r, int fd, const char *why);
/* A line of a list. */
typedef void netd_line_fn(void *user, enum netd_kind kind, const struct netd_thing *t);
/* decnet-netd has (re-)started: what it had been told of may have changed. */
typedef void netd_started_fn(void *user);

/* Takes the descriptor over. What lies in the channel for a former life is thrown away. 0 or a
 * negative errno. */
int netd_client_new(struct loop *l, int own_fd, netd_started_fn *on_started, void *user,
		    struct netd_client **ret, struct err *e) A_NODISCARD;
/* What is under way ends with -ECANCELED. */
void netd_client_free(struct netd_client *c);
/* The answer comes later, also when this fails at once. `on_line` is for lists, else NULL. */
void netd_call(struct netd_client *c, enum netd_op op, const struct netd_thing *thing,
	       netd_line_fn *on_line, netd_done_fn *done, void *user);

#endif
