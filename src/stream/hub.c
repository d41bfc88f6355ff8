/* SPDX-License-Identifier: Apache-2.0 */
/* The hub: the table of streams, feeding them, opening and ending viewers, and the slices in which
 * they are written to. */
#include "stream/hub.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stream/viewer.h"
#include "util/hash.h"
#include "util/limits.h"

/* Viewers written to before accepting and reading go on. */
#define SLICE 256

static const struct {
	const char *label;
	enum hub_source source;
} kinds[HUB_KIND_COUNT] = {
#define KIND(name, label, source) [HUB_KIND_##name] = {label, source},
#include "stream/kinds.def"
#undef KIND
};

static const char *const closes[CLOSE_COUNT] = {
	[CLOSE_NONE] = "none",
#define CLOSE(name, label, bye) [CLOSE_##name] = (label),
#include "stream/close.def"
#undef CLOSE
};

static const char *const snapshots[HUB_SNAPSHOT_COUNT] = {
	[HUB_CONNECT] = "connect",
	[HUB_EXPIRED] = "expired",
	[HUB_LAGGED] = "lagged",
};

const char *
hub_kind_label(enum hub_kind kind)
{
	return kinds[kind].label;
}

enum hub_source
hub_kind_source(enum hub_kind kind)
{
	return kinds[kind].source;
}

const char *
hub_close_label(enum stream_close reason)
{
	return closes[reason];
}

const char *
hub_snapshot_label(enum hub_snapshot reason)
{
	return snapshots[reason];
}

bool
hub_jti(const char *hex, uint8_t ret_jti[16])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t jti[16] = {0};

	if (strlen(hex) != 32)
		return false;
	for (unsigned i = 0; i < 32; i++) {
		const char *at = strchr(digits, hex[i]);

		if (!at)
			return false;
		jti[i / 2] = (uint8_t)(jti[i / 2] << 4 | (at - digits));
	}
	memcpy(ret_jti, jti, sizeof(jti));
	return true;
}

int
hub_new(struct loop *l, const struct hub_ops *ops, void *user, struct hub **ret_hub, struct err *e)
{
	struct hub *h = calloc(1, sizeof(*h));

	if (!h)
		return err_set(e, -ENOMEM, "no memory for the hub");
	h->loop = l;
	h->ops = ops;
	h->user = user;
	hub_set_ring(h, LIMIT_RING_FRAMES, LIMIT_RING_BYTES);
	for (unsigned i = 0; i < HUB_KIND_COUNT; i++)
		list_init(&h->kinds[i]);
	list_init(&h->ready);
	list_init(&h->fetches);
	wheel_init(h);
	if (frame_new_raw(SV("retry: 2000\n\n: keepalive\n\n"), &h->opening) < 0 ||
	    frame_new_raw(SV(": keepalive\n\n"), &h->keepalive) < 0) {
		hub_free(h);
		return err_set(e, -ENOMEM, "no memory for the hub");
	}
	h->opening->rows = h->keepalive->rows = 0;
	*ret_hub = h;
	return 0;
}

void
hub_free(struct hub *h)
{
	if (!h)
		return;
	for (unsigned i = 0; i < WHEEL_BUCKETS; i++)
		while (!list_empty(&h->wheel[i]))
			viewer_close(CONTAINER_OF(h->wheel[i].next, struct viewer, due),
				     CLOSE_SHUTDOWN);
	while (!list_empty(&h->fetches))
		hub_read_done(CONTAINER_OF(h->fetches.next, struct hub_fetch, node), -ECANCELED,
			      &(struct frame_list){0}, 0);
	loop_timer_clear(&h->flush_timer);
	loop_timer_clear(&h->wheel_timer);
	loop_timer_clear(&h->fetch_timer);
	frame_unref(h->opening);
	frame_unref(h->keepalive);
	free(h);
}

void
hub_set_ring(struct hub *h, size_t max_frames, size_t max_bytes)
{
	h->ring_frames = max_frames;
	h->ring_bytes = max_bytes;
}

int64_t
hub_seq(const struct hub *h, enum hub_source source)
{
	return h->seq[source];
}

void
hub_advance(struct hub *h, enum hub_source source, int64_t seq)
{
	if (seq > h->seq[source])
		h->seq[source] = seq;
}

bool
hub_idle(const struct hub *h, enum hub_source source)
{
	return h->streams[source] == 0;
}

unsigned
hub_viewers(const struct hub *h)
{
	return h->viewers;
}

void
hub_stats(const struct hub *h, struct hub_stats *ret_stats)
{
	*ret_stats = h->stats;
	for (unsigned k = 0; k < HUB_KIND_COUNT; k++)
		LIST_FOR (it, &h->kinds[k])
			ret_stats->ring_evicted +=
				CONTAINER_OF(it, struct hub_stream, node)->ring.evicted;
}

static struct hub_stream **
bucket_of(const struct hub *h, enum hub_kind kind, struct sv key)
{
	uint64_t x = hash_bytes(HASH_START ^ kind, key.p, key.n);

	return (struct hub_stream **)(uintptr_t)&h->bucket[hash_fold(x) % STREAM_BUCKETS];
}

struct hub_stream *
hub_find(const struct hub *h, enum hub_kind kind, struct sv key)
{
	struct hub_stream *s = *bucket_of(h, kind, key);

	while (s && (s->kind != kind || !sv_eq(hub_stream_key(s), key)))
		s = s->next;
	return s;
}

struct hub_stream *
hub_next(const struct hub *h, enum hub_kind kind, struct hub_stream *s)
{
	struct list *next = s ? s->node.next : h->kinds[kind].next;

	return next == &h->kinds[kind] ? NULL : CONTAINER_OF(next, struct hub_stream, node);
}

enum hub_kind
hub_stream_kind(const struct hub_stream *s)
{
	return s->kind;
}

struct sv
hub_stream_key(const struct hub_stream *s)
{
	return (struct sv){s->key, s->key_n};
}

void *
hub_stream_user(const struct hub_stream *s)
{
	return s->user;
}

static struct hub_stream *
stream_new(struct hub *h, enum hub_kind kind, struct sv key, void *own_user, int64_t base)
{
	struct hub_stream *s = calloc(1, sizeof(*s) + key.n + 1), **bucket;

	if (!s)
		return NULL;
	s->hub = h;
	s->kind = kind;
	s->user = own_user;
	s->key_n = key.n;
	if (key.n)
		memcpy(s->key, key.p, key.n);
	ring_init(&s->ring, h->ring_frames, h->ring_bytes, base);
	list_init(&s->idle);
	list_init(&s->snap_now);
	list_init(&s->snap_next);
	list_append(&h->kinds[kind], &s->node);
	bucket = bucket_of(h, kind, key);
	s->next = *bucket;
	*bucket = s;
	h->streams[kinds[kind].source]++;
	return s;
}

static void
free_stream(void *obj)
{
	free(obj);
}

void
hub_stream_release(struct hub_stream *s)
{
	struct hub *h = s->hub;
	struct hub_stream **at;

	if (--s->refs > 0)
		return;
	for (at = bucket_of(h, s->kind, hub_stream_key(s)); *at != s; at = &(*at)->next)
		;
	*at = s->next;
	list_unlink(&s->node);
	h->streams[kinds[s->kind].source]--;
	h->stats.ring_evicted += s->ring.evicted;
	ring_fini(&s->ring);
	if (h->ops->stream_free)
		h->ops->stream_free(h->user, s->kind, s->user);
	loop_free_later(h->loop, s, free_stream);
}

/* Everybody who has everything may have something to get. */
static void
wake_idle(struct hub_stream *s)
{
	struct list *ready = &s->hub->ready, *idle = &s->idle;

	if (list_empty(idle))
		return;
	idle->next->prev = ready->prev;
	ready->prev->next = idle->next;
	idle->prev->next = ready;
	ready->prev = idle->prev;
	list_init(idle);
}

void
hub_push(struct hub_stream *s, struct frame *f)
{
	ring_push(&s->ring, f);
	wake_idle(s);
}

void
hub_reset(struct hub *h, enum hub_source source, int64_t seq)
{
	for (unsigned k = 0; k < HUB_KIND_COUNT; k++) {
		if (kinds[k].source != source)
			continue;
		LIST_FOR (it, &h->kinds[k]) {
			struct hub_stream *s = CONTAINER_OF(it, struct hub_stream, node);

			ring_reset(&s->ring, seq);
			wake_idle(s);
		}
	}
	h->seq[source] = seq;
}

static void
on_flush(struct loop_timer *t)
{
	hub_flush(t->user);
}

void
hub_flush(struct hub *h)
{
	if (h->flush_timer.loop)
		return;
	for (unsigned n = 0; n < SLICE && !list_empty(&h->ready); n++)
		viewer_pump(CONTAINER_OF(h->ready.next, struct viewer, node));
	if (!list_empty(&h->ready) && loop_timer_set(h->loop, &h->flush_timer, 0, on_flush, h) < 0)
		return; /* without memory for the timer the next flush goes on */
}

static struct viewer *
viewer_new(struct hub_stream *s, const struct viewer_open *o)
{
	struct viewer *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	list_init(&v->node);
	list_init(&v->due);
	v->stream = s;
	v->io = o->io;
	v->peer = o->peer;
	v->chunked = o->chunked;
	v->slot = o->own_slot;
	memcpy(v->jti, o->access.jti, sizeof(v->jti));
	v->iat_ms = o->access.iat_ms;
	v->expires_ms = o->access.expires_ms;
	v->epoch = o->access.epoch;
	v->is_admin = o->access.is_admin;
	v->mark_ms = loop_now_ms(s->hub->loop);
	if (viewer_queue(v, frame_ref(s->hub->opening)) < 0) {
		free(v->work);
		free(v);
		return NULL;
	}
	v->work->since = s->ring.end;
	if (o->resume > 0 && o->resume >= o->floor && o->resume <= o->head) {
		v->state = VIEWER_REPLAY;
		v->work->from = v->last_id = o->resume;
		v->work->to = o->head;
	} else {
		v->state = VIEWER_SNAPSHOT;
		v->work->reason = o->resume > 0 ? HUB_EXPIRED : HUB_CONNECT;
	}
	return v;
}

int
hub_open(struct hub *h, enum hub_kind kind, struct sv key, void *own_user,
	 const struct viewer_open *o, struct viewer **ret_viewer)
{
	struct hub_stream *s = hub_find(h, kind, key);
	struct viewer *v = NULL;
	bool made = false;

	if (s) {
		if (h->ops->stream_free)
			h->ops->stream_free(h->user, kind, own_user);
	} else {
		int64_t fed = h->seq[kinds[kind].source];

		/* What was committed before the request is the store's to tell, even if it comes
		 * by later. */
		s = stream_new(h, kind, key, own_user, fed > o->head ? fed : o->head);
		made = true;
	}
	if (s) {
		s->refs++;
		v = viewer_new(s, o);
	} else if (made && h->ops->stream_free) {
		h->ops->stream_free(h->user, kind, own_user);
	}
	if (!v) {
		if (s)
			hub_stream_release(s);
		slot_drop(o->own_slot);
		return -ENOMEM;
	}
	h->viewers++;
	h->stats.streams[kind]++;
	wheel_put(h, v);
	/* At once, before those who are already watching: these bytes say that the stream began. */
	viewer_pump(v);
	hub_flush(h);
	*ret_viewer = v->closed ? NULL : v;
	return 0;
}

void
hub_judge(struct hub *h, hub_judge_fn *fn, void *user)
{
	for (unsigned i = 0; i < WHEEL_BUCKETS; i++) {
		struct list all;

		/* Ending a viewer moves it to another bucket; each is seen once all the same,
		 * because one that is ending is passed over. */
		list_init(&all);
		LIST_FOR (it, &h->wheel[i]) {
			struct viewer *v = CONTAINER_OF(it, struct viewer, due);
			struct viewer_access a = {
				.user = v->slot ? v->slot->user : "",
				.iat_ms = v->iat_ms,
				.expires_ms = v->expires_ms,
				.epoch = v->epoch,
				.is_admin = v->is_admin,
			};
			enum stream_close reason;

			if (v->state == VIEWER_ENDING)
				continue;
			memcpy(a.jti, v->jti, sizeof(a.jti));
			reason = fn(user, &a);
			if (reason == CLOSE_NONE)
				continue;
			list_unlink(it);
			list_append(&all, it);
			v->reason = (uint8_t)reason;
		}
		while (!list_empty(&all)) {
			struct viewer *v = CONTAINER_OF(all.next, struct viewer, due);

			viewer_end(v, v->reason);
		}
	}
	hub_flush(h);
}

struct one {
	const char *user;
	uint8_t jti[16];
	enum stream_close reason;
};

static enum stream_close
is_user(void *user, const struct viewer_access *a)
{
	const struct one *one = user;

	return strcmp(a->user, one->user) == 0 ? one->reason : CLOSE_NONE;
}

static enum stream_close
is_token(void *user, const struct viewer_access *a)
{
	const struct one *one = user;

	return memcmp(a->jti, one->jti, sizeof(a->jti)) == 0 ? one->reason : CLOSE_NONE;
}

static enum stream_close
is_any(void *user, const struct viewer_access *a)
{
	const struct one *one = user;

	(void)a;
	return one->reason;
}

void
hub_end_user(struct hub *h, const char *user, enum stream_close reason)
{
	struct one one = {.user = user, .reason = reason};

	hub_judge(h, is_user, &one);
}

void
hub_end_token(struct hub *h, const char *jti_hex, enum stream_close reason)
{
	struct one one = {.reason = reason};

	if (hub_jti(jti_hex, one.jti))
		hub_judge(h, is_token, &one);
}

void
hub_end_all(struct hub *h, enum stream_close reason)
{
	struct one one = {.reason = reason};

	hub_judge(h, is_any, &one);
}
