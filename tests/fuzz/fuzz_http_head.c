/* SPDX-License-Identifier: Apache-2.0 */
/* Request heads: the same verdict however the bytes are cut, views inside the input, and no
 * smuggled framing. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Feed `step` more bytes at a time, each time in an exact heap copy. */
static int
run(struct sv in, size_t step, size_t *ret_used, struct http_head *ret_head, char **ret_copy)
{
	struct http_head_parser ps = {0};
	size_t shown = 0;

	*ret_copy = NULL;
	for (;;) {
		char *copy;
		int r;

		shown = in.n - shown < step ? in.n : shown + step;
		copy = malloc(shown ? shown : 1);
		if (!copy)
			abort();
		if (shown)
			memcpy(copy, in.p, shown);
		r = http_head_parse(&ps, (struct sv){copy, shown}, ret_used, ret_head);
		if (r != 0 || shown == in.n) {
			*ret_copy = copy;
			return r;
		}
		free(copy);
	}
}

static void
inside(struct sv view, const char *p, size_t n)
{
	if (view.n && (view.p < p || view.p + view.n > p + n))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct http_head whole, bytes;
	struct sv in = {(const char *)data, n < 4096 ? n : 4096};
	size_t used = 0, used_bytes = 0;
	char *a, *b;
	int r = run(in, in.n ? in.n : 1, &used, &whole, &a),
	    q = run(in, 1, &used_bytes, &bytes, &b);

	/* A long head may be refused for its length before its fault is seen, and the other way
	 * round: refused it is. */
	if ((r < 0) != (q < 0) || (r >= 0 && r != q))
		abort();
	if (r == 1) {
		if (used != used_bytes || used > in.n || whole.nfields != bytes.nfields ||
		    whole.length != bytes.length || whole.chunked != bytes.chunked ||
		    whole.keep_alive != bytes.keep_alive)
			abort();
		if (whole.chunked && whole.has_length)
			abort();
		inside(whole.method, a, in.n);
		inside(whole.path, a, in.n);
		inside(whole.query, a, in.n);
		for (size_t i = 0; i < whole.nfields; i++) {
			inside(whole.fields[i].name, a, in.n);
			inside(whole.fields[i].value, a, in.n);
			if (memchr(whole.fields[i].value.p, '\n', whole.fields[i].value.n) ||
			    whole.fields[i].name.n == 0)
				abort();
		}
	}
	free(a);
	free(b);
	return 0;
}
