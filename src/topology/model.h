/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOPOLOGY_MODEL_H
#define TOPOLOGY_MODEL_H

/* A topology as plain data: its own row, LANs, deckies, and edges (one decky's membership of one
 * LAN). */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/attr.h"
#include "util/err.h"
#include "util/id.h"

#define TOPO_NAME_SIZE	257 /* 64 characters of UTF-8 */
#define TOPO_LABEL_SIZE 65
#define TOPO_IP_SIZE	16
#define TOPO_CIDR_SIZE	19

enum topo_status {
#define STATUS(name, word) TOPO_##name,
#include "topology/status.def"
#undef STATUS
	TOPO_STATUS_COUNT
};

enum decky_state {
#define DECKY_STATE(name, word) DECKY_##name,
#include "topology/status.def"
#undef DECKY_STATE
	DECKY_STATE_COUNT
};

struct topo_lan {
	char id[ID_UUID_SIZE];
	char name[TOPO_LABEL_SIZE];
	char subnet[TOPO_CIDR_SIZE];
	bool is_dmz;
	bool has_xy[2];
	double xy[2];
};

struct topo_decky {
	char uuid[ID_UUID_SIZE];
	char name[TOPO_LABEL_SIZE];
	char archetype[TOPO_LABEL_SIZE]; /* "" when it has none */
	bool forwards_l3;
	/* The JSON values are references, and copies of the model share them: topo_own before a
	 * change within one. */
	json_t *services;		/* array of texts */
	json_t *service_config;		/* object of objects */
	char home_lan_id[ID_UUID_SIZE]; /* "" when it has none */
	enum decky_state state;
	char *last_error;   /* heap or NULL */
	json_t *endpoints;  /* array */
	char host_addr[46]; /* the driver's address, "" when it has none */
	bool has_xy[2];
	double xy[2];
};

struct topo_edge {
	char id[ID_UUID_SIZE];
	char decky_uuid[ID_UUID_SIZE];
	char lan_id[ID_UUID_SIZE];
	char ip[TOPO_IP_SIZE];
	bool is_bridge;
	bool forwards_l3;
};

struct topo {
	char id[ID_UUID_SIZE];
	char name[TOPO_NAME_SIZE];
	bool agent;			   /* mode: "agent" or "unihost" */
	char target_host[TOPO_LABEL_SIZE]; /* "" when it has none */
	enum topo_status status;
	int64_t version;
	bool needs_resync;
	uint64_t created_ms, status_changed_ms;
	struct topo_lan *lans;
	struct topo_decky *deckies;
	struct topo_edge *edges;
	size_t nlans, ndeckies, nedges;
	/* Of a model that was loaded in part: how many rows the store has besides. */
	size_t more_deckies, more_edges;
	int64_t rows_no; /* counts the changes of its rows in the store */
};

const char *topo_status_word(enum topo_status s);
/* The status of that word, or TOPO_STATUS_COUNT. */
enum topo_status topo_status_find(const char *word);
const char *decky_state_word(enum decky_state s);
enum decky_state decky_state_find(const char *word);
/* Whether contract 5.8 allows the transition. */
bool topo_status_may(enum topo_status from, enum topo_status to);

/* An empty topology with a new id; NULL without memory. */
struct topo *topo_new(void);
void topo_free(struct topo *t);
/* A copy, or NULL without memory. It shares the JSON values of the deckies. */
struct topo *topo_copy(const struct topo *src);
/* The topology's own row from another model of it; LANs, deckies and edges stay. */
void topo_take_head(struct topo *t, const struct topo *from);
/* Put a copy in the place of a decky's JSON value, so that nobody else sees it change. 0 or
 * -ENOMEM. */
int topo_own(json_t **value) A_NODISCARD;

/* Room for one more row at the end, zeroed (a decky gets its empty JSON values); NULL without
 * memory. Pointers to rows of the kind become invalid. */
struct topo_lan *topo_add_lan(struct topo *t);
struct topo_decky *topo_add_decky(struct topo *t);
struct topo_edge *topo_add_edge(struct topo *t);
/* The row must be one of t's. Removing a LAN or decky removes its edges. */
void topo_remove_lan(struct topo *t, struct topo_lan *lan);
void topo_remove_decky(struct topo *t, struct topo_decky *decky);
/* If the edge was the decky's home, its oldest edge left becomes home, or none. */
void topo_remove_edge(struct topo *t, struct topo_edge *edge);

/* NULL when there is none. Names of LANs are compared without case where `any_case`. */
struct topo_lan *topo_lan_named(const struct topo *t, const char *name, bool any_case);
struct topo_lan *topo_lan_by_id(const struct topo *t, const char *id);
struct topo_decky *topo_decky_named(const struct topo *t, const char *name);
struct topo_decky *topo_decky_by_uuid(const struct topo *t, const char *uuid);
struct topo_edge *topo_edge_by_id(const struct topo *t, const char *id);
struct topo_edge *topo_edge_of(const struct topo *t, const char *decky_uuid, const char *lan_id);
/*
 * For walking two models side by side, whose rows have about one order: looks at place *at first (0
 * to begin with), and leaves there the place behind the row that was found. NULL when there is
 * none.
 */
struct topo_lan *topo_lan_next(const struct topo *t, const char *id, size_t *at);
struct topo_decky *topo_decky_next(const struct topo *t, const char *uuid, size_t *at);
struct topo_edge *topo_edge_next(const struct topo *t, const char *id, size_t *at);
/* Number of edges of a decky. */
unsigned topo_degree(const struct topo *t, const char *decky_uuid);
/* Whether the decky's services hold this name. */
bool topo_decky_has_service(const struct topo_decky *d, const char *service);

/* Contract 1.4. */
bool topo_name_ok(const char *name);
bool topo_lan_name_ok(const char *name);
bool topo_decky_name_ok(const char *name);

#endif
