/* SPDX-License-Identifier: Apache-2.0 */
/* A viewer: what it gets next, and writing it as far as its peer takes it. */
#include "stream/viewer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define IOV_MAX_FRAMES 64
/* Writes to one viewer before the others get their turn. */
#define ROUNDS	       4
/* Frames taken from the ring at a time for a viewer that resumes. */
#define REPLAY_FRAMES  64

/* What one writev is made of. */
struct out {
	struct iovec iov[IOV_MAX_FRAMES];
	struct frame *f[IOV_MAX_FRAMES];
	uint64_t pos[IOV_MAX_FRAMES]; /* of the ring's frames */
	int n;
	int own; /* the first `own` are the part and the queue */
	size_t bytes;
};

int
viewer_need_work(struct viewer *v)
{
	if (v->work)
		return 0;
	v->work = calloc(1, sizeof(*v->work));
	if (!v->work)
		return -ENOMEM;
	list_init(&v->work->wait);
	v->work->viewer = v;
	return 0;
}

static size_t
queued(const struct viewer *v)
{
	return v->work ? v->work->queue.n - v->work->at : 0;
}

static void
queue_clear(struct viewer *v)
{
	struct viewer_work *w = v->work;

	if (!w)
		return;
	for (; w->at < w->queue.n; w->at++)
		frame_unref(w->queue.v[w->at]);
	w->at = w->queue.n = 0;
}

static void
drop_work(struct viewer *v)
{
	if (!v->work)
		return;
	fetch_forget(v);
	queue_clear(v);
	frame_list_fini(&v->work->queue);
	free(v->work);
	v->work = NULL;
}

int
viewer_queue(struct viewer *v, struct frame *own_f)
{
	int r = viewer_need_work(v);

	if (r < 0) {
		frame_unref(own_f);
		return r;
	}
	return frame_list_push(&v->work->queue, own_f);
}

void
viewer_ready(struct viewer *v)
{
	if (v->closed || v->blocked)
		return;
	list_unlink(&v->node);
	list_append(&v->stream->hub->ready, &v->node);
}

static void
free_viewer(void *obj)
{
	free(obj);
}

static void
dispose(struct viewer *v, enum stream_close reason)
{
	struct hub *h = v->stream->hub;

	v->closed = true;
	h->stats.closed[reason]++;
	h->stats.streams[v->stream->kind]--;
	h->viewers--;
	list_unlink(&v->node);
	list_unlink(&v->due);
	drop_work(v);
	frame_unref(v->part);
	v->part = NULL;
	slot_drop(v->slot);
	v->slot = NULL;
	hub_stream_release(v->stream);
	loop_free_later(h->loop, v, free_viewer);
}

void
viewer_close(struct viewer *v, enum stream_close reason)
{
	v->io->abort(v->peer);
	dispose(v, reason);
}

void
viewer_gone(struct viewer *v)
{
	if (!v->closed)
		dispose(v, v->state == VIEWER_ENDING ? v->reason : CLOSE_CLIENT);
}

static int
last_frame(const struct viewer *v, enum stream_close reason, struct frame **ret_f)
{
	char data[96];

	if (reason == CLOSE_ERROR) {
		if (v->stream->kind == HUB_KIND_LOGS)
			return frame_new(SV("error"), 0,
					 SV("{\"type\":\"error\",\"message\":\"Stream "
					    "interrupted\"}"),
					 ret_f);
		return frame_new(SV("error"), 0, SV("{\"message\":\"Stream interrupted\"}"), ret_f);
	}
	(void)snprintf(data, sizeof(data), "{\"reason\":\"%s\"}", hub_close_label(reason));
	return frame_new(SV("bye"), 0, sv_from(data), ret_f);
}

void
viewer_end(struct viewer *v, enum stream_close reason)
{
	struct hub *h = v->stream->hub;
	struct frame *f;

	if (v->closed || v->state == VIEWER_ENDING)
		return;
	fetch_forget(v);
	queue_clear(v);
	v->state = VIEWER_ENDING;
	v->reason = (uint8_t)reason;
	v->mark_ms = loop_now_ms(h->loop);
	wheel_put(h, v);
	/* Without memory for its last frame the viewer is closed without one. */
	if (last_frame(v, reason, &f) < 0 || viewer_queue(v, f) < 0)
		queue_clear(v);
	viewer_ready(v);
}

/* Whether the ring goes on where last_id stands; not so inside a batch. */
static bool
joinable(const struct viewer *v, uint64_t pos)
{
	const struct ring *ring = &v->stream->ring;
	const struct frame *f;

	if (v->last_id < ring->base)
		return false;
	for (; pos < ring->end; pos++) {
		f = ring_at(ring, pos);
		if (f->id > v->last_id)
			return f->first_id > v->last_id;
	}
	return true;
}

void
viewer_join(struct viewer *v)
{
	struct ring *ring = &v->stream->ring;
	uint64_t pos = ring_seek(ring, v->last_id, v->work ? v->work->since : 0);

	if (joinable(v, pos)) {
		v->pos = pos;
		v->state = VIEWER_LIVE;
	} else {
		v->state = VIEWER_CATCHUP;
	}
}

int
viewer_greet(struct viewer *v)
{
	struct hub *h = v->stream->hub;
	struct frame_list frames = {0};
	int r = 0;

	if (h->ops->greet)
		h->ops->greet(h->user, v->stream, &frames);
	for (size_t i = 0; i < frames.n && r == 0; i++)
		r = viewer_queue(v, frame_ref(frames.v[i]));
	frame_list_fini(&frames);
	if (r == 0)
		viewer_join(v);
	return r;
}

static int
finish_replay(struct viewer *v)
{
	const struct viewer_work *w = v->work;
	struct frame *f;
	char data[128];
	int r;

	(void)snprintf(data, sizeof(data),
		       "{\"from\":%" PRId64 ",\"to\":%" PRId64 ",\"replayed\":%" PRIu64 "}",
		       w->from, w->to, w->replayed);
	r = frame_new_mark(SV("resumed"), w->to, sv_from(data), &f);
	if (r == 0)
		r = viewer_queue(v, f);
	return r == 0 ? viewer_greet(v) : r;
}

/* 1: frames were queued or the end is reached, 0: waits for the store, or a negative errno. */
static int
replay(struct viewer *v)
{
	const struct ring *ring = &v->stream->ring;
	const struct hub *h = v->stream->hub;
	struct viewer_work *w = v->work;
	unsigned n = 0;
	uint64_t pos;
	int r;

	if (v->last_id >= w->to) {
		r = finish_replay(v);
		return r < 0 ? r : 1;
	}
	pos = ring_seek(ring, v->last_id, 0);
	if (h->seq[hub_kind_source(v->stream->kind)] < w->to || !joinable(v, pos)) {
		r = fetch_rows(v, w->to);
		return r < 0 ? r : 0;
	}
	for (; pos < ring->end && n < REPLAY_FRAMES; pos++) {
		struct frame *f = ring_at(ring, pos);

		if (f->id == 0)
			continue;
		if (f->first_id > w->to)
			break;
		if (f->id > w->to) {
			/* A batch that goes beyond: the store gives the part that belongs here. */
			r = n == 0 ? fetch_rows(v, w->to) : 0;
			return r < 0 ? r : n > 0;
		}
		r = viewer_queue(v, frame_ref(f));
		if (r < 0)
			return r;
		v->last_id = f->id;
		w->replayed += f->rows;
		n++;
	}
	if (n < REPLAY_FRAMES)
		v->last_id = w->to;
	return 1;
}

static int
catch_up(struct viewer *v)
{
	const struct ring *ring = &v->stream->ring;
	int64_t upto = v->stream->hub->seq[hub_kind_source(v->stream->kind)];
	int r;

	viewer_join(v);
	if (v->state == VIEWER_LIVE)
		return 1;
	if (upto < ring->base)
		upto = ring->base;
	for (uint64_t pos = ring->end; pos > ring->first; pos--) {
		const struct frame *f = ring_at(ring, pos - 1);

		if (f->id != 0) {
			if (upto < f->id)
				upto = f->id;
			break;
		}
	}
	r = viewer_need_work(v);
	if (r == 0)
		r = fetch_rows(v, upto);
	return r;
}

/* Everything at hand was sent: what comes next? 1: more is at hand, 0: nothing now, or a negative
 * errno. */
static int
step(struct viewer *v)
{
	const struct ring *ring = &v->stream->ring;

	if (v->work && (v->work->fetch || !list_empty(&v->work->wait)))
		return 0;
	switch ((enum viewer_state)v->state) {
	case VIEWER_SNAPSHOT: return fetch_snapshot(v);
	case VIEWER_REPLAY: return replay(v);
	case VIEWER_CATCHUP: return catch_up(v);
	case VIEWER_LIVE: break;
	case VIEWER_ENDING: return 0;
	}
	drop_work(v);
	if (v->pos >= ring->first && v->pos == ring->end)
		return 0;
	viewer_join(v);
	return v->state == VIEWER_CATCHUP || v->pos < ring->end;
}

static void
out_add(struct out *o, struct frame *f, bool chunked, size_t off)
{
	struct sv bytes = sv_drop(frame_bytes(f, chunked), off);

	o->f[o->n] = f;
	o->iov[o->n] = (struct iovec){.iov_base = (void *)(uintptr_t)bytes.p, .iov_len = bytes.n};
	o->bytes += bytes.n;
	o->n++;
}

static void
gather(struct viewer *v, struct out *o)
{
	const struct ring *ring = &v->stream->ring;
	int64_t last_id = v->last_id;
	bool ends = false;

	o->n = 0;
	o->bytes = 0;
	if (v->part) {
		out_add(o, v->part, v->chunked, v->off);
		ends = v->part->ends;
	}
	for (size_t i = 0; i < queued(v) && o->n < IOV_MAX_FRAMES && !ends; i++) {
		struct frame *f = v->work->queue.v[v->work->at + i];

		out_add(o, f, v->chunked, 0);
		ends = f->ends;
	}
	o->own = o->n;
	if (v->state != VIEWER_LIVE || v->pos < ring->first)
		return;
	for (uint64_t pos = v->pos; pos < ring->end && o->n < IOV_MAX_FRAMES && !ends; pos++) {
		struct frame *f = ring_at(ring, pos);

		if (f->id != 0 && f->id <= last_id)
			continue;
		if (f->id != 0 && f->first_id <= last_id)
			return;
		if (f->id != 0)
			last_id = f->id;
		o->pos[o->n] = pos;
		out_add(o, f, v->chunked, 0);
		ends = f->ends;
	}
}

/* Frame i of what was gathered leaves its place: the cursor moves behind it. */
static void
pass(struct viewer *v, const struct out *o, int i)
{
	if (i >= o->own) {
		v->pos = o->pos[i] + 1;
		if (o->f[i]->id != 0)
			v->last_id = o->f[i]->id;
		return;
	}
	if (i == 0 && v->part)
		return;
	v->work->at++;
	if (v->work->at == v->work->queue.n)
		v->work->at = v->work->queue.n = 0;
}

/* `taken` bytes of what was gathered are sent. */
static void
advance(struct viewer *v, const struct out *o, size_t taken)
{
	struct hub_stats *stats = &v->stream->hub->stats;

	for (int i = 0; i < o->n && taken > 0; i++) {
		struct frame *f = o->f[i];
		bool own = i < o->own;
		enum stream_close ends = f->ends;

		if (taken < o->iov[i].iov_len) {
			pass(v, o, i);
			if (f == v->part && i == 0) {
				v->off += (uint32_t)taken;
			} else {
				v->part = own ? f : frame_ref(f);
				v->off = (uint32_t)taken;
			}
			return;
		}
		taken -= o->iov[i].iov_len;
		stats->frames[v->stream->kind] += f->rows > 0;
		pass(v, o, i);
		if (i == 0 && v->part) {
			v->part = NULL;
			v->off = 0;
		}
		if (own)
			frame_unref(f);
		if (ends != CLOSE_NONE)
			viewer_end(v, ends);
	}
}

/* Write once. 1: all was taken, 0: the peer is full, or a negative errno: it is broken. */
static int
write_out(struct viewer *v, const struct out *o)
{
	ssize_t n = v->io->writev(v->peer, o->iov, o->n);

	if (n == 0 || n == -EAGAIN)
		return 0;
	if (n < 0)
		return (int)n;
	if (v->state != VIEWER_ENDING)
		v->mark_ms = loop_now_ms(v->stream->hub->loop);
	advance(v, o, (size_t)n);
	return (size_t)n == o->bytes;
}

static void
block(struct viewer *v)
{
	struct hub *h = v->stream->hub;

	list_unlink(&v->node);
	v->blocked = true;
	if (v->state != VIEWER_ENDING)
		v->mark_ms = loop_now_ms(h->loop);
	v->io->want_write(v->peer);
}

static void
finish(struct viewer *v)
{
	v->io->end(v->peer);
	dispose(v, v->reason);
}

/* Nothing is at hand. false: the viewer rests, waits or is closed. */
static bool
next(struct viewer *v)
{
	int r;

	if (v->state == VIEWER_ENDING) {
		finish(v);
		return false;
	}
	r = step(v);
	if (r < 0) {
		viewer_end(v, CLOSE_ERROR);
		return true;
	}
	if (r > 0)
		return true;
	if (v->state == VIEWER_LIVE)
		list_append(&v->stream->idle, &v->node);
	return false;
}

void
viewer_pump(struct viewer *v)
{
	struct hub *h = v->stream->hub;
	A_UNINIT struct out o;
	int r;

	list_unlink(&v->node);
	if (v->closed || v->blocked)
		return;
	if (loop_now_ms(h->loop) >= v->expires_ms)
		viewer_end(v, CLOSE_TOKEN_EXPIRED);
	list_unlink(&v->node);
	for (unsigned rounds = 0; rounds < ROUNDS;) {
		gather(v, &o);
		if (o.n == 0) {
			if (!next(v))
				return;
			continue;
		}
		rounds++;
		r = write_out(v, &o);
		list_unlink(&v->node);
		if (r < 0) {
			viewer_close(v, CLOSE_WRITE_FAILED);
			return;
		}
		if (r == 0) {
			block(v);
			return;
		}
	}
	viewer_ready(v);
}

void
viewer_writable(struct viewer *v)
{
	if (v->closed || !v->blocked)
		return;
	v->blocked = false;
	viewer_ready(v);
	hub_flush(v->stream->hub);
}
