/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STREAM_HUB_H
#define STREAM_HUB_H

/*
 * The hub: streams that exist while somebody watches them, each with one ring of shared frames, and
 * viewers that are cursors into it. A viewer gets a snapshot or the rows it missed, and then every
 * row in order, exactly once; what the ring no longer holds is read from the store in chunks, what
 * the store no longer holds is replaced by a new snapshot. One loop, one thread.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "stream/frame.h"
#include "stream/slots.h"
#include "util/attr.h"
#include "util/err.h"
#include "util/list.h"
#include "util/loop.h"

#define HUB_KEEPALIVE_MS 15000
#define HUB_STALL_MS	 30000

/* The sequences that ids come from. */
enum hub_source { HUB_JOURNAL, HUB_LOGS, HUB_SOURCE_COUNT };

enum hub_kind {
#define KIND(name, label, source) HUB_KIND_##name,
#include "stream/kinds.def"
#undef KIND
	HUB_KIND_COUNT
};

enum stream_close {
	CLOSE_NONE,
#define CLOSE(name, label, bye) CLOSE_##name,
#include "stream/close.def"
#undef CLOSE
	CLOSE_COUNT
};

/* Why a snapshot was sent. */
enum hub_snapshot { HUB_CONNECT, HUB_EXPIRED, HUB_LAGGED, HUB_SNAPSHOT_COUNT };

const char *hub_kind_label(enum hub_kind kind);
const char *hub_close_label(enum stream_close reason);
const char *hub_snapshot_label(enum hub_snapshot reason);

struct hub;
struct hub_stream;
struct viewer;

/* A question to the store. It lives until it is answered, on the loop; its stream lives as long. */
struct hub_fetch {
	struct list node; /* the hub's */
	struct hub *hub;
	struct hub_stream *stream;
	struct viewer *viewer; /* the hub's: NULL when it left, and for snapshots */
	bool snapshot;
	bool started;
	int64_t after, upto; /* rows wanted: after < id <= upto */
};

/* What the hub needs from the application. Answers never come before the question returns. */
struct hub_ops {
	/*
	 * Start reading the rows of f->stream with f->after < id <= f->upto, at most
	 * LIMIT_STREAM_CHUNK_ROWS rows and about LIMIT_STREAM_CHUNK_BYTES bytes, at least one row
	 * if there is one. Answered by hub_read_done. 0, or -EBUSY: asked again a little later.
	 */
	int (*read)(void *user, struct hub_fetch *f);
	/* Start making the snapshot of f->stream. Answered by hub_snapshot_done. 0 or -EBUSY. */
	int (*snapshot)(void *user, struct hub_fetch *f);
	/* Frames that follow a snapshot or `resumed`; they carry no id. May be NULL. */
	void (*greet)(void *user, struct hub_stream *s, struct frame_list *ret_frames);
	/* The stream is gone: free what hub_open was given for it. May be NULL. */
	void (*stream_free)(void *user, enum hub_kind kind, void *stream_user);
};

/* How a viewer's connection is spoken to. */
struct viewer_io {
	/* Bytes taken, possibly fewer than given; 0 or -EAGAIN: none now; another negative errno:
	 * broken. Does not call the hub. */
	ssize_t (*writev)(void *peer, const struct iovec *iov, int n);
	/* Call viewer_writable, once, when bytes can be taken again. Does not call the hub. */
	void (*want_write)(void *peer);
	/* Every byte was taken: end the response in order. The peer is no longer the viewer's and
	 * viewer_gone is not called. */
	void (*end)(void *peer);
	/* Close now, whatever was sent. As above. */
	void (*abort)(void *peer);
};

/* Who watches, as it was when the request was authenticated. */
struct viewer_access {
	const char *user; /* uuid; the slot's */
	uint8_t jti[16];
	int64_t iat_ms;
	uint64_t expires_ms; /* loop time */
	int64_t epoch;	     /* access epoch that was seen */
	bool is_admin;
};

struct viewer_open {
	const struct viewer_io *io;
	void *peer;
	bool chunked; /* frames go out with their chunk header */
	struct slot *own_slot;
	struct viewer_access access; /* access.user is not read */
	int64_t resume;		     /* last id the client has seen, 0: none */
	int64_t head, floor;	     /* of the sequence, read when the request was accepted */
};

struct hub_stats {
	uint64_t streams[HUB_KIND_COUNT]; /* open viewers */
	uint64_t frames[HUB_KIND_COUNT];  /* frames sent */
	uint64_t closed[CLOSE_COUNT];
	uint64_t snapshots[HUB_SNAPSHOT_COUNT];
	uint64_t ring_evicted;
};

/* `ops` and `user` are borrowed. 0 or a negative errno. */
int hub_new(struct loop *l, const struct hub_ops *ops, void *user, struct hub **ret_hub,
	    struct err *e) A_NODISCARD;
/* Closes every viewer. No fetch may be unanswered. */
void hub_free(struct hub *h);
/* Ceilings of the rings made from here on, in place of those of limits.def: for tests. */
void hub_set_ring(struct hub *h, size_t max_frames, size_t max_bytes);

/* Up to where the rows of a sequence have been fed. */
int64_t hub_seq(const struct hub *h, enum hub_source source);
/* Every row up to `seq` has been pushed to the streams it concerns. */
void hub_advance(struct hub *h, enum hub_source source, int64_t seq);
/* Rows up to `seq` were not pushed and will not be: every viewer behind it asks the store. */
void hub_reset(struct hub *h, enum hub_source source, int64_t seq);

/* The stream, or NULL when nobody watches it. */
struct hub_stream *hub_find(const struct hub *h, enum hub_kind kind, struct sv key);
/* The streams of a kind, one after the other; NULL begins, NULL ends. */
struct hub_stream *hub_next(const struct hub *h, enum hub_kind kind, struct hub_stream *s);
/* Whether nobody watches anything that follows this sequence. */
bool hub_idle(const struct hub *h, enum hub_source source);
enum hub_kind hub_stream_kind(const struct hub_stream *s);
struct sv hub_stream_key(const struct hub_stream *s);
void *hub_stream_user(const struct hub_stream *s);

/* Give a frame to the viewers of a stream (takes its own reference). Ids rise. Nothing is written
 * before hub_flush. */
void hub_push(struct hub_stream *s, struct frame *f);
/* Write to the viewers that have something to get: a slice now, the rest in the next turns. */
void hub_flush(struct hub *h);

/*
 * A viewer of the stream, which is made if need be; `own_user` is the application's part of it
 * (freed by stream_free, also when the stream exists already). The response must have begun; the
 * first bytes are written now. 0 and *ret_viewer, or -ENOMEM: then the peer is still the caller's,
 * the slot is dropped. The viewer may already be closed when this returns: *ret_viewer is NULL
 * then.
 */
int hub_open(struct hub *h, enum hub_kind kind, struct sv key, void *own_user,
	     const struct viewer_open *o, struct viewer **ret_viewer) A_NODISCARD;
/* The peer takes bytes again. */
void viewer_writable(struct viewer *v);
/* The peer is gone (closed by the client, broken). */
void viewer_gone(struct viewer *v);

/* Takes the frames over. r: 0, and all rows up to `upto` (>= f->after) are among them; -ESTALE: the
 * store no longer holds every row above f->after; another negative errno: failed. Frees f. */
void hub_read_done(struct hub_fetch *f, int r, struct frame_list *own_frames, int64_t upto);
/* `json` is an object without `watermark` and `reason`. r: 0; -ENOENT: what is watched was deleted;
 * another negative errno: failed. Frees f. */
void hub_snapshot_done(struct hub_fetch *f, int r, struct sv json, int64_t watermark);

/* CLOSE_NONE: it may go on. */
typedef enum stream_close hub_judge_fn(void *user, const struct viewer_access *a);
/* Ask about every viewer and end those whose access has ended: nothing but a `bye` follows, and the
 * close within a second. */
void hub_judge(struct hub *h, hub_judge_fn *fn, void *user);
/* End all streams of a user, of a token, or all there are. */
void hub_end_user(struct hub *h, const char *user, enum stream_close reason);
void hub_end_token(struct hub *h, const char *jti_hex, enum stream_close reason);
void hub_end_all(struct hub *h, enum stream_close reason);
/* Viewers that are open. */
unsigned hub_viewers(const struct hub *h);
void hub_stats(const struct hub *h, struct hub_stats *ret_stats);
/* 32 hex digits as 16 bytes; false for another text. */
bool hub_jti(const char *hex, uint8_t ret_jti[16]);

#endif
