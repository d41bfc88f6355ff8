/* SPDX-License-Identifier: Apache-2.0 */
/* A descriptor table of one's own. */
#include "util/fdtable.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <unistd.h>

#define FIRST 3 /* after the standard descriptors */
#define LAST  (~0u)

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ONE_TABLE true
#endif
#endif
#ifndef ONE_TABLE
/* ThreadSanitizer knows descriptors by number and one table only. */
#define ONE_TABLE false
#endif

int
fdtable_own(const int *keep, unsigned n, struct err *e)
{
	unsigned from = FIRST;

	if (ONE_TABLE)
		return err_set(e, -ENOSYS, "not in this build");
	/* Containers often refuse unshare, which can do more than this, and allow the other. */
	if (unshare(CLONE_FILES) < 0 && close_range(LAST, LAST, CLOSE_RANGE_UNSHARE) < 0)
		return err_set(e, -errno, "no descriptor table of its own: %m");
	for (unsigned i = 0; i < n; i++) {
		if ((unsigned)keep[i] > from)
			(void)close_range(from, (unsigned)keep[i] - 1, 0);
		from = (unsigned)keep[i] + 1;
	}
	(void)close_range(from, LAST, 0);
	return 0;
}
