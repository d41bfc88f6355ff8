/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STREAM_RING_H
#define STREAM_RING_H

/*
 * The newest frames of one stream. Every frame has a position that only rises; the ring holds every
 * row of its stream with an id above `base` that was pushed so far. Pure.
 */

#include <stdint.h>

#include "stream/frame.h"

struct ring {
	struct frame **v; /* cap is a power of two */
	size_t cap;
	uint64_t first, end; /* positions held: first <= p < end */
	int64_t base;
	size_t bytes, max_bytes;
	size_t max_frames;
	uint64_t evicted; /* frames that left at a ceiling */
};

void ring_init(struct ring *r, size_t max_frames, size_t max_bytes, int64_t base);
void ring_fini(struct ring *r);
/*
 * Add a frame (the ring takes a reference of its own); ids rise. At a ceiling the oldest frames
 * leave, if need be this one too, and so it is without memory. Never fails: `base` says what is
 * gone.
 */
void ring_push(struct ring *r, struct frame *f);
/* Forget everything: rows above `base` will be pushed from here on. Every position held before is
 * gone. */
void ring_reset(struct ring *r, int64_t base);
/* The frame at a position held. */
struct frame *ring_at(const struct ring *r, uint64_t pos);
/*
 * Where a reader stands that has everything up to `last_id` (>= base): behind the last frame with
 * an id <= last_id, and not on a live-only frame from before position `since`.
 */
uint64_t ring_seek(const struct ring *r, int64_t last_id, uint64_t since);

#endif
