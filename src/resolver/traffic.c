/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of traffic for each decky and service. */
#include "resolver/traffic.h"

#include <stdlib.h>
#include <string.h>

#include "util/json.h"
#include "util/limits.h"

void
traffic_fini(struct traffic *t)
{
	free(t->v);
	*t = (struct traffic){0};
}

static struct traffic_entry *
find(struct traffic *t, const struct sighting *s)
{
	for (size_t i = 0; i < t->n; i++) {
		struct traffic_entry *entry = &t->v[i];

		if (strcmp(entry->decky, s->decky) == 0 &&
		    strcmp(entry->service, s->service) == 0 &&
		    strcmp(entry->topology_id, s->topology_id) == 0)
			return entry;
	}
	return NULL;
}

/* A free entry, or the one told longest ago. */
static struct traffic_entry *
room(struct traffic *t)
{
	struct traffic_entry *oldest;

	if (!t->v) {
		t->v = calloc(LIMIT_TRAFFIC_KEYS, sizeof(*t->v));
		if (!t->v)
			return NULL;
	}
	if (t->n < LIMIT_TRAFFIC_KEYS)
		return &t->v[t->n++];
	oldest = &t->v[0];
	for (size_t i = 1; i < t->n; i++)
		if (t->v[i].told_ms < oldest->told_ms)
			oldest = &t->v[i];
	t->dropped += oldest->waiting;
	return oldest;
}

void
traffic_note(struct traffic *t, const struct sighting *s)
{
	struct traffic_entry *entry;

	if (s->rejected || (s->type != CAPTURE_CONNECT && s->type != CAPTURE_DISCONNECT))
		return;
	entry = find(t, s);
	if (!entry) {
		entry = room(t);
		if (!entry) {
			t->dropped++;
			return;
		}
		memset(entry, 0, sizeof(*entry));
		memcpy(entry->topology_id, s->topology_id, sizeof(entry->topology_id));
		memcpy(entry->decky, s->decky, sizeof(entry->decky));
		memcpy(entry->service, s->service, sizeof(entry->service));
	}
	memcpy(entry->ip, s->ip, sizeof(entry->ip));
	if (s->type == CAPTURE_CONNECT)
		entry->connections++;
	entry->bytes_in += s->bytes_in;
	entry->bytes_out += s->bytes_out;
	entry->waiting = true;
}

int64_t
traffic_tell(struct traffic *t, uint64_t now_ms, traffic_fn *fn, void *user)
{
	int64_t next = -1;

	for (size_t i = 0; i < t->n; i++) {
		struct traffic_entry *entry = &t->v[i];
		uint64_t due = entry->told_ms ? entry->told_ms + TRAFFIC_EVERY_MS : 0;

		if (!entry->waiting)
			continue;
		if (due > now_ms) {
			if (next < 0 || (int64_t)(due - now_ms) < next)
				next = (int64_t)(due - now_ms);
			continue;
		}
		fn(user, entry);
		entry->connections = entry->bytes_in = entry->bytes_out = 0;
		entry->told_ms = now_ms;
		entry->waiting = false;
	}
	return next;
}

json_t *
traffic_json(const struct traffic_entry *entry)
{
	return json_pack("{s:o, s:s, s:s, s:s, s:I, s:I, s:I}", "topology_id",
			 json_text_or_null(entry->topology_id[0] ? entry->topology_id : NULL),
			 "decky_name", entry->decky, "service", entry->service, "attacker_ip",
			 entry->ip, "connections", (json_int_t)entry->connections, "bytes_in",
			 (json_int_t)entry->bytes_in, "bytes_out", (json_int_t)entry->bytes_out);
}
