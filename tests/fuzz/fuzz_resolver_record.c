/* SPDX-License-Identifier: Apache-2.0 */
/* A line of a recorded stream, and its bytes as a command: keys are ascending and within their
 * ceilings, and survive being written and read again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct identity_secret secret = {"k", 1};

static void
check(const struct identity_features *f)
{
	char text[IDENTITY_FEATURES_TEXT_MAX];
	struct identity_features again;

	for (unsigned c = 0; c < IDENTITY_SET_CLASSES; c++) {
		const uint64_t *v = identity_features_of(f, (enum identity_value_class)c);

		for (size_t i = 1; i < f->n[c]; i++)
			if (v[i - 1] >= v[i])
				abort();
	}
	identity_features_write(f, text);
	if (identity_features_read(sv_from(text), &again) < 0 ||
	    !identity_features_equal(f, &again))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sv line = {(const char *)data, n};
	struct identity_features f;
	struct record r;

	identity_features_init(&f);
	identity_features_command(&f, &secret, line);
	check(&f);
	if (identity_features_read(line, &f) == 0)
		check(&f);
	if (record_parse(line, &r, NULL) == 0) {
		record_features(&r, &secret, &f);
		check(&f);
		if (strlen(r.uuid_text) != 36)
			abort();
		record_fini(&r);
	}
	return 0;
}
