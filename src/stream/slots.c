/* SPDX-License-Identifier: Apache-2.0 */
/* Slots of users: a small hash of those who have a stream open. */
#include "stream/slots.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/hash.h"

#define BUCKETS 256

struct slots {
	pthread_mutex_t lock;
	struct slot *bucket[BUCKETS];
	struct slot *dirty;
	bool shared;
	void (*on_drop)(void *user);
	void *on_drop_user;
	uint64_t refused;
	atomic_uint all; /* slots held */
};

int
slots_new(struct slots **ret_slots)
{
	struct slots *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	(void)pthread_mutex_init(&s->lock, NULL);
	*ret_slots = s;
	return 0;
}

void
slots_free(struct slots *s)
{
	if (!s)
		return;
	slots_unshare(s);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}

static size_t
hash(const char *text)
{
	return hash_fold(hash_text(text)) % BUCKETS;
}

static struct slot *
find(const struct slots *s, const char *user)
{
	struct slot *it = s->bucket[hash(user)];

	while (it && strcmp(it->user, user) != 0)
		it = it->next;
	return it;
}

static int
take(struct slots *s, const char *user, unsigned max, unsigned elsewhere, struct slot **ret_slot)
{
	struct slot *it = find(s, user);
	unsigned held = it ? it->held : 0;

	if (max > 0 && (elsewhere >= max || held >= max - elsewhere)) {
		s->refused++;
		return -ENOBUFS;
	}
	if (!it) {
		struct slot **bucket = &s->bucket[hash(user)];

		it = calloc(1, sizeof(*it));
		if (!it)
			return -ENOMEM;
		(void)snprintf(it->user, sizeof(it->user), "%s", user);
		it->of = s;
		it->next = *bucket;
		*bucket = it;
	}
	it->held++;
	atomic_fetch_add(&s->all, 1);
	*ret_slot = it;
	return 0;
}

int
slot_take(struct slots *s, const char *user, unsigned max, struct slot **ret_slot)
{
	int r;

	(void)pthread_mutex_lock(&s->lock);
	r = s->shared && max > 0 ? -EAGAIN : take(s, user, max, 0, ret_slot);
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

int
slot_take_shared(struct slots *s, const char *user, unsigned max, unsigned elsewhere,
		 struct slot **ret_slot)
{
	int r;

	(void)pthread_mutex_lock(&s->lock);
	r = take(s, user, max, elsewhere, ret_slot);
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

static void
unlink_slot(struct slots *s, struct slot *slot)
{
	struct slot **at;

	for (at = &s->bucket[hash(slot->user)]; *at != slot; at = &(*at)->next)
		;
	*at = slot->next;
	free(slot);
}

void
slot_drop(struct slot *slot)
{
	void (*on_drop)(void *user);
	void *on_drop_user;
	struct slots *s;

	if (!slot)
		return;
	s = slot->of;
	(void)pthread_mutex_lock(&s->lock);
	slot->held--;
	if (s->shared && !slot->dirty) {
		slot->dirty = true;
		slot->next_dirty = s->dirty;
		s->dirty = slot;
	}
	on_drop = slot->dirty ? s->on_drop : NULL;
	on_drop_user = s->on_drop_user;
	if (slot->held == 0 && !slot->dirty)
		unlink_slot(s, slot);
	atomic_fetch_sub(&s->all, 1);
	(void)pthread_mutex_unlock(&s->lock);
	if (on_drop)
		on_drop(on_drop_user);
}

/* Nothing is left to be told of him. */
static void
clean(struct slots *s, struct slot *slot)
{
	slot->dirty = false;
	if (slot->held == 0)
		unlink_slot(s, slot);
}

static void
clean_all(struct slots *s)
{
	struct slot *next;

	for (struct slot *it = s->dirty; it; it = next) {
		next = it->next_dirty;
		clean(s, it);
	}
	s->dirty = NULL;
}

int
slots_share(struct slots *s, slots_fn *fn, void *user, void (*on_drop)(void *), void *on_drop_user)
{
	int r = 0;

	(void)pthread_mutex_lock(&s->lock);
	s->shared = true;
	s->on_drop = on_drop;
	s->on_drop_user = on_drop_user;
	clean_all(s);
	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct slot *it = s->bucket[i]; it && r == 0; it = it->next)
			r = fn(user, it->user, it->held);
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

void
slots_unshare(struct slots *s)
{
	(void)pthread_mutex_lock(&s->lock);
	s->shared = false;
	s->on_drop = NULL;
	clean_all(s);
	(void)pthread_mutex_unlock(&s->lock);
}

int
slots_changed(struct slots *s, slots_fn *fn, void *user)
{
	int r = 0;

	(void)pthread_mutex_lock(&s->lock);
	for (struct slot *it = s->dirty; it && r == 0; it = it->next_dirty)
		r = fn(user, it->user, it->held);
	clean_all(s);
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

unsigned
slots_all(const struct slots *s)
{
	return atomic_load(&s->all);
}

uint64_t
slots_refused(struct slots *s)
{
	uint64_t n;

	(void)pthread_mutex_lock(&s->lock);
	n = s->refused;
	(void)pthread_mutex_unlock(&s->lock);
	return n;
}

unsigned
slots_held(struct slots *s, const char *user)
{
	const struct slot *it;
	unsigned n;

	(void)pthread_mutex_lock(&s->lock);
	it = find(s, user);
	n = it ? it->held : 0;
	(void)pthread_mutex_unlock(&s->lock);
	return n;
}
