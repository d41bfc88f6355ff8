/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of users and of the denylist. */
#include "store/user.h"

#include <errno.h>
#include <string.h>

#include "store/rows.h"
#include "util/limits.h"

static int
read_user(struct db_stmt *st, struct user *ret_user)
{
	struct user u = {0};
	int r = sv_copy(db_col_sv(st, 0), u.uuid, sizeof(u.uuid));

	if (r == 0)
		r = sv_copy(db_col_sv(st, 1), u.username, sizeof(u.username));
	if (r == 0)
		r = sv_copy(db_col_sv(st, 2), u.password_hash, sizeof(u.password_hash));
	if (r == 0)
		r = sv_copy(db_col_sv(st, 3), u.role, sizeof(u.role));
	u.must_change = db_col_int(st, 4) != 0;
	u.tokens_valid_from = (uint64_t)db_col_int(st, 5);
	u.created_at = (uint64_t)db_col_int(st, 6);
	if (r == 0)
		*ret_user = u;
	return r;
}

static int
get(struct db *db, enum db_query q, const char *key, struct user *ret_user, struct err *e)
{
	struct db_stmt *st = db_query(db, q);
	int r;

	db_bind_text(st, 1, key);
	r = db_step(st, e);
	if (r == 1 && read_user(st, ret_user) < 0)
		r = err_set(e, -EIO, "a user row does not fit");
	db_reset(st);
	return r;
}

int
user_by_name(struct db *db, const char *username, struct user *ret_user, struct err *e)
{
	return get(db, Q_USER_BY_NAME, username, ret_user, e);
}

int
user_by_uuid(struct db *db, const char *uuid, struct user *ret_user, struct err *e)
{
	return get(db, Q_USER_BY_UUID, uuid, ret_user, e);
}

int64_t
user_count(struct db *db, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_USER_COUNT);
	int64_t n = db_step(st, e);

	if (n == 1)
		n = db_col_int(st, 0);
	db_reset(st);
	return n;
}

json_t *
user_json(const struct user *u)
{
	return json_pack("{s:s, s:s, s:s, s:b}", "uuid", u->uuid, "username", u->username, "role",
			 u->role, "must_change_password", (int)u->must_change);
}

static json_t *
row_json(struct db *db, struct db_stmt *st, struct err *e)
{
	struct user u;

	(void)db;
	(void)e;
	return read_user(st, &u) == 0 ? user_json(&u) : NULL;
}

int
user_list(struct db *db, json_t **ret_array, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_USER_LIST);

	db_bind_int(st, 1, LIMIT_USERS);
	return rows_collect(db, st, row_json, ret_array, e);
}

static int
end_tokens(struct db *db, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_COUNTER_ADD);
	int r;

	db_bind_int(st, 1, 1);
	db_bind_text(st, 2, "access_epoch");
	r = db_step(st, e);
	db_reset(st);
	/* Without it no gateway would notice. */
	if (r == 0)
		return err_set(e, -EIO, "no counter access_epoch");
	return r < 0 ? r : 0;
}

int
user_insert(struct db *db, const struct user *u, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_USER_INSERT);
	int64_t n = user_count(db, e);

	if (n < 0)
		return (int)n;
	if (n >= LIMIT_USERS)
		return err_set(e, -EDQUOT, "limit reached: users (%d)", LIMIT_USERS);
	db_bind_text(st, 1, u->uuid);
	db_bind_text(st, 2, u->username);
	db_bind_text(st, 3, u->password_hash);
	db_bind_text(st, 4, u->role);
	db_bind_int(st, 5, u->must_change);
	db_bind_int(st, 6, (int64_t)u->tokens_valid_from);
	db_bind_int(st, 7, (int64_t)u->created_at);
	return db_exec(st, NULL, e);
}

/* Run the update that is bound; when a row changed, tokens ended. */
static int
changed(struct db *db, struct db_stmt *st, struct err *e)
{
	int64_t n = 0;
	int r = db_exec(st, &n, e);

	if (r < 0 || n == 0)
		return r;
	r = end_tokens(db, e);
	return r < 0 ? r : 1;
}

/* The clock may have been set back, and a token may have been issued a millisecond ahead of it. */
static int
valid_from(struct db *db, const char *uuid, uint64_t now_ms, uint64_t *ret_from, struct err *e)
{
	struct user u = {0};
	int r = user_by_uuid(db, uuid, &u, e);

	if (r == 1)
		*ret_from = now_ms > u.tokens_valid_from ? now_ms : u.tokens_valid_from + 1;
	return r;
}

int
user_delete(struct db *db, const char *uuid, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_USER_DELETE);

	db_bind_text(st, 1, uuid);
	return changed(db, st, e);
}

int
user_set_role(struct db *db, const char *uuid, const char *role, uint64_t now_ms, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_USER_SET_ROLE);
	uint64_t from;
	int r = valid_from(db, uuid, now_ms, &from, e);

	if (r != 1)
		return r;
	db_bind_text(st, 1, role);
	db_bind_int(st, 2, (int64_t)from);
	db_bind_text(st, 3, uuid);
	return changed(db, st, e);
}

int
user_set_password(struct db *db, const char *uuid, const char *hash, bool must_change,
		  uint64_t now_ms, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_USER_SET_PASSWORD);
	uint64_t from;
	int r = valid_from(db, uuid, now_ms, &from, e);

	if (r != 1)
		return r;
	db_bind_text(st, 1, hash);
	db_bind_int(st, 2, must_change);
	db_bind_int(st, 3, (int64_t)from);
	db_bind_text(st, 4, uuid);
	return changed(db, st, e);
}

int
denylist_add(struct db *db, const char *jti, uint64_t expires_ms, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_DENYLIST_ADD);

	db_bind_text(st, 1, jti);
	db_bind_int(st, 2, (int64_t)expires_ms);
	return changed(db, st, e);
}

int
denylist_has(struct db *db, const char *jti, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_DENYLIST_HAS);
	int r;

	db_bind_text(st, 1, jti);
	r = db_step(st, e);
	db_reset(st);
	return r;
}

int
denylist_trim(struct db *db, uint64_t now_ms, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_DENYLIST_TRIM);

	db_bind_int(st, 1, (int64_t)now_ms);
	return db_exec(st, NULL, e);
}

int
user_access_epoch(struct db *db, int64_t *ret_epoch, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_COUNTER_GET);
	int r;

	db_bind_text(st, 1, "access_epoch");
	r = db_step(st, e);
	if (r == 1)
		*ret_epoch = db_col_int(st, 0);
	else if (r == 0)
		r = err_set(e, -EIO, "no counter access_epoch");
	db_reset(st);
	return r < 0 ? r : 0;
}
