/* SPDX-License-Identifier: Apache-2.0 */
/* The topology as plain data: making, copying, finding, removing. */
#include "topology/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/sv.h"

static const char *const status_words[] = {
#define STATUS(name, word) word,
#include "topology/status.def"
#undef STATUS
};
static const char *const state_words[] = {
#define DECKY_STATE(name, word) word,
#include "topology/status.def"
#undef DECKY_STATE
};

/* Contract 5.8, a bit for each status that may follow. */
static const unsigned may_follow[TOPO_STATUS_COUNT] = {
	[TOPO_PENDING] = 1u << TOPO_DEPLOYING | 1u << TOPO_TORN_DOWN,
	[TOPO_DEPLOYING] = 1u << TOPO_ACTIVE | 1u << TOPO_FAILED | 1u << TOPO_DEGRADED |
			   1u << TOPO_TEARING_DOWN,
	[TOPO_ACTIVE] = 1u << TOPO_DEGRADED | 1u << TOPO_TEARING_DOWN,
	[TOPO_DEGRADED] = 1u << TOPO_ACTIVE | 1u << TOPO_TEARING_DOWN,
	[TOPO_FAILED] = 1u << TOPO_TEARING_DOWN,
	[TOPO_TEARING_DOWN] = 1u << TOPO_TORN_DOWN | 1u << TOPO_DEGRADED,
};

const char *
topo_status_word(enum topo_status s)
{
	return s < TOPO_STATUS_COUNT ? status_words[s] : "unknown";
}

enum topo_status
topo_status_find(const char *word)
{
	unsigned i = 0;

	while (i < TOPO_STATUS_COUNT && (!word || strcmp(status_words[i], word) != 0))
		i++;
	return (enum topo_status)i;
}

const char *
decky_state_word(enum decky_state s)
{
	return s < DECKY_STATE_COUNT ? state_words[s] : "unknown";
}

enum decky_state
decky_state_find(const char *word)
{
	unsigned i = 0;

	while (i < DECKY_STATE_COUNT && (!word || strcmp(state_words[i], word) != 0))
		i++;
	return (enum decky_state)i;
}

bool
topo_status_may(enum topo_status from, enum topo_status to)
{
	return from < TOPO_STATUS_COUNT && to < TOPO_STATUS_COUNT && (may_follow[from] >> to & 1);
}

struct topo *
topo_new(void)
{
	struct topo *t = calloc(1, sizeof(*t));

	if (t)
		id_uuid7(t->id);
	return t;
}

static void
decky_fini(struct topo_decky *d)
{
	json_decref(d->services);
	json_decref(d->service_config);
	json_decref(d->endpoints);
	free(d->last_error);
}

void
topo_free(struct topo *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->ndeckies; i++)
		decky_fini(&t->deckies[i]);
	free(t->lans);
	free(t->deckies);
	free(t->edges);
	free(t);
}

/* Every array has room for the next power of two, so its room follows from its number. */
static size_t
room_for(size_t n)
{
	size_t room = 1;

	while (room < n)
		room *= 2;
	return room;
}

/* One zeroed element more; NULL without memory, and the array is as it was. */
static void *
grow(void **array, size_t *n, size_t size)
{
	char *p = *array;

	if (*n == 0 || room_for(*n) == *n)
		p = realloc(p, room_for(*n + 1) * size);
	if (!p)
		return NULL;
	*array = p;
	memset(p + *n * size, 0, size);
	return p + (*n)++ * size;
}

struct topo_lan *
topo_add_lan(struct topo *t)
{
	return grow((void **)&t->lans, &t->nlans, sizeof(*t->lans));
}

struct topo_edge *
topo_add_edge(struct topo *t)
{
	return grow((void **)&t->edges, &t->nedges, sizeof(*t->edges));
}

struct topo_decky *
topo_add_decky(struct topo *t)
{
	struct topo_decky *d = grow((void **)&t->deckies, &t->ndeckies, sizeof(*t->deckies));

	if (!d)
		return NULL;
	d->services = json_array();
	d->service_config = json_object();
	d->endpoints = json_array();
	if (!d->services || !d->service_config || !d->endpoints) {
		decky_fini(d);
		t->ndeckies--;
		return NULL;
	}
	return d;
}

static int
copy_decky(struct topo *t, const struct topo_decky *src)
{
	struct topo_decky *d = &t->deckies[t->ndeckies++];

	*d = *src;
	json_incref(d->services);
	json_incref(d->service_config);
	json_incref(d->endpoints);
	d->last_error = src->last_error ? strdup(src->last_error) : NULL;
	return !src->last_error == !d->last_error ? 0 : -ENOMEM;
}

struct topo *
topo_copy(const struct topo *src)
{
	struct topo *t = calloc(1, sizeof(*t));
	int r = 0;

	if (!t)
		return NULL;
	*t = *src;
	t->nlans = t->ndeckies = t->nedges = 0;
	t->lans = calloc(room_for(src->nlans), sizeof(*t->lans));
	t->edges = calloc(room_for(src->nedges), sizeof(*t->edges));
	t->deckies = calloc(room_for(src->ndeckies), sizeof(*t->deckies));
	if (!t->lans || !t->edges || !t->deckies)
		r = -ENOMEM;
	for (size_t i = 0; r == 0 && i < src->ndeckies; i++)
		r = copy_decky(t, &src->deckies[i]);
	if (r < 0) {
		topo_free(t);
		return NULL;
	}
	for (size_t i = 0; i < src->nlans; i++)
		t->lans[t->nlans++] = src->lans[i];
	for (size_t i = 0; i < src->nedges; i++)
		t->edges[t->nedges++] = src->edges[i];
	return t;
}

void
topo_take_head(struct topo *t, const struct topo *from)
{
	struct topo rows = *t;

	*t = *from;
	t->lans = rows.lans;
	t->deckies = rows.deckies;
	t->edges = rows.edges;
	t->nlans = rows.nlans;
	t->ndeckies = rows.ndeckies;
	t->nedges = rows.nedges;
	t->more_deckies = rows.more_deckies;
	t->more_edges = rows.more_edges;
}

int
topo_own(json_t **value)
{
	json_t *own = json_deep_copy(*value);

	if (!own)
		return -ENOMEM;
	json_decref(*value);
	*value = own;
	return 0;
}

static void
remove_at(void *array, size_t *n, size_t size, size_t at)
{
	char *p = array;

	memmove(p + at * size, p + (at + 1) * size, (*n - at - 1) * size);
	(*n)--;
}

static void
remove_edges(struct topo *t, const char *decky_uuid, const char *lan_id)
{
	for (size_t i = t->nedges; i-- > 0;) {
		struct topo_edge *edge = &t->edges[i];

		if ((decky_uuid && strcmp(edge->decky_uuid, decky_uuid) == 0) ||
		    (lan_id && strcmp(edge->lan_id, lan_id) == 0))
			topo_remove_edge(t, edge);
	}
}

void
topo_remove_lan(struct topo *t, struct topo_lan *lan)
{
	char id[ID_UUID_SIZE];

	memcpy(id, lan->id, sizeof(id));
	remove_edges(t, NULL, id);
	remove_at(t->lans, &t->nlans, sizeof(*t->lans), (size_t)(lan - t->lans));
}

void
topo_remove_decky(struct topo *t, struct topo_decky *decky)
{
	char uuid[ID_UUID_SIZE];

	memcpy(uuid, decky->uuid, sizeof(uuid));
	remove_edges(t, uuid, NULL);
	decky_fini(decky);
	remove_at(t->deckies, &t->ndeckies, sizeof(*t->deckies), (size_t)(decky - t->deckies));
}

void
topo_remove_edge(struct topo *t, struct topo_edge *edge)
{
	struct topo_decky *d = topo_decky_by_uuid(t, edge->decky_uuid);
	struct topo_edge gone = *edge, *oldest = NULL;

	remove_at(t->edges, &t->nedges, sizeof(*t->edges), (size_t)(edge - t->edges));
	if (!d || strcmp(d->home_lan_id, gone.lan_id) != 0)
		return;
	/* Ids are made in rising order, so the smallest is the oldest. */
	for (size_t i = 0; i < t->nedges; i++)
		if (strcmp(t->edges[i].decky_uuid, d->uuid) == 0 &&
		    (!oldest || strcmp(t->edges[i].id, oldest->id) < 0))
			oldest = &t->edges[i];
	if (oldest)
		memcpy(d->home_lan_id, oldest->lan_id, sizeof(d->home_lan_id));
	else
		d->home_lan_id[0] = 0;
}

struct topo_lan *
topo_lan_named(const struct topo *t, const char *name, bool any_case)
{
	for (size_t i = 0; i < t->nlans; i++)
		if (any_case ? sv_eq_ci(sv_from(t->lans[i].name), sv_from(name))
			     : strcmp(t->lans[i].name, name) == 0)
			return &t->lans[i];
	return NULL;
}

struct topo_lan *
topo_lan_by_id(const struct topo *t, const char *id)
{
	for (size_t i = 0; i < t->nlans; i++)
		if (strcmp(t->lans[i].id, id) == 0)
			return &t->lans[i];
	return NULL;
}

struct topo_decky *
topo_decky_named(const struct topo *t, const char *name)
{
	for (size_t i = 0; i < t->ndeckies; i++)
		if (strcmp(t->deckies[i].name, name) == 0)
			return &t->deckies[i];
	return NULL;
}

struct topo_decky *
topo_decky_by_uuid(const struct topo *t, const char *uuid)
{
	for (size_t i = 0; i < t->ndeckies; i++)
		if (strcmp(t->deckies[i].uuid, uuid) == 0)
			return &t->deckies[i];
	return NULL;
}

struct topo_edge *
topo_edge_by_id(const struct topo *t, const char *id)
{
	for (size_t i = 0; i < t->nedges; i++)
		if (strcmp(t->edges[i].id, id) == 0)
			return &t->edges[i];
	return NULL;
}

struct topo_lan *
topo_lan_next(const struct topo *t, const char *id, size_t *at)
{
	struct topo_lan *lan = *at < t->nlans && strcmp(t->lans[*at].id, id) == 0
				       ? &t->lans[*at]
				       : topo_lan_by_id(t, id);

	if (lan)
		*at = (size_t)(lan - t->lans) + 1;
	return lan;
}

struct topo_decky *
topo_decky_next(const struct topo *t, const char *uuid, size_t *at)
{
	struct topo_decky *d = *at < t->ndeckies && strcmp(t->deckies[*at].uuid, uuid) == 0
				       ? &t->deckies[*at]
				       : topo_decky_by_uuid(t, uuid);

	if (d)
		*at = (size_t)(d - t->deckies) + 1;
	return d;
}

struct topo_edge *
topo_edge_next(const struct topo *t, const char *id, size_t *at)
{
	struct topo_edge *edge = *at < t->nedges && strcmp(t->edges[*at].id, id) == 0
					 ? &t->edges[*at]
					 : topo_edge_by_id(t, id);

	if (edge)
		*at = (size_t)(edge - t->edges) + 1;
	return edge;
}

struct topo_edge *
topo_edge_of(const struct topo *t, const char *decky_uuid, const char *lan_id)
{
	for (size_t i = 0; i < t->nedges; i++)
		if (strcmp(t->edges[i].decky_uuid, decky_uuid) == 0 &&
		    strcmp(t->edges[i].lan_id, lan_id) == 0)
			return &t->edges[i];
	return NULL;
}

unsigned
topo_degree(const struct topo *t, const char *decky_uuid)
{
	unsigned n = 0;

	for (size_t i = 0; i < t->nedges; i++)
		n += strcmp(t->edges[i].decky_uuid, decky_uuid) == 0;
	return n;
}

bool
topo_decky_has_service(const struct topo_decky *d, const char *service)
{
	const json_t *item;
	size_t i;

	json_array_foreach(d->services, i,
			   item) if (strcmp(json_string_value(item), service) == 0) return true;
	return false;
}

bool
topo_name_ok(const char *name)
{
	size_t chars = 0;

	if (!sv_utf8(sv_from(name)))
		return false;
	for (const unsigned char *p = (const unsigned char *)name; *p; p++) {
		/* C0, DEL, and C1 (two bytes, the first 0xc2). */
		if (*p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] < 0xa0))
			return false;
		chars += (*p & 0xc0) != 0x80;
	}
	return chars >= 1 && chars <= 64;
}

static bool
alnum(char c, bool upper)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (upper && c >= 'A' && c <= 'Z');
}

bool
topo_lan_name_ok(const char *name)
{
	size_t n = strlen(name);

	if (n < 1 || n > 64 || !alnum(name[0], true))
		return false;
	for (size_t i = 1; i < n; i++)
		if (!alnum(name[i], true) && name[i] != '_' && name[i] != '-')
			return false;
	return true;
}

bool
topo_decky_name_ok(const char *name)
{
	size_t n = strlen(name);

	if (n < 1 || n > 64 || !alnum(name[0], false) || !alnum(name[n - 1], false))
		return false;
	for (size_t i = 1; i < n; i++)
		if (!alnum(name[i], false) && name[i] != '-')
			return false;
	return true;
}
