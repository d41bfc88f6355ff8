/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_CONN_H
#define HTTP_CONN_H

/* Between server.c and conn.c only: the server's state and a connection's entry points. */

#include "http/server.h"
#include "util/list.h"

struct http_server {
	struct loop *loop;
	struct loop_io io;
	int fd;
	uint16_t port;
	struct http_options options;
	struct http_ops ops;
	void *user;
	struct http_counters counters;
	struct list conns;
	bool draining, closing;
	char date[32]; /* of date_s */
	uint64_t date_s;
};

/* A connection more, or one less. False: it is one too many, by either ceiling. */
bool http_server_enter(struct http_server *s);
void http_server_leave(struct http_server *s);

/* Takes the descriptor over, also on failure. */
void http_conn_open(struct http_server *s, int own_fd, const char *peer);
/* Idle ones close now, others after their answer. */
void http_conn_drain(struct list *link);
/* Close now, whatever it is doing. */
void http_conn_kill(struct list *link);

#endif
