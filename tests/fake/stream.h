/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKE_STREAM_H
#define FAKE_STREAM_H

/*
 * What a hub needs around it: a journal of rows in memory that answers late, a clock, and peers
 * that take so many bytes and no more.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake/sse.h"
#include "stream/hub.h"
#include "util/attr.h"
#include "util/limits.h"

#define WORLD_KEYS    3
#define WORLD_PENDING 256

static const char *const world_keys[WORLD_KEYS] = {"a", "b", "c"};

struct world {
	struct loop *loop;
	struct hub *hub;
	struct slots *slots;
	uint64_t now_ms;
	uint8_t *rows; /* rows[seq]: index of the key, from seq 1 */
	int64_t head, floor, rows_cap;
	struct hub_fetch *pending[WORLD_PENDING];
	unsigned npending;
	int64_t gone_from; /* head when each pending question was asked is read at the answer */
	bool busy;	   /* the work queue is full */
	int fail;	   /* the next answer fails with this */
	unsigned chunk;	   /* rows a read gives at most */
	bool greets;
	unsigned freed;
};

/* A connection: takes `budget` more bytes, then none. */
struct peer {
	struct world *w;
	struct viewer *v;
	size_t budget;
	size_t step; /* bytes one write takes at most; 0: no bound */
	bool wants, ended, aborted, broken, chunked;
	struct sse sse;
	size_t bytes;
};

static inline uint64_t
world_clock(void *user)
{
	return ((struct world *)user)->now_ms;
}

static inline int
world_ask(void *user, struct hub_fetch *f)
{
	struct world *w = user;

	if (w->busy || w->npending == WORLD_PENDING)
		return -EBUSY;
	w->pending[w->npending++] = f;
	return 0;
}

static inline void
world_greet(void *user, struct hub_stream *s, struct frame_list *ret_frames)
{
	struct world *w = user;
	struct frame *f;

	(void)s;
	if (!w->greets)
		return;
	assert_int_equal(frame_new(SV("greet"), 0, SV("{}"), &f), 0);
	assert_int_equal(frame_list_push(ret_frames, f), 0);
}

static inline void
world_stream_free(void *user, enum hub_kind kind, void *stream_user)
{
	struct world *w = user;

	(void)kind;
	free(stream_user);
	w->freed++;
}

static const struct hub_ops world_ops = {
	.read = world_ask,
	.snapshot = world_ask,
	.greet = world_greet,
	.stream_free = world_stream_free,
};

static inline void
world_init(struct world *w)
{
	*w = (struct world){.now_ms = 1000000, .chunk = 5, .rows_cap = 1 << 16};
	w->rows = calloc((size_t)w->rows_cap, 1);
	assert_non_null(w->rows);
	assert_int_equal(loop_new(&w->loop, NULL), 0);
	loop_set_clock(w->loop, world_clock, w);
	assert_int_equal(hub_new(w->loop, &world_ops, w, &w->hub, NULL), 0);
	assert_int_equal(slots_new(&w->slots), 0);
}

/* A frame of the rows of one key from `first` to `seq`. */
static inline struct frame *
world_batch(const struct world *w, int64_t first, int64_t seq)
{
	struct frame *f;
	char data[1024] = "{\"n\":[";
	uint32_t rows = 0;

	for (int64_t i = first; i <= seq; i++) {
		size_t at = strlen(data);

		if (w->rows[i] != w->rows[seq])
			continue;
		(void)snprintf(data + at, sizeof(data) - at, "%s%lld", rows++ ? "," : "",
			       (long long)i);
	}
	assert_true(strlen(data) + 3 < sizeof(data));
	(void)snprintf(data + strlen(data), sizeof(data) - strlen(data), "]}");
	assert_int_equal(frame_new(SV("row"), seq, sv_from(data), &f), 0);
	f->first_id = first;
	f->rows = rows;
	return f;
}

static inline struct frame *
world_frame(const struct world *w, int64_t seq)
{
	return world_batch(w, seq, seq);
}

static inline unsigned
world_key(struct sv key)
{
	for (unsigned i = 0; i < WORLD_KEYS; i++)
		if (sv_eq(key, sv_from(world_keys[i])))
			return i;
	abort();
}

static inline void
world_answer_rows(struct world *w, struct hub_fetch *f)
{
	unsigned key = world_key(hub_stream_key(f->stream)), n = 0;
	struct frame_list frames = {0};
	int64_t upto = f->upto < w->head ? f->upto : w->head, seq;

	if (f->after < w->floor) {
		hub_read_done(f, -ESTALE, &frames, 0);
		return;
	}
	for (seq = f->after + 1; seq <= upto; seq++) {
		if (w->rows[seq] != key)
			continue;
		if (n++ == w->chunk)
			break;
		assert_int_equal(frame_list_push(&frames, world_frame(w, seq)), 0);
	}
	hub_read_done(f, 0, &frames, seq - 1);
}

/* Answer question i of those that wait. */
static inline void
world_answer(struct world *w, unsigned i)
{
	struct hub_fetch *f = w->pending[i];
	int fail = w->fail;

	w->pending[i] = w->pending[--w->npending];
	w->fail = 0;
	if (f->snapshot)
		hub_snapshot_done(f, fail, SV("{\"rows\":[]}"), w->head);
	else if (fail)
		hub_read_done(f, fail, &(struct frame_list){0}, 0);
	else
		world_answer_rows(w, f);
}

static inline void
world_commit(struct world *w, unsigned key)
{
	assert_true(w->head + 1 < w->rows_cap);
	w->rows[++w->head] = (uint8_t)key;
}

static inline void
world_push(struct world *w, int64_t first, int64_t seq)
{
	struct hub_stream *s =
		hub_find(w->hub, HUB_KIND_TOPOLOGY, sv_from(world_keys[w->rows[seq]]));
	struct frame *f;

	if (!s)
		return;
	f = world_batch(w, first, seq);
	hub_push(s, f);
	frame_unref(f);
}

/* Read at most n rows into the hub: one frame a row, or one for all rows of a stream. */
static inline void
world_feed(struct world *w, unsigned n, bool batch)
{
	int64_t seq = hub_seq(w->hub, HUB_JOURNAL);
	int64_t first[WORLD_KEYS] = {0}, last[WORLD_KEYS] = {0};

	for (; n > 0 && seq < w->head; n--) {
		unsigned key = w->rows[++seq];

		if (!batch)
			world_push(w, seq, seq);
		last[key] = seq;
		if (!first[key])
			first[key] = seq;
	}
	for (unsigned key = 0; key < WORLD_KEYS && batch; key++)
		if (last[key])
			world_push(w, first[key], last[key]);
	hub_advance(w->hub, HUB_JOURNAL, seq);
	hub_flush(w->hub);
}

static inline void
world_turn(struct world *w)
{
	assert_int_equal(loop_turn(w->loop, 0), 0);
}

static inline void
world_fini(struct world *w)
{
	while (w->npending > 0)
		world_answer(w, 0);
	hub_free(w->hub);
	world_turn(w);
	slots_free(w->slots);
	loop_free(w->loop);
	free(w->rows);
}

static inline ssize_t
peer_writev(void *user, const struct iovec *iov, int n)
{
	struct peer *p = user;
	size_t room = p->step && p->step < p->budget ? p->step : p->budget;
	ssize_t taken = 0;

	assert_false(p->ended || p->aborted);
	if (p->broken)
		return -EPIPE;
	for (int i = 0; i < n && room > 0; i++) {
		size_t part = iov[i].iov_len < room ? iov[i].iov_len : room;
		struct sv bytes = {iov[i].iov_base, part};

		if (p->chunked)
			sse_feed_chunked(&p->sse, bytes);
		else
			sse_feed(&p->sse, bytes);
		assert_int_not_equal(p->sse.chunk, SSE_BROKEN);
		room -= part;
		p->budget -= part;
		taken += (ssize_t)part;
	}
	p->bytes += (size_t)taken;
	return taken ? taken : -EAGAIN;
}

static inline void
peer_want_write(void *user)
{
	((struct peer *)user)->wants = true;
}

static inline void
peer_end(void *user)
{
	struct peer *p = user;

	/* Only whole frames were sent. */
	assert_int_equal(p->sse.line.n, 0);
	assert_int_equal(p->sse.chunk, SSE_SIZE);
	p->ended = true;
	p->v = NULL;
}

static inline void
peer_abort(void *user)
{
	struct peer *p = user;

	p->aborted = true;
	p->v = NULL;
}

static const struct viewer_io peer_io = {
	.writev = peer_writev,
	.want_write = peer_want_write,
	.end = peer_end,
	.abort = peer_abort,
};

static inline void
peer_init(struct peer *p, struct world *w, bool chunked, sse_fn *fn)
{
	*p = (struct peer){.w = w, .chunked = chunked};
	sse_init(&p->sse, fn, p);
}

static inline void
peer_open(struct peer *p, unsigned key, int64_t resume, const char *user, uint64_t expires_ms)
{
	struct viewer_open o = {
		.io = &peer_io,
		.peer = p,
		.chunked = p->chunked,
		.resume = resume,
		.head = p->w->head,
		.floor = p->w->floor,
		.access = {.expires_ms = expires_ms},
	};

	assert_true(hub_jti("00112233445566778899aabbccddeeff", o.access.jti));
	assert_int_equal(slot_take(p->w->slots, user, 0, &o.own_slot), 0);
	assert_int_equal(hub_open(p->w->hub, HUB_KIND_TOPOLOGY, sv_from(world_keys[key]), malloc(1),
				  &o, &p->v),
			 0);
}

/* It takes so many bytes more. */
static inline void
peer_take(struct peer *p, size_t n)
{
	p->budget += n;
	if (p->v && p->wants) {
		p->wants = false;
		viewer_writable(p->v);
	}
}

#endif
