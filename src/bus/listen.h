/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUS_LISTEN_H
#define BUS_LISTEN_H

/* The listening sockets of the broker (contract 4.1). */

#include <stdbool.h>
#include <sys/types.h>

#include "util/attr.h"
#include "util/err.h"

/*
 * Bind and listen on a UNIX socket, mode 0660, of `group` if that exists. A dead socket in the way
 * is removed. Below the home or runtime directory the parent is made. The descriptor; -EADDRINUSE
 * when a live process listens there; -ENOTSOCK when something else has that name; or another
 * negative errno. *ret_inode identifies the socket for bus_listen_remove.
 */
int bus_listen_unix(const char *path, const char *group, ino_t *ret_inode,
		    struct err *e) A_NODISCARD;
/* Remove the socket if it is still the one we made. */
void bus_listen_remove(const char *path, ino_t inode);
/* Listen on a loopback address, `127.0.0.1:4222` or `[::1]:4222`. The descriptor, -EINVAL (not such
 * a text), or another negative errno. */
int bus_listen_tcp(const char *text, struct err *e) A_NODISCARD;

#endif
