/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_INTEGRATION_WORLD_H
#define TESTS_INTEGRATION_WORLD_H

/* A real decnet-api on a free port, with a state directory of its own, and requests to it. Failures
 * fail the test. */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#define WORLD_FIRST	 "password-of-the-first-start"
#define WORLD_ADMIN	 "password-of-the-admin"
#define WORLD_VIEWER	 "password-of-the-viewer"
#define WORLD_ANSWER_MAX (256 * 1024)

struct world {
	char dir[64], log[96];
	pid_t pid;
	uint16_t port, metrics_port;
	char admin[1024], viewer[1024], fresh[1024]; /* tokens; `fresh` must change its password */
};

struct answer {
	int status;
	char text[WORLD_ANSWER_MAX]; /* head and body */
	const char *body;
	json_t *json;
};

/* cmocka fixtures of a group: a server without rate limits and three users. */
int world_setup(void **state);
int world_teardown(void **state);
/* Start it with the environment as it is, until it serves; what it says is appended to w->log. */
void world_start(struct world *w);
/* SIGTERM; it must exit with 0. */
void world_stop(struct world *w);
/* Start with one variable changed: it must refuse with exit code 2 and the variable's name. */
void world_refuses_to_start(struct world *w, const char *name, const char *value);

/* One request. `headers` are whole lines. The answer is good until the next one. */
struct answer *world_ask(const struct world *w, const char *method, const char *path,
			 const char *token, const char *headers, const char *body);
/* Likewise, for a path below /api/v1 and a JSON body. */
struct answer *world_call(const struct world *w, const char *method, const char *path,
			  const char *token, const char *body);
/* GET of a port, for the metrics. */
struct answer *world_get(uint16_t port, const char *path);
/* The text member of the body, or "". */
const char *answer_member(const struct answer *a, const char *key);
/* Whether the head holds the text, in any case. */
bool answer_has_header(const struct answer *a, const char *line);

void world_login(const struct world *w, const char *name, const char *password, char token[1024]);
void world_change(const struct world *w, const char *token, const char *old, const char *fresh);

#define EXPECT(a, want_status, want_detail)                                                        \
	do {                                                                                       \
		const struct answer *a_ = (a);                                                     \
		if (a_->status != (want_status) ||                                                 \
		    strcmp(answer_member(a_, "detail"), (want_detail)) != 0)                       \
			fail_msg("line %d: %d %s", __LINE__, a_->status, a_->body);                \
	} while (0)

#endif
