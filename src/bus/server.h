/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUS_SERVER_H
#define BUS_SERVER_H

/* The embedded broker: its listeners, who gets which role, its heartbeat. */

#include "util/attr.h"
#include "util/conf.h"
#include "util/err.h"
#include "util/loop.h"

struct bus_server;

/*
 * Listen on conf->bus_socket (and conf->bus_listen). The settings are borrowed and must outlive the
 * server. 0; -EADDRINUSE when a live broker answers on the socket (the text says so); -EINVAL for
 * an unusable setting (the text begins with the variable); or another negative errno.
 */
int bus_server_open(struct loop *l, const struct conf *conf, struct bus_server **ret_server,
		    struct err *e) A_NODISCARD;
/* Close every client and remove the socket if it is still ours. NULL is fine. Not from a callback.
 */
void bus_server_close(struct bus_server *s);

#endif
