/* SPDX-License-Identifier: Apache-2.0 */
/* Fields of log lines as text and as JSON. */
#include "util/kv.h"

#include <errno.h>
#include <inttypes.h>

static bool
plain(struct sv s)
{
	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '"' || s.p[i] == '\\' ||
		    s.p[i] == '=')
			return false;
	return true;
}

static int
put_escaped(struct buf *b, struct sv s)
{
	int r = buf_putc(b, '"');

	for (size_t i = 0; r == 0 && i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '"' || c == '\\')
			r = buf_printf(b, "\\%c", c);
		else if (c == '\n')
			r = buf_put(b, SV("\\n"));
		else if (c < ' ' || c > '~')
			r = buf_printf(b, "\\x%02x", c);
		else
			r = buf_putc(b, (char)c);
	}
	return r < 0 ? r : buf_putc(b, '"');
}

static int
put_number(struct buf *b, const struct kv *f)
{
	return f->type == KV_TYPE_INT ? buf_printf(b, "%" PRId64, f->i)
				      : buf_printf(b, "%" PRIu64, f->u);
}

int
kv_put_text(struct buf *b, const struct kv *fields)
{
	int r = 0;

	for (const struct kv *f = fields; r == 0 && f->type != KV_TYPE_END; f++) {
		r = buf_printf(b, " %s=", f->key);
		if (r < 0)
			return r;
		if (f->type != KV_TYPE_TEXT)
			r = put_number(b, f);
		else
			r = plain(f->text) ? buf_put(b, f->text) : put_escaped(b, f->text);
	}
	return r;
}

static int
put_json_text(struct buf *b, struct sv s)
{
	int r = buf_putc(b, '"');

	for (size_t i = 0; r == 0 && i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '"' || c == '\\')
			r = buf_printf(b, "\\%c", c);
		else if (c < ' ')
			r = buf_printf(b, "\\u%04x", c);
		else if (c > '~')
			r = buf_put(b, SV("\\ufffd"));
		else
			r = buf_putc(b, (char)c);
	}
	return r < 0 ? r : buf_putc(b, '"');
}

int
kv_put_json(struct buf *b, const struct kv *fields)
{
	int r = 0;

	for (const struct kv *f = fields; r == 0 && f->type != KV_TYPE_END; f++) {
		r = buf_printf(b, ",\"%s\":", f->key);
		if (r < 0)
			return r;
		r = f->type == KV_TYPE_TEXT ? put_json_text(b, f->text) : put_number(b, f);
	}
	return r;
}
