/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UTIL_FDTABLE_H
#define UTIL_FDTABLE_H

/*
 * Descriptor tables. Threads share one; a thread that serves many connections gets one of its own,
 * so that the limit of descriptors counts for it alone and what others open is not its.
 *
 * Locks of files (fcntl) belong to a table, and SQLite counts on that: every connection to one
 * database stays with the threads of one table.
 */

#include "util/attr.h"
#include "util/err.h"

/*
 * Give the calling thread a table of its own that holds the standard descriptors and `keep`
 * (ascending, each above 2) under the same numbers; its copies of all others are closed. 0; a
 * negative errno (-EPERM, -ENOSYS) where the system does not allow it: nothing has changed then.
 */
int fdtable_own(const int *keep, unsigned n, struct err *e) A_NODISCARD;

#endif
