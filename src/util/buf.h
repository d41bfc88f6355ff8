/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UTIL_BUF_H
#define UTIL_BUF_H

/* Bytes that grow up to a ceiling. Zeroed memory with `max` set is a valid empty buffer. */

#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "util/attr.h"
#include "util/sv.h"

struct buf {
	char *p;
	size_t n;   /* bytes in use */
	size_t cap; /* bytes allocated */
	size_t max; /* ceiling of n */
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b);
/* Empty, keep the memory. */
void buf_reset(struct buf *b);
/* Room for `more` further bytes. 0, -ENOBUFS at the ceiling, -ENOMEM. */
int buf_reserve(struct buf *b, size_t more) A_NODISCARD;
/* All or nothing: 0, -ENOBUFS, -ENOMEM. Here, because most of what is put is a few bytes that fit.
 */
A_NODISCARD static inline int
buf_put(struct buf *b, struct sv bytes)
{
	int r;

	if (bytes.n == 0)
		return 0;
	if (bytes.n > b->cap - b->n || bytes.n > b->max - b->n) {
		r = buf_reserve(b, bytes.n);
		if (r < 0)
			return r;
	}
	memcpy(b->p + b->n, bytes.p, bytes.n);
	b->n += bytes.n;
	return 0;
}
int buf_putc(struct buf *b, char c) A_NODISCARD;
int buf_printf(struct buf *b, const char *fmt, ...) A_PRINTF(2, 3) A_NODISCARD;
int buf_vprintf(struct buf *b, const char *fmt, va_list ap) A_PRINTF(2, 0) A_NODISCARD;
/* Forget the first n bytes (n <= b->n). */
void buf_drop(struct buf *b, size_t n);
struct sv buf_sv(const struct buf *b);
/* Give the bytes away as a terminated heap string and leave the buffer empty; NULL without memory.
 */
char *buf_take(struct buf *b);

#endif
