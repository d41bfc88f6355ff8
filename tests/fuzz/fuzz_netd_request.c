/* SPDX-License-Identifier: Apache-2.0 */
/* What decnet-netd reads: a request that is accepted is written again as the same bytes, and holds
 * nothing out of range; so with answers and the words on links. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "netd/alias.h"
#include "netd/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check_request(struct sv in)
{
	uint8_t bytes[NETD_REQUEST_SIZE];
	struct netd_request q;

	if (netd_request_parse(in, &q) < 0)
		return;
	netd_request_put(&q, bytes);
	if (in.n != sizeof(bytes) || memcmp(bytes, in.p, sizeof(bytes)) != 0)
		abort();
	if (q.op >= NETD_OP_COUNT || q.n == 0 || q.thing.bits > 29 ||
	    q.thing.persona >= NETD_PERSONA_COUNT || (q.thing.mac[0] & 1) ||
	    q.thing.ip >> 24 == 127 || q.thing.ip >> 28 > 13 || q.thing.via >> 28 > 13)
		abort();
	if (q.op == NETD_OP_NIC_ADD && !netd_host_ok(q.thing.ip, q.thing.bits))
		abort();
}

static void
check_answer(struct sv in)
{
	struct netd_answer a;

	if (netd_answer_parse(in, &a) == 0 && (a.kind >= NETD_KIND_COUNT || a.r > 0 ||
					       strnlen(a.text, sizeof(a.text)) > NETD_TEXT_MAX))
		abort();
}

static void
check_alias(struct sv in)
{
	char text[NETD_ALIAS_SIZE];
	enum netd_kind kind, again;
	struct netd_thing t, back;

	if (netd_alias_parse(in, &kind, &t) < 0)
		return;
	netd_alias_put(kind, &t, text);
	if (netd_alias_parse(sv_from(text), &again, &back) < 0 || again != kind ||
	    memcmp(&t, &back, sizeof(t)) != 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sv in = {(const char *)data, n};

	check_request(in);
	check_answer(in);
	check_alias(in);
	return 0;
}
