/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_STREAM_LOGS_H
#define API_STREAM_LOGS_H

/* The stream of log rows (contract 3.6): rows, and statistics and histogram as whole values. */

#include "api/stream_spec.h"
#include "store/db.h"
#include "stream/frame.h"
#include "util/attr.h"
#include "util/err.h"

struct streams;
struct stream_logs;

/* 0 or -ENOMEM. */
int stream_logs_new(struct streams *s, struct stream_logs **ret_logs) A_NODISCARD;
void stream_logs_free(struct stream_logs *logs);
/* Read on soon, if anybody watches. */
void stream_logs_poke(struct stream_logs *logs);
/* Everybody who watches was looked at (streams_may_pass): go on with what waited for it. */
void stream_logs_go_on(struct stream_logs *logs);
/* Statistics may have changed. */
void stream_logs_changed(struct stream_logs *logs);

/* Store thread: rows of the stream with after < id <= upto, as frames; *ret_reached says how far
 * they go. As hub_ops.read. */
int stream_logs_read(struct db *db, const struct stream_spec *spec, int64_t after, int64_t upto,
		     struct frame_list *ret_frames, int64_t *ret_reached,
		     struct err *e) A_NODISCARD;

/* Statistics and histogram of one moment. */
struct stream_logs_now {
	int64_t head, epoch;
	char *stats, *histogram; /* JSON, heap */
};

/* Store thread, in a read transaction. 0 or a negative errno. */
int stream_logs_now(struct db *db, struct stream_logs_now *ret, struct err *e) A_NODISCARD;
void stream_logs_now_fini(struct stream_logs_now *now);
/* From here on viewers are greeted with these, unless newer ones are there. */
void stream_logs_take(struct stream_logs *logs, struct stream_logs_now *now);
/* The two frames that a viewer begins with. */
void stream_logs_greet(struct stream_logs *logs, struct frame_list *ret_frames);

#endif
