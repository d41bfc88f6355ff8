/* SPDX-License-Identifier: Apache-2.0 */
/* A traceparent is read back as it is written; a masked query holds no value of token or ticket. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "trace/context.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct sv in = {(const char *)data, size};
	struct trace_ctx ctx, again;
	char text[TRACE_PARENT_SIZE], shown[64];
	struct sv rest;
	size_t n;

	if (trace_ctx_parse(in, &ctx) == 0) {
		trace_ctx_text(&ctx, text);
		if (trace_ctx_parse(sv_from(text), &again) != 0 ||
		    memcmp(again.trace_id, ctx.trace_id, sizeof(ctx.trace_id)) != 0 ||
		    memcmp(again.span_id, ctx.span_id, sizeof(ctx.span_id)) != 0 ||
		    again.sampled != ctx.sampled)
			abort();
	} else if (trace_ctx_valid(&ctx)) {
		abort();
	}

	n = trace_mask_query(in, shown, sizeof(shown));
	if (n >= sizeof(shown))
		abort();
	rest = (struct sv){shown, n};
	while (rest.n) {
		struct sv value = sv_cut(&rest, '&'), key = sv_cut(&value, '=');

		/* The last one may have been cut. */
		if ((sv_eq_ci(key, SV("token")) || sv_eq_ci(key, SV("ticket"))) && value.n &&
		    !sv_starts(SV("***"), value))
			abort();
	}
	return 0;
}
