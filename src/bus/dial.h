/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUS_DIAL_H
#define BUS_DIAL_H

/* Where a client connects to, and how it names itself there. */

#include <stdbool.h>
#include <sys/socket.h>

#include "util/attr.h"
#include "util/err.h"
#include "util/sv.h"

#define BUS_DIAL_MAX 16

/* Addresses of one broker or of a cluster; text of the credentials. */
struct bus_dial {
	struct bus_dial_to {
		struct sockaddr_storage addr;
		socklen_t len;
	} to[BUS_DIAL_MAX];
	unsigned n, next;
	char user[128], password[256], token[256];
};

/* One UNIX socket. 0 or -EINVAL (too long). */
int bus_dial_unix(struct bus_dial *d, const char *path, struct err *e) A_NODISCARD;
/*
 * `nats://[token@|user:password@]host[:port][,…]`; names are looked up now, so at start only; the
 * last credentials count. 0, -EINVAL (malformed), or -EHOSTUNREACH (no name could be looked up).
 */
int bus_dial_url(struct bus_dial *d, const char *url, struct err *e) A_NODISCARD;
/* Start a connection to the next address, non-blocking. The descriptor (*ret_pending: not yet
 * established), or a negative errno. */
int bus_dial_next(struct bus_dial *d, bool *ret_pending) A_NODISCARD;
/* The object text of CONNECT, heap, or NULL without memory. */
char *bus_dial_connect_text(const struct bus_dial *d, const char *name);

#endif
