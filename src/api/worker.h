/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_WORKER_H
#define API_WORKER_H

/*
 * A thread that serves: a loop, a listener, connections, streams. Workers share nothing but what
 * api_state grants to any thread, and each has a table of descriptors of its own. They never touch
 * the store or a file: a worker gives its jobs to the store threads, which belong to the main
 * thread's table, and is answered in its inbox.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "api/metrics.h"
#include "api/state.h"
#include "http/server.h"
#include "stream/hub.h"
#include "util/attr.h"
#include "util/err.h"
#include "util/inbox.h"
#include "util/list.h"
#include "util/loop.h"
#include "util/pool.h"

struct call;

/* The streams of a worker, as the server sees them (api/streams.c). All run on its loop. */
struct api_stream_ops {
	/*
	 * A request for a STREAM row: call->match has the row and its parameters, call->req the
	 * query. Nothing is authenticated yet. The callee owns the call and ends it with
	 * api_server_answer or api_server_stream.
	 */
	void (*open)(void *user, struct call *own_call);
	/* The journal has grown, somebody's access has ended, or a hint says so. */
	void (*poke)(void *user);
	/* An event that no journal row stands behind; `payload` is the text of an object. */
	void (*event)(void *user, struct sv topic, uint64_t ts_ms, struct sv payload);
	/* The process ends: every viewer gets its `bye` and is closed. */
	void (*stop)(void *user);
	/* Add what was counted so far. */
	void (*add_stats)(void *user, struct hub_stats *sum);
};

struct api_worker {
	struct api_state *state;
	unsigned no;
	struct inbox *inbox; /* any thread */

	/* Its own thread's. */
	struct loop *loop;
	struct http_server *server;
	struct streams *stream_hub;
	const struct api_stream_ops *streams;
	void *streams_user;
	struct metrics metrics;
	uint64_t ids[2];    /* of the next request: a random half, and a number */
	unsigned calls;	    /* requests that are being worked on */
	struct list parked; /* those of them that wait (api_again) */
	bool stopping;
	struct loop_timer stop_look;
	struct loop_timer call; /* of a store thread, at the end of the turn */
	uint64_t stop_by_ms;

	/* relay.c's. */
	struct inbox_item poke;
	atomic_bool poked;
	atomic_uint events; /* on the way to it */

	/* worker.c's. */
	pthread_t thread;
	struct inbox_item stop, quit, drained;
	int started; /* under the lock of all: 1 serves, < 0 failed */
	struct err err;
};

/* Numbers of all workers. */
struct api_numbers {
	struct http_counters http;
	struct metrics metrics;
	struct hub_stats streams;
};

/*
 * Main thread, after the pools and before anything else may ask: start `state->conf->api_workers`
 * workers (0: one for each CPU that we may use, at most 8) that listen where `options` says. They
 * serve when it returns. 0, or a negative errno with the text of the first that failed; then
 * api_workers_quit is still to be called.
 */
int api_workers_start(struct api_state *s, const struct http_options *options,
		      struct err *e) A_NODISCARD;
/*
 * Main thread: accept no more, say `bye` to every viewer, answer what is being worked on for at
 * most `grace_ms`. `drained` is called, on the main loop, when all have done so.
 */
void api_workers_stop(struct api_state *s, uint64_t grace_ms, void (*drained)(void *user),
		      void *user);
/* Main thread, after pool_stop of both pools: end the threads and free them. */
void api_workers_quit(struct api_state *s);

/* Worker: submit a job to the store threads; its `done` runs on this worker's loop. As pool_submit.
 */
int api_worker_submit(struct api_worker *w, struct pool_job *job) A_NODISCARD;
/* Worker: add its numbers. */
void api_worker_count(const struct api_worker *w, struct api_numbers *sum);

#endif
