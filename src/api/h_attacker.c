/* SPDX-License-Identifier: Apache-2.0 */
/* Attacker rows: lists, one with all that is known of it, export. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/log_filter.h"
#include "store/attacker_view.h"
#include "store/log.h"
#include "util/buf.h"
#include "util/json.h"

api_handler_fn h_attacker_list, h_attacker_get, h_attacker_commands, h_attacker_artifacts,
	h_attacker_transcripts, h_attacker_export;

#define LIMIT_DEFAULT	   50
#define LIMIT_MAX	   1000
#define COMMANDS_LIMIT_MAX 200
#define LOG_ROWS_MAX	   200
#define EXPORT_PAGE	   256
#define EXPORT_BYTES_MAX   (512UL * 1024 * 1024)

static int
not_found(struct api_res *res)
{
	return api_fail(res, 404, "Attacker not found");
}

static struct sv
filter_of(const struct api_req *req, const char *key)
{
	const struct sv *value = api_query_get(req, key);

	return api_filter_given(value) ? *value : (struct sv){"", 0};
}

static void
read_sort(const struct api_req *req, struct api_res *res, enum attacker_sort *sort)
{
	static const char *const words[] = {
		[ATTACKER_SORT_RECENT] = "recent",
		[ATTACKER_SORT_ACTIVE] = "active",
		[ATTACKER_SORT_TRAVERSALS] = "traversals",
	};
	const struct sv *value = api_query_get(req, "sort_by");

	if (!value)
		return;
	for (unsigned i = 0; i < ARRAY_LEN(words); i++) {
		if (sv_eq(*value, sv_from(words[i]))) {
			*sort = (enum attacker_sort)i;
			return;
		}
	}
	api_bad_field(res, "query.sort_by", "must be one of recent, active, traversals");
}

int
h_attacker_list(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	struct attacker_filter filter = {.ip = filter_of(req, "search"),
					 .service = filter_of(req, "service")};
	int64_t limit, offset, total = 0;
	json_t *data = NULL;
	int r;

	api_query_page(req, res, LIMIT_DEFAULT, LIMIT_MAX, &limit, &offset);
	read_sort(req, res, &filter.sort);
	if (api_bad(res))
		return 0;
	r = attacker_list(cx->db, &filter, limit, offset, &data, &total, cx->e);
	return r < 0 ? r : api_ok(res, 200, api_envelope(total, limit, offset, data));
}

int
h_attacker_get(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	const char *uuid = api_param_uuid(req, 0);
	json_t *row = NULL;
	int r = uuid ? attacker_detail(cx->db, uuid, &row, cx->e) : 0;

	if (r < 0)
		return r;
	return r == 0 ? not_found(res) : api_ok(res, 200, row);
}

int
h_attacker_commands(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	const char *uuid = api_param_uuid(req, 0);
	struct sv service = filter_of(req, "service");
	int64_t limit, offset, total = 0;
	json_t *data = NULL;
	char name[65];
	int r;

	api_query_page(req, res, LIMIT_DEFAULT, COMMANDS_LIMIT_MAX, &limit, &offset);
	if (api_bad(res))
		return 0;
	r = uuid ? attacker_exists(cx->db, uuid, cx->e) : 0;
	if (r <= 0)
		return r < 0 ? r : not_found(res);
	/* What is no name of a service is the service of no command. */
	if (sv_copy(service, name, sizeof(name)) < 0 || !sv_utf8(service))
		return api_ok(res, 200, api_envelope(0, limit, offset, json_array()));
	r = attacker_commands(cx->db, uuid, name, limit, offset, &data, &total, cx->e);
	return r < 0 ? r : api_ok(res, 200, api_envelope(total, limit, offset, data));
}

static int
log_rows(struct api_ctx *cx, const struct api_req *req, struct api_res *res, const char *event_type)
{
	const char *uuid = api_param_uuid(req, 0);
	json_t *data = NULL;
	int64_t total = 0;
	int r = uuid ? attacker_exists(cx->db, uuid, cx->e) : 0;

	if (r <= 0)
		return r < 0 ? r : not_found(res);
	r = log_of_attacker(cx->db, uuid, event_type, LOG_ROWS_MAX, &data, &total, cx->e);
	return r < 0 ? r
		     : api_ok(res, 200,
			      json_pack("{s:I, s:o}", "total", (json_int_t)total, "data", data));
}

int
h_attacker_artifacts(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	return log_rows(cx, req, res, "file_captured");
}

int
h_attacker_transcripts(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	return log_rows(cx, req, res, "session_recorded");
}

/* One attacker as text, with the columns of the export that this version does not know. */
static int
put_row(struct buf *b, json_t *row, bool first)
{
	char *text = NULL;
	int r;

	if (json_object_set_new(row, "geoip", json_null()) != 0 ||
	    json_object_set_new(row, "network", json_null()) != 0 ||
	    json_object_set_new(row, "threat_intel", json_null()) != 0 || !(text = json_text(row)))
		return -ENOMEM;
	r = first ? 0 : buf_putc(b, ',');
	if (r == 0)
		r = buf_put(b, sv_from(text));
	free(text);
	return r;
}

/* Page by page, so that only the text of all rows is held at once. Their number or a failure. */
static int64_t
put_rows(struct api_ctx *cx, struct buf *b)
{
	char after[ID_UUID_SIZE] = "";
	json_t *page = NULL, *row;
	int64_t n = 0;
	size_t i, got;
	int r = 0;

	do {
		r = attacker_page(cx->db, after, EXPORT_PAGE, &page, cx->e);
		if (r < 0)
			return r;
		got = json_array_size(page);
		json_array_foreach(page, i, row)
		{
			if (r == 0)
				r = put_row(b, row, n == 0);
			n++;
			if (i + 1 == got)
				(void)sv_copy(sv_from(json_get_text(row, "uuid")), after,
					      sizeof(after));
		}
		json_decref(page);
	} while (r == 0 && got == EXPORT_PAGE);
	return r < 0 ? r : n;
}

static char *
disposition(uint64_t now_ms)
{
	time_t at = (time_t)(now_ms / 1000);
	char stamp[32], *text = NULL;
	struct tm tm;

	if (!gmtime_r(&at, &tm) || strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm) == 0 ||
	    asprintf(&text, "attachment; filename=\"decnet-export-%s.json\"", stamp) < 0)
		return NULL;
	return text;
}

static char *
metadata(uint64_t now_ms, int64_t total)
{
	json_t *meta = json_pack("{s:s, s:s, s:o, s:I, s:s}", "source", "DECNET Honeypot",
				 "version", DECNET_VERSION, "exported_at", json_time(now_ms),
				 "total_records", (json_int_t)total, "schema_version", "1.0");
	char *text = meta ? json_text(meta) : NULL;

	json_decref(meta);
	return text;
}

int
h_attacker_export(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	char *meta = NULL;
	struct buf rows, out;
	int64_t n;
	int r;

	buf_init(&rows, EXPORT_BYTES_MAX);
	buf_init(&out, EXPORT_BYTES_MAX + 4096);
	n = put_rows(cx, &rows);
	r = n < 0 ? (int)n : 0;
	if (r == 0 && !(meta = metadata(req->now_ms, n)))
		r = -ENOMEM;
	if (r == 0)
		r = buf_printf(&out, "{\"export_metadata\":%s,\"observations\":[", meta);
	if (r == 0)
		r = buf_put(&out, buf_sv(&rows));
	if (r == 0)
		r = buf_put(&out, SV("]}"));
	if (r == 0) {
		res->status = 200;
		res->text_n = out.n;
		res->text = buf_take(&out);
		res->type = "application/json";
		res->disposition = disposition(req->now_ms);
		r = res->text && res->disposition ? 0 : -ENOMEM;
	}
	free(meta);
	buf_fini(&rows);
	buf_fini(&out);
	return r;
}
