/* SPDX-License-Identifier: Apache-2.0 */
/* jansson with our rules. */
#include "util/json.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
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

/* An integer longer than this may be beyond 64 bits. */
#define DIGITS_SAFE    18
/* What stands for a number beyond all doubles: no longer than the shortest of them. */
#define TOO_GREAT_TEXT "9e307"

/*
 * What begins like a number at `p`, a terminated text; writes what jansson can hold, which is never
 * more than two bytes longer. Its length.
 */
static size_t
tame_number(char *p, char *dst, size_t *n)
{
	size_t len = strspn(p, "0123456789+-.eE");
	char behind = p[len];
	double value;

	/* strtod also knows words and hexadecimal digits: it must not see what follows. */
	p[len] = '\0';
	value = strtod(p, NULL);
	p[len] = behind;
	if (isinf(value)) {
		if (*p == '-')
			dst[(*n)++] = '-';
		memcpy(dst + *n, TOO_GREAT_TEXT, sizeof(TOO_GREAT_TEXT) - 1);
		*n += sizeof(TOO_GREAT_TEXT) - 1;
		return len;
	}
	memcpy(dst + *n, p, len);
	*n += len;
	if (len > DIGITS_SAFE && strcspn(p, ".eE") >= len) {
		memcpy(dst + *n, "e0", 2);
		*n += 2;
	}
	return len;
}

/* The text with integers beyond 64 bits written as reals, which lose digits but are numbers; heap,
 * NULL without memory. */
static char *
tame_numbers(struct sv text, size_t *ret_n)
{
	char *copy = malloc(text.n + 1), *dst = malloc(text.n * 2 + 1);
	bool in_text = false;
	size_t n = 0;

	if (!copy || !dst) {
		free(copy);
		free(dst);
		return NULL;
	}
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	for (size_t i = 0; i < text.n;) {
		char c = copy[i];

		if (!in_text && (c == '-' || isdigit((unsigned char)c))) {
			i += tame_number(copy + i, dst, &n);
			continue;
		}
		if (c == '"')
			in_text = !in_text;
		dst[n++] = c;
		i++;
		if (in_text && c == '\\' && i < text.n)
			dst[n++] = copy[i++];
	}
	free(copy);
	*ret_n = n;
	return dst;
}

static json_t *
load(const char *p, size_t n, json_error_t *je)
{
	return json_loadb(p, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, je);
}

int
json_parse(struct sv text, json_t **ret_value, struct err *e)
{
	json_error_t je;
	json_t *value;
	char *tame;
	size_t n;

	if (check_depth(text) < 0)
		return err_set(e, -EBADMSG, "nesting over %d", JSON_DEPTH_MAX);
	value = load(text.p ? text.p : "", text.n, &je);
	if (!value && json_error_code(&je) == json_error_numeric_overflow) {
		tame = tame_numbers(text, &n);
		if (!tame)
			return err_set(e, -ENOMEM, "out of memory");
		value = load(tame, n, &je);
		free(tame);
	}
	if (!value) {
		if (json_error_code(&je) == json_error_out_of_memory)
			return err_set(e, -ENOMEM, "out of memory");
		return err_set(e, -EBADMSG, "line %d: %s", je.line, je.text);
	}
	*ret_value = value;
	return 0;
}

bool
json_is_finite(const json_t *value)
{
	return json_is_number(value) && fabs(json_number_value(value)) < JSON_NUMBER_END;
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
