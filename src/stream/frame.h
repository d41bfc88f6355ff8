/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STREAM_FRAME_H
#define STREAM_FRAME_H

/*
 * One frame of a stream, encoded once and shared by all its viewers. The bytes stand between a
 * chunk header and a chunk end, so that they go out on HTTP/1.1 as they are. Pure; the counter is
 * atomic, because frames are made on store threads and freed on the loop.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/attr.h"
#include "util/sv.h"

struct frame {
	atomic_uint refs;
	uint32_t head_n;  /* bytes of the chunk header */
	uint32_t text_n;  /* bytes of the frame itself */
	uint32_t rows;	  /* rows it stands for: 1, more for a batch */
	int64_t id;	  /* 0: live only, never replayed */
	int64_t first_id; /* id of its first row; equal to id unless it is a batch */
	uint8_t ends;	  /* enum stream_close that follows this frame, 0: none */
	char bytes[];	  /* chunk header, text, chunk end */
};

/*
 * `event:`, then `id:` unless id is 0, then one `data:` line, then a blank line. 0 and *ret_frame
 * with one reference, -EINVAL (the name or the data holds a line end or a NUL, the name is empty,
 * id < 0), -EMSGSIZE, -ENOMEM.
 */
int frame_new(struct sv event, int64_t id, struct sv data, struct frame **ret_frame) A_NODISCARD;
/* The same with an `id:` line in any case, also for 0: where a stream stands. */
int frame_new_mark(struct sv event, int64_t id, struct sv data,
		   struct frame **ret_frame) A_NODISCARD;
/* Bytes as they are: comments, `retry:`. As above; -EINVAL unless it ends in an empty line. */
int frame_new_raw(struct sv text, struct frame **ret_frame) A_NODISCARD;
/*
 * A frame of an event: data `{"topic","type","ts","payload"}`. The name is that of the contract
 * (3.3), or the whole topic if asked for. `payload` is the text of a JSON object. As frame_new;
 * also -EINVAL when the topic is not UTF-8.
 */
int frame_new_event(struct sv topic, bool full_name, struct sv type, uint64_t ts_ms, int64_t id,
		    struct sv payload, struct frame **ret_frame) A_NODISCARD;
struct frame *frame_ref(struct frame *f);
void frame_unref(struct frame *f);

/* What to send: with chunk header and end, or the bare text. */
struct sv frame_bytes(const struct frame *f, bool chunked);

/* Frames in order; zeroed memory is an empty list. */
struct frame_list {
	struct frame **v;
	size_t n, cap;
};

/* Takes the reference over, also on failure. 0 or -ENOMEM. */
int frame_list_push(struct frame_list *l, struct frame *own_f) A_NODISCARD;
void frame_list_fini(struct frame_list *l);

#endif
