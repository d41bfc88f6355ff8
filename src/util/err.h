/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UTIL_ERR_H
#define UTIL_ERR_H

/*
 * The text of a failure, for people. The code for programs is the negative errno that the
 * function returns. A struct err is owned by the caller and may always be NULL.
 */

#include "util/attr.h"

#define ERR_TEXT_MAX 512

struct err {
	char msg[ERR_TEXT_MAX];
};

/* Set the text and return `code` (a negative errno), so that `return err_set(e, -EINVAL, …)` reads
 * well. */
int err_set(struct err *e, int code, const char *fmt, ...) A_PRINTF(3, 4);
/* Put "<fmt>: " before the text that is there. */
void err_wrap(struct err *e, const char *fmt, ...) A_PRINTF(2, 3);
/* The text, or "unknown error" for NULL and empty ones. */
const char *err_text(const struct err *e);

#endif
