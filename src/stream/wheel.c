/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deadlines of viewers: keepalive, stall, expiry of the token, end of a goodbye. One timer turns a
 * wheel of buckets; a viewer that was written to meanwhile is only put into a later bucket when its
 * own comes up, so a write costs nothing here.
 */
#include "stream/viewer.h"

#define TICK_MS	   250
/* A peer that does not take its bye is cut off this long after it. */
#define GOODBYE_MS 500

void
wheel_init(struct hub *h)
{
	for (unsigned i = 0; i < WHEEL_BUCKETS; i++)
		list_init(&h->wheel[i]);
	h->wheel_tick = loop_now_ms(h->loop) / TICK_MS;
}

static uint64_t
deadline(const struct viewer *v)
{
	uint64_t at = v->mark_ms + (v->blocked ? HUB_STALL_MS : HUB_KEEPALIVE_MS);

	if (v->state == VIEWER_ENDING)
		return v->mark_ms + GOODBYE_MS;
	return v->expires_ms < at ? v->expires_ms : at;
}

static void
act(struct hub *h, struct viewer *v, uint64_t now)
{
	if (v->state == VIEWER_ENDING) {
		viewer_close(v, v->reason);
		return;
	}
	if (now >= v->expires_ms) {
		viewer_end(v, CLOSE_TOKEN_EXPIRED);
		return;
	}
	if (v->blocked) {
		viewer_close(v, CLOSE_STALLED);
		return;
	}
	if (!v->part) {
		v->part = frame_ref(h->keepalive);
		v->off = 0;
	}
	viewer_ready(v);
	wheel_put(h, v);
}

static void on_tick(struct loop_timer *t);

/* Without memory for the timer the next wheel_put tries again. */
static void
arm(struct hub *h, uint64_t tick)
{
	uint64_t now = loop_now_ms(h->loop), at = tick * TICK_MS;

	h->wheel_armed = tick;
	if (loop_timer_set(h->loop, &h->wheel_timer, at > now ? at - now : 0, on_tick, h) < 0)
		h->wheel_armed = 0;
}

static void
on_tick(struct loop_timer *t)
{
	struct hub *h = t->user;
	uint64_t now = loop_now_ms(h->loop), tick = now / TICK_MS;
	struct list due;

	list_init(&due);
	for (unsigned i = 0; i < WHEEL_BUCKETS && h->wheel_tick < tick; i++) {
		h->wheel_tick++;
		LIST_FOR (it, &h->wheel[h->wheel_tick % WHEEL_BUCKETS]) {
			list_unlink(it);
			list_append(&due, it);
		}
	}
	h->wheel_tick = tick;
	h->wheel_armed = 0;
	while (!list_empty(&due)) {
		struct viewer *v = CONTAINER_OF(due.next, struct viewer, due);

		list_unlink(&v->due);
		if (deadline(v) <= now)
			act(h, v, now);
		else
			wheel_put(h, v);
	}
	for (uint64_t k = 1; k < WHEEL_BUCKETS && h->wheel_armed == 0 && h->viewers > 0; k++)
		if (!list_empty(&h->wheel[(tick + k) % WHEEL_BUCKETS]))
			arm(h, tick + k);
	hub_flush(h);
}

void
wheel_put(struct hub *h, struct viewer *v)
{
	uint64_t now_tick = loop_now_ms(h->loop) / TICK_MS;
	uint64_t due = deadline(v), tick = due / TICK_MS + (due % TICK_MS != 0);

	if (h->wheel_armed == 0 && h->wheel_tick < now_tick && h->viewers <= 1)
		h->wheel_tick = now_tick; /* it stood still while nobody was there */
	if (tick <= h->wheel_tick)
		tick = h->wheel_tick + 1;
	if (tick >= h->wheel_tick + WHEEL_BUCKETS)
		tick = h->wheel_tick + WHEEL_BUCKETS - 1;
	list_unlink(&v->due);
	list_append(&h->wheel[tick % WHEEL_BUCKETS], &v->due);
	if (h->wheel_armed == 0 || tick < h->wheel_armed)
		arm(h, tick);
}
