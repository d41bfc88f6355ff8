/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETDRV_LOOPBACK_H
#define NETDRV_LOOPBACK_H

/*
 * The driver that needs no privilege: each decky has an address of its own from 127.100.0.1
 * upwards, and each port is raised by an offset. LANs are names only.
 */

#include "netdrv/driver.h"
#include "util/err.h"
#include "util/loop.h"

/* Takes the control channels' descriptors over; the second may be -1. 0 or a negative errno. */
int netdrv_loopback_new(struct loop *l, const int own_control_fds[NETDRV_CHANNELS],
			uint16_t port_offset, netdrv_state_fn *on_state, void *user,
			struct netdrv **ret_driver, struct err *e) A_NODISCARD;

#endif
