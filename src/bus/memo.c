/* SPDX-License-Identifier: Apache-2.0 */
/* A table without chains: a subject may stand in one of two places. Forgetting is counting on. */
#include "bus/memo.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bus/topic.h"
#include "util/limits.h"

#define MEMO_BYTES (LIMIT_BUS_MEMO * sizeof(struct bus_memo_entry))

_Static_assert(sizeof(struct bus_memo_entry) == 128, "entries do not share lines of the cache");
_Static_assert((LIMIT_BUS_MEMO & (LIMIT_BUS_MEMO - 1)) == 0, "places are taken by masks");

struct bus_memo {
	struct bus_memo_entry *entries;
	uint64_t seed;
	uint32_t age; /* never 0, as of an entry that was not used yet */
};

struct bus_memo *
bus_memo_new(uint64_t seed)
{
	struct bus_memo *m = calloc(1, sizeof(*m));
	void *at;

	if (!m)
		return NULL;
	/* Mapped and not allocated: zeroed, on page bounds, and no memory until it is used. */
	at = mmap(NULL, MEMO_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED) {
		free(m);
		return NULL;
	}
	m->entries = at;
	m->seed = seed;
	m->age = 1;
	return m;
}

void
bus_memo_free(struct bus_memo *m)
{
	if (!m)
		return;
	(void)munmap(m->entries, MEMO_BYTES);
	free(m);
}

/* The entry if it is of this subject and of this age. */
static bool
holds(const struct bus_memo *m, const struct bus_memo_entry *e, struct sv subject)
{
	return e->age == m->age && e->subject_n == subject.n &&
	       memcmp(e->subject, subject.p, subject.n) == 0;
}

static struct bus_memo_entry *
place(const struct bus_memo *m, uint64_t hash)
{
	return &m->entries[hash & (LIMIT_BUS_MEMO - 1)];
}

const struct bus_memo_entry *
bus_memo_find(const struct bus_memo *m, struct sv subject)
{
	uint64_t hash = bus_hash(m->seed, subject);
	const struct bus_memo_entry *e = place(m, hash);

	if (holds(m, e, subject))
		return e;
	e = place(m, hash >> 32);
	return holds(m, e, subject) ? e : NULL;
}

void
bus_memo_put(struct bus_memo *m, struct sv subject, void *const *values, size_t n, unsigned roles)
{
	uint64_t hash = bus_hash(m->seed, subject);
	struct bus_memo_entry *e = place(m, hash);

	if (subject.n > BUS_MEMO_SUBJECT || n > BUS_MEMO_VALUES)
		return;
	/* Of two that are taken the first gives way; its subject may find room in its other one. */
	if (e->age == m->age && !holds(m, e, subject) && place(m, hash >> 32)->age != m->age)
		e = place(m, hash >> 32);
	e->age = m->age;
	e->subject_n = (uint8_t)subject.n;
	e->n = (uint8_t)n;
	e->roles = (uint16_t)roles;
	if (n > 0)
		memcpy(e->values, values, n * sizeof(void *));
	memcpy(e->subject, subject.p, subject.n);
}

void
bus_memo_allow(struct bus_memo *m, const struct bus_memo_entry *e, unsigned roles)
{
	m->entries[e - m->entries].roles |= (uint16_t)roles;
}

void
bus_memo_forget(struct bus_memo *m)
{
	if (++m->age == 0) {
		memset(m->entries, 0, MEMO_BYTES);
		m->age = 1;
	}
}
