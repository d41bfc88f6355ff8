/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_STATE_H
#define API_STATE_H

/*
 * What the whole API process shares. Members are set before the workers start (api/worker.h); after
 * that any thread may use them, each with its own lock, but those of the main thread.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/api.h"
#include "api/limiter.h"
#include "api/ticket.h"
#include "api/token_cache.h"
#include "bus/client.h"
#include "store/worker.h"
#include "util/conf.h"
#include "util/inbox.h"
#include "util/loop.h"
#include "util/pool.h"

struct api_worker;
struct peers;
struct slots;

/* A heartbeat that came over the bus. */
struct heard {
	char name[32];
	uint64_t at_ms;
	char extra[4096]; /* JSON object text */
};

#define STATE_HEARD_MAX	  16
#define STATE_WORKERS_MAX 64

struct api_state {
	const struct conf *conf;
	struct sv secret;
	struct limiter limiter;
	struct peers *peers;
	struct ticket_table *tickets;
	struct token_cache *tokens;
	struct slots *slots;	   /* of users who watch */
	atomic_bool bus_connected; /* written by the main thread */
	bool bus_null;
	pid_t supervisor; /* our parent, when it is one; else 0 */
	uint64_t started_ms;
	char *openapi, *docs;
	struct pool *pool;	/* store threads; their state is a struct db */
	struct pool *hash_pool; /* likewise, for calls that hash a password */
	struct inbox *inbox;	/* the main thread's */
	struct api_worker *workers[STATE_WORKERS_MAX];
	unsigned nworkers;
	atomic_uint connections; /* of all workers */
	atomic_uint relay_notes; /* on the way to the main thread */
	atomic_ullong relay_rejected, relay_dropped;

	/* The main thread's. */
	struct loop *loop;
	struct bus_client *bus;
	unsigned pages;	    /* of metrics that are being made */
	unsigned undrained; /* workers that have not stopped yet */
	void (*drained)(void *user);
	void *drained_user;

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

/* Store thread, outside a transaction: count an attempt. 0; 1 when it is one too many and *res is
 * the 429; or a store failure. */
int api_limited(struct api_state *s, struct db *db, enum limiter_rule rule, struct sv key,
		struct api_res *res, struct err *e) A_NODISCARD;
/* A heartbeat came over the bus. */
void api_heard(struct api_state *s, struct sv worker, uint64_t now_ms, const char *extra);
/* Any thread: the last heartbeat heard from a worker. False: none. */
bool api_heard_of(struct api_state *s, const char *worker, struct heard *ret);

/* The first admin (contract 2.2); `db` is a connection of the caller. 0 or a negative errno;
 * -EINVAL when DECNET_ADMIN_PASSWORD cannot be used. */
int api_first_admin(struct db *db, const struct conf *conf, struct err *e) A_NODISCARD;

#endif
