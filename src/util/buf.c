/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that grow up to a ceiling. */
#include "util/buf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAP_MIN 64

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

void
buf_fini(struct buf *b)
{
	free(b->p);
	b->p = NULL;
	b->n = b->cap = 0;
}

void
buf_reset(struct buf *b)
{
	b->n = 0;
}

int
buf_reserve(struct buf *b, size_t more)
{
	size_t need, cap;
	char *p;

	if (more > b->max - b->n)
		return -ENOBUFS;
	need = b->n + more;
	if (need <= b->cap)
		return 0;
	cap = b->cap ? b->cap : CAP_MIN;
	while (cap < need)
		cap = cap > SIZE_MAX / 2 ? need : cap * 2;
	if (cap > b->max)
		cap = b->max;
	p = realloc(b->p, cap);
	if (!p)
		return -ENOMEM;
	b->p = p;
	b->cap = cap;
	return 0;
}

int
buf_putc(struct buf *b, char c)
{
	return buf_put(b, (struct sv){&c, 1});
}

int
buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	char small[256];
	char *text = small;
	va_list again;
	int n, r;

	va_copy(again, ap);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	if (n >= 0 && (size_t)n >= sizeof(small)) {
		text = malloc((size_t)n + 1);
		if (text)
			(void)vsnprintf(text, (size_t)n + 1, fmt, again);
	}
	va_end(again);
	if (n < 0)
		return -EINVAL;
	if (!text)
		return -ENOMEM;
	r = buf_put(b, (struct sv){text, (size_t)n});
	if (text != small)
		free(text);
	return r;
}

int
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = buf_vprintf(b, fmt, ap);
	va_end(ap);
	return r;
}

void
buf_drop(struct buf *b, size_t n)
{
	if (n >= b->n) {
		b->n = 0;
		return;
	}
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
}

struct sv
buf_sv(const struct buf *b)
{
	return (struct sv){b->p, b->n};
}

char *
buf_take(struct buf *b)
{
	char *text = realloc(b->p, b->n + 1);

	if (!text)
		return NULL;
	text[b->n] = 0;
	b->p = NULL;
	b->n = b->cap = 0;
	return text;
}
