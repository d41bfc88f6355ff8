/* SPDX-License-Identifier: Apache-2.0 */
/* The last rows of the journal that were hinted at or delivered, by sequence number. */
#include "trace/marks.h"

#include <pthread.h>
#include <stdio.h>

struct mark {
	int64_t seq;
	struct trace_ctx ctx; /* all zero: not known yet */
	/* Delivered before the hint had come: */
	unsigned streams;
	uint64_t start_ns, end_ns;
	char type[64];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mark marks[TRACE_MARKS]; /* under the lock */

static struct mark *
mark_of(int64_t seq)
{
	struct mark *m = &marks[(uint64_t)seq % TRACE_MARKS];

	if (m->seq != seq)
		*m = (struct mark){.seq = seq};
	return m;
}

static void
tell(const struct mark *m)
{
	char name[TRACE_NAME_SIZE];
	struct trace_span *s;

	(void)snprintf(name, sizeof(name), "deliver %s", m->type);
	s = trace_begin(name, TRACE_CONSUMER, &m->ctx);
	if (!s)
		return;
	s->start_ns = m->start_ns;
	s->end_ns = m->end_ns;
	trace_number(s, "decnet.seq", m->seq);
	trace_number(s, "decnet.streams", m->streams);
	trace_end(s);
}

void
trace_mark(int64_t seq, const struct trace_ctx *ctx)
{
	struct mark late = {0}, *m;

	if (!trace_on() || seq <= 0 || !trace_ctx_valid(ctx))
		return;
	(void)pthread_mutex_lock(&lock);
	m = mark_of(seq);
	/* Our own hint comes back to us. */
	if (!trace_ctx_valid(&m->ctx)) {
		m->ctx = *ctx;
		late = *m;
	}
	(void)pthread_mutex_unlock(&lock);
	if (late.streams > 0)
		tell(&late);
}

void
trace_mark_delivered(int64_t seq, struct sv type, unsigned streams, uint64_t start_ns)
{
	struct mark now = {0}, *m;

	if (!trace_on() || seq <= 0 || streams == 0)
		return;
	(void)pthread_mutex_lock(&lock);
	m = mark_of(seq);
	now = *m;
	now.streams = streams;
	now.start_ns = start_ns;
	now.end_ns = trace_now_ns();
	(void)snprintf(now.type, sizeof(now.type), "%.*s", (int)type.n, type.p);
	if (!trace_ctx_valid(&m->ctx))
		*m = now;
	(void)pthread_mutex_unlock(&lock);
	if (trace_ctx_valid(&now.ctx))
		tell(&now);
}
