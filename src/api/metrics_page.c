/* SPDX-License-Identifier: Apache-2.0 */
/* GET /metrics on its own listener: numbers of the store, then those of this process. No label
 * holds anything that an attacker chose. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/auth.h"
#include "api/relay.h"
#include "api/server.h"
#include "api/stream_metrics.h"
#include "store/journal.h"
#include "store/metric.h"
#include "store/topology.h"
#include "stream/slots.h"
#include "trace/trace.h"
#include "util/json.h"

#define PAGE_MAX  ((size_t)1024 * 1024)
/* With more requests before it the page does not wait for the store and leaves its numbers out. */
#define QUEUE_MAX 16
#define PAGE_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* The store's numbers first, then it goes from worker to worker and comes back. */
struct page {
	struct pool_job job;
	struct inbox_item item;
	unsigned next; /* worker */
	struct api_state *state;
	struct http_req *http;
	struct api_numbers sum;
	struct buf text;
	uint64_t changes_cut, models_left; /* of the mutators */
	int code;
};

static int
put_u64(struct buf *b, const char *name, const char *kind, uint64_t value)
{
	return buf_printf(b, "# TYPE %s %s\n%s %llu\n", name, kind, name,
			  (unsigned long long)value);
}

static int
put_journal(struct db *db, struct buf *b)
{
	int64_t head, floor;
	int r = journal_head(db, &head, NULL);

	if (r == 0)
		r = journal_floor(db, &floor, NULL);
	if (r == 0)
		r = put_u64(b, "decnet_journal_seq", "gauge", (uint64_t)head);
	/* Sequence numbers have no gaps. */
	if (r == 0)
		r = put_u64(b, "decnet_journal_rows", "gauge", (uint64_t)(head - floor));
	return r;
}

static int
put_mutation_times(const struct metric_mutations *rows, int n, struct buf *b)
{
	int r = buf_printf(b, "# TYPE decnet_mutation_seconds summary\n");

	/* Rows come by op: add up what has finished, however. */
	for (int i = 0; i < n && r == 0;) {
		const char *op = rows[i].op;
		int64_t ms = 0, count = 0;

		for (; i < n && strcmp(rows[i].op, op) == 0; i++) {
			if (strcmp(rows[i].state, "pending") == 0 ||
			    strcmp(rows[i].state, "applying") == 0)
				continue;
			ms += rows[i].took_ms;
			count += rows[i].n;
		}
		r = buf_printf(b,
			       "decnet_mutation_seconds_sum{op=\"%s\"} %.3f\n"
			       "decnet_mutation_seconds_count{op=\"%s\"} %lld\n",
			       op, (double)ms / 1000, op, (long long)count);
	}
	return r;
}

static int
put_mutations(struct db *db, struct buf *b)
{
	struct metric_mutations *rows = calloc(METRIC_MUTATIONS_MAX, sizeof(*rows));
	int n = rows ? metric_mutations(db, rows, METRIC_MUTATIONS_MAX, NULL) : -ENOMEM, r;

	r = n < 0 ? n : buf_printf(b, "# TYPE decnet_mutations_total counter\n");
	for (int i = 0; i < n && r == 0; i++)
		r = buf_printf(b, "decnet_mutations_total{op=\"%s\",state=\"%s\"} %lld\n",
			       rows[i].op, rows[i].state, (long long)rows[i].n);
	if (r == 0)
		r = put_mutation_times(rows, n, b);
	free(rows);
	return r;
}

/* A counter for each member of an object in the resolver's heartbeat. */
static int
put_members(const json_t *object, const char *name, const char *label, struct buf *b)
{
	int r = buf_printf(b, "# TYPE %s counter\n", name);

	for (void *it = json_object_iter((json_t *)(uintptr_t)object); it && r == 0;
	     it = json_object_iter_next((json_t *)(uintptr_t)object, it)) {
		const char *key = json_object_iter_key(it);

		/* The resolver's own words; anything else is no label. */
		if (key[strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789_-")] != '\0')
			continue;
		r = buf_printf(b, "%s{%s=\"%s\"} %lld\n", name, label, key,
			       (long long)json_integer_value(json_object_iter_value(it)));
	}
	return r;
}

static uint64_t
counter_of(const json_t *object, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(object, key));

	return n > 0 ? (uint64_t)n : 0;
}

/* What other processes count: their stored heartbeats say it. */
static int
put_heartbeats(struct db *db, struct page *p)
{
	struct buf *b = &p->text;
	struct worker *rows = calloc(WORKER_MAX, sizeof(*rows));
	int n = rows ? worker_list(db, rows, WORKER_MAX, NULL) : -ENOMEM, r = n < 0 ? n : 0;

	for (int i = 0; i < n && r == 0; i++) {
		json_t *extra = json_stored(rows[i].extra, "{}");

		if (strcmp(rows[i].name, "mutator") == 0) {
			p->changes_cut += counter_of(extra, "changes_cut");
			p->models_left += counter_of(extra, "models_left");
		}
		if (strcmp(rows[i].name, "resolver") != 0) {
			json_decref(extra);
			continue;
		}
		r = put_members(json_object_get(extra, "captures"), "decnet_captures_total",
				"service", b);
		if (r == 0)
			r = put_members(json_object_get(extra, "rejected"),
					"decnet_captures_rejected_total", "reason", b);
		json_decref(extra);
	}
	free(rows);
	return r;
}

static void
run_page(struct pool_job *job, void *thread_state)
{
	struct page *p = job->user;
	struct db *db = thread_state;
	int64_t identities = 0;
	int r = db_begin_read(db, NULL);

	if (r == 0)
		r = put_journal(db, &p->text);
	if (r == 0)
		r = put_mutations(db, &p->text);
	if (r == 0)
		r = put_heartbeats(db, p);
	if (r == 0)
		r = metric_identities(db, &identities, NULL);
	if (r == 0)
		r = put_u64(&p->text, "decnet_identities", "gauge", (uint64_t)identities);
	db_rollback(db);
	p->code = r;
}

static int
put_bus(const struct api_state *s, struct buf *b)
{
	struct bus_client_stats n;
	struct relay_stats relay;
	int r;

	bus_client_stats(s->bus, &n);
	relay_stats(s, &relay);
	r = put_u64(b, "decnet_bus_connected", "gauge", atomic_load(&s->bus_connected));
	if (r == 0)
		r = buf_printf(b,
			       "# TYPE decnet_bus_messages_total counter\n"
			       "decnet_bus_messages_total{direction=\"in\"} %llu\n"
			       "decnet_bus_messages_total{direction=\"out\"} %llu\n",
			       (unsigned long long)n.received, (unsigned long long)n.sent);
	if (r == 0)
		r = put_u64(b, "decnet_bus_dropped_total", "counter",
			    n.not_connected + n.overflowed + relay.dropped);
	return r;
}

/* The broker's own count, by its last heartbeat. */
static uint64_t
bus_dropped(struct api_state *s)
{
	struct heard bus = {0};
	json_t *extra;
	uint64_t n;

	if (!api_heard_of(s, "bus", &bus))
		return 0;
	extra = json_stored(bus.extra, "{}");
	n = counter_of(extra, "dropped");
	json_decref(extra);
	return n;
}

static int
put_limits(const struct page *p, struct buf *b)
{
	const struct http_counters *http = &p->sum.http;
	struct api_state *s = p->state;
	struct trace_stats traces;
	int r;

	trace_stats(&traces);
	r = buf_printf(b, "# TYPE decnet_limit_hits_total counter\n");
	{
		const struct {
			const char *name;
			uint64_t n;
		} rows[] = {
			{"connections", http->refused_busy},
			{"store_queue", pool_refused(s->pool) + pool_refused(s->hash_pool)},
			{"body", http->body_too_large},
			{"request_line", http->uri_too_long},
			{"headers", http->head_too_large},
			{"h2_streams", http->h2_refused},
			{"h2_session", http->h2_ended},
			{"tls_handshake", http->handshake_failed},
			{"tickets_per_user", ticket_dropped(s->tickets)},
			{"limiter_keys", atomic_load(&s->limiter.forgotten)},
			{"changes", p->changes_cut + topology_changes_cut()},
			{"models", p->models_left},
			{"bus_pending", bus_dropped(s)},
			{"trace_spans", traces.dropped},
		};

		for (size_t i = 0; i < ARRAY_LEN(rows) && r == 0; i++)
			r = buf_printf(b, "decnet_limit_hits_total{limit=\"%s\"} %llu\n",
				       rows[i].name, (unsigned long long)rows[i].n);
	}
	for (size_t i = 0; i < METRICS_CEILINGS && r == 0; i++)
		r = buf_printf(b, "decnet_limit_hits_total{limit=\"%s\"} %llu\n",
			       metrics_ceilings[i], (unsigned long long)p->sum.metrics.ceilings[i]);
	return r;
}

static int
put_process(const struct page *p, struct buf *b)
{
	const struct metrics *m = &p->sum.metrics;
	const struct api_state *s = p->state;
	struct relay_stats relay;
	int r = metrics_put(m, b);

	relay_stats(s, &relay);
	if (r == 0)
		r = put_bus(s, b);
	if (r == 0)
		r = put_u64(b, "decnet_store_queue_depth", "gauge",
			    pool_depth(s->pool) + pool_depth(s->hash_pool));
	if (r == 0)
		r = buf_printf(b,
			       "# TYPE decnet_store_seconds summary\n"
			       "decnet_store_seconds_sum %.3f\ndecnet_store_seconds_count %llu\n",
			       (double)m->store_ms / 1000, (unsigned long long)m->store_jobs);
	if (r == 0)
		r = put_u64(b, "decnet_password_checks_total", "counter", auth_verifications());
	if (r == 0)
		r = put_limits(p, b);
	/* Straight after the limits: it adds to them first. */
	if (r == 0)
		r = stream_metrics_put(&p->sum.streams, slots_refused(s->slots), relay.rejected, b);
	return r;
}

static void
answer(struct http_req *http, int status, const char *type, struct sv body)
{
	const struct http_header headers[] = {{"Content-Type", type},
					      {"Cache-Control", "no-store"}};

	http_respond(http, status, headers, ARRAY_LEN(headers), body);
}

static void
page_free(struct page *p)
{
	if (!p)
		return;
	metrics_fini(&p->sum.metrics);
	buf_fini(&p->text);
	free(p);
}

static void
finish(struct page *own_p)
{
	struct page *p = own_p;

	if (put_process(p, &p->text) < 0)
		answer(p->http, 500, "application/json",
		       SV("{\"detail\":\"Internal Server Error\"}"));
	else
		answer(p->http, 200, PAGE_TYPE, buf_sv(&p->text));
	p->state->pages--;
	page_free(p);
}

/* On the loop of the worker whose turn it is; on the main one when all have counted. */
static void
on_turn(struct inbox_item *item)
{
	struct page *p = CONTAINER_OF(item, struct page, item);
	struct api_state *s = p->state;

	if (p->next == s->nworkers) {
		finish(p);
		return;
	}
	api_worker_count(s->workers[p->next++], &p->sum);
	inbox_post(p->next < s->nworkers ? s->workers[p->next]->inbox : s->inbox, &p->item);
}

static void
page_done(struct pool_job *job)
{
	struct page *p = job->user;

	/* Without a store the rest still counts. */
	if (p->code < 0)
		buf_reset(&p->text);
	p->item.fn = on_turn;
	inbox_post(p->state->workers[0]->inbox, &p->item);
}

static struct page *
page_new(struct api_state *s, struct http_req *http)
{
	struct page *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	buf_init(&p->text, PAGE_MAX);
	p->state = s;
	p->http = http;
	p->job = (struct pool_job){.run = run_page, .done = page_done, .user = p};
	if (metrics_init(&p->sum.metrics) < 0) {
		page_free(p);
		return NULL;
	}
	/* A store that is behind must not hide by how much. */
	if (pool_depth(s->pool) >= QUEUE_MAX || pool_submit(s->pool, &p->job) < 0) {
		p->code = -EBUSY;
		page_done(&p->job);
	}
	return p;
}

static void
on_request(void *user, struct http_req *http)
{
	struct api_state *s = user;

	if (!sv_eq(http->path, SV("/metrics"))) {
		answer(http, 404, "application/json", SV("{\"detail\":\"Not Found\"}"));
		return;
	}
	if (!sv_eq(http->method, SV("GET")) && !sv_eq(http->method, SV("HEAD"))) {
		answer(http, 405, "application/json", SV("{\"detail\":\"Method Not Allowed\"}"));
		return;
	}
	if (page_new(s, http)) {
		s->pages++;
		return;
	}
	answer(http, 503, "application/json", SV("{\"detail\":\"Server busy\"}"));
}

const struct http_ops api_metrics_ops = {.on_request = on_request};
