/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRACE_CONTEXT_H
#define TRACE_CONTEXT_H

/* Which trace something belongs to, as it travels: W3C Trace Context, level 1. Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/attr.h"
#include "util/sv.h"

#define TRACE_PARENT_SIZE 56 /* 00-<32>-<16>-<2> and the terminator */

/* All zero: none. */
struct trace_ctx {
	uint8_t trace_id[16];
	uint8_t span_id[8];
	bool sampled;
};

bool trace_ctx_valid(const struct trace_ctx *ctx);
/* A `traceparent`, of any version that begins as ours does. 0, or -EBADMSG with *ret_ctx all zero.
 */
int trace_ctx_parse(struct sv text, struct trace_ctx *ret_ctx);
void trace_ctx_text(const struct trace_ctx *ctx, char dst[TRACE_PARENT_SIZE]);
/*
 * A query as it may be shown: the values of `ticket` and `token`, and of every key that is not
 * plainly another one, are `***`. Cut where it does not fit; the number of bytes in dst.
 */
size_t trace_mask_query(struct sv query, char *dst, size_t dst_size);

#endif
