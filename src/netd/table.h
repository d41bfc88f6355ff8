/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETD_TABLE_H
#define NETD_TABLE_H

/* What is in the kernel, by id: LANs, deckies, interfaces. However many there are, one is found
 * with a look or two. Pure. */

#include <stdbool.h>
#include <stddef.h>

#include "netd/request.h"
#include "util/chain.h"

#define TABLE_PERSONA_UNKNOWN 255

struct table_entry {
	enum netd_kind kind; /* NETD_LAN, NETD_DECKY, NETD_NIC */
	int index;	     /* of the link in the fabric; 0 for deckies */
	int trunk;	     /* a LAN's link to the uplink, or 0 */
	struct netd_thing thing;
};

/* Ids, and the address of an interface, must not be changed where they stand. */
struct table {
	struct table_entry *v;
	size_t n, cap;
	struct chain by_key, by_decky, by_address; /* the latter two of interfaces alone */
};

void table_fini(struct table *t);
/* Empty, with its memory. */
void table_clear(struct table *t);
/* The entry of the LAN, the decky, or the decky's interface on the LAN; NULL. */
struct table_entry *table_lan(const struct table *t, const struct netd_id *lan);
struct table_entry *table_decky(const struct table *t, const struct netd_id *decky);
struct table_entry *table_nic(const struct table *t, const struct netd_id *decky,
			      const struct netd_id *lan);
/* The interface of a decky that comes after `before`, or its first (NULL), in any order; NULL. */
struct table_entry *table_next_nic(const struct table *t, const struct netd_id *decky,
				   const struct table_entry *before);
/* Whether an interface has that address. */
bool table_has_address(const struct table *t, uint32_t ip);
/* A copy at the end. It, or NULL without memory or at the ceiling. Other pointers become invalid.
 */
struct table_entry *table_add(struct table *t, const struct table_entry *entry);
/* The last one takes its place. */
void table_remove(struct table *t, struct table_entry *entry);
/* Whether both hold the same, in whatever order. */
bool table_equal(const struct table *a, const struct table *b);

#endif
