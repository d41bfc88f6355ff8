/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECOY_SERVICES_HTTP_HEAD_H
#define DECOY_SERVICES_HTTP_HEAD_H

/* The head of a request as web servers read it: strict like Apache, or with bare line feeds like
 * the others. Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/attr.h"
#include "util/sv.h"

#define HTTP_LINE_MAX	8190 /* Apache's default for a line */
#define HTTP_FIELDS_MAX 100
#define HTTP_HEAD_MAX	32768

enum http_framing { HTTP_NO_BODY, HTTP_LENGTH, HTTP_CHUNKED };

struct http_head {
	struct sv method, target, version; /* version is empty for HTTP/0.9 */
	struct sv host, user_agent, authorization, type;
	int minor; /* 0 or 1 */
	bool has_host, keep_alive, asks_keep_alive, expects;
	enum http_framing framing;
	uint64_t length;
};

/*
 * Where the head at the front of `in` ends: 1 and *ret_n; 0: not there yet, *scanned is where to go
 * on (0 at first); -EMSGSIZE: a line or the whole is too long.
 */
int http_head_end(struct sv in, size_t *scanned, size_t *ret_n) A_NODISCARD;
/* Read a whole head. 0, or the status with which a server refuses it. Views lie in `head`. */
int http_head_read(struct sv head, bool strict, struct http_head *ret) A_NODISCARD;
/*
 * The path of a target, decoded, without query. 0 and *ret (in dst), or the status: 400 for a
 * broken escape or a way out of the root, 404 for an escaped slash or NUL.
 */
int http_head_path(struct sv target, char *dst, size_t size, struct sv *ret) A_NODISCARD;

#endif
