/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UTIL_FILTER_H
#define UTIL_FILTER_H

/*
 * The filter of system calls: a list of what is allowed, for good. What each of our processes needs
 * once it is up is here; the rest is its own, see sandbox.c and netd/guard.c.
 */

#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>

#include "util/attr.h"

/* The address sanitizer's run time needs more; such a build is for tests only. */
#if defined(__SANITIZE_ADDRESS__)
#define FILTER_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FILTER_SANITIZED 1
#endif
#endif

/* A call that is allowed, when all n comparisons of its arguments hold. */
struct filter_rule {
	int nr;
	unsigned n;
	struct scmp_arg_cmp args[3];
};

struct filter_rules {
	const struct filter_rule *v;
	size_t n;
};

/*
 * From here on only what every process needs and the rules of the `n` lists work; any other call
 * has the effect `otherwise` (SCMP_ACT_KILL_PROCESS; an error, for a proof). Of signals this very
 * process may send one to itself: an assertion that fails says so before it ends. Needs
 * no_new_privs. 0 or a negative errno.
 */
int filter_load(uint32_t otherwise, const struct filter_rules *lists, size_t n) A_NODISCARD;

#endif
