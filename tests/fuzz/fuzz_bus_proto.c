/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte picks the side. However the bytes are cut the same events come out, and each
 * survives being written and read again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bus/proto.h"

#define INPUT_MAX 3000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct trace {
	uint64_t hash;
	unsigned events;
	int end;
};

static void
mix(struct trace *t, struct sv s)
{
	t->hash = (t->hash ^ s.n) * 0x100000001b3u;
	for (size_t i = 0; i < s.n; i++)
		t->hash = (t->hash ^ (unsigned char)s.p[i]) * 0x100000001b3u;
}

static void
inside(struct sv s, struct sv in)
{
	if (s.n && (s.p < in.p || s.p + s.n > in.p + in.n))
		abort();
}

static void
note(struct trace *t, const struct bus_ev *ev, struct sv in)
{
	const struct sv parts[] = {ev->text, ev->subject, ev->reply,  ev->queue,
				   ev->sid,  ev->headers, ev->payload};

	t->hash = (t->hash ^ (ev->verb + (ev->max << 8))) * 0x100000001b3u;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		inside(parts[i], in);
		mix(t, parts[i]);
	}
	t->events++;
}

static void
round_trip(enum bus_side side, const struct bus_ev *ev, struct sv in)
{
	struct trace a = {0}, b = {0};
	struct bus_parser ps;
	struct bus_ev again;
	struct buf out;
	size_t used;

	buf_init(&out, 1 << 20);
	bus_parser_init(&ps, side);
	if (bus_proto_put(&out, ev) != 0 || bus_parse(&ps, buf_sv(&out), &used, &again) != 1 ||
	    used != out.n)
		abort();
	note(&a, ev, in);
	/* HPUB without headers is written as PUB. */
	if (again.verb != ev->verb && ev->headers.n)
		abort();
	again.verb = ev->verb;
	note(&b, &again, buf_sv(&out));
	if (a.hash != b.hash)
		abort();
	buf_fini(&out);
}

/* Feed `step` more bytes at a time, each time in an exact copy so that a sanitizer sees a read past
 * the end. */
static struct trace
run(enum bus_side side, struct sv in, size_t step)
{
	struct trace t = {0};
	struct bus_parser ps;
	size_t start = 0, fed = 0;

	bus_parser_init(&ps, side);
	while (t.end == 0 && fed < in.n) {
		fed = in.n - fed < step ? in.n : fed + step;
		for (;;) {
			size_t n = fed - start, used = 0;
			char *copy = malloc(n ? n : 1);
			struct bus_ev ev;
			int r;

			if (!copy)
				abort();
			memcpy(copy, in.p + start, n);
			r = bus_parse(&ps, (struct sv){copy, n}, &used, &ev);
			if (r == 1) {
				if (used == 0 || used > n)
					abort();
				note(&t, &ev, (struct sv){copy, n});
				round_trip(side, &ev, (struct sv){copy, n});
				start += used;
			}
			free(copy);
			if (r < 0)
				t.end = r;
			if (r != 1)
				break;
		}
	}
	return t;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sv in = {(const char *)data + 1, n <= INPUT_MAX ? n - 1 : INPUT_MAX};
	struct trace whole, bytes;
	enum bus_side side;

	if (n < 2)
		return 0;
	side = data[0] & 1 ? BUS_SIDE_BROKER : BUS_SIDE_CLIENT;
	whole = run(side, in, in.n);
	bytes = run(side, in, 1);
	if (whole.hash != bytes.hash || whole.events != bytes.events || whole.end != bytes.end)
		abort();
	return 0;
}
