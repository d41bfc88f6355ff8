/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_CALL_H
#define API_CALL_H

/*
 * One request on its way: found in the table, authenticated, checked in the order of contract 1.2,
 * handed to its handler, committed. It knows the request as http/ shows it, but no socket:
 * answering is server.c's.
 */

#include "api/api.h"
#include "api/auth.h"
#include "api/router.h"
#include "api/state.h"
#include "http/server.h"
#include "store/journal.h"
#include "trace/trace.h"
#include "util/list.h"
#include "util/loop.h"
#include "util/pool.h"

struct api_worker;

#define CALL_QUERY_MAX	    32
#define CALL_REQUEST_ID_MAX 64

struct call {
	struct pool_job job;
	struct loop_timer timer;
	struct list parked; /* in worker->parked while it waits for another turn */
	struct api_state *state;
	struct api_worker *worker; /* that answers it; on its loop */
	struct http_req *http;	   /* until it is answered */
	struct router_match match;
	const struct route *route; /* NULL: none */
	struct auth_claims claims;
	enum auth_result token;
	struct api_req req;
	struct api_res res;
	int64_t watermark;	  /* -1: none */
	struct journal_rows rows; /* committed by this call, not yet published */
	struct trace_span *span;  /* of the request, or NULL */
	char request_id[CALL_REQUEST_ID_MAX + 1];
	char error_id[ID_HEX32_SIZE];
	char *why;	   /* of a 500 or 503, for the log */
	uint64_t store_ms; /* on the store thread, in its last turn */
	uint64_t begun_ms; /* loop time */
	bool query_bad;
	struct api_query_arg query[CALL_QUERY_MAX];
	char *store; /* decoded path and query */
};

/* Find the route, decode path and query, verify the token. 0 and *ret_call, or -ENOMEM. */
int call_new(struct api_state *state, struct http_req *http, uint64_t unix_ms, uint64_t mono_ms,
	     struct call **ret_call) A_NODISCARD;
void call_free(struct call *c);
/* Store thread: everything from authentication to commit; c->res is the answer (or c->res.resume
 * asks for another turn). */
void call_run(struct call *c, struct db *db);
/* Whether the row's handler hashes a password: such work has threads of its own. */
bool call_hashes(size_t route);
/* The handler of a row of the table; NULL for streams. */
api_handler_fn *call_handler(size_t route);
/* Turn c->res into a 503 (store) or a 500 with an error id. */
void call_fail(struct call *c, int code, const struct err *e);

#endif
