/* SPDX-License-Identifier: Apache-2.0 */
/* The mutation queue: enqueue, claim, finish, cancel, each with its journal row. */
#include "store/mutation.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/topic.h"
#include "store/journal.h"
#include "store/rows.h"
#include "store/topology.h"
#include "util/json.h"

static void
copy(const char *text, char *dst, size_t size)
{
	(void)snprintf(dst, size, "%s", text ? text : "");
}

void
mutation_fini(struct mutation *m)
{
	json_decref(m->payload);
	free(m->reason);
	m->payload = NULL;
	m->reason = NULL;
}

json_t *
mutation_json(const struct mutation *m)
{
	return json_pack("{s:s, s:s, s:s, s:O, s:s, s:o, s:o, s:o}", "id", m->id, "topology_id",
			 m->topology_id, "op", m->op, "payload", m->payload, "state", m->state,
			 "requested_at", json_time(m->requested_ms), "applied_at",
			 json_time(m->applied_ms), "reason", json_text_or_null(m->reason));
}

/* The columns that every query of whole rows begins with. */
static int
read_row(struct db_stmt *st, struct mutation *m)
{
	const char *reason = db_col_text(st, 7);

	*m = (struct mutation){0};
	copy(db_col_text(st, 0), m->id, sizeof(m->id));
	copy(db_col_text(st, 1), m->topology_id, sizeof(m->topology_id));
	copy(db_col_text(st, 2), m->op, sizeof(m->op));
	m->payload = json_stored(db_col_text(st, 3), "{}");
	copy(db_col_text(st, 4), m->state, sizeof(m->state));
	m->requested_ms = (uint64_t)db_col_int(st, 5);
	m->applied_ms = (uint64_t)db_col_int(st, 6);
	m->reason = reason ? strdup(reason) : NULL;
	m->attempt = db_col_int(st, 8);
	return m->payload && !reason == !m->reason ? 0 : -ENOMEM;
}

/* Consumes the payload. */
static int
journal(struct db *db, enum bus_topic topic, const char *topology_id, json_t *own_payload,
	uint64_t now_ms, struct err *e)
{
	char text[BUS_SUBJECT_MAX + 1];
	int r = own_payload ? bus_topic_build(topic, topology_id, text) : -ENOMEM;

	if (r == 0)
		r = journal_append(db, text, topology_id, now_ms, own_payload, NULL, e);
	else
		(void)err_set(e, r, "cannot build the event");
	json_decref(own_payload);
	return r;
}

/* A mutation has come into a state; it took `took_ms` if that is its last. After the journal row,
 * whose lock every writer takes first: two of these would be taken in any order. */
static int
tally(struct db *db, const char *op, const char *state, int64_t took_ms, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_MUTATION_TALLY);

	db_bind_text(st, 1, op);
	db_bind_text(st, 2, state);
	/* The clock may have been set back, and the sum must not fall. */
	db_bind_int(st, 3, took_ms > 0 ? took_ms : 0);
	return db_exec(st, NULL, e);
}

static int
tally_end(struct db *db, const struct mutation *m, const char *state, uint64_t now_ms,
	  struct err *e)
{
	return tally(db, m->op, state, (int64_t)(now_ms - m->requested_ms), e);
}

static int
next_queue_no(struct db *db, int64_t *ret, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_COUNTER_ADD);
	int r;

	db_bind_int(st, 1, 1);
	db_bind_text(st, 2, "queue");
	r = db_step(st, e);
	if (r > 0)
		*ret = db_col_int(st, 0);
	db_reset(st);
	return r > 0 ? 0 : r < 0 ? r : err_set(e, -EIO, "the queue has no counter");
}

int
mutation_enqueue(struct db *db, struct topo *t, const char *op, const json_t *payload,
		 uint64_t now_ms, char ret_id[ID_UUID_SIZE], struct err *e)
{
	struct db_stmt *st = db_query(db, Q_MUTATION_INSERT);
	char *text = json_text(payload);
	int64_t queue_no = 0;
	int r = text ? next_queue_no(db, &queue_no, e) : err_set(e, -ENOMEM, "out of memory");

	if (r == 0)
		r = topology_bump(db, t, e);
	if (r == 0) {
		id_uuid7(ret_id);
		db_bind_text(st, 1, ret_id);
		db_bind_int(st, 2, queue_no);
		db_bind_text(st, 3, t->id);
		db_bind_text(st, 4, op);
		db_bind_text(st, 5, text);
		db_bind_int(st, 6, (int64_t)now_ms);
		r = db_exec(st, NULL, e);
	}
	free(text);
	if (r < 0)
		return r;
	r = journal(db, BUS_TOPIC_MUTATION_ENQUEUED, t->id,
		    json_pack("{s:s, s:s, s:o, s:I, s:o}", "mutation_id", ret_id, "op", op,
			      "payload", json_deep_copy(payload), "version", (json_int_t)t->version,
			      "requested_at", json_time(now_ms)),
		    now_ms, e);
	return r < 0 ? r : tally(db, op, "pending", 0, e);
}

int
mutation_get(struct db *db, const char *topology_id, const char *id, struct mutation *ret,
	     struct err *e)
{
	struct db_stmt *st = db_query(db, Q_MUTATION_GET);
	int r;

	db_bind_text(st, 1, id);
	db_bind_text(st, 2, topology_id);
	r = db_step(st, e);
	if (r > 0 && read_row(st, ret) < 0) {
		mutation_fini(ret);
		r = err_set(e, -ENOMEM, "out of memory");
	}
	db_reset(st);
	return r;
}

static json_t *
row_json(struct db *db, struct db_stmt *st, struct err *e)
{
	struct mutation m;
	json_t *row = read_row(st, &m) == 0 ? mutation_json(&m) : NULL;

	(void)db;
	(void)e;
	mutation_fini(&m);
	return row;
}

int
mutation_list(struct db *db, const char *topology_id, const char *state, int64_t limit,
	      int64_t offset, json_t **ret_rows, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_MUTATION_LIST);

	db_bind_text(st, 1, topology_id);
	db_bind_text(st, 2, state);
	db_bind_text(st, 3, state);
	db_bind_int(st, 4, limit);
	db_bind_int(st, 5, offset);
	return rows_collect(db, st, row_json, ret_rows, e);
}

int
mutation_count(struct db *db, const char *topology_id, const char *state, int64_t *ret,
	       struct err *e)
{
	struct db_stmt *st = db_query(db, Q_MUTATION_COUNT);
	int r;

	db_bind_text(st, 1, topology_id);
	db_bind_text(st, 2, state);
	db_bind_text(st, 3, state);
	r = db_step(st, e);
	if (r > 0)
		*ret = db_col_int(st, 0);
	db_reset(st);
	return r < 0 ? r : 0;
}

int
mutation_open(struct db *db, const char *topology_id, struct mutation **ret_list, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_MUTATION_OPEN);
	struct mutation *list = NULL;
	size_t n = 0, cap = 0;
	int r;

	db_bind_text(st, 1, topology_id);
	while ((r = db_step(st, e)) > 0) {
		if (n == cap) {
			struct mutation *more;

			cap = cap ? cap * 2 : 8;
			more = realloc(list, cap * sizeof(*list));
			if (!more) {
				r = -ENOMEM;
				break;
			}
			list = more;
		}
		r = read_row(st, &list[n++]);
		if (r < 0)
			break;
	}
	db_reset(st);
	if (r < 0) {
		for (size_t i = 0; i < n; i++)
			mutation_fini(&list[i]);
		free(list);
		return r;
	}
	*ret_list = list;
	return (int)n;
}

int
mutation_in_flight(struct db *db, const char *topology_id, json_t **ret_rows, struct err *e)
{
	struct mutation *list = NULL;
	json_t *rows = json_array();
	int n = mutation_open(db, topology_id, &list, e), r = n < 0 ? n : 0;

	for (int pending = 1; pending >= 0; pending--)
		for (int i = n; i-- > 0;)
			if ((strcmp(list[i].state, "pending") == 0) == (pending == 1))
				if (json_array_append_new(rows, mutation_json(&list[i])) < 0)
					r = err_set(e, -ENOMEM, "out of memory");
	for (int i = 0; i < n; i++)
		mutation_fini(&list[i]);
	free(list);
	if (r < 0) {
		json_decref(rows);
		return r;
	}
	*ret_rows = rows;
	return 0;
}

int
mutation_cancel(struct db *db, struct topo *t, const struct mutation *m, const char *reason,
		uint64_t now_ms, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_MUTATION_CANCEL);
	int64_t changed = 0;
	int r;

	db_bind_int(st, 1, (int64_t)now_ms);
	db_bind_text(st, 2, reason);
	db_bind_text(st, 3, m->id);
	r = db_exec(st, &changed, e);
	if (r < 0 || changed == 0)
		return r;
	r = topology_bump(db, t, e);
	if (r == 0)
		r = journal(db, BUS_TOPIC_MUTATION_CANCELLED, t->id,
			    json_pack("{s:s, s:s, s:s, s:I, s:o}", "mutation_id", m->id, "op",
				      m->op, "reason", reason, "version", (json_int_t)t->version,
				      "applied_at", json_time(now_ms)),
			    now_ms, e);
	if (r == 0)
		r = tally_end(db, m, "cancelled", now_ms, e);
	return r < 0 ? r : 1;
}

int
mutation_ready(struct db *db, const char *host, size_t max, char (*ret_ids)[ID_UUID_SIZE],
	       struct err *e)
{
	struct db_stmt *st = db_query(db, Q_MUTATION_READY);
	size_t n = 0;
	int r;

	db_bind_text(st, 1, host);
	while ((r = db_step(st, e)) > 0 && n < max)
		copy(db_col_text(st, 0), ret_ids[n++], ID_UUID_SIZE);
	db_reset(st);
	return r < 0 ? r : (int)n;
}

static int
take_claim(struct db *db, struct mutation *m, const char *owner, uint64_t until_ms, uint64_t now_ms,
	   struct err *e)
{
	struct db_stmt *st = db_query(db, Q_MUTATION_CLAIM);
	int r;

	db_bind_text(st, 1, owner);
	db_bind_int(st, 2, (int64_t)until_ms);
	db_bind_text(st, 3, m->id);
	db_bind_int(st, 4, (int64_t)now_ms);
	r = db_step(st, e);
	if (r > 0)
		m->attempt = db_col_int(st, 0);
	db_reset(st);
	return r;
}

int
mutation_claim(struct db *db, const char *topology_id, const char *owner, uint64_t lease_ms,
	       uint64_t now_ms, struct mutation *ret, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_MUTATION_HEAD);
	struct mutation m = {0};
	bool mine = false;
	int r;

	db_bind_text(st, 1, topology_id);
	r = db_step(st, e);
	if (r > 0) {
		mine = strcmp(db_col_text(st, 4), "pending") == 0 ||
		       db_col_int(st, 9) <= (int64_t)now_ms;
		r = read_row(st, &m) < 0 ? err_set(e, -ENOMEM, "out of memory") : 1;
	}
	db_reset(st);
	if (r > 0 && !mine)
		r = 0;
	if (r > 0) {
		/* Between the look and the claim another worker may have been faster. */
		r = take_claim(db, &m, owner, now_ms + lease_ms, now_ms, e);
		if (r > 0 && m.attempt <= MUTATION_ATTEMPTS_MAX) {
			int q = journal(db, BUS_TOPIC_MUTATION_APPLYING, topology_id,
					json_pack("{s:s, s:s, s:O, s:I}", "mutation_id", m.id, "op",
						  m.op, "payload", m.payload, "attempt",
						  (json_int_t)m.attempt),
					now_ms, e);

			if (q == 0 && m.attempt == 1)
				q = tally(db, m.op, "applying", 0, e);
			r = q < 0 ? q : 1;
		}
	}
	if (r <= 0) {
		mutation_fini(&m);
		return r;
	}
	copy("applying", m.state, sizeof(m.state));
	*ret = m;
	return 1;
}

int
mutation_renew(struct db *db, const char *owner, uint64_t until_ms, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_MUTATION_RENEW);

	db_bind_int(st, 1, (int64_t)until_ms);
	db_bind_text(st, 2, owner);
	return db_exec(st, NULL, e);
}

int
mutation_release(struct db *db, const char *owner_prefix, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_MUTATION_RELEASE);

	db_bind_int(st, 1, (int64_t)strlen(owner_prefix));
	db_bind_text(st, 2, owner_prefix);
	return db_exec(st, NULL, e);
}

static int
finish(struct db *db, const struct mutation *m, const char *owner, const char *state,
       const char *reason, uint64_t now_ms, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_MUTATION_FINISH);
	int64_t changed = 0;
	int r;

	db_bind_text(st, 1, state);
	db_bind_int(st, 2, (int64_t)now_ms);
	db_bind_text(st, 3, reason);
	db_bind_text(st, 4, m->id);
	db_bind_text(st, 5, owner);
	r = db_exec(st, &changed, e);
	if (r == 0 && changed == 0)
		return err_set(e, -ESTALE, "the claim was lost");
	return r;
}

int
mutation_finish_applied(struct db *db, const struct topo *t, const struct mutation *m,
			const char *owner, json_t *own_changes, uint64_t now_ms, struct err *e)
{
	json_t *payload;
	int r = finish(db, m, owner, "applied", NULL, now_ms, e);

	if (r < 0) {
		json_decref(own_changes);
		return r;
	}
	payload = json_pack("{s:s, s:s, s:o}", "mutation_id", m->id, "op", m->op, "applied_at",
			    json_time(now_ms));
	if (topology_put_changes(payload, own_changes) < 0) {
		json_decref(payload);
		return err_set(e, -ENOMEM, "out of memory");
	}
	r = journal(db, BUS_TOPIC_MUTATION_APPLIED, t->id, payload, now_ms, e);
	return r < 0 ? r : tally_end(db, m, "applied", now_ms, e);
}

/* After the row has changed to failed: the version, and the event that says so. */
static int
tell_failed(struct db *db, struct topo *t, const struct mutation *m, const char *reason,
	    uint64_t now_ms, struct err *e)
{
	int r = topology_bump(db, t, e);

	if (r < 0)
		return r;
	r = journal(db, BUS_TOPIC_MUTATION_FAILED, t->id,
		    json_pack("{s:s, s:s, s:s, s:I, s:o}", "mutation_id", m->id, "op", m->op,
			      "reason", reason, "version", (json_int_t)t->version, "applied_at",
			      json_time(now_ms)),
		    now_ms, e);
	return r < 0 ? r : tally_end(db, m, "failed", now_ms, e);
}

int
mutation_finish_failed(struct db *db, struct topo *t, const struct mutation *m, const char *owner,
		       const char *reason, uint64_t now_ms, struct err *e)
{
	int r = finish(db, m, owner, "failed", reason, now_ms, e);

	return r < 0 ? r : tell_failed(db, t, m, reason, now_ms, e);
}

int
mutation_abandon(struct db *db, struct topo *t, const struct mutation *m, const char *reason,
		 uint64_t now_ms, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_MUTATION_ABANDON);
	int64_t changed = 0;
	int r;

	db_bind_int(st, 1, (int64_t)now_ms);
	db_bind_text(st, 2, reason);
	db_bind_text(st, 3, m->id);
	r = db_exec(st, &changed, e);
	if (r == 0 && changed)
		r = tell_failed(db, t, m, reason, now_ms, e);
	return r < 0 ? r : changed > 0;
}
