/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_CONN_H
#define HTTP_CONN_H

/* The server's state and a connection: its socket, its one timer, its end. Between the files of
 * this folder only. */

#include "http/h1.h"
#include "http/server.h"
#include "http/sock.h"
#include "util/list.h"

/* From the first byte of a head, or from connecting; not renewed by a trickle. */
#define HTTP_HEAD_MS	   10000
/* For a body, and for a peer to take some more of an answer. */
#define HTTP_BODY_MS	   30000
/* Between requests. */
#define HTTP_IDLE_MS	   60000
/* A reader that stops hides what it does not read in the kernel's buffer: keep that small. */
#define HTTP_STREAM_SNDBUF 32768

struct http_h2;

struct http_server {
	struct loop *loop;
	struct loop_io io;
	struct loop_timer accept_timer;
	int fd;
	uint16_t port;
	struct http_options options;
	struct http_ops ops;
	void *user;
	struct http_counters counters;
	struct list conns;
	bool draining;
	char date[32]; /* of date_s */
	uint64_t date_s;
};

/* A connection more, or one less. False: it is one too many, by either ceiling. */
bool http_server_enter(struct http_server *s);
void http_server_leave(struct http_server *s);

/* The value of a Date header of now. */
const char *http_server_date(struct http_server *s);

struct http_conn {
	struct list link;
	struct http_server *server;
	struct loop_io io;
	struct loop_timer timer;
	struct http_sock sock;
	enum {
		CONN_TLS, /* shaking hands */
		CONN_H1,
		CONN_H2,
		/* What the peer still sends is read and dropped, so that it sees the answer and no
		 * reset. */
		CONN_LINGER,
		CONN_DEAD
	} state;
	uint32_t want; /* events that the protocol waits for */
	char peer[46];
	struct http_h1 h1;
	struct http_h2 *h2; /* NULL without HTTP/2 */
};

/* Takes the descriptor over, also on failure. */
void http_conn_open(struct http_server *s, int own_fd, const char *peer);
/* The socket closes now and the protocol is told. The memory goes at the end of the turn, or when
 * the protocol gives it back. */
void http_conn_close(struct http_conn *c);
/* The protocol no longer needs a closed connection. */
void http_conn_give_back(struct http_conn *c);
/* Nothing is left to write: say so, and close soon. */
void http_conn_linger(struct http_conn *c);
/* Wait for these events. Failure closes. */
void http_conn_watch(struct http_conn *c, uint32_t events);
/* The same, without closing; after bytes were written, because waiting ciphertext needs EPOLLOUT. 0
 * or a negative errno. */
int http_conn_rewatch(struct http_conn *c) A_NODISCARD;
/* The one deadline. Failure closes. */
void http_conn_arm(struct http_conn *c, uint64_t ms);
/* Read and drop; closes at the peer's end. Bytes dropped. */
size_t http_conn_drop_input(struct http_conn *c);
/* Idle ones close now, others after their answer. */
void http_conn_drain(struct list *link);
/* Close now, whatever it is doing. */
void http_conn_kill(struct list *link);

#endif
