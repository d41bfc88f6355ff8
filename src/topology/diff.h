/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOPOLOGY_DIFF_H
#define TOPOLOGY_DIFF_H

/* What has changed between a model and a changed copy of it, found without looking into what has
 * not. */

#include <string.h>

#include "topology/model.h"

/* Whether nothing of the row was touched since one was copied from the other. False may be wrong:
 * then the values are the same but were put in anew. */
static inline bool
topo_decky_untouched(const struct topo_decky *a, const struct topo_decky *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static inline bool
topo_lan_untouched(const struct topo_lan *a, const struct topo_lan *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static inline bool
topo_edge_untouched(const struct topo_edge *a, const struct topo_edge *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/*
 * Which deckies of `after`, by place, may show something else than in `before` (NULL: all): their
 * own row, an edge of theirs that came, went or changed, the name of a LAN they are on. The caller
 * frees the array; NULL without memory.
 */
bool *topo_touched(const struct topo *before, const struct topo *after);

#endif
