/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UTIL_POOL_H
#define UTIL_POOL_H

/*
 * A few threads for work that blocks (SQL, password hashing), fed by a bounded queue and answered
 * on the loop that asked.
 */

#include <stdint.h>

#include "util/attr.h"
#include "util/err.h"
#include "util/inbox.h"
#include "util/loop.h"

struct pool;
struct pool_job;

/* Runs on a pool thread; `thread_state` is what the thread's init made. */
typedef void pool_run_fn(struct pool_job *job, void *thread_state);
/* Runs on the loop afterwards; may free the object that embeds the job. */
typedef void pool_done_fn(struct pool_job *job);

struct pool_job {
	pool_run_fn *run;
	pool_done_fn *done;
	void *user;
	/* The pool's. */
	struct pool_job *next;
	struct inbox *to;
	struct inbox_item answer;
};

struct pool_ops {
	/* Called on each thread before its first job: 0 and *ret_state, or a negative errno
	 * (pool_new then fails). */
	int (*init)(void *user, void **ret_state, struct err *e);
	void (*fini)(void *state);
	void *user;
};

/* `threads` >= 1; `queue_max` jobs may wait. Returns when every thread's init has succeeded. 0 or a
 * negative errno. */
int pool_new(struct loop *l, unsigned threads, unsigned queue_max, const struct pool_ops *ops,
	     struct pool **ret_pool, struct err *e) A_NODISCARD;
/* 0, or -EBUSY when queue_max jobs wait or the pool is being freed (counted; nothing was queued).
 * The job must live until its done. */
int pool_submit(struct pool *p, struct pool_job *job) A_NODISCARD;
/* The same from another thread, with `done` on the loop that serves `to`. */
int pool_submit_to(struct pool *p, struct pool_job *job, struct inbox *to) A_NODISCARD;
/* The same, but no thread is called for it: pool_call does that, once for all jobs of a turn. A
 * thread that has work anyway may take it at once. */
int pool_submit_quietly(struct pool *p, struct pool_job *job, struct inbox *to) A_NODISCARD;
void pool_call(struct pool *p);
unsigned pool_depth(struct pool *p);
uint64_t pool_refused(struct pool *p);
/*
 * Loop that made it: finish what is queued, join the threads, deliver the answers of this loop;
 * those of others are in their inboxes when it returns. Nothing can be submitted afterwards
 * (-EBUSY). Once or more; NULL is fine.
 */
void pool_stop(struct pool *p);
/* Likewise, and free it. Nobody may submit any more. */
void pool_free(struct pool *p);

#endif
