/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of event streams: runs of bytes that belong to the body are cut into lines in place;
 * only what a read cuts in two is copied. */
#include "sse_feed.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int
keep(struct sse_feed *f, const char *p, size_t n)
{
	if (n > SSE_LINE_MAX - f->carry_n)
		return -1;
	if (f->carry_n + n > f->carry_cap) {
		uint32_t cap = f->carry_cap ? f->carry_cap : 256;
		char *carry;

		while (cap < f->carry_n + n)
			cap *= 2;
		carry = realloc(f->carry, cap);
		if (!carry)
			return -1;
		f->carry = carry;
		f->carry_cap = cap;
	}
	memcpy(f->carry + f->carry_n, p, n);
	f->carry_n += (uint32_t)n;
	return 0;
}

void
sse_feed_fini(struct sse_feed *f)
{
	free(f->carry);
	*f = (struct sse_feed){.state = SSE_OVER};
}

static void
line(const char *p, size_t n, sse_data_fn *fn, void *user)
{
	static const char word[] = "data:";
	const size_t word_n = sizeof(word) - 1;

	if (n > 0 && p[n - 1] == '\r')
		n--;
	if (n < word_n || memcmp(p, word, word_n) != 0)
		return;
	p += word_n;
	n -= word_n;
	if (n > 0 && *p == ' ') {
		p++;
		n--;
	}
	fn(user, p, n);
}

static int
body(struct sse_feed *f, const char *p, size_t n, sse_data_fn *fn, void *user)
{
	while (n > 0) {
		const char *lf = memchr(p, '\n', n);
		size_t len = lf ? (size_t)(lf - p) : n;

		if (!lf)
			return keep(f, p, n);
		if (f->carry_n > 0) {
			if (keep(f, p, len) < 0)
				return -1;
			line(f->carry, f->carry_n, fn, user);
			f->carry_n = 0;
		} else {
			line(p, len, fn, user);
		}
		p += len + 1;
		n -= len + 1;
	}
	return 0;
}

/* Whether the head says that the body comes in chunks. */
static bool
is_chunked(const char *head, size_t n)
{
	static const char field[] = "transfer-encoding:";
	const char *at = head, *end = head + n;

	while (at < end) {
		const char *lf = memchr(at, '\n', (size_t)(end - at));
		size_t len = lf ? (size_t)(lf - at) : (size_t)(end - at);

		if (len > sizeof(field) && strncasecmp(at, field, sizeof(field) - 1) == 0)
			return memmem(at, len, "chunked", 7) != NULL;
		at += len + 1;
	}
	return false;
}

/* The number of bytes used, or -1. */
static ssize_t
head(struct sse_feed *f, const char *p, size_t n)
{
	size_t before = f->carry_n;
	const char *end;

	if (keep(f, p, n) < 0)
		return -1;
	end = memmem(f->carry, f->carry_n, "\r\n\r\n", 4);
	if (!end)
		return f->carry_n > 65536 ? -1 : (ssize_t)n;
	if (f->carry_n < 12 || memcmp(f->carry, "HTTP/1.", 7) != 0)
		return -1;
	f->status = (uint16_t)((f->carry[9] - '0') * 100 + (f->carry[10] - '0') * 10 +
			       (f->carry[11] - '0'));
	f->state = is_chunked(f->carry, (size_t)(end - f->carry) + 2) ? SSE_CHUNK_SIZE : SSE_PLAIN;
	f->left = 0;
	f->carry_n = 0;
	return end + 4 - f->carry - (ssize_t)before;
}

static int
size_digit(struct sse_feed *f, char c)
{
	unsigned digit;

	if (c == '\n') {
		f->state = f->left > 0 ? SSE_CHUNK_DATA : SSE_OVER;
		return 0;
	}
	if (c == '\r')
		return 0;
	if (c == ';') {
		f->state = SSE_CHUNK_EXTENSION;
		return 0;
	}
	if (c >= '0' && c <= '9')
		digit = (unsigned)(c - '0');
	else if ((c | 32) >= 'a' && (c | 32) <= 'f')
		digit = (unsigned)((c | 32) - 'a') + 10;
	else
		return -1;
	if (f->left > UINT32_MAX)
		return -1;
	f->left = f->left << 4 | digit;
	return 0;
}

/* What stands between two chunks. */
static int
frame_byte(struct sse_feed *f, char c)
{
	switch ((enum sse_state)f->state) {
	case SSE_CHUNK_SIZE: return size_digit(f, c);
	case SSE_CHUNK_EXTENSION: return c == '\n' ? size_digit(f, c) : 0;
	case SSE_CHUNK_END:
		if (c == '\n')
			f->state = SSE_CHUNK_SIZE;
		return c == '\n' || c == '\r' ? 0 : -1;
	case SSE_HEAD:
	case SSE_PLAIN:
	case SSE_CHUNK_DATA:
	case SSE_OVER: break;
	}
	return -1;
}

int
sse_feed(struct sse_feed *f, const char *p, size_t n, sse_data_fn *fn, void *user)
{
	while (n > 0 && f->state != SSE_OVER) {
		size_t used = 1;
		int r = 0;

		if (f->state == SSE_HEAD) {
			ssize_t head_n = head(f, p, n);

			r = head_n < 0 ? -1 : 0;
			used = head_n < 0 ? 0 : (size_t)head_n;
		} else if (f->state == SSE_PLAIN) {
			r = body(f, p, n, fn, user);
			used = n;
		} else if (f->state == SSE_CHUNK_DATA) {
			used = n < f->left ? n : (size_t)f->left;
			r = body(f, p, used, fn, user);
			f->left -= used;
			if (f->left == 0)
				f->state = SSE_CHUNK_END;
		} else {
			r = frame_byte(f, *p);
		}
		if (r < 0)
			return -1;
		p += used;
		n -= used;
	}
	return 0;
}
