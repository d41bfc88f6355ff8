/* SPDX-License-Identifier: Apache-2.0 */
/* From what there is to what is wanted, as requests. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "netdrv/wanted.h"

void
actual_fini(struct actual *a)
{
	things_fini(&a->lans);
	things_fini(&a->deckies);
	things_fini(&a->nics);
}

int
actual_add(struct actual *a, enum netd_kind kind, const struct netd_thing *t)
{
	switch (kind) {
	case NETD_LAN: return things_add(&a->lans, t);
	case NETD_DECKY: return things_add(&a->deckies, t);
	case NETD_NIC: return things_add(&a->nics, t);
	case NETD_DONE:
	case NETD_SELF:
	case NETD_STARTED:
	case NETD_KIND_COUNT: break;
	}
	return 0;
}

/* Put or replace. */
static int
things_set(struct things *t, const struct netd_thing *thing, struct netd_thing *there)
{
	if (!there)
		return things_add(t, thing);
	*there = *thing;
	return 0;
}

int
actual_apply(struct actual *a, const struct netd_request *q)
{
	const struct netd_thing *t = &q->thing;
	struct netd_thing *decky = things_find(&a->deckies, &t->decky, NULL), *nic, fresh = *t;

	switch (q->op) {
	case NETD_OP_LAN_ADD: return things_set(&a->lans, t, things_find(&a->lans, NULL, &t->lan));
	case NETD_OP_LAN_DEL: things_remove(&a->lans, things_find(&a->lans, NULL, &t->lan)); break;
	case NETD_OP_DECKY_ADD:
		if (decky)
			fresh.mark = decky->mark;
		return things_set(&a->deckies, &fresh, decky);
	case NETD_OP_DECKY_DEL:
		things_remove(&a->deckies, decky);
		while ((nic = things_next(&a->nics, &t->decky, NULL)))
			things_remove(&a->nics, nic);
		break;
	case NETD_OP_NIC_ADD:
		if (decky)
			decky->mark = 0;
		return things_set(&a->nics, t, things_find(&a->nics, &t->decky, &t->lan));
	case NETD_OP_NIC_DEL:
		if (decky)
			decky->mark = 0;
		things_remove(&a->nics, things_find(&a->nics, &t->decky, &t->lan));
		break;
	case NETD_OP_MARK:
		if (decky)
			decky->mark = t->mark;
		break;
	case NETD_OP_HELLO:
	case NETD_OP_LIST:
	case NETD_OP_ROUTES_CLEAR:
	case NETD_OP_ROUTE_ADD:
	case NETD_OP_FORWARD:
	case NETD_OP_LISTEN:
	case NETD_OP_COUNT: break;
	}
	return 0;
}

void
requests_fini(struct requests *r)
{
	free(r->v);
	*r = (struct requests){0};
}

/* The ids of `t` that the op has, and what `more` holds besides. */
static int
add(struct requests *to, enum netd_op op, const struct netd_thing *thing)
{
	if (to->n == to->cap) {
		size_t cap = to->cap ? to->cap * 2 : 32;
		struct netd_request *v = realloc(to->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		to->v = v;
		to->cap = cap;
	}
	to->v[to->n++] = (struct netd_request){.op = op, .thing = *thing};
	return 0;
}

static struct netd_thing
ids_of(const struct netd_thing *t)
{
	return (struct netd_thing){.topology = t->topology, .decky = t->decky, .lan = t->lan};
}

static bool
same_nic(const struct netd_thing *a, const struct netd_thing *b)
{
	return a->ip == b->ip && a->bits == b->bits && memcmp(a->mac, b->mac, sizeof(a->mac)) == 0;
}

/* What has to go, from the inside outwards. */
static int
put_removals(const struct actual *a, const struct wanted *w, struct requests *to)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < a->nics.n; i++) {
		const struct netd_thing *nic = &a->nics.v[i], gone = ids_of(nic);
		const struct netd_thing *want = things_find(&w->nics, &nic->decky, &nic->lan);

		if (netd_id_eq(&nic->topology, &w->topology) &&
		    things_find(&w->deckies, &nic->decky, NULL) && !(want && same_nic(nic, want)))
			r = add(to, NETD_OP_NIC_DEL, &gone);
	}
	for (size_t i = 0; r == 0 && i < a->deckies.n; i++) {
		const struct netd_thing *decky = &a->deckies.v[i], gone = ids_of(decky);

		if (netd_id_eq(&decky->topology, &w->topology) &&
		    !things_find(&w->deckies, &decky->decky, NULL))
			r = add(to, NETD_OP_DECKY_DEL, &gone);
	}
	for (size_t i = 0; r == 0 && i < a->lans.n; i++) {
		const struct netd_thing *lan = &a->lans.v[i], gone = ids_of(lan);
		const struct netd_thing *want = things_find(&w->lans, NULL, &lan->lan);

		if (netd_id_eq(&lan->topology, &w->topology) &&
		    !(want && want->ip == lan->ip && want->bits == lan->bits))
			r = add(to, NETD_OP_LAN_DEL, &gone);
	}
	return r;
}

/* An interface keeps its place for life; a new one gets the lowest that is free, and the order of
 * the topology decides among new ones. */
static uint8_t
free_slot(const struct actual *a, const struct wanted *w, const struct requests *to,
	  const struct netd_id *decky)
{
	bool taken[NETD_SLOTS] = {false};
	const struct netd_thing *nic = NULL;
	unsigned slot = 0;

	while ((nic = things_next(&a->nics, decky, nic))) {
		const struct netd_thing *want = things_find(&w->nics, &nic->decky, &nic->lan);

		if (want && same_nic(nic, want))
			taken[nic->slot] = true;
	}
	for (size_t i = 0; i < to->n; i++)
		if (to->v[i].op == NETD_OP_NIC_ADD && netd_id_eq(&to->v[i].thing.decky, decky))
			taken[to->v[i].thing.slot] = true;
	while (slot + 1 < NETD_SLOTS && taken[slot])
		slot++;
	return (uint8_t)slot;
}

static int
put_nic(const struct actual *a, const struct wanted *w, const struct netd_thing *want,
	struct requests *to)
{
	const struct netd_thing *there = things_find(&a->nics, &want->decky, &want->lan);
	struct netd_thing nic = *want;

	if (there && same_nic(there, want))
		return 0;
	nic.slot = free_slot(a, w, to, &want->decky);
	return add(to, NETD_OP_NIC_ADD, &nic);
}

/* Whether a decky's interfaces are other ones than before. */
static bool
nics_change(const struct requests *to, const struct netd_id *decky)
{
	for (size_t i = 0; i < to->n; i++)
		if ((to->v[i].op == NETD_OP_NIC_ADD || to->v[i].op == NETD_OP_NIC_DEL) &&
		    netd_id_eq(&to->v[i].thing.decky, decky))
			return true;
	return false;
}

static int
put_rest(const struct actual *a, const struct wanted *w, const struct netd_thing *want,
	 struct requests *to)
{
	const struct netd_thing *there = things_find(&a->deckies, &want->decky, NULL);
	struct netd_thing ids = ids_of(want), forward = ids, mark = ids;
	const struct netd_thing *route = NULL;
	int r;

	if (there && there->mark == want->mark && !nics_change(to, &want->decky))
		return 0;
	forward.flags = want->flags;
	mark.mark = want->mark;
	r = add(to, NETD_OP_FORWARD, &forward);
	if (r == 0 && there)
		r = add(to, NETD_OP_ROUTES_CLEAR, &ids);
	while (r == 0 && (route = things_next(&w->routes, &want->decky, route)))
		r = add(to, NETD_OP_ROUTE_ADD, route);
	return r == 0 ? add(to, NETD_OP_MARK, &mark) : r;
}

int
wanted_requests(const struct actual *a, const struct wanted *w, struct requests *ret)
{
	int r;

	*ret = (struct requests){0};
	r = put_removals(a, w, ret);
	for (size_t i = 0; r == 0 && i < w->lans.n; i++) {
		const struct netd_thing *lan = &w->lans.v[i];
		const struct netd_thing *there = things_find(&a->lans, NULL, &lan->lan);

		if (!there || there->ip != lan->ip || there->bits != lan->bits)
			r = add(ret, NETD_OP_LAN_ADD, lan);
	}
	for (size_t i = 0; r == 0 && i < w->deckies.n; i++) {
		struct netd_thing decky = ids_of(&w->deckies.v[i]);
		const struct netd_thing *there = things_find(&a->deckies, &decky.decky, NULL);

		decky.persona = w->deckies.v[i].persona;
		if (!there || there->persona != decky.persona)
			r = add(ret, NETD_OP_DECKY_ADD, &decky);
	}
	for (size_t i = 0; r == 0 && i < w->nics.n; i++)
		r = put_nic(a, w, &w->nics.v[i], ret);
	for (size_t i = 0; r == 0 && i < w->deckies.n; i++)
		r = put_rest(a, w, &w->deckies.v[i], ret);
	return r;
}
