/* SPDX-License-Identifier: Apache-2.0 */
/* From messages to sightings, from sightings to the store. */
#include "resolver/batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/limits.h"

void
batch_reset(struct batch_in *b)
{
	for (size_t i = 0; i < b->n; i++)
		sighting_fini(&b->v[i]);
	b->n = 0;
	memset(b->rejected, 0, sizeof(b->rejected));
}

void
batch_fini(struct batch_in *b)
{
	batch_reset(b);
	free(b->v);
	*b = (struct batch_in){0};
}

static int
push(struct batch_in *b, const struct sighting *s)
{
	if (b->n == b->cap) {
		size_t cap = b->cap ? b->cap * 2 : LIMIT_INGEST_ROWS;
		struct sighting *v = realloc(b->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		b->v = v;
		b->cap = cap;
	}
	b->v[b->n++] = *s;
	return 0;
}

static int
add_frame(struct batch_in *b, const struct capture *c, uint64_t now_ms)
{
	struct sighting s = {0};
	enum reject why = REJECT_FRAME;
	int r = sighting_check(c, now_ms, &s, &why);

	if (r == -EBADMSG) {
		b->rejected[why]++;
		s = (struct sighting){.source = c->source, .rejected = true};
		if (c->source != 0 && c->no <= INT64_MAX)
			s.no = (int64_t)c->no;
		r = 0;
	}
	if (r < 0)
		return r;
	r = push(b, &s);
	if (r < 0)
		sighting_fini(&s);
	return r;
}

int
batch_add(struct batch_in *b, struct sv message, uint64_t now_ms)
{
	struct capture c;
	size_t used = 0;
	int r = 0;

	while (r == 0 && message.n) {
		if (capture_get(message, &used, &c) <= 0) {
			b->rejected[REJECT_FRAME]++;
			return 0;
		}
		message = sv_drop(message, used);
		r = add_frame(b, &c, now_ms);
	}
	return r;
}

/* Whether trying again later can help. */
static bool
may_pass(int r)
{
	return r == -EBUSY || r == -EIO || r == -ENOSPC || r == -ENOMEM || r == -EROFS;
}

static int
join_rows(struct journal_rows *to, struct journal_rows *own_from)
{
	struct journal_row *v;

	if (own_from->n > 0) {
		v = realloc(to->v, (to->n + own_from->n) * sizeof(*v));
		if (!v) {
			journal_rows_fini(own_from);
			return -ENOMEM;
		}
		memcpy(v + to->n, own_from->v, own_from->n * sizeof(*v));
		to->v = v;
		to->n += own_from->n;
		to->cap = to->n;
	}
	free(own_from->v);
	*own_from = (struct journal_rows){0};
	return 0;
}

static void
join(struct ingest_result *to, struct ingest_result *own_from)
{
	to->flushed += own_from->flushed;
	to->repeated += own_from->repeated;
	to->early += own_from->early;
	if (own_from->position)
		to->position = own_from->position;
	if (to->gap.no == 0)
		to->gap = own_from->gap;
	for (size_t i = 0; i < own_from->nacks; i++) {
		size_t k = 0;

		while (k < to->nacks && to->acks[k].source != own_from->acks[i].source)
			k++;
		if (k == INGEST_SOURCES_MAX)
			continue;
		to->acks[k] = own_from->acks[i];
		to->nacks += k == to->nacks;
	}
	/* Hints only: losing them costs a delay. */
	(void)join_rows(&to->rows, &own_from->rows);
}

static int
store_each(struct batch_in *b, struct db *db, struct linker *linker, uint64_t now_ms,
	   const struct capture_ack *start, struct ingest_result *ret, struct err *e)
{
	struct ingest_result sum = {0}, one;
	int r = 0;

	for (size_t i = 0; r == 0 && i < b->n; i++) {
		r = ingest_batch(db, linker, &b->v[i], 1, now_ms, start, &one, e);
		if (r < 0 && !may_pass(r)) {
			b->rejected[REJECT_STORE]++;
			b->v[i].rejected = true;
			r = ingest_batch(db, linker, &b->v[i], 1, now_ms, start, &one, e);
		}
		if (r == 0)
			join(&sum, &one);
	}
	if (r < 0) {
		journal_rows_fini(&sum.rows);
		return may_pass(r) ? r : -EIO;
	}
	*ret = sum;
	return 0;
}

int
batch_store(struct batch_in *b, struct db *db, struct linker *linker, uint64_t now_ms,
	    const struct capture_ack *start, struct ingest_result *ret, struct err *e)
{
	int r = ingest_batch(db, linker, b->v, b->n, now_ms, start, ret, e);

	return r == 0 || may_pass(r) ? r : store_each(b, db, linker, now_ms, start, ret, e);
}
