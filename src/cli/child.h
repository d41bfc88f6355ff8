/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_CHILD_H
#define CLI_CHILD_H

/* Starting one program of the suite with the descriptors it inherits. */

#include <stddef.h>
#include <sys/types.h>

#include "util/attr.h"
#include "util/err.h"

/* A descriptor that the child finds by the number in an environment variable. */
struct child_fd {
	const char *variable;
	int fd;
};

/* The path of a program: beside our executable, else in the libexec directory. 0 or -ENOENT. */
int child_find(const char *program, char *dst, size_t dst_size, struct err *e) A_NODISCARD;
/*
 * Start it, with an argument or NULL, in a process group of its own, with default signals and
 * without our other descriptors; it gets SIGTERM when we die. Its pid, or a negative errno (also
 * when it could not be executed).
 */
pid_t child_start(const char *path, const char *argument, const struct child_fd *fds, size_t nfds,
		  struct err *e) A_NODISCARD;

#endif
