/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens: what is accepted, and every way to forge one that we know. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jwt.h>
#include <sodium.h>

#include "api/auth.h"
#include "api/token_cache.h"
#include "util/attr.h"
#include "util/buf.h"

#define UUID   "01a1fd30-529f-7218-8c42-4a08862a687c"
#define JTI    "0123456789abcdef0123456789abcdef"
#define NOW_MS 1769847300250u

static const struct sv secret = {"a secret of at least thirty-two characters", 42};

/* A token over exactly these claims, signed with the algorithm. */
static char *
forge(const char *claims, jwt_alg_t alg, struct sv key)
{
	jwt_t *jwt;
	char *token;

	assert_int_equal(jwt_new(&jwt), 0);
	assert_int_equal(jwt_add_grants_json(jwt, claims), 0);
	assert_int_equal(jwt_set_alg(jwt, alg, (const unsigned char *)key.p, (int)key.n), 0);
	token = jwt_encode_str(jwt);
	assert_non_null(token);
	jwt_free(jwt);
	return token;
}

static enum auth_result
check(const char *token, struct auth_claims *c)
{
	return auth_token_check(secret, sv_from(token), NOW_MS, c);
}

#define CLAIMS(uuid, jti, iat, exp, iss, aud, typ)                                                 \
	"{\"uuid\":" uuid ",\"jti\":" jti ",\"iat\":" iat ",\"exp\":" exp ",\"iss\":" iss          \
	",\"aud\":" aud ",\"typ\":" typ "}"
#define U "\"" UUID "\""
#define J "\"" JTI "\""
#define GOOD                                                                                       \
	CLAIMS(U, J, "1769847300.25", "1769850900", "\"decnet\"", "\"decnet-dashboard\"",          \
	       "\"access\"")

static void
reads_its_own_tokens(void **state)
{
	struct auth_claims c = {.uuid = UUID,
				.jti = JTI,
				.iat_ms = NOW_MS,
				.exp_ms = NOW_MS + 5000},
			   got;
	char *token;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		c.iat_ms = NOW_MS - i;
		token = auth_token_new(secret, &c);
		assert_non_null(token);
		assert_int_equal(check(token, &got), AUTH_OK);
		assert_string_equal(got.uuid, UUID);
		assert_string_equal(got.jti, JTI);
		assert_true(got.iat_ms == c.iat_ms);
		assert_true(got.exp_ms == c.exp_ms / 1000 * 1000);
		free(token);
	}
}

static void
checks_every_claim(void **state)
{
	static const struct {
		const char *claims;
		enum auth_result want;
	} rows[] = {
		{GOOD, AUTH_OK},
		/* up to two seconds ahead; whole seconds; the last second */
		{CLAIMS(U, J, "1769847302.25", "1769850900", "\"decnet\"", "\"decnet-dashboard\"",
			"\"access\""),
		 AUTH_OK},
		{CLAIMS(U, J, "1769847300", "1769850900", "\"decnet\"", "\"decnet-dashboard\"",
			"\"access\""),
		 AUTH_OK},
		{CLAIMS(U, J, "1769847300", "1769847301", "\"decnet\"", "\"decnet-dashboard\"",
			"\"access\""),
		 AUTH_OK},
		{CLAIMS(U, J, "1769847302.251", "1769850900", "\"decnet\"", "\"decnet-dashboard\"",
			"\"access\""),
		 AUTH_INVALID},
		{CLAIMS(U, J, "1769847300", "1769847300", "\"decnet\"", "\"decnet-dashboard\"",
			"\"access\""),
		 AUTH_EXPIRED},
		{CLAIMS(U, J, "1769847300", "0", "\"decnet\"", "\"decnet-dashboard\"",
			"\"access\""),
		 AUTH_EXPIRED},
		{CLAIMS(U, J, "1769847300", "-1", "\"decnet\"", "\"decnet-dashboard\"",
			"\"access\""),
		 AUTH_INVALID},
		{CLAIMS(U, J, "1769847300", "9223372036854775807", "\"decnet\"",
			"\"decnet-dashboard\"", "\"access\""),
		 AUTH_INVALID},
		{CLAIMS(U, J, "1769847300", "1e300", "\"decnet\"", "\"decnet-dashboard\"",
			"\"access\""),
		 AUTH_INVALID},
		{CLAIMS(U, J, "1769847300", "\"1769850900\"", "\"decnet\"", "\"decnet-dashboard\"",
			"\"access\""),
		 AUTH_INVALID},
		{CLAIMS(U, J, "-1", "1769850900", "\"decnet\"", "\"decnet-dashboard\"",
			"\"access\""),
		 AUTH_INVALID},
		{CLAIMS(U, J, "true", "1769850900", "\"decnet\"", "\"decnet-dashboard\"",
			"\"access\""),
		 AUTH_INVALID},
		{CLAIMS(U, J, "null", "1769850900", "\"decnet\"", "\"decnet-dashboard\"",
			"\"access\""),
		 AUTH_INVALID},
		{CLAIMS(U, J, "1769847300", "1769850900", "\"other\"", "\"decnet-dashboard\"",
			"\"access\""),
		 AUTH_INVALID},
		{CLAIMS(U, J, "1769847300", "1769850900", "\"decnet\"", "\"decnet\"", "\"access\""),
		 AUTH_INVALID},
		{CLAIMS(U, J, "1769847300", "1769850900", "\"decnet\"", "[\"decnet-dashboard\"]",
			"\"access\""),
		 AUTH_INVALID},
		{CLAIMS(U, J, "1769847300", "1769850900", "\"decnet\"", "\"decnet-dashboard\"",
			"\"refresh\""),
		 AUTH_INVALID},
		{CLAIMS(U, J, "1769847300", "1769850900", "null", "\"decnet-dashboard\"",
			"\"access\""),
		 AUTH_INVALID},
		{CLAIMS("\"admin\"", J, "1769847300", "1769850900", "\"decnet\"",
			"\"decnet-dashboard\"", "\"access\""),
		 AUTH_INVALID},
		{CLAIMS("7", J, "1769847300", "1769850900", "\"decnet\"", "\"decnet-dashboard\"",
			"\"access\""),
		 AUTH_INVALID},
		{CLAIMS("\"01A1FD30-529f-7218-8c42-4a08862a687c\"", J, "1769847300", "1769850900",
			"\"decnet\"", "\"decnet-dashboard\"", "\"access\""),
		 AUTH_INVALID},
		{CLAIMS(U, "\"\"", "1769847300", "1769850900", "\"decnet\"", "\"decnet-dashboard\"",
			"\"access\""),
		 AUTH_INVALID},
		{CLAIMS(U, "\"0123456789ABCDEF0123456789abcdef\"", "1769847300", "1769850900",
			"\"decnet\"", "\"decnet-dashboard\"", "\"access\""),
		 AUTH_INVALID},
		{"{}", AUTH_INVALID},
	};
	struct auth_claims c;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *token = forge(rows[i].claims, JWT_ALG_HS256, secret);

		if (check(token, &c) != rows[i].want)
			fail_msg("row %zu: %s", i, rows[i].claims);
		free(token);
	}
}

static void
misses_no_claim(void **state)
{
	static const char *const keys[] = {"uuid", "jti", "iat", "exp", "iss", "aud", "typ"};
	struct auth_claims c;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		json_t *object = json_loads(GOOD, 0, NULL);
		char *text, *token;

		assert_int_equal(json_object_del(object, keys[i]), 0);
		text = json_dumps(object, 0);
		token = forge(text, JWT_ALG_HS256, secret);
		if (check(token, &c) != AUTH_INVALID)
			fail_msg("without %s", keys[i]);
		free(token);
		free(text);
		json_decref(object);
	}
}

static void
wants_our_algorithm_and_our_key(void **state)
{
	static const jwt_alg_t others[] = {JWT_ALG_HS384, JWT_ALG_HS512};
	struct auth_claims c;
	char *token;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		token = forge(GOOD, others[i], secret);
		assert_int_equal(check(token, &c), AUTH_INVALID);
		free(token);
	}
	token = forge(GOOD, JWT_ALG_NONE, (struct sv){NULL, 0});
	assert_int_equal(check(token, &c), AUTH_INVALID);
	free(token);
	token = forge(GOOD, JWT_ALG_HS256, SV("another secret of thirty-two characters"));
	assert_int_equal(check(token, &c), AUTH_INVALID);
	free(token);
}

static void
base64(const char *text, char *dst, size_t size)
{
	(void)sodium_bin2base64(dst, size, (const unsigned char *)text, strlen(text),
				sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

/* Heads that are signed with our key, and yet not ours. */
static void
reads_its_own_heads_only(void **state)
{
	static const struct {
		const char *head, *claims;
		enum auth_result want;
	} rows[] = {
		{"{\"alg\":\"HS256\",\"typ\":\"JWT\"}", GOOD, AUTH_OK},
		{"{\"typ\":\"JWT\",\"alg\":\"HS256\",\"kid\":\"1\"}", GOOD, AUTH_OK},
		{"{\"alg\":\"HS256\"}", GOOD, AUTH_OK},
		{"{\"alg\":\"hs256\",\"typ\":\"JWT\"}", GOOD, AUTH_INVALID},
		{"{\"alg\":\"HS256\\u0000\",\"typ\":\"JWT\"}", GOOD, AUTH_INVALID},
		{"{\"alg\":\"none\",\"alg\":\"HS256\"}", GOOD, AUTH_INVALID},
		{"{\"alg\":\"HS256\",\"typ\":\"jwt\"}", GOOD, AUTH_INVALID},
		{"{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", GOOD, AUTH_INVALID},
		{"[\"HS256\"]", GOOD, AUTH_INVALID},
		{"{\"alg\":\"HS256\"}", "{\"iss\":\"x\",\"iss\":\"decnet\"}", AUTH_INVALID},
		{"{\"alg\":\"HS256\"}",
		 CLAIMS(U, J, "1769847300", "1769850900", "\"decnet\\u0000x\"",
			"\"decnet-dashboard\"", "\"access\""),
		 AUTH_INVALID},
		{"{\"alg\":\"HS256\"}",
		 CLAIMS(U, "\"" JTI "\\u0000x\"", "1769847300", "1769850900", "\"decnet\"",
			"\"decnet-dashboard\"", "\"access\""),
		 AUTH_INVALID},
	};
	struct auth_claims c;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char head[256], claims[1024], token[2048], mac[64];
		unsigned char hash[crypto_auth_hmacsha256_BYTES];
		crypto_auth_hmacsha256_state hmac;
		int n;

		base64(rows[i].head, head, sizeof(head));
		base64(rows[i].claims, claims, sizeof(claims));
		n = snprintf(token, sizeof(token), "%s.%s", head, claims);
		(void)crypto_auth_hmacsha256_init(&hmac, (const unsigned char *)secret.p, secret.n);
		(void)crypto_auth_hmacsha256_update(&hmac, (const unsigned char *)token, (size_t)n);
		(void)crypto_auth_hmacsha256_final(&hmac, hash);
		(void)sodium_bin2base64(mac, sizeof(mac), hash, sizeof(hash),
					sodium_base64_VARIANT_URLSAFE_NO_PADDING);
		(void)snprintf(token + n, sizeof(token) - (size_t)n, ".%s", mac);
		if (check(token, &c) != rows[i].want)
			fail_msg("row %zu: %s %s", i, rows[i].head, rows[i].claims);
	}
}

/* The signature of a good token under another head. */
static void
heads_cannot_be_swapped(void **state)
{
	static const char *const heads[] = {
		"{\"alg\":\"none\"}",
		"{\"alg\":\"None\",\"typ\":\"JWT\"}",
		"{\"alg\":\"NONE\",\"typ\":\"JWT\"}",
		"{\"alg\":\"HS512\",\"typ\":\"JWT\"}",
		"{\"alg\":\"RS256\",\"typ\":\"JWT\"}",
		"{\"alg\":\"ES256\",\"typ\":\"JWT\"}",
		"{\"alg\":\"hs256 \",\"typ\":\"JWT\"}",
		"{\"alg\":\"\"}",
		"{\"alg\":null}",
		"{\"alg\":[\"HS256\"]}",
		"{\"typ\":\"JWT\"}",
		"{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"/dev/null\"}",
		"{}",
		"[]",
		"",
	};
	char *good = forge(GOOD, JWT_ALG_HS256, secret);
	const char *rest = strchr(good, '.');
	struct auth_claims c;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		char head[256], token[2048];
		size_t unsigned_n;

		base64(heads[i], head, sizeof(head));
		(void)snprintf(token, sizeof(token), "%s%s", head, rest);
		if (check(token, &c) != AUTH_INVALID)
			fail_msg("%s", heads[i]);
		/* Without its signature, with and without the dot. */
		unsigned_n = (size_t)(strrchr(token, '.') - token);
		token[unsigned_n + 1] = '\0';
		assert_int_equal(check(token, &c), AUTH_INVALID);
		token[unsigned_n] = '\0';
		assert_int_equal(check(token, &c), AUTH_INVALID);
	}
	free(good);
}

static void
every_cut_and_every_flip_is_refused(void **state)
{
	char *good = forge(GOOD, JWT_ALG_HS256, secret);
	size_t n = strlen(good);
	struct auth_claims c;
	char copy[2048];

	(void)state;
	assert_true(n < sizeof(copy));
	assert_int_equal(check(good, &c), AUTH_OK);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(auth_token_check(secret, (struct sv){good, i}, NOW_MS, &c),
				 AUTH_INVALID);
		memcpy(copy, good, n + 1);
		copy[i] = copy[i] == 'A' ? 'B' : 'A';
		if (check(copy, &c) == AUTH_OK)
			fail_msg("byte %zu", i);
		copy[i] = '\0';
		assert_int_equal(auth_token_check(secret, (struct sv){copy, n}, NOW_MS, &c),
				 AUTH_INVALID);
	}
	(void)snprintf(copy, sizeof(copy), "%s.", good);
	assert_int_equal(check(copy, &c), AUTH_INVALID);
	(void)snprintf(copy, sizeof(copy), "%s=", good);
	assert_int_equal(check(copy, &c), AUTH_INVALID);
	(void)snprintf(copy, sizeof(copy), " %s", good);
	assert_int_equal(check(copy, &c), AUTH_INVALID);
	free(good);
}

static void
a_huge_token_is_refused(void **state)
{
	size_t n = 1 << 20;
	char *huge = malloc(n + 1);
	struct auth_claims c;

	(void)state;
	memset(huge, 'A', n);
	huge[n] = '\0';
	assert_int_equal(check(huge, &c), AUTH_INVALID);
	memset(huge, '.', n);
	assert_int_equal(check(huge, &c), AUTH_INVALID);
	huge[AUTH_TOKEN_MAX] = '\0';
	assert_int_equal(check(huge, &c), AUTH_INVALID);
	assert_int_equal(auth_token_check(secret, (struct sv){NULL, 0}, NOW_MS, &c), AUTH_INVALID);
	free(huge);
}

static void
reads_the_authorization_header(void **state)
{
	static const struct {
		const char *header, *token;
	} rows[] = {
		{"Bearer abc", "abc"}, {"bearer abc", "abc"},
		{"BEARER abc", "abc"}, {"Bearer  abc", " abc"},
		{"Bearer", NULL},      {"Bearer ", NULL},
		{"Basic abc", NULL},   {"", NULL},
		{"abc", NULL},	       {"Bearerabc", NULL},
		{"Bearer\tabc", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sv token = auth_bearer(sv_from(rows[i].header));

		if (rows[i].token ? !sv_eq(token, sv_from(rows[i].token)) : token.p != NULL)
			fail_msg("%s", rows[i].header);
	}
	assert_null(auth_bearer((struct sv){NULL, 0}).p);
}

/* The first way that is present is used, and the others are not tried. */
static void
streams_have_three_ways_in(void **state)
{
	struct ticket_table *t = ticket_table_new(10, 10);
	char *token = forge(GOOD, JWT_ALG_HS256, secret), bearer[1024], ticket[TICKET_SIZE];
	struct auth_claims c = {.uuid = UUID, .jti = JTI};
	struct api_query_arg by_token[] = {{SV("x"), SV("y")}, {SV("token"), sv_from(token)}};
	struct api_query_arg by_ticket[] = {{SV("token"), SV("bad")}, {SV("ticket"), {NULL, 0}}};
	struct sv none = {NULL, 0};
	struct auth_way way = {0};

	(void)state;
	(void)snprintf(bearer, sizeof(bearer), "Bearer %s", token);
	assert_int_equal(ticket_mint(t, &c, NOW_MS, ticket), 0);
	by_ticket[1].value = sv_from(ticket);

	assert_int_equal(auth_stream_begin(secret, t, none, NULL, 0, NOW_MS, &way), AUTH_INVALID);
	assert_int_equal(auth_stream_begin(secret, t, none, by_token, 2, NOW_MS, &way), AUTH_OK);
	assert_false(way.by_ticket);
	assert_int_equal(auth_stream_begin(secret, t, SV("Bearer x"), by_token, 2, NOW_MS, &way),
			 AUTH_INVALID);
	assert_int_equal(auth_stream_begin(secret, t, sv_from(bearer), by_ticket, 2, NOW_MS, &way),
			 AUTH_OK);
	assert_false(way.by_ticket);
	auth_stream_end(t, &way, true);

	assert_int_equal(auth_stream_begin(secret, t, none, by_ticket, 2, NOW_MS, &way), AUTH_OK);
	assert_true(way.by_ticket);
	assert_string_equal(way.claims.uuid, UUID);
	auth_stream_end(t, &way, false);
	assert_int_equal(auth_stream_begin(secret, t, none, by_ticket, 2, NOW_MS, &way), AUTH_OK);
	auth_stream_end(t, &way, true);
	assert_int_equal(auth_stream_begin(secret, t, none, by_ticket, 2, NOW_MS, &way),
			 AUTH_INVALID);
	free(token);
	ticket_table_free(t);
}

static void
passwords_verify(void **state)
{
	char hash[AUTH_HASH_SIZE], longest[128];

	(void)state;
	memset(longest, 'x', sizeof(longest));
	assert_int_equal(auth_hash((struct sv){longest, sizeof(longest)}, hash), 0);
	assert_memory_equal(hash, "$argon2id$", 10);
	assert_true(auth_verify(hash, (struct sv){longest, sizeof(longest)}));
	assert_false(auth_verify(hash, (struct sv){longest, sizeof(longest) - 1}));
	assert_false(auth_verify(NULL, (struct sv){longest, sizeof(longest)}));
	assert_false(auth_verify("", (struct sv){NULL, 0}));
}

static void
results_have_statuses_and_texts(void **state)
{
	(void)state;
	assert_int_equal(auth_status(AUTH_OK), 200);
	assert_int_equal(auth_status(AUTH_REVOKED), 401);
	assert_int_equal(auth_status(AUTH_ROLE), 403);
	assert_string_equal(auth_detail(AUTH_EXPIRED), "Could not validate credentials");
	assert_string_equal(auth_detail(AUTH_ROLE), "Insufficient permissions");
	assert_string_equal(auth_detail(AUTH_MUST_CHANGE),
			    "Password change required before accessing this resource");
}

static int
setup(void **state)
{
	(void)state;
	return auth_setup();
}

static void
remembers_only_verified_tokens(void **state)
{
	struct token_cache *cache = token_cache_new();
	char *good = forge(GOOD, JWT_ALG_HS256, secret), *bad = strdup(good);
	struct auth_claims c, again;
	size_t n = strlen(good);

	(void)state;
	assert_non_null(cache);
	assert_non_null(bad);
	assert_int_equal(token_cache_check(cache, secret, sv_from(good), NOW_MS, &c), AUTH_OK);
	assert_int_equal(token_cache_hits(cache), 0);
	assert_int_equal(token_cache_check(cache, secret, sv_from(good), NOW_MS, &again), AUTH_OK);
	assert_int_equal(token_cache_hits(cache), 1);
	assert_memory_equal(&c, &again, sizeof(c));
	/* It is asked for its end every time. */
	assert_int_equal(token_cache_check(cache, secret, sv_from(good), c.exp_ms, &again),
			 AUTH_EXPIRED);
	/* Every other text is verified, and refused every time. */
	for (size_t i = 0; i < n; i++) {
		bad[i] = good[i] == 'A' ? 'B' : 'A';
		for (unsigned twice = 0; twice < 2; twice++)
			assert_int_equal(
				token_cache_check(cache, secret, (struct sv){bad, n}, NOW_MS,
						  &again),
				auth_token_check(secret, (struct sv){bad, n}, NOW_MS, &again));
		bad[i] = good[i];
		assert_int_equal(
			token_cache_check(cache, secret, (struct sv){good, i}, NOW_MS, &again),
			AUTH_INVALID);
	}
	assert_int_equal(token_cache_check(cache, secret, (struct sv){NULL, 0}, NOW_MS, &again),
			 AUTH_INVALID);
	assert_int_equal(token_cache_check(NULL, secret, sv_from(good), NOW_MS, &again), AUTH_OK);
	free(good);
	free(bad);
	token_cache_free(cache);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_its_own_tokens),
		cmocka_unit_test(checks_every_claim),
		cmocka_unit_test(misses_no_claim),
		cmocka_unit_test(wants_our_algorithm_and_our_key),
		cmocka_unit_test(reads_its_own_heads_only),
		cmocka_unit_test(heads_cannot_be_swapped),
		cmocka_unit_test(every_cut_and_every_flip_is_refused),
		cmocka_unit_test(a_huge_token_is_refused),
		cmocka_unit_test(reads_the_authorization_header),
		cmocka_unit_test(streams_have_three_ways_in),
		cmocka_unit_test(passwords_verify),
		cmocka_unit_test(results_have_statuses_and_texts),
		cmocka_unit_test(remembers_only_verified_tokens),
	};

	return cmocka_run_group_tests_name("api_auth", tests, setup, NULL);
}
