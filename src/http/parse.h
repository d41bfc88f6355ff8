/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_PARSE_H
#define HTTP_PARSE_H

/*
 * Heads and chunked bodies of HTTP/1 requests (RFC 9112), strictly: what another recipient might
 * read otherwise is refused. Pure.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/server.h"
#include "util/attr.h"
#include "util/buf.h"
#include "util/limits.h"
#include "util/sv.h"

struct http_head {
	struct sv method, target, path, query;
	int minor;
	size_t nfields;
	bool keep_alive;
	bool chunked;
	bool has_length;
	bool expect_continue;
	uint64_t length;
	struct http_field fields[LIMIT_HEADER_FIELDS]; /* nfields of them are set */
};

/* Zero it to start. Holds only where to resume, so that a slow peer is not O(n^2). */
struct http_head_parser {
	size_t scanned;
};

/*
 * Read one head from the front of `in`. 1: *ret_head is set with views into `in`, and *ret_used
 * bytes may be dropped; 0: more bytes are needed; -EBADMSG (400), -ENAMETOOLONG (414: request
 * line), -E2BIG (431: fields too many or too long).
 */
int http_head_parse(struct http_head_parser *ps, struct sv in, size_t *ret_used,
		    struct http_head *ret_head) A_NODISCARD;

/* Whether it is a method's or a field's name (RFC 9110, 5.6.2). */
bool http_token(struct sv s);
/*
 * Split a request target: the absolute form, or a path that begins with '/' and perhaps a query,
 * or `*` for OPTIONS; visible ASCII only. 0 or -EBADMSG.
 */
int http_target_read(struct sv method, struct sv target, struct sv *ret_path,
		     struct sv *ret_query) A_NODISCARD;

/* Zero it to start. */
struct http_chunked {
	enum { CHUNK_SIZE, CHUNK_DATA, CHUNK_DATA_END, CHUNK_TRAILER, CHUNK_DONE } phase;
	uint64_t left;	 /* of the chunk's data */
	size_t trailers; /* bytes of trailer fields so far */
};

/*
 * Decode from the front of `in` into `out`. 1: the body is complete; 0: more bytes are needed; in
 * both cases *ret_used bytes may be dropped. -EBADMSG, or -EFBIG when `out` would pass its ceiling.
 */
int http_chunked_decode(struct http_chunked *d, struct sv in, size_t *ret_used,
			struct buf *out) A_NODISCARD;

/* The reason phrase of a status, or "Unknown". */
const char *http_reason(int status);

#endif
