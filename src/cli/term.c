/* SPDX-License-Identifier: Apache-2.0 */
/* Escaping for terminals. */
#include "cli/term.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define OUT_MAX ((size_t)64 * 1024 * 1024)

/* The bytes of the character in front, or 0 when it is no UTF-8; its number. */
static size_t
take(struct sv s, uint32_t *ret)
{
	unsigned char c = (unsigned char)s.p[0];
	size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	uint32_t value = n == 1 ? c : c & (0x7fu >> n);

	if (s.n < n || !sv_utf8((struct sv){s.p, n}))
		return 0;
	for (size_t i = 1; i < n; i++)
		value = value << 6 | ((unsigned char)s.p[i] & 0x3f);
	*ret = value;
	return n;
}

static bool
obeyed(uint32_t c)
{
	if (c < 0x20)
		return c != '\t' && c != '\n';
	return (c >= 0x7f && c <= 0x9f) || c == 0x200e || c == 0x200f || c == 0x061c ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

int
term_escape(struct sv text, struct buf *out)
{
	int r = 0;

	while (text.n && r == 0) {
		uint32_t c = (unsigned char)text.p[0];
		size_t n = take(text, &c);

		if (n == 0 || obeyed(c))
			r = buf_printf(out, "\\u%04x", (unsigned)c);
		else
			r = buf_put(out, (struct sv){text.p, n});
		text = sv_drop(text, n ? n : 1);
	}
	return r;
}

void
term_printf(const char *fmt, ...)
{
	struct buf plain, safe;
	va_list ap;

	buf_init(&plain, OUT_MAX);
	buf_init(&safe, OUT_MAX);
	va_start(ap, fmt);
	if (!isatty(STDOUT_FILENO))
		(void)vprintf(fmt, ap);
	else if (buf_vprintf(&plain, fmt, ap) == 0 && term_escape(buf_sv(&plain), &safe) == 0)
		(void)fwrite(safe.p, 1, safe.n, stdout);
	else
		(void)fputs("(too long for a terminal)\n", stdout);
	va_end(ap);
	buf_fini(&plain);
	buf_fini(&safe);
}
