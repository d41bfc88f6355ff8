/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UTIL_FDPASS_H
#define UTIL_FDPASS_H

/* One message with descriptors over a UNIX SOCK_SEQPACKET socket, and the descriptors a parent left
 * us by number. */

#include <stddef.h>
#include <sys/types.h>

#include "util/attr.h"

#define FDPASS_MAX 16

/* Send `n` bytes and `nfds` (<= FDPASS_MAX) descriptors; they stay open here. 0, -EAGAIN, or
 * another negative errno. */
int fdpass_send(int sock, const void *data, size_t n, const int *fds, unsigned nfds) A_NODISCARD;
/*
 * Receive one message; the descriptors are O_CLOEXEC and the caller's. Bytes received (0: the peer
 * is gone), -EAGAIN, -EMSGSIZE (message or descriptors did not fit; all are closed), or another
 * negative errno.
 */
ssize_t fdpass_recv(int sock, void *data, size_t max, int *ret_fds, unsigned max_fds,
		    unsigned *ret_nfds) A_NODISCARD;
/*
 * The descriptor whose number the environment variable `name` holds (set by the supervisor), made
 * O_CLOEXEC|O_NONBLOCK. -ENOENT when the variable is not set, -EBADF when it is not an open
 * descriptor.
 */
int fdpass_inherited(const char *name) A_NODISCARD;
/* Tell the supervisor that this process serves: one line on the descriptor named by
 * DECNET_READY_FD; without it nothing. */
void fdpass_ready(void);
/* The same on a descriptor that fdpass_inherited gave (it is closed); negative ones do nothing. For
 * a process that may not do more than write any more. */
void fdpass_ready_on(int own_fd);

#endif
