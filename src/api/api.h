/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_API_H
#define API_API_H

/*
 * What a handler sees. A handler is synchronous code that runs on a store thread with a connection
 * of its own: it reads the request, uses store/ functions and fills in the answer. It knows no
 * socket. Which handler serves which path, for whom, in which kind of transaction is routes.def.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/db.h"
#include "util/attr.h"
#include "util/conf.h"
#include "util/err.h"
#include "util/id.h"
#include "util/sv.h"

#define API_PARAMS_MAX 4
#define API_ERRORS_MAX 32

/* Who may call a route. */
enum api_role {
	API_OPEN,
	API_VIEWER,
	API_ADMIN,
	API_SELF /* any valid token, also while must-change is set */
};

/*
 * Transaction around the handler. READ: one read transaction, answered with Decnet-Watermark.
 * WRITE: a write transaction, committed when the handler returns a status below 400, rolled back
 * otherwise; the journal's rows are published after it. NONE: the handler does what it needs.
 */
enum api_txn { API_TXN_NONE, API_TXN_READ, API_TXN_WRITE };

struct api_caller {
	char uuid[ID_UUID_SIZE];
	char username[65 * 4];
	char role[8]; /* "admin" or "viewer" */
	bool is_admin;
	bool must_change;
	char jti[ID_HEX32_SIZE];
	uint64_t exp_ms;
	uint64_t iat_ms;
};

struct api_query_arg {
	struct sv key, value; /* decoded */
};

struct api_req {
	struct sv param[API_PARAMS_MAX]; /* path parameters in order, decoded; each is followed by a
					    NUL */
	unsigned nparams;
	const struct api_query_arg *query;
	size_t nquery;
	json_t *body;		  /* the JSON object, or NULL when there was none; borrowed */
	struct api_caller caller; /* zero on open routes */
	struct sv authorization;  /* header value as sent */
	struct sv peer_ip;
	uint64_t now_ms;    /* Unix milliseconds, read once */
	const char *resume; /* the text given to api_again, or NULL at the first call */
	uint64_t since_ms;  /* now_ms of the first call */
};

struct api_res {
	int status;
	json_t *body;	     /* owned; NULL: an empty body */
	char *retry_after;   /* heap, or NULL */
	char *disposition;   /* Content-Disposition, heap, or NULL */
	json_t *errors;	     /* collected by api_bad_field */
	bool access_changed; /* somebody's tokens ended: the gateway re-checks its streams after the
				commit */
	char *text;	     /* instead of body: another representation, heap, ... */
	size_t text_n;
	const char *type;     /* ... and its Content-Type, static */
	const char *constant; /* instead of body: JSON that never changes, static */
	json_t *publish;      /* collected by api_publish */
	char *resume;	      /* set by api_again */
	unsigned again_ms;
};

struct api_ctx {
	struct db *db;
	const struct conf *conf;
	void *state;   /* process-wide state of the API (api/state.h) */
	struct err *e; /* for functions of store/; when the handler fails it is what the log says */
};

/* Fills in *res. The return value is 0, or a negative errno of the store: then *res is replaced by
 * a 503 or a 500. */
typedef int api_handler_fn(struct api_ctx *cx, const struct api_req *req, struct api_res *res);

/* Answer with a body (which is consumed; NULL without memory becomes a 500). Returns 0. */
int api_ok(struct api_res *res, int status, json_t *own_body);
/* Answer `{"detail": <formatted>}`. Returns 0, so `return api_fail(res, 404, "Topology not
 * found");` reads well. */
int api_fail(struct api_res *res, int status, const char *fmt, ...) A_PRINTF(3, 4);
/* Add a key to the body of a failure already set by api_fail; consumes the value. */
void api_fail_extra(struct api_res *res, const char *key, json_t *own_value);
/* Note a bad field ("payload.lan", "query.limit", "" for the body); at most API_ERRORS_MAX are
 * kept. */
void api_bad_field(struct api_res *res, const char *field, const char *fmt, ...) A_PRINTF(3, 4);
/* Whether fields were noted; then the 422 `Invalid request parameters` is set and the handler
 * returns 0 at once. */
bool api_bad(struct api_res *res);
/* A 422 whose detail is the text, with one error on `field`. Returns 0. */
int api_refuse(struct api_res *res, const char *field, const char *fmt, ...) A_PRINTF(3, 4);

/*
 * For a handler that waits for another process: the store thread is given back, and the handler is
 * called again (route, caller and body as before, in a transaction of its own) after `delay_ms`
 * with req->resume = own_text. What a WRITE handler has done so far is committed. Returns 0;
 * -ENOMEM when own_text is NULL.
 */
int api_again(struct api_res *res, char *own_text, unsigned delay_ms);
/* Publish an event without a journal row once the answer is decided (below 400). Consumes the
 * payload. */
void api_publish(struct api_res *res, const char *topic, json_t *own_payload);

/* The query argument, or NULL. The last one wins. */
const struct sv *api_query_get(const struct api_req *req, const char *key);
/* limit and offset with the contract's bounds; notes bad fields. */
void api_query_page(const struct api_req *req, struct api_res *res, unsigned def, unsigned max,
		    int64_t *ret_limit, int64_t *ret_offset);
/* Path parameter i when it is a UUID, else NULL (the handler then answers its 404). Good as long as
 * the request. */
const char *api_param_uuid(const struct api_req *req, unsigned i);
/* The length of a text in characters. */
size_t api_characters(struct sv text);
/* A terminated copy of path parameter i in dst, or NULL when it does not fit or holds a NUL. */
const char *api_param_text(const struct api_req *req, unsigned i, char *dst, size_t dst_size);

/* The list envelope of contract 1.4. Consumes `own_data`. */
json_t *api_envelope(int64_t total, int64_t limit, int64_t offset, json_t *own_data);

/* Kinds of a body field, for api_check_body. */
enum api_kind { API_STR, API_INT, API_NUM, API_BOOL, API_OBJECT, API_STR_LIST, API_OBJECT_LIST };

struct api_field {
	const char *name;
	enum api_kind kind;
	bool required;
	bool nullable;
	double min, max; /* STR: length in characters; INT, NUM: range; lists: items; max 0 and min
			    0: no bound */
	const char *const *words; /* STR: the allowed values, NULL-terminated, or NULL */
};

/*
 * Check req->body (a missing body is an empty object) against the table: unknown, missing,
 * ill-typed and out-of-range fields are noted as `<prefix><name>`. Then see api_bad.
 */
void api_check_body(const struct api_req *req, struct api_res *res, const struct api_field *fields,
		    size_t n);
void api_check_object(const json_t *object, const char *prefix, struct api_res *res,
		      const struct api_field *fields, size_t n);
/*
 * Note every text in the body, however deep, that holds a NUL: whoever takes it for a C string
 * would see another text than was checked. Then see api_bad.
 */
void api_check_nul(const json_t *body, struct api_res *res);

/* Release what the answer holds. */
void api_res_fini(struct api_res *res);

#endif
