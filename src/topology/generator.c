/* SPDX-License-Identifier: Apache-2.0 */
/* The generator, the blank topology and the demo. */
#include "topology/generator.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "topology/catalog.h"
#include "topology/validate.h"
#include "util/limits.h"
#include "util/mix.h"

/* splitmix64: small, seedable, the same on every machine (Steele, Lea, Flood 2014). */
struct rng {
	uint64_t state;
};

static uint64_t
rng_next(struct rng *g)
{
	uint64_t z = mix(g->state);

	g->state += MIX_STEP;
	return z;
}

/* 0 <= x < n; the bias of the remainder is far below anything that could be seen here. */
static unsigned
rng_below(struct rng *g, unsigned n)
{
	return (unsigned)(rng_next(g) % n);
}

static bool
rng_chance(struct rng *g, double p)
{
	return (double)(rng_next(g) >> 11) * 0x1.0p-53 < p;
}

struct making {
	struct topo *t;
	const struct topo_plan *plan;
	const struct topo_world *w;
	struct topo_refusal *refusal;
	struct rng rng;
	/* By LAN: its parent (LAN 0 is its own). */
	unsigned parent[LIMIT_LANS_PER_TOPOLOGY];
	/* By LAN: its first decky and how many. */
	unsigned first[LIMIT_LANS_PER_TOPOLOGY], count[LIMIT_LANS_PER_TOPOLOGY];
	uint64_t seen_sets[LIMIT_DECKIES_PER_TOPOLOGY];
	unsigned nseen;
};

static int
over(struct making *m, const char *limit, int n)
{
	m->refusal->status = 409;
	(void)snprintf(m->refusal->text, sizeof(m->refusal->text), "limit reached: %s (%d)", limit,
		       n);
	return -EPERM;
}

static int
make_lan(struct topo *t, const struct topo_world *w, const char *name, bool is_dmz,
	 struct topo_refusal *refusal)
{
	char subnet[TOPO_CIDR_SIZE];
	struct topo_lan *lan;
	int r = topo_choose_subnet(t, w, NULL, subnet, refusal);

	if (r < 0)
		return r;
	lan = topo_add_lan(t);
	if (!lan)
		return -ENOMEM;
	id_uuid7(lan->id);
	(void)snprintf(lan->name, sizeof(lan->name), "%s", name);
	memcpy(lan->subnet, subnet, sizeof(lan->subnet));
	lan->is_dmz = is_dmz;
	return 0;
}

static void
place(bool has[2], double xy[2], double x, double y)
{
	has[0] = has[1] = true;
	xy[0] = x;
	xy[1] = y;
}

static int
make_lans(struct making *m)
{
	unsigned begin = 0, end = 1;
	int r = make_lan(m->t, m->w, "LAN-00", true, m->refusal);

	if (r == 0)
		place(m->t->lans[0].has_xy, m->t->lans[0].xy, 40, 40);
	for (unsigned level = 1; r == 0 && level < m->plan->depth; level++) {
		for (unsigned p = begin; r == 0 && p < end; p++) {
			unsigned children = 1 + rng_below(&m->rng, m->plan->branching);

			for (unsigned c = 0; r == 0 && c < children; c++) {
				unsigned at = (unsigned)m->t->nlans;
				char name[16];

				if (at >= LIMIT_LANS_PER_TOPOLOGY)
					return over(m, "lans", LIMIT_LANS_PER_TOPOLOGY);
				(void)snprintf(name, sizeof(name), "LAN-%02u", at);
				r = make_lan(m->t, m->w, name, false, m->refusal);
				if (r < 0)
					break;
				m->parent[at] = p;
				place(m->t->lans[at].has_xy, m->t->lans[at].xy, 40 + 260.0 * level,
				      40 + 180.0 * (at - end));
			}
		}
		begin = end;
		end = (unsigned)m->t->nlans;
	}
	return r;
}

/* A set of 1 to 3 available services, up to 20 tries for one not used before. */
static json_t *
random_services(struct making *m)
{
	const json_t *all = catalog_services(), *item;
	const char *names[64];
	json_t *chosen = NULL;
	unsigned n = 0;
	size_t i;

	json_array_foreach(all, i, item)
	{
		const char *name = json_string_value(json_object_get(item, "name"));

		if (n < ARRAY_LEN(names) && catalog_available(name))
			names[n++] = name;
	}
	if (n == 0)
		return json_array();
	for (int attempt = 0; attempt < 20; attempt++) {
		unsigned want = 1 + rng_below(&m->rng, n < 3 ? n : 3);
		uint64_t set = 0;
		bool seen = false;

		json_decref(chosen);
		chosen = json_array();
		while (json_array_size(chosen) < want) {
			unsigned k = rng_below(&m->rng, n);

			if (set >> k & 1)
				continue;
			set |= UINT64_C(1) << k;
			(void)json_array_append_new(chosen, json_string(names[k]));
		}
		for (unsigned k = 0; k < m->nseen; k++)
			seen |= m->seen_sets[k] == set;
		if (!seen) {
			m->seen_sets[m->nseen++] = set;
			break;
		}
	}
	return chosen;
}

/* Takes the services over. */
static int
make_decky(struct topo *t, const char *name, json_t *own_services, const char *archetype,
	   const char *lan_id, struct topo_refusal *refusal)
{
	struct topo_decky *d = own_services ? topo_add_decky(t) : NULL;

	if (!d) {
		json_decref(own_services);
		return -ENOMEM;
	}
	id_uuid7(d->uuid);
	(void)snprintf(d->name, sizeof(d->name), "%s", name);
	(void)snprintf(d->archetype, sizeof(d->archetype), "%s", archetype);
	json_decref(d->services);
	d->services = own_services;
	return topo_join(t, d->uuid, lan_id, NULL, false, false, refusal, NULL);
}

static int
make_deckies(struct making *m)
{
	const struct topo_plan *p = m->plan;
	int r = 0;

	for (unsigned lan = 0; r == 0 && lan < m->t->nlans; lan++) {
		unsigned n =
			p->deckies_min + rng_below(&m->rng, p->deckies_max - p->deckies_min + 1);

		/* The DMZ has one entry point; elsewhere there must be one that can be joined to
		 * the parent. */
		if (lan == 0 || n == 0)
			n = 1;
		m->first[lan] = (unsigned)m->t->ndeckies;
		m->count[lan] = n;
		for (unsigned i = 0; r == 0 && i < n; i++) {
			unsigned at = (unsigned)m->t->ndeckies;
			json_t *services;
			char name[16];

			if (at >= LIMIT_DECKIES_PER_TOPOLOGY)
				return over(m, "deckies", LIMIT_DECKIES_PER_TOPOLOGY);
			services = p->services ? json_deep_copy(p->services) : random_services(m);
			(void)snprintf(name, sizeof(name), "decky-%03u", at);
			r = make_decky(m->t, name, services, "", m->t->lans[lan].id, m->refusal);
			if (r == 0)
				place(m->t->deckies[at].has_xy, m->t->deckies[at].xy, 20 + 90.0 * i,
				      60);
		}
	}
	return r;
}

/* The decky joins the LAN too: all its edges are marked bridge, and forwarding or not. */
static int
bridge(struct making *m, unsigned decky, unsigned lan)
{
	struct topo_decky *d = &m->t->deckies[decky];
	bool forwards = rng_chance(&m->rng, m->plan->forward_probability);
	int r = topo_join(m->t, d->uuid, m->t->lans[lan].id, NULL, true, forwards, m->refusal,
			  NULL);

	if (r < 0)
		return r;
	d->forwards_l3 |= forwards;
	for (size_t i = 0; i < m->t->nedges; i++) {
		if (strcmp(m->t->edges[i].decky_uuid, d->uuid) == 0) {
			m->t->edges[i].is_bridge = true;
			m->t->edges[i].forwards_l3 |= forwards;
		}
	}
	return 0;
}

static int
make_bridges(struct making *m)
{
	unsigned n = (unsigned)m->t->nlans;
	int r = 0;

	for (unsigned lan = 1; r == 0 && lan < n; lan++)
		r = bridge(m, m->first[lan] + rng_below(&m->rng, m->count[lan]), m->parent[lan]);
	for (unsigned lan = 1; r == 0 && lan < n; lan++) {
		unsigned may[LIMIT_LANS_PER_TOPOLOGY], nmay = 0, decky;

		if (!rng_chance(&m->rng, m->plan->cross_probability))
			continue;
		decky = m->first[lan] + rng_below(&m->rng, m->count[lan]);
		/* Not its own, not the parent, not a child, and not one it is on already. */
		for (unsigned other = 0; other < n; other++)
			if (other != lan && other != m->parent[lan] && m->parent[other] != lan &&
			    !topo_edge_of(m->t, m->t->deckies[decky].uuid, m->t->lans[other].id))
				may[nmay++] = other;
		if (nmay > 0)
			r = bridge(m, decky, may[rng_below(&m->rng, nmay)]);
	}
	return r;
}

int
topo_generate(struct topo *t, const struct topo_plan *plan, const struct topo_world *w,
	      struct topo_refusal *ret_refusal)
{
	struct making m = {
		.t = t, .plan = plan, .w = w, .refusal = ret_refusal, .rng = {plan->seed}};
	int r;

	memset(ret_refusal, 0, sizeof(*ret_refusal));
	r = make_lans(&m);
	if (r == 0)
		r = make_deckies(&m);
	if (r == 0)
		r = make_bridges(&m);
	return r < 0 ? r : topo_op_validate(t, w, ret_refusal);
}

int
topo_blank(struct topo *t, const struct topo_world *w, struct topo_refusal *ret_refusal)
{
	int r;

	memset(ret_refusal, 0, sizeof(*ret_refusal));
	r = make_lan(t, w, "dmz", true, ret_refusal);
	if (r == 0)
		r = make_decky(t, "dmz-gateway", json_pack("[s]", "ssh"), "deaddeck", t->lans[0].id,
			       ret_refusal);
	if (r < 0)
		return r;
	place(t->lans[0].has_xy, t->lans[0].xy, 40, 40);
	place(t->deckies[0].has_xy, t->deckies[0].xy, 20, 60);
	t->deckies[0].forwards_l3 = true;
	t->edges[0].is_bridge = t->edges[0].forwards_l3 = true;
	return 0;
}

int
topo_demo(struct topo *t, const struct topo_world *w, struct topo_refusal *ret_refusal)
{
	static const struct {
		const char *name, *archetype, *services[4];
		unsigned lan;
	} rows[] = {
		{"edge-gw", "deaddeck", {"telnet", "http"}, 0},
		{"web-01", "web-server", {"http"}, 0},
		{"web-02", "web-server", {"http", "redis"}, 1},
		{"db-01", "database-server", {"redis"}, 1},
		{"printer-01", "printer", {"http", "telnet"}, 1},
		{"nas-01", "linux-server", {"telnet", "http"}, 1},
	};
	int r;

	memset(ret_refusal, 0, sizeof(*ret_refusal));
	(void)snprintf(t->name, sizeof(t->name), "demo");
	r = make_lan(t, w, "dmz", true, ret_refusal);
	if (r == 0)
		r = make_lan(t, w, "inner", false, ret_refusal);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(rows); i++) {
		json_t *services = json_array();

		for (size_t s = 0; rows[i].services[s]; s++)
			(void)json_array_append_new(services, json_string(rows[i].services[s]));
		r = make_decky(t, rows[i].name, services, rows[i].archetype,
			       t->lans[rows[i].lan].id, ret_refusal);
		if (r == 0)
			place(t->deckies[i].has_xy, t->deckies[i].xy, 20 + 90.0 * (double)(i % 4),
			      60);
	}
	if (r == 0)
		r = topo_join(t, t->deckies[0].uuid, t->lans[1].id, NULL, true, true, ret_refusal,
			      NULL);
	if (r < 0)
		return r;
	place(t->lans[0].has_xy, t->lans[0].xy, 40, 40);
	place(t->lans[1].has_xy, t->lans[1].xy, 300, 40);
	t->deckies[0].forwards_l3 = true;
	for (size_t i = 0; i < t->nedges; i++)
		if (strcmp(t->edges[i].decky_uuid, t->deckies[0].uuid) == 0)
			t->edges[i].is_bridge = t->edges[i].forwards_l3 = true;
	(void)json_object_set_new(t->deckies[1].service_config, "http",
				  json_pack("{s:s}", "fake_app", "wordpress"));
	(void)json_object_set_new(t->deckies[4].service_config, "http",
				  json_pack("{s:s}", "server_header", "Virata-EmWeb/R6_2_1"));
	return topo_op_validate(t, w, ret_refusal);
}
