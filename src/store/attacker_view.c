/* SPDX-License-Identifier: Apache-2.0 */
/* Attacker rows as a viewer sees them. */
#include "store/attacker_view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/attacker.h"
#include "store/identity.h"
#include "store/rows.h"
#include "util/buf.h"
#include "util/json.h"

#define ROW_COMMANDS_MAX 200
#define SERVICE_NAME_MAX 64

/* What a statement's row becomes. */

static int
no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

static json_t *
fingerprint_json(struct db *db, struct db_stmt *st, struct err *e)
{
	(void)db;
	(void)e;
	return json_pack("{s:s, s:s, s:s, s:o}", "primitive", db_col_text(st, 0), "value",
			 db_col_text(st, 1), "source", db_col_text(st, 2), "first_seen",
			 json_time((uint64_t)db_col_int(st, 3)));
}

static json_t *
observation_json(struct db *db, struct db_stmt *st, struct err *e)
{
	(void)db;
	(void)e;
	return json_pack("{s:s, s:s, s:f, s:o, s:s}", "primitive", db_col_text(st, 0), "value",
			 db_col_text(st, 1), "confidence", db_col_real(st, 2), "ts",
			 json_time((uint64_t)db_col_int(st, 3)), "source", db_col_text(st, 4));
}

static json_t *
command_json(struct db *db, struct db_stmt *st, struct err *e)
{
	(void)db;
	(void)e;
	return json_pack("{s:s, s:s, s:s, s:o}", "service", db_col_text(st, 0), "decky",
			 db_col_text(st, 1), "command", db_col_text(st, 2), "timestamp",
			 json_time((uint64_t)db_col_int(st, 3)));
}

static int
read_commands(struct db *db, const char *uuid, const char *service, int64_t limit, int64_t offset,
	      json_t **ret_list, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_ATTACKER_COMMANDS);

	db_bind_text(st, 1, uuid);
	db_bind_text(st, 2, service);
	db_bind_int(st, 3, limit);
	db_bind_int(st, 4, offset);
	return rows_collect(db, st, command_json, ret_list, e);
}

/* What other tables know about the row. */
static int
hang_on(struct db *db, const struct attacker *a, char final[ID_UUID_SIZE], json_t **ret_prints,
	json_t **ret_commands, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_ATTACKER_SIGNALS);
	int r = 0;

	final[0] = '\0';
	if (a->identity_id[0])
		r = identity_final(db, a->identity_id, final, e);
	if (r < 0)
		return r;
	db_bind_text(st, 1, a->uuid);
	r = rows_collect(db, st, fingerprint_json, ret_prints, e);
	if (r == 0)
		r = read_commands(db, a->uuid, "", ROW_COMMANDS_MAX, 0, ret_commands, e);
	return r;
}

static json_t *
row_json(struct db *db, const struct attacker *a, struct err *e)
{
	json_t *prints = NULL, *commands = NULL, *row;
	char final[ID_UUID_SIZE];

	if (hang_on(db, a, final, &prints, &commands, e) < 0) {
		json_decref(prints);
		return NULL;
	}
	row = json_pack(
		"{s:s, s:s, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:O, s:O, s:o, s:b,"
		" s:o, s:o, s:I, s:o}",
		"uuid", a->uuid, "ip", a->ip, "identity_id",
		json_text_or_null(final[0] ? final : NULL), "first_seen", json_time(a->first_seen),
		"last_seen", json_time(a->last_seen), "updated_at", json_time(a->updated_at),
		"event_count", (json_int_t)a->event_count, "service_count",
		(json_int_t)json_array_size(a->services), "decky_count",
		(json_int_t)json_array_size(a->deckies), "bounty_count",
		(json_int_t)a->bounty_count, "credential_count", (json_int_t)a->credential_count,
		"services", a->services, "deckies", a->deckies, "traversal_path",
		json_text_or_null(a->traversal_path), "is_traversal", a->is_traversal,
		"fingerprints", prints, "commands", commands, "rotation_count",
		(json_int_t)a->rotation_count, "last_rotation_at", json_time(a->last_rotation_at));
	if (row)
		json_object_set_new(row, "behavior",
				    a->behavior ? json_incref(a->behavior) : json_null());
	/* Columns of a part that this version does not have. */
	for (const char *const *key =
		     (const char *const[]){"country_code", "country_source", "asn", "as_name",
					   "bgp_prefix", "asn_source", "rpki_status", "rpki_source",
					   "ptr_record", NULL};
	     row && *key; key++)
		json_object_set_new(row, *key, json_null());
	return row;
}

json_t *
attacker_row_json(struct db *db, struct db_stmt *st, struct err *e)
{
	struct attacker a = {0};
	json_t *row;

	if (attacker_read(st, &a) < 0) {
		(void)no_memory(e);
		return NULL;
	}
	row = row_json(db, &a, e);
	attacker_fini(&a);
	return row;
}

/* 1 and the row in *ret, 0 without one, or a failure. */
static int
load(struct db *db, const char *uuid, struct attacker *ret, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_ATTACKER_BY_UUID);
	int r;

	db_bind_text(st, 1, uuid);
	r = db_step(st, e);
	if (r > 0 && attacker_read(st, ret) < 0)
		r = no_memory(e);
	db_reset(st);
	return r;
}

int
attacker_exists(struct db *db, const char *uuid, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_OBSERVATION_IDENTITY);
	int r;

	db_bind_text(st, 1, uuid);
	r = db_step(st, e);
	db_reset(st);
	return r;
}

int
attacker_get(struct db *db, const char *uuid, json_t **ret_row, struct err *e)
{
	struct attacker a = {0};
	json_t *row;
	int r = load(db, uuid, &a, e);

	if (r <= 0)
		return r;
	row = row_json(db, &a, e);
	attacker_fini(&a);
	if (!row)
		return -EIO;
	*ret_row = row;
	return 1;
}

int
attacker_detail(struct db *db, const char *uuid, json_t **ret_row, struct err *e)
{
	json_t *row = NULL, *observations = NULL, *activity = NULL;
	struct attacker a = {0};
	int r = load(db, uuid, &a, e);

	if (r <= 0)
		return r;
	row = row_json(db, &a, e);
	activity = attacker_activity(&a);
	r = row && activity ? attacker_observations(db, uuid, &observations, e) : -EIO;
	if (r == 0 && (json_object_set(row, "service_activity", activity) != 0 ||
		       json_object_set(row, "observations", observations) != 0))
		r = no_memory(e);
	json_decref(activity);
	json_decref(observations);
	attacker_fini(&a);
	if (r < 0) {
		json_decref(row);
		return r;
	}
	*ret_row = row;
	return 1;
}

int
attacker_observations(struct db *db, const char *uuid, json_t **ret_list, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_ATTACKER_SIGNALS_CURRENT);

	db_bind_text(st, 1, uuid);
	return rows_collect(db, st, observation_json, ret_list, e);
}

/* `%text%` with the pattern's own characters escaped by '!', letters in lower case. */
static int
pattern(struct buf *b, const char *before, struct sv text, const char *after)
{
	int r = buf_put(b, sv_from(before));

	for (size_t i = 0; r == 0 && i < text.n; i++) {
		char c = text.p[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (c == '%' || c == '_' || c == '!')
			r = buf_putc(b, '!');
		if (r == 0)
			r = buf_putc(b, c);
	}
	return r < 0 ? r : buf_put(b, sv_from(after));
}

static bool
service_name(struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') ||
		      s.p[i] == '_' || s.p[i] == '-'))
			return false;
	return s.n <= SERVICE_NAME_MAX;
}

/* Whether any row can match at all; what it looks for must be bytes that a row can hold. */
static bool
possible(const struct attacker_filter *f)
{
	return service_name(f->service) && f->ip.n < ATTACKER_IP_SIZE && sv_utf8(f->ip) &&
	       (f->ip.n == 0 || !memchr(f->ip.p, 0, f->ip.n));
}

static int
bind_patterns(struct db_stmt *st, const struct attacker_filter *f)
{
	struct buf ip, service;
	int r;

	buf_init(&ip, 256);
	buf_init(&service, 256);
	r = pattern(&ip, "%", f->ip, f->ip.n ? "%" : "");
	if (r == 0)
		r = f->service.n ? pattern(&service, "%\"", f->service, "\"%")
				 : buf_put(&service, SV("%"));
	if (r == 0) {
		db_bind_sv(st, 1, buf_sv(&ip));
		db_bind_sv(st, 2, buf_sv(&service));
	}
	buf_fini(&ip);
	buf_fini(&service);
	return r;
}

int
attacker_list(struct db *db, const struct attacker_filter *f, int64_t limit, int64_t offset,
	      json_t **ret_data, int64_t *ret_total, struct err *e)
{
	static const enum db_query queries[] = {
		[ATTACKER_SORT_RECENT] = Q_ATTACKER_RECENT,
		[ATTACKER_SORT_ACTIVE] = Q_ATTACKER_ACTIVE,
		[ATTACKER_SORT_TRAVERSALS] = Q_ATTACKER_TRAVERSALS,
	};
	struct db_stmt *st = db_query(db, Q_ATTACKER_COUNT);
	int r;

	*ret_total = 0;
	if (!possible(f)) {
		*ret_data = json_array();
		return *ret_data ? 0 : no_memory(e);
	}
	if (bind_patterns(st, f) < 0) {
		db_reset(st);
		return no_memory(e);
	}
	r = db_one_int(st, ret_total, e);
	if (r < 0)
		return r;
	st = db_query(db, queries[f->sort]);
	if (bind_patterns(st, f) < 0) {
		db_reset(st);
		return no_memory(e);
	}
	db_bind_int(st, 3, limit);
	db_bind_int(st, 4, offset);
	return rows_collect(db, st, attacker_row_json, ret_data, e);
}

int
attacker_page(struct db *db, const char *after, unsigned limit, json_t **ret_data, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_ATTACKER_PAGE);

	db_bind_text(st, 1, after);
	db_bind_int(st, 2, limit);
	return rows_collect(db, st, attacker_row_json, ret_data, e);
}

int
attacker_commands(struct db *db, const char *uuid, const char *service, int64_t limit,
		  int64_t offset, json_t **ret_data, int64_t *ret_total, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_ATTACKER_COMMANDS_COUNT);
	int r;

	db_bind_text(st, 1, uuid);
	db_bind_text(st, 2, service);
	r = db_one_int(st, ret_total, e);
	return r < 0 ? r : read_commands(db, uuid, service, limit, offset, ret_data, e);
}
