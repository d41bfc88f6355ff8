/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETD_TABLE_H
#define NETD_TABLE_H

/* What is in the kernel, by id: LANs, deckies, interfaces. Pure. */

#include <stdbool.h>
#include <stddef.h>

#include "netd/request.h"

#define TABLE_PERSONA_UNKNOWN 255

struct table_entry {
	enum netd_kind kind; /* NETD_LAN, NETD_DECKY, NETD_NIC */
	int index;	     /* of the link in the fabric; 0 for deckies */
	int trunk;	     /* a LAN's link to the uplink, or 0 */
	struct netd_thing thing;
};

struct table {
	struct table_entry *v;
	size_t n, cap;
};

void table_fini(struct table *t);
/* The entry of the LAN, the decky, or the decky's interface on the LAN; NULL. */
struct table_entry *table_lan(const struct table *t, const struct netd_id *lan);
struct table_entry *table_decky(const struct table *t, const struct netd_id *decky);
struct table_entry *table_nic(const struct table *t, const struct netd_id *decky,
			      const struct netd_id *lan);
/* A copy at the end. It, or NULL without memory or at the ceiling. Other pointers become invalid.
 */
struct table_entry *table_add(struct table *t, const struct table_entry *entry);
/* The last one takes its place. */
void table_remove(struct table *t, struct table_entry *entry);
/* Whether both hold the same, in whatever order. */
bool table_equal(const struct table *a, const struct table *b);

#endif
