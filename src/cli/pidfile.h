/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_PIDFILE_H
#define CLI_PIDFILE_H

/* Which process runs the suite of a state directory: decnet.pid there, locked as long as it lives.
 */

#include <sys/types.h>

#include "util/attr.h"
#include "util/err.h"

/*
 * Lock the file and write our pid into it. The descriptor, to be kept open; -EEXIST with the owner
 * in the text when another process has it; or another negative errno.
 */
int pidfile_take(const char *state_dir, struct err *e) A_NODISCARD;
/* A process that inherited the descriptor writes its own pid. 0 or a negative errno. */
int pidfile_rewrite(int fd, struct err *e) A_NODISCARD;
/* The pid of the process that holds the lock, 0 when nobody does, or a negative errno. */
pid_t pidfile_owner(const char *state_dir, struct err *e) A_NODISCARD;

#endif
