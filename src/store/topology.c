/* SPDX-License-Identifier: Apache-2.0 */
/* Topology rows: reading them into a model and writing the difference of two models. */
#include "store/topology.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/rows.h"
#include "topology/diff.h"
#include "util/json.h"
#include "util/sv.h"

static void
copy(const char *text, char *dst, size_t size)
{
	(void)snprintf(dst, size, "%s", text ? text : "");
}

static void
read_xy(struct db_stmt *st, int at, bool has[2], double xy[2])
{
	for (int i = 0; i < 2; i++) {
		has[i] = !db_col_null(st, at + i);
		xy[i] = has[i] ? db_col_real(st, at + i) : 0;
	}
}

static void
bind_xy(struct db_stmt *st, int at, const bool has[2], const double xy[2])
{
	for (int i = 0; i < 2; i++) {
		if (has[i])
			db_bind_real(st, at + i, xy[i]);
		else
			db_bind_null(st, at + i);
	}
}

static void
bind_optional(struct db_stmt *st, int at, const char *text)
{
	db_bind_text(st, at, text[0] ? text : NULL);
}

/* The columns that TOPOLOGY_GET and TOPOLOGY_LIST share. */
static void
read_topology(struct db_stmt *st, struct topo *t)
{
	copy(db_col_text(st, 0), t->id, sizeof(t->id));
	copy(db_col_text(st, 1), t->name, sizeof(t->name));
	t->agent = strcmp(db_col_text(st, 2), "agent") == 0;
	copy(db_col_text(st, 3), t->target_host, sizeof(t->target_host));
	t->status = topo_status_find(db_col_text(st, 4));
	t->version = db_col_int(st, 5);
	t->needs_resync = db_col_int(st, 6) != 0;
	t->created_ms = (uint64_t)db_col_int(st, 7);
	t->status_changed_ms = (uint64_t)db_col_int(st, 8);
	t->rows_no = db_col_int(st, 9);
}

static int
read_lans(struct db *db, struct topo *t, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_LAN_OF);
	int r;

	db_bind_text(st, 1, t->id);
	while ((r = db_step(st, e)) > 0) {
		struct topo_lan *lan = topo_add_lan(t);

		if (!lan) {
			r = err_set(e, -ENOMEM, "out of memory");
			break;
		}
		copy(db_col_text(st, 0), lan->id, sizeof(lan->id));
		copy(db_col_text(st, 1), lan->name, sizeof(lan->name));
		copy(db_col_text(st, 2), lan->subnet, sizeof(lan->subnet));
		lan->is_dmz = db_col_int(st, 3) != 0;
		read_xy(st, 4, lan->has_xy, lan->xy);
	}
	db_reset(st);
	return r;
}

static int
read_decky(struct db_stmt *st, struct topo *t)
{
	struct topo_decky *d = topo_add_decky(t);
	const char *error = db_col_text(st, 8);

	if (!d)
		return -ENOMEM;
	copy(db_col_text(st, 0), d->uuid, sizeof(d->uuid));
	copy(db_col_text(st, 1), d->name, sizeof(d->name));
	json_decref(d->services);
	json_decref(d->service_config);
	json_decref(d->endpoints);
	d->services = json_stored(db_col_text(st, 2), "[]");
	copy(db_col_text(st, 3), d->archetype, sizeof(d->archetype));
	d->forwards_l3 = db_col_int(st, 4) != 0;
	d->service_config = json_stored(db_col_text(st, 5), "{}");
	copy(db_col_text(st, 6), d->home_lan_id, sizeof(d->home_lan_id));
	d->state = decky_state_find(db_col_text(st, 7));
	d->last_error = error ? strdup(error) : NULL;
	d->endpoints = json_stored(db_col_text(st, 9), "[]");
	copy(db_col_text(st, 10), d->host_addr, sizeof(d->host_addr));
	read_xy(st, 11, d->has_xy, d->xy);
	return d->services && d->service_config && d->endpoints && !error == !d->last_error
		       ? 1
		       : -ENOMEM;
}

/* The rows of a bound statement; `known`: one of them may be there already. */
static int
read_deckies(struct db_stmt *st, bool known, struct topo *t, struct err *e)
{
	int r;

	while ((r = db_step(st, e)) > 0) {
		if (known && topo_decky_by_uuid(t, db_col_text(st, 0)))
			continue;
		r = read_decky(st, t);
		if (r < 0) {
			(void)err_set(e, r, "out of memory");
			break;
		}
	}
	db_reset(st);
	return r;
}

static int
read_edges(struct db_stmt *st, bool known, struct topo *t, struct err *e)
{
	int r;

	while ((r = db_step(st, e)) > 0) {
		struct topo_edge *edge;

		if (known && topo_edge_by_id(t, db_col_text(st, 0)))
			continue;
		edge = topo_add_edge(t);
		if (!edge) {
			r = err_set(e, -ENOMEM, "out of memory");
			break;
		}
		copy(db_col_text(st, 0), edge->id, sizeof(edge->id));
		copy(db_col_text(st, 1), edge->decky_uuid, sizeof(edge->decky_uuid));
		copy(db_col_text(st, 2), edge->lan_id, sizeof(edge->lan_id));
		copy(db_col_text(st, 3), edge->ip, sizeof(edge->ip));
		edge->is_bridge = db_col_int(st, 4) != 0;
		edge->forwards_l3 = db_col_int(st, 5) != 0;
	}
	db_reset(st);
	return r;
}

/* A statement with one text to look for. */
static struct db_stmt *
query_of(struct db *db, enum db_query q, const char *text)
{
	struct db_stmt *st = db_query(db, q);

	db_bind_text(st, 1, text);
	return st;
}

int
topology_head(struct db *db, const char *id, struct topo **ret_topo, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_TOPOLOGY_GET);
	struct topo *t = topo_new();
	int r;

	if (!t)
		return err_set(e, -ENOMEM, "out of memory");
	db_bind_text(st, 1, id);
	r = db_step(st, e);
	if (r > 0)
		read_topology(st, t);
	db_reset(st);
	if (r <= 0) {
		topo_free(t);
		return r;
	}
	*ret_topo = t;
	return 1;
}

int
topology_load(struct db *db, const char *id, struct topo **ret_topo, struct err *e)
{
	struct topo *t = NULL;
	int r = topology_head(db, id, &t, e);

	if (r <= 0)
		return r;
	r = read_lans(db, t, e);
	if (r == 0)
		r = read_deckies(query_of(db, Q_DECKY_OF, id), false, t, e);
	if (r == 0)
		r = read_edges(query_of(db, Q_EDGE_OF, id), false, t, e);
	if (r < 0) {
		topo_free(t);
		return r;
	}
	*ret_topo = t;
	return 1;
}

static int
read_named_lans(struct db *db, const struct topo_part *part, struct topo *t, struct err *e)
{
	const char *name;
	json_t *deckies;
	int r = 0;

	json_object_foreach(part->lans, name, deckies)
	{
		const struct topo_lan *lan = topo_lan_named(t, name, false);

		if (r < 0 || !lan)
			continue;
		/* One LAN's edges are not another's; a decky may be on several. */
		r = read_edges(query_of(db, Q_EDGE_ON_LAN, lan->id), false, t, e);
		if (r == 0 && json_is_true(deckies))
			r = read_deckies(query_of(db, Q_DECKY_ON_LAN, lan->id), true, t, e);
	}
	return r;
}

static int
read_named_deckies(struct db *db, const struct topo_part *part, struct topo *t, struct err *e)
{
	const char *name;
	json_t *value;
	int r = 0;

	json_object_foreach(part->deckies, name, value)
	{
		const struct topo_decky *d = topo_decky_named(t, name);

		if (r == 0 && !d) {
			struct db_stmt *st = query_of(db, Q_DECKY_NAMED, t->id);

			db_bind_text(st, 2, name);
			r = read_deckies(st, false, t, e);
			d = topo_decky_named(t, name);
		}
		if (r == 0 && d)
			r = read_edges(query_of(db, Q_EDGE_OF_DECKY, d->uuid), true, t, e);
	}
	return r;
}

static int
count_rows(struct db_stmt *st, size_t *ret, struct err *e)
{
	int r = db_step(st, e);

	if (r > 0)
		*ret = (size_t)db_col_int(st, 0);
	db_reset(st);
	return r < 0 ? r : 0;
}

int
topology_load_part(struct db *db, const char *id, const struct topo_part *part,
		   struct topo **ret_topo, struct err *e)
{
	size_t ndeckies = 0, nedges = 0;
	struct topo *t = NULL;
	int r;

	if (part->whole)
		return topology_load(db, id, ret_topo, e);
	r = topology_head(db, id, &t, e);
	if (r <= 0)
		return r;
	r = read_lans(db, t, e);
	if (r == 0)
		r = read_named_lans(db, part, t, e);
	if (r == 0)
		r = read_named_deckies(db, part, t, e);
	if (r == 0)
		r = count_rows(query_of(db, Q_DECKY_COUNT, id), &ndeckies, e);
	if (r == 0)
		r = count_rows(query_of(db, Q_EDGE_COUNT, id), &nedges, e);
	if (r < 0) {
		topo_free(t);
		return r;
	}
	t->more_deckies = ndeckies - t->ndeckies;
	t->more_edges = nedges - t->nedges;
	*ret_topo = t;
	return 1;
}

int
topology_find_name(struct db *db, const char *name, char ret_id[ID_UUID_SIZE], struct err *e)
{
	struct db_stmt *st = db_query(db, Q_TOPOLOGY_BY_NAME);
	int r;

	db_bind_text(st, 1, name);
	r = db_step(st, e);
	if (r > 0)
		copy(db_col_text(st, 0), ret_id, ID_UUID_SIZE);
	db_reset(st);
	return r;
}

static json_t *
row_json(struct db *db, struct db_stmt *st, struct err *e)
{
	struct topo t = {0};

	(void)db;
	(void)e;
	read_topology(st, &t);
	return topology_json(&t);
}

int
topology_list(struct db *db, const char *status, int64_t limit, int64_t offset, json_t **ret_rows,
	      struct err *e)
{
	struct db_stmt *st = db_query(db, Q_TOPOLOGY_LIST);

	db_bind_text(st, 1, status);
	db_bind_text(st, 2, status);
	db_bind_int(st, 3, limit);
	db_bind_int(st, 4, offset);
	return rows_collect(db, st, row_json, ret_rows, e);
}

int
topology_row(struct db *db, const char *id, json_t **ret_row, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_TOPOLOGY_GET);
	struct topo t = {0};
	json_t *row;
	int r;

	db_bind_text(st, 1, id);
	r = db_step(st, e);
	if (r > 0)
		read_topology(st, &t);
	db_reset(st);
	if (r <= 0)
		return r;
	row = topology_json(&t);
	if (!row)
		return err_set(e, -ENOMEM, "out of memory");
	*ret_row = row;
	return 1;
}

int
topology_count(struct db *db, const char *status, int64_t *ret, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_TOPOLOGY_COUNT);
	int r;

	db_bind_text(st, 1, status);
	db_bind_text(st, 2, status);
	r = db_step(st, e);
	if (r > 0)
		*ret = db_col_int(st, 0);
	db_reset(st);
	return r < 0 ? r : 0;
}

int
topology_world(struct db *db, const char *pool, const char *except, struct topo_world *ret,
	       struct err *e)
{
	struct db_stmt *st = db_query(db, Q_LAN_USED);
	struct topo_world w = {0};
	size_t cap = 0;
	int r;

	if (cidr_parse(pool, 0, 32, &w.pool) < 0)
		return err_set(e, -EINVAL, "DECNET_POOL: '%s' is malformed", pool);
	db_bind_text(st, 1, except ? except : "");
	while ((r = db_step(st, e)) > 0) {
		struct topo_used *used;

		if (w.nused == cap) {
			cap = cap ? cap * 2 : 16;
			used = realloc(w.used, cap * sizeof(*used));
			if (!used) {
				r = err_set(e, -ENOMEM, "out of memory");
				break;
			}
			w.used = used;
		}
		used = &w.used[w.nused];
		if (cidr_parse(db_col_text(st, 0), 0, 32, &used->subnet) < 0)
			continue;
		copy(db_col_text(st, 1), used->lan, sizeof(used->lan));
		copy(db_col_text(st, 2), used->topology, sizeof(used->topology));
		w.nused++;
	}
	db_reset(st);
	if (r < 0) {
		free(w.used);
		return r;
	}
	*ret = w;
	return 0;
}

void
topology_world_fini(struct topo_world *w)
{
	free(w->used);
	w->used = NULL;
	w->nused = 0;
}

static int
delete_row(struct db *db, enum db_query q, const char *id, struct err *e)
{
	struct db_stmt *st = db_query(db, q);

	db_bind_text(st, 1, id);
	return db_exec(st, NULL, e);
}

static int
insert_lan(struct db *db, const struct topo *t, const struct topo_lan *lan, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_LAN_INSERT);

	db_bind_text(st, 1, lan->id);
	db_bind_text(st, 2, t->id);
	db_bind_text(st, 3, lan->name);
	db_bind_text(st, 4, lan->subnet);
	db_bind_int(st, 5, lan->is_dmz);
	bind_xy(st, 6, lan->has_xy, lan->xy);
	return db_exec(st, NULL, e);
}

static int
update_lan(struct db *db, const struct topo_lan *lan, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_LAN_UPDATE);

	db_bind_text(st, 1, lan->name);
	db_bind_text(st, 2, lan->subnet);
	db_bind_int(st, 3, lan->is_dmz);
	bind_xy(st, 4, lan->has_xy, lan->xy);
	db_bind_text(st, 6, lan->id);
	return db_exec(st, NULL, e);
}

/* Binds name to y from parameter `at` on; the texts are freed by the caller after the step. */
static int
write_decky(struct db *db, const struct topo *t, const struct topo_decky *d, bool insert,
	    struct err *e)
{
	struct db_stmt *st = db_query(db, insert ? Q_DECKY_INSERT : Q_DECKY_UPDATE);
	char *services = json_text(d->services), *config = json_text(d->service_config);
	char *endpoints = json_text(d->endpoints);
	int at = 1, r;

	if (insert) {
		db_bind_text(st, at++, d->uuid);
		db_bind_text(st, at++, t->id);
	}
	db_bind_text(st, at++, d->name);
	db_bind_text(st, at++, services);
	bind_optional(st, at++, d->archetype);
	db_bind_int(st, at++, d->forwards_l3);
	db_bind_text(st, at++, config);
	bind_optional(st, at++, d->home_lan_id);
	db_bind_text(st, at++, decky_state_word(d->state));
	db_bind_text(st, at++, d->last_error);
	db_bind_text(st, at++, endpoints);
	bind_optional(st, at++, d->host_addr);
	bind_xy(st, at, d->has_xy, d->xy);
	at += 2;
	if (!insert)
		db_bind_text(st, at, d->uuid);
	r = services && config && endpoints ? db_exec(st, NULL, e)
					    : err_set(e, -ENOMEM, "out of memory");
	free(services);
	free(config);
	free(endpoints);
	return r;
}

static int
insert_edge(struct db *db, const struct topo *t, const struct topo_edge *edge, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_EDGE_INSERT);

	db_bind_text(st, 1, edge->id);
	db_bind_text(st, 2, t->id);
	db_bind_text(st, 3, edge->decky_uuid);
	db_bind_text(st, 4, edge->lan_id);
	db_bind_text(st, 5, edge->ip);
	db_bind_int(st, 6, edge->is_bridge);
	db_bind_int(st, 7, edge->forwards_l3);
	return db_exec(st, NULL, e);
}

static int
update_edge(struct db *db, const struct topo_edge *edge, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_EDGE_UPDATE);

	db_bind_text(st, 1, edge->ip);
	db_bind_int(st, 2, edge->is_bridge);
	db_bind_int(st, 3, edge->forwards_l3);
	db_bind_text(st, 4, edge->id);
	return db_exec(st, NULL, e);
}

static bool
same_xy(const bool has_a[2], const double a[2], const bool has_b[2], const double b[2])
{
	for (int i = 0; i < 2; i++)
		if (has_a[i] != has_b[i] || (has_a[i] && (a[i] < b[i] || a[i] > b[i])))
			return false;
	return true;
}

static bool
same_lan(const struct topo_lan *a, const struct topo_lan *b)
{
	return strcmp(a->name, b->name) == 0 && strcmp(a->subnet, b->subnet) == 0 &&
	       a->is_dmz == b->is_dmz && same_xy(a->has_xy, a->xy, b->has_xy, b->xy);
}

static bool
same_decky(const struct topo_decky *a, const struct topo_decky *b)
{
	return topo_decky_untouched(a, b) ||
	       (strcmp(a->name, b->name) == 0 && strcmp(a->archetype, b->archetype) == 0 &&
		a->forwards_l3 == b->forwards_l3 && strcmp(a->home_lan_id, b->home_lan_id) == 0 &&
		a->state == b->state && strcmp(a->host_addr, b->host_addr) == 0 &&
		same_xy(a->has_xy, a->xy, b->has_xy, b->xy) && !a->last_error == !b->last_error &&
		(!a->last_error || strcmp(a->last_error, b->last_error) == 0) &&
		json_equal(a->services, b->services) &&
		json_equal(a->service_config, b->service_config) &&
		json_equal(a->endpoints, b->endpoints));
}

/* Each step adds to *n what it changes. */
static int
delete_gone(struct db *db, const struct topo *before, const struct topo *after, size_t *n,
	    struct err *e)
{
	size_t at = 0;
	int r = 0;

	/* An edge with a new address goes and comes: another may hold that address until its own
	 * turn. */
	for (size_t i = 0; r == 0 && i < before->nedges; i++) {
		const struct topo_edge *now = topo_edge_next(after, before->edges[i].id, &at);

		if (now && strcmp(now->ip, before->edges[i].ip) == 0)
			continue;
		r = delete_row(db, Q_EDGE_DELETE, before->edges[i].id, e);
		(*n)++;
	}
	at = 0;
	for (size_t i = 0; r == 0 && i < before->ndeckies; i++) {
		if (topo_decky_next(after, before->deckies[i].uuid, &at))
			continue;
		r = delete_row(db, Q_DECKY_DELETE, before->deckies[i].uuid, e);
		(*n)++;
	}
	at = 0;
	for (size_t i = 0; r == 0 && i < before->nlans; i++) {
		if (topo_lan_next(after, before->lans[i].id, &at))
			continue;
		r = delete_row(db, Q_LAN_DELETE, before->lans[i].id, e);
		(*n)++;
	}
	return r;
}

static int
write_lans(struct db *db, const struct topo *before, const struct topo *after, size_t *n,
	   struct err *e)
{
	size_t at = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < after->nlans; i++) {
		const struct topo_lan *lan = &after->lans[i],
				      *old = before ? topo_lan_next(before, lan->id, &at) : NULL;

		if (old && same_lan(old, lan))
			continue;
		r = old ? update_lan(db, lan, e) : insert_lan(db, after, lan, e);
		(*n)++;
	}
	return r;
}

static int
write_deckies(struct db *db, const struct topo *before, const struct topo *after, size_t *n,
	      struct err *e)
{
	size_t at = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < after->ndeckies; i++) {
		const struct topo_decky *d = &after->deckies[i],
					*old = before ? topo_decky_next(before, d->uuid, &at)
						      : NULL;

		if (old && same_decky(old, d))
			continue;
		r = write_decky(db, after, d, !old, e);
		(*n)++;
	}
	return r;
}

static int
write_edges(struct db *db, const struct topo *before, const struct topo *after, size_t *n,
	    struct err *e)
{
	size_t at = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < after->nedges; i++) {
		const struct topo_edge *edge = &after->edges[i];
		const struct topo_edge *old = before ? topo_edge_next(before, edge->id, &at) : NULL;

		if (old && topo_edge_untouched(old, edge))
			continue;
		r = !old || strcmp(old->ip, edge->ip) != 0 ? insert_edge(db, after, edge, e)
							   : update_edge(db, edge, e);
		(*n)++;
	}
	return r;
}

static int
count_change(struct db *db, struct topo *t, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_TOPOLOGY_ROWS_CHANGED);
	int r;

	db_bind_text(st, 1, t->id);
	r = db_step(st, e);
	if (r > 0)
		t->rows_no = db_col_int(st, 0);
	db_reset(st);
	if (r == 0)
		return err_set(e, -ESTALE, "the topology is gone");
	return r < 0 ? r : 0;
}

int
topology_write_rows(struct db *db, const struct topo *before, struct topo *after, struct err *e)
{
	size_t n = 0;
	/* What goes goes first: it may hold a name or an address that something new takes. */
	int r = before ? delete_gone(db, before, after, &n, e) : 0;

	if (r == 0)
		r = write_lans(db, before, after, &n, e);
	if (r == 0)
		r = write_deckies(db, before, after, &n, e);
	if (r == 0)
		r = write_edges(db, before, after, &n, e);
	return r < 0 || n == 0 ? r : count_change(db, after, e);
}

int
topology_refs(struct db *db, const char *host, bool live, size_t max, struct topology_ref *ret,
	      struct err *e)
{
	struct db_stmt *st = db_query(db, live ? Q_TOPOLOGY_LIVE : Q_TOPOLOGY_TRANSITIONAL);
	size_t n = 0;
	int r;

	db_bind_text(st, 1, host);
	while ((r = db_step(st, e)) > 0 && n < max) {
		copy(db_col_text(st, 0), ret[n].id, sizeof(ret[n].id));
		ret[n++].status = live ? TOPO_ACTIVE : topo_status_find(db_col_text(st, 1));
	}
	db_reset(st);
	return r < 0 ? r : (int)n;
}

int
host_register(struct db *db, const char *name, const char *driver, uint64_t now_ms, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_HOST_PUT);

	db_bind_text(st, 1, name);
	db_bind_text(st, 2, driver);
	db_bind_int(st, 3, (int64_t)now_ms);
	return db_exec(st, NULL, e);
}

int
host_known(struct db *db, const char *name, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_HOST_GET);
	int r;

	db_bind_text(st, 1, name);
	r = db_step(st, e);
	db_reset(st);
	return r;
}

static json_t *
id_json(struct db *db, struct db_stmt *st, struct err *e)
{
	(void)db;
	(void)e;
	return json_string(db_col_text(st, 0));
}

int
topology_holding(struct db *db, json_t **ret_ids, struct err *e)
{
	return rows_collect(db, db_query(db, Q_TOPOLOGY_HOLDING), id_json, ret_ids, e);
}

static json_t *
host_json(struct db *db, struct db_stmt *st, struct err *e)
{
	(void)db;
	(void)e;
	return json_pack("{s:s, s:s}", "name", db_col_text(st, 0), "driver", db_col_text(st, 1));
}

int
host_list(struct db *db, json_t **ret_rows, struct err *e)
{
	return rows_collect(db, db_query(db, Q_HOST_LIST), host_json, ret_rows, e);
}
