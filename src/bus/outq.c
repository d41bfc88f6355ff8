/* SPDX-License-Identifier: Apache-2.0 */
/* The pending queue of a client: a byte ring of whole units in order, and in front of it what can
 * no longer be dropped. */
#include "bus/outq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/limits.h"

#define UNIT_CONTROL 0x80000000u
#define RING_MIN     16384
/* An empty queue gives larger memory back at once, the rest when its client is silent. */
#define RING_KEEP    524288
#define UNITS_MIN    64
/* Control lines are bounded by whoever reads them; this is far above that bound. */
#define CONTROL_MAX  4194304u
#define HEAD_SMALL   1024

void
bus_outq_trim(struct bus_outq *q)
{
	if (!bus_outq_empty(q))
		return;
	buf_fini(&q->begun);
	free(q->ring);
	free(q->units);
	q->ring = NULL;
	q->units = NULL;
	q->ring_cap = q->ring_head = q->units_cap = q->units_head = 0;
	q->begun_at = q->begun_control = 0;
}

void
bus_outq_fini(struct bus_outq *q)
{
	buf_fini(&q->begun);
	free(q->ring);
	free(q->units);
	*q = (struct bus_outq){0};
}

static int
grow_ring(struct bus_outq *q, size_t need)
{
	size_t cap = q->ring_cap ? q->ring_cap : RING_MIN, first;
	char *ring;

	while (cap < need)
		cap *= 2;
	if (cap == q->ring_cap)
		return 0;
	ring = malloc(cap);
	if (!ring)
		return -ENOMEM;
	first = q->ring_cap - q->ring_head < q->ring_n ? q->ring_cap - q->ring_head : q->ring_n;
	if (q->ring_n) {
		memcpy(ring, q->ring + q->ring_head, first);
		memcpy(ring + first, q->ring, q->ring_n - first);
	}
	free(q->ring);
	q->ring = ring;
	q->ring_cap = cap;
	q->ring_head = 0;
	return 0;
}

static int
grow_units(struct bus_outq *q)
{
	size_t cap = q->units_cap ? q->units_cap * 2 : UNITS_MIN;
	uint32_t *units;

	if (q->units_n < q->units_cap)
		return 0;
	units = malloc(cap * sizeof(*units));
	if (!units)
		return -ENOMEM;
	for (size_t i = 0; i < q->units_n; i++)
		units[i] = q->units[(q->units_head + i) & (q->units_cap - 1)];
	free(q->units);
	q->units = units;
	q->units_cap = cap;
	q->units_head = 0;
	return 0;
}

static void
put_bytes(struct bus_outq *q, const char *p, size_t n)
{
	size_t at = (q->ring_head + q->ring_n) & (q->ring_cap - 1);
	size_t first = q->ring_cap - at < n ? q->ring_cap - at : n;

	if (n == 0)
		return;
	memcpy(q->ring + at, p, first);
	memcpy(q->ring, p + first, n - first);
	q->ring_n += n;
}

static uint32_t *
unit_at(const struct bus_outq *q, size_t i)
{
	return &q->units[(q->units_head + i) & (q->units_cap - 1)];
}

/* Take the first unit out of the accounts; its bytes are dropped from the ring. */
static uint32_t
pop_unit(struct bus_outq *q)
{
	uint32_t unit = *unit_at(q, 0), n = unit & ~UNIT_CONTROL;

	q->units_head = (q->units_head + 1) & (q->units_cap - 1);
	q->units_n--;
	q->ring_head = (q->ring_head + n) & (q->ring_cap - 1);
	q->ring_n -= n;
	if (unit & UNIT_CONTROL) {
		q->control_bytes -= n;
	} else {
		q->messages--;
		q->message_bytes -= n;
	}
	return unit;
}

/* Move the first unit, without the `skip` bytes that have left, behind what was begun. */
static int
begin_unit(struct bus_outq *q, size_t skip)
{
	size_t n = (*unit_at(q, 0) & ~UNIT_CONTROL) - skip;
	size_t at = (q->ring_head + skip) & (q->ring_cap - 1);
	size_t first = q->ring_cap - at < n ? q->ring_cap - at : n;

	if (q->begun_at) {
		buf_drop(&q->begun, q->begun_at);
		q->begun_at = 0;
	}
	q->begun.max = SIZE_MAX / 2;
	if (buf_reserve(&q->begun, n) < 0)
		return -ENOMEM;
	memcpy(q->begun.p + q->begun.n, q->ring + at, first);
	memcpy(q->begun.p + q->begun.n + first, q->ring, n - first);
	q->begun.n += n;
	if (pop_unit(q) & UNIT_CONTROL)
		q->begun_control += n;
	return 0;
}

/* Drop the oldest message; control lines before it keep their place. */
static int
drop_oldest(struct bus_outq *q)
{
	while (*unit_at(q, 0) & UNIT_CONTROL) {
		int r = begin_unit(q, 0);

		if (r < 0)
			return r;
	}
	(void)pop_unit(q);
	q->dropped++;
	return 0;
}

bool
bus_outq_full(const struct bus_outq *q, size_t n)
{
	return q->messages >= LIMIT_BUS_PENDING_MSGS || n > LIMIT_BUS_PENDING_BYTES ||
	       q->message_bytes > LIMIT_BUS_PENDING_BYTES - n;
}

static void
count_message(struct bus_outq *q, size_t n)
{
	*unit_at(q, q->units_n++) = (uint32_t)n;
	q->messages++;
	q->message_bytes += n;
}

/* Where there is room for `max` bytes in one piece, and below every ceiling: written in place. */
static bool
put_in_place(struct bus_outq *q, const struct bus_ev *ev, size_t max)
{
	size_t at = (q->ring_head + q->ring_n) & (q->ring_cap - 1), n;
	char *dst = q->ring + at;

	if (q->ring_cap - q->ring_n < max || q->ring_cap - at < max || q->units_n == q->units_cap ||
	    bus_outq_full(q, max))
		return false;
	n = bus_proto_head(dst, ev);
	if (ev->headers.n)
		memcpy(dst + n, ev->headers.p, ev->headers.n);
	n += ev->headers.n;
	if (ev->payload.n)
		memcpy(dst + n, ev->payload.p, ev->payload.n);
	n += ev->payload.n;
	memcpy(dst + n, "\r\n", 2);
	q->ring_n += n + 2;
	count_message(q, n + 2);
	return true;
}

int
bus_outq_message(struct bus_outq *q, const struct bus_ev *ev)
{
	A_UNINIT char small[HEAD_SMALL];
	char *head = small;
	size_t max = bus_proto_head_max(ev), head_n, n;
	int dropped = 0;

	if (q->ring_cap > 0 && put_in_place(q, ev, max + ev->headers.n + ev->payload.n + 2))
		return 0;
	/* Only a foreign reply subject can make it so long. */
	if (max > sizeof(small) && !(head = malloc(max)))
		goto lost;
	head_n = bus_proto_head(head, ev);
	n = head_n + ev->headers.n + ev->payload.n + 2;
	while (q->messages > 0 && bus_outq_full(q, n)) {
		if (drop_oldest(q) < 0)
			goto lost;
		dropped++;
	}
	if (grow_ring(q, q->ring_n + n) < 0 || grow_units(q) < 0)
		goto lost;
	put_bytes(q, head, head_n);
	put_bytes(q, ev->headers.p, ev->headers.n);
	put_bytes(q, ev->payload.p, ev->payload.n);
	put_bytes(q, "\r\n", 2);
	count_message(q, n);
	if (head != small)
		free(head);
	return dropped;
lost:
	if (head != small)
		free(head);
	q->dropped++;
	return -ENOMEM;
}

int
bus_outq_control(struct bus_outq *q, const struct bus_ev *ev)
{
	struct buf line;
	uint32_t *last;
	int r;

	buf_init(&line, CONTROL_MAX);
	r = bus_proto_put(&line, ev);
	if (r == 0 && bus_outq_control_bytes(q) > CONTROL_MAX - line.n)
		r = -ENOMEM;
	if (r == 0 && q->units_n == 0) {
		q->begun.max = SIZE_MAX / 2;
		if (q->begun_at > q->begun.n / 2) {
			buf_drop(&q->begun, q->begun_at);
			q->begun_at = 0;
		}
		r = buf_put(&q->begun, buf_sv(&line));
		if (r == 0)
			q->begun_control += line.n;
		goto out;
	}
	if (r == 0)
		r = grow_ring(q, q->ring_n + line.n);
	if (r == 0)
		r = grow_units(q);
	if (r < 0)
		goto out;
	put_bytes(q, line.p, line.n);
	q->control_bytes += line.n;
	last = unit_at(q, q->units_n - 1);
	if (*last & UNIT_CONTROL)
		*last += (uint32_t)line.n;
	else
		*unit_at(q, q->units_n++) = (uint32_t)line.n | UNIT_CONTROL;
out:
	buf_fini(&line);
	return r < 0 ? -ENOMEM : 0;
}

bool
bus_outq_empty(const struct bus_outq *q)
{
	return q->units_n == 0 && q->begun.n == q->begun_at;
}

size_t
bus_outq_bytes(const struct bus_outq *q)
{
	return q->begun.n - q->begun_at + q->ring_n;
}

size_t
bus_outq_control_bytes(const struct bus_outq *q)
{
	return q->begun_control + q->control_bytes;
}

unsigned
bus_outq_peek(const struct bus_outq *q, struct iovec iov[BUS_OUTQ_IOV])
{
	size_t first =
		q->ring_cap - q->ring_head < q->ring_n ? q->ring_cap - q->ring_head : q->ring_n;
	unsigned n = 0;

	if (q->begun.n > q->begun_at)
		iov[n++] = (struct iovec){q->begun.p + q->begun_at, q->begun.n - q->begun_at};
	if (first)
		iov[n++] = (struct iovec){q->ring + q->ring_head, first};
	if (q->ring_n > first)
		iov[n++] = (struct iovec){q->ring, q->ring_n - first};
	return n;
}

int
bus_outq_sent(struct bus_outq *q, size_t n)
{
	size_t rest = q->begun.n - q->begun_at;

	if (n < rest) {
		q->begun_at += n;
		return 0;
	}
	n -= rest;
	buf_reset(&q->begun);
	q->begun_at = q->begun_control = 0;
	while (q->units_n && n >= (*unit_at(q, 0) & ~UNIT_CONTROL))
		n -= pop_unit(q) & ~UNIT_CONTROL;
	if (n > 0)
		return begin_unit(q, n);
	if (q->units_n == 0 && q->ring_cap > RING_KEEP) {
		free(q->ring);
		q->ring = NULL;
		q->ring_cap = q->ring_head = 0;
	}
	if (q->begun.cap > RING_KEEP)
		buf_fini(&q->begun);
	return 0;
}
