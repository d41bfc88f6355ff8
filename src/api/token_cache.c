/* SPDX-License-Identifier: Apache-2.0 */
/* Verified tokens and their claims, in a table of fixed size. */
#include "api/token_cache.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

struct place {
	struct auth_claims claims;
	size_t n; /* 0: empty */
	char text[TOKEN_CACHE_TEXT];
};

struct token_cache {
	pthread_mutex_t lock;
	unsigned char key[crypto_shorthash_KEYBYTES];
	uint64_t hits;
	struct place places[TOKEN_CACHE_SIZE];
};

struct token_cache *
token_cache_new(void)
{
	struct token_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	(void)pthread_mutex_init(&c->lock, NULL);
	randombytes_buf(c->key, sizeof(c->key));
	return c;
}

void
token_cache_free(struct token_cache *c)
{
	if (!c)
		return;
	(void)pthread_mutex_destroy(&c->lock);
	sodium_memzero(c->places, sizeof(c->places));
	free(c);
}

/* Nobody outside knows the key, so nobody can choose which tokens share a place. */
static struct place *
place_of(struct token_cache *c, struct sv token)
{
	unsigned char hash[crypto_shorthash_BYTES];
	uint64_t h;

	(void)crypto_shorthash(hash, (const unsigned char *)token.p, token.n, c->key);
	memcpy(&h, hash, sizeof(h));
	return &c->places[h % TOKEN_CACHE_SIZE];
}

static bool
find(struct token_cache *c, struct sv token, struct auth_claims *ret)
{
	struct place *p = place_of(c, token);
	bool found;

	(void)pthread_mutex_lock(&c->lock);
	/* In constant time: how far a guess agrees with a good token must not show. */
	found = p->n == token.n && sodium_memcmp(p->text, token.p, token.n) == 0;
	if (found) {
		*ret = p->claims;
		c->hits++;
	}
	(void)pthread_mutex_unlock(&c->lock);
	return found;
}

static void
keep(struct token_cache *c, struct sv token, const struct auth_claims *claims)
{
	struct place *p = place_of(c, token);

	(void)pthread_mutex_lock(&c->lock);
	memcpy(p->text, token.p, token.n);
	p->n = token.n;
	p->claims = *claims;
	(void)pthread_mutex_unlock(&c->lock);
}

enum auth_result
token_cache_check(struct token_cache *c, struct sv secret, struct sv token, uint64_t now_ms,
		  struct auth_claims *ret_claims)
{
	bool fits = c && token.p && token.n > 0 && token.n <= TOKEN_CACHE_TEXT;
	struct auth_claims claims;
	enum auth_result a;

	if (fits && find(c, token, &claims)) {
		if (claims.exp_ms <= now_ms)
			return AUTH_EXPIRED;
		*ret_claims = claims;
		return AUTH_OK;
	}
	a = auth_token_check(secret, token, now_ms, ret_claims);
	if (fits && a == AUTH_OK)
		keep(c, token, ret_claims);
	return a;
}

uint64_t
token_cache_hits(struct token_cache *c)
{
	uint64_t n;

	(void)pthread_mutex_lock(&c->lock);
	n = c->hits;
	(void)pthread_mutex_unlock(&c->lock);
	return n;
}
