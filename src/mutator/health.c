/* SPDX-License-Identifier: Apache-2.0 */
/* Heartbeats on the bus: of the mutator, and of decnet-netd, which does not speak there. */
#include "mutator/health.h"

#include <stdio.h>

#include "util/clock.h"

void
mutator_publish_health(struct bus_client *bus, const char *worker, int64_t pid, uint64_t started_ms)
{
	char text[256], topic[64];
	uint64_t now = clock_unix_ms();

	(void)snprintf(text, sizeof(text),
		       "{\"worker\":\"%s\",\"pid\":%lld,\"uptime_sec\":%llu,\"ts\":%llu.%03llu}",
		       worker, (long long)pid, (unsigned long long)((now - started_ms) / 1000),
		       (unsigned long long)(now / 1000), (unsigned long long)(now % 1000));
	(void)snprintf(topic, sizeof(topic), "system.%s.health", worker);
	(void)bus_publish_event(bus, topic, now, 0, text);
}
