/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UTIL_FILE_H
#define UTIL_FILE_H

/* Small files and directories of the state directory. */

#include <stdint.h>
#include <sys/types.h>

#include "util/attr.h"
#include "util/err.h"

/* The whole file as a terminated heap string. 0, -EFBIG over `max`, or the errno of the failing
 * call. */
int file_read(const char *path, size_t max, char **ret_text, struct err *e) A_NODISCARD;
/* Write through a temporary name and rename, fsynced, so that a reader sees the old or the new. 0
 * or a negative errno. */
int file_write(const char *path, const void *data, size_t n, mode_t mode,
	       struct err *e) A_NODISCARD;
/* The same, unless there is such a file already: -EEXIST then, and it is left alone. Of several who
 * try at once one makes it. */
int file_create(const char *path, const void *data, size_t n, mode_t mode,
		struct err *e) A_NODISCARD;
/* Make the directory (and its parents) if it is missing; the last one with `mode`. 0 or a negative
 * errno. */
int file_mkdirs(const char *path, mode_t mode, struct err *e) A_NODISCARD;

#endif
