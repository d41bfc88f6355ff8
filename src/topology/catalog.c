/* SPDX-License-Identifier: Apache-2.0 */
/* The catalogue and what a service's configuration may hold. */
#include "topology/catalog.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/json.h"
#include "util/sv.h"

#define TEXT_MAX 255
#define AREA_MAX (UINT64_C(64) * 1024)

static json_t *catalog;
static json_t *services_by_name, *archetypes_by_slug; /* looked up for each decky of a topology */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static json_t *
index_by(const json_t *list, const char *key)
{
	json_t *index = json_object(), *item;
	size_t i;

	json_array_foreach(list, i, item) if (json_object_set(index, json_get_text(item, key),
							      item) < 0) abort();
	return index;
}

static void
load(void)
{
	catalog = json_loads(catalog_text, 0, NULL);
	/* Our own embedded text: if it does not parse, the build is broken. */
	if (!catalog)
		abort();
	services_by_name = index_by(json_object_get(catalog, "services"), "name");
	archetypes_by_slug = index_by(json_object_get(catalog, "archetypes"), "slug");
}

static const json_t *
part(const char *key)
{
	(void)pthread_once(&once, load);
	return json_object_get(catalog, key);
}

static const json_t *
find(const json_t *list, const char *key, const char *value)
{
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		const char *got = json_get_text(item, key);

		if (got && strcmp(got, value) == 0)
			return item;
	}
	return NULL;
}

const json_t *
catalog_services(void)
{
	return part("services");
}

const json_t *
catalog_archetypes(void)
{
	return part("archetypes");
}

const json_t *
catalog_service(const char *name)
{
	(void)pthread_once(&once, load);
	return json_object_get(services_by_name, name);
}

const json_t *
catalog_archetype(const char *slug)
{
	(void)pthread_once(&once, load);
	return json_object_get(archetypes_by_slug, slug);
}

bool
catalog_available(const char *name)
{
	static const char *const built[] = {
#define SERVICE(name) name,
#include "topology/services.def"
#undef SERVICE
	};

	for (size_t i = 0; i < ARRAY_LEN(built); i++)
		if (strcmp(built[i], name) == 0)
			return true;
	return false;
}

static size_t
ports_of(const char *name, const char *key, unsigned *ports, size_t max)
{
	const json_t *list = json_object_get(catalog_service(name), key), *port;
	size_t i, n = 0;

	json_array_foreach(list, i, port) if (n < max) ports[n++] =
		(unsigned)json_integer_value(port);
	return n;
}

size_t
catalog_tcp_ports(const char *name, unsigned *ports, size_t max)
{
	return ports_of(name, "tcp_ports", ports, max);
}

size_t
catalog_udp_ports(const char *name, unsigned *ports, size_t max)
{
	return ports_of(name, "udp_ports", ports, max);
}

struct check {
	const char *key;
	char text[512];
	bool failed;
};

/* What was given, as a person would write it. */
static void
show(const json_t *value, char *dst, size_t n)
{
	char *text = json_is_string(value) ? NULL : json_text(value);

	(void)snprintf(dst, n, "%.64s",
		       text		       ? text
		       : json_is_string(value) ? json_string_value(value)
					       : "?");
	free(text);
}

static json_t *
refuse(struct check *c, const char *what, const json_t *value)
{
	char shown[80];

	c->failed = true;
	if (value) {
		show(value, shown, sizeof(shown));
		(void)snprintf(c->text, sizeof(c->text), "%s: %s, got '%s'", c->key, what, shown);
	} else {
		(void)snprintf(c->text, sizeof(c->text), "%s: %s", c->key, what);
	}
	return NULL;
}

static json_t *
check_int(struct check *c, const json_t *value)
{
	const char *text = json_string_value(value);
	char *end = NULL;
	long long number;

	if (json_is_integer(value))
		return json_integer(json_integer_value(value));
	if (!text || !*text || strlen(text) > 18 || strspn(text, "-0123456789") != strlen(text))
		return refuse(c, "expected int", value);
	number = strtoll(text, &end, 10);
	return *end ? refuse(c, "expected int", value) : json_integer(number);
}

static json_t *
check_bool(struct check *c, const json_t *value)
{
	static const char *const words[] = {"false", "0", "no", "off", "true", "1", "yes", "on"};
	const char *text = json_string_value(value);

	if (json_is_boolean(value))
		return json_boolean(json_is_true(value));
	for (size_t i = 0; text && i < ARRAY_LEN(words); i++)
		if (sv_eq_ci(sv_from(text), sv_from(words[i])))
			return json_boolean(i >= 4);
	return refuse(c, "expected bool", value);
}

static bool
allowed(const json_t *words, const char *text)
{
	const json_t *word;
	size_t i;

	json_array_foreach(words, i, word) if (text && strcmp(json_string_value(word), text) ==
							       0) return true;
	return false;
}

static json_t *
refuse_word(struct check *c, const json_t *words, const json_t *value)
{
	char shown[80], list[256] = "";
	const json_t *word;
	size_t i;

	show(value, shown, sizeof(shown));
	json_array_foreach(words, i, word)
	{
		size_t n = strlen(list);

		(void)snprintf(list + n, sizeof(list) - n, "%s%s", i ? ", " : "",
			       json_string_value(word));
	}
	c->failed = true;
	(void)snprintf(c->text, sizeof(c->text), "%s: '%s' not in allowed values [%s]", c->key,
		       shown, list);
	return NULL;
}

static json_t *
check_multi(struct check *c, const json_t *words, const json_t *value)
{
	json_t *kept;
	const json_t *item;
	size_t i, j;

	if (!json_is_array(value) || json_array_size(value) == 0)
		return refuse(c, "expected a non-empty list", value);
	kept = json_array();
	json_array_foreach(value, i, item)
	{
		bool seen = false;

		if (!allowed(words, json_string_value(item))) {
			json_decref(kept);
			return refuse_word(c, words, item);
		}
		for (j = 0; j < json_array_size(kept); j++)
			seen |= json_equal(json_array_get(kept, j), item);
		if (!seen)
			(void)json_array_append_new(kept, json_copy(json_array_get(value, i)));
	}
	return kept;
}

static int
base64_digit(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Decode in place; the number of bytes, or -1. RFC 4648 with padding, white space between is
 * skipped. */
static ssize_t
base64_decode(char *text)
{
	unsigned bits = 0, have = 0, digits = 0, pads = 0;
	size_t n = 0;

	for (const char *p = text; *p; p++) {
		int digit = base64_digit(*p);

		if (*p == '\n' || *p == '\r' || *p == ' ')
			continue;
		if (*p == '=') {
			pads++;
			continue;
		}
		if (digit < 0 || pads)
			return -1;
		digits++;
		bits = bits << 6 | (unsigned)digit;
		have += 6;
		if (have >= 8) {
			have -= 8;
			text[n++] = (char)(bits >> have & 0xff);
		}
	}
	if (digits % 4 == 1 || pads > 2 || (digits + pads) % 4 != 0 || (bits & ((1u << have) - 1)))
		return -1;
	return (ssize_t)n;
}

static json_t *
check_area(struct check *c, const json_t *value)
{
	const char *text = json_string_value(value);
	json_t *kept;
	char *copy;
	ssize_t n;

	if (!text)
		return refuse(c, "expected string", value);
	if (json_string_length(value) > AREA_MAX)
		return refuse(c, "too long", NULL);
	if (strncmp(text, "b64:", 4) != 0)
		return json_stringn(text, json_string_length(value));
	copy = strdup(text + 4);
	if (!copy)
		return refuse(c, "out of memory", NULL);
	n = base64_decode(copy);
	kept = n < 0 || !sv_utf8((struct sv){copy, (size_t)n}) ? refuse(c, "invalid base64", NULL)
							       : json_stringn(copy, (size_t)n);
	free(copy);
	return kept;
}

static json_t *
check_value(struct check *c, const json_t *field, const json_t *value)
{
	const char *type = json_get_text(field, "type");
	const json_t *words = json_object_get(field, "enum");

	if (strcmp(type, "int") == 0)
		return check_int(c, value);
	if (strcmp(type, "bool") == 0)
		return check_bool(c, value);
	if (strcmp(type, "enum") == 0)
		return allowed(words, json_string_value(value))
			       ? json_string(json_string_value(value))
			       : refuse_word(c, words, value);
	if (strcmp(type, "multi_enum") == 0)
		return check_multi(c, words, value);
	if (strcmp(type, "textarea") == 0)
		return check_area(c, value);
	if (!json_is_string(value))
		return refuse(c, "expected string", value);
	if (json_string_length(value) > TEXT_MAX)
		return refuse(c, "too long", NULL);
	return json_stringn(json_string_value(value), json_string_length(value));
}

json_t *
catalog_check_config(const char *service, const json_t *config, catalog_bad_fn *bad, void *user)
{
	const json_t *fields = json_object_get(catalog_service(service), "fields");
	json_t *kept = json_object(), *value;
	bool failed = false;
	const char *key;

	json_object_foreach((json_t *)(uintptr_t)config, key, value)
	{
		struct check c = {.key = key};
		const json_t *field = find(fields, "key", key);
		json_t *good;

		if (!field) {
			(void)refuse(&c, "unknown config key", NULL);
		} else if (!json_is_null(value) &&
			   !(json_is_string(value) && json_string_length(value) == 0)) {
			good = check_value(&c, field, value);
			if (good && json_object_set_new(kept, key, good) < 0)
				(void)refuse(&c, "out of memory", NULL);
		}
		if (c.failed) {
			if (bad)
				bad(user, key, c.text);
			failed = true;
		}
	}
	if (failed) {
		json_decref(kept);
		return NULL;
	}
	return kept;
}
