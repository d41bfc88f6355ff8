/* SPDX-License-Identifier: Apache-2.0 */
/* Login, logout, one's own password, tickets for streams. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/auth.h"
#include "api/peers.h"
#include "api/state.h"
#include "api/user.h"
#include "store/user.h"
#include "util/clock.h"

api_handler_fn h_auth_login, h_auth_change_password, h_auth_logout, h_auth_sse_ticket;

static struct sv
text_of(const struct api_req *req, const char *key)
{
	const json_t *value = req->body ? json_object_get(req->body, key) : NULL;

	return (struct sv){json_string_value(value), json_string_length(value)};
}

bool
user_password_good(struct sv password)
{
	return password_good(password);
}

bool
user_name_good(struct sv name)
{
	size_t n = api_characters(name);

	if (n < 1 || n > 64 || !sv_utf8(name) || name.p[0] == ' ' || name.p[name.n - 1] == ' ')
		return false;
	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];

		/* C0, DEL, and C1 (U+0080..U+009F), which in UTF-8 is c2 80..9f */
		if (c < 0x20 || c == 0x7f ||
		    (c == 0xc2 && i + 1 < name.n && (unsigned char)name.p[i + 1] < 0xa0))
			return false;
	}
	return true;
}

/*
 * The password is right: issue a token. Under the write lock, so that a change of password that is
 * under way either sees this token's issue time behind it or is seen here.
 */
static int
issue(struct api_ctx *cx, const struct user *seen, struct auth_claims *ret_claims, bool *ret_must)
{
	struct auth_claims c = {0};
	struct user u;
	int r = db_begin_write(cx->db, cx->e);

	if (r < 0)
		return r;
	r = user_by_uuid(cx->db, seen->uuid, &u, cx->e);
	db_rollback(cx->db);
	if (r < 0)
		return r;
	if (r == 0 || strcmp(u.password_hash, seen->password_hash) != 0)
		return 0;
	memcpy(c.uuid, u.uuid, sizeof(c.uuid));
	id_hex32(c.jti);
	c.iat_ms = clock_unix_ms();
	if (c.iat_ms <= u.tokens_valid_from)
		c.iat_ms = u.tokens_valid_from + 1;
	c.exp_ms = (c.iat_ms / 1000 + cx->conf->jwt_exp_minutes * 60) * 1000;
	*ret_claims = c;
	*ret_must = u.must_change;
	return 1;
}

int
h_auth_login(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	static const struct api_field fields[] = {
		{.name = "username", .kind = API_STR, .required = true, .min = 1, .max = 64},
		{.name = "password", .kind = API_STR, .required = true},
	};
	struct sv name = text_of(req, "username"), password = text_of(req, "password");
	struct api_state *state = cx->state;
	struct auth_claims claims;
	char username[USER_NAME_SIZE];
	struct user u;
	bool must = false;
	char *token;
	int r;

	api_check_body(req, res, fields, ARRAY_LEN(fields));
	if (password.p && (password.n < 1 || password.n > PASSWORD_MAX))
		api_bad_field(res, "password", "expected 1 to %d bytes", PASSWORD_MAX);
	if (api_bad(res))
		return 0;
	r = api_limited(state, cx->db, LIMITER_LOGIN_USER, name, res, cx->e);
	if (r != 0)
		return r < 0 ? r : 0;
	r = sv_copy(name, username, sizeof(username)) < 0
		    ? 0
		    : user_by_name(cx->db, username, &u, cx->e);
	if (r < 0)
		return r;
	if (!auth_verify(r == 1 ? u.password_hash : NULL, password))
		return api_fail(res, 401, "Incorrect username or password");
	r = issue(cx, &u, &claims, &must);
	if (r <= 0)
		return r < 0 ? r : api_fail(res, 401, "Incorrect username or password");
	token = auth_token_new(state->secret, &claims);
	if (!token)
		return -ENOMEM;
	r = api_ok(res, 200,
		   json_pack("{s:s, s:s, s:b}", "access_token", token, "token_type", "bearer",
			     "must_change_password", (int)must));
	free(token);
	return r;
}

/* Hash outside the transaction, write inside it, provided that nobody else changed the password
 * meanwhile. */
static int
replace(struct api_ctx *cx, const struct user *seen, struct sv password, struct api_res *res)
{
	char hash[AUTH_HASH_SIZE];
	struct user u;
	int r = auth_hash(password, hash);

	if (r < 0)
		return r;
	r = db_begin_write(cx->db, cx->e);
	if (r < 0)
		return r;
	r = user_by_uuid(cx->db, seen->uuid, &u, cx->e);
	if (r < 0)
		return r;
	if (r == 0 || strcmp(u.password_hash, seen->password_hash) != 0)
		return api_fail(res, 401, "Incorrect old password");
	r = user_set_password(cx->db, u.uuid, hash, false, clock_unix_ms(), cx->e);
	if (r >= 0)
		r = db_commit(cx->db, cx->e);
	if (r < 0)
		return r;
	res->access_changed = true;
	return api_ok(res, 200, json_pack("{s:s}", "message", "Password updated successfully"));
}

int
h_auth_change_password(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	static const struct api_field fields[] = {
		{.name = "old_password", .kind = API_STR, .required = true},
		{.name = "new_password", .kind = API_STR, .required = true},
	};
	struct sv old = text_of(req, "old_password"), fresh = text_of(req, "new_password");
	struct user u;
	int r;

	api_check_body(req, res, fields, ARRAY_LEN(fields));
	if (fresh.p && !user_password_good(fresh))
		api_bad_field(res, "new_password", "expected %d to %d bytes", PASSWORD_MIN,
			      PASSWORD_MAX);
	else if (fresh.p && old.p && sv_eq(fresh, old))
		api_bad_field(res, "new_password", "must differ from the old password");
	if (api_bad(res))
		return 0;
	r = user_by_uuid(cx->db, req->caller.uuid, &u, cx->e);
	if (r < 0)
		return r;
	if (old.n > PASSWORD_MAX || !auth_verify(r == 1 ? u.password_hash : NULL, old))
		return api_fail(res, 401, "Incorrect old password");
	return replace(cx, &u, fresh, res);
}

int
h_auth_logout(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	int r;

	api_check_body(req, res, NULL, 0);
	if (api_bad(res))
		return 0;
	r = denylist_add(cx->db, req->caller.jti, req->caller.exp_ms, cx->e);
	if (r < 0)
		return r;
	if (r == 0)
		return api_fail(res, 401, "%s", auth_detail(AUTH_REVOKED));
	res->access_changed = true;
	return api_ok(res, 200, json_pack("{s:s}", "message", "Logged out"));
}

int
h_auth_sse_ticket(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	struct api_state *state = cx->state;
	struct auth_claims claims = {.iat_ms = req->caller.iat_ms, .exp_ms = req->caller.exp_ms};
	char ticket[TICKET_SIZE];
	int r;

	api_check_body(req, res, NULL, 0);
	if (api_bad(res))
		return 0;
	memcpy(claims.uuid, req->caller.uuid, sizeof(claims.uuid));
	memcpy(claims.jti, req->caller.jti, sizeof(claims.jti));
	r = ticket_mint(state->tickets, &claims, req->now_ms, ticket);
	if (r == -EAGAIN)
		r = peers_ticket_mint(state->peers, cx->db, &claims, req->now_ms, ticket, cx->e);
	if (r < 0)
		return r;
	return api_ok(
		res, 200,
		json_pack("{s:s, s:i}", "ticket", ticket, "expires_in", TICKET_LIFE_MS / 1000));
}
