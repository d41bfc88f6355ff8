/* SPDX-License-Identifier: Apache-2.0 */
/* The order of checks, and the transaction around a handler. */
#include "api/call.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/json.h"

/* Handlers are declared here alone: their only caller is the table below. */
#define ROUTE(method, path, handler, role, txn, summary) api_handler_fn handler;
#define STREAM(path, stream, summary)
#define ROOT(path, handler, where, summary) api_handler_fn handler;
#include "api/routes.def"
#undef ROUTE
#undef STREAM
#undef ROOT

static api_handler_fn *const handlers[] = {
#define ROUTE(method, path, handler, role, txn, summary) handler,
#define STREAM(path, stream, summary)			 NULL,
#define ROOT(path, handler, where, summary)		 handler,
#include "api/routes.def"
#undef ROUTE
#undef STREAM
#undef ROOT
};

api_handler_fn *
call_handler(size_t route)
{
	return route < ARRAY_LEN(handlers) ? handlers[route] : NULL;
}

bool
call_hashes(size_t route)
{
	api_handler_fn *h = call_handler(route);

	return h == h_auth_login || h == h_auth_change_password || h == h_user_create ||
	       h == h_user_reset_password;
}

static int
decode_arg(struct sv raw, char **store, struct sv *ret)
{
	size_t n;

	if (router_unescape(raw, true, *store, &n) < 0)
		return -EBADMSG;
	*ret = (struct sv){*store, n};
	*store += n;
	*(*store)++ = '\0';
	return memchr(ret->p, '\0', n) || !sv_utf8(*ret) ? -EBADMSG : 0;
}

/* Each argument has an `&` or the end behind it, and `=` or nothing in it: room for both
 * terminators is 2 more bytes in all for each. */
static void
decode_query(struct call *c, struct sv query, char *store)
{
	while (query.n) {
		struct sv value = sv_cut(&query, '&'), key = sv_cut(&value, '=');
		struct api_query_arg *arg = &c->query[c->req.nquery];

		if (key.n == 0 && value.n == 0)
			continue;
		if (c->req.nquery == CALL_QUERY_MAX || decode_arg(key, &store, &arg->key) < 0 ||
		    decode_arg(value, &store, &arg->value) < 0) {
			c->query_bad = true;
			return;
		}
		c->req.nquery++;
	}
}

/* The names of routes, never of what their parameters are; nothing that opens a door. */
static void
begin_span(struct call *c)
{
	const char *path = c->route ? c->route->path : "(no route)";
	struct sv method = c->route ? sv_from(c->route->method) : SV("_OTHER");
	char text[TRACE_TEXT_SIZE];
	struct trace_ctx parent;

	(void)trace_ctx_parse(http_req_header(c->http, "traceparent"), &parent);
	(void)snprintf(text, sizeof(text), "%.*s %s", (int)method.n, method.p, path);
	c->span = trace_begin(text, TRACE_SERVER, &parent);
	trace_text(c->span, "http.request.method", method);
	if (c->route)
		trace_text(c->span, "http.route", sv_from(path));
	trace_text(c->span, "url.path", c->http->path);
	if (c->http->query.n) {
		size_t n = trace_mask_query(c->http->query, text, sizeof(text));

		trace_text(c->span, "url.query", (struct sv){text, n});
	}
}

int
call_new(struct api_state *state, struct http_req *http, uint64_t unix_ms, uint64_t mono_ms,
	 struct call **ret_call)
{
	struct call *c = calloc(1, sizeof(*c));
	size_t room = http->path.n + 1 + http->query.n + (size_t)2 * CALL_QUERY_MAX + 2;

	if (!c)
		return -ENOMEM;
	c->store = malloc(room);
	if (!c->store) {
		free(c);
		return -ENOMEM;
	}
	c->state = state;
	list_init(&c->parked);
	c->http = http;
	c->watermark = -1;
	c->begun_ms = mono_ms;
	c->req.query = c->query;
	c->req.now_ms = c->req.since_ms = unix_ms;
	c->req.peer_ip = sv_from(http->peer);
	c->req.authorization = http_req_header(http, "authorization");
	router_match(http->method, http->path, c->store, &c->match);
	decode_query(c, http->query, c->store + http->path.n + 1);
	if (c->match.status == 200) {
		c->route = &router_table[c->match.index];
		memcpy(c->req.param, c->match.param, sizeof(c->req.param));
		c->req.nparams = c->match.nparams;
	}
	if (c->route && c->route->role != API_OPEN && c->route->stream == API_STREAM_NONE)
		c->token =
			token_cache_check(state->tokens, state->secret,
					  auth_bearer(c->req.authorization), unix_ms, &c->claims);
	if (trace_on())
		begin_span(c);
	*ret_call = c;
	return 0;
}

void
call_free(struct call *c)
{
	if (!c)
		return;
	loop_timer_clear(&c->timer);
	list_unlink(&c->parked);
	json_decref(c->req.body);
	free((void *)(uintptr_t)c->req.resume);
	api_res_fini(&c->res);
	journal_rows_fini(&c->rows);
	/* Ended where it was answered; what is left was cut off. */
	trace_failed(c->span);
	trace_end(c->span);
	free(c->why);
	free(c->store);
	free(c);
}

void
call_fail(struct call *c, int code, const struct err *e)
{
	bool store = code == -EBUSY || code == -EIO || code == -ENOSPC || code == -EROFS ||
		     code == -EAGAIN || code == -ETIMEDOUT || code == -ENOTCONN ||
		     code == -ECONNRESET || code == -EPIPE;

	api_res_fini(&c->res);
	if (!c->why)
		c->why = strdup(e && e->msg[0] ? e->msg : strerror(-code));
	if (store) {
		(void)api_fail(&c->res, 503, "Store unavailable");
		c->res.retry_after = strdup("1");
		return;
	}
	id_hex32(c->error_id);
	(void)api_fail(&c->res, 500, "Internal Server Error");
	api_fail_extra(&c->res, "error_id", json_string(c->error_id));
}

/* Step 3. True: go on. */
static bool
authenticate(struct call *c, struct db *db)
{
	enum api_role who = c->route->role;
	struct err e = {0};
	int a;

	if (who == API_OPEN)
		return true;
	a = c->token;
	if (a == AUTH_OK)
		a = auth_caller(db, &c->claims, who, c->req.now_ms, &c->req.caller, &e);
	if (a == AUTH_OK)
		return true;
	if (a < 0)
		call_fail(c, a, &e);
	else
		(void)api_fail(&c->res, auth_status((enum auth_result)a), "%s",
			       auth_detail((enum auth_result)a));
	return false;
}

/* Step 4. */
static bool
within_rate(struct call *c, struct db *db)
{
	api_handler_fn *handler = handlers[c->match.index];
	char address[LIMITER_ADDRESS_SIZE];
	struct err e = {0};
	int r = 0;

	if (handler == h_auth_login) {
		limiter_address(c->req.peer_ip, address);
		r = api_limited(c->state, db, LIMITER_LOGIN_ADDRESS, sv_from(address), &c->res, &e);
	} else if (handler == h_auth_change_password) {
		r = api_limited(c->state, db, LIMITER_CHANGE_PASSWORD, sv_from(c->req.caller.uuid),
				&c->res, &e);
	}
	if (r < 0)
		call_fail(c, r, &e);
	return r == 0;
}

static bool
is_json_type(struct sv type)
{
	return sv_eq_ci(sv_trim(sv_cut(&type, ';')), SV("application/json"));
}

/* Step 5. */
static bool
read_body(struct call *c)
{
	struct http_req *http = c->http;
	const char *method = c->route->method;
	struct err e = {0};
	int r;

	if (http->body_error) {
		(void)api_fail(&c->res, 413, "Request body too large");
		return false;
	}
	if (http->body.n == 0 || c->req.body || strcmp(method, "GET") == 0 ||
	    strcmp(method, "DELETE") == 0)
		return true;
	if (!is_json_type(http_req_header(http, "content-type"))) {
		(void)api_fail(&c->res, 415, "Unsupported media type: expected application/json");
		return false;
	}
	r = json_parse(http->body, &c->req.body, &e);
	if (r == -ENOMEM)
		call_fail(c, r, &e);
	else if (r < 0)
		(void)api_fail(&c->res, 400, "Malformed JSON body");
	else if (!json_is_object(c->req.body))
		(void)api_fail(&c->res, 400, "Request body must be a JSON object");
	return r == 0 && json_is_object(c->req.body);
}

/* Steps 6 and on. */
static int
handle(struct call *c, struct db *db, struct err *e)
{
	struct api_ctx cx = {.db = db, .conf = c->state->conf, .state = c->state, .e = e};
	int r;

	if (c->query_bad)
		api_bad_field(&c->res, "query", "malformed");
	api_check_nul(c->req.body, &c->res);
	if (api_bad(&c->res))
		return 0;
	r = handlers[c->match.index](&cx, &c->req, &c->res);
	if (r == 0 && c->res.status == 0 && !c->res.resume)
		return -EPROTO;
	return r;
}

static void
run_read(struct call *c, struct db *db)
{
	struct err e = {0};
	int r = db_begin_read(db, &e);

	if (r == 0 && authenticate(c, db) && read_body(c)) {
		r = handle(c, db, &e);
		if (r == 0)
			r = journal_head(db, &c->watermark, &e);
	}
	db_rollback(db);
	if (r < 0)
		call_fail(c, r, &e);
}

static void
run_write(struct call *c, struct db *db)
{
	struct err e = {0};
	int r;

	/* Refusals must not wait for the write lock; what is decided under it is decided again. */
	if (!authenticate(c, db) || !within_rate(c, db) || !read_body(c))
		return;
	r = db_begin_write(db, &e);
	if (r == 0 && authenticate(c, db)) {
		r = handle(c, db, &e);
		if (r == 0 && (c->res.resume || c->res.status < 400)) {
			r = db_commit(db, &e);
			if (r == 0)
				journal_take(db, &c->rows);
		}
	}
	db_rollback(db);
	if (r < 0)
		call_fail(c, r, &e);
}

static void
run_plain(struct call *c, struct db *db)
{
	struct err e = {0};
	int r;

	if (!authenticate(c, db) || !within_rate(c, db) || !read_body(c))
		return;
	r = handle(c, db, &e);
	/* Routes that are answered on the loop have no connection. */
	if (db) {
		db_rollback(db);
		journal_take(db, &c->rows);
	}
	if (r < 0)
		call_fail(c, r, &e);
}

void
call_run(struct call *c, struct db *db)
{
	switch (c->route->txn) {
	case API_TXN_READ: run_read(c, db); return;
	case API_TXN_WRITE: run_write(c, db); return;
	case API_TXN_NONE: run_plain(c, db); return;
	}
}
