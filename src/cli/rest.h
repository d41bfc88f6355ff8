/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_REST_H
#define CLI_REST_H

/* The command line as a client of the API. Blocking; a command does one thing. */

#include <jansson.h>

#include "cli/command.h"
#include "util/attr.h"
#include "util/buf.h"
#include "util/conf.h"
#include "util/sv.h"

struct rest_answer {
	long status;  /* HTTP */
	char *text;   /* body, terminated */
	json_t *json; /* NULL: no JSON */
};

/*
 * Ask the server of --url, DECNET_URL or http://127.0.0.1:8000 with the token of DECNET_TOKEN or
 * ~/.decnet/token. `path` is below /api/v1, or a root path when it begins with "//" (that is cut to
 * one slash). `body` may be NULL. 0 with *ret_answer (to be freed by rest_fini) for any HTTP
 * answer, or a negative errno with a text: -EHOSTUNREACH when there is none.
 */
int rest_call(const struct cli *c, const char *method, const char *path, const json_t *body,
	      struct rest_answer *ret_answer, struct err *e) A_NODISCARD;
void rest_fini(struct rest_answer *a);
/* rest_call, its failures said on standard error, a refusal too; with --json a success is printed
 * as it came. 0 and the answer (rest_fini), or the exit code. */
int rest_do(const struct cli *c, const char *method, const char *path, const json_t *body,
	    struct rest_answer *ret_answer) A_NODISCARD;

/* Bytes of a stream as they come; also called without any about once a second. Not 0: stop. */
typedef int rest_bytes_fn(void *user, struct sv bytes);
/*
 * Follow a stream (GET with Accept: text/event-stream, no time-out) until it ends or `fn` stops it.
 * `last_id` (or 0) is sent as Last-Event-ID. 0 and the HTTP status, or -EHOSTUNREACH. The body of
 * an answer that is not 200 goes to `fn`, too.
 */
int rest_stream(const struct cli *c, const char *path, uint64_t last_id, rest_bytes_fn *fn,
		void *user, long *ret_status, struct err *e) A_NODISCARD;
/* Append `text` as one segment of a path or one value of a query. 0 or a negative errno. */
int rest_put_escaped(struct buf *b, const char *text) A_NODISCARD;
/* Append `?key=value`, or `&key=value` when a query has begun. 0 or a negative errno. */
int rest_put_arg(struct buf *b, const char *key, const char *value) A_NODISCARD;
/* A part of an answer as JSON on standard output, for commands that select. */
void rest_print(const json_t *value);
/* The id of a topology named by id or by its unique name. 0, or the exit code (said on standard
 * error). */
int rest_topology_id(const struct cli *c, const char *name, char dst[37]) A_NODISCARD;
/* Where the token is kept: ~/.decnet/token. */
void rest_token_path(char *dst, size_t size);
/* The exit code for an HTTP status. */
int rest_exit(long status);
/* Say on standard error why an answer is no success; the exit code. */
int rest_refused(const struct rest_answer *a);
#define REST_URL_MAX 512
/* Where the API server of these settings is to be found from this machine; no path. */
void rest_own_url(const struct conf *conf, char dst[REST_URL_MAX]);
/* Wait until /readyz of the API server of these settings is 200. 0 or -ETIMEDOUT. */
int rest_wait_ready(const struct cli *c, const struct conf *conf, unsigned timeout_ms) A_NODISCARD;

#endif
