/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_INTEGRATION_SCRATCH_H
#define TESTS_INTEGRATION_SCRATCH_H

/* A state directory for one test program with an up-to-date SQLite store in it. Failures fail the
 * test. */

#include "store/db.h"

struct scratch {
	char dir[64], url[96];
};

void scratch_make(struct scratch *s);
/* A connection that may write; the caller's. */
struct db *scratch_open(const struct scratch *s);
/* The directory and all in it. */
void scratch_remove(const struct scratch *s);

#endif
