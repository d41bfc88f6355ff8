/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_ROUTER_H
#define API_ROUTER_H

/* From method and path to a row of routes.def. Pure: it knows the table, not the handlers. */

#include <stdbool.h>
#include <stddef.h>

#include "api/api.h"
#include "util/sv.h"

/* The streams a STREAM row may name. */
enum api_stream {
	API_STREAM_NONE,
	API_STREAM_IDENTITIES,
	API_STREAM_TOPOLOGY,
	API_STREAM_ATTACKER,
	API_STREAM_LOGS,
	API_STREAM_EVENTS,
	API_STREAM_COUNT
};

struct route {
	const char *method; /* "GET", … */
	const char *path;   /* the whole path, with {names} */
	enum api_role role;
	enum api_txn txn;
	enum api_stream stream; /* API_STREAM_NONE: a handler */
	bool on_loop;		/* answered at once, without a store thread */
	const char *summary;
};

#define ROUTE_ON_LOOP  true
#define ROUTE_ON_STORE false

#define ROUTER_SEGMENTS_MAX 16
#define ROUTER_PATH_MAX	    8192
#define ROUTER_ALLOW_SIZE   64

struct router_match {
	int status;	  /* 200: the route; 204: OPTIONS; 404, 405 */
	bool head;	  /* HEAD of a GET route */
	size_t index;	  /* row of the table when status is 200 */
	const char *path; /* the matched pattern unless 404 */
	struct sv param[API_PARAMS_MAX];
	unsigned nparams;
	char allow[ROUTER_ALLOW_SIZE]; /* for 204 and 405 */
};

extern const struct route router_table[];
extern const size_t router_count;

/*
 * Match. `path` is the raw path of the request, without the query; the decoded parameters are views
 * into `store`, which has room for path.n + 1 bytes, each with a NUL behind it. What holds broken
 * percent escapes, NUL or bytes that are not UTF-8 matches nothing.
 */
void router_match(struct sv method, struct sv path, char *store, struct router_match *ret);
/* Undo percent escapes (and `+` for a blank in queries) into dst, which has room for s.n bytes. 0
 * and *ret_n, or -EBADMSG. */
int router_unescape(struct sv s, bool plus, char *dst, size_t *ret_n);

#endif
