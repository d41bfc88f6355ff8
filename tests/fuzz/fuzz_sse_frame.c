/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames: an event name, a line end, the data. What the encoder takes, a reader understands as
 * exactly that one event, with and without chunks and however the bytes are cut; what could become
 * two events is refused. The reader itself gets the raw bytes too.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fake/sse.h"
#include "stream/frame.h"

#define TEXT_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct trace {
	unsigned n;
	uint64_t hash;
	struct sv name, data; /* wanted, for the round trip */
	int64_t id;
	bool same;
};

static void
mix(struct trace *t, struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		t->hash = (t->hash ^ (unsigned char)s.p[i]) * 1099511628211u;
	t->hash = (t->hash ^ s.n) * 1099511628211u;
}

static void
on_event(void *user, const struct sse_event *ev)
{
	struct trace *t = user;
	uint64_t id = 0;

	t->n++;
	mix(t, ev->name);
	mix(t, ev->data);
	mix(t, ev->id);
	if (ev->id.p && sv_u64(ev->id, INT64_MAX, &id) < 0)
		id = 0;
	t->same = sv_eq(ev->name, t->name) && sv_eq(ev->data, t->data) && (int64_t)id == t->id;
}

static struct trace
run(struct sv in, size_t step, bool chunked, struct trace t)
{
	struct sse s;

	sse_init(&s, on_event, &t);
	for (size_t at = 0; at < in.n; at += step) {
		struct sv part = {in.p + at, in.n - at < step ? in.n - at : step};
		char *copy = malloc(part.n);

		if (!copy)
			abort();
		memcpy(copy, part.p, part.n);
		part.p = copy;
		if (chunked)
			sse_feed_chunked(&s, part);
		else
			sse_feed(&s, part);
		free(copy);
	}
	if (chunked && s.chunk != SSE_SIZE)
		abort();
	sse_fini(&s);
	return t;
}

static bool
ends_line(struct sv s)
{
	return sv_find(s, '\n') < s.n || sv_find(s, '\r') < s.n || sv_find(s, '\0') < s.n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sv all = {(const char *)data, n < TEXT_MAX ? n : TEXT_MAX}, name, rest = all;
	struct trace whole = run(all, all.n + 1, false, (struct trace){0});
	struct trace bytes = run(all, 1, false, (struct trace){0});
	struct frame *f = NULL;
	int64_t id = n % 3 ? (int64_t)n : 0;
	int r;

	if (whole.n != bytes.n || whole.hash != bytes.hash)
		abort();
	name = sv_cut(&rest, '\n');
	if (rest.p == name.p || name.n == all.n)
		rest = (struct sv){"", 0};
	r = frame_new(name, id, rest, &f);
	if ((r == 0) != (name.n > 0 && !ends_line(name) && !ends_line(rest)))
		abort();
	if (r < 0)
		return 0;
	for (unsigned i = 0; i < 4; i++) {
		struct sv text = frame_bytes(f, i & 1);
		struct trace t = {.name = name, .data = rest, .id = id};

		t = run(text, i & 2 ? 1 : text.n, i & 1, t);
		if (t.n != 1 || !t.same)
			abort();
	}
	frame_unref(f);
	return 0;
}
