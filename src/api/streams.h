/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_STREAMS_H
#define API_STREAMS_H

/*
 * The streams of a worker: the hub, what feeds it (journal, logs, events of the bus), and who may
 * go on watching. Everything but the jobs runs on the worker's loop.
 */

#include "api/stream_spec.h"
#include "api/worker.h"
#include "store/journal.h"
#include "stream/hub.h"
#include "util/attr.h"
#include "util/err.h"
#include "util/loop.h"
#include "util/pool.h"

struct stream_access;
struct stream_logs;

/* Reading the journal from where the hub stands. */
struct stream_reader {
	struct pool_job job;
	bool running, again;
	struct loop_timer timer;
	/* Asked. */
	int64_t after;
	bool idle; /* nobody watches: only where the journal ends */
	/* Answered. */
	struct journal_rows rows;
	int64_t head, epoch;
	bool stale; /* rows above `after` are gone */
	int r;
	struct err err;
};

struct streams {
	struct api_worker *worker;
	struct hub *hub;
	struct stream_reader reader;
	struct stream_access *access; /* a check under way, or NULL */
	int64_t epoch;		      /* every viewer's access was checked at it; -1: at none */
	int64_t epoch_min;	      /* least one seen by a viewer that came since */
	int64_t epoch_high;	      /* the highest at which anything was passed on */
	struct list held;	      /* answers of the store that were read at a later one */
	struct stream_logs *logs;
	struct loop_timer poll;
	bool failing; /* the last read of the journal failed, and was logged */
	bool stopping;
};

/* For api_worker.streams, with a struct streams as its user. */
extern const struct api_stream_ops streams_ops;

/* On the worker's thread, which has its loop; sets worker->streams. 0 or a negative errno. */
int streams_new(struct api_worker *w, struct streams **ret_streams, struct err *e) A_NODISCARD;
/* After the last answer of a store thread, before the server. NULL is fine. */
void streams_free(struct streams *s);

/*
 * Whether a viewer that was authenticated at this access epoch may begin. False: what is at hand
 * may have been committed after its access ended, so it is to be authenticated again.
 */
bool streams_may_begin(const struct streams *s, int64_t epoch);
/* It begins. */
void streams_note_epoch(struct streams *s, int64_t epoch);
/*
 * Whether what was read at this epoch may be passed on to those who watch. False: their access is
 * being looked at first; stream_store_release and stream_logs_go_on are called after that.
 */
bool streams_may_pass(struct streams *s, int64_t epoch);
/* Read on soon. */
void streams_poke(struct streams *s);

#endif
