/* SPDX-License-Identifier: Apache-2.0 */
/* Every decoy service: the first byte picks it. However the bytes are cut, the same answer and the
 * same captures come out. */
#include <stdint.h>

#include "fake/decoy_talk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct decoy_service *service;
	struct talk whole, bytes, deaf;
	struct sv in;

	if (n < 1)
		return 0;
	service = decoy_services[data[0] % decoy_services_count];
	in = (struct sv){(const char *)data + 1, n - 1 < 4096 ? n - 1 : 4096};
	talk_run(service, NULL, in, in.n ? in.n : 1, true, &whole);
	talk_run(service, NULL, in, 1, true, &bytes);
	if (whole.broke_rule || bytes.broke_rule || whole.end != bytes.end ||
	    whole.consumed != bytes.consumed || !sv_eq(buf_sv(&whole.out), buf_sv(&bytes.out)) ||
	    !sv_eq(buf_sv(&whole.captures), buf_sv(&bytes.captures)))
		abort();
	/* A peer that never reads must end in an error or a halt, not in more memory. */
	talk_run(service, NULL, in, in.n ? in.n : 1, false, &deaf);
	if (deaf.broke_rule || deaf.out.n > service->out_max)
		abort();
	talk_fini(&whole);
	talk_fini(&bytes);
	talk_fini(&deaf);
	return 0;
}
