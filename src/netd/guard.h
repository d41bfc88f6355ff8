/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETD_GUARD_H
#define NETD_GUARD_H

/* What decnet-netd keeps of its privileges, and what it gives up for good. */

#include <stdbool.h>

#include "util/attr.h"
#include "util/err.h"

/* Whether this process has what netd needs: CAP_NET_ADMIN and CAP_SYS_ADMIN, of the machine or of
 * a user namespace. */
bool guard_privileged(void);
/* Keep three capabilities, no new privileges, no core dumps, not traceable. 0 or a negative errno.
 */
int guard_capabilities(struct err *e) A_NODISCARD;
/*
 * From here on: no program can be started, no connection made, no process or thread; sockets only
 * of netlink and IPv4, mounts only binds, namespaces only of networks. Any other system call ends
 * the process. Where Landlock knows networks, it forbids connections a second time (its rules on
 * files would forbid mounts). 0 or a negative errno.
 */
int guard_seal(struct err *e) A_NODISCARD;

#endif
