/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RESOLVER_TRAFFIC_H
#define RESOLVER_TRAFFIC_H

/* How much comes to each decky and service, summed so that it is told at most once a second. Pure.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resolver/check.h"

#define TRAFFIC_EVERY_MS 1000

struct traffic_entry {
	char topology_id[ID_UUID_SIZE];
	char decky[CHECK_NAME_SIZE], service[CHECK_NAME_SIZE];
	char ip[CHECK_IP_SIZE]; /* the last one */
	uint64_t connections, bytes_in, bytes_out;
	uint64_t told_ms;
	bool waiting; /* something to tell */
};

/* Zero it to start. */
struct traffic {
	struct traffic_entry *v;
	size_t n;
	uint64_t dropped; /* sums forgotten at LIMIT_TRAFFIC_KEYS or without memory */
};

typedef void traffic_fn(void *user, const struct traffic_entry *entry);

void traffic_fini(struct traffic *t);
/* Count a connect or a disconnect; others are ignored. At the ceiling the entry told longest ago
 * makes room. 0 or -ENOMEM. */
void traffic_note(struct traffic *t, const struct sighting *s);
/* Tell what was not told within TRAFFIC_EVERY_MS. The milliseconds until more is due, or -1. */
int64_t traffic_tell(struct traffic *t, uint64_t now_ms, traffic_fn *fn, void *user);
/* The payload of decky.<name>.traffic; NULL without memory. */
json_t *traffic_json(const struct traffic_entry *entry);

#endif
