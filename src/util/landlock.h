/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UTIL_LANDLOCK_H
#define UTIL_LANDLOCK_H

/* Landlock (Linux 5.13 and later): a second wall behind the filter of system calls, which judges
 * what a call would reach and not which call it is. */

#include "util/attr.h"
#include "util/err.h"

/*
 * From here on this process and its children may open no file, make none, and, as far as the kernel
 * knows how, neither bind nor connect TCP sockets, speak to abstract UNIX sockets nor send signals
 * outside. Open descriptors stay usable. Needs no_new_privs. *ret_abi is the kernel's version of
 * Landlock (4 and later know TCP, 6 and later sockets and signals); 0: this kernel has none, and
 * nothing was done. 0, or a negative errno.
 */
int landlock_nothing(unsigned *ret_abi, struct err *e) A_NODISCARD;
/* The same for what can be had without rules on files, which forbid mounts, and on binding: from
 * here on no TCP connection, no abstract UNIX socket and no signal leads outside. 0, also where the
 * kernel knows nothing of it, or a negative errno. */
int landlock_connections(struct err *e) A_NODISCARD;

#endif
