/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECOY_SANDBOX_H
#define DECOY_SANDBOX_H

/*
 * Closing the decoy process: no privilege, no file system, no network of its own, and a filter of
 * system calls that is proven before it is relied on.
 */

#include "util/attr.h"
#include "util/err.h"

/*
 * Try every call that must not succeed in a child process that is sealed in the same way, one child
 * a call: each must be killed by the filter. To be called before sandbox_close. 0, or -EPERM with
 * the name of the call that came through.
 */
int sandbox_prove(struct err *e) A_NODISCARD;
/* Drop everything and seal this process. `empty_dir`: an empty directory to be the root (used when
 * we may chroot). There is no way back. 0 or a negative errno. */
int sandbox_close(const char *empty_dir, struct err *e) A_NODISCARD;

#endif
