/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOPOLOGY_CATALOG_H
#define TOPOLOGY_CATALOG_H

/* The catalogue of services and archetypes (catalog.json, embedded) and the check of a service's
 * configuration (contract 5.7). Read-only after the first use; safe from any thread. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "util/attr.h"

extern const char catalog_text[];

/* The service's entry in the catalogue, borrowed, or NULL. */
const json_t *catalog_service(const char *name);
/* All of them, an array sorted by name; borrowed. */
const json_t *catalog_services(void);
const json_t *catalog_archetypes(void);
const json_t *catalog_archetype(const char *slug);
/* Whether this build has its protocol module. */
bool catalog_available(const char *name);
/* Fill `ports` with the TCP ports it listens on; returns how many (at most `max`). */
size_t catalog_tcp_ports(const char *name, unsigned *ports, size_t max);
/* The same of UDP. */
size_t catalog_udp_ports(const char *name, unsigned *ports, size_t max);

/* Called for each key that does not pass: text as in contract 5.7 (`<key>: unknown config key`, …).
 */
typedef void catalog_bad_fn(void *user, const char *key, const char *text);
/*
 * Check a service's configuration object. Returns the object as it is kept (null and empty values
 * dropped, ints and bools as such, duplicates out), a new reference, or NULL when something was
 * reported or there is no memory. `bad` may be NULL.
 */
json_t *catalog_check_config(const char *service, const json_t *config, catalog_bad_fn *bad,
			     void *user);

#endif
