/* SPDX-License-Identifier: Apache-2.0 */
/* Fixed windows in a table with a ceiling; keys are kept as a keyed 128-bit hash, so a long name
 * costs no memory. */
#include "api/limiter.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "util/list.h"

#define BUCKETS 4096

struct window {
	struct list by_key, by_age;
	unsigned char key[16];
	enum limiter_rule rule;
	uint64_t opened_ms;
	unsigned n;
};

struct limiter {
	pthread_mutex_t lock;
	unsigned max, n;
	uint64_t forgotten;
	unsigned char secret[crypto_generichash_KEYBYTES];
	struct list by_key[BUCKETS];
	struct list by_age[LIMITER_RULE_COUNT]; /* of one rule: in the order in which they close */
};

static const struct {
	unsigned max;
	uint64_t window_ms;
	const char *words;
} rules[LIMITER_RULE_COUNT] = {
#define RULE(name, max, window_ms, words) [LIMITER_##name] = {max, window_ms, words},
	LIMITER_RULES(RULE)
#undef RULE
};

const char *
limiter_words(enum limiter_rule rule)
{
	return rules[rule].words;
}

struct limiter *
limiter_new(unsigned max)
{
	struct limiter *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->max = max;
	crypto_generichash_keygen(l->secret);
	for (size_t i = 0; i < BUCKETS; i++)
		list_init(&l->by_key[i]);
	for (size_t i = 0; i < LIMITER_RULE_COUNT; i++)
		list_init(&l->by_age[i]);
	(void)pthread_mutex_init(&l->lock, NULL);
	return l;
}

static void
drop(struct limiter *l, struct window *w)
{
	list_unlink(&w->by_key);
	list_unlink(&w->by_age);
	free(w);
	l->n--;
}

void
limiter_free(struct limiter *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < LIMITER_RULE_COUNT; i++)
		LIST_FOR (it, &l->by_age[i])
			drop(l, CONTAINER_OF(it, struct window, by_age));
	(void)pthread_mutex_destroy(&l->lock);
	free(l);
}

static void
close_old(struct limiter *l, uint64_t now_ms)
{
	for (size_t i = 0; i < LIMITER_RULE_COUNT; i++)
		LIST_FOR (it, &l->by_age[i]) {
			struct window *w = CONTAINER_OF(it, struct window, by_age);

			if (now_ms < w->opened_ms + rules[i].window_ms)
				break;
			drop(l, w);
		}
}

/* The window that was opened first goes. */
static void
forget_oldest(struct limiter *l)
{
	struct window *oldest = NULL;

	for (size_t i = 0; i < LIMITER_RULE_COUNT; i++) {
		struct window *w = CONTAINER_OF(l->by_age[i].next, struct window, by_age);

		if (!list_empty(&l->by_age[i]) && (!oldest || w->opened_ms < oldest->opened_ms))
			oldest = w;
	}
	if (oldest) {
		drop(l, oldest);
		l->forgotten++;
	}
}

static struct window *
open_window(struct limiter *l, struct list *bucket, enum limiter_rule rule,
	    const unsigned char key[16], uint64_t now_ms)
{
	struct window *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	if (l->n >= l->max)
		forget_oldest(l);
	memcpy(w->key, key, sizeof(w->key));
	w->rule = rule;
	w->opened_ms = now_ms;
	list_append(bucket, &w->by_key);
	list_append(&l->by_age[rule], &w->by_age);
	l->n++;
	return w;
}

static unsigned
hit(struct limiter *l, enum limiter_rule rule, const unsigned char key[16], uint64_t now_ms)
{
	struct window *w = NULL;
	struct list *bucket;
	uint64_t h, left_ms;

	memcpy(&h, key, sizeof(h));
	bucket = &l->by_key[h % BUCKETS];
	close_old(l, now_ms);
	LIST_FOR (it, bucket) {
		struct window *at = CONTAINER_OF(it, struct window, by_key);

		if (at->rule == rule && memcmp(at->key, key, 16) == 0)
			w = at;
	}
	if (!w)
		w = open_window(l, bucket, rule, key, now_ms);
	/* Without memory nobody gets in: a limit that can be switched off by pressure is none. */
	if (!w)
		return 1;
	if (w->n < rules[rule].max) {
		w->n++;
		return 0;
	}
	left_ms = w->opened_ms + rules[rule].window_ms - now_ms;
	return (unsigned)((left_ms + 999) / 1000);
}

unsigned
limiter_hit(struct limiter *l, enum limiter_rule rule, struct sv key, uint64_t now_ms)
{
	unsigned char hash[crypto_generichash_BYTES];
	unsigned r;

	(void)crypto_generichash(hash, sizeof(hash), (const unsigned char *)key.p, key.n, l->secret,
				 sizeof(l->secret));
	(void)pthread_mutex_lock(&l->lock);
	r = hit(l, rule, hash, now_ms);
	(void)pthread_mutex_unlock(&l->lock);
	return r;
}

uint64_t
limiter_forgotten(struct limiter *l)
{
	uint64_t n;

	(void)pthread_mutex_lock(&l->lock);
	n = l->forgotten;
	(void)pthread_mutex_unlock(&l->lock);
	return n;
}
