/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_AUTH_H
#define API_AUTH_H

/*
 * Who is calling. Two steps, so that the loop never waits and a forged token never reaches the
 * store:
 *  1. on the loop: auth_bearer or auth_stream_begin finds the credential, auth_token_check verifies
 * signature and claims (pure);
 *  2. on a store thread: auth_caller looks at the user row, the denylist and the role.
 * An open stream keeps the claims and repeats step 2 whenever access may have ended.
 */

#include <stdbool.h>
#include <stdint.h>

#include "api/api.h"
#include "api/ticket.h"
#include "store/db.h"
#include "util/attr.h"
#include "util/err.h"
#include "util/id.h"
#include "util/password.h"
#include "util/sv.h"

#define AUTH_TOKEN_MAX 4096
#define AUTH_HASH_SIZE PASSWORD_HASH_SIZE

/* What a token says; a ticket carries those of the token that minted it. */
struct auth_claims {
	char uuid[ID_UUID_SIZE];
	char jti[ID_HEX32_SIZE];
	uint64_t iat_ms;
	uint64_t exp_ms;
};

enum auth_result {
	AUTH_OK,
	AUTH_INVALID, /* 401: no credential, or one that is malformed, forged or used */
	AUTH_EXPIRED, /* 401 */
	AUTH_REVOKED, /* 401: logged out, or older than the user's tokens_valid_from, or the user is
			 gone */
	AUTH_MUST_CHANGE, /* 403 */
	AUTH_ROLE,	  /* 403 */
};

/* 200, 401 or 403. */
int auth_status(enum auth_result a);
/* The contract's `detail` of a refusal. */
const char *auth_detail(enum auth_result a);

/* The token of an `Authorization: Bearer <token>` value (scheme in any case, one blank); p is NULL
 * when it is none. */
struct sv auth_bearer(struct sv header);
/* Verify signature and claims. AUTH_OK and *ret_claims, AUTH_INVALID or AUTH_EXPIRED. */
enum auth_result auth_token_check(struct sv secret, struct sv token, uint64_t now_ms,
				  struct auth_claims *ret_claims);
/* A signed token, heap; NULL without memory. exp_ms is rounded down to a second. */
char *auth_token_new(struct sv secret, const struct auth_claims *claims);

/*
 * Store thread: look the user up and compare with what the route demands. *ret is filled in as far
 * as the row tells (so ret->role is the role now, also when the answer is AUTH_REVOKED); an enum
 * auth_result, or a negative errno of the store.
 */
int auth_caller(struct db *db, const struct auth_claims *claims, enum api_role who, uint64_t now_ms,
		struct api_caller *ret, struct err *e) A_NODISCARD;

/* The credential of a stream request: the token's claims, or a ticket that is reserved for this
 * request. */
struct auth_way {
	struct auth_claims claims;
	bool by_ticket; /* of the table, reserved */
	bool stored;	/* a ticket that only the store may know: there are no claims yet */
	char ticket[TICKET_SIZE];
};

/*
 * Loop: find the credential of a stream request by the rule of contract 3.2 (Bearer, then ?ticket=,
 * then ?token=). A ticket is reserved: the caller must then call auth_stream_end once, spent only
 * when the stream starts. A ticket that is `stored` is the caller's to take (api/peers.h). AUTH_OK,
 * AUTH_INVALID or AUTH_EXPIRED.
 */
enum auth_result auth_stream_begin(struct sv secret, struct ticket_table *tickets,
				   struct sv authorization, const struct api_query_arg *query,
				   size_t nquery, uint64_t now_ms, struct auth_way *ret_way);
/* The stream starts (spent) or the request was refused (the ticket is as before). Without a ticket
 * it does nothing. */
void auth_stream_end(struct ticket_table *tickets, const struct auth_way *way, bool spent);

/* password_hash: takes a tenth of a second, so never on the loop. 0 or a negative errno. */
int auth_hash(struct sv password, char ret_hash[AUTH_HASH_SIZE]) A_NODISCARD;
/* Whether it is the password. With a NULL hash the work of one check is done all the same and the
 * answer is no. */
bool auth_verify(const char *hash, struct sv password);
/* How often auth_verify has done the work of a check. Any thread. */
uint64_t auth_verifications(void);
/* Before any other function of this module: libsodium and the hash that unknown users are compared
 * with. 0 or a negative errno. */
int auth_setup(void) A_NODISCARD;

#endif
