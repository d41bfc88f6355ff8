/* SPDX-License-Identifier: Apache-2.0 */
/* What handlers use: answers, errors of fields, the query, and the check of bodies against tables.
 */
#include "api/api.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/json.h"

#define TEXT_MAX   1024
#define OFFSET_MAX 2147483647

void
api_res_fini(struct api_res *res)
{
	json_decref(res->body);
	json_decref(res->errors);
	json_decref(res->publish);
	free(res->retry_after);
	free(res->disposition);
	free(res->text);
	free(res->resume);
	memset(res, 0, sizeof(*res));
}

int
api_ok(struct api_res *res, int status, json_t *own_body)
{
	json_decref(res->body);
	res->body = own_body;
	res->status = own_body ? status : 500;
	return 0;
}

static void
set_failure(struct api_res *res, int status, const char *detail)
{
	json_t *text = json_view(sv_from(detail));

	json_decref(res->body);
	res->body = json_pack("{s:o}", "detail", text);
	res->status = res->body ? status : 500;
}

int
api_fail(struct api_res *res, int status, const char *fmt, ...)
{
	char detail[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	set_failure(res, status, detail);
	return 0;
}

void
api_fail_extra(struct api_res *res, const char *key, json_t *own_value)
{
	if (!res->body || json_object_set_new(res->body, key, own_value) < 0)
		res->status = 500;
}

static void
note(struct api_res *res, const char *field, const char *message)
{
	json_t *row;

	if (!res->errors)
		res->errors = json_array();
	if (json_array_size(res->errors) >= API_ERRORS_MAX)
		return;
	row = json_pack("{s:o, s:o}", "field", json_view(sv_from(field)), "message",
			json_view(sv_from(message)));
	if (json_array_append_new(res->errors, row) < 0)
		res->status = 500;
}

void
api_bad_field(struct api_res *res, const char *field, const char *fmt, ...)
{
	char message[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	note(res, field, message);
}

bool
api_bad(struct api_res *res)
{
	if (!res->errors && res->status != 500)
		return false;
	set_failure(res, 422, "Invalid request parameters");
	api_fail_extra(res, "errors", res->errors ? TAKE(res->errors) : json_array());
	return true;
}

int
api_refuse(struct api_res *res, const char *field, const char *fmt, ...)
{
	char message[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	json_decref(TAKE(res->errors));
	note(res, field, message);
	set_failure(res, 422, message);
	api_fail_extra(res, "errors", TAKE(res->errors));
	return 0;
}

int
api_again(struct api_res *res, char *own_text, unsigned delay_ms)
{
	if (!own_text)
		return -ENOMEM;
	free(res->resume);
	res->resume = own_text;
	res->again_ms = delay_ms;
	return 0;
}

void
api_publish(struct api_res *res, const char *topic, json_t *own_payload)
{
	json_t *row = json_pack("{s:s, s:o}", "topic", topic, "payload", own_payload);

	if (!res->publish)
		res->publish = json_array();
	if (!row || json_array_append_new(res->publish, row) < 0)
		res->status = 500;
}

const struct sv *
api_query_get(const struct api_req *req, const char *key)
{
	for (size_t i = req->nquery; i-- > 0;)
		if (sv_eq(req->query[i].key, sv_from(key)))
			return &req->query[i].value;
	return NULL;
}

static int64_t
page_number(const struct api_req *req, struct api_res *res, const char *key, unsigned def,
	    uint64_t min, uint64_t max)
{
	const struct sv *text = api_query_get(req, key);
	uint64_t value = def;
	char field[64];

	if (!text)
		return def;
	if (sv_u64(*text, max, &value) == 0 && value >= min)
		return (int64_t)value;
	(void)snprintf(field, sizeof(field), "query.%s", key);
	api_bad_field(res, field, "expected a whole number from %llu to %llu",
		      (unsigned long long)min, (unsigned long long)max);
	return def;
}

void
api_query_page(const struct api_req *req, struct api_res *res, unsigned def, unsigned max,
	       int64_t *ret_limit, int64_t *ret_offset)
{
	*ret_limit = page_number(req, res, "limit", def, 1, max);
	*ret_offset = page_number(req, res, "offset", 0, 0, OFFSET_MAX);
}

const char *
api_param_uuid(const struct api_req *req, unsigned i)
{
	return i < req->nparams && id_is_uuid(req->param[i]) ? req->param[i].p : NULL;
}

const char *
api_param_text(const struct api_req *req, unsigned i, char *dst, size_t dst_size)
{
	if (i >= req->nparams || sv_copy(req->param[i], dst, dst_size) < 0)
		return NULL;
	return dst;
}

json_t *
api_envelope(int64_t total, int64_t limit, int64_t offset, json_t *own_data)
{
	return json_pack("{s:I, s:I, s:I, s:o}", "total", (json_int_t)total, "limit",
			 (json_int_t)limit, "offset", (json_int_t)offset, "data", own_data);
}

size_t
api_characters(struct sv text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++)
		n += ((unsigned char)text.p[i] & 0xc0) != 0x80;
	return n;
}

static bool
bounded(const struct api_field *f)
{
	return f->min != 0 || f->max != 0;
}

static void
check_text(const json_t *value, const struct api_field *f, const char *field, struct api_res *res)
{
	struct sv text = {json_string_value(value), json_string_length(value)};
	size_t n = api_characters(text);
	char words[512] = "";

	if (bounded(f) && ((double)n < f->min || (double)n > f->max))
		api_bad_field(res, field, "expected %.0f to %.0f characters", f->min, f->max);
	if (!f->words)
		return;
	for (const char *const *w = f->words; *w; w++) {
		size_t used = strlen(words);

		if (sv_eq(text, sv_from(*w)))
			return;
		(void)snprintf(words + used, sizeof(words) - used, "%s%s", used ? ", " : "", *w);
	}
	api_bad_field(res, field, "expected one of: %s", words);
}

static void
check_number(const json_t *value, const struct api_field *f, const char *field, struct api_res *res)
{
	double v = json_number_value(value);

	if (bounded(f) && !(v >= f->min && v <= f->max))
		api_bad_field(res, field, "expected a number from %.15g to %.15g", f->min, f->max);
}

static void
check_list(const json_t *value, const struct api_field *f, const char *field, struct api_res *res)
{
	size_t n = json_array_size(value);

	if (bounded(f) && ((double)n < f->min || (double)n > f->max)) {
		api_bad_field(res, field, "expected %.0f to %.0f entries", f->min, f->max);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const json_t *item = json_array_get(value, i);
		bool good = f->kind == API_STR_LIST ? json_is_string(item) : json_is_object(item);
		char at[256 + 24];

		if (good)
			continue;
		(void)snprintf(at, sizeof(at), "%s.%zu", field, i);
		api_bad_field(res, at, "expected %s",
			      f->kind == API_STR_LIST ? "a string" : "an object");
	}
}

static const char *
wanted(enum api_kind kind)
{
	switch (kind) {
	case API_STR: return "a string";
	case API_INT: return "an integer";
	case API_NUM: return "a number";
	case API_BOOL: return "a boolean";
	case API_OBJECT: return "an object";
	case API_STR_LIST: return "a list of strings";
	case API_OBJECT_LIST: return "a list of objects";
	}
	return "";
}

static bool
is_kind(const json_t *value, enum api_kind kind)
{
	switch (kind) {
	case API_STR: return json_is_string(value);
	case API_INT: return json_is_integer(value);
	case API_NUM: return json_is_finite(value);
	case API_BOOL: return json_is_boolean(value);
	case API_OBJECT: return json_is_object(value);
	case API_STR_LIST:
	case API_OBJECT_LIST: return json_is_array(value);
	}
	return false;
}

static void
check_field(const json_t *value, const struct api_field *f, const char *field, struct api_res *res)
{
	if (!value) {
		if (f->required)
			api_bad_field(res, field, "required");
		return;
	}
	if (json_is_null(value) && f->nullable)
		return;
	if (!is_kind(value, f->kind)) {
		api_bad_field(res, field, "expected %s", wanted(f->kind));
		return;
	}
	if (f->kind == API_STR)
		check_text(value, f, field, res);
	else if (f->kind == API_INT || f->kind == API_NUM)
		check_number(value, f, field, res);
	else if (f->kind == API_STR_LIST || f->kind == API_OBJECT_LIST)
		check_list(value, f, field, res);
}

void
api_check_object(const json_t *object, const char *prefix, struct api_res *res,
		 const struct api_field *fields, size_t n)
{
	char field[256];
	const char *key;
	json_t *value;

	for (size_t i = 0; i < n; i++) {
		(void)snprintf(field, sizeof(field), "%s%s", prefix, fields[i].name);
		check_field(object ? json_object_get(object, fields[i].name) : NULL, &fields[i],
			    field, res);
	}
	if (!object)
		return;
	/* jansson's iterators take a pointer that is not const, and change nothing. */
	for (void *it = json_object_iter((json_t *)(uintptr_t)object); it;
	     it = json_object_iter_next((json_t *)(uintptr_t)object, it)) {
		size_t i = 0;

		key = json_object_iter_key(it);
		value = json_object_iter_value(it);
		while (value && i < n && strcmp(key, fields[i].name) != 0)
			i++;
		if (i < n)
			continue;
		(void)snprintf(field, sizeof(field), "%s%s", prefix, key);
		api_bad_field(res, field, "unknown field");
	}
}

void
api_check_body(const struct api_req *req, struct api_res *res, const struct api_field *fields,
	       size_t n)
{
	api_check_object(req->body, "", res, fields, n);
}

/* `path` is how the value is reached, n characters so far; what does not fit is cut. Bodies are
 * nested JSON_DEPTH_MAX deep at most. */
static void
check_nul(const json_t *value, char *path, size_t n, size_t size, struct api_res *res)
{
	struct sv text = {json_string_value(value), json_string_length(value)};
	const char *key;
	json_t *member;
	size_t i;

	if (text.p && memchr(text.p, 0, text.n))
		api_bad_field(res, path, "must not hold NUL");
	json_array_foreach(value, i, member)
	{
		(void)snprintf(path + n, size - n, "%s%zu", n ? "." : "", i);
		check_nul(member, path, strlen(path), size, res);
	}
	/* jansson's iterators take a pointer that is not const, and change nothing. */
	json_object_foreach((json_t *)(uintptr_t)value, key, member)
	{
		(void)snprintf(path + n, size - n, "%s%s", n ? "." : "", key);
		check_nul(member, path, strlen(path), size, res);
	}
	path[n] = '\0';
}

void
api_check_nul(const json_t *body, struct api_res *res)
{
	char path[256] = "";

	check_nul(body, path, 0, sizeof(path), res);
}
