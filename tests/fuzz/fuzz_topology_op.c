/* SPDX-License-Identifier: Apache-2.0 */
/* A byte that picks the operation, then its payload: what the check lets pass can be applied, what
 * is applied is sound, and its changes tell the way forward and back. Any text that is a subnet is
 * written back as it was. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "topology/generator.h"
#include "topology/ops.h"
#include "topology/rows.h"
#include "topology/validate.h"
#include "util/json.h"

#define TEXT_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
on_bad(void *user, const char *field, const char *text)
{
	unsigned *count = user;

	if (!field[0] || !text[0])
		abort();
	(*count)++;
}

static void
check_subnet(struct sv text)
{
	char copy[64], back[TOPO_CIDR_SIZE];
	struct cidr c;

	if (sv_copy(text, copy, sizeof(copy)) < 0 || cidr_parse(copy, 0, 32, &c) < 0)
		return;
	cidr_text(c, back);
	if (strcmp(copy, back) != 0)
		abort();
}

static void
check_applied(const struct topo *before, const struct topo *after, const struct topo_world *w)
{
	json_t *issues = topo_validate(after, w, false);
	json_t *there = topo_changes(before, after), *back = topo_changes(after, before);

	if (!issues || topo_has_errors(issues) || !there || !back ||
	    json_array_size(there) != json_array_size(back))
		abort();
	json_decref(issues);
	json_decref(there);
	json_decref(back);
}

static void
apply(const struct topo *t, enum topo_op op, const json_t *payload, const struct topo_world *w)
{
	struct topo *after = topo_copy(t);
	struct topo_refusal refusal = {0};
	unsigned bad = 0;
	int r;

	if (!after)
		abort();
	if (topo_op_check(op, payload, on_bad, &bad) != bad)
		abort();
	if (bad == 0) {
		r = topo_op_apply(after, op, payload, w, &refusal, NULL);
		if (r == 0)
			check_applied(t, after, w);
		else if (r != -EPERM || !refusal.text[0] ||
			 (refusal.status != 409 && refusal.status != 422))
			abort();
	}
	topo_refusal_fini(&refusal);
	topo_free(after);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct topo *t;
	struct topo_world w = {.pool = {0x0a000000, 8}};
	struct topo_refusal refusal;
	json_t *payload = NULL;
	struct sv text;

	if (!t) {
		t = topo_new();
		if (!t || topo_demo(t, &w, &refusal) < 0)
			abort();
	}
	if (n == 0)
		return 0;
	text = (struct sv){(const char *)data + 1, n - 1 < TEXT_MAX ? n - 1 : TEXT_MAX};
	check_subnet(text);
	if (json_parse(text, &payload, NULL) == 0)
		apply(t, (enum topo_op)(data[0] % TOPO_OP_COUNT), payload, &w);
	json_decref(payload);
	return 0;
}
