/* SPDX-License-Identifier: Apache-2.0 */
/* REST rows of topologies. */
#include "topology/rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "topology/diff.h"
#include "util/json.h"

static json_t *
text_or_null(const char *text)
{
	return text[0] ? json_string(text) : json_null();
}

static json_t *
number_or_null(bool has, double value)
{
	if (!has)
		return json_null();
	/* A whole number is shown as one. */
	if (value == (double)(json_int_t)value && value > -1e15 && value < 1e15)
		return json_integer((json_int_t)value);
	return json_real(value);
}

json_t *
topology_json(const struct topo *t)
{
	return json_pack("{s:s, s:s, s:s, s:o, s:s, s:I, s:b, s:o, s:o, s:s, s:s}", "id", t->id,
			 "name", t->name, "mode", t->agent ? "agent" : "unihost", "target_host",
			 text_or_null(t->target_host), "status", topo_status_word(t->status),
			 "version", (json_int_t)t->version, "needs_resync", (int)t->needs_resync,
			 "created_at", json_time(t->created_ms), "status_changed_at",
			 json_time(t->status_changed_ms), "email_personas", "[]",
			 "language_default", "en");
}

json_t *
lan_json(const struct topo *t, const struct topo_lan *lan)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:b, s:o, s:o}", "id", lan->id, "topology_id", t->id,
			 "name", lan->name, "subnet", lan->subnet, "is_dmz", (int)lan->is_dmz, "x",
			 number_or_null(lan->has_xy[0], lan->xy[0]), "y",
			 number_or_null(lan->has_xy[1], lan->xy[1]));
}

/* Home LAN first, then the others in the order in which they were joined. */
static json_t *
ips_by_lan(const struct topo *t, const struct topo_decky *d)
{
	json_t *ips = json_object();

	for (int home = 1; home >= 0; home--) {
		for (size_t i = 0; i < t->nedges; i++) {
			const struct topo_edge *edge = &t->edges[i];
			const struct topo_lan *lan;

			if (strcmp(edge->decky_uuid, d->uuid) != 0 ||
			    (strcmp(edge->lan_id, d->home_lan_id) == 0) != (home == 1))
				continue;
			lan = topo_lan_by_id(t, edge->lan_id);
			if (lan)
				(void)json_object_set_new(ips, lan->name, json_string(edge->ip));
		}
	}
	return ips;
}

json_t *
decky_json(const struct topo *t, const struct topo_decky *d)
{
	const struct topo_edge *home =
		d->home_lan_id[0] ? topo_edge_of(t, d->uuid, d->home_lan_id) : NULL;
	bool serves = d->state == DECKY_RUNNING || d->state == DECKY_DEGRADED;
	json_t *config;

	config = json_pack("{s:s, s:o, s:b, s:o, s:O}", "name", d->name, "archetype",
			   text_or_null(d->archetype), "forwards_l3", (int)d->forwards_l3,
			   "ips_by_lan", ips_by_lan(t, d), "service_config", d->service_config);
	return json_pack("{s:s, s:s, s:s, s:O, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:o}", "uuid",
			 d->uuid, "topology_id", t->id, "name", d->name, "services", d->services,
			 "decky_config", config, "home_lan_id", text_or_null(d->home_lan_id), "ip",
			 home ? json_string(home->ip) : json_null(), "state",
			 decky_state_word(d->state), "last_error", json_text_or_null(d->last_error),
			 "endpoints", serves ? json_incref(d->endpoints) : json_array(), "x",
			 number_or_null(d->has_xy[0], d->xy[0]), "y",
			 number_or_null(d->has_xy[1], d->xy[1]));
}

json_t *
edge_json(const struct topo *t, const struct topo_edge *edge)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:b}", "id", edge->id, "topology_id",
			 t->id, "decky_uuid", edge->decky_uuid, "lan_id", edge->lan_id, "ip",
			 edge->ip, "is_bridge", (int)edge->is_bridge, "forwards_l3",
			 (int)edge->forwards_l3);
}

static int
by_lan_name(const void *a, const void *b)
{
	return strcmp((*(const struct topo_lan *const *)a)->name,
		      (*(const struct topo_lan *const *)b)->name);
}

static int
by_decky_name(const void *a, const void *b)
{
	return strcmp((*(const struct topo_decky *const *)a)->name,
		      (*(const struct topo_decky *const *)b)->name);
}

static int
by_edge_id(const void *a, const void *b)
{
	return strcmp((*(const struct topo_edge *const *)a)->id,
		      (*(const struct topo_edge *const *)b)->id);
}

json_t *
topology_detail_json(const struct topo *t)
{
	json_t *lans = json_array(), *deckies = json_array(), *edges = json_array();
	size_t most = t->nlans + t->ndeckies + t->nedges + 1;
	const void **order = calloc(most, sizeof(*order));

	if (order) {
		for (size_t i = 0; i < t->nlans; i++)
			order[i] = &t->lans[i];
		qsort(order, t->nlans, sizeof(*order), by_lan_name);
		for (size_t i = 0; i < t->nlans; i++)
			(void)json_array_append_new(lans, lan_json(t, order[i]));
		for (size_t i = 0; i < t->ndeckies; i++)
			order[i] = &t->deckies[i];
		qsort(order, t->ndeckies, sizeof(*order), by_decky_name);
		for (size_t i = 0; i < t->ndeckies; i++)
			(void)json_array_append_new(deckies, decky_json(t, order[i]));
		for (size_t i = 0; i < t->nedges; i++)
			order[i] = &t->edges[i];
		qsort(order, t->nedges, sizeof(*order), by_edge_id);
		for (size_t i = 0; i < t->nedges; i++)
			(void)json_array_append_new(edges, edge_json(t, order[i]));
	}
	free(order);
	return json_pack("{s:o, s:o, s:o, s:o}", "topology", topology_json(t), "lans", lans,
			 "deckies", deckies, "edges", edges);
}

/* Takes the row over; NULL for a deletion. */
static void
add_change(json_t *changes, const char *kind, const char *action, const char *id, json_t *own_row)
{
	(void)json_array_append_new(changes, json_pack("{s:s, s:s, s:s, s:o}", "kind", kind,
						       "action", action, "id", id, "row",
						       own_row ? own_row : json_null()));
}

/* Both rows are taken over. */
static void
compare(json_t *changes, const char *kind, const char *id, json_t *own_old, json_t *own_new)
{
	if (!own_old)
		add_change(changes, kind, "created", id, json_incref(own_new));
	else if (!json_equal(own_old, own_new))
		add_change(changes, kind, "updated", id, json_incref(own_new));
	json_decref(own_old);
	json_decref(own_new);
}

static void
deleted_rows(json_t *changes, const struct topo *before, const struct topo *after)
{
	size_t at = 0;

	for (size_t i = 0; i < before->nedges; i++)
		if (!topo_edge_next(after, before->edges[i].id, &at))
			add_change(changes, "edge", "deleted", before->edges[i].id, NULL);
	at = 0;
	for (size_t i = 0; i < before->ndeckies; i++)
		if (!topo_decky_next(after, before->deckies[i].uuid, &at))
			add_change(changes, "decky", "deleted", before->deckies[i].uuid, NULL);
	at = 0;
	for (size_t i = 0; i < before->nlans; i++)
		if (!topo_lan_next(after, before->lans[i].id, &at))
			add_change(changes, "lan", "deleted", before->lans[i].id, NULL);
}

static void
changed_lans(json_t *changes, const struct topo *before, const struct topo *after)
{
	size_t at = 0;

	for (size_t i = 0; i < after->nlans; i++) {
		const struct topo_lan *lan = &after->lans[i];
		const struct topo_lan *old = before ? topo_lan_next(before, lan->id, &at) : NULL;

		if (!old || !topo_lan_untouched(old, lan))
			compare(changes, "lan", lan->id, old ? lan_json(before, old) : NULL,
				lan_json(after, lan));
	}
}

static int
changed_deckies(json_t *changes, const struct topo *before, const struct topo *after)
{
	bool *touched = topo_touched(before, after);
	size_t at = 0;

	for (size_t i = 0; touched && i < after->ndeckies; i++) {
		const struct topo_decky *d = &after->deckies[i], *old;

		if (!touched[i])
			continue;
		old = before ? topo_decky_next(before, d->uuid, &at) : NULL;
		compare(changes, "decky", d->uuid, old ? decky_json(before, old) : NULL,
			decky_json(after, d));
	}
	free(touched);
	return touched ? 0 : -ENOMEM;
}

static void
changed_edges(json_t *changes, const struct topo *before, const struct topo *after)
{
	size_t at = 0;

	for (size_t i = 0; i < after->nedges; i++) {
		const struct topo_edge *edge = &after->edges[i];
		const struct topo_edge *old = before ? topo_edge_next(before, edge->id, &at) : NULL;

		if (!old || !topo_edge_untouched(old, edge))
			compare(changes, "edge", edge->id, old ? edge_json(before, old) : NULL,
				edge_json(after, edge));
	}
}

json_t *
topo_changes(const struct topo *before, const struct topo *after)
{
	json_t *changes = json_array();

	if (before)
		deleted_rows(changes, before, after);
	changed_lans(changes, before, after);
	if (changed_deckies(changes, before, after) < 0) {
		json_decref(changes);
		return NULL;
	}
	changed_edges(changes, before, after);
	return changes;
}
