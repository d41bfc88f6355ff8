/* SPDX-License-Identifier: Apache-2.0 */
/* Tickets: found by a keyed hash, and held in order of age, which is also the order in which they
 * end. */
#include "api/ticket.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "api/auth.h"
#include "util/list.h"

#define BUCKETS 1024

struct ticket {
	struct list by_text, by_user, by_age;
	struct auth_claims claims;
	uint64_t ends_ms;
	bool reserved;
	bool stays; /* a request held it when the table was shared */
	char text[TICKET_SIZE];
};

struct ticket_table {
	pthread_mutex_t lock;
	unsigned per_user, max, n;
	bool shared;
	uint64_t stored_until_ms; /* tickets made while it was shared may live */
	uint64_t dropped;
	unsigned char key[crypto_shorthash_KEYBYTES];
	struct list by_text[BUCKETS], by_user[BUCKETS];
	struct list by_age;
};

struct ticket_table *
ticket_table_new(unsigned per_user, unsigned max)
{
	struct ticket_table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->per_user = per_user;
	t->max = max;
	crypto_shorthash_keygen(t->key);
	for (size_t i = 0; i < BUCKETS; i++) {
		list_init(&t->by_text[i]);
		list_init(&t->by_user[i]);
	}
	list_init(&t->by_age);
	(void)pthread_mutex_init(&t->lock, NULL);
	return t;
}

static void
drop(struct ticket_table *t, struct ticket *k)
{
	list_unlink(&k->by_text);
	list_unlink(&k->by_user);
	list_unlink(&k->by_age);
	sodium_memzero(k, sizeof(*k));
	free(k);
	t->n--;
}

void
ticket_table_free(struct ticket_table *t)
{
	if (!t)
		return;
	LIST_FOR (it, &t->by_age)
		drop(t, CONTAINER_OF(it, struct ticket, by_age));
	(void)pthread_mutex_destroy(&t->lock);
	free(t);
}

static struct list *
bucket(struct ticket_table *t, struct list *buckets, const void *p, size_t n)
{
	unsigned char hash[crypto_shorthash_BYTES];
	uint64_t h;

	crypto_shorthash(hash, p, n, t->key);
	memcpy(&h, hash, sizeof(h));
	return &buckets[h % BUCKETS];
}

static void
expire(struct ticket_table *t, uint64_t now_ms)
{
	LIST_FOR (it, &t->by_age) {
		struct ticket *k = CONTAINER_OF(it, struct ticket, by_age);

		if (k->ends_ms > now_ms)
			return;
		/* A request holds it: whether it may still be used was decided when it was
		 * reserved. */
		if (!k->reserved)
			drop(t, k);
	}
}

static struct ticket *
find(struct ticket_table *t, struct sv text)
{
	if (text.n != TICKET_SIZE - 1)
		return NULL;
	LIST_FOR (it, bucket(t, t->by_text, text.p, text.n)) {
		struct ticket *k = CONTAINER_OF(it, struct ticket, by_text);

		if (sodium_memcmp(k->text, text.p, text.n) == 0)
			return k;
	}
	return NULL;
}

/* Make room for one more ticket of this user; the oldest that no request holds goes. */
static void
make_room(struct ticket_table *t, struct list *of_user, const char *uuid)
{
	struct ticket *oldest = NULL;
	unsigned n = 0;

	LIST_FOR (it, of_user) {
		struct ticket *k = CONTAINER_OF(it, struct ticket, by_user);

		if (strcmp(k->claims.uuid, uuid) != 0 || k->reserved)
			continue;
		if (!oldest)
			oldest = k;
		n++;
	}
	if (n < t->per_user && t->n < t->max)
		return;
	if (n < t->per_user)
		oldest = CONTAINER_OF(t->by_age.next, struct ticket, by_age);
	if (!oldest)
		return;
	drop(t, oldest);
	t->dropped++;
}

void
ticket_text(char ret_ticket[TICKET_SIZE])
{
	unsigned char random[32];

	id_random(random, sizeof(random));
	(void)sodium_bin2base64(ret_ticket, TICKET_SIZE, random, sizeof(random),
				sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

int
ticket_mint(struct ticket_table *t, const struct auth_claims *claims, uint64_t now_ms,
	    char ret_ticket[TICKET_SIZE])
{
	struct ticket *k = calloc(1, sizeof(*k));
	struct list *of_user;

	if (!k)
		return -ENOMEM;
	ticket_text(k->text);
	k->claims = *claims;
	k->ends_ms = now_ms + TICKET_LIFE_MS;
	(void)pthread_mutex_lock(&t->lock);
	if (t->shared) {
		(void)pthread_mutex_unlock(&t->lock);
		free(k);
		return -EAGAIN;
	}
	of_user = bucket(t, t->by_user, claims->uuid, strlen(claims->uuid));
	expire(t, now_ms);
	make_room(t, of_user, claims->uuid);
	list_append(bucket(t, t->by_text, k->text, TICKET_SIZE - 1), &k->by_text);
	list_append(of_user, &k->by_user);
	list_append(&t->by_age, &k->by_age);
	t->n++;
	memcpy(ret_ticket, k->text, TICKET_SIZE);
	(void)pthread_mutex_unlock(&t->lock);
	return 0;
}

int
ticket_reserve(struct ticket_table *t, struct sv ticket, uint64_t now_ms,
	       struct auth_claims *ret_claims)
{
	struct ticket *k;
	int r = -EACCES;

	(void)pthread_mutex_lock(&t->lock);
	expire(t, now_ms);
	k = find(t, ticket);
	if (k && t->shared && !k->stays)
		k = NULL;
	if (k && !k->reserved && k->ends_ms > now_ms) {
		k->reserved = true;
		*ret_claims = k->claims;
		r = 0;
	} else if (!k && ticket.n == TICKET_SIZE - 1 &&
		   (t->shared || now_ms < t->stored_until_ms)) {
		r = -EAGAIN;
	}
	(void)pthread_mutex_unlock(&t->lock);
	return r;
}

void
ticket_spend(struct ticket_table *t, struct sv ticket)
{
	struct ticket *k;

	(void)pthread_mutex_lock(&t->lock);
	k = find(t, ticket);
	if (k)
		drop(t, k);
	(void)pthread_mutex_unlock(&t->lock);
}

void
ticket_release(struct ticket_table *t, struct sv ticket)
{
	struct ticket *k;

	(void)pthread_mutex_lock(&t->lock);
	k = find(t, ticket);
	if (k)
		k->reserved = false;
	(void)pthread_mutex_unlock(&t->lock);
}

int
ticket_table_share(struct ticket_table *t, ticket_fn *fn, void *user, uint64_t now_ms)
{
	int r = 0;

	(void)pthread_mutex_lock(&t->lock);
	t->shared = true;
	expire(t, now_ms);
	LIST_FOR (it, &t->by_age) {
		struct ticket *k = CONTAINER_OF(it, struct ticket, by_age);

		k->stays = k->reserved;
		if (!k->stays && r == 0)
			r = fn(user, &k->claims, (struct sv){k->text, TICKET_SIZE - 1},
			       k->ends_ms - now_ms);
	}
	(void)pthread_mutex_unlock(&t->lock);
	return r;
}

void
ticket_table_shared(struct ticket_table *t)
{
	(void)pthread_mutex_lock(&t->lock);
	LIST_FOR (it, &t->by_age) {
		struct ticket *k = CONTAINER_OF(it, struct ticket, by_age);

		if (!k->stays)
			drop(t, k);
	}
	(void)pthread_mutex_unlock(&t->lock);
}

void
ticket_table_unshare(struct ticket_table *t, uint64_t now_ms)
{
	(void)pthread_mutex_lock(&t->lock);
	t->shared = false;
	t->stored_until_ms = now_ms + TICKET_LIFE_MS;
	(void)pthread_mutex_unlock(&t->lock);
}

void
ticket_note_dropped(struct ticket_table *t, uint64_t n)
{
	(void)pthread_mutex_lock(&t->lock);
	t->dropped += n;
	(void)pthread_mutex_unlock(&t->lock);
}

unsigned
ticket_count(struct ticket_table *t)
{
	unsigned n;

	(void)pthread_mutex_lock(&t->lock);
	n = t->n;
	(void)pthread_mutex_unlock(&t->lock);
	return n;
}

uint64_t
ticket_dropped(struct ticket_table *t)
{
	uint64_t n;

	(void)pthread_mutex_lock(&t->lock);
	n = t->dropped;
	(void)pthread_mutex_unlock(&t->lock);
	return n;
}
