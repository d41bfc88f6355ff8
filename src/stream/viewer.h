/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STREAM_VIEWER_H
#define STREAM_VIEWER_H

/* Inside of the hub: shared by hub.c, viewer.c, wheel.c and fetch.c, and by nobody else. */

#include "stream/hub.h"
#include "stream/ring.h"

enum viewer_state {
	VIEWER_SNAPSHOT, /* waits for a snapshot */
	VIEWER_REPLAY,	 /* gets what it missed, up to a fixed id */
	VIEWER_CATCHUP,	 /* fell off the ring, gets rows from the store */
	VIEWER_LIVE,	 /* has a place in the ring */
	VIEWER_ENDING,	 /* gets its last frame */
};

/* What only a viewer needs that is not live, or that has frames of its own to get. */
struct viewer_work {
	struct viewer *viewer;
	struct list wait; /* in a list of the stream while a snapshot is made */
	struct hub_fetch *fetch;
	struct frame_list queue; /* sent before anything of the ring */
	size_t at;		 /* the first of them that is not sent */
	int64_t from, to;	 /* REPLAY */
	uint64_t replayed;
	uint64_t since; /* end of the ring when the viewer came */
	enum hub_snapshot reason;
};

struct viewer {
	struct list node; /* the stream's idle list, the hub's ready list, or none */
	struct list due;  /* a bucket of the wheel */
	struct hub_stream *stream;
	const struct viewer_io *io;
	void *peer;
	struct viewer_work *work; /* NULL for a live viewer with nothing of its own to get */
	struct frame *part;	  /* began to be sent; `off` bytes are */
	struct slot *slot;
	uint64_t pos;	  /* LIVE: next position in the ring */
	int64_t last_id;  /* every row up to it is sent, or in the queue, or in the snapshot */
	uint64_t mark_ms; /* last byte taken; ENDING: when that began */
	uint64_t expires_ms;
	int64_t iat_ms, epoch;
	uint8_t jti[16];
	uint32_t off;
	uint8_t state;	/* enum viewer_state */
	uint8_t reason; /* enum stream_close, ENDING */
	bool chunked, is_admin, blocked, closed;
};

struct hub_stream {
	struct list node;	 /* of its kind */
	struct hub_stream *next; /* in its bucket */
	struct hub *hub;
	enum hub_kind kind;
	unsigned refs; /* viewers and fetches */
	struct ring ring;
	struct list idle; /* viewers that have everything */
	struct hub_fetch *snap;
	struct list snap_now, snap_next; /* works that get this snapshot, the one after it */
	void *user;
	size_t key_n;
	char key[];
};

#define WHEEL_BUCKETS  64
#define STREAM_BUCKETS 1024

struct hub {
	struct loop *loop;
	const struct hub_ops *ops;
	void *user;
	int64_t seq[HUB_SOURCE_COUNT];
	unsigned streams[HUB_SOURCE_COUNT];
	unsigned viewers;
	struct list kinds[HUB_KIND_COUNT];
	struct hub_stream *bucket[STREAM_BUCKETS];
	struct list ready; /* viewers to write to, first come first served */
	struct loop_timer flush_timer;
	struct list wheel[WHEEL_BUCKETS];
	uint64_t wheel_tick, wheel_armed;
	struct loop_timer wheel_timer;
	struct list fetches; /* not started */
	unsigned fetching;
	struct loop_timer fetch_timer;
	size_t ring_frames, ring_bytes;
	struct frame *opening, *keepalive;
	struct hub_stats stats;
};

enum hub_source hub_kind_source(enum hub_kind kind);
void hub_stream_release(struct hub_stream *s);

/* Write what there is to write; the viewer may be closed afterwards. */
void viewer_pump(struct viewer *v);
/* Have it written to by the next hub_flush. */
void viewer_ready(struct viewer *v);
/* Say bye (or `error`) and close. Nothing else follows but the rest of a frame that has begun.
 * Writes nothing itself. */
void viewer_end(struct viewer *v, enum stream_close reason);
/* Close at once. */
void viewer_close(struct viewer *v, enum stream_close reason);
/* Frames for this viewer alone. Takes the reference over. 0 or -ENOMEM. */
int viewer_queue(struct viewer *v, struct frame *own_f) A_NODISCARD;
int viewer_need_work(struct viewer *v) A_NODISCARD;
/* Take a place in the ring if it holds everything above last_id, else catch up. */
void viewer_join(struct viewer *v);
/* Queue what follows a snapshot or `resumed`, and join. */
int viewer_greet(struct viewer *v) A_NODISCARD;

/* Where the viewer's next deadline goes. */
void wheel_put(struct hub *h, struct viewer *v);
void wheel_init(struct hub *h);

/* Ask for rows above last_id up to `upto`; the viewer waits. */
int fetch_rows(struct viewer *v, int64_t upto) A_NODISCARD;
/* Ask for a snapshot; viewers of a stream that wait at the same time share one. */
int fetch_snapshot(struct viewer *v) A_NODISCARD;
/* The viewer no longer waits for either. */
void fetch_forget(struct viewer *v);
/* Start what may be started. */
void fetch_start(struct hub *h);

#endif
