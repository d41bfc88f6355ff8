/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_USER_H
#define STORE_USER_H

/*
 * Users, and the tokens that were ended before their time. No change of a user is an event: instead
 * every function that ends somebody's tokens raises counters.access_epoch in the same transaction,
 * and gateways that see another value look at their open streams again.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/db.h"
#include "util/attr.h"
#include "util/err.h"
#include "util/id.h"

#define USER_NAME_SIZE (64 * 4 + 1) /* 64 characters of at most four bytes, and the terminator */
#define USER_HASH_SIZE 160

struct user {
	char uuid[ID_UUID_SIZE];
	char username[USER_NAME_SIZE];
	char password_hash[USER_HASH_SIZE];
	char role[8]; /* "admin" or "viewer" */
	bool must_change;
	uint64_t tokens_valid_from; /* tokens issued at or before this millisecond are refused */
	uint64_t created_at;
};

/* 1 and *ret_user, 0 when there is none, or a store failure. */
int user_by_name(struct db *db, const char *username, struct user *ret_user,
		 struct err *e) A_NODISCARD;
int user_by_uuid(struct db *db, const char *uuid, struct user *ret_user, struct err *e) A_NODISCARD;
/* The number of users, or a store failure. */
int64_t user_count(struct db *db, struct err *e) A_NODISCARD;
/* All users by name as an array of user_json. 0 or a store failure. */
int user_list(struct db *db, json_t **ret_array, struct err *e) A_NODISCARD;
/* {uuid, username, role, must_change_password}; NULL without memory. */
json_t *user_json(const struct user *u);

/*
 * The following need a write transaction. Insert: 0, -EEXIST (name taken), -EDQUOT (LIMIT_USERS
 * reached), or a store failure.
 */
int user_insert(struct db *db, const struct user *u, struct err *e) A_NODISCARD;
/*
 * Each of these ends the user's tokens: valid are only those issued after `now_ms`, and later than
 * any issued before. 1, 0 when there is no such user, or a store failure.
 */
int user_delete(struct db *db, const char *uuid, struct err *e) A_NODISCARD;
int user_set_role(struct db *db, const char *uuid, const char *role, uint64_t now_ms,
		  struct err *e) A_NODISCARD;
int user_set_password(struct db *db, const char *uuid, const char *hash, bool must_change,
		      uint64_t now_ms, struct err *e) A_NODISCARD;

/* End one token. 1, 0 when it had ended already, or a store failure. Needs a write transaction. */
int denylist_add(struct db *db, const char *jti, uint64_t expires_ms, struct err *e) A_NODISCARD;
/* 1: ended, 0: not, or a store failure. */
int denylist_has(struct db *db, const char *jti, struct err *e) A_NODISCARD;
/* Forget tokens that have expired anyway. Needs a write transaction. */
int denylist_trim(struct db *db, uint64_t now_ms, struct err *e) A_NODISCARD;

/* counters.access_epoch: another value means that somebody's access ended. */
int user_access_epoch(struct db *db, int64_t *ret_epoch, struct err *e) A_NODISCARD;

#endif
