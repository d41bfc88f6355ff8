/* SPDX-License-Identifier: Apache-2.0 */
/* Validation of a whole topology. */
#include "topology/validate.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "topology/catalog.h"
#include "util/json.h"
#include "util/sv.h"

enum code {
#define CODE(name, is_error, deploy) CODE_##name,
#include "topology/codes.def"
#undef CODE
};

static const struct {
	const char *name;
	bool is_error, deploy;
} codes[] = {
#define CODE(name, is_error, deploy) {#name, is_error, deploy},
#include "topology/codes.def"
#undef CODE
};

struct report {
	json_t *errors, *warnings;
	bool deploy;
};

#define NOWHERE SIZE_MAX

/* Rows by what they are looked up by, so that the work is not the square of the rows. */
struct index {
	const struct topo_lan **lans;	   /* by id */
	const struct topo_decky **deckies; /* by uuid, then (check_deckies) by name */
	const struct topo_edge **edges;	   /* by LAN and address */
	size_t *lan_of, *decky_of;	   /* by edge: its LAN's and decky's place, or NOWHERE */
	size_t *degree;			   /* by decky */
};

static void issue(struct report *r, enum code code, const char *kind, const char *name,
		  const char *fmt, ...) A_PRINTF(5, 6);

static void
issue(struct report *r, enum code code, const char *kind, const char *name, const char *fmt, ...)
{
	char message[512];
	va_list ap;

	if (codes[code].deploy && !r->deploy)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	(void)json_array_append_new(
		codes[code].is_error ? r->errors : r->warnings,
		json_pack("{s:s, s:s, s:o, s:o}", "severity",
			  codes[code].is_error ? "error" : "warning", "code", codes[code].name,
			  "message", json_view(sv_from(message)), "target",
			  name ? json_pack("{s:s}", kind, name) : json_object()));
}

static void
check_lans(struct report *r, const struct topo *t, const struct topo_world *w)
{
	struct cidr a, b;
	size_t dmz = 0;

	for (size_t i = 0; i < t->nlans; i++) {
		const struct topo_lan *lan = &t->lans[i];
		bool good = cidr_parse_lan(lan->subnet, &a) == 0;

		dmz += lan->is_dmz;
		if (!good)
			issue(r, CODE_SUBNET_MALFORMED, "lan", lan->name,
			      "subnet '%s' is malformed", lan->subnet);
		for (size_t j = 0; j < i; j++) {
			const struct topo_lan *other = &t->lans[j];

			if (sv_eq_ci(sv_from(lan->name), sv_from(other->name)))
				issue(r, CODE_LAN_NAME_DUP, "lan", lan->name,
				      "LAN '%s' exists twice", lan->name);
			if (good && cidr_parse_lan(other->subnet, &b) == 0 && cidr_overlap(a, b))
				issue(r, CODE_SUBNET_OVERLAP, "lan", lan->name,
				      "subnet %s overlaps LAN '%s'", lan->subnet, other->name);
		}
		for (size_t j = 0; good && w && j < w->nused; j++)
			if (cidr_overlap(a, w->used[j].subnet))
				issue(r, CODE_SUBNET_OVERLAP, "lan", lan->name,
				      "subnet %s overlaps LAN '%s' of topology '%s'", lan->subnet,
				      w->used[j].lan, w->used[j].topology);
	}
	if (dmz == 0)
		issue(r, CODE_DMZ_MISSING, NULL, NULL, "no LAN is the DMZ");
	if (dmz > 1)
		issue(r, CODE_DMZ_MULTIPLE, NULL, NULL, "%zu LANs are marked as the DMZ", dmz);
}

static int
by_lan_id(const void *a, const void *b)
{
	return strcmp((*(const struct topo_lan *const *)a)->id,
		      (*(const struct topo_lan *const *)b)->id);
}

static int
by_decky_uuid(const void *a, const void *b)
{
	return strcmp((*(const struct topo_decky *const *)a)->uuid,
		      (*(const struct topo_decky *const *)b)->uuid);
}

static int
by_decky_name(const void *a, const void *b)
{
	return strcmp((*(const struct topo_decky *const *)a)->name,
		      (*(const struct topo_decky *const *)b)->name);
}

static int
by_address(const void *a, const void *b)
{
	const struct topo_edge *x = *(const struct topo_edge *const *)a,
			       *y = *(const struct topo_edge *const *)b;
	int order = strcmp(x->lan_id, y->lan_id);

	return order ? order : strcmp(x->ip, y->ip);
}

static void
index_fini(struct index *x)
{
	free(x->lans);
	free(x->deckies);
	free(x->edges);
	free(x->lan_of);
	free(x->decky_of);
	free(x->degree);
}

/* Looked for at the place `at` of the index first. */
static const struct topo_lan **
find_lan(const struct index *x, const struct topo *t, const char *id, size_t at)
{
	struct topo_lan lan;
	const struct topo_lan *key = &lan;

	if (at < t->nlans && strcmp(x->lans[at]->id, id) == 0)
		return &x->lans[at];
	memcpy(lan.id, id, sizeof(lan.id));
	return bsearch(&key, x->lans, t->nlans, sizeof(void *), by_lan_id);
}

static const struct topo_decky **
find_decky(const struct index *x, const struct topo *t, const char *uuid, size_t at)
{
	struct topo_decky decky;
	const struct topo_decky *key = &decky;

	if (at < t->ndeckies && strcmp(x->deckies[at]->uuid, uuid) == 0)
		return &x->deckies[at];
	memcpy(decky.uuid, uuid, sizeof(decky.uuid));
	return bsearch(&key, x->deckies, t->ndeckies, sizeof(void *), by_decky_uuid);
}

/* Rows are mostly in their order already. */
static void
sort(void *rows, size_t n, int (*compare)(const void *, const void *))
{
	void **v = rows;

	for (size_t i = 1; i < n; i++) {
		if (compare(&v[i - 1], &v[i]) > 0) {
			qsort(v, n, sizeof(*v), compare);
			return;
		}
	}
}

static void
index_edges(struct index *x, const struct topo *t)
{
	size_t lan = 0, decky = 0;

	for (size_t i = 0; i < t->nedges; i++) {
		const struct topo_edge *edge = &t->edges[i];
		const struct topo_lan **found_lan = find_lan(x, t, edge->lan_id, lan);
		const struct topo_decky **found_decky = find_decky(x, t, edge->decky_uuid, decky);

		/* Edges are made in about the order of their deckies, many on one LAN. */
		lan = found_lan ? (size_t)(found_lan - x->lans) : lan;
		decky = found_decky ? (size_t)(found_decky - x->deckies) + 1 : decky;
		x->lan_of[i] = found_lan ? (size_t)(*found_lan - t->lans) : NOWHERE;
		x->decky_of[i] = found_decky ? (size_t)(*found_decky - t->deckies) : NOWHERE;
		if (found_decky)
			x->degree[x->decky_of[i]]++;
		x->edges[i] = &t->edges[i];
	}
}

static int
index_make(struct index *x, const struct topo *t)
{
	*x = (struct index){
		.lans = calloc(t->nlans + 1, sizeof(void *)),
		.deckies = calloc(t->ndeckies + 1, sizeof(void *)),
		.edges = calloc(t->nedges + 1, sizeof(void *)),
		.lan_of = calloc(t->nedges + 1, sizeof(*x->lan_of)),
		.decky_of = calloc(t->nedges + 1, sizeof(*x->decky_of)),
		.degree = calloc(t->ndeckies + 1, sizeof(*x->degree)),
	};
	if (!x->lans || !x->deckies || !x->edges || !x->lan_of || !x->decky_of || !x->degree)
		return -ENOMEM;
	for (size_t i = 0; i < t->nlans; i++)
		x->lans[i] = &t->lans[i];
	for (size_t i = 0; i < t->ndeckies; i++)
		x->deckies[i] = &t->deckies[i];
	sort(x->lans, t->nlans, by_lan_id);
	sort(x->deckies, t->ndeckies, by_decky_uuid);
	index_edges(x, t);
	sort(x->edges, t->nedges, by_address);
	return 0;
}

static void
check_edges(struct report *r, const struct topo *t, const struct index *x)
{
	for (size_t i = 0; i < t->nedges; i++) {
		const struct topo_edge *edge = &t->edges[i];
		const struct topo_lan *lan =
			x->lan_of[i] == NOWHERE ? NULL : &t->lans[x->lan_of[i]];
		const char *name = x->decky_of[i] == NOWHERE ? edge->decky_uuid
							     : t->deckies[x->decky_of[i]].name;
		struct cidr c;
		uint32_t ip;

		if (!lan)
			issue(r, CODE_IP_UNKNOWN_LAN, "decky", name,
			      "decky '%s' has an address on a LAN that is not there", name);
		else if (ip_parse(edge->ip, &ip) < 0)
			issue(r, CODE_IP_MALFORMED, "decky", name, "'%s' is not an address",
			      edge->ip);
		else if (cidr_parse(lan->subnet, 0, 32, &c) == 0 && !cidr_holds(c, ip))
			issue(r, CODE_IP_OUT_OF_SUBNET, "decky", name, "%s not in %s", edge->ip,
			      lan->subnet);
	}
	for (size_t i = 1; i < t->nedges; i++) {
		const struct topo_edge *edge = x->edges[i];
		const struct topo_lan *lan;

		if (by_address(&x->edges[i - 1], &x->edges[i]) != 0)
			continue;
		lan = topo_lan_by_id(t, edge->lan_id);
		if (lan)
			issue(r, CODE_IP_COLLISION, "lan", lan->name,
			      "%s is used twice on LAN '%s'", edge->ip, lan->name);
	}
}

static void
check_services(struct report *r, const struct topo_decky *d)
{
	struct {
		const char *service;
		unsigned port;
	} taken[256];
	size_t ntaken = 0, i;
	const json_t *item;
	json_t *config;
	const char *key;

	json_array_foreach(d->services, i, item)
	{
		const char *name = json_string_value(item);
		unsigned ports[8];
		size_t n;

		if (!catalog_service(name)) {
			issue(r, CODE_UNKNOWN_SERVICE, "decky", d->name, "unknown service '%s'",
			      name);
			continue;
		}
		if (!catalog_available(name))
			issue(r, CODE_SERVICE_UNAVAILABLE, "decky", d->name,
			      "service '%s' of decky '%s' is not available in this build and opens "
			      "no port",
			      name, d->name);
		n = catalog_tcp_ports(name, ports, ARRAY_LEN(ports));
		for (size_t p = 0; p < n; p++) {
			for (size_t k = 0; k < ntaken; k++)
				if (taken[k].port == ports[p])
					issue(r, CODE_SERVICE_PORT_DUP, "decky", d->name,
					      "services '%s' and '%s' of decky '%s' both want port "
					      "%u",
					      taken[k].service, name, d->name, ports[p]);
			if (ntaken < ARRAY_LEN(taken)) {
				taken[ntaken].service = name;
				taken[ntaken++].port = ports[p];
			}
		}
	}
	json_object_foreach(d->service_config, key, config) if (!topo_decky_has_service(d, key))
		issue(r, CODE_SERVICE_CFG_UNDECLARED, "decky", d->name,
		      "decky '%s' has configuration for service '%s' but not the service", d->name,
		      key);
}

static void
check_deckies(struct report *r, const struct topo *t, struct index *x)
{
	sort(x->deckies, t->ndeckies, by_decky_name);
	for (size_t i = 1; i < t->ndeckies; i++)
		if (by_decky_name(&x->deckies[i - 1], &x->deckies[i]) == 0)
			issue(r, CODE_DECKY_NAME_DUP, "decky", x->deckies[i]->name,
			      "decky '%s' exists twice", x->deckies[i]->name);
	for (size_t i = 0; i < t->ndeckies; i++) {
		const struct topo_decky *d = &t->deckies[i];

		if (x->degree[i] == 0)
			issue(r, CODE_DECKY_ORPHAN, "decky", d->name, "decky '%s' is on no LAN",
			      d->name);
		check_services(r, d);
	}
}

/* Which LANs a chain of shared deckies joins to the DMZ: LANs reach their deckies and deckies their
 * LANs, until nothing is added. */
static int
check_reach(struct report *r, const struct topo *t, const struct index *x)
{
	bool *lans = calloc(t->nlans + 1, sizeof(*lans));
	bool *deckies = calloc(t->ndeckies + 1, sizeof(*deckies));
	bool have = lans && deckies, grew = have;

	for (size_t i = 0; have && i < t->nlans; i++)
		lans[i] = t->lans[i].is_dmz;
	while (grew) {
		grew = false;
		for (size_t i = 0; i < t->nedges; i++) {
			size_t lan = x->lan_of[i], decky = x->decky_of[i];

			if (lan == NOWHERE || decky == NOWHERE || lans[lan] == deckies[decky])
				continue;
			lans[lan] = deckies[decky] = grew = true;
		}
	}
	for (size_t i = 0; have && i < t->nlans; i++)
		if (!lans[i])
			issue(r, CODE_DMZ_ORPHAN, "lan", t->lans[i].name,
			      "no chain of deckies joins LAN '%s' to the DMZ", t->lans[i].name);
	free(deckies);
	free(lans);
	return have ? 0 : -ENOMEM;
}

json_t *
topo_validate(const struct topo *t, const struct topo_world *w, bool deploy)
{
	struct report r = {json_array(), json_array(), deploy};
	struct index x;
	int q = index_make(&x, t);

	if (q == 0) {
		check_lans(&r, t, w);
		check_edges(&r, t, &x);
		check_deckies(&r, t, &x);
		if (deploy)
			q = check_reach(&r, t, &x);
	}
	index_fini(&x);
	if (q < 0 || json_array_extend(r.errors, r.warnings) < 0) {
		json_decref(r.errors);
		r.errors = NULL;
	}
	json_decref(r.warnings);
	return r.errors;
}

void
topo_warn_port(json_t *issues, const char *decky, const char *service, unsigned port)
{
	struct report r = {issues, issues, true};

	issue(&r, CODE_PORT_COLLISION, "decky", decky,
	      "port %u of service '%s' of gateway '%s' is taken on the host", port, service, decky);
}

bool
topo_has_errors(const json_t *issues)
{
	const char *severity = json_get_text(json_array_get(issues, 0), "severity");

	return severity && strcmp(severity, "error") == 0;
}

void
topo_error_codes(const json_t *issues, char *dst, size_t dst_size)
{
	const json_t *item;
	size_t i, n = 0;

	dst[0] = 0;
	/* codes.def is sorted, so walking it gives each code once and in order. */
	for (size_t c = 0; c < ARRAY_LEN(codes); c++) {
		bool there = false;

		json_array_foreach(issues, i, item) there |=
			codes[c].is_error &&
			strcmp(json_get_text(item, "code"), codes[c].name) == 0;
		if (there && n < dst_size)
			n += (size_t)snprintf(dst + n, dst_size - n, "%s%s", n ? ", " : "",
					      codes[c].name);
	}
}
