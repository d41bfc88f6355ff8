/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RESOLVER_LIVES_H
#define RESOLVER_LIVES_H

/*
 * Which decoy process speaks on which capture channel. When another one does, the one before is
 * dead, and the sessions it had open are ended when they were last seen: nobody else will. What the
 * dead process had sent is stored first.
 */

#include <stdbool.h>
#include <stdint.h>

#include "bus/client.h"
#include "util/attr.h"
#include "util/pool.h"

struct lives;

/* `host` names this sensor host, borrowed. NULL without memory. */
struct lives *lives_new(struct pool *pool, struct bus_client *bus, const char *host);
void lives_free(struct lives *l);
/* A hello of `source` was read on a channel; `filling` and `flying`: captures read before it are
 * waiting to be stored, and are being stored. */
void lives_hello(struct lives *l, unsigned channel, uint64_t source, bool filling, bool flying);
/* What was waiting is being stored now. */
void lives_submitted(struct lives *l);
/* What was being stored is stored. */
void lives_stored(struct lives *l);
/* Nothing is begun any more. */
void lives_stop(struct lives *l);

#endif
