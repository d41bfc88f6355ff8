/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to the store: a few at a time, one for each viewer that lags, one for all the viewers
 * of a stream that need a snapshot. */
#include "stream/viewer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "util/buf.h"
#include "util/limits.h"

/* How long a full work queue is left alone. */
#define RETRY_MS 20

static struct hub_fetch *
fetch_new(struct hub_stream *s)
{
	struct hub_fetch *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->hub = s->hub;
	f->stream = s;
	s->refs++;
	list_append(&s->hub->fetches, &f->node);
	return f;
}

static void
fetch_free(struct hub_fetch *f)
{
	struct hub_stream *s = f->stream;

	list_unlink(&f->node);
	if (f->started)
		f->hub->fetching--;
	if (f->viewer)
		f->viewer->work->fetch = NULL;
	if (s->snap == f)
		s->snap = NULL;
	free(f);
	hub_stream_release(s);
}

static void
on_retry(struct loop_timer *t)
{
	fetch_start(t->user);
}

void
fetch_start(struct hub *h)
{
	while (!list_empty(&h->fetches) && h->fetching < LIMIT_STREAM_FETCHES) {
		struct hub_fetch *f = CONTAINER_OF(h->fetches.next, struct hub_fetch, node);
		int r = f->snapshot ? h->ops->snapshot(h->user, f) : h->ops->read(h->user, f);

		if (r < 0) {
			r = loop_timer_set(h->loop, &h->fetch_timer, RETRY_MS, on_retry, h);
			if (r < 0)
				continue;
			return;
		}
		list_unlink(&f->node);
		f->started = true;
		h->fetching++;
	}
}

int
fetch_rows(struct viewer *v, int64_t upto)
{
	struct hub_fetch *f = fetch_new(v->stream);

	if (!f)
		return -ENOMEM;
	f->viewer = v;
	f->after = v->last_id;
	f->upto = upto;
	v->work->fetch = f;
	fetch_start(v->stream->hub);
	return 0;
}

int
fetch_snapshot(struct viewer *v)
{
	struct hub_stream *s = v->stream;

	/* A snapshot that is being made may be older than this viewer's request. */
	if (s->snap && s->snap->started) {
		list_append(&s->snap_next, &v->work->wait);
		return 0;
	}
	list_append(&s->snap_now, &v->work->wait);
	if (s->snap)
		return 0;
	s->snap = fetch_new(s);
	if (!s->snap) {
		list_unlink(&v->work->wait);
		return -ENOMEM;
	}
	s->snap->snapshot = true;
	fetch_start(s->hub);
	return 0;
}

void
fetch_forget(struct viewer *v)
{
	struct hub_fetch *f;

	if (!v->work)
		return;
	list_unlink(&v->work->wait);
	f = TAKE(v->work->fetch);
	if (!f)
		return;
	f->viewer = NULL;
	if (!f->started)
		fetch_free(f);
}

static int
take_rows(struct viewer *v, const struct hub_fetch *f, const struct frame_list *frames,
	  int64_t upto)
{
	struct viewer_work *w = v->work;
	int r = 0;

	if (upto > f->upto)
		upto = f->upto;
	if (upto <= v->last_id)
		return -EIO;
	for (size_t i = 0; i < frames->n && r == 0; i++) {
		struct frame *one = frames->v[i];

		if (one->id <= v->last_id || one->id > upto)
			return -EIO;
		v->last_id = one->id;
		w->replayed += one->rows;
		r = viewer_queue(v, frame_ref(one));
	}
	v->last_id = upto;
	return r;
}

void
hub_read_done(struct hub_fetch *f, int r, struct frame_list *own_frames, int64_t upto)
{
	struct hub *h = f->hub;
	struct viewer *v = f->viewer;

	if (v && r == 0)
		r = take_rows(v, f, own_frames, upto);
	if (v && r == -ESTALE) {
		bool fresh = v->state == VIEWER_REPLAY && v->work->replayed == 0;

		v->work->reason = fresh ? HUB_EXPIRED : HUB_LAGGED;
		v->state = VIEWER_SNAPSHOT;
	} else if (v && r < 0) {
		viewer_end(v, CLOSE_ERROR);
	}
	frame_list_fini(own_frames);
	fetch_free(f);
	if (v)
		viewer_ready(v);
	fetch_start(h);
	hub_flush(h);
}

/* The snapshot's frame for one reason: the object, with the watermark and the reason at its end. */
static int
snapshot_frame(struct sv json, int64_t watermark, enum hub_snapshot reason, struct frame **ret_f)
{
	struct buf b;
	int r;

	if (!sv_ends(json, SV("}")))
		return -EINVAL;
	json.n--;
	buf_init(&b, json.n + 128);
	r = buf_put(&b, json);
	if (r == 0)
		r = buf_printf(&b, "%s\"watermark\":%" PRId64 ",\"reason\":\"%s\"}",
			       sv_ends(json, SV("{")) ? "" : ",", watermark,
			       hub_snapshot_label(reason));
	if (r == 0)
		r = frame_new_mark(SV("snapshot"), watermark, buf_sv(&b), ret_f);
	buf_fini(&b);
	return r;
}

/* Frames are made once for each reason. */
static int
give_snapshot(struct viewer *v, struct sv json, int64_t watermark,
	      struct frame *made[HUB_SNAPSHOT_COUNT])
{
	enum hub_snapshot reason = v->work->reason;
	int r = 0;

	if (!made[reason])
		r = snapshot_frame(json, watermark, reason, &made[reason]);
	if (r == 0)
		r = viewer_queue(v, frame_ref(made[reason]));
	if (r < 0)
		return r;
	v->stream->hub->stats.snapshots[reason]++;
	v->last_id = watermark;
	return viewer_greet(v);
}

void
hub_snapshot_done(struct hub_fetch *f, int r, struct sv json, int64_t watermark)
{
	struct frame *made[HUB_SNAPSHOT_COUNT] = {NULL};
	struct hub_stream *s = f->stream;
	struct hub *h = f->hub;

	while (!list_empty(&s->snap_now)) {
		struct viewer_work *w = CONTAINER_OF(s->snap_now.next, struct viewer_work, wait);
		struct viewer *v = w->viewer;
		int given = r;

		list_unlink(&w->wait);
		if (given == 0)
			given = give_snapshot(v, json, watermark, made);
		if (given == -ENOENT)
			viewer_end(v, CLOSE_TOPOLOGY_DELETED);
		else if (given < 0)
			viewer_end(v, CLOSE_ERROR);
		viewer_ready(v);
	}
	for (unsigned i = 0; i < HUB_SNAPSHOT_COUNT; i++)
		frame_unref(made[i]);
	s->snap = NULL;
	LIST_FOR (it, &s->snap_next) {
		list_unlink(it);
		list_append(&s->snap_now, it);
	}
	if (!list_empty(&s->snap_now)) {
		s->snap = fetch_new(s);
		if (s->snap)
			s->snap->snapshot = true;
	}
	while (!s->snap && !list_empty(&s->snap_now)) {
		struct viewer_work *w = CONTAINER_OF(s->snap_now.next, struct viewer_work, wait);

		list_unlink(&w->wait);
		viewer_end(w->viewer, CLOSE_ERROR);
	}
	fetch_free(f);
	fetch_start(h);
	hub_flush(h);
}
