/* SPDX-License-Identifier: Apache-2.0 */
/* One recorded observation: checked, and turned into keys. */
#include "resolver/record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct identity_secret fixed = {{'i', 'd'}, 2};

static int
bad(struct err *e, const char *why)
{
	return err_set(e, -EBADMSG, "%s", why);
}

static const char *
text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s && *s ? s : NULL;
}

static bool
text_or_null(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return !v || json_is_null(v) || json_is_string(v);
}

static bool
texts(const json_t *v)
{
	const json_t *item;
	size_t i;

	if (v && !json_is_array(v))
		return false;
	json_array_foreach(v, i, item)
	{
		if (!json_is_string(item))
			return false;
	}
	return true;
}

static bool
pairs(const json_t *v)
{
	const json_t *item;
	size_t i;

	if (v && !json_is_array(v))
		return false;
	json_array_foreach(v, i, item)
	{
		if (json_array_size(item) != 2 || !texts(item))
			return false;
	}
	return true;
}

static bool
hex16(const char *s)
{
	return strlen(s) == 16 && strspn(s, "0123456789abcdef") == 16;
}

static int
check(const json_t *o, struct err *e)
{
	static const char *const names[] = {"ja3", "ja4", "hassh", "banner", "kd", "ip"};
	json_t *cmds = json_object_get(o, "cmds"), *list;
	const char *kd, *key;

	if (!json_is_object(o))
		return bad(e, "not an object");
	if (!text_of(o, "id") || json_string_length(json_object_get(o, "id")) > RECORD_ID_MAX)
		return bad(e, "id: a text of 1 to 128 bytes is wanted");
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!text_or_null(o, names[i]))
			return err_set(e, -EBADMSG, "%s: a text or null is wanted", names[i]);
	if (!texts(json_object_get(o, "payloads")) || !texts(json_object_get(o, "c2")))
		return bad(e, "payloads, c2: lists of texts are wanted");
	if (!pairs(json_object_get(o, "creds")))
		return bad(e, "creds: a list of [user, password] is wanted");
	if (cmds && !json_is_object(cmds))
		return bad(e, "cmds: an object of lists is wanted");
	json_object_foreach(cmds, key, list)
	{
		if (!texts(list))
			return bad(e, "cmds: an object of lists is wanted");
	}
	kd = text_of(o, "kd");
	if (kd && !hex16(kd))
		return bad(e, "kd: 16 hex digits are wanted");
	return 0;
}

/* An id that is no uuid gets one of its own: of version 8, whose bits are the maker's choice. */
static void
set_uuid(struct record *r)
{
	size_t n = strlen(r->id), skip = n > 36 ? n - 36 : 0;
	struct sv tail = {r->id + skip, n - skip}, parts[2] = {sv_from(r->id), SV("1")};
	uint64_t h[2];

	if (id_uuid_bytes(tail, r->uuid) < 0) {
		h[0] = identity_hash(&fixed, parts, 1);
		h[1] = identity_hash(&fixed, parts, 2);
		memcpy(r->uuid, h, sizeof(r->uuid));
		r->uuid[6] = (uint8_t)(0x80 | (r->uuid[6] & 0x0f));
		r->uuid[8] = (uint8_t)(0x80 | (r->uuid[8] & 0x3f));
	}
	id_uuid_text(r->uuid, r->uuid_text);
}

int
record_parse(struct sv line, struct record *ret, struct err *e)
{
	struct record r = {.json = NULL};
	json_error_t why;
	json_t *ts, *last;
	int x;

	r.json = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
	if (!r.json)
		return err_set(e, -EBADMSG, "%s", why.text);
	x = check(r.json, e);
	if (x < 0) {
		json_decref(r.json);
		return x;
	}
	r.id = text_of(r.json, "id");
	set_uuid(&r);
	r.rev = json_integer_value(json_object_get(r.json, "rev"));
	ts = json_object_get(r.json, "ts");
	last = json_object_get(r.json, "last");
	r.ts_ms = json_number_value(ts) > 0 ? (uint64_t)(json_number_value(ts) * 1000) : 0;
	r.last_ms =
		json_number_value(last) > 0 ? (uint64_t)(json_number_value(last) * 1000) : r.ts_ms;
	r.ip = text_of(r.json, "ip");
	r.ja3 = text_of(r.json, "ja3");
	r.ja4 = text_of(r.json, "ja4");
	r.tls = r.ja4 ? r.ja4 : r.ja3;
	r.hassh = text_of(r.json, "hassh");
	r.banner = text_of(r.json, "banner");
	r.keystroke = text_of(r.json, "kd");
	*ret = r;
	return 0;
}

void
record_fini(struct record *r)
{
	json_decref(r->json);
	*r = (struct record){.json = NULL};
}

static struct sv
view(const json_t *text)
{
	return (struct sv){json_string_value(text), json_string_length(text)};
}

uint64_t
record_hash(const struct record *r, const struct identity_secret *secret)
{
	struct sv id = sv_from(r->id);

	return identity_hash(secret, &id, 1);
}

void
record_features(const struct record *r, const struct identity_secret *secret,
		struct identity_features *f)
{
	json_t *item, *list;
	const char *key;
	uint64_t typing = 0;
	size_t i;

	identity_features_init(f);
	identity_features_stack(f, secret, sv_from(r->tls), sv_from(r->hassh), sv_from(r->banner));
	json_array_foreach(json_object_get(r->json, "payloads"), i, item)
		identity_features_payload(f, secret, view(item));
	json_array_foreach(json_object_get(r->json, "c2"), i, item)
		identity_features_c2(f, secret, view(item));
	json_array_foreach(json_object_get(r->json, "creds"), i, item) identity_features_credential(
		f, secret, view(json_array_get(item, 0)), view(json_array_get(item, 1)));
	json_object_foreach(json_object_get(r->json, "cmds"), key, list)
	{
		json_array_foreach(list, i, item) identity_features_command(f, secret, view(item));
	}
	for (const char *p = r->keystroke; p && *p; p++)
		typing = typing << 4 | (uint64_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
	if (r->keystroke)
		identity_features_keystroke(f, typing);
}
