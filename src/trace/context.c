/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a trace's place, and of what may be told of a query. */
#include "trace/context.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/id.h"

#define TEXT_BYTES (TRACE_PARENT_SIZE - 1)

static bool
all_zero(const uint8_t *p, size_t n)
{
	uint8_t any = 0;

	for (size_t i = 0; i < n; i++)
		any |= p[i];
	return any == 0;
}

bool
trace_ctx_valid(const struct trace_ctx *ctx)
{
	return ctx && !all_zero(ctx->trace_id, sizeof(ctx->trace_id)) &&
	       !all_zero(ctx->span_id, sizeof(ctx->span_id));
}

/* Lower case only, as the recommendation has it. */
static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
read_hex(const char *p, uint8_t *dst, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int high = digit(p[2 * i]), low = digit(p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		dst[i] = (uint8_t)(high * 16 + low);
	}
	return true;
}

int
trace_ctx_parse(struct sv text, struct trace_ctx *ret_ctx)
{
	struct trace_ctx ctx = {0};
	uint8_t version, flags;

	*ret_ctx = (struct trace_ctx){0};
	text = sv_trim(text);
	if (text.n < TEXT_BYTES || text.p[2] != '-' || text.p[35] != '-' || text.p[52] != '-')
		return -EBADMSG;
	if (!read_hex(text.p, &version, 1) || !read_hex(text.p + 3, ctx.trace_id, 16) ||
	    !read_hex(text.p + 36, ctx.span_id, 8) || !read_hex(text.p + 53, &flags, 1))
		return -EBADMSG;
	if (version == 0xff || (version == 0 && text.n != TEXT_BYTES) ||
	    (text.n > TEXT_BYTES && text.p[TEXT_BYTES] != '-') || !trace_ctx_valid(&ctx))
		return -EBADMSG;
	ctx.sampled = flags & 1;
	*ret_ctx = ctx;
	return 0;
}

void
trace_ctx_text(const struct trace_ctx *ctx, char dst[TRACE_PARENT_SIZE])
{
	memcpy(dst, "00-", 3);
	id_hex(ctx->trace_id, sizeof(ctx->trace_id), dst + 3);
	dst[35] = '-';
	id_hex(ctx->span_id, sizeof(ctx->span_id), dst + 36);
	(void)snprintf(dst + 52, 4, "-%02x", ctx->sampled ? 1 : 0);
}

/* A key with an escape in it may be any key. */
static bool
may_show(struct sv key)
{
	for (size_t i = 0; i < key.n; i++) {
		char c = key.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '_'))
			return false;
	}
	return key.n > 0 && !sv_eq_ci(key, SV("token")) && !sv_eq_ci(key, SV("ticket"));
}

size_t
trace_mask_query(struct sv query, char *dst, size_t dst_size)
{
	size_t n = 0;

	while (query.n && n < dst_size) {
		struct sv value = sv_cut(&query, '&'), key = sv_cut(&value, '=');
		bool shown = may_show(key);
		/* Not even a key that hides its name. */
		struct sv name = shown || sv_eq_ci(key, SV("token")) || sv_eq_ci(key, SV("ticket"))
					 ? key
					 : SV("***");
		int r = snprintf(dst + n, dst_size - n, "%s%.*s=%.*s", n ? "&" : "", (int)name.n,
				 name.p, shown ? (int)value.n : 3, shown ? value.p : "***");

		if (r < 0)
			break;
		n += (size_t)r;
	}
	return n < dst_size ? n : dst_size - (dst_size > 0);
}
