/* SPDX-License-Identifier: Apache-2.0 */
/* The lives of decoy processes, and the end of sessions with them. */
#include "resolver/lives.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "resolver/resolver.h"
#include "store/attacker.h"
#include "store/journal.h"
#include "store/log.h"
#include "util/clock.h"
#include "util/limits.h"
#include "util/log.h"

/* What has to be stored before the former life's sessions can be ended. */
enum step { STEP_NONE, STEP_FILLING, STEP_FLYING, STEP_NOW };

struct life {
	uint64_t source;
	bool done; /* its predecessors' sessions are ended */
	enum step step;
};

struct lives {
	struct pool *pool;
	struct bus_client *bus;
	const char *host;
	struct life v[RESOLVER_CHANNELS];
	bool stopping;
	/* The one that is under way. */
	struct pool_job job;
	bool busy;
	unsigned channel;
	uint64_t source;
	int outcome; /* how many, or a failure */
	struct err error;
	struct journal_rows rows;
};

static void end_next(struct lives *l);

/* On the store thread. */
static void
run_end(struct pool_job *job, void *thread_state)
{
	struct lives *l = job->user;
	struct db *db = thread_state;
	char channel[128], source[17];
	int r = db_begin_write(db, &l->error);

	(void)snprintf(channel, sizeof(channel), "%s/%u", l->host, l->channel);
	(void)snprintf(source, sizeof(source), "%016" PRIx64, l->source);
	if (r == 0)
		r = capture_source_channel(db, source, channel, clock_unix_ms(), &l->error);
	if (r == 0)
		r = attacker_sessions_lost(db, channel, source, LIMIT_INGEST_ROWS, clock_unix_ms(),
					   &l->error);
	l->outcome = r;
	if (r >= 0)
		r = db_commit(db, &l->error);
	else
		db_rollback(db);
	if (r < 0)
		l->outcome = r;
	else
		journal_take(db, &l->rows);
}

static void
on_ended(struct pool_job *job)
{
	struct lives *l = job->user;
	struct life *life = &l->v[l->channel];

	l->busy = false;
	for (size_t i = 0; i < l->rows.n; i++) {
		const struct journal_row *row = &l->rows.v[i];

		(void)bus_publish_event(l->bus, row->topic, row->ts_ms, row->seq, row->payload);
	}
	journal_rows_fini(&l->rows);
	if (l->outcome < 0) {
		/* The next hello tries again. */
		log_event(LV_WARN, "resolver.sessions.lost", KV_S("why", err_text(&l->error)));
		life->step = STEP_NONE;
	} else if (l->outcome < LIMIT_INGEST_ROWS && life->source == l->source) {
		life->done = true;
		life->step = STEP_NONE;
	}
	if (l->outcome > 0)
		log_event(LV_INFO, "resolver.sessions.lost", KV_I("sessions", l->outcome));
	end_next(l);
}

static void
end_next(struct lives *l)
{
	for (unsigned k = 0; k < RESOLVER_CHANNELS && !l->busy && !l->stopping; k++) {
		if (l->v[k].step != STEP_NOW)
			continue;
		l->channel = k;
		l->source = l->v[k].source;
		l->job = (struct pool_job){.run = run_end, .done = on_ended, .user = l};
		l->busy = pool_submit(l->pool, &l->job) == 0;
		if (!l->busy)
			l->v[k].step = STEP_NONE;
	}
}

struct lives *
lives_new(struct pool *pool, struct bus_client *bus, const char *host)
{
	struct lives *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->pool = pool;
	l->bus = bus;
	l->host = host;
	return l;
}

void
lives_free(struct lives *l)
{
	if (!l)
		return;
	journal_rows_fini(&l->rows);
	free(l);
}

void
lives_hello(struct lives *l, unsigned channel, uint64_t source, bool filling, bool flying)
{
	struct life *life = &l->v[channel];

	if (life->source != source)
		*life = (struct life){.source = source};
	if (life->done || life->step != STEP_NONE)
		return;
	life->step = filling ? STEP_FILLING : flying ? STEP_FLYING : STEP_NOW;
	end_next(l);
}

void
lives_submitted(struct lives *l)
{
	for (unsigned k = 0; k < RESOLVER_CHANNELS; k++)
		if (l->v[k].step == STEP_FILLING)
			l->v[k].step = STEP_FLYING;
}

void
lives_stored(struct lives *l)
{
	for (unsigned k = 0; k < RESOLVER_CHANNELS; k++)
		if (l->v[k].step == STEP_FLYING)
			l->v[k].step = STEP_NOW;
	end_next(l);
}

void
lives_stop(struct lives *l)
{
	l->stopping = true;
}
