/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_THREADS_H
#define STORE_THREADS_H

/* A pool whose threads have a connection each: jobs get it as their thread state (struct db). */

#include "util/pool.h"

/* `url` must outlive the pool. As pool_new; a connection that cannot be opened fails it. */
int store_threads_new(struct loop *l, const char *url, unsigned threads, unsigned queue_max,
		      struct pool **ret_pool, struct err *e) A_NODISCARD;

#endif
