/* SPDX-License-Identifier: Apache-2.0 */
/* What a capture must be before it becomes a row. */
#include "resolver/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "util/buf.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/kv.h"
#include "util/limits.h"

#define RAW_VALUE_BYTES_MAX 512 /* of one field in the raw line; the fields have the whole */
#define MSG_BYTES_MAX	    512

static const char *const reject_words[REJECT_COUNT] = {
#define REJECT(name, word, text) word,
#include "resolver/reject.def"
#undef REJECT
};

static const char *const keys[CAPTURE_TYPE_COUNT] = {
#define CAPTURE(name, word, interaction, keys) keys,
#include "decoy/capture.def"
#undef CAPTURE
};

/* Fields that are not text in the row. */
static const struct {
	struct sv key;
	enum { AS_INT, AS_REAL, AS_BOOL } kind;
} typed[] = {
	{{"bytes_in", 8}, AS_INT}, {{"bytes_out", 9}, AS_INT}, {{"duration_s", 10}, AS_REAL},
	{{"ok", 2}, AS_BOOL},	   {{"size", 4}, AS_INT},      {{"status", 6}, AS_INT},
};

const char *
reject_word(enum reject r)
{
	return reject_words[r];
}

void
sighting_fini(struct sighting *s)
{
	free(s->raw_line);
	free(s->fields);
	free(s->msg);
	free(s->command);
	free(s->value);
	free(s->username);
	*s = (struct sighting){.rejected = true};
}

/* At most `max` bytes, not cut inside a UTF-8 character. */
static struct sv
cut(struct sv s, size_t max)
{
	if (s.n <= max)
		return s;
	s.n = max;
	while (s.n > 0 && ((unsigned char)s.p[s.n] & 0xc0) == 0x80)
		s.n--;
	return s;
}

/* Valid UTF-8 without NUL as a JSON string, or NULL without memory. */
static json_t *
safe_json(struct sv s)
{
	struct buf b;
	json_t *value = NULL;
	int r = 0;

	if (!s.n || !memchr(s.p, 0, s.n))
		return json_view(s);
	buf_init(&b, s.n * 3);
	for (size_t i = 0; r == 0 && i < s.n; i++)
		r = s.p[i] ? buf_putc(&b, s.p[i]) : buf_put(&b, SV("\xef\xbf\xbd"));
	if (r == 0)
		value = json_view(buf_sv(&b));
	buf_fini(&b);
	return value;
}

static char *
safe_text(struct sv s)
{
	json_t *value = safe_json(s);
	char *text = value ? sv_dup(sv_from(json_string_value(value))) : NULL;

	json_decref(value);
	return text;
}

static const struct sv *
field(const struct capture *c, struct sv key)
{
	for (unsigned i = 0; i < c->nfields; i++)
		if (sv_eq(c->fields[i].key, key))
			return &c->fields[i].value;
	return NULL;
}

/* A decimal number of at most 15 digits with an optional fraction. */
static bool
real_of(struct sv s, double *ret)
{
	char text[32];
	unsigned dots = 0;

	if (s.n == 0 || s.n > 15)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		bool dot = s.p[i] == '.' && i > 0 && i + 1 < s.n;

		if (!dot && (s.p[i] < '0' || s.p[i] > '9'))
			return false;
		dots += dot;
	}
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	*ret = strtod(text, NULL);
	return dots <= 1;
}

/* The field as the row shows it. What is not of its kind stays text. */
static json_t *
field_json(struct sv key, struct sv value)
{
	uint64_t n;
	double d;

	for (size_t i = 0; i < ARRAY_LEN(typed); i++) {
		if (!sv_eq(key, typed[i].key))
			continue;
		switch (typed[i].kind) {
		case AS_INT:
			if (sv_u64(value, INT64_MAX, &n) == 0)
				return json_integer((json_int_t)n);
			break;
		case AS_REAL:
			if (real_of(value, &d))
				return json_real(d);
			break;
		case AS_BOOL:
			if (sv_eq(value, SV("true")) || sv_eq(value, SV("1")))
				return json_true();
			if (sv_eq(value, SV("false")) || sv_eq(value, SV("0")))
				return json_false();
			break;
		}
	}
	return safe_json(value);
}

/* What may be shown of a field outside of the fields. */
static struct sv
shown(struct sv key, struct sv value)
{
	if (sv_eq(key, SV("password")))
		return SV("***");
	if (sv_eq(key, SV("transcript")))
		return SV("...");
	return cut(value, RAW_VALUE_BYTES_MAX);
}

static int
put_head(struct buf *raw, const struct capture *c, const struct sighting *s)
{
	char at[CLOCK_ISO_SIZE];

	clock_iso(s->ts_ms, at);
	return buf_printf(raw, "%s %s %s %s src=%s port=%u session=%s", at, s->decky, s->service,
			  capture_word(c->type), s->ip, c->peer_port, s->session_id);
}

static int
put_field(struct buf *raw, json_t *fields, const struct capture *c, struct sv key)
{
	const struct sv *value = field(c, key);
	char name[32];
	json_t *json;

	if (sv_copy(key, name, sizeof(name)) < 0)
		return -ENOBUFS;
	json = value ? field_json(key, *value) : json_null();
	if (json_object_set_new(fields, name, json) != 0)
		return -ENOMEM;
	return value ? kv_put_text(raw, (const struct kv[]){KV_V(name, shown(key, *value)), KV_END})
		     : 0;
}

/* raw_line and fields. */
static int
render(const struct capture *c, struct sighting *s)
{
	struct sv rest = sv_from(keys[c->type]);
	json_t *fields = json_object();
	struct buf raw;
	int r;

	buf_init(&raw, LIMIT_CAPTURE_BYTES);
	r = fields ? put_head(&raw, c, s) : -ENOMEM;
	if (r == 0 && json_object_set_new(fields, "session_id", json_string(s->session_id)) != 0)
		r = -ENOMEM;
	while (r == 0 && rest.n)
		r = put_field(&raw, fields, c, sv_cut(&rest, ' '));
	if (r == 0) {
		s->fields = json_text(fields);
		s->raw_line = buf_take(&raw);
		if (!s->fields || !s->raw_line)
			r = -ENOMEM;
	}
	json_decref(fields);
	buf_fini(&raw);
	return r;
}

/* A lower-case name: letters and digits, `extra` ones inside; not first or last if `strict`. */
static bool
name_copy(struct sv s, const char *extra, bool strict, char dst[CHECK_NAME_SIZE])
{
	for (size_t i = 0; i < s.n; i++) {
		char ch = s.p[i];
		bool plain = (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9');

		if (!plain && (!ch || !strchr(extra, ch)))
			return false;
		if (!plain && strict && (i == 0 || i + 1 == s.n))
			return false;
	}
	return s.n > 0 && sv_copy(s, dst, CHECK_NAME_SIZE) == 0;
}

static bool
uuid_copy(struct sv s, bool required, char dst[ID_UUID_SIZE])
{
	dst[0] = '\0';
	if (s.n == 0)
		return !required;
	return id_is_uuid(s) && sv_copy(s, dst, ID_UUID_SIZE) == 0;
}

static bool
ip_copy(struct sv s, char dst[CHECK_IP_SIZE])
{
	static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	unsigned char raw[16];
	char text[CHECK_IP_SIZE];

	if (sv_copy(s, text, sizeof(text)) < 0)
		return false;
	if (inet_pton(AF_INET, text, raw) == 1)
		return inet_ntop(AF_INET, raw, dst, CHECK_IP_SIZE) != NULL;
	if (inet_pton(AF_INET6, text, raw) != 1)
		return false;
	if (memcmp(raw, mapped, sizeof(mapped)) == 0)
		return inet_ntop(AF_INET, raw + 12, dst, CHECK_IP_SIZE) != NULL;
	return inet_ntop(AF_INET6, raw, dst, CHECK_IP_SIZE) != NULL;
}

static int
check_place(const struct capture *c, uint64_t now_ms, struct sighting *s, enum reject *ret_why)
{
	*ret_why = REJECT_TIME;
	if (c->ts_ms == 0)
		return -EBADMSG;
	s->ts_ms = c->ts_ms < now_ms ? c->ts_ms : now_ms;
	*ret_why = REJECT_PLACE;
	if (!uuid_copy(c->topology_id, false, s->topology_id) ||
	    !uuid_copy(c->decky_uuid, false, s->decky_id) ||
	    !uuid_copy(c->session_id, true, s->session_id) ||
	    !name_copy(c->decky, "-", true, s->decky) ||
	    !name_copy(c->service, "-_", false, s->service))
		return -EBADMSG;
	*ret_why = REJECT_PEER;
	return ip_copy(c->peer_ip, s->ip) ? 0 : -EBADMSG;
}

static bool
is_sha256(struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
			return false;
	return s.n == 64;
}

static int
read_signal(const struct capture *c, struct sighting *s)
{
	const struct sv *name = field(c, SV("primitive")), *value = field(c, SV("value"));

	if (!name || !value || value->n == 0 || value->n > IDENTITY_VALUE_MAX)
		return -EBADMSG;
	s->primitive = identity_primitive_find(*name);
	if (s->primitive == IDENTITY_SIGNAL_COUNT)
		return -EBADMSG;
	s->value = safe_text(*value);
	return s->value ? 0 : -ENOMEM;
}

static const char *
kind_of(const struct sv *method)
{
	if (method && (sv_search(*method, SV("key")) != SIZE_MAX))
		return "key";
	if (method && (sv_search(*method, SV("token")) != SIZE_MAX ||
		       sv_search(*method, SV("bearer")) != SIZE_MAX))
		return "token";
	return "password";
}

static int
read_credential(const struct capture *c, struct sighting *s)
{
	const struct sv none = {"", 0};
	const struct sv *user = field(c, SV("username")), *secret = field(c, SV("password"));
	unsigned char digest[crypto_hash_sha256_BYTES];

	user = user ? user : &none;
	secret = secret ? secret : &none;
	if (user->n == 0 && secret->n == 0)
		return 0;
	(void)crypto_hash_sha256(digest, (const unsigned char *)secret->p, secret->n);
	id_hex(digest, sizeof(digest), s->secret_sha256);
	s->secret_kind = kind_of(field(c, SV("method")));
	s->secret_common = identity_credential_common(*user, *secret);
	s->username = safe_text(cut(*user, IDENTITY_VALUE_MAX));
	return s->username ? 0 : -ENOMEM;
}

static uint64_t
number_of(const struct capture *c, struct sv key)
{
	const struct sv *value = field(c, key);
	uint64_t n = 0;

	return value && sv_u64(*value, INT64_MAX, &n) == 0 ? n : 0;
}

static int
set_msg(struct sighting *s, const char *before, const struct sv *text, const struct sv *after)
{
	struct buf b;
	int r;

	if (!text || !text->n)
		return 0;
	buf_init(&b, (size_t)MSG_BYTES_MAX * 3);
	r = buf_put(&b, sv_from(before));
	if (r == 0)
		r = buf_put(&b, cut(*text, MSG_BYTES_MAX));
	if (r == 0 && after) {
		r = buf_putc(&b, ' ');
		if (r == 0)
			r = buf_put(&b, cut(*after, MSG_BYTES_MAX));
	}
	if (r == 0) {
		s->msg = safe_text(buf_sv(&b));
		r = s->msg ? 0 : -ENOMEM;
	}
	buf_fini(&b);
	return r;
}

/* What only this type of capture has. */
static int
read_special(const struct capture *c, struct sighting *s, enum reject *ret_why)
{
	const struct sv *text;

	switch (c->type) {
	case CAPTURE_FINGERPRINT: *ret_why = REJECT_SIGNAL; return read_signal(c, s);
	case CAPTURE_AUTH:
		if (set_msg(s, "login as ", field(c, SV("username")), NULL) < 0)
			return -ENOMEM;
		return read_credential(c, s);
	case CAPTURE_REQUEST: return set_msg(s, "", field(c, SV("method")), field(c, SV("path")));
	case CAPTURE_COMMAND:
		text = field(c, SV("command"));
		s->command = safe_text(text ? *text : SV(""));
		return s->command ? set_msg(s, "", text, NULL) : -ENOMEM;
	case CAPTURE_FILE_CAPTURED:
		text = field(c, SV("sha256"));
		if (text && is_sha256(*text)) {
			s->primitive = IDENTITY_SIGNAL_PAYLOAD_SHA256;
			s->value = safe_text(*text);
			if (!s->value)
				return -ENOMEM;
		}
		return set_msg(s, "", field(c, SV("name")), NULL);
	case CAPTURE_DISCONNECT:
		s->bytes_in = number_of(c, SV("bytes_in"));
		s->bytes_out = number_of(c, SV("bytes_out"));
		return 0;
	case CAPTURE_CONNECT:
	case CAPTURE_HANDSHAKE:
	case CAPTURE_MALFORMED:
	case CAPTURE_LIMIT:
	case CAPTURE_SESSION_RECORDED:
	case CAPTURE_TYPE_COUNT: return 0;
	}
	return 0;
}

int
sighting_check(const struct capture *c, uint64_t now_ms, struct sighting *ret, enum reject *ret_why)
{
	struct sighting s = {
		.source = c->source, .type = c->type, .primitive = IDENTITY_SIGNAL_COUNT};
	int r;

	*ret_why = REJECT_FRAME;
	if (c->type >= CAPTURE_TYPE_COUNT)
		return -EBADMSG;
	*ret_why = REJECT_NUMBER;
	if (c->source == 0 || c->no == 0 || c->no > INT64_MAX)
		return -EBADMSG;
	s.no = (int64_t)c->no;
	r = check_place(c, now_ms, &s, ret_why);
	if (r == 0)
		r = read_special(c, &s, ret_why);
	if (r == 0)
		r = render(c, &s);
	if (r < 0) {
		sighting_fini(&s);
		return r;
	}
	*ret = s;
	return 0;
}
