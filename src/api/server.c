/* SPDX-License-Identifier: Apache-2.0 */
/* Requests from http/ to their call and back: headers, the dashboard's files, publishing after
 * commits. */
#include "api/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/relay.h"
#include "api/web_asset.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/log.h"

#define HEADERS_MAX   20
#define RETRY_STORE_S "1"
#define CORS_METHODS  "GET, POST, PUT, PATCH, DELETE, OPTIONS"
#define CORS_HEADERS  "Authorization, Content-Type, Last-Event-ID"
#define CORS_EXPOSED  "Decnet-Watermark, Retry-After"
#define PAGE_POLICY                                                                                \
	"default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "           \
	"form-action 'self'; frame-ancestors 'none'"

struct headers {
	struct http_header v[HEADERS_MAX];
	size_t n;
	char origin[256];
	char watermark[24];
};

static void
add(struct headers *h, const char *name, const char *value)
{
	if (h->n < HEADERS_MAX)
		h->v[h->n++] = (struct http_header){name, value};
}

/* The origin, when the settings know it. */
static void
add_cors(struct headers *h, const struct api_state *state, const struct http_req *http)
{
	struct sv origin = http_req_header(http, "origin"),
		  list = sv_from(state->conf->cors_origins);

	if (list.n == 0)
		return;
	add(h, "Vary", "Origin");
	if (!origin.p || sv_copy(origin, h->origin, sizeof(h->origin)) < 0)
		return;
	while (list.n) {
		if (!sv_eq(sv_trim(sv_cut(&list, ',')), origin))
			continue;
		add(h, "Access-Control-Allow-Origin", h->origin);
		add(h, "Access-Control-Expose-Headers", CORS_EXPOSED);
		return;
	}
	/* A stranger is told nothing, not even what others may. */
	h->origin[0] = '\0';
}

static void
add_common(struct headers *h, const struct call *c, const char *cache)
{
	add(h, "X-Request-Id", c->request_id);
	add(h, "Cache-Control", cache);
	add(h, "X-Content-Type-Options", "nosniff");
	add(h, "Referrer-Policy", "no-referrer");
	add_cors(h, c->state, c->http);
}

/* The client's own name for the request when it is a plain one, else one of ours. */
static void
name_request(struct call *c)
{
	struct sv given = http_req_header(c->http, "x-request-id");
	struct api_worker *w = c->worker;

	for (size_t i = 0; i < given.n; i++) {
		char a = given.p[i];

		if (!((a >= 'a' && a <= 'z') || (a >= 'A' && a <= 'Z') || (a >= '0' && a <= '9') ||
		      a == '-' || a == '_' || a == '.'))
			given.n = 0;
	}
	if (given.n > 0 && sv_copy(given, c->request_id, sizeof(c->request_id)) == 0) {
		trace_text(c->span, "decnet.request_id", given);
		return;
	}
	id_hex(w->ids, sizeof(w->ids), c->request_id);
	w->ids[1]++;
	trace_text(c->span, "decnet.request_id", sv_from(c->request_id));
}

static void
end_span(struct call *c, int status)
{
	trace_number(c->span, "http.response.status_code", status);
	if (c->error_id[0])
		trace_text(c->span, "error.type", SV("500"));
	if (status >= 500)
		trace_failed(c->span);
	trace_end(TAKE(c->span));
}

static void
finish(struct call *own_call, const struct headers *h, struct sv body)
{
	struct call *c = own_call;
	struct api_worker *w = c->worker;

	metrics_count(&w->metrics, c->route ? c->match.index : router_count, c->res.status,
		      loop_now_ms(w->loop) - c->begun_ms);
	http_respond(c->http, c->res.status, h->v, h->n, body);
	end_span(c, c->res.status);
	w->calls--;
	call_free(c);
}

/* What the call committed is told: to the bus, to this worker's streams and to those of the others.
 */
static void
publish(struct call *c)
{
	bool changed = c->rows.n > 0 || c->res.access_changed;
	struct api_worker *w = c->worker;
	const struct trace_ctx trace = trace_ctx_of(c->span);
	size_t i;
	json_t *row;

	for (i = 0; i < c->rows.n; i++) {
		const struct journal_row *j = &c->rows.v[i];

		relay_publish(c->state, j->topic, j->ts_ms, j->seq, j->payload, &trace);
	}
	journal_rows_fini(&c->rows);
	c->res.access_changed = false;
	if (changed) {
		w->streams->poke(w->streams_user);
		relay_poke(c->state, w);
	}
	if (c->res.status >= 400)
		return;
	json_array_foreach(c->res.publish, i, row)
	{
		char *payload = json_text(json_object_get(row, "payload"));

		if (payload)
			relay_publish(c->state, json_get_text(row, "topic"), loop_unix_ms(w->loop),
				      0, payload, &trace);
		free(payload);
	}
}

static void
log_failure(const struct call *c)
{
	const char *method = c->route ? c->route->method : "",
		   *path = c->route ? c->route->path : "";

	if (c->res.status == 500)
		log_event(LV_ERR, "api.error", KV_S("error_id", c->error_id),
			  KV_S("request_id", c->request_id), KV_S("method", method),
			  KV_S("route", path), KV_S("why", c->why));
	else if (c->res.status == 503 && c->why)
		log_event(LV_WARN, "api.store_unavailable", KV_S("request_id", c->request_id),
			  KV_S("method", method), KV_S("route", path), KV_S("why", c->why));
}

void
api_server_answer(struct call *own_call)
{
	struct call *c = own_call;
	struct headers h = {0};
	char *text = NULL;
	struct sv body = {NULL, 0};

	if (c->res.status == 500 && !c->error_id[0])
		call_fail(c, -ENOMEM, NULL);
	if (c->res.text) {
		body = (struct sv){c->res.text, c->res.text_n};
	} else if (c->res.constant) {
		body = sv_from(c->res.constant);
	} else if (c->res.body) {
		text = json_text(c->res.body);
		if (!text)
			c->res.status = 500;
		body = sv_from(text);
	}
	publish(c);
	log_failure(c);
	if (c->res.status == 409)
		metrics_conflict(&c->worker->metrics, json_get_text(c->res.body, "detail"));
	if (body.p)
		add(&h, "Content-Type", c->res.text ? c->res.type : "application/json");
	add_common(&h, c, "no-store");
	if (c->res.status == 401)
		add(&h, "WWW-Authenticate", "Bearer");
	if (c->res.status == 405 || c->match.status == 204)
		add(&h, "Allow", c->match.allow);
	if (c->match.status == 204 && h.origin[0]) {
		add(&h, "Access-Control-Allow-Methods", CORS_METHODS);
		add(&h, "Access-Control-Allow-Headers", CORS_HEADERS);
		add(&h, "Access-Control-Max-Age", "600");
	}
	if (c->res.retry_after)
		add(&h, "Retry-After", c->res.retry_after);
	if (c->res.disposition)
		add(&h, "Content-Disposition", c->res.disposition);
	if (c->watermark >= 0) {
		(void)snprintf(h.watermark, sizeof(h.watermark), "%lld", (long long)c->watermark);
		add(&h, "Decnet-Watermark", h.watermark);
	}
	if (c->res.text && strcmp(c->res.type, "application/json") != 0)
		add(&h, "Content-Security-Policy", PAGE_POLICY);
	finish(c, &h, body);
	free(text);
}

struct http_stream *
api_server_stream(struct call *own_call, const struct http_stream_ops *ops, void *user)
{
	struct call *c = own_call;
	struct api_worker *w = c->worker;
	struct headers h = {0};
	struct http_stream *s;

	add(&h, "Content-Type", "text/event-stream; charset=utf-8");
	add_common(&h, c, "no-cache");
	add(&h, "X-Accel-Buffering", "no");
	metrics_count(&w->metrics, c->match.index, 200, loop_now_ms(w->loop) - c->begun_ms);
	s = http_stream_begin(c->http, 200, h.v, h.n, ops, user);
	end_span(c, 200);
	w->calls--;
	call_free(c);
	return s;
}

static const struct web_asset *
find_asset(struct sv path)
{
	if (sv_eq(path, SV("/")))
		path = SV("/index.html");
	for (size_t i = 0; i < web_assets_count; i++)
		if (sv_eq(path, sv_from(web_assets[i].path)))
			return &web_assets[i];
	return NULL;
}

static void
send_asset(struct call *own_call, const struct web_asset *a)
{
	struct call *c = own_call;
	struct sv match = http_req_header(c->http, "if-none-match");
	/* The names of these files hold a hash of their bytes. */
	bool forever = sv_starts(sv_from(a->path), SV("/assets/"));
	struct headers h = {0};
	bool same = sv_search(match, sv_from(a->etag)) != SIZE_MAX;

	c->res.status = same ? 304 : 200;
	if (!same)
		add(&h, "Content-Type", a->type);
	add(&h, "ETag", a->etag);
	add_common(&h, c, forever ? "public, max-age=31536000, immutable" : "no-cache");
	add(&h, "Content-Security-Policy", PAGE_POLICY);
	finish(c, &h, (struct sv){(const char *)a->data, same ? 0 : a->size});
}

/* What no route serves: a file of the dashboard, the dashboard itself, or nothing. */
static void
serve_file(struct call *own_call)
{
	struct call *c = own_call;
	struct sv method = c->http->method, path = c->http->path;
	bool api = sv_starts(path, SV("/api/")) || sv_eq(path, SV("/api"));
	bool get = sv_eq(method, SV("GET")) || sv_eq(method, SV("HEAD"));
	const struct web_asset *a = api ? NULL : find_asset(path);

	if (!a && !api && get &&
	    sv_search(http_req_header(c->http, "accept"), SV("text/html")) != SIZE_MAX)
		a = find_asset(SV("/"));
	if (a && get) {
		send_asset(c, a);
		return;
	}
	if (a) {
		(void)snprintf(c->match.allow, sizeof(c->match.allow), "GET, HEAD, OPTIONS");
		c->match.status = sv_eq(method, SV("OPTIONS")) ? 204 : 405;
	}
	if (c->match.status == 204)
		c->res.status = 204;
	else
		(void)api_fail(&c->res, c->match.status, "%s",
			       c->match.status == 405 ? "Method Not Allowed" : "Not Found");
	api_server_answer(c);
}

static void
busy(struct call *own_call)
{
	api_res_fini(&own_call->res);
	(void)api_fail(&own_call->res, 503, "Server busy");
	own_call->res.retry_after = strdup(RETRY_STORE_S);
	api_server_answer(own_call);
}

static void
run_job(struct pool_job *job, void *thread_state)
{
	struct call *c = job->user;
	uint64_t began_ms = clock_mono_ms();
	const struct trace_ctx request = trace_ctx_of(c->span);
	struct trace_span *span =
		trace_ctx_valid(&request) ? trace_begin("store", TRACE_INTERNAL, &request) : NULL;

	call_run(c, thread_state);
	trace_number(span, "decnet.rows", (int64_t)c->rows.n);
	if (c->res.status >= 500)
		trace_failed(span);
	trace_end(span);
	c->store_ms = clock_mono_ms() - began_ms;
}

static void done_job(struct pool_job *job);

static void
on_call(struct loop_timer *t)
{
	const struct api_worker *w = t->user;

	pool_call(w->state->pool);
}

static void
submit(struct call *c)
{
	struct api_state *state = c->state;
	struct api_worker *w = c->worker;
	int r;
	/* A burst of logins must not keep readers and streams waiting. */
	struct pool *pool = call_hashes(c->match.index) ? state->hash_pool : state->pool;

	c->job = (struct pool_job){.run = run_job, .done = done_job, .user = c};
	if (pool == state->hash_pool)
		r = pool_submit_to(pool, &c->job, w->inbox);
	else
		r = pool_submit_quietly(pool, &c->job, w->inbox);
	if (r < 0) {
		busy(c);
		return;
	}
	/* Who is called at the first job takes the processor from us before there is a second. */
	if (pool == state->pool && !w->call.loop &&
	    loop_timer_set(w->loop, &w->call, 0, on_call, w) < 0)
		pool_call(pool);
}

static void
on_again(struct loop_timer *t)
{
	struct call *c = t->user;

	list_unlink(&c->parked);
	/* Nobody would read the answer. */
	if (http_req_gone(c->http)) {
		busy(c);
		return;
	}
	c->req.now_ms = loop_unix_ms(c->worker->loop);
	submit(c);
}

static void
done_job(struct pool_job *job)
{
	struct call *c = job->user;
	struct api_worker *w = c->worker;

	w->metrics.store_jobs++;
	w->metrics.store_ms += c->store_ms;
	if (!c->res.resume || c->res.status >= 400) {
		api_server_answer(c);
		return;
	}
	publish(c);
	free((void *)(uintptr_t)c->req.resume);
	c->req.resume = TAKE(c->res.resume);
	if (w->stopping || loop_timer_set(w->loop, &c->timer, c->res.again_ms, on_again, c) < 0) {
		busy(c);
		return;
	}
	list_append(&w->parked, &c->parked);
	api_res_fini(&c->res);
}

void
api_server_stop(struct api_worker *w)
{
	w->stopping = true;
	LIST_FOR (at, &w->parked)
		busy(CONTAINER_OF(at, struct call, parked));
}

static void
on_request(void *user, struct http_req *http)
{
	struct api_worker *w = user;
	struct call *c;

	if (call_new(w->state, http, loop_unix_ms(w->loop), loop_now_ms(w->loop), &c) < 0) {
		http_respond(http, 503, NULL, 0, SV("{\"detail\":\"Server busy\"}"));
		return;
	}
	c->worker = w;
	name_request(c);
	w->calls++;
	if (!c->route && c->match.status == 404) {
		serve_file(c);
	} else if (!c->route) {
		c->res.status = 204;
		if (c->match.status == 405)
			(void)api_fail(&c->res, 405, "Method Not Allowed");
		api_server_answer(c);
	} else if (c->route->stream != API_STREAM_NONE) {
		w->streams->open(w->streams_user, c);
	} else if (c->route->role != API_OPEN && c->token != AUTH_OK) {
		/* Needs no store thread. */
		(void)api_fail(&c->res, auth_status(c->token), "%s", auth_detail(c->token));
		api_server_answer(c);
	} else if (c->route->on_loop) {
		call_run(c, NULL);
		api_server_answer(c);
	} else {
		submit(c);
	}
}

static void
on_answered(void *user, struct sv method, struct sv path, int status, uint64_t bytes, uint64_t ms)
{
	(void)user;
	log_event(LV_DEBUG, "api.request", KV_V("method", method), KV_V("path", path),
		  KV_I("status", status), KV_U("bytes", bytes), KV_U("ms", ms));
}

const struct http_ops api_http_ops = {.on_request = on_request, .on_answered = on_answered};
