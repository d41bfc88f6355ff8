/* SPDX-License-Identifier: Apache-2.0 */
/* Counters by name. */
#include "decoy/tally.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/hash.h"
#include "util/id.h"

struct tally_entry {
	struct list link;
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

int
tally_take(struct tally *t, const char *name, unsigned max, struct tally_entry **ret)
{
	char key[TALLY_NAME_MAX + 1];
	size_t n = strnlen(name, TALLY_NAME_MAX);
	struct tally_entry *entry;
	struct list *bucket;

	memcpy(key, name, n);
	key[n] = '\0';
	bucket = bucket_of(t, key);
	LIST_FOR (at, bucket) {
		entry = CONTAINER_OF(at, struct tally_entry, link);
		if (strcmp(entry->name, key) != 0)
			continue;
		if (entry->n >= max)
			return -EBUSY;
		entry->n++;
		*ret = entry;
		return 0;
	}
	if (max == 0)
		return -EBUSY;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	entry->n = 1;
	memcpy(entry->name, key, n + 1);
	list_append(bucket, &entry->link);
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
