/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs of the streams on store threads. Each is one read transaction. */
#include "api/stream_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/auth.h"
#include "api/stream_logs.h"
#include "bus/topic.h"
#include "store/attacker_view.h"
#include "store/identity.h"
#include "store/mutation.h"
#include "store/topology.h"
#include "store/user.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/limits.h"
#include "util/log.h"

#define SNAPSHOT_ROWS	    50
#define SNAPSHOT_TOPOLOGIES 100

struct fetch_job {
	struct pool_job job;
	struct list node; /* streams->held */
	struct streams *streams;
	struct hub_fetch *fetch;
	const struct stream_spec *spec;
	int64_t after, upto;
	struct frame_list frames;
	int64_t reached, watermark, epoch;
	json_t *snapshot;
	char *json;
	struct err err;
	int r;
};

/* ---- rows that were missed ---- */

static size_t
frames_bytes(const struct frame_list *l)
{
	return l->n ? frame_bytes(l->v[l->n - 1], true).n : 0;
}

/* One row: a frame if the stream carries it. */
static int
take_row(struct fetch_job *j, const struct journal_row *row, char identity[ID_UUID_SIZE])
{
	bool full_name = j->spec->kind == HUB_KIND_EVENTS;
	struct stream_event ev = {
		.seq = row->seq,
		.topic = sv_from(row->topic),
		.ts_ms = row->ts_ms,
		.text = sv_from(row->payload),
	};
	struct frame *f;
	int r = 0;

	if (stream_spec_carries(j->spec, &ev, identity)) {
		r = stream_event_frame(&ev, full_name, &f);
		if (r == 0)
			r = frame_list_push(&j->frames, f);
	}
	stream_event_fini(&ev);
	return r;
}

static int
read_filtered(struct db *db, const struct stream_spec *spec, int64_t after,
	      struct journal_rows *rows, struct err *e)
{
	if (spec->kind == HUB_KIND_TOPOLOGY)
		return journal_read(db, JOURNAL_SCOPE, spec->id, after, LIMIT_STREAM_CHUNK_ROWS,
				    rows, e);
	if (spec->kind == HUB_KIND_IDENTITIES)
		return journal_read(db, JOURNAL_IDENTITY, NULL, after, LIMIT_STREAM_CHUNK_ROWS,
				    rows, e);
	return journal_read(db, JOURNAL_ALL, NULL, after, LIMIT_STREAM_CHUNK_ROWS, rows, e);
}

static int
read_journal(struct fetch_job *j, struct db *db)
{
	char identity[ID_UUID_SIZE] = "";
	struct journal_rows rows = {.max_bytes = LIMIT_STREAM_CHUNK_BYTES};
	size_t bytes = 0, i = 0;
	int64_t floor = 0;
	int r = journal_floor(db, &floor, &j->err);

	if (r == 0 && floor > j->after)
		r = -ESTALE;
	if (r == 0 && j->spec->kind == HUB_KIND_ATTACKER)
		r = stream_identity_at(db, j->spec->id, j->after, identity, &j->err);
	if (r == 0)
		r = read_filtered(db, j->spec, j->after, &rows, &j->err);
	if (r < 0)
		goto out;
	r = 0;
	for (; i < rows.n && rows.v[i].seq <= j->upto && r == 0; i++) {
		size_t before = j->frames.n;

		if (bytes > LIMIT_STREAM_CHUNK_BYTES)
			break;
		r = take_row(j, &rows.v[i], identity);
		j->reached = rows.v[i].seq;
		if (j->frames.n > before)
			bytes += frames_bytes(&j->frames);
	}
	/* Everything up to `upto` was seen: the rows went beyond it, or there were no more. */
	if (i == rows.n ? !rows.more : rows.v[i].seq > j->upto)
		j->reached = j->upto;
out:
	journal_rows_fini(&rows);
	return r;
}

/* ---- snapshots ---- */

/* Consumes the value. */
static int
put(json_t *object, const char *key, json_t *own_value)
{
	return json_object_set_new(object, key, own_value) < 0 ? -ENOMEM : 0;
}

static int
put_identities(json_t *object, struct db *db, struct err *e)
{
	json_t *data = NULL;
	int64_t total = 0;
	int r = identity_list(db, SNAPSHOT_ROWS, 0, &data, &total, e);

	return r < 0 ? r : put(object, "identities", data);
}

static int
put_attackers(json_t *object, struct db *db, struct err *e)
{
	struct attacker_filter filter = {.sort = ATTACKER_SORT_RECENT};
	json_t *data = NULL;
	int64_t total = 0;
	int r = attacker_list(db, &filter, SNAPSHOT_ROWS, 0, &data, &total, e);

	return r < 0 ? r : put(object, "attackers", data);
}

/* {topology_id, [name,] status, version, in_flight} of a Topology row. */
static int
topology_part(struct db *db, const json_t *row, bool name, json_t **ret_part, struct err *e)
{
	const char *id = json_get_text(row, "id");
	json_t *part = json_object(), *mutations = NULL;
	int r;

	if (!part)
		return -ENOMEM;
	r = put(part, "topology_id", json_string(id));
	if (r == 0 && name)
		r = put(part, "name", json_incref(json_object_get(row, "name")));
	if (r == 0)
		r = put(part, "status", json_incref(json_object_get(row, "status")));
	if (r == 0)
		r = put(part, "version", json_incref(json_object_get(row, "version")));
	if (r == 0)
		r = mutation_in_flight(db, id, &mutations, e);
	if (r == 0)
		r = put(part, "in_flight", mutations);
	if (r < 0) {
		json_decref(part);
		return r;
	}
	*ret_part = part;
	return 0;
}

static int
snapshot_topology(struct fetch_job *j, struct db *db)
{
	json_t *row = NULL;
	int r = topology_row(db, j->spec->id, &row, &j->err);

	if (r == 1) {
		json_decref(j->snapshot);
		j->snapshot = NULL;
		r = topology_part(db, row, false, &j->snapshot, &j->err);
	} else if (r == 0) {
		r = -ENOENT;
	}
	json_decref(row);
	return r;
}

static int
snapshot_attacker(struct fetch_job *j, struct db *db)
{
	json_t *row = NULL, *observations = NULL;
	int r = attacker_get(db, j->spec->id, &row, &j->err);

	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	r = put(j->snapshot, "attacker_uuid", json_string(j->spec->id));
	if (r == 0)
		r = put(j->snapshot, "attacker", json_incref(row));
	if (r == 0)
		r = attacker_observations(db, j->spec->id, &observations, &j->err);
	if (r == 0)
		r = put(j->snapshot, "observations", observations);
	json_decref(row);
	return r;
}

/* The rows of the topologies an EVENTS stream asks for: the named ones, or the newest. */
static int
wanted_topologies(const struct stream_spec *spec, struct db *db, json_t **ret_rows, struct err *e)
{
	json_t *rows = json_array();
	int r = rows ? 0 : -ENOMEM;

	for (unsigned i = 0; i < spec->npatterns && r == 0; i++) {
		struct sv id = stream_spec_topology(spec, i);
		char text[ID_UUID_SIZE];
		json_t *row = NULL;

		if (!sv_eq(bus_topic_family(spec->pattern[i]), SV("topology")))
			continue;
		if (!id.p) {
			json_decref(rows);
			return topology_list(db, "", SNAPSHOT_TOPOLOGIES, 0, ret_rows, e);
		}
		if (sv_copy(id, text, sizeof(text)) < 0)
			continue;
		r = topology_row(db, text, &row, e);
		if (r == 1)
			r = json_array_append_new(rows, row) < 0 ? -ENOMEM : 0;
	}
	if (r < 0) {
		json_decref(rows);
		return r;
	}
	*ret_rows = rows;
	return 0;
}

static int
put_topologies(struct fetch_job *j, struct db *db)
{
	json_t *rows = NULL, *parts = json_array(), *row;
	size_t i, k;
	int r = parts ? wanted_topologies(j->spec, db, &rows, &j->err) : -ENOMEM;

	json_array_foreach(rows, i, row)
	{
		json_t *part = NULL;
		bool twice = false;

		for (k = 0; k < i && !twice; k++)
			twice = json_equal(json_array_get(rows, k), row);
		if (r < 0 || twice)
			continue;
		r = topology_part(db, row, true, &part, &j->err);
		if (r == 0 && json_array_append_new(parts, part) < 0)
			r = -ENOMEM;
	}
	json_decref(rows);
	if (r < 0) {
		json_decref(parts);
		return r;
	}
	return put(j->snapshot, "topologies", parts);
}

static int
snapshot_events(struct fetch_job *j, struct db *db)
{
	json_t *topics = json_array();
	int r = topics ? 0 : -ENOMEM;

	for (unsigned i = 0; i < j->spec->npatterns && r == 0; i++)
		if (json_array_append_new(topics, json_view(j->spec->pattern[i])) < 0)
			r = -ENOMEM;
	if (r < 0) {
		json_decref(topics);
		return r;
	}
	r = put(j->snapshot, "topics", topics);
	if (r == 0 && stream_spec_family(j->spec, "topology"))
		r = put_topologies(j, db);
	if (r == 0 && stream_spec_family(j->spec, "identity"))
		r = put_identities(j->snapshot, db, &j->err);
	if (r == 0 && stream_spec_family(j->spec, "attacker"))
		r = put_attackers(j->snapshot, db, &j->err);
	return r;
}

static int
make_snapshot(struct fetch_job *j, struct db *db)
{
	int64_t floor;
	int r;

	j->snapshot = json_object();
	if (!j->snapshot)
		return -ENOMEM;
	r = j->spec->kind == HUB_KIND_LOGS ? log_bounds(db, &j->watermark, &floor, &j->err)
					   : journal_head(db, &j->watermark, &j->err);
	if (r < 0)
		return r;
	switch (j->spec->kind) {
	case HUB_KIND_ATTACKER: return snapshot_attacker(j, db);
	case HUB_KIND_EVENTS: return snapshot_events(j, db);
	case HUB_KIND_IDENTITIES: return put_identities(j->snapshot, db, &j->err);
	case HUB_KIND_TOPOLOGY: return snapshot_topology(j, db);
	case HUB_KIND_LOGS:
	case HUB_KIND_COUNT: break;
	}
	return 0;
}

/* ---- the job ---- */

static void
run_fetch(struct pool_job *job, void *thread_state)
{
	struct fetch_job *j = job->user;
	struct db *db = thread_state;

	j->r = db_begin_read(db, &j->err);
	if (j->r == 0)
		j->r = user_access_epoch(db, &j->epoch, &j->err);
	if (j->r == 0 && j->fetch->snapshot)
		j->r = make_snapshot(j, db);
	else if (j->r == 0 && j->spec->kind == HUB_KIND_LOGS)
		j->r = stream_logs_read(db, j->spec, j->after, j->upto, &j->frames, &j->reached,
					&j->err);
	else if (j->r == 0)
		j->r = read_journal(j, db);
	db_rollback(db);
	if (j->r == 0 && j->snapshot) {
		j->json = json_text(j->snapshot);
		if (!j->json)
			j->r = -ENOMEM;
	}
}

static void
answer(struct fetch_job *own_j)
{
	struct fetch_job *j = own_j;

	if (j->r < 0 && j->r != -ESTALE && j->r != -ENOENT)
		log_event(LV_WARN, "streams.store", KV_S("stream", hub_kind_label(j->spec->kind)),
			  KV_I("code", j->r), KV_S("why", err_text(&j->err)));
	if (j->fetch->snapshot)
		hub_snapshot_done(j->fetch, j->r, sv_from(j->json), j->watermark);
	else
		hub_read_done(j->fetch, j->r, &j->frames, j->reached);
	json_decref(j->snapshot);
	free(j->json);
	free(j);
}

void
stream_store_release(struct streams *s, int64_t epoch)
{
	LIST_FOR (it, &s->held) {
		struct fetch_job *j = CONTAINER_OF(it, struct fetch_job, node);

		if (j->epoch > epoch)
			continue;
		list_unlink(it);
		answer(j);
	}
}

/* What it read may have been committed after somebody's access ended. */
static void
done_fetch(struct pool_job *job)
{
	struct fetch_job *j = job->user;

	if (j->r < 0 || streams_may_pass(j->streams, j->epoch))
		answer(j);
	else
		list_append(&j->streams->held, &j->node);
}

int
stream_store_fetch(struct streams *s, struct hub_fetch *f)
{
	struct fetch_job *j = calloc(1, sizeof(*j));

	if (!j)
		return -EBUSY;
	list_init(&j->node);
	j->streams = s;
	j->fetch = f;
	j->spec = hub_stream_user(f->stream);
	j->after = j->reached = f->after;
	j->upto = f->upto;
	j->job = (struct pool_job){.run = run_fetch, .done = done_fetch, .user = j};
	if (api_worker_submit(s->worker, &j->job) < 0) {
		free(j);
		return -EBUSY;
	}
	return 0;
}
