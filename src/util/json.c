/* SPDX-License-Identifier: Apache-2.0 */
/* jansson with our rules. */
#include "util/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"

/* jansson's own ceiling is 2048; ours is checked on the bytes, before anything is allocated. */
static int
check_depth(struct sv text)
{
	bool in_text = false;
	int depth = 0;

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (in_text) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_text = false;
		} else if (c == '"') {
			in_text = true;
		} else if (c == '{' || c == '[') {
			if (++depth > JSON_DEPTH_MAX)
				return -EBADMSG;
		} else if (c == '}' || c == ']') {
			depth--;
		}
	}
	return 0;
}

int
json_parse(struct sv text, json_t **ret_value, struct err *e)
{
	json_error_t je;
	json_t *value;

	if (check_depth(text) < 0)
		return err_set(e, -EBADMSG, "nesting over %d", JSON_DEPTH_MAX);
	value = json_loadb(text.p ? text.p : "", text.n,
			   JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &je);
	if (!value) {
		if (json_error_code(&je) == json_error_out_of_memory)
			return err_set(e, -ENOMEM, "out of memory");
		return err_set(e, -EBADMSG, "line %d: %s", je.line, je.text);
	}
	*ret_value = value;
	return 0;
}

char *
json_text(const json_t *value)
{
	return json_dumps(value, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_ENCODE_ANY |
					 JSON_REAL_PRECISION(15));
}

json_t *
json_time(uint64_t unix_ms)
{
	char text[CLOCK_ISO_SIZE];

	if (unix_ms == 0)
		return json_null();
	clock_iso(unix_ms, text);
	return json_string(text);
}

json_t *
json_text_or_null(const char *text)
{
	return text ? json_view(sv_from(text)) : json_null();
}

json_t *
json_view(struct sv bytes)
{
	json_t *value;
	char *safe;
	size_t n = 0;

	if (sv_utf8(bytes))
		return json_stringn(bytes.p ? bytes.p : "", bytes.n);
	safe = malloc(bytes.n * 3 + 1);
	if (!safe)
		return NULL;
	for (size_t i = 0; i < bytes.n;) {
		size_t len = 1;

		while (len <= 4 && i + len <= bytes.n && !sv_utf8((struct sv){bytes.p + i, len}))
			len++;
		if (len <= 4 && i + len <= bytes.n) {
			memcpy(safe + n, bytes.p + i, len);
			n += len;
			i += len;
		} else {
			memcpy(safe + n, "\xef\xbf\xbd", 3);
			n += 3;
			i++;
		}
	}
	value = json_stringn(safe, n);
	free(safe);
	return value;
}

const char *
json_get_text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

json_t *
json_stored(const char *text, const char *fallback)
{
	json_t *value = text ? json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL) : NULL;

	return value ? value : json_loads(fallback, 0, NULL);
}
