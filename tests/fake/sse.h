/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKE_SSE_H
#define FAKE_SSE_H

/*
 * A reader of event streams as a browser is one (WHATWG HTML, 9.2.6), and of the chunks around
 * them: bytes in, however they are cut, events out.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/buf.h"
#include "util/sv.h"

struct sse_event {
	struct sv name; /* "message" when there was none */
	struct sv data;
	struct sv id; /* of this event; p is NULL without an id line */
};

typedef void sse_fn(void *user, const struct sse_event *ev);

struct sse {
	sse_fn *fn;
	void *user;
	struct buf line, name, data, id;
	bool has_data, has_id, after_cr;
	unsigned comments, retry;
	/* Chunks. */
	enum { SSE_SIZE, SSE_SIZE_LF, SSE_BODY, SSE_END, SSE_END_LF, SSE_OVER, SSE_BROKEN } chunk;
	size_t left;
	unsigned digits;
};

static inline void
sse_init(struct sse *s, sse_fn *fn, void *user)
{
	size_t max = (size_t)1 << 24;

	memset(s, 0, sizeof(*s));
	s->fn = fn;
	s->user = user;
	buf_init(&s->line, max);
	buf_init(&s->name, max);
	buf_init(&s->data, max);
	buf_init(&s->id, max);
}

static inline void
sse_fini(struct sse *s)
{
	buf_fini(&s->line);
	buf_fini(&s->name);
	buf_fini(&s->data);
	buf_fini(&s->id);
}

static inline void
sse_must(int r)
{
	if (r < 0)
		abort();
}

static inline void
sse_dispatch(struct sse *s)
{
	struct sse_event ev = {.name = s->name.n ? buf_sv(&s->name) : SV("message")};

	if (s->has_data) {
		ev.data = buf_sv(&s->data);
		if (s->has_id)
			ev.id = (struct sv){s->id.n ? s->id.p : "", s->id.n};
		s->fn(s->user, &ev);
	}
	buf_reset(&s->name);
	buf_reset(&s->data);
	buf_reset(&s->id);
	s->has_data = s->has_id = false;
}

static inline void
sse_line(struct sse *s)
{
	struct sv value = buf_sv(&s->line), field = sv_cut(&value, ':');
	uint64_t ms;

	if (s->line.n == 0) {
		sse_dispatch(s);
		return;
	}
	if (field.n == 0) {
		s->comments++;
		return;
	}
	if (field.n == s->line.n)
		value = (struct sv){"", 0};
	else if (sv_starts(value, SV(" ")))
		value = sv_drop(value, 1);
	if (sv_eq(field, SV("event"))) {
		buf_reset(&s->name);
		sse_must(buf_put(&s->name, value));
	} else if (sv_eq(field, SV("data"))) {
		if (s->has_data)
			sse_must(buf_putc(&s->data, '\n'));
		s->has_data = true;
		sse_must(buf_put(&s->data, value));
	} else if (sv_eq(field, SV("id")) && sv_find(value, '\0') == value.n) {
		buf_reset(&s->id);
		s->has_id = true;
		sse_must(buf_put(&s->id, value));
	} else if (sv_eq(field, SV("retry")) && sv_u64(value, 1000000, &ms) == 0) {
		s->retry = (unsigned)ms;
	}
}

static inline void
sse_feed(struct sse *s, struct sv bytes)
{
	for (size_t i = 0; i < bytes.n; i++) {
		char c = bytes.p[i];
		bool lf_of_cr = s->after_cr && c == '\n';

		s->after_cr = c == '\r';
		if (lf_of_cr)
			continue;
		if (c == '\n' || c == '\r') {
			sse_line(s);
			buf_reset(&s->line);
		} else {
			sse_must(buf_putc(&s->line, c));
		}
	}
}

static inline void
sse_size_byte(struct sse *s, char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c) : NULL;

	if (at && s->digits < 8) {
		s->left = s->left * 16 + (size_t)(at - digits);
		s->digits++;
	} else if (c == '\r' && s->digits > 0) {
		s->chunk = s->left > 0 ? SSE_SIZE_LF : SSE_OVER;
	} else {
		s->chunk = SSE_BROKEN;
	}
}

/* The same for bytes with chunks around them; s->chunk says SSE_OVER from the last one on,
 * SSE_BROKEN when they are none. */
static inline void
sse_feed_chunked(struct sse *s, struct sv bytes)
{
	for (size_t i = 0; i < bytes.n; i++) {
		char c = bytes.p[i];

		switch (s->chunk) {
		case SSE_SIZE: sse_size_byte(s, c); break;
		case SSE_SIZE_LF: s->chunk = c == '\n' ? SSE_BODY : SSE_BROKEN; break;
		case SSE_BODY:
			sse_feed(s, (struct sv){&c, 1});
			if (--s->left == 0)
				s->chunk = SSE_END;
			break;
		case SSE_END: s->chunk = c == '\r' ? SSE_END_LF : SSE_BROKEN; break;
		case SSE_END_LF:
			s->chunk = c == '\n' ? SSE_SIZE : SSE_BROKEN;
			s->digits = 0;
			break;
		case SSE_OVER:
		case SSE_BROKEN: return;
		}
	}
}

#endif
