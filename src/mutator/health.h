/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MUTATOR_HEALTH_H
#define MUTATOR_HEALTH_H

/* The word that a process lives, on the bus. */

#include <stdint.h>

#include "bus/client.h"

/* `system.<worker>.health`, of a process that runs since `started_ms`. */
void mutator_publish_health(struct bus_client *bus, const char *worker, int64_t pid,
			    uint64_t started_ms);

#endif
