/* SPDX-License-Identifier: Apache-2.0 */
/* Log rows, their histogram, and the counters of the dashboard. */
#include <stdio.h>

#include "api/log_filter.h"
#include "util/clock.h"

api_handler_fn h_log_list, h_log_histogram, h_log_stats;

#define LIMIT_DEFAULT	 50
#define LIMIT_MAX	 1000
#define INTERVAL_DEFAULT 15
#define INTERVAL_MAX	 10080

bool
api_filter_given(const struct sv *value)
{
	return value && value->n && !sv_eq(*value, SV("null")) && !sv_eq(*value, SV("NULL")) &&
	       !sv_eq(*value, SV("undefined"));
}

static void
read_time(const struct api_req *req, struct api_res *res, const char *key, uint64_t *time_ms)
{
	const struct sv *value = api_query_get(req, key);
	char field[32];

	if (!api_filter_given(value) || clock_parse_iso(*value, time_ms) == 0)
		return;
	(void)snprintf(field, sizeof(field), "query.%s", key);
	api_bad_field(res, field, "must be an ISO-8601 time");
}

int
api_log_filter(const struct api_req *req, struct api_res *res, struct log_filter *ret)
{
	const struct sv *search = api_query_get(req, "search");
	struct sv text = api_filter_given(search) ? *search : SV("");

	*ret = (struct log_filter){.end_ms = UINT64_MAX};
	if (api_characters(text) > SEARCH_CHARS_MAX) {
		api_bad_field(res, "query.search", "must have at most %d characters",
			      SEARCH_CHARS_MAX);
		text = SV("");
	}
	read_time(req, res, "start_time", &ret->start_ms);
	read_time(req, res, "end_time", &ret->end_ms);
	return search_parse(text, &ret->search);
}

int
h_log_list(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	struct log_filter filter;
	int64_t limit, offset, total = 0;
	json_t *data = NULL;
	int r;

	api_query_page(req, res, LIMIT_DEFAULT, LIMIT_MAX, &limit, &offset);
	r = api_log_filter(req, res, &filter);
	if (r == 0 && !api_bad(res)) {
		r = log_list(cx->db, &filter, limit, offset, &data, &total, cx->e);
		if (r == 0)
			(void)api_ok(res, 200, api_envelope(total, limit, offset, data));
	}
	search_fini(&filter.search);
	return r;
}

static int64_t
read_interval(const struct api_req *req, struct api_res *res)
{
	const struct sv *value = api_query_get(req, "interval_minutes");
	uint64_t n = INTERVAL_DEFAULT;

	if (value && (sv_u64(*value, INTERVAL_MAX, &n) < 0 || n == 0)) {
		api_bad_field(res, "query.interval_minutes", "must be a number from 1 to %d",
			      INTERVAL_MAX);
		return INTERVAL_DEFAULT;
	}
	return (int64_t)n;
}

int
h_log_histogram(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	int64_t interval = read_interval(req, res);
	struct log_filter filter;
	json_t *data = NULL;
	int r = api_log_filter(req, res, &filter);

	if (r == 0 && !api_bad(res)) {
		r = log_histogram(cx->db, &filter, interval, &data, cx->e);
		if (r == 0)
			(void)api_ok(res, 200, data);
	}
	search_fini(&filter.search);
	return r;
}

int
h_log_stats(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	json_t *stats = NULL;
	int r = log_stats(cx->db, &stats, cx->e);

	(void)req;
	return r < 0 ? r : api_ok(res, 200, stats);
}
