/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_REST_H
#define CLI_REST_H

/* The command line as a client of the API. Blocking; a command does one thing. */

#include <jansson.h>

#include "cli/command.h"
#include "util/attr.h"
#include "util/conf.h"

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
/* The exit code for an HTTP status. */
int rest_exit(long status);
/* Say on standard error why an answer is no success; the exit code. */
int rest_refused(const struct rest_answer *a);
/* Wait until /readyz of the API server of these settings is 200. 0 or -ETIMEDOUT. */
int rest_wait_ready(const struct cli *c, const struct conf *conf, unsigned timeout_ms) A_NODISCARD;

#endif
