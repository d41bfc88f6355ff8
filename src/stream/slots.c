/* SPDX-License-Identifier: Apache-2.0 */
/* Slots of users: a small hash of those who have a stream open. */
#include "stream/slots.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 256

struct slots {
	struct slot *bucket[BUCKETS];
	uint64_t refused;
};

int
slots_new(struct slots **ret_slots)
{
	struct slots *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	*ret_slots = s;
	return 0;
}

void
slots_free(struct slots *s)
{
	free(s);
}

static unsigned
hash(const char *text)
{
	uint32_t h = 2166136261u;

	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 16777619u;
	return (h ^ h >> 16) % BUCKETS;
}

static struct slot *
find(const struct slots *s, const char *user)
{
	struct slot *it = s->bucket[hash(user)];

	while (it && strcmp(it->user, user) != 0)
		it = it->next;
	return it;
}

int
slot_take(struct slots *s, const char *user, unsigned max, struct slot **ret_slot)
{
	struct slot *it = find(s, user);

	if (it && max > 0 && it->held >= max) {
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
	*ret_slot = it;
	return 0;
}

void
slot_drop(struct slot *slot)
{
	struct slot **at;

	if (!slot || --slot->held > 0)
		return;
	for (at = &slot->of->bucket[hash(slot->user)]; *at != slot; at = &(*at)->next)
		;
	*at = slot->next;
	free(slot);
}

uint64_t
slots_refused(const struct slots *s)
{
	return s->refused;
}

unsigned
slots_held(const struct slots *s, const char *user)
{
	const struct slot *it = find(s, user);

	return it ? it->held : 0;
}
