/* SPDX-License-Identifier: Apache-2.0 */
/* Counters by name. */
#include "decoy/tally.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/hash.h"
#include "util/id.h"

struct tally_entry {
	struct list link, members;
	unsigned n;
	char name[TALLY_NAME_MAX + 1];
};

void
tally_init(struct tally *t)
{
	id_random(&t->key, sizeof(t->key));
	for (size_t i = 0; i < TALLY_BUCKETS; i++)
		list_init(&t->buckets[i]);
}

void
tally_fini(struct tally *t)
{
	for (size_t i = 0; i < TALLY_BUCKETS; i++) {
		LIST_FOR (at, &t->buckets[i]) {
			list_unlink(at);
			free(CONTAINER_OF(at, struct tally_entry, link));
		}
	}
}

static struct list *
bucket_of(struct tally *t, const char *name)
{
	uint64_t h = hash_bytes(t->key, name, strlen(name));

	return &t->buckets[hash_fold(h) % TALLY_BUCKETS];
}

/* Longer names are cut. */
static void
cut(const char *name, char dst[TALLY_NAME_MAX + 1])
{
	size_t n = strnlen(name, TALLY_NAME_MAX);

	memcpy(dst, name, n);
	dst[n] = '\0';
}

static struct tally_entry *
find_in(struct list *bucket, const char *key)
{
	LIST_FOR (at, bucket) {
		struct tally_entry *entry = CONTAINER_OF(at, struct tally_entry, link);

		if (strcmp(entry->name, key) == 0)
			return entry;
	}
	return NULL;
}

struct tally_entry *
tally_find(struct tally *t, const char *name)
{
	char key[TALLY_NAME_MAX + 1];

	cut(name, key);
	return find_in(bucket_of(t, key), key);
}

struct list *
tally_members(struct tally_entry *entry)
{
	return &entry->members;
}

int
tally_take(struct tally *t, const char *name, unsigned max, struct tally_entry **ret)
{
	char key[TALLY_NAME_MAX + 1];
	struct tally_entry *entry;
	struct list *bucket;

	cut(name, key);
	bucket = bucket_of(t, key);
	entry = find_in(bucket, key);
	if ((entry ? entry->n : 0) >= max)
		return -EBUSY;
	if (!entry) {
		entry = calloc(1, sizeof(*entry));
		if (!entry)
			return -ENOMEM;
		memcpy(entry->name, key, sizeof(key));
		list_init(&entry->members);
		list_append(bucket, &entry->link);
	}
	entry->n++;
	*ret = entry;
	return 0;
}

void
tally_give(struct tally_entry *entry)
{
	if (!entry || --entry->n > 0)
		return;
	list_unlink(&entry->link);
	free(entry);
}
