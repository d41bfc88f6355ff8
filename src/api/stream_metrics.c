/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers of the streams for Prometheus (contract 8). */
#include "api/stream_metrics.h"

static int
put(struct buf *b, const char *name, const char *label, const char *value, uint64_t n)
{
	return buf_printf(b, "%s{%s=\"%s\"} %llu\n", name, label, value, (unsigned long long)n);
}

static int
put_kinds(const struct hub_stats *n, struct buf *b)
{
	int r = buf_printf(b, "# TYPE decnet_sse_streams gauge\n");

	for (unsigned k = 0; k < HUB_KIND_COUNT && r == 0; k++)
		r = put(b, "decnet_sse_streams", "stream", hub_kind_label((enum hub_kind)k),
			n->streams[k]);
	if (r == 0)
		r = buf_printf(b, "# TYPE decnet_sse_frames_total counter\n");
	for (unsigned k = 0; k < HUB_KIND_COUNT && r == 0; k++)
		r = put(b, "decnet_sse_frames_total", "stream", hub_kind_label((enum hub_kind)k),
			n->frames[k]);
	return r;
}

static int
put_reasons(const struct hub_stats *n, struct buf *b)
{
	int r = buf_printf(b, "# TYPE decnet_sse_snapshots_total counter\n");

	for (unsigned i = 0; i < HUB_SNAPSHOT_COUNT && r == 0; i++)
		r = put(b, "decnet_sse_snapshots_total", "reason",
			hub_snapshot_label((enum hub_snapshot)i), n->snapshots[i]);
	if (r == 0)
		r = buf_printf(b, "# TYPE decnet_sse_closed_total counter\n");
	for (unsigned i = CLOSE_NONE + 1; i < CLOSE_COUNT && r == 0; i++)
		r = put(b, "decnet_sse_closed_total", "reason",
			hub_close_label((enum stream_close)i), n->closed[i]);
	return r;
}

int
stream_metrics_put(const struct hub_stats *n, uint64_t slots_refused, uint64_t rejected,
		   struct buf *b)
{
	int r = put(b, "decnet_limit_hits_total", "limit", "streams_per_user", slots_refused);

	if (r == 0)
		r = put(b, "decnet_limit_hits_total", "limit", "ring", n->ring_evicted);
	if (r == 0)
		r = put_kinds(n, b);
	if (r == 0)
		r = put_reasons(n, b);
	if (r == 0)
		r = buf_printf(b,
			       "# TYPE decnet_sse_bus_rejected_total counter\n"
			       "decnet_sse_bus_rejected_total %llu\n",
			       (unsigned long long)rejected);
	return r;
}
