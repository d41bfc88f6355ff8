/* SPDX-License-Identifier: Apache-2.0 */
/* Chunked bodies: the same body and the same end however the bytes are cut, and never more than the
 * ceiling. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define BODY_MAX 1000

static int
run(struct sv in, size_t step, struct buf *out, size_t *ret_consumed)
{
	struct http_chunked d = {0};
	size_t shown = 0, consumed = 0;

	buf_init(out, BODY_MAX);
	for (;;) {
		size_t have, used = 0;
		char *copy;
		int r;

		shown = in.n - shown < step ? in.n : shown + step;
		have = shown - consumed;
		copy = malloc(have ? have : 1);
		if (!copy)
			abort();
		if (have)
			memcpy(copy, in.p + consumed, have);
		r = http_chunked_decode(&d, (struct sv){copy, have}, &used, out);
		free(copy);
		if (used > have || out->n > BODY_MAX)
			abort();
		consumed += used;
		*ret_consumed = consumed;
		if (r != 0 || shown == in.n)
			return r;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sv in = {(const char *)data, n < 4096 ? n : 4096};
	size_t used_a = 0, used_b = 0;
	struct buf a, b;
	int r = run(in, in.n ? in.n : 1, &a, &used_a), q = run(in, 1, &b, &used_b);

	if (r != q || (r == 1 && (used_a != used_b || !sv_eq(buf_sv(&a), buf_sv(&b)))))
		abort();
	buf_fini(&a);
	buf_fini(&b);
	return 0;
}
