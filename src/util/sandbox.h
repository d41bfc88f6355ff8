/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UTIL_SANDBOX_H
#define UTIL_SANDBOX_H

/*
 * Giving up, for good, everything that a process which reads attackers' bytes does not need. Two
 * steps: sandbox_enter early (identity, namespaces, root directory), sandbox_seal (system calls)
 * as the last act before the first foreign byte.
 */

#include <stdbool.h>

#include "util/attr.h"
#include "util/err.h"

/* What sandbox_enter could do; the rest needs a privilege or a kernel setting that is not there. */
struct sandbox_report {
	bool network;		/* an own, empty network namespace */
	bool root;		/* the root directory is an empty one that no longer has a name */
	bool user;		/* another, unprivileged user than the one that started us */
	unsigned landlock;	/* version of the kernel's Landlock; 0: it has none */
	char why[ERR_TEXT_MAX]; /* of what is missing */
};

/* Raise the soft limit of descriptors to the hard one. The limit now in force. */
unsigned long sandbox_raise_files(void);
/*
 * As root: become `user` (65534 if there is no such user), unless the user namespace has neither.
 * Always: no capability in any set, no new privileges, no core dumps, not traceable by the same
 * user. If possible: own empty namespaces (in a user namespace when not root), an empty root
 * directory and a Landlock domain that allows nothing. The signal for the parent's death is kept.
 * 0, or a negative errno when something failed that must not.
 */
int sandbox_enter(const char *user, struct sandbox_report *ret, struct err *e) A_NODISCARD;
/*
 * From here on only the system calls of a server on inherited sockets work, see sandbox.c; any
 * other one kills the process. Before, a forked copy proves it: it closes the same filter behind
 * it and tries each forbidden call. With `datagrams` messages may be sent to an address, too: for a
 * process whose sockets a firewall watches. 0; -EPERM when one of them got through, with its name.
 */
int sandbox_seal(bool datagrams, struct err *e) A_NODISCARD;

#endif
