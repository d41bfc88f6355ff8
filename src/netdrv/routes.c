/* SPDX-License-Identifier: Apache-2.0 */
/* Shortest paths over LANs, and what each decky has to know of them. */
#include "netdrv/routes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FAR UINT32_MAX

/* An interface with the places of its decky and LAN in w. */
struct end {
	size_t decky, lan;
	uint32_t ip;
};

/* How to come from a LAN to the one that is looked for. */
struct hop {
	uint32_t distance; /* deckies to pass; FAR: there is no way */
	uint32_t via;	   /* the next one's address on this LAN */
};

struct graph {
	struct wanted *w;
	struct end *ends; /* by decky, so that a decky's stand together */
	size_t nends;
	struct hop *hops; /* of each LAN */
	size_t *queue;
};

static size_t
place_of(const struct things *t, const struct netd_id *decky, const struct netd_id *lan)
{
	return (size_t)(things_find(t, decky, lan) - t->v);
}

static bool
forwards(const struct graph *g, size_t decky)
{
	return g->w->deckies.v[decky].flags & NETD_FORWARD;
}

/* From every LAN to `target`, breadth first. */
static void
search(struct graph *g, size_t target)
{
	size_t head = 0, tail = 0;

	for (size_t i = 0; i < g->w->lans.n; i++)
		g->hops[i] = (struct hop){FAR, 0};
	g->hops[target].distance = 0;
	g->queue[tail++] = target;
	while (head < tail) {
		size_t near = g->queue[head++];

		/* Whoever forwards and is on this LAN brings its other LANs one step nearer. */
		for (size_t i = 0; i < g->nends; i++) {
			size_t k = i;

			if (g->ends[i].lan != near || !forwards(g, g->ends[i].decky))
				continue;
			while (k > 0 && g->ends[k - 1].decky == g->ends[i].decky)
				k--;
			for (; k < g->nends && g->ends[k].decky == g->ends[i].decky; k++) {
				struct hop *hop = &g->hops[g->ends[k].lan];

				if (hop->distance != FAR)
					continue;
				*hop = (struct hop){g->hops[near].distance + 1, g->ends[k].ip};
				g->queue[tail++] = g->ends[k].lan;
			}
		}
	}
}

/* The next hop of the decky whose ends are [from, to); 0: it is on the target itself, or there is
 * no way. */
static uint32_t
next_hop(const struct graph *g, size_t from, size_t to)
{
	struct hop best = {FAR, 0};

	for (size_t i = from; i < to; i++) {
		const struct hop *hop = &g->hops[g->ends[i].lan];

		if (hop->distance < best.distance)
			best = *hop;
	}
	return best.distance == FAR || best.distance == 0 ? 0 : best.via;
}

static int
add_route(struct graph *g, size_t decky, uint32_t ip, unsigned bits, uint32_t via)
{
	struct netd_thing route = {.topology = g->w->topology,
				   .decky = g->w->deckies.v[decky].decky,
				   .ip = ip,
				   .bits = (uint8_t)bits,
				   .via = via};

	return things_add(&g->w->routes, &route);
}

static size_t
end_of_decky(const struct graph *g, size_t from)
{
	size_t to = from;

	while (to < g->nends && g->ends[to].decky == g->ends[from].decky)
		to++;
	return to;
}

/* Everybody's default routes; the vias are kept in `defaults` by decky. */
static int
add_defaults(struct graph *g, size_t dmz, uint32_t *defaults)
{
	const struct netd_thing *lan = &g->w->lans.v[dmz];
	int r = 0;

	search(g, dmz);
	for (size_t from = 0, to; r == 0 && from < g->nends; from = to) {
		size_t decky = g->ends[from].decky;

		to = end_of_decky(g, from);
		defaults[decky] = next_hop(g, from, to);
		for (size_t i = from; i < to; i++)
			if (g->ends[i].lan == dmz)
				defaults[decky] = lan->ip + 1;
		if (defaults[decky])
			r = add_route(g, decky, 0, 0, defaults[decky]);
	}
	return r;
}

/* Whether the default route is not enough for the decky. */
static bool
wants_ways(const struct graph *g, size_t from, size_t to)
{
	if (to - from > 1 || forwards(g, g->ends[from].decky))
		return true;
	return g->w->lans.v[g->ends[from].lan].flags & NETD_DMZ;
}

static int
add_ways(struct graph *g, size_t target, const uint32_t *defaults)
{
	const struct netd_thing *lan = &g->w->lans.v[target];
	int r = 0;

	search(g, target);
	for (size_t from = 0, to; r == 0 && from < g->nends; from = to) {
		size_t decky = g->ends[from].decky;
		uint32_t via;

		to = end_of_decky(g, from);
		via = wants_ways(g, from, to) ? next_hop(g, from, to) : 0;
		if (via && via != defaults[decky])
			r = add_route(g, decky, lan->ip, lan->bits, via);
	}
	return r;
}

static int
compare_ends(const void *a, const void *b)
{
	const struct end *x = a, *y = b;

	if (x->decky != y->decky)
		return x->decky < y->decky ? -1 : 1;
	return x->lan < y->lan ? -1 : x->lan > y->lan;
}

static void
fill_graph(struct graph *g)
{
	for (size_t i = 0; i < g->w->nics.n; i++) {
		const struct netd_thing *nic = &g->w->nics.v[i];

		g->ends[g->nends++] = (struct end){place_of(&g->w->deckies, &nic->decky, NULL),
						   place_of(&g->w->lans, NULL, &nic->lan), nic->ip};
	}
	qsort(g->ends, g->nends, sizeof(*g->ends), compare_ends);
}

int
routes_fill(struct wanted *w)
{
	struct graph g = {.w = w};
	uint32_t *defaults = calloc(w->deckies.n + 1, sizeof(*defaults));
	int r = 0;

	g.ends = calloc(w->nics.n + 1, sizeof(*g.ends));
	g.hops = calloc(w->lans.n + 1, sizeof(*g.hops));
	g.queue = calloc(w->lans.n + 1, sizeof(*g.queue));
	if (!defaults || !g.ends || !g.hops || !g.queue)
		r = -ENOMEM;
	if (r == 0)
		fill_graph(&g);
	for (size_t i = 0; r == 0 && i < w->lans.n; i++)
		if (w->lans.v[i].flags & NETD_DMZ)
			r = add_defaults(&g, i, defaults);
	for (size_t i = 0; r == 0 && i < w->lans.n; i++)
		r = add_ways(&g, i, defaults);
	free(defaults);
	free(g.ends);
	free(g.hops);
	free(g.queue);
	return r;
}
