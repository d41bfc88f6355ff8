/* SPDX-License-Identifier: Apache-2.0 */
/* Counting answers by route and status, and writing the counts for Prometheus. */
#include "api/metrics.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/router.h"

#define REACHED "limit reached: "

const char *const metrics_ceilings[METRICS_CEILINGS] = {
	"topologies", "users", "lans", "deckies", "edges", "mutations", "services",
};

/* Every status that the product answers with; 0 stands for any other. */
static const int statuses[METRICS_STATUSES] = {
	0,   200, 201, 202, 204, 206, 304, 400, 401, 403, 404, 405,
	408, 409, 413, 414, 415, 422, 429, 431, 500, 502, 503, 504,
};

static const unsigned bounds_ms[METRICS_BUCKETS - 1] = {5, 10, 25, 100, 250, 1000, 5000};

int
metrics_init(struct metrics *m)
{
	m->routes = calloc(router_count + 1, sizeof(*m->routes));
	return m->routes ? 0 : -ENOMEM;
}

void
metrics_fini(struct metrics *m)
{
	free(m->routes);
	m->routes = NULL;
}

void
metrics_count(struct metrics *m, size_t route, int status, uint64_t ms)
{
	struct metrics_route *r = &m->routes[route];
	size_t s = METRICS_STATUSES - 1, b = 0;

	while (s > 0 && statuses[s] != status)
		s--;
	while (b < METRICS_BUCKETS - 1 && ms > bounds_ms[b])
		b++;
	r->status[s]++;
	r->bucket[b]++;
	r->sum_ms += ms;
	r->n++;
}

void
metrics_conflict(struct metrics *m, const char *detail)
{
	const char *name;

	if (!detail || strncmp(detail, REACHED, strlen(REACHED)) != 0)
		return;
	name = detail + strlen(REACHED);
	for (size_t i = 0; i < METRICS_CEILINGS; i++) {
		size_t n = strlen(metrics_ceilings[i]);

		if (strncmp(name, metrics_ceilings[i], n) == 0 && name[n] == ' ')
			m->ceilings[i]++;
	}
}

void
metrics_add(struct metrics *sum, const struct metrics *m)
{
	for (size_t i = 0; i <= router_count; i++) {
		struct metrics_route *to = &sum->routes[i];
		const struct metrics_route *from = &m->routes[i];

		for (size_t k = 0; k < METRICS_STATUSES; k++)
			to->status[k] += from->status[k];
		for (size_t k = 0; k < METRICS_BUCKETS; k++)
			to->bucket[k] += from->bucket[k];
		to->sum_ms += from->sum_ms;
		to->n += from->n;
	}
	for (size_t i = 0; i < METRICS_CEILINGS; i++)
		sum->ceilings[i] += m->ceilings[i];
	sum->store_jobs += m->store_jobs;
	sum->store_ms += m->store_ms;
}

static int
put_times(const struct metrics_route *r, const char *label, struct buf *b)
{
	uint64_t below = 0;
	int e = 0;

	for (size_t i = 0; i < METRICS_BUCKETS - 1 && e == 0; i++) {
		below += r->bucket[i];
		e = buf_printf(b, "decnet_http_seconds_bucket{route=\"%s\",le=\"%g\"} %llu\n",
			       label, (double)bounds_ms[i] / 1000, (unsigned long long)below);
	}
	if (e == 0)
		e = buf_printf(b,
			       "decnet_http_seconds_bucket{route=\"%s\",le=\"+Inf\"} %llu\n"
			       "decnet_http_seconds_sum{route=\"%s\"} %.3f\n"
			       "decnet_http_seconds_count{route=\"%s\"} %llu\n",
			       label, (unsigned long long)r->n, label, (double)r->sum_ms / 1000,
			       label, (unsigned long long)r->n);
	return e;
}

static const char *
method_of(size_t route)
{
	return route < router_count ? router_table[route].method : "";
}

static const char *
path_of(size_t route)
{
	return route < router_count ? router_table[route].path : "other";
}

/* The times of one path, whatever the method: the label is that of the counter, so that the two can
 * be joined. 1: an earlier row had it. */
static int
times_of(const struct metrics *m, size_t first, struct metrics_route *ret)
{
	const char *path = path_of(first);

	for (size_t i = 0; i < first; i++)
		if (strcmp(path_of(i), path) == 0)
			return 1;
	*ret = m->routes[first];
	for (size_t i = first + 1; i < router_count; i++) {
		if (strcmp(path_of(i), path) != 0)
			continue;
		for (size_t k = 0; k < METRICS_BUCKETS; k++)
			ret->bucket[k] += m->routes[i].bucket[k];
		ret->sum_ms += m->routes[i].sum_ms;
		ret->n += m->routes[i].n;
	}
	return 0;
}

int
metrics_put(const struct metrics *m, struct buf *b)
{
	int e = buf_printf(b, "# TYPE decnet_http_requests_total counter\n");

	for (size_t i = 0; i <= router_count; i++)
		for (size_t s = 0; s < METRICS_STATUSES && e == 0; s++)
			if (m->routes[i].status[s])
				e = buf_printf(b,
					       "decnet_http_requests_total{route=\"%s\",method=\"%"
					       "s\",status=\"%d\"} %llu\n",
					       path_of(i), method_of(i), statuses[s],
					       (unsigned long long)m->routes[i].status[s]);
	if (e == 0)
		e = buf_printf(b, "# TYPE decnet_http_seconds histogram\n");
	for (size_t i = 0; i <= router_count && e == 0; i++) {
		struct metrics_route times;

		if (times_of(m, i, &times) == 0 && times.n)
			e = put_times(&times, path_of(i), b);
	}
	return e;
}
