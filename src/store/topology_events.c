/* SPDX-License-Identifier: Apache-2.0 */
/* What changes of topologies tell: their journal rows, status events, and the functions that make
 * both at once. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/topic.h"
#include "store/journal.h"
#include "store/rows.h"
#include "store/topology.h"
#include "topology/diff.h"
#include "util/json.h"
#include "util/limits.h"

/* Consumes the payload. */
static int
journal(struct db *db, enum bus_topic topic, const char *variable, const char *topology_id,
	json_t *own_payload, uint64_t now_ms, struct err *e)
{
	char text[BUS_SUBJECT_MAX + 1];
	int r = own_payload ? bus_topic_build(topic, variable, text) : -ENOMEM;

	if (r == 0)
		r = journal_append(db, text, topology_id, now_ms, own_payload, NULL, e);
	else
		(void)err_set(e, r, "cannot build the event");
	json_decref(own_payload);
	return r;
}

int
topology_insert(struct db *db, struct topo *t, uint64_t now_ms, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_TOPOLOGY_INSERT);
	int r;

	t->version = 1;
	t->created_ms = t->status_changed_ms = now_ms;
	db_bind_text(st, 1, t->id);
	db_bind_text(st, 2, t->name);
	db_bind_text(st, 3, t->agent ? "agent" : "unihost");
	db_bind_text(st, 4, t->target_host[0] ? t->target_host : NULL);
	db_bind_text(st, 5, topo_status_word(t->status));
	db_bind_int(st, 6, t->version);
	db_bind_int(st, 7, t->needs_resync);
	db_bind_int(st, 8, (int64_t)now_ms);
	db_bind_int(st, 9, (int64_t)now_ms);
	r = db_exec(st, NULL, e);
	if (r == 0)
		r = topology_write_rows(db, NULL, t, e);
	if (r < 0)
		return r;
	return journal(db, BUS_TOPIC_TOPOLOGY_CREATED, t->id, t->id,
		       json_pack("{s:o}", "topology", topology_json(t)), now_ms, e);
}

int
topology_remove(struct db *db, const struct topo *t, uint64_t now_ms, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_TOPOLOGY_DELETE);
	int r;

	db_bind_text(st, 1, t->id);
	r = db_exec(st, NULL, e);
	if (r < 0)
		return r;
	return journal(db, BUS_TOPIC_TOPOLOGY_DELETED, t->id, t->id,
		       json_pack("{s:s, s:s}", "topology_id", t->id, "name", t->name), now_ms, e);
}

int
topology_bump(struct db *db, struct topo *t, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_TOPOLOGY_BUMP);
	int r;

	db_bind_text(st, 1, t->id);
	r = db_step(st, e);
	if (r > 0)
		t->version = db_col_int(st, 0);
	db_reset(st);
	if (r == 0)
		return err_set(e, -ESTALE, "the topology is gone");
	return r < 0 ? r : 0;
}

int
topology_set_status(struct db *db, struct topo *t, enum topo_status to, const char *reason,
		    uint64_t now_ms, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_TOPOLOGY_SET_STATUS);
	const char *from = topo_status_word(t->status), *word = topo_status_word(to);
	char id[ID_UUID_SIZE];
	int64_t changed = 0;
	int r;

	if (!topo_status_may(t->status, to))
		return err_set(e, -EPERM, "%s cannot become %s", from, word);
	db_bind_text(st, 1, word);
	db_bind_int(st, 2, (int64_t)now_ms);
	db_bind_text(st, 3, t->id);
	db_bind_text(st, 4, from);
	r = db_exec(st, &changed, e);
	if (r < 0)
		return r;
	if (changed == 0)
		return err_set(e, -ESTALE, "the topology is not %s any more", from);
	id_uuid7(id);
	st = db_query(db, Q_STATUS_EVENT_INSERT);
	db_bind_text(st, 1, id);
	db_bind_text(st, 2, t->id);
	db_bind_text(st, 3, from);
	db_bind_text(st, 4, word);
	db_bind_int(st, 5, (int64_t)now_ms);
	db_bind_text(st, 6, reason);
	r = db_exec(st, NULL, e);
	if (r < 0)
		return r;
	t->status = to;
	t->status_changed_ms = now_ms;
	return journal(db, BUS_TOPIC_TOPOLOGY_STATUS, t->id, t->id,
		       json_pack("{s:s, s:s, s:s, s:o}", "state", word, "status", word, "from",
				 from, "reason", json_text_or_null(reason)),
		       now_ms, e);
}

static json_t *
status_event_json(struct db *db, struct db_stmt *st, struct err *e)
{
	(void)db;
	(void)e;
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "id", db_col_text(st, 0), "topology_id",
			 db_col_text(st, 5), "from_status", db_col_text(st, 1), "to_status",
			 db_col_text(st, 2), "at", json_time((uint64_t)db_col_int(st, 3)), "reason",
			 json_text_or_null(db_col_text(st, 4)));
}

int
topology_status_events(struct db *db, const char *id, int64_t limit, json_t **ret_rows,
		       struct err *e)
{
	struct db_stmt *st = db_query(db, Q_STATUS_EVENT_OF);

	db_bind_text(st, 1, id);
	db_bind_int(st, 2, limit);
	return rows_collect(db, st, status_event_json, ret_rows, e);
}

static atomic_ullong changes_cut;

uint64_t
topology_changes_cut(void)
{
	return atomic_load(&changes_cut);
}

int
topology_put_changes(json_t *payload, json_t *own_changes)
{
	char *text = own_changes ? json_text(own_changes) : NULL;
	size_t n = text ? strlen(text) : 0;

	free(text);
	if (!text) {
		json_decref(own_changes);
		return -ENOMEM;
	}
	if (n <= LIMIT_CHANGES_BYTES)
		return json_object_set_new(payload, "changes", own_changes) < 0 ? -ENOMEM : 0;
	json_decref(own_changes);
	atomic_fetch_add(&changes_cut, 1);
	return json_object_set_new(payload, "changes", json_null()) < 0 ||
			       json_object_set_new(payload, "refetch", json_true()) < 0
		       ? -ENOMEM
		       : 0;
}

int
topology_journal_changed(struct db *db, const struct topo *before, const struct topo *after,
			 uint64_t now_ms, struct err *e)
{
	json_t *changes = topo_changes(before, after), *payload;
	int r;

	/* An edit that changes no row still counts. */
	if (json_array_size(changes) == 0 && before && before->version == after->version) {
		json_decref(changes);
		return changes ? 0 : err_set(e, -ENOMEM, "out of memory");
	}
	payload = json_pack("{s:I}", "version", (json_int_t)after->version);
	r = topology_put_changes(payload, changes);
	if (r < 0) {
		json_decref(payload);
		return err_set(e, r, "out of memory");
	}
	return journal(db, BUS_TOPIC_TOPOLOGY_CHANGED, after->id, after->id, payload, now_ms, e);
}

static int
journal_services(struct db *db, const struct topo *t, const struct topo_decky *d,
		 const struct topo_decky *other, bool added, uint64_t now_ms, struct err *e)
{
	/* Those that `d` has and `other` has not; the list shown is that of the new row. */
	const json_t *item;
	size_t i;
	int r = 0;

	json_array_foreach(d->services, i, item)
	{
		const char *name = json_string_value(item);

		if (r < 0 || topo_decky_has_service(other, name))
			continue;
		r = journal(db,
			    added ? BUS_TOPIC_DECKY_SERVICE_ADDED : BUS_TOPIC_DECKY_SERVICE_REMOVED,
			    d->name, t->id,
			    json_pack("{s:s, s:s, s:s, s:O}", "decky_name", d->name, "service_name",
				      name, "topology_id", t->id, "services",
				      added ? d->services : other->services),
			    now_ms, e);
	}
	return r;
}

static bool
was_recreated(const json_t *recreated, const struct topo_decky *d, const char *service)
{
	char text[ID_UUID_SIZE + TOPO_LABEL_SIZE + 1];
	const json_t *item;
	size_t i;

	(void)snprintf(text, sizeof(text), "%s/%s", d->uuid, service);
	json_array_foreach(recreated, i,
			   item) if (strcmp(json_string_value(item), text) == 0) return true;
	return false;
}

static int
journal_configs(struct db *db, const struct topo *t, const struct topo_decky *old,
		const struct topo_decky *d, const json_t *recreated, uint64_t now_ms, struct err *e)
{
	const json_t *item;
	size_t i;
	int r = 0;

	json_array_foreach(d->services, i, item)
	{
		const char *name = json_string_value(item);
		json_t *was = json_object_get(old->service_config, name),
		       *is = json_object_get(d->service_config, name);
		bool again = was_recreated(recreated, d, name);

		if (r < 0 || !topo_decky_has_service(old, name) ||
		    (!again && (was == is || json_equal(was, is))))
			continue;
		r = journal(db, BUS_TOPIC_DECKY_SERVICE_CONFIG_CHANGED, d->name, t->id,
			    json_pack("{s:s, s:s, s:s, s:o, s:b}", "decky_name", d->name,
				      "service_name", name, "topology_id", t->id, "service_config",
				      is ? json_incref(is) : json_object(), "recreated",
				      (int)again),
			    now_ms, e);
	}
	return r;
}

int
topology_journal_deckies(struct db *db, const struct topo *before, const struct topo *after,
			 const json_t *recreated, uint64_t now_ms, struct err *e)
{
	size_t at = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < after->ndeckies; i++) {
		const struct topo_decky *d = &after->deckies[i];
		const struct topo_decky *old =
			before ? topo_decky_next(before, d->uuid, &at) : NULL;
		enum decky_state was = old ? old->state : DECKY_PENDING;

		/* A service may have started anew without a change. */
		if (old && topo_decky_untouched(old, d) && json_array_size(recreated) == 0)
			continue;
		if (was != d->state)
			r = journal(db, BUS_TOPIC_DECKY_STATE, d->name, after->id,
				    json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "topology_id",
					      after->id, "decky_uuid", d->uuid, "decky_name",
					      d->name, "state", decky_state_word(d->state),
					      "previous_state", decky_state_word(was), "last_error",
					      json_text_or_null(d->last_error)),
				    now_ms, e);
		if (r == 0 && old)
			r = journal_services(db, after, old, d, false, now_ms, e);
		if (r == 0 && old)
			r = journal_services(db, after, d, old, true, now_ms, e);
		if (r == 0 && old)
			r = journal_configs(db, after, old, d, recreated, now_ms, e);
	}
	return r;
}

int
topology_store_edit(struct db *db, const struct topo *before, struct topo *after, uint64_t now_ms,
		    struct err *e)
{
	int r = topology_bump(db, after, e);

	if (r == 0)
		r = topology_write_rows(db, before, after, e);
	if (r == 0)
		r = topology_journal_deckies(db, before, after, NULL, now_ms, e);
	return r < 0 ? r : topology_journal_changed(db, before, after, now_ms, e);
}
