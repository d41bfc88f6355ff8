/* SPDX-License-Identifier: Apache-2.0 */
/* Attacker rows at ingest: every change with its journal row. */
#include "store/attacker_held.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/journal.h"
#include "store/rows.h"
#include "util/buf.h"
#include "util/json.h"
#include "util/limits.h"

#define EVENT_COMMANDS_MAX	 64
#define SESSION_COMMANDS_MAX	 64
#define TRAVERSAL_PATH_BYTES_MAX 4096
#define COMMANDS_TRIM_EVERY	 256 /* events of one attacker between two looks at the ceiling */

static int
no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

void
attacker_signals_fini(struct attacker_signals *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i].value);
	free(s->v);
	*s = (struct attacker_signals){0};
}

void
attacker_fini(struct attacker *a)
{
	attacker_signals_fini(&a->fresh);
	for (size_t i = 0; i < ARRAY_LEN(a->current); i++)
		free(a->current[i]);
	json_decref(a->services);
	json_decref(a->services_interacted);
	json_decref(a->deckies);
	json_decref(a->behavior);
	json_decref(a->commands);
	free(a->traversal_path);
	*a = (struct attacker){0};
}

int
attacker_read(struct db_stmt *st, struct attacker *ret)
{
	struct attacker a = {
		.first_seen = (uint64_t)db_col_int(st, 3),
		.last_seen = (uint64_t)db_col_int(st, 4),
		.updated_at = (uint64_t)db_col_int(st, 5),
		.event_count = db_col_int(st, 6),
		.bounty_count = db_col_int(st, 7),
		.credential_count = db_col_int(st, 8),
		.services = json_stored(db_col_text(st, 9), "[]"),
		.services_interacted = json_stored(db_col_text(st, 10), "[]"),
		.deckies = json_stored(db_col_text(st, 11), "[]"),
		.traversal_path = db_col_null(st, 12) ? NULL : sv_dup(db_col_sv(st, 12)),
		.is_traversal = db_col_int(st, 13) != 0,
		.rotation_count = db_col_int(st, 14),
		.last_rotation_at = (uint64_t)db_col_int(st, 15),
		.behavior = db_col_null(st, 16) ? NULL : json_stored(db_col_text(st, 16), "{}"),
		.commands = json_array(),
	};

	if (sv_copy(db_col_sv(st, 0), a.uuid, sizeof(a.uuid)) < 0 ||
	    sv_copy(db_col_sv(st, 1), a.ip, sizeof(a.ip)) < 0 ||
	    sv_copy(db_col_sv(st, 2), a.identity_id, sizeof(a.identity_id)) < 0 || !a.services ||
	    !a.services_interacted || !a.deckies || !a.commands) {
		attacker_fini(&a);
		return -ENOMEM;
	}
	*ret = a;
	return 0;
}

static int
new_row(const char *ip, struct attacker *ret)
{
	struct attacker a = {
		.is_new = true,
		.services = json_array(),
		.services_interacted = json_array(),
		.deckies = json_array(),
		.commands = json_array(),
	};

	id_uuid7(a.uuid);
	if (sv_copy(sv_from(ip), a.ip, sizeof(a.ip)) < 0 || !a.services || !a.services_interacted ||
	    !a.deckies || !a.commands) {
		attacker_fini(&a);
		return -ENOMEM;
	}
	*ret = a;
	return 0;
}

int
attacker_open(struct db *db, const char *ip, struct attacker *ret, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_ATTACKER_BY_IP);
	int r;

	db_bind_text(st, 1, ip);
	r = db_step(st, e);
	if (r >= 0 && (r > 0 ? attacker_read(st, ret) : new_row(ip, ret)) < 0)
		r = no_memory(e);
	db_reset(st);
	return r < 0 ? r : 0;
}

/* Add to a list of names. 1: it is new and fits, 0, -ENOMEM. `sorted` keeps the list in order. */
static int
add_name(json_t *list, const char *name, size_t max, bool sorted)
{
	size_t n = json_array_size(list), at = n;

	for (size_t i = 0; i < n; i++) {
		int c = strcmp(name, json_string_value(json_array_get(list, i)));

		if (c == 0)
			return 0;
		if (sorted && c < 0 && at == n)
			at = i;
	}
	if (n >= max)
		return 0;
	return json_array_insert_new(list, at, json_string(name)) == 0 ? 1 : -ENOMEM;
}

/* The names in the order in which they were first touched. */
static int
set_path(struct attacker *a)
{
	struct buf b;
	int r = 0;

	if (json_array_size(a->deckies) < 2)
		return 0;
	buf_init(&b, TRAVERSAL_PATH_BYTES_MAX);
	for (size_t i = 0; r == 0 && i < json_array_size(a->deckies); i++)
		r = buf_printf(&b, "%s%s", i ? " → " : "",
			       json_string_value(json_array_get(a->deckies, i)));
	if (r != -ENOMEM) {
		free(a->traversal_path);
		a->traversal_path = buf_take(&b);
		a->is_traversal = true;
		r = a->traversal_path ? 0 : -ENOMEM;
	}
	buf_fini(&b);
	return r;
}

int
attacker_note(struct attacker *a, const struct attacker_place *at, bool interaction)
{
	int r;

	a->event_count++;
	if (a->first_seen == 0 || at->ts_ms < a->first_seen)
		a->first_seen = at->ts_ms;
	if (at->ts_ms > a->last_seen)
		a->last_seen = at->ts_ms;
	r = add_name(a->services, at->service, LIMIT_ATTACKER_SERVICES, true);
	if (r > 0)
		a->services_changed = true;
	if (r >= 0 && interaction) {
		r = add_name(a->services_interacted, at->service, LIMIT_ATTACKER_SERVICES, true);
		if (r > 0)
			a->interacted_changed = true;
	}
	if (r >= 0)
		r = add_name(a->deckies, at->decky, LIMIT_ATTACKER_DECKIES, false);
	if (r > 0) {
		a->deckies_changed = true;
		r = set_path(a);
	}
	return r < 0 ? r : 0;
}

int
attacker_tell(struct db *db, enum bus_topic t, uint64_t now_ms, json_t *own_payload, struct err *e)
{
	char topic[BUS_SUBJECT_MAX + 1];
	int r = own_payload ? bus_topic_build(t, NULL, topic) : no_memory(e);

	if (r == 0)
		r = journal_append(db, topic, NULL, now_ms, own_payload, NULL, e);
	json_decref(own_payload);
	return r;
}

int
attacker_session_start(struct db *db, const struct attacker *a, const struct attacker_place *at,
		       struct err *e)
{
	struct db_stmt *st = db_query(db, Q_SESSION_ADD);
	int64_t added = 0;
	int r;

	db_bind_text(st, 1, at->session_id);
	db_bind_text(st, 2, a->uuid);
	db_bind_text(st, 3, at->topology_id);
	db_bind_text(st, 4, at->decky_id);
	db_bind_text(st, 5, at->decky);
	db_bind_text(st, 6, at->service);
	db_bind_int(st, 7, (int64_t)at->ts_ms);
	db_bind_text(st, 8, at->source);
	db_bind_int(st, 9, (int64_t)at->ts_ms);
	r = db_exec(st, &added, e);
	if (r < 0 || added == 0)
		return r;
	return attacker_tell(db, BUS_TOPIC_ATTACKER_SESSION_STARTED, at->now_ms,
			     json_pack("{s:s, s:s, s:s, s:o, s:o, s:s, s:s, s:o}", "session_id",
				       at->session_id, "attacker_uuid", a->uuid, "attacker_ip",
				       a->ip, "topology_id", json_text_or_null(at->topology_id),
				       "decky_id", json_text_or_null(at->decky_id), "decky",
				       at->decky, "service", at->service, "started_at",
				       json_time(at->ts_ms)),
			     e);
}

int
attacker_session_seen(struct db *db, const struct attacker *a, const struct attacker_place *at,
		      struct err *e)
{
	struct db_stmt *st = db_query(db, Q_SESSION_SEEN);

	db_bind_int(st, 1, (int64_t)at->ts_ms);
	db_bind_text(st, 2, at->session_id);
	db_bind_text(st, 3, a->uuid);
	return db_exec(st, NULL, e);
}

/* The payload of session.ended from the open session's row, or NULL. */
static json_t *
ended_payload(const struct attacker *a, const char *session_id, uint64_t at_ms, struct db_stmt *st)
{
	uint64_t started = (uint64_t)db_col_int(st, 4);
	uint64_t ended = at_ms > started ? at_ms : started;

	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:s, s:s, s:o, s:o, s:f, s:o}", "session_id",
			 session_id, "attacker_uuid", a->uuid, "attacker_ip", a->ip, "topology_id",
			 json_text_or_null(db_col_text(st, 0)), "decky_id",
			 json_text_or_null(db_col_text(st, 1)), "decky", db_col_text(st, 2),
			 "service", db_col_text(st, 3), "started_at", json_time(started),
			 "ended_at", json_time(ended), "duration_s",
			 (double)(ended - started) / 1000.0, "commands",
			 json_stored(db_col_text(st, 5), "[]"));
}

/* The row and its event; consumes the payload. */
static int
end_session(struct db *db, const struct attacker *a, const char *session_id, uint64_t at_ms,
	    uint64_t now_ms, json_t *own_payload, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_SESSION_END);
	int r;

	db_bind_int(st, 1, (int64_t)at_ms);
	db_bind_text(st, 2, session_id);
	db_bind_text(st, 3, a->uuid);
	r = db_exec(st, NULL, e);
	if (r < 0) {
		json_decref(own_payload);
		return r;
	}
	return attacker_tell(db, BUS_TOPIC_ATTACKER_SESSION_ENDED, now_ms, own_payload, e);
}

int
attacker_session_end(struct db *db, const struct attacker *a, const struct attacker_place *at,
		     struct err *e)
{
	struct db_stmt *st = db_query(db, Q_SESSION_GET);
	json_t *payload = NULL;
	int r;

	db_bind_text(st, 1, at->session_id);
	db_bind_text(st, 2, a->uuid);
	r = db_step(st, e);
	if (r > 0) {
		payload = ended_payload(a, at->session_id, at->ts_ms, st);
		if (!payload)
			r = no_memory(e);
	}
	db_reset(st);
	if (r <= 0)
		return r;
	return end_session(db, a, at->session_id, at->ts_ms, at->now_ms, payload, e);
}

struct lost {
	struct attacker who; /* uuid and ip only */
	char session_id[ID_UUID_SIZE];
	uint64_t seen_ms;
	json_t *payload;
};

static int
read_lost(struct db_stmt *st, struct lost *l, struct err *e)
{
	uint64_t started = (uint64_t)db_col_int(st, 4), seen = (uint64_t)db_col_int(st, 6);

	*l = (struct lost){.seen_ms = seen > started ? seen : started};
	if (sv_copy(db_col_sv(st, 7), l->session_id, sizeof(l->session_id)) < 0 ||
	    sv_copy(db_col_sv(st, 8), l->who.uuid, sizeof(l->who.uuid)) < 0 ||
	    sv_copy(db_col_sv(st, 9), l->who.ip, sizeof(l->who.ip)) < 0)
		return err_set(e, -EIO, "a session's row makes no sense");
	l->payload = ended_payload(&l->who, l->session_id, l->seen_ms, st);
	return l->payload ? 0 : no_memory(e);
}

int
attacker_sessions_lost(struct db *db, const char *channel, const char *source, int max,
		       uint64_t now_ms, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_SESSION_LOST);
	struct lost *list = calloc((size_t)max, sizeof(*list));
	int n = 0, r = list ? 0 : no_memory(e);

	db_bind_text(st, 1, channel);
	db_bind_text(st, 2, source);
	db_bind_int(st, 3, max);
	while (r >= 0 && n < max && (r = db_step(st, e)) > 0)
		r = read_lost(st, &list[n++], e);
	db_reset(st);
	for (int i = 0; i < n; i++) {
		if (r >= 0)
			r = end_session(db, &list[i].who, list[i].session_id, list[i].seen_ms,
					now_ms, TAKE(list[i].payload), e);
		json_decref(list[i].payload);
	}
	free(list);
	return r < 0 ? r : n;
}

/* Keep the first commands of the session for its end. */
static int
session_command(struct db *db, const struct attacker *a, const struct attacker_place *at,
		const json_t *command, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_SESSION_GET);
	json_t *list = NULL;
	char *text = NULL;
	int r;

	db_bind_text(st, 1, at->session_id);
	db_bind_text(st, 2, a->uuid);
	r = db_step(st, e);
	if (r > 0)
		list = json_stored(db_col_text(st, 5), "[]");
	db_reset(st);
	if (r <= 0)
		return r;
	if (json_array_size(list) >= SESSION_COMMANDS_MAX) {
		r = 0;
		goto out;
	}
	if (!list || json_array_append_new(list, json_copy((json_t *)(uintptr_t)command)) != 0 ||
	    !(text = json_text(list))) {
		r = no_memory(e);
		goto out;
	}
	st = db_query(db, Q_SESSION_SET_COMMANDS);
	db_bind_text(st, 1, text);
	db_bind_text(st, 2, at->session_id);
	db_bind_text(st, 3, a->uuid);
	r = db_exec(st, NULL, e);
out:
	json_decref(list);
	free(text);
	return r;
}

static int
trim_commands(struct db *db, const struct attacker *a, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_ATTACKER_COMMANDS_TRIM);

	db_bind_text(st, 1, a->uuid);
	db_bind_int(st, 2, LIMIT_ATTACKER_COMMANDS);
	return db_exec(st, NULL, e);
}

int
attacker_command_add(struct db *db, struct attacker *a, const struct attacker_place *at,
		     struct sv command, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_ATTACKER_COMMAND_ADD);
	json_t *text, *entry;
	int r;

	if (command.n > LIMIT_COMMAND_BYTES) {
		/* Not in the middle of a character. */
		for (command.n = LIMIT_COMMAND_BYTES; (command.p[command.n] & 0xc0) == 0x80;)
			command.n--;
	}
	text = json_view(command);
	entry = json_pack("{s:s, s:s, s:O, s:o}", "service", at->service, "decky", at->decky,
			  "command", text, "timestamp", json_time(at->ts_ms));
	if (!text || !entry || json_array_insert(a->commands, 0, entry) != 0) {
		r = no_memory(e);
		goto out;
	}
	db_bind_int(st, 1, at->log_id);
	db_bind_text(st, 2, a->uuid);
	db_bind_int(st, 3, (int64_t)at->ts_ms);
	db_bind_text(st, 4, at->service);
	db_bind_text(st, 5, at->decky);
	db_bind_text(st, 6, json_string_value(text));
	r = db_exec(st, NULL, e);
	if (r == 0)
		r = session_command(db, a, at, text, e);
	if (r == 0 && at->log_id % COMMANDS_TRIM_EVERY == 0)
		r = trim_commands(db, a, e);
out:
	json_decref(text);
	json_decref(entry);
	return r;
}

int
attacker_credential_add(struct db *db, struct attacker *a, const struct attacker_place *at,
			const struct attacker_credential *c, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_CREDENTIAL_ADD);
	int64_t added = 0;
	int r;

	if (a->credential_count >= LIMIT_ATTACKER_CREDENTIALS)
		return 0;
	db_bind_text(st, 1, a->uuid);
	db_bind_text(st, 2, c->username);
	db_bind_text(st, 3, c->secret_sha256);
	db_bind_text(st, 4, c->kind);
	db_bind_text(st, 5, at->service);
	db_bind_int(st, 6, c->common);
	db_bind_int(st, 7, (int64_t)at->ts_ms);
	r = db_exec(st, &added, e);
	if (r < 0 || added == 0)
		return r;
	a->credential_count++;
	a->bounty_count++;
	a->counts_changed = true;
	r = attacker_tell(db, BUS_TOPIC_CREDENTIAL_CAPTURED, at->now_ms,
			  json_pack("{s:s, s:s, s:s, s:s, s:o, s:s, s:s}", "secret_sha256",
				    c->secret_sha256, "secret_kind", c->kind, "attacker_uuid",
				    a->uuid, "attacker_ip", a->ip, "topology_id",
				    json_text_or_null(at->topology_id), "decky", at->decky,
				    "service", at->service),
			  e);
	return r < 0 ? r : 1;
}

void
attacker_file_add(struct attacker *a)
{
	a->bounty_count++;
	a->counts_changed = true;
}

/* The columns from first_seen to behavior, in the order of attacker.def. */
static int
bind_columns(struct db_stmt *st, int at, const struct attacker *a)
{
	int r;

	db_bind_int(st, at, (int64_t)a->first_seen);
	db_bind_int(st, at + 1, (int64_t)a->last_seen);
	db_bind_int(st, at + 2, (int64_t)a->updated_at);
	db_bind_int(st, at + 3, a->event_count);
	db_bind_int(st, at + 4, a->bounty_count);
	db_bind_int(st, at + 5, a->credential_count);
	r = rows_bind_json(st, at + 6, a->services);
	if (r == 0)
		r = rows_bind_json(st, at + 7, a->services_interacted);
	if (r == 0)
		r = rows_bind_json(st, at + 8, a->deckies);
	db_bind_text(st, at + 9, a->traversal_path);
	db_bind_int(st, at + 10, a->is_traversal);
	db_bind_int(st, at + 11, a->rotation_count);
	if (a->last_rotation_at)
		db_bind_int(st, at + 12, (int64_t)a->last_rotation_at);
	else
		db_bind_null(st, at + 12);
	if (r == 0 && a->behavior)
		r = rows_bind_json(st, at + 13, a->behavior);
	else
		db_bind_null(st, at + 13);
	return r;
}

static int
write_row(struct db *db, const struct attacker *a, struct err *e)
{
	struct db_stmt *st = db_query(db, a->is_new ? Q_ATTACKER_INSERT : Q_ATTACKER_UPDATE);
	int64_t total;
	int r;

	if (a->is_new) {
		db_bind_text(st, 1, a->uuid);
		db_bind_text(st, 2, a->ip);
	} else {
		db_bind_text(st, 15, a->uuid);
	}
	if (bind_columns(st, a->is_new ? 3 : 1, a) < 0) {
		db_reset(st);
		return no_memory(e);
	}
	r = db_exec(st, NULL, e);
	if (r < 0 || !a->is_new)
		return r;
	st = db_query(db, Q_COUNTER_ADD);
	db_bind_int(st, 1, 1);
	db_bind_text(st, 2, "attackers_total");
	r = db_one_int(st, &total, e);
	return r < 0 ? r : 0;
}

static json_t *
observed_payload(const struct attacker *a, const struct attacker_place *last,
		 const char *event_type)
{
	bool whole = json_array_size(a->commands) <= EVENT_COMMANDS_MAX;

	return json_pack("{s:s, s:s, s:o, s:s, s:s, s:s, s:o, s:o, s:I, s:b, s:o}", "attacker_uuid",
			 a->uuid, "attacker_ip", a->ip, "topology_id",
			 json_text_or_null(last->topology_id), "decky", last->decky, "service",
			 last->service, "event_type", event_type, "first_seen",
			 json_time(a->first_seen), "last_seen", json_time(a->last_seen),
			 "event_count", (json_int_t)a->event_count, "first", a->is_new, "commands",
			 whole ? json_incref(a->commands) : json_null());
}

/* The columns that only attacker.scored carries; empty when none of them changed. */
static json_t *
changed_columns(const struct attacker *a)
{
	json_t *changed = json_object(), *activity;
	int failed = !changed;

	if (!failed && a->services_changed)
		failed |= json_object_set(changed, "services", a->services);
	if (!failed && a->deckies_changed) {
		failed |= json_object_set(changed, "deckies", a->deckies);
		failed |= json_object_set_new(changed, "traversal_path",
					      json_text_or_null(a->traversal_path));
	}
	if (!failed && (a->services_changed || a->interacted_changed)) {
		activity = attacker_activity(a);
		failed |= !activity || json_object_set_new(changed, "service_activity", activity);
	}
	if (!failed && a->is_new) {
		failed |= json_object_set_new(changed, "rotation_count",
					      json_integer(a->rotation_count));
		failed |= json_object_set_new(changed, "last_rotation_at",
					      json_time(a->last_rotation_at));
		failed |= json_object_set_new(changed, "behavior", json_null());
	}
	if (failed) {
		json_decref(changed);
		return NULL;
	}
	return changed;
}

json_t *
attacker_activity(const struct attacker *a)
{
	json_t *scanned = json_array(), *service;
	size_t i;

	json_array_foreach(a->services, i, service)
	{
		bool interacted = false;

		for (size_t k = 0; k < json_array_size(a->services_interacted); k++)
			interacted |=
				json_equal(service, json_array_get(a->services_interacted, k));
		if (!interacted && json_array_append(scanned, service) != 0) {
			json_decref(scanned);
			return NULL;
		}
	}
	return json_pack("{s:O, s:o}", "interacted", a->services_interacted, "scanned", scanned);
}

static json_t *
scored_payload(const struct attacker *a, json_t *own_changed)
{
	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:b, s:o}", "attacker_uuid", a->uuid,
			 "attacker_ip", a->ip, "event_count", (json_int_t)a->event_count,
			 "service_count", (json_int_t)json_array_size(a->services), "decky_count",
			 (json_int_t)json_array_size(a->deckies), "bounty_count",
			 (json_int_t)a->bounty_count, "credential_count",
			 (json_int_t)a->credential_count, "is_traversal", a->is_traversal,
			 "changed", own_changed);
}

int
attacker_save(struct db *db, struct attacker *a, const struct attacker_place *last,
	      const char *event_type, struct err *e)
{
	json_t *changed;
	int r;

	a->updated_at = last->now_ms;
	r = write_row(db, a, e);
	if (r == 0)
		r = attacker_tell(db, BUS_TOPIC_ATTACKER_OBSERVED, last->now_ms,
				  observed_payload(a, last, event_type), e);
	if (r < 0)
		return r;
	changed = changed_columns(a);
	if (!changed)
		return no_memory(e);
	if (json_object_size(changed) == 0 && !a->counts_changed) {
		json_decref(changed);
		return 0;
	}
	return attacker_tell(db, BUS_TOPIC_ATTACKER_SCORED, last->now_ms,
			     scored_payload(a, changed), e);
}
