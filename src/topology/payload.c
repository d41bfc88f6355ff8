/* SPDX-License-Identifier: Apache-2.0 */
/* Payloads of operations: which keys, which types, which values. payload.def is the table. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "topology/catalog.h"
#include "topology/ops.h"
#include "util/json.h"
#include "util/limits.h"

enum kind {
	KIND_LAN,
	KIND_DECKY,
	KIND_TEXT,
	KIND_BOOL,
	KIND_NUM,
	KIND_SERVICES,
	KIND_CONFIG,
	KIND_DECKY_PATCH,
	KIND_LAN_PATCH,
	KIND_SERVICE,
	KIND_OBJECT,
	KIND_ARCHETYPE,
};

static const struct {
	enum topo_op op;
	const char *key;
	enum kind kind;
	bool required;
} fields[] = {
#define FIELD(op, key, kind, required) {TOPO_OP_##op, key, KIND_##kind, required},
#include "topology/payload.def"
#undef FIELD
};

struct check {
	topo_bad_fn *bad;
	void *user;
	unsigned n;
};

static void
report(struct check *c, const char *field, const char *text)
{
	c->n++;
	c->bad(c->user, field, text);
}

unsigned
topo_check_services(const json_t *services, const char *field, topo_bad_fn *bad, void *user)
{
	struct check c = {bad, user, 0};
	char at[128], text[160];
	const json_t *item;
	size_t i;

	if (!json_is_array(services)) {
		report(&c, field, "expected a list of service names");
		return c.n;
	}
	if (json_array_size(services) > LIMIT_SERVICES_PER_DECKY) {
		(void)snprintf(text, sizeof(text), "at most %d services",
			       (int)LIMIT_SERVICES_PER_DECKY);
		report(&c, field, text);
		return c.n;
	}
	json_array_foreach(services, i, item)
	{
		const char *name = json_string_value(item);

		(void)snprintf(at, sizeof(at), "%s.%zu", field, i);
		for (size_t j = 0; name && j < i; j++)
			if (json_equal(item, json_array_get(services, j)))
				report(&c, at, "named twice");
		if (!name)
			report(&c, at, "expected a service name");
		else if (!catalog_service(name)) {
			(void)snprintf(text, sizeof(text), "unknown service '%.64s'", name);
			report(&c, at, text);
		} else if (!catalog_available(name)) {
			(void)snprintf(text, sizeof(text),
				       "service '%s' is not available in this build", name);
			report(&c, at, text);
		}
	}
	return c.n;
}

struct config_check {
	struct check *check;
	const char *prefix;
};

static void
on_bad_config(void *user, const char *key, const char *text)
{
	struct config_check *c = user;
	char at[256];

	(void)snprintf(at, sizeof(at), "%s.%.64s", c->prefix, key);
	report(c->check, at, text);
}

unsigned
topo_check_service_config(const json_t *config, const char *field, topo_bad_fn *bad, void *user)
{
	struct check c = {bad, user, 0};
	char at[160], text[160];
	const char *service;
	json_t *values;

	if (!json_is_object(config)) {
		report(&c, field, "expected an object");
		return c.n;
	}
	json_object_foreach((json_t *)(uintptr_t)config, service, values)
	{
		struct config_check cc = {&c, at};

		(void)snprintf(at, sizeof(at), "%s.%.64s", field, service);
		if (!catalog_service(service)) {
			(void)snprintf(text, sizeof(text), "unknown service '%.64s'", service);
			report(&c, at, text);
		} else if (!json_is_object(values)) {
			report(&c, at, "expected an object");
		} else {
			json_decref(catalog_check_config(service, values, on_bad_config, &cc));
		}
	}
	return c.n;
}

static void check_value(struct check *c, const char *at, enum kind kind, const json_t *value);

/* An object with these keys and no others. */
static void
check_patch(struct check *c, const char *at, const json_t *patch, const char *const *keys,
	    const enum kind *kinds)
{
	char field[256];
	const char *key;
	json_t *value;

	if (!json_is_object(patch)) {
		report(c, at, "expected an object");
		return;
	}
	json_object_foreach((json_t *)(uintptr_t)patch, key, value)
	{
		size_t i = 0;

		(void)snprintf(field, sizeof(field), "%s.%.200s", at, key);
		while (keys[i] && strcmp(keys[i], key) != 0)
			i++;
		if (keys[i])
			check_value(c, field, kinds[i], value);
		else
			report(c, field, "unknown field");
	}
}

static void
check_text(struct check *c, const char *at, enum kind kind, const json_t *value)
{
	const char *text = json_string_value(value);
	char message[128];

	if (!text || strlen(text) != json_string_length(value)) {
		report(c, at, "expected a text");
	} else if (kind == KIND_LAN && !topo_lan_name_ok(text)) {
		report(c, at,
		       "expected 1 to 64 letters, digits, _ or -, the first a letter or digit");
	} else if (kind == KIND_DECKY && !topo_decky_name_ok(text)) {
		report(c, at, "expected 1 to 64 lower-case letters, digits or -, no - at an end");
	} else if (strlen(text) > 255 || !text[0]) {
		report(c, at, "expected 1 to 255 characters");
	} else if (kind == KIND_SERVICE && !catalog_service(text)) {
		(void)snprintf(message, sizeof(message), "unknown service '%.64s'", text);
		report(c, at, message);
	} else if (kind == KIND_SERVICE && !catalog_available(text)) {
		(void)snprintf(message, sizeof(message),
			       "service '%.64s' is not available in this build", text);
		report(c, at, message);
	} else if (kind == KIND_ARCHETYPE && !catalog_archetype(text)) {
		(void)snprintf(message, sizeof(message), "unknown archetype '%.64s'", text);
		report(c, at, message);
	}
}

static void
check_value(struct check *c, const char *at, enum kind kind, const json_t *value)
{
	static const char *const decky_keys[] = {"archetype", "forwards_l3", "service_config",
						 NULL};
	static const enum kind decky_kinds[] = {KIND_ARCHETYPE, KIND_BOOL, KIND_CONFIG};
	static const char *const lan_keys[] = {"name", "subnet", "is_dmz", NULL};
	static const enum kind lan_kinds[] = {KIND_LAN, KIND_TEXT, KIND_BOOL};

	switch (kind) {
	case KIND_LAN:
	case KIND_DECKY:
	case KIND_TEXT:
	case KIND_SERVICE: check_text(c, at, kind, value); break;
	case KIND_ARCHETYPE:
		if (!json_is_null(value))
			check_text(c, at, kind, value);
		break;
	case KIND_BOOL:
		if (!json_is_boolean(value))
			report(c, at, "expected true or false");
		break;
	case KIND_NUM:
		if (!json_is_finite(value) && !json_is_null(value))
			report(c, at, "expected a number");
		break;
	case KIND_OBJECT:
		if (!json_is_object(value))
			report(c, at, "expected an object");
		break;
	case KIND_SERVICES: c->n += topo_check_services(value, at, c->bad, c->user); break;
	case KIND_CONFIG: c->n += topo_check_service_config(value, at, c->bad, c->user); break;
	case KIND_DECKY_PATCH: check_patch(c, at, value, decky_keys, decky_kinds); break;
	case KIND_LAN_PATCH: check_patch(c, at, value, lan_keys, lan_kinds); break;
	}
}

unsigned
topo_op_check(enum topo_op op, const json_t *payload, topo_bad_fn *bad, void *user)
{
	struct check c = {bad, user, 0};
	char at[256];
	const char *key;
	json_t *value;

	if (!json_is_object(payload)) {
		report(&c, "payload", "expected an object");
		return c.n;
	}
	json_object_foreach((json_t *)(uintptr_t)payload, key, value)
	{
		size_t i = 0;

		(void)snprintf(at, sizeof(at), "payload.%.200s", key);
		while (i < ARRAY_LEN(fields) &&
		       (fields[i].op != op || strcmp(fields[i].key, key) != 0))
			i++;
		if (i < ARRAY_LEN(fields))
			check_value(&c, at, fields[i].kind, value);
		else
			report(&c, at, "unknown field");
	}
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		if (fields[i].op != op || !fields[i].required ||
		    json_object_get(payload, fields[i].key))
			continue;
		(void)snprintf(at, sizeof(at), "payload.%s", fields[i].key);
		report(&c, at, "required");
	}
	return c.n;
}
