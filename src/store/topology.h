/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_TOPOLOGY_H
#define STORE_TOPOLOGY_H

/*
 * Topologies, their LANs, deckies and edges, status events, and the sensor hosts. Functions that
 * change rows run inside the caller's write transaction and append their journal rows to it. All
 * return 0 or a count or 1 for "found", or a negative errno of the store.
 */

#include <jansson.h>

#include "store/db.h"
#include "topology/addr.h"
#include "topology/model.h"
#include "topology/part.h"
#include "topology/rows.h"

/* 1 and the whole topology, 0 when there is none. */
int topology_load(struct db *db, const char *id, struct topo **ret_topo, struct err *e) A_NODISCARD;
/* The same without LANs, deckies and edges: for who wants to know its status or version. */
int topology_head(struct db *db, const char *id, struct topo **ret_topo, struct err *e) A_NODISCARD;
/* The same with the rows that the part names, and all LANs. */
int topology_load_part(struct db *db, const char *id, const struct topo_part *part,
		       struct topo **ret_topo, struct err *e) A_NODISCARD;
/* 1 and its id, 0 when no topology has the name. */
int topology_find_name(struct db *db, const char *name, char ret_id[ID_UUID_SIZE],
		       struct err *e) A_NODISCARD;
/* Array of Topology rows, newest first; `status` "" is any. */
int topology_list(struct db *db, const char *status, int64_t limit, int64_t offset,
		  json_t **ret_rows, struct err *e) A_NODISCARD;
/* The Topology row alone. 1, or 0 when there is none. */
int topology_row(struct db *db, const char *id, json_t **ret_row, struct err *e) A_NODISCARD;
int topology_count(struct db *db, const char *status, int64_t *ret, struct err *e) A_NODISCARD;

/* The pool and the subnets of all topologies but `except` that are not torn down.
 * topology_world_fini frees it. */
int topology_world(struct db *db, const char *pool, const char *except, struct topo_world *ret,
		   struct err *e) A_NODISCARD;
void topology_world_fini(struct topo_world *w);

/* Insert all rows; journals `created`. -EEXIST when the name is taken. */
int topology_insert(struct db *db, struct topo *t, uint64_t now_ms, struct err *e) A_NODISCARD;
/* Remove it with its queue and history; journals `deleted`. */
int topology_remove(struct db *db, const struct topo *t, uint64_t now_ms,
		    struct err *e) A_NODISCARD;
/* Write the LAN, decky and edge rows in which the two differ; if any do, their count of changes
 * rises, in `after` too. Journals nothing: the caller's event carries the changes. */
int topology_write_rows(struct db *db, const struct topo *before, struct topo *after,
			struct err *e) A_NODISCARD;
/* Add 1 to the version, in t too. */
int topology_bump(struct db *db, struct topo *t, struct err *e) A_NODISCARD;
/* Move to another status: row, StatusEvent, journal. -EPERM when contract 5.8 does not allow it;
 * -ESTALE when the stored status is not t's. */
int topology_set_status(struct db *db, struct topo *t, enum topo_status to, const char *reason,
			uint64_t now_ms, struct err *e) A_NODISCARD;
/* Array of StatusEvent, newest first. */
int topology_status_events(struct db *db, const char *id, int64_t limit, json_t **ret_rows,
			   struct err *e) A_NODISCARD;

/* Journal `topology.<id>.changed` with the changes between the two, if rows or the version differ.
 * `before` may be NULL. */
int topology_journal_changed(struct db *db, const struct topo *before, const struct topo *after,
			     uint64_t now_ms, struct err *e) A_NODISCARD;
/* Journal what a decky's events tell between the two: `state`, `service_added`, `service_removed`,
 * `service_config_changed`. `recreated`: array of "<uuid>/<service>" that restarted, or NULL. */
int topology_journal_deckies(struct db *db, const struct topo *before, const struct topo *after,
			     const json_t *recreated, uint64_t now_ms, struct err *e) A_NODISCARD;
/* Put `changes` (consumed) into a payload, or null and `refetch` when they are over the ceiling. */
int topology_put_changes(json_t *payload, json_t *own_changes) A_NODISCARD;
/* How often this process has left changes out at the ceiling. Any thread. */
uint64_t topology_changes_cut(void);

/* Store a direct edit: version + 1 (in `after` too), the rows that differ, and their journal rows.
 */
int topology_store_edit(struct db *db, const struct topo *before, struct topo *after,
			uint64_t now_ms, struct err *e) A_NODISCARD;

struct topology_ref {
	char id[ID_UUID_SIZE];
	enum topo_status status;
};

/* Topologies of this host that are deploying or being torn down, oldest first; `live`: active or
 * degraded ones instead. How many (<= max). */
int topology_refs(struct db *db, const char *host, bool live, size_t max, struct topology_ref *ret,
		  struct err *e) A_NODISCARD;

/* Array of the ids of topologies for which a driver may hold something. */
int topology_holding(struct db *db, json_t **ret_ids, struct err *e) A_NODISCARD;

int host_register(struct db *db, const char *name, const char *driver, uint64_t now_ms,
		  struct err *e) A_NODISCARD;
/* Array of `{name, driver}` of all hosts that have registered. */
int host_list(struct db *db, json_t **ret_rows, struct err *e) A_NODISCARD;
/* 1 when a mutator of that host has registered. */
int host_known(struct db *db, const char *name, struct err *e) A_NODISCARD;

#endif
