/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_TOKEN_CACHE_H
#define API_TOKEN_CACHE_H

/*
 * Remembers what verified tokens say, so that the signature of a token that comes with every
 * request is computed once. It decides nothing: expiry is compared on every call, and whether the
 * token still counts is auth_caller's question to the store. Only tokens that were verified get in,
 * so a forger can neither fill it nor find anything in it. Any thread may call.
 */

#include <stdint.h>

#include "api/auth.h"
#include "util/attr.h"
#include "util/sv.h"

/* Places; one token each, found by a keyed hash. A newer token takes the place of an older one. */
#define TOKEN_CACHE_SIZE 256
/* Longer tokens (ours have about 400 characters) are verified every time. */
#define TOKEN_CACHE_TEXT 640

struct token_cache;

/* NULL without memory. libsodium is initialised (auth_setup). */
struct token_cache *token_cache_new(void);
void token_cache_free(struct token_cache *c);
/* As auth_token_check, for tokens of one secret; `c` may be NULL. */
enum auth_result token_cache_check(struct token_cache *c, struct sv secret, struct sv token,
				   uint64_t now_ms, struct auth_claims *ret_claims);
/* How often a token was found. */
uint64_t token_cache_hits(struct token_cache *c);

#endif
