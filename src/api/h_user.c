/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration a caller may see, and the users. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/auth.h"
#include "api/health.h"
#include "api/state.h"
#include "api/user.h"
#include "store/user.h"
#include "util/clock.h"

api_handler_fn h_user_config, h_user_create, h_user_delete, h_user_reset_password, h_user_set_role;

static const char *const role_words[] = {"admin", "viewer", NULL};

int
h_user_config(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	const struct api_caller *who = &req->caller;
	json_t *users = NULL, *body;
	char driver[16];
	int r = health_driver(cx, driver);

	if (r == 0 && who->is_admin)
		r = user_list(cx->db, &users, cx->e);
	if (r < 0)
		return r;
	body = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I}", "uuid", who->uuid, "username",
			 who->username, "role", who->role, "version", DECNET_VERSION, "net_driver",
			 driver, "pool", cx->conf->pool, "sse_max_per_user",
			 (json_int_t)cx->conf->sse_max_per_user);
	if (users && (!body || json_object_set_new(body, "users", users) < 0))
		return -ENOMEM;
	return api_ok(res, 200, body);
}

static void
check_password(const struct api_req *req, struct api_res *res, const char *key,
	       struct sv *ret_password)
{
	const json_t *value = req->body ? json_object_get(req->body, key) : NULL;

	*ret_password = (struct sv){json_string_value(value), json_string_length(value)};
	if (ret_password->p && !user_password_good(*ret_password))
		api_bad_field(res, key, "expected %d to %d bytes", PASSWORD_MIN, PASSWORD_MAX);
}

/* A new user as the body describes it; fields that are wrong are noted. */
static void
read_user(const struct api_req *req, struct api_res *res, struct user *u, struct sv *ret_password)
{
	static const struct api_field fields[] = {
		{.name = "username", .kind = API_STR, .required = true, .min = 1, .max = 64},
		{.name = "password", .kind = API_STR, .required = true},
		{.name = "role", .kind = API_STR, .words = role_words},
	};
	const json_t *name = json_object_get(req->body, "username");
	struct sv view = {json_string_value(name), json_string_length(name)};
	const char *role = json_string_value(json_object_get(req->body, "role"));

	api_check_body(req, res, fields, ARRAY_LEN(fields));
	check_password(req, res, "password", ret_password);
	if (view.n && api_characters(view) <= 64 &&
	    (!user_name_good(view) || sv_copy(view, u->username, sizeof(u->username)) < 0))
		api_bad_field(res, "username",
			      "control characters and outer blanks are not allowed");
	(void)snprintf(u->role, sizeof(u->role), "%s", role ? role : "viewer");
	u->must_change = true;
}

int
h_user_create(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	struct user u = {0}, other;
	struct api_caller still;
	struct auth_claims claims = {.iat_ms = req->caller.iat_ms, .exp_ms = req->caller.exp_ms};
	struct sv password;
	int r;

	read_user(req, res, &u, &password);
	if (api_bad(res))
		return 0;
	r = auth_hash(password, u.password_hash);
	if (r < 0)
		return r;
	id_uuid7(u.uuid);
	u.created_at = clock_unix_ms();
	r = db_begin_write(cx->db, cx->e);
	if (r < 0)
		return r;
	/* The hash took a while: is the caller still who may? */
	memcpy(claims.uuid, req->caller.uuid, sizeof(claims.uuid));
	memcpy(claims.jti, req->caller.jti, sizeof(claims.jti));
	r = auth_caller(cx->db, &claims, API_ADMIN, req->now_ms, &still, cx->e);
	if (r != AUTH_OK)
		return r < 0 ? r
			     : api_fail(res, auth_status((enum auth_result)r), "%s",
					auth_detail((enum auth_result)r));
	r = user_by_name(cx->db, u.username, &other, cx->e);
	if (r != 0)
		return r < 0 ? r : api_fail(res, 409, "Username already exists");
	r = user_insert(cx->db, &u, cx->e);
	if (r == -EDQUOT)
		return api_fail(res, 409, "%s", err_text(cx->e));
	if (r == 0)
		r = db_commit(cx->db, cx->e);
	return r < 0 ? r : api_ok(res, 200, user_json(&u));
}

static bool
is_caller(const struct api_req *req, const char *uuid)
{
	return uuid && strcmp(uuid, req->caller.uuid) == 0;
}

int
h_user_delete(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	const char *uuid = api_param_uuid(req, 0);
	int r;

	if (is_caller(req, uuid))
		return api_fail(res, 403, "Cannot delete your own account");
	r = uuid ? user_delete(cx->db, uuid, cx->e) : 0;
	if (r < 0)
		return r;
	if (r == 0)
		return api_fail(res, 404, "User not found");
	res->access_changed = true;
	return api_ok(res, 200, json_pack("{s:s}", "message", "User deleted"));
}

int
h_user_set_role(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	static const struct api_field fields[] = {
		{.name = "role", .kind = API_STR, .required = true, .words = role_words},
	};
	const char *uuid = api_param_uuid(req, 0);
	int r;

	api_check_body(req, res, fields, ARRAY_LEN(fields));
	if (api_bad(res))
		return 0;
	if (is_caller(req, uuid))
		return api_fail(res, 403, "Cannot change your own role");
	r = uuid ? user_set_role(cx->db, uuid,
				 json_string_value(json_object_get(req->body, "role")),
				 clock_unix_ms(), cx->e)
		 : 0;
	if (r < 0)
		return r;
	if (r == 0)
		return api_fail(res, 404, "User not found");
	res->access_changed = true;
	return api_ok(res, 200, json_pack("{s:s}", "message", "User role updated"));
}

int
h_user_reset_password(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	static const struct api_field fields[] = {
		{.name = "new_password", .kind = API_STR, .required = true},
	};
	const char *uuid = api_param_uuid(req, 0);
	char hash[AUTH_HASH_SIZE];
	struct sv password;
	int r;

	api_check_body(req, res, fields, ARRAY_LEN(fields));
	check_password(req, res, "new_password", &password);
	if (api_bad(res))
		return 0;
	r = auth_hash(password, hash);
	if (r == 0)
		r = db_begin_write(cx->db, cx->e);
	if (r == 0 && uuid)
		r = user_set_password(cx->db, uuid, hash, true, clock_unix_ms(), cx->e);
	if (r < 0)
		return r;
	if (r == 0)
		return api_fail(res, 404, "User not found");
	r = db_commit(cx->db, cx->e);
	if (r < 0)
		return r;
	res->access_changed = true;
	return api_ok(res, 200, json_pack("{s:s}", "message", "Password reset successfully"));
}
