/* SPDX-License-Identifier: Apache-2.0 */
/* A stream of capture frames: what was read is written back to the same bytes, and a shorter view
 * of a frame is never anything but incomplete. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "decoy/capture.h"
#include "util/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check_frame(struct sv in, size_t used, const struct capture *c)
{
	struct capture again;
	size_t used2 = 0;
	struct buf b;

	if (used == 0 || used > in.n || used > LIMIT_CAPTURE_BYTES)
		abort();
	if (capture_get((struct sv){in.p, used - 1}, &used2, &again) != 0)
		abort();
	buf_init(&b, LIMIT_CAPTURE_BYTES);
	if (capture_put(&b, c) != 0 || b.n != used || memcmp(b.p, in.p, used) != 0)
		abort();
	buf_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sv in = {(const char *)data, n};
	struct capture_hello hello;
	struct capture_ack ack;
	struct capture c;
	size_t used = 0;

	if (capture_hello_get(in, &hello) == 0 && capture_get(in, &used, &c) == 1)
		abort();
	if (capture_ack_get(in, &ack) == 0 && n != CAPTURE_ACK_BYTES)
		abort();
	while (capture_get(in, &used, &c) == 1) {
		check_frame(in, used, &c);
		in = sv_drop(in, used);
	}
	return 0;
}
