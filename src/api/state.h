/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_STATE_H
#define API_STATE_H

/*
 * What the whole API process shares. Members are set before the server starts and then belong to
 * the loop; what store threads may touch says so.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/api.h"
#include "api/limiter.h"
#include "api/metrics.h"
#include "api/ticket.h"
#include "api/token_cache.h"
#include "bus/client.h"
#include "store/worker.h"
#include "util/conf.h"
#include "util/list.h"
#include "util/loop.h"
#include "util/pool.h"

struct call;
struct http_server;

/* The streams, as the server sees them (api/streams.c). All run on the loop. */
struct api_stream_ops {
	/*
	 * A request for a STREAM row: call->match has the row and its parameters, call->req the
	 * query. Nothing is authenticated yet. The callee owns the call and ends it with
	 * api_server_answer or api_server_stream.
	 */
	void (*open)(void *user, struct call *own_call);
	/* The journal has grown, or a hint says so. */
	void (*poke)(void *user);
	/* Somebody's access ended: look at every open stream again. */
	void (*access_changed)(void *user);
	/* The process ends: every viewer gets its `bye` and is closed. */
	void (*stop)(void *user);
	/* Append the lines of decnet_sse_* and of the limits of streams
	 * (`decnet_limit_hits_total{limit="ring"} 3`). 0 or a negative errno. */
	int (*metrics)(void *user, struct buf *b);
};

/* A heartbeat that came over the bus. */
struct heard {
	char name[32];
	uint64_t at_ms;
	char extra[4096]; /* JSON object text */
};

#define STATE_HEARD_MAX 16

struct api_state {
	const struct conf *conf;      /* any thread */
	struct sv secret;	      /* any thread */
	struct limiter *limiter;      /* any thread */
	struct ticket_table *tickets; /* any thread */
	struct token_cache *tokens;   /* any thread */
	atomic_bool bus_connected;    /* any thread */
	bool bus_null;		      /* any thread */
	pid_t supervisor;	      /* any thread: our parent, when it is one; else 0 */
	uint64_t started_ms;	      /* any thread */
	char *openapi, *docs;	      /* any thread */

	struct loop *loop;
	struct pool *pool;	/* store threads; their state is a struct db */
	struct pool *hash_pool; /* likewise, for calls that hash a password */
	struct bus_client *bus;
	struct http_server *server;
	const struct api_stream_ops *streams;
	void *streams_user;
	struct metrics metrics;
	unsigned calls;	    /* requests that are being worked on */
	struct list parked; /* those of them that wait (api_again) */
	bool stopping;

	pthread_mutex_t heard_lock;
	struct heard heard[STATE_HEARD_MAX]; /* under heard_lock */
	char *secret_text;
};

/*
 * Fill in what depends on the settings alone: the JWT secret (made and kept 0600 in the state
 * directory when it is not set), limiter, tickets, documents. 0; -EINVAL with the variable's name
 * when a setting cannot be used; another negative errno.
 */
int api_state_init(struct api_state *s, const struct conf *conf, struct err *e) A_NODISCARD;
void api_state_fini(struct api_state *s);

/* Any thread: count an attempt; when it is one too many *res is the 429 and true is returned. */
bool api_limited(struct api_state *s, enum limiter_rule rule, struct sv key, struct api_res *res);
/* A heartbeat came over the bus. */
void api_heard(struct api_state *s, struct sv worker, uint64_t now_ms, const char *extra);
/* Any thread: the last heartbeat heard from a worker. False: none. */
bool api_heard_of(struct api_state *s, const char *worker, struct heard *ret);

/* The first admin (contract 2.2); `db` is a connection of the caller. 0 or a negative errno;
 * -EINVAL when DECNET_ADMIN_PASSWORD cannot be used. */
int api_first_admin(struct db *db, const struct conf *conf, struct err *e) A_NODISCARD;

#endif
