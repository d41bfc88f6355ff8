/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECOY_SERVICES_RESP_H
#define DECOY_SERVICES_RESP_H

/* Commands as a Redis client sends them: arrays of bulk strings, or a line of words. Pure. */

#include <stddef.h>
#include <stdint.h>

#include "util/attr.h"
#include "util/sv.h"

#define RESP_ARGS_MAX	128   /* further ones are read and forgotten */
#define RESP_BULK_MAX	24576 /* of one argument; a real server takes 512 MiB */
#define RESP_INLINE_MAX 8192

/* Zero it to start. Holds where to resume, so that a slow peer is not quadratic. */
struct resp {
	uint32_t pos;  /* what was looked at */
	int64_t left;  /* arguments still to come; 0: at the start of a command */
	int64_t total; /* as announced */
	int64_t bulk;  /* bytes of the argument at pos; -1: its length is not read yet */
	uint32_t n;
	struct {
		uint32_t at, n;
	} arg[RESP_ARGS_MAX];
};

struct resp_command {
	uint64_t total; /* arguments as announced; argv has the first RESP_ARGS_MAX */
	unsigned argc;
	struct sv argv[RESP_ARGS_MAX];
	char words[RESP_INLINE_MAX]; /* what the views of a line point into */
};

/*
 * One command from the front of `in`. 1: *ret and *ret_used (no arguments: an empty line or array,
 * which gets no answer); 0: more bytes are needed; -EBADMSG: *ret_why is the text of the protocol
 * error, after which the server closes. Views lie in `in` or in *ret.
 */
int resp_parse(struct resp *p, struct sv in, size_t *ret_used, struct resp_command *ret,
	       char ret_why[64]) A_NODISCARD;

#endif
