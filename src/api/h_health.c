/* SPDX-License-Identifier: Apache-2.0 */
/* Health of the suite, and the processes it consists of. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/health.h"
#include "api/state.h"
#include "store/journal.h"
#include "store/user.h"
#include "store/worker.h"
#include "util/clock.h"
#include "util/json.h"

api_handler_fn h_health_live, h_health_ready, h_health_get;
api_handler_fn h_worker_list, h_worker_start, h_worker_stop, h_worker_start_all;

static const char *const names[] = {"api", "bus", "mutator", "netd", "decoy", "resolver"};

/* The newest sign of life of a process, stored or heard on the bus. */
struct beat {
	bool known;
	uint64_t at_ms, age_ms;
	char extra[4096];
};

struct beats {
	struct worker rows[WORKER_MAX];
	unsigned n;
};

static struct beats *
read_beats(struct api_ctx *cx, int *ret_code)
{
	struct beats *b = calloc(1, sizeof(*b));
	int n = b ? worker_list(cx->db, b->rows, WORKER_MAX, cx->e) : -ENOMEM;

	if (n < 0) {
		free(b);
		*ret_code = n;
		return NULL;
	}
	b->n = (unsigned)n;
	*ret_code = 0;
	return b;
}

/* These keep a row themselves and take it away when they stop; what was heard would outlive them.
 */
static bool
keeps_row(const char *name)
{
	static const char *const keepers[] = {"api", "mutator", "decoy", "resolver"};

	for (size_t i = 0; i < ARRAY_LEN(keepers); i++)
		if (strcmp(name, keepers[i]) == 0)
			return true;
	return false;
}

static void
find_beat(struct api_ctx *cx, const struct beats *b, const char *name, uint64_t now_ms,
	  struct beat *ret)
{
	struct heard heard;

	memset(ret, 0, sizeof(*ret));
	for (unsigned i = 0; b && i < b->n; i++) {
		if (strcmp(b->rows[i].name, name) != 0)
			continue;
		ret->known = true;
		ret->at_ms = b->rows[i].heartbeat_at;
		memcpy(ret->extra, b->rows[i].extra, sizeof(ret->extra));
	}
	if (!keeps_row(name) && api_heard_of(cx->state, name, &heard) && heard.at_ms > ret->at_ms) {
		ret->known = true;
		ret->at_ms = heard.at_ms;
		memcpy(ret->extra, heard.extra, sizeof(heard.extra));
	}
	ret->age_ms = now_ms > ret->at_ms ? now_ms - ret->at_ms : 0;
}

static bool
alive(const struct beat *b)
{
	return b->known && b->age_ms < WORKER_STALE_MS;
}

int
health_driver(struct api_ctx *cx, char ret_driver[16])
{
	const char *wanted = cx->conf->net_driver;
	int r = worker_driver(cx->db, cx->conf->host_name, ret_driver, cx->e);

	if (r == 0)
		(void)snprintf(ret_driver, 16, "%s",
			       wanted && strcmp(wanted, "netns") == 0 ? "netns" : "loopback");
	return r < 0 ? r : 0;
}

int
h_health_live(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	(void)cx;
	(void)req;
	res->status = 200;
	res->constant = "{\"status\":\"ok\"}";
	return 0;
}

static const char *
word(int code)
{
	return code < 0 ? "failing" : "ok";
}

int
h_health_ready(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	int64_t n;
	int store = db_begin_read(cx->db, cx->e), schema = store, journal = store;
	json_t *checks;

	(void)req;
	if (store == 0) {
		n = user_count(cx->db, cx->e);
		schema = n < 0 ? -EIO : 0;
		journal = journal_check(cx->db, cx->e);
		db_rollback(cx->db);
	}
	checks = json_pack("{s:s, s:s, s:s}", "store", word(store), "schema", word(schema),
			   "journal", word(journal));
	if (store == 0 && schema == 0 && journal == 0)
		return api_ok(res, 200,
			      json_pack("{s:s, s:o}", "status", "ready", "checks", checks));
	(void)api_fail(res, 503, "not ready");
	api_fail_extra(res, "status", json_string("not ready"));
	api_fail_extra(res, "checks", checks);
	return 0;
}

static void
put(json_t *components, const char *name, bool ok, const char *detail)
{
	(void)json_object_set_new(
		components, name,
		json_pack("{s:s, s:s?}", "status", ok ? "ok" : "failing", "detail", detail));
}

static bool
put_process(struct api_ctx *cx, json_t *components, const struct beats *b, const char *name,
	    uint64_t now_ms)
{
	struct beat beat;
	char detail[64];

	find_beat(cx, b, name, now_ms, &beat);
	if (alive(&beat)) {
		put(components, name, true, NULL);
		return true;
	}
	(void)snprintf(detail, sizeof(detail), "no heartbeat for %llu s",
		       (unsigned long long)(beat.age_ms / 1000));
	put(components, name, false, beat.known ? detail : "not started");
	return false;
}

/* The driver lives in the mutator; with namespaces it also needs its privileged half. */
static bool
put_driver(struct api_ctx *cx, json_t *components, const struct beats *b, uint64_t now_ms)
{
	char driver[16] = "";
	struct beat netd, mutator;
	json_t *extra;
	bool ok = b && health_driver(cx, driver) == 0;

	find_beat(cx, b, "netd", now_ms, &netd);
	find_beat(cx, b, "mutator", now_ms, &mutator);
	extra = json_stored(mutator.extra, "{}");
	if (ok && strcmp(driver, "netns") == 0)
		ok = alive(&netd);
	if (ok && json_is_false(json_object_get(extra, "driver_ok")))
		ok = false;
	json_decref(extra);
	put(components, "netdriver", ok, ok ? NULL : "driver unavailable");
	return ok;
}

static bool
put_bus(const struct api_state *s, json_t *components)
{
	bool ok = s->bus_null || atomic_load(&s->bus_connected);
	const char *detail = ok ? NULL : "bus unavailable";

	put(components, "bus", ok, s->bus_null ? "disabled" : detail);
	return ok;
}

int
h_health_get(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	json_t *components = json_object();
	struct beats *b;
	bool vital, rest;
	int r;

	b = read_beats(cx, &r);
	put(components, "database", b != NULL, b ? NULL : "database unavailable");
	vital = b != NULL;
	rest = put_bus(cx->state, components);
	rest &= put_process(cx, components, b, "mutator", req->now_ms);
	vital &= put_process(cx, components, b, "resolver", req->now_ms);
	rest &= put_process(cx, components, b, "decoy", req->now_ms);
	vital &= put_driver(cx, components, b, req->now_ms);
	free(b);
	if (vital)
		return api_ok(res, 200,
			      json_pack("{s:s, s:o}", "status", rest ? "healthy" : "degraded",
					"components", components));
	(void)api_fail(res, 503, "unhealthy");
	api_fail_extra(res, "status", json_string("unhealthy"));
	api_fail_extra(res, "components", components);
	return 0;
}

/* Whether the program lies beside this one. */
static bool
installed(const char *name)
{
	char path[4096], *slash;
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (n <= 0)
		return false;
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (!slash || (size_t)(slash - path) + strlen("/decnet-") + strlen(name) >= sizeof(path))
		return false;
	(void)snprintf(slash, sizeof(path) - (size_t)(slash - path), "/decnet-%s", name);
	return access(path, X_OK) == 0;
}

static json_t *
worker_json(struct api_ctx *cx, const struct beats *b, const char *name, uint64_t now_ms)
{
	const char *status = "unknown";
	struct beat beat;
	json_t *row;

	find_beat(cx, b, name, now_ms, &beat);
	if (beat.known)
		status = alive(&beat) ? "ok" : "stale";
	row = json_pack("{s:s, s:s, s:n, s:n, s:o, s:b}", "name", name, "status", status,
			"last_heartbeat_ts", "seconds_since", "extra",
			json_stored(beat.known ? beat.extra : NULL, "{}"), "installed",
			(int)installed(name));
	if (row && beat.known) {
		(void)json_object_set_new(row, "last_heartbeat_ts",
					  json_real((double)beat.at_ms / 1000));
		(void)json_object_set_new(row, "seconds_since",
					  json_real((double)beat.age_ms / 1000));
	}
	return row;
}

int
h_worker_list(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	const struct api_state *s = cx->state;
	json_t *list = json_array();
	struct beats *b;
	int r;

	b = read_beats(cx, &r);
	if (!b || !list) {
		free(b);
		json_decref(list);
		return r < 0 ? r : -ENOMEM;
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)json_array_append_new(list, worker_json(cx, b, names[i], req->now_ms));
	free(b);
	return api_ok(res, 200,
		      json_pack("{s:o, s:o, s:b}", "workers", list, "generated_at",
				json_time(req->now_ms), "bus_connected",
				(int)atomic_load(&s->bus_connected)));
}

static bool
supervised(struct api_ctx *cx, const struct beats *b, uint64_t now_ms)
{
	const struct api_state *s = cx->state;
	struct beat beat;

	if (s->supervisor && getppid() == s->supervisor)
		return true;
	find_beat(cx, b, "supervisor", now_ms, &beat);
	return alive(&beat);
}

static void
publish_control(const struct api_req *req, struct api_res *res, const char *name,
		const char *action)
{
	char topic[64];

	(void)snprintf(topic, sizeof(topic), "system.%s.control", name);
	api_publish(res, topic,
		    json_pack("{s:s, s:s, s:f}", "action", action, "requested_by", "api", "ts",
			      (double)req->now_ms / 1000));
}

static const char *
find_name(struct sv wanted)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (sv_eq(wanted, sv_from(names[i])))
			return names[i];
	return NULL;
}

static int
control(struct api_ctx *cx, const struct api_req *req, struct api_res *res, bool start)
{
	const struct api_state *s = cx->state;
	const char *name = find_name(req->param[0]), *action = start ? "start" : "stop";
	struct beats *b;
	bool up;
	int r;

	api_check_body(req, res, NULL, 0);
	if (api_bad(res))
		return 0;
	if (!name)
		return api_fail(res, 404, "Unknown worker: '%.*s'", (int)req->param[0].n,
				req->param[0].p);
	if (!atomic_load(&s->bus_connected))
		return api_fail(res, 503, "bus unavailable");
	b = read_beats(cx, &r);
	if (!b)
		return r;
	up = supervised(cx, b, req->now_ms);
	free(b);
	/* These two have no bus of their own; only their parent can stop them. */
	if (!up && (start || strcmp(name, "netd") == 0 || strcmp(name, "decoy") == 0))
		return api_fail(res, 503, "supervisor not running");
	publish_control(req, res, name, action);
	return api_ok(
		res, 202,
		json_pack("{s:b, s:s, s:s}", "accepted", 1, "worker", name, "action", action));
}

int
h_worker_start(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	return control(cx, req, res, true);
}

int
h_worker_stop(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	return control(cx, req, res, false);
}

int
h_worker_start_all(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	const struct api_state *s = cx->state;
	json_t *started = json_array(), *running = json_array(), *failed = json_array();
	const char *reason = NULL;
	struct beats *b;
	int r = 0;

	api_check_body(req, res, NULL, 0);
	b = api_bad(res) ? NULL : read_beats(cx, &r);
	if (!b) {
		json_decref(started);
		json_decref(running);
		json_decref(failed);
		return res->status == 422 ? 0 : r;
	}
	if (!atomic_load(&s->bus_connected))
		reason = "bus unavailable";
	else if (!supervised(cx, b, req->now_ms))
		reason = "supervisor not running";
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct beat beat;

		find_beat(cx, b, names[i], req->now_ms, &beat);
		/* The broker's first heartbeat may be older than our connection to it. */
		if (alive(&beat) ||
		    (strcmp(names[i], "bus") == 0 && atomic_load(&s->bus_connected))) {
			(void)json_array_append_new(running, json_string(names[i]));
		} else if (reason || !installed(names[i])) {
			(void)json_array_append_new(
				failed, json_pack("{s:s, s:s}", "name", names[i], "reason",
						  reason ? reason : "not installed"));
		} else {
			publish_control(req, res, names[i], "start");
			(void)json_array_append_new(started, json_string(names[i]));
		}
	}
	free(b);
	return api_ok(res, 200,
		      json_pack("{s:o, s:o, s:o}", "started", started, "already_running", running,
				"failed", failed));
}
