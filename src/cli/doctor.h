/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

/* What `decnet doctor` looks at, one function a subject; the list of them is doctor.def. */

#include <jansson.h>
#include <stdbool.h>

#include "util/attr.h"
#include "util/conf.h"

enum verdict {
	VERDICT_OK,
	VERDICT_FIXED,	 /* it was wrong, and --fix has mended it */
	VERDICT_WARNING, /* it works, but not as one would want */
	VERDICT_BAD,
};

struct doctor {
	const struct conf *conf;
	bool fix;
	pid_t running; /* the supervisor of this state directory; 0: none */
	json_t *findings;
	unsigned bad;
};

/* Note one finding. */
void doctor_say(struct doctor *d, const char *subject, enum verdict v, const char *fmt, ...)
	A_PRINTF(4, 5);
const char *verdict_word(enum verdict v);

#define CHECK(subject) void doctor_check_##subject(struct doctor *d);
#include "cli/doctor.def"
#undef CHECK

#endif
