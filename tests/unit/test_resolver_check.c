/* SPDX-License-Identifier: Apache-2.0 */
/* From a capture to a row: what is refused and why, what becomes of hostile text. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "resolver/check.h"
#include "resolver/traffic.h"
#include "util/json.h"
#include "util/limits.h"

#define NOW 1769847300000ULL

static struct capture
sample(enum capture_type type)
{
	return (struct capture){
		.source = 1,
		.no = 1,
		.ts_ms = NOW - 1,
		.type = type,
		.topology_id = SV("0198c0de-0000-7000-8000-000000000001"),
		.decky_uuid = SV("0198c0de-0000-7000-8000-000000000002"),
		.decky = SV("web-1"),
		.service = SV("docker_api"),
		.session_id = SV("0198c0de-0000-7000-8000-000000000003"),
		.peer_ip = SV("198.51.100.7"),
	};
}

static void
field(struct capture *c, struct sv key, struct sv value)
{
	c->fields[c->nfields++] = (struct capture_field){key, value};
}

enum part { SOURCE, NO, TIME, TOPOLOGY, DECKY_ID, SESSION, NAME, SERVICE, PEER, PRIMITIVE };

static void
refusals(void **state)
{
	static const struct {
		enum part part;
		uint64_t n;
		struct sv text;
		int want; /* reason, or -1 */
	} rows[] = {
		{SOURCE, 0, SV(""), REJECT_NUMBER},
		{NO, 0, SV(""), REJECT_NUMBER},
		{NO, UINT64_MAX, SV(""), REJECT_NUMBER},
		{TIME, 0, SV(""), REJECT_TIME},
		{TOPOLOGY, 0, SV(""), -1},
		{TOPOLOGY, 0, SV("x"), REJECT_PLACE},
		{DECKY_ID, 0, SV(""), -1},
		{DECKY_ID, 0, SV("0198C0DE-0000-7000-8000-000000000001"), REJECT_PLACE},
		{SESSION, 0, SV(""), REJECT_PLACE},
		{NAME, 0, SV(""), REJECT_PLACE},
		{NAME, 0, SV("a.b"), REJECT_PLACE},
		{NAME, 0, SV("-a"), REJECT_PLACE},
		{NAME, 0, SV("a-"), REJECT_PLACE},
		{NAME, 0, SV("a\0"), REJECT_PLACE},
		{NAME, 0, SV("a"), -1},
		{SERVICE, 0, SV("Http"), REJECT_PLACE},
		{SERVICE, 0, SV("0123456789012345678901234567890123456789012345678901234567890123"),
		 -1},
		{SERVICE, 0,
		 SV("01234567890123456789012345678901234567890123456789012345678901234"),
		 REJECT_PLACE},
		{PEER, 0, SV("198.51.100.300"), REJECT_PEER},
		{PEER, 0, SV("fe80::1%eth0"), REJECT_PEER},
		{PEER, 0, SV("2001:DB8::1"), -1},
		{PRIMITIVE, 0, SV("tls.ja3"), -1},
		{PRIMITIVE, 0, SV("tls.ja5"), REJECT_SIGNAL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct capture c =
			sample(rows[i].part == PRIMITIVE ? CAPTURE_FINGERPRINT : CAPTURE_HANDSHAKE);
		struct sighting s;
		enum reject why = REJECT_COUNT;
		int r;

		switch (rows[i].part) {
		case SOURCE: c.source = rows[i].n; break;
		case NO: c.no = rows[i].n; break;
		case TIME: c.ts_ms = rows[i].n; break;
		case TOPOLOGY: c.topology_id = rows[i].text; break;
		case DECKY_ID: c.decky_uuid = rows[i].text; break;
		case SESSION: c.session_id = rows[i].text; break;
		case NAME: c.decky = rows[i].text; break;
		case SERVICE: c.service = rows[i].text; break;
		case PEER: c.peer_ip = rows[i].text; break;
		case PRIMITIVE:
			field(&c, SV("primitive"), rows[i].text);
			field(&c, SV("value"), SV("v"));
			break;
		}
		r = sighting_check(&c, NOW, &s, &why);
		if (r != (rows[i].want < 0 ? 0 : -EBADMSG) || (r < 0 && (int)why != rows[i].want))
			fail_msg("row %zu: %d, reason %d", i, r, (int)why);
		if (r == 0)
			sighting_fini(&s);
	}
}

static void
addresses(void **state)
{
	static const struct {
		struct sv given;
		const char *want;
	} rows[] = {
		{SV("::ffff:198.51.100.7"), "198.51.100.7"},
		{SV("2001:DB8:0:0:0:0:0:1"), "2001:db8::1"},
		{SV("198.51.100.7"), "198.51.100.7"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct capture c = sample(CAPTURE_CONNECT);
		struct sighting s;
		enum reject why;

		c.peer_ip = rows[i].given;
		c.ts_ms = NOW + 1000000;
		assert_int_equal(sighting_check(&c, NOW, &s, &why), 0);
		assert_string_equal(s.ip, rows[i].want);
		assert_true(s.ts_ms == NOW);
		sighting_fini(&s);
	}
}

static void
hostile_text(void **state)
{
	struct capture c = sample(CAPTURE_AUTH);
	struct sighting s;
	enum reject why;
	json_t *fields = NULL;

	(void)state;
	field(&c, SV("username"), SV("ro\not\x1b[2J\xff\0"));
	field(&c, SV("password"), SV("s3cret"));
	field(&c, SV("ok"), SV("maybe"));
	field(&c, SV("not a key"), SV("x"));
	assert_int_equal(sighting_check(&c, NOW, &s, &why), 0);
	for (const char *p = s.raw_line; *p; p++)
		assert_true(*p >= ' ' && *p <= '~');
	assert_null(strstr(s.raw_line, "s3cret"));
	assert_null(strstr(s.msg, "s3cret"));
	assert_int_equal(json_parse(sv_from(s.fields), &fields, NULL), 0);
	assert_int_equal(json_object_size(fields), 5);
	assert_string_equal(json_get_text(fields, "password"), "s3cret");
	assert_string_equal(json_get_text(fields, "ok"), "maybe");
	assert_true(json_is_null(json_object_get(fields, "method")));
	assert_string_equal(json_get_text(fields, "username"),
			    "ro\not\x1b[2J\xef\xbf\xbd\xef\xbf\xbd");
	assert_string_equal(s.secret_sha256,
			    "1ec1c26b50d5d3c58d9583181af8076655fe00756bf7285940ba3670f99fcba0");
	assert_string_equal(s.secret_kind, "password");
	json_decref(fields);
	sighting_fini(&s);
}

static void
longest_fields(void **state)
{
	static char big[65000];
	struct capture c = sample(CAPTURE_SESSION_RECORDED);
	struct sighting s;
	enum reject why;

	(void)state;
	memset(big, '\x01', sizeof(big));
	field(&c, SV("duration_s"), SV("12.5"));
	field(&c, SV("transcript"), (struct sv){big, sizeof(big)});
	assert_int_equal(sighting_check(&c, NOW, &s, &why), 0);
	assert_true(strlen(s.raw_line) < 512);
	assert_non_null(strstr(s.fields, "\"duration_s\":12.5"));
	sighting_fini(&s);
}

struct told {
	unsigned times;
	uint64_t connections, bytes_in;
};

static void
on_told(void *user, const struct traffic_entry *entry)
{
	struct told *t = user;

	t->times++;
	t->connections += entry->connections;
	t->bytes_in += entry->bytes_in;
}

static void
traffic_is_told_once_a_second(void **state)
{
	struct sighting connect = {.type = CAPTURE_CONNECT, .decky = "a", .service = "http"};
	struct sighting end = {
		.type = CAPTURE_DISCONNECT, .decky = "a", .service = "http", .bytes_in = 5};
	struct traffic t = {0};
	struct told told = {0};
	json_t *json;

	(void)state;
	traffic_note(&t, &connect);
	assert_int_equal(traffic_tell(&t, 10000, on_told, &told), -1);
	assert_int_equal(told.times, 1);
	traffic_note(&t, &connect);
	traffic_note(&t, &end);
	assert_int_equal(traffic_tell(&t, 10400, on_told, &told), 600);
	assert_int_equal(told.times, 1);
	assert_int_equal(traffic_tell(&t, 11000, on_told, &told), -1);
	assert_int_equal(told.times, 2);
	assert_true(told.connections == 2 && told.bytes_in == 5);
	for (unsigned i = 0; i < LIMIT_TRAFFIC_KEYS + 10; i++) {
		(void)snprintf(connect.decky, sizeof(connect.decky), "d%u", i);
		traffic_note(&t, &connect);
	}
	assert_int_equal(t.n, LIMIT_TRAFFIC_KEYS);
	json = traffic_json(&t.v[0]);
	assert_int_equal(json_object_size(json), 7);
	json_decref(json);
	traffic_fini(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refusals),
		cmocka_unit_test(addresses),
		cmocka_unit_test(hostile_text),
		cmocka_unit_test(longest_fields),
		cmocka_unit_test(traffic_is_told_once_a_second),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
