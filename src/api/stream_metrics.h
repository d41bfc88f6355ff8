/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_STREAM_METRICS_H
#define API_STREAM_METRICS_H

/* The numbers of the streams for Prometheus. Pure. */

#include <stdint.h>

#include "stream/hub.h"
#include "util/attr.h"
#include "util/buf.h"

/* Append lines for the metrics, straight after those of decnet_limit_hits_total. 0, -ENOBUFS,
 * -ENOMEM. */
int stream_metrics_put(const struct hub_stats *n, uint64_t slots_refused, uint64_t rejected,
		       struct buf *b) A_NODISCARD;

#endif
