/* SPDX-License-Identifier: Apache-2.0 */
/* The ring of a stream: an array that grows to its ceiling and then lets the oldest frame go. */
#include "stream/ring.h"

#include <stdlib.h>

#define CAP_FIRST 16

void
ring_init(struct ring *r, size_t max_frames, size_t max_bytes, int64_t base)
{
	*r = (struct ring){.max_frames = max_frames, .max_bytes = max_bytes, .base = base};
}

static struct frame **
slot(const struct ring *r, uint64_t pos)
{
	return &r->v[pos & (r->cap - 1)];
}

static size_t
size_of(const struct frame *f)
{
	return sizeof(*f) + f->head_n + f->text_n;
}

static void
evict(struct ring *r)
{
	struct frame *f = *slot(r, r->first++);

	r->bytes -= size_of(f);
	if (f->id > r->base)
		r->base = f->id;
	frame_unref(f);
}

void
ring_fini(struct ring *r)
{
	while (r->first < r->end)
		evict(r);
	free(r->v);
	r->v = NULL;
	r->cap = 0;
}

static int
grow(struct ring *r)
{
	size_t cap = r->cap ? r->cap * 2 : CAP_FIRST;
	struct frame **v;

	if (r->end - r->first < r->cap)
		return 0;
	v = calloc(cap, sizeof(struct frame *));
	if (!v)
		return -1;
	for (uint64_t p = r->first; p < r->end; p++)
		v[p & (cap - 1)] = *slot(r, p);
	free(r->v);
	r->v = v;
	r->cap = cap;
	return 0;
}

void
ring_push(struct ring *r, struct frame *f)
{
	if (grow(r) < 0) {
		while (r->first < r->end)
			evict(r);
		ring_reset(r, f->id > r->base ? f->id : r->base);
		return;
	}
	*slot(r, r->end++) = frame_ref(f);
	r->bytes += size_of(f);
	while (r->end - r->first > r->max_frames || r->bytes > r->max_bytes) {
		evict(r);
		r->evicted++;
	}
}

void
ring_reset(struct ring *r, int64_t base)
{
	while (r->first < r->end)
		evict(r);
	/* One position is skipped, so that a reader at the end notices too. */
	r->first = ++r->end;
	r->base = base;
}

struct frame *
ring_at(const struct ring *r, uint64_t pos)
{
	return *slot(r, pos);
}

uint64_t
ring_seek(const struct ring *r, int64_t last_id, uint64_t since)
{
	uint64_t pos = r->end;

	for (; pos > r->first; pos--) {
		const struct frame *f = ring_at(r, pos - 1);

		if (f->id != 0 && f->id <= last_id)
			break;
	}
	while (pos < since && pos < r->end && ring_at(r, pos)->id == 0)
		pos++;
	return pos;
}
