/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_STREAMS_H
#define API_STREAMS_H

/*
 * The streams of the API: the hub, what feeds it (journal, logs, bus), and who may go on watching.
 * Everything but the jobs runs on the loop.
 */

#include "api/state.h"
#include "api/stream_spec.h"
#include "bus/client.h"
#include "store/journal.h"
#include "stream/hub.h"
#include "util/attr.h"
#include "util/buf.h"
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
	struct api_state *state;
	struct hub *hub;
	struct slots *slots;
	struct stream_reader reader;
	struct stream_access *access; /* a check under way, or NULL */
	int64_t epoch;		      /* every viewer's access was checked at it */
	int64_t epoch_min;	      /* least one seen by a viewer that came since */
	struct stream_logs *logs;
	struct loop_timer poll;
	unsigned polls;
	uint64_t bus_bad; /* messages that were no events, dropped */
	bool failing;	  /* the last read of the journal failed, and was logged */
	bool stopping;
};

/* For api_state.streams, with a struct streams as its user. */
extern const struct api_stream_ops streams_ops;

/* After the bus client and the pool; sets state->streams. 0 or a negative errno. */
int streams_new(struct api_state *state, struct streams **ret_streams, struct err *e) A_NODISCARD;
/* After the pool is freed, before the server. */
void streams_free(struct streams *s);

/* A viewer begins that was authenticated at this access epoch. */
void streams_note_epoch(struct streams *s, int64_t epoch);
/* Read on soon. */
void streams_poke(struct streams *s);

/* Append lines for the metrics, straight after those of decnet_limit_hits_total. 0, -ENOBUFS,
 * -ENOMEM. */
int stream_metrics_put(const struct streams *s, struct buf *b) A_NODISCARD;

#endif
