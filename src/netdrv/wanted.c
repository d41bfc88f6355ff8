/* SPDX-License-Identifier: Apache-2.0 */
/* From a topology to things of the network. */
#include "netdrv/wanted.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "netdrv/routes.h"
#include "topology/addr.h"
#include "topology/catalog.h"
#include "util/hash.h"
#include "util/json.h"

static const struct {
	const char *kind;
	uint32_t oui;
} vendors[] = {
#define VENDOR(kind, oui, whose) {kind, oui},
#include "netdrv/vendors.def"
#undef VENDOR
};

static const struct netd_id nobody;

static uint64_t
hash_decky(const struct netd_id *decky)
{
	return hash_bytes(HASH_START, decky->b, sizeof(decky->b));
}

static uint64_t
hash_ids(const struct netd_id *decky, const struct netd_id *lan)
{
	return hash_bytes(hash_decky(decky), lan->b, sizeof(lan->b));
}

static void
put_in(struct things *t, size_t at)
{
	const struct netd_thing *thing = &t->v[at];

	chain_in(&t->by_ids, hash_ids(&thing->decky, &thing->lan), at);
	chain_in(&t->by_decky, hash_decky(&thing->decky), at);
}

static void
take_out(struct things *t, size_t at)
{
	const struct netd_thing *thing = &t->v[at];

	chain_out(&t->by_ids, hash_ids(&thing->decky, &thing->lan), at);
	chain_out(&t->by_decky, hash_decky(&thing->decky), at);
}

/* Room for twice as many. 0, or -ENOMEM, and what is there stays. */
static int
grow(struct things *t)
{
	size_t cap = t->cap ? t->cap * 2 : 16;
	struct chain ids = {0}, decky = {0};
	struct netd_thing *v = NULL;

	if (chain_resize(&ids, cap) < 0 || chain_resize(&decky, cap) < 0 ||
	    !(v = realloc(t->v, cap * sizeof(*v)))) {
		chain_fini(&ids);
		chain_fini(&decky);
		return -ENOMEM;
	}
	chain_fini(&t->by_ids);
	chain_fini(&t->by_decky);
	*t = (struct things){v, t->n, cap, ids, decky};
	for (size_t i = 0; i < t->n; i++)
		put_in(t, i);
	return 0;
}

int
things_add(struct things *t, const struct netd_thing *thing)
{
	if (t->n == t->cap && grow(t) < 0)
		return -ENOMEM;
	t->v[t->n] = *thing;
	put_in(t, t->n++);
	return 0;
}

void
things_remove(struct things *t, struct netd_thing *thing)
{
	size_t at, last = t->n - 1;

	if (!thing)
		return;
	at = (size_t)(thing - t->v);
	take_out(t, at);
	if (at != last) {
		take_out(t, last);
		t->v[at] = t->v[last];
		put_in(t, at);
	}
	t->n--;
}

void
things_fini(struct things *t)
{
	free(t->v);
	chain_fini(&t->by_ids);
	chain_fini(&t->by_decky);
	*t = (struct things){0};
}

struct netd_thing *
things_find(const struct things *t, const struct netd_id *decky, const struct netd_id *lan)
{
	int32_t at;

	decky = decky ? decky : &nobody;
	lan = lan ? lan : &nobody;
	at = chain_first(&t->by_ids, hash_ids(decky, lan));
	while (at != CHAIN_END &&
	       !(netd_id_eq(&t->v[at].decky, decky) && netd_id_eq(&t->v[at].lan, lan)))
		at = t->by_ids.next[at];
	return at == CHAIN_END ? NULL : &t->v[at];
}

struct netd_thing *
things_next(const struct things *t, const struct netd_id *decky, const struct netd_thing *before)
{
	int32_t at = before ? t->by_decky.next[before - t->v]
			    : chain_first(&t->by_decky, hash_decky(decky));

	while (at != CHAIN_END && !netd_id_eq(&t->v[at].decky, decky))
		at = t->by_decky.next[at];
	return at == CHAIN_END ? NULL : &t->v[at];
}

void
wanted_fini(struct wanted *w)
{
	things_fini(&w->lans);
	things_fini(&w->deckies);
	things_fini(&w->nics);
	things_fini(&w->routes);
}

/* So that every bit counts. */
static uint64_t
finish(uint64_t h)
{
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdull;
	return h ^ h >> 33;
}

static const char *
os_of(const char *archetype)
{
	const char *os = json_get_text(catalog_archetype(archetype), "nmap_os");

	return os ? os : "linux";
}

/* How many vendors a kind has, or the nth one's number. */
static size_t
vendors_of(const char *kind, size_t nth, uint32_t *ret_oui)
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(vendors); i++) {
		if (strcmp(vendors[i].kind, kind) != 0)
			continue;
		if (n++ == nth)
			*ret_oui = vendors[i].oui;
	}
	return n;
}

/* The vendor is the decky's, the rest the interface's. */
static void
make_mac(const char *archetype, struct netd_thing *nic)
{
	uint64_t of_decky = hash_decky(&nic->decky);
	uint64_t machine = finish(of_decky), own = finish(hash_ids(&nic->decky, &nic->lan));
	const char *kind = archetype;
	uint32_t oui = 0;
	size_t n = vendors_of(kind, SIZE_MAX, &oui);

	if (n == 0) {
		kind = os_of(archetype);
		n = vendors_of(kind, SIZE_MAX, &oui);
	}
	(void)vendors_of(kind, (size_t)(machine % n), &oui);
	for (unsigned i = 0; i < 3; i++) {
		nic->mac[i] = (uint8_t)(oui >> (16 - 8 * i));
		nic->mac[3 + i] = (uint8_t)(own >> (8 * i));
	}
}

static int
add_lan(struct wanted *w, const struct topo_lan *lan)
{
	struct netd_thing thing = {.topology = w->topology, .flags = lan->is_dmz ? NETD_DMZ : 0};
	struct cidr subnet;

	if (netd_id_parse(sv_from(lan->id), &thing.lan) < 0 ||
	    cidr_parse_lan(lan->subnet, &subnet) < 0)
		return -EBADMSG;
	thing.ip = subnet.base;
	thing.bits = (uint8_t)subnet.bits;
	return things_add(&w->lans, &thing);
}

static int
add_decky(struct wanted *w, const struct topo_decky *d)
{
	struct netd_thing thing = {.topology = w->topology};

	if (netd_id_parse(sv_from(d->uuid), &thing.decky) < 0)
		return -EBADMSG;
	thing.persona = (uint8_t)netd_persona_find(os_of(d->archetype));
	thing.flags = d->forwards_l3 ? NETD_FORWARD : 0;
	return things_add(&w->deckies, &thing);
}

/* The archetypes are those of t->deckies, in whose order w->deckies stand. */
static int
add_nic(struct wanted *w, const struct topo *t, const struct topo_edge *edge)
{
	struct netd_thing thing = {.topology = w->topology};
	const struct netd_thing *decky, *lan;

	if (netd_id_parse(sv_from(edge->decky_uuid), &thing.decky) < 0 ||
	    netd_id_parse(sv_from(edge->lan_id), &thing.lan) < 0 ||
	    ip_parse(edge->ip, &thing.ip) < 0)
		return -EBADMSG;
	decky = things_find(&w->deckies, &thing.decky, NULL);
	lan = things_find(&w->lans, NULL, &thing.lan);
	if (!decky || !lan)
		return -EBADMSG;
	thing.bits = lan->bits;
	make_mac(t->deckies[decky - w->deckies.v].archetype, &thing);
	return things_add(&w->nics, &thing);
}

/* A decky without an interface is on no network. The order of the others decides between ways of
 * the same length, so it stays. */
static int
drop_unconnected(struct wanted *w)
{
	struct things connected = {0};
	int r = 0;

	for (size_t i = 0; r == 0 && i < w->deckies.n; i++)
		if (things_next(&w->nics, &w->deckies.v[i].decky, NULL))
			r = things_add(&connected, &w->deckies.v[i]);
	things_fini(&w->deckies);
	w->deckies = connected;
	return r;
}

/* A decky's mark: whatever of it the lines of a list do not show. */
static void
set_mark(const struct wanted *w, struct netd_thing *decky)
{
	uint64_t h = hash_bytes(HASH_START, &decky->flags, sizeof(decky->flags));
	const struct netd_thing *route = NULL;

	while ((route = things_next(&w->routes, &decky->decky, route))) {
		h = hash_bytes(h, &route->ip, sizeof(route->ip));
		h = hash_bytes(h, &route->bits, sizeof(route->bits));
		h = hash_bytes(h, &route->via, sizeof(route->via));
	}
	decky->mark = finish(h) | 1;
}

int
wanted_from(const char *topology_id, const struct topo *t, struct wanted *ret)
{
	int r;

	*ret = (struct wanted){0};
	r = netd_id_parse(sv_from(topology_id), &ret->topology);
	for (size_t i = 0; r == 0 && t && i < t->nlans; i++)
		r = add_lan(ret, &t->lans[i]);
	for (size_t i = 0; r == 0 && t && i < t->ndeckies; i++)
		r = add_decky(ret, &t->deckies[i]);
	for (size_t i = 0; r == 0 && t && i < t->nedges; i++)
		r = add_nic(ret, t, &t->edges[i]);
	if (r == 0)
		r = drop_unconnected(ret);
	if (r == 0)
		r = routes_fill(ret);
	for (size_t i = 0; r == 0 && i < ret->deckies.n; i++)
		set_mark(ret, &ret->deckies.v[i]);
	return r;
}
