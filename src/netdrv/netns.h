/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETDRV_NETNS_H
#define NETDRV_NETNS_H

/*
 * The driver of real networks: every decky has a network namespace of its own, with a hardware
 * address, the addresses of its LANs and its services' own ports. What needs privilege is done by
 * decnet-netd; here is what is wanted, what there is, and the difference.
 */

#include "netdrv/driver.h"
#include "util/err.h"
#include "util/loop.h"

/* Takes all channels over; the second control channel may be -1. 0 or a negative errno. */
int netdrv_netns_new(struct loop *l, const int own_control_fds[NETDRV_CHANNELS], int own_netd_fd,
		     netdrv_state_fn *on_state, void *user, struct netdrv **ret_driver,
		     struct err *e) A_NODISCARD;

#endif
