/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of the network driver: what was accepted keeps its rules, and every answer is a JSON
 * object of bounded size that names the request. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "decoy/control.h"
#include "util/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check_answer(struct buf *text, int64_t n)
{
	json_t *object = NULL;

	if (json_parse(buf_sv(text), &object, NULL) < 0 ||
	    json_integer_value(json_object_get(object, "n")) != n)
		abort();
	json_decref(object);
	buf_reset(text);
}

static void
check_request(const struct control *c)
{
	struct buf text;

	if (c->n < 0 || (c->op != CONTROL_LIST && !c->listener[0]))
		abort();
	if (c->op == CONTROL_OPEN &&
	    (!json_is_object(c->config) || c->port == 0 || !c->decky[0] || !c->service[0]))
		abort();
	buf_init(&text, CONTROL_ANSWER_MAX);
	if (control_put_listener(&text, c->n, c->listener) < 0 || control_end_listeners(&text) < 0)
		abort();
	check_answer(&text, c->n);
	buf_fini(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct err e = {0};
	struct control c;
	struct buf text;
	int r = control_parse((struct sv){(const char *)data, n}, &c, &e);

	if (r == 0) {
		check_request(&c);
	} else {
		if (!e.msg[0])
			abort();
		buf_init(&text, 8 * CONTROL_ANSWER_MAX);
		if (c.n >= 0 && control_put_error(&text, c.n, err_text(&e)) == 0)
			check_answer(&text, c.n);
		buf_fini(&text);
	}
	control_fini(&c);
	return 0;
}
