/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETD_SERVER_H
#define NETD_SERVER_H

/* Requests from the channel to the fabric, and the answers back. */

#include "netd/fabric.h"
#include "util/attr.h"
#include "util/err.h"
#include "util/loop.h"

struct server;

/* Takes the channel over; the fabric is borrowed. Says NETD_STARTED. 0 or a negative errno. */
int server_new(struct loop *l, int own_fd, struct fabric *fabric, struct server **ret,
	       struct err *e) A_NODISCARD;
void server_free(struct server *s);

#endif
