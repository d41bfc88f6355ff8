/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens, passwords, and the decision whether a caller may. */
#include "api/auth.h"

#include <errno.h>
#include <jwt.h>
#include <math.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "store/user.h"
#include "util/json.h"

#define ISSUER	    "decnet"
#define AUDIENCE    "decnet-dashboard"
#define TOKEN_KIND  "access"
/* How far a token's iat may lie ahead of our clock. */
#define SKEW_MS	    2000
/* No honest time is later; it keeps the arithmetic far from overflow. */
#define EPOCH_S_MAX 1e11

_Static_assert(AUTH_HASH_SIZE <= USER_HASH_SIZE, "a hash must fit into its row");

/* What unknown users are compared with, so that they take as long as known ones. */
static char dummy_hash[AUTH_HASH_SIZE];

int
auth_status(enum auth_result a)
{
	switch (a) {
	case AUTH_OK: return 200;
	case AUTH_INVALID:
	case AUTH_EXPIRED:
	case AUTH_REVOKED: return 401;
	case AUTH_MUST_CHANGE:
	case AUTH_ROLE: return 403;
	}
	return 401;
}

const char *
auth_detail(enum auth_result a)
{
	if (a == AUTH_MUST_CHANGE)
		return "Password change required before accessing this resource";
	if (a == AUTH_ROLE)
		return "Insufficient permissions";
	return "Could not validate credentials";
}

struct sv
auth_bearer(struct sv header)
{
	struct sv scheme = sv_cut(&header, ' ');

	if (!sv_eq_ci(scheme, SV("bearer")) || header.n == 0)
		return (struct sv){NULL, 0};
	return header;
}

/* A member as its bytes, so that nothing hides behind a NUL; p is NULL when it is no text. */
static struct sv
text_of(const json_t *claims, const char *key)
{
	const json_t *value = json_object_get(claims, key);

	return (struct sv){json_string_value(value), json_string_length(value)};
}

static bool
text_is(const json_t *claims, const char *key, const char *wanted)
{
	struct sv text = text_of(claims, key);

	return text.p && sv_eq(text, sv_from(wanted));
}

static bool
is_hex32(struct sv s)
{
	return s.n == 32 && strspn(s.p, "0123456789abcdef") == 32;
}

static enum auth_result
read_claims(const json_t *claims, uint64_t now_ms, struct auth_claims *ret_claims)
{
	struct sv uuid = text_of(claims, "uuid"), jti = text_of(claims, "jti");
	const json_t *iat = json_object_get(claims, "iat"), *exp = json_object_get(claims, "exp");
	struct auth_claims c = {0};
	double iat_s, exp_s;

	if (!text_is(claims, "iss", ISSUER) || !text_is(claims, "aud", AUDIENCE) ||
	    !text_is(claims, "typ", TOKEN_KIND))
		return AUTH_INVALID;
	if (!uuid.p || !id_is_uuid(uuid) || !jti.p || !is_hex32(jti))
		return AUTH_INVALID;
	if (!json_is_number(iat) || !json_is_integer(exp))
		return AUTH_INVALID;
	iat_s = json_number_value(iat);
	exp_s = json_number_value(exp);
	if (!(iat_s >= 0 && iat_s <= EPOCH_S_MAX && exp_s >= 0 && exp_s <= EPOCH_S_MAX))
		return AUTH_INVALID;
	/* Both are as long as their room, the terminator aside. */
	memcpy(c.uuid, uuid.p, sizeof(c.uuid));
	memcpy(c.jti, jti.p, sizeof(c.jti));
	c.iat_ms = (uint64_t)llround(iat_s * 1000);
	c.exp_ms = (uint64_t)exp_s * 1000;
	if (c.iat_ms > now_ms + SKEW_MS)
		return AUTH_INVALID;
	if (c.exp_ms <= now_ms)
		return AUTH_EXPIRED;
	*ret_claims = c;
	return AUTH_OK;
}

/* One part of a token: an object in UTF-8 that names no key twice. NULL when it is not. */
static json_t *
read_part(struct sv part)
{
	unsigned char text[AUTH_TOKEN_MAX];
	json_t *object = NULL;
	size_t n = 0;

	if (sodium_base642bin(text, sizeof(text), part.p, part.n, NULL, &n, NULL,
			      sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
		return NULL;
	if (json_parse((struct sv){(const char *)text, n}, &object, NULL) < 0)
		return NULL;
	if (!json_is_object(object)) {
		json_decref(object);
		return NULL;
	}
	return object;
}

/*
 * The library takes `hs256` for HS256, looks away from `crit`, and takes the last of two equal
 * keys: all of these can be read otherwise by somebody else (RFC 7515, 4 and 10.12).
 */
static bool
head_is_ours(const json_t *head)
{
	return text_is(head, "alg", "HS256") &&
	       (!json_object_get(head, "typ") || text_is(head, "typ", "JWT")) &&
	       !json_object_get(head, "crit");
}

enum auth_result
auth_token_check(struct sv secret, struct sv token, uint64_t now_ms, struct auth_claims *ret_claims)
{
	enum auth_result a = AUTH_INVALID;
	char copy[AUTH_TOKEN_MAX + 1];
	json_t *head = NULL, *claims = NULL;
	struct sv rest = token;
	jwt_t *jwt = NULL;

	if (!token.p || sv_copy(token, copy, sizeof(copy)) < 0)
		return AUTH_INVALID;
	/* With a key, a token without signature is refused by the library; another algorithm by us.
	 */
	if (jwt_decode(&jwt, copy, (const unsigned char *)secret.p, (int)secret.n) != 0)
		goto out;
	if (jwt_get_alg(jwt) != JWT_ALG_HS256)
		goto out;
	head = read_part(sv_cut(&rest, '.'));
	claims = read_part(sv_cut(&rest, '.'));
	if (head && claims && head_is_ours(head))
		a = read_claims(claims, now_ms, ret_claims);
out:
	json_decref(head);
	json_decref(claims);
	jwt_free(jwt);
	return a;
}

char *
auth_token_new(struct sv secret, const struct auth_claims *claims)
{
	json_t *object = json_pack("{s:s, s:s, s:f, s:I, s:s, s:s, s:s}", "uuid", claims->uuid,
				   "jti", claims->jti, "iat", (double)claims->iat_ms / 1000, "exp",
				   (json_int_t)(claims->exp_ms / 1000), "iss", ISSUER, "aud",
				   AUDIENCE, "typ", TOKEN_KIND);
	char *text = object ? json_text(object) : NULL, *encoded = NULL, *token = NULL;
	jwt_t *jwt = NULL;

	if (!text || jwt_new(&jwt) != 0)
		goto out;
	if (jwt_add_grants_json(jwt, text) != 0 ||
	    jwt_set_alg(jwt, JWT_ALG_HS256, (const unsigned char *)secret.p, (int)secret.n) != 0)
		goto out;
	encoded = jwt_encode_str(jwt);
	if (encoded)
		token = sv_dup(sv_from(encoded));
out:
	free(encoded);
	jwt_free(jwt);
	free(text);
	json_decref(object);
	return token;
}

static int
decide(struct db *db, const struct auth_claims *claims, enum api_role who, const struct user *u,
       struct err *e)
{
	int r;

	if (claims->iat_ms <= u->tokens_valid_from)
		return AUTH_REVOKED;
	r = denylist_has(db, claims->jti, e);
	if (r != 0)
		return r < 0 ? r : AUTH_REVOKED;
	if (u->must_change && who != API_SELF && who != API_OPEN)
		return AUTH_MUST_CHANGE;
	if (who == API_ADMIN && strcmp(u->role, "admin") != 0)
		return AUTH_ROLE;
	return AUTH_OK;
}

int
auth_caller(struct db *db, const struct auth_claims *claims, enum api_role who, uint64_t now_ms,
	    struct api_caller *ret, struct err *e)
{
	struct user u;
	int r;

	memset(ret, 0, sizeof(*ret));
	memcpy(ret->uuid, claims->uuid, sizeof(ret->uuid));
	memcpy(ret->jti, claims->jti, sizeof(ret->jti));
	ret->exp_ms = claims->exp_ms;
	ret->iat_ms = claims->iat_ms;
	if (claims->exp_ms <= now_ms)
		return AUTH_EXPIRED;
	r = user_by_uuid(db, claims->uuid, &u, e);
	if (r != 1)
		return r < 0 ? r : AUTH_REVOKED;
	memcpy(ret->username, u.username, sizeof(u.username));
	memcpy(ret->role, u.role, sizeof(u.role));
	ret->is_admin = strcmp(u.role, "admin") == 0;
	ret->must_change = u.must_change;
	return decide(db, claims, who, &u, e);
}

static const struct sv *
find(const struct api_query_arg *query, size_t n, const char *key)
{
	for (size_t i = n; i-- > 0;)
		if (sv_eq(query[i].key, sv_from(key)))
			return &query[i].value;
	return NULL;
}

enum auth_result
auth_stream_begin(struct sv secret, struct ticket_table *tickets, struct sv authorization,
		  const struct api_query_arg *query, size_t nquery, uint64_t now_ms,
		  struct auth_way *ret_way)
{
	struct sv scheme, rest = authorization;
	struct auth_way way = {0};
	const struct sv *arg;
	enum auth_result a;
	int r;

	scheme = sv_cut(&rest, ' ');
	arg = find(query, nquery, "ticket");
	if (sv_eq_ci(scheme, SV("bearer"))) {
		a = auth_token_check(secret, auth_bearer(authorization), now_ms, &way.claims);
	} else if (arg) {
		r = ticket_reserve(tickets, *arg, now_ms, &way.claims);
		if (r < 0 && r != -EAGAIN)
			return AUTH_INVALID;
		/* Tickets have one length, and this one has it. */
		memcpy(way.ticket, arg->p, TICKET_SIZE - 1);
		way.stored = r == -EAGAIN;
		way.by_ticket = !way.stored;
		a = AUTH_OK;
	} else if ((arg = find(query, nquery, "token")) != NULL) {
		a = auth_token_check(secret, *arg, now_ms, &way.claims);
	} else {
		return AUTH_INVALID;
	}
	if (a == AUTH_OK)
		*ret_way = way;
	return a;
}

void
auth_stream_end(struct ticket_table *tickets, const struct auth_way *way, bool spent)
{
	if (!way->by_ticket)
		return;
	if (spent)
		ticket_spend(tickets, sv_from(way->ticket));
	else
		ticket_release(tickets, sv_from(way->ticket));
}

int
auth_hash(struct sv password, char ret_hash[AUTH_HASH_SIZE])
{
	return password_hash(password, ret_hash);
}

static atomic_ullong verifications;

uint64_t
auth_verifications(void)
{
	return atomic_load(&verifications);
}

bool
auth_verify(const char *hash, struct sv password)
{
	bool same = crypto_pwhash_str_verify(hash ? hash : dummy_hash, password.p ? password.p : "",
					     password.n) == 0;

	atomic_fetch_add(&verifications, 1);
	return hash && same;
}

int
auth_setup(void)
{
	unsigned char random[32];

	if (sodium_init() < 0)
		return -EIO;
	randombytes_buf(random, sizeof(random));
	return auth_hash((struct sv){(const char *)random, sizeof(random)}, dummy_hash);
}
