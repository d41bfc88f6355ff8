/* SPDX-License-Identifier: Apache-2.0 */
/* Walking two models side by side. */
#include "topology/diff.h"

#include <stdlib.h>

static void
touch(const struct topo *t, const char *decky_uuid, bool *touched)
{
	const struct topo_decky *d = topo_decky_by_uuid(t, decky_uuid);

	if (d)
		touched[d - t->deckies] = true;
}

static void
touch_by_lans(const struct topo *before, const struct topo *after, bool *touched)
{
	size_t at = 0;

	for (size_t i = 0; i < after->nlans; i++) {
		const struct topo_lan *lan = &after->lans[i],
				      *old = topo_lan_next(before, lan->id, &at);

		/* A new LAN shows by the edges on it. */
		if (!old || topo_lan_untouched(old, lan))
			continue;
		for (size_t k = 0; k < after->nedges; k++)
			if (strcmp(after->edges[k].lan_id, lan->id) == 0)
				touch(after, after->edges[k].decky_uuid, touched);
	}
}

static void
touch_by_edges(const struct topo *before, const struct topo *after, bool *touched)
{
	size_t at = 0;

	for (size_t i = 0; i < after->nedges; i++) {
		const struct topo_edge *edge = &after->edges[i],
				       *old = topo_edge_next(before, edge->id, &at);

		if (!old || !topo_edge_untouched(old, edge))
			touch(after, edge->decky_uuid, touched);
	}
	at = 0;
	for (size_t i = 0; i < before->nedges; i++)
		if (!topo_edge_next(after, before->edges[i].id, &at))
			touch(after, before->edges[i].decky_uuid, touched);
}

bool *
topo_touched(const struct topo *before, const struct topo *after)
{
	bool *touched = calloc(after->ndeckies + 1, sizeof(*touched));
	size_t at = 0;

	for (size_t i = 0; touched && i < after->ndeckies; i++) {
		const struct topo_decky *d = &after->deckies[i],
					*old = before ? topo_decky_next(before, d->uuid, &at)
						      : NULL;

		touched[i] = !old || !topo_decky_untouched(old, d);
	}
	if (touched && before) {
		touch_by_lans(before, after, touched);
		touch_by_edges(before, after, touched);
	}
	return touched;
}
