/* SPDX-License-Identifier: Apache-2.0 */
/* JSON from outside: what is accepted has only finite numbers and is, once written, read again as
 * the same. The input is exactly as long as it says. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check_numbers(const json_t *value)
{
	json_t *member;
	const char *key;
	size_t i;

	if (json_is_real(value) && !(json_real_value(value) - json_real_value(value) == 0))
		abort();
	json_array_foreach(value, i, member) check_numbers(member);
	json_object_foreach((json_t *)(uintptr_t)value, key, member) check_numbers(member);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *exact = malloc(n ? n : 1), *one = NULL, *two = NULL;
	json_t *value = NULL, *again = NULL;

	if (!exact)
		abort();
	memcpy(exact, data, n);
	if (json_parse((struct sv){exact, n}, &value, NULL) < 0)
		goto out;
	check_numbers(value);
	one = json_text(value);
	if (!one || json_parse(sv_from(one), &again, NULL) < 0)
		abort();
	two = json_text(again);
	if (!two || strcmp(one, two) != 0)
		abort();
out:
	json_decref(value);
	json_decref(again);
	free(exact);
	free(one);
	free(two);
	return 0;
}
