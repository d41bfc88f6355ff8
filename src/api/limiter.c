/* SPDX-License-Identifier: Apache-2.0 */
/* Fixed windows: what a rule says, and the decision. Keys are kept as a 128-bit hash, so a long
 * name takes no room. */
#include "api/limiter.h"

#include <arpa/inet.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "store/rate.h"
#include "util/id.h"

#define KEY_BYTES 16

static const struct {
	const char *name;
	unsigned max;
	uint64_t window_ms;
	const char *words;
} rules[LIMITER_RULE_COUNT] = {
#define RULE(name, max, window_ms, words) [LIMITER_##name] = {#name, max, window_ms, words},
	LIMITER_RULES(RULE)
#undef RULE
};

const char *
limiter_words(enum limiter_rule rule)
{
	return rules[rule].words;
}

static unsigned
wait_of(const struct rate_window *w, uint64_t now_ms)
{
	return (unsigned)((w->closes_ms - now_ms + 999) / 1000);
}

static int
count(struct limiter *l, struct db *db, enum limiter_rule rule, const char *key, uint64_t now_ms,
      struct rate_window *ret, struct err *e)
{
	int r = db_begin_write(db, e);

	if (r == 0)
		r = rate_hit(db, rules[rule].name, key, now_ms, rules[rule].window_ms, ret, e);
	if (r == 0 && ret->n == 1 && atomic_fetch_add(&l->opened, 1) % LIMITER_LOOK_EVERY == 0)
		r = limiter_tidy(l, db, now_ms, e);
	if (r == 0)
		r = db_commit(db, e);
	db_rollback(db);
	return r;
}

int
limiter_hit(struct limiter *l, struct db *db, enum limiter_rule rule, struct sv key,
	    uint64_t now_ms, unsigned *ret_wait_s, struct err *e)
{
	unsigned char hash[KEY_BYTES];
	char text[2 * KEY_BYTES + 1];
	struct rate_window w = {0};
	int r;

	(void)crypto_generichash(hash, sizeof(hash), (const unsigned char *)key.p, key.n, NULL, 0);
	id_hex(hash, sizeof(hash), text);
	r = rate_get(db, rules[rule].name, text, now_ms, rules[rule].window_ms, &w, e);
	if (r == 0 || (r == 1 && w.n < rules[rule].max))
		r = count(l, db, rule, text, now_ms, &w, e);
	else if (r == 1)
		w.n++; /* as if it had been counted */
	if (r < 0)
		return r;
	*ret_wait_s = w.n > rules[rule].max ? wait_of(&w, now_ms) : 0;
	return 0;
}

int
limiter_tidy(struct limiter *l, struct db *db, uint64_t now_ms, struct err *e)
{
	int64_t forgotten = 0;
	int r = rate_trim(db, now_ms, l->max, &forgotten, e);

	if (r == 0)
		atomic_fetch_add(&l->forgotten, (unsigned long long)forgotten);
	return r;
}

void
limiter_address(struct sv peer, char ret_key[LIMITER_ADDRESS_SIZE])
{
	unsigned char address[16];
	char text[INET6_ADDRSTRLEN];

	if (sv_copy(peer, text, sizeof(text)) < 0)
		text[0] = '\0';
	if (inet_pton(AF_INET6, text, address) == 1) {
		memset(address + 8, 0, 8);
		(void)inet_ntop(AF_INET6, address, text, sizeof(text));
		(void)snprintf(ret_key, LIMITER_ADDRESS_SIZE, "%s/64", text);
	} else {
		(void)snprintf(ret_key, LIMITER_ADDRESS_SIZE, "%s", text);
	}
}
