/* SPDX-License-Identifier: Apache-2.0 */
/* Identities: who is behind several addresses, why, and what analysts decide about it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "store/er_decision.h"
#include "store/identity.h"
#include "store/identity_tx.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/limits.h"

api_handler_fn h_identity_list, h_identity_get, h_identity_observations, h_identity_decisions,
	h_identity_evidence, h_identity_note, h_identity_split, h_identity_merge;

#define LIMIT_DEFAULT  50
#define LIMIT_MAX      1000
#define NOTE_CHARS_MAX 4096
#define SPLIT_MAX      1000
#define SPLIT_EMPTY    "split would leave the identity without observations"

static int
not_found(struct api_res *res)
{
	return api_fail(res, 404, "Identity not found");
}

int
h_identity_list(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	int64_t limit, offset, total = 0;
	json_t *data = NULL;
	int r;

	api_query_page(req, res, LIMIT_DEFAULT, LIMIT_MAX, &limit, &offset);
	if (api_bad(res))
		return 0;
	r = identity_list(cx->db, limit, offset, &data, &total, cx->e);
	return r < 0 ? r : api_ok(res, 200, api_envelope(total, limit, offset, data));
}

int
h_identity_get(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	const char *uuid = api_param_uuid(req, 0);
	json_t *row = NULL;
	int r = uuid ? identity_detail(cx->db, uuid, &row, cx->e) : 0;

	if (r < 0)
		return r;
	return r == 0 ? not_found(res) : api_ok(res, 200, row);
}

/* A list of the identity in the path, of its final winner. */
typedef int list_fn(struct db *db, const char *uuid, int64_t limit, int64_t offset,
		    json_t **ret_data, int64_t *ret_total, struct err *e);

static int
list_of(struct api_ctx *cx, const struct api_req *req, struct api_res *res, list_fn *fn)
{
	const char *uuid = api_param_uuid(req, 0);
	int64_t limit, offset, total = 0;
	char winner[ID_UUID_SIZE];
	json_t *data = NULL;
	int r;

	api_query_page(req, res, LIMIT_DEFAULT, LIMIT_MAX, &limit, &offset);
	if (api_bad(res))
		return 0;
	r = uuid ? identity_resolve(cx->db, uuid, winner, cx->e) : 0;
	if (r <= 0)
		return r < 0 ? r : not_found(res);
	r = fn(cx->db, winner, limit, offset, &data, &total, cx->e);
	return r < 0 ? r : api_ok(res, 200, api_envelope(total, limit, offset, data));
}

int
h_identity_observations(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	return list_of(cx, req, res, identity_observations);
}

int
h_identity_decisions(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	return list_of(cx, req, res, er_decision_list);
}

int
h_identity_evidence(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	return list_of(cx, req, res, identity_evidence);
}

/* `<time> <username>: <text>` as one line, heap; NULL without memory. */
static char *
note_line(const struct api_req *req)
{
	char at[CLOCK_ISO_SIZE], *line = NULL;

	clock_iso(req->now_ms, at);
	if (asprintf(&line, "%s %s: %s", at, req->caller.username,
		     json_get_text(req->body, "text")) < 0)
		return NULL;
	for (char *p = line; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
	return line;
}

int
h_identity_note(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	static const struct api_field fields[] = {
		{.name = "text",
		 .kind = API_STR,
		 .required = true,
		 .min = 1,
		 .max = NOTE_CHARS_MAX},
	};
	const char *uuid = api_param_uuid(req, 0);
	char winner[ID_UUID_SIZE], *line, *notes = NULL;
	struct identity_tx *tx = NULL;
	int r;

	api_check_body(req, res, fields, ARRAY_LEN(fields));
	if (api_bad(res))
		return 0;
	r = uuid ? identity_resolve(cx->db, uuid, winner, cx->e) : 0;
	if (r <= 0)
		return r < 0 ? r : not_found(res);
	line = note_line(req);
	r = line ? identity_tx_new(cx->db, req->now_ms, "analyst", &tx, cx->e) : -ENOMEM;
	if (r == 0)
		r = identity_tx_note(tx, winner, line, &notes, cx->e);
	if (r == 0)
		(void)api_fail(res, 409, "limit reached: notes (%d)", LIMIT_IDENTITY_NOTES_BYTES);
	if (r > 0) {
		r = identity_tx_finish(tx, cx->e);
		if (r == 0)
			(void)api_ok(res, 201,
				     json_pack("{s:s, s:s}", "uuid", winner, "notes", notes));
	}
	identity_tx_free(tx);
	free(line);
	free(notes);
	return r;
}

/* The texts of the list without repetitions, pointing into the body; how many. */
static size_t
read_uuids(const struct api_req *req, struct api_res *res, const char **ret)
{
	json_t *list = json_object_get(req->body, "observation_uuids"), *value;
	size_t i, n = 0;

	json_array_foreach(list, i, value)
	{
		const char *text = json_string_value(value);
		char field[48];
		size_t k = 0;

		if (!id_is_uuid(sv_from(text))) {
			(void)snprintf(field, sizeof(field), "observation_uuids.%zu", i);
			api_bad_field(res, field, "must be a UUID");
			continue;
		}
		while (k < n && strcmp(ret[k], text) != 0)
			k++;
		if (k == n)
			ret[n++] = text;
	}
	return n;
}

static int
split_answer(struct api_res *res, const char *identity, const char *fresh, const char *const *v,
	     size_t n)
{
	json_t *moved = json_array();

	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(moved, json_string(v[i]));
	return api_ok(res, 201,
		      json_pack("{s:s, s:s, s:o}", "identity_uuid", identity, "new_identity_uuid",
				fresh, "observation_uuids", moved));
}

/* Where in the request the text stands. */
static size_t
index_of(const struct api_req *req, const char *text)
{
	json_t *list = json_object_get(req->body, "observation_uuids"), *value;
	size_t i;

	json_array_foreach(list, i, value)
	{
		if (strcmp(json_string_value(value), text) == 0)
			return i;
	}
	return 0;
}

static int
split(struct api_ctx *cx, const struct api_req *req, struct api_res *res, const char *identity,
      const char *const *v, size_t n)
{
	struct identity_tx *tx = NULL;
	char fresh[ID_UUID_SIZE], field[48];
	size_t bad = 0;
	int r = identity_tx_new(cx->db, req->now_ms, "analyst", &tx, cx->e);

	if (r == 0)
		r = identity_tx_split(tx, identity, v, n, fresh, &bad, cx->e);
	if (r == 0)
		r = identity_tx_finish(tx, cx->e);
	identity_tx_free(tx);
	if (r == -ENOTEMPTY)
		return api_fail(res, 409, SPLIT_EMPTY);
	if (r == -ENOENT && bad < n) {
		(void)snprintf(field, sizeof(field), "observation_uuids.%zu",
			       index_of(req, v[bad]));
		return api_refuse(res, field, "not an observation of this identity");
	}
	return r < 0 ? r : split_answer(res, identity, fresh, v, n);
}

int
h_identity_split(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	static const struct api_field fields[] = {
		{.name = "observation_uuids",
		 .kind = API_STR_LIST,
		 .required = true,
		 .min = 1,
		 .max = SPLIT_MAX},
	};
	const char *uuid = api_param_uuid(req, 0), *v[SPLIT_MAX];
	char winner[ID_UUID_SIZE];
	size_t n;
	int r;

	api_check_body(req, res, fields, ARRAY_LEN(fields));
	if (api_bad(res))
		return 0;
	n = read_uuids(req, res, v);
	if (api_bad(res))
		return 0;
	r = uuid ? identity_resolve(cx->db, uuid, winner, cx->e) : 0;
	if (r <= 0)
		return r < 0 ? r : not_found(res);
	return split(cx, req, res, winner, v, n);
}

static int
merge(struct api_ctx *cx, const struct api_req *req, struct api_res *res, const char *winner,
      const char *loser)
{
	struct identity_tx *tx = NULL;
	int r = identity_tx_new(cx->db, req->now_ms, "analyst", &tx, cx->e);

	if (r == 0)
		r = identity_tx_join(tx, winner, loser, cx->e);
	if (r == 0)
		r = identity_tx_finish(tx, cx->e);
	identity_tx_free(tx);
	return r < 0 ? r
		     : api_ok(res, 200,
			      json_pack("{s:s, s:s}", "winner_uuid", winner, "loser_uuid", loser));
}

int
h_identity_merge(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	static const struct api_field fields[] = {
		{.name = "loser_uuid", .kind = API_STR, .required = true},
		{.name = "winner_uuid", .kind = API_STR, .required = true},
	};
	char asked[2][ID_UUID_SIZE], final[2][ID_UUID_SIZE];
	int r = 1;

	api_check_body(req, res, fields, ARRAY_LEN(fields));
	if (api_bad(res))
		return 0;
	for (unsigned i = 0; i < 2; i++) {
		struct sv text = sv_from(json_get_text(req->body, fields[i].name));

		if (!id_is_uuid(text) || sv_copy(text, asked[i], ID_UUID_SIZE) < 0)
			api_bad_field(res, fields[i].name, "must be a UUID");
	}
	if (api_bad(res))
		return 0;
	for (unsigned i = 0; r > 0 && i < 2; i++)
		r = identity_resolve(cx->db, asked[i], final[i], cx->e);
	if (r <= 0)
		return r < 0 ? r : not_found(res);
	if (strcmp(final[0], final[1]) == 0)
		return api_fail(res, 409, "identities are already one");
	return merge(cx, req, res, final[1], final[0]);
}
