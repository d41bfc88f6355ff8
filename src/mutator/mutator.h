/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MUTATOR_MUTATOR_H
#define MUTATOR_MUTATOR_H

/*
 * The mutator: woken by hints (and every 10 s without them) it finds topologies with work and takes
 * each through prepare (store), run (driver) and finish (store). One work a topology at a time,
 * several topologies at once. At start, after every op and every 30 s it reconciles what the decoy
 * process has open with what the store wants.
 */

#include "bus/client.h"
#include "netdrv/driver.h"
#include "util/conf.h"
#include "util/loop.h"
#include "util/pool.h"

struct mutator;

/* All are borrowed and outlive the mutator; the pool's threads have a struct db each as their
 * state. 0 or a negative errno. */
int mutator_new(struct loop *l, const struct conf *conf, struct pool *pool, struct bus_client *bus,
		struct netdrv *driver, struct mutator **ret_mutator, struct err *e) A_NODISCARD;
/* Begin nothing any more: what is under way is left to the next life. To be called before the pool
 * and the driver go. */
void mutator_stop(struct mutator *m);
void mutator_free(struct mutator *m);
/* There may be work: look soon. */
void mutator_wake(struct mutator *m);
/* The decoy process is back, with all listeners that were known. */
void mutator_decoy_up(struct mutator *m);

#endif
