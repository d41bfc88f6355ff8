/* SPDX-License-Identifier: Apache-2.0 */
/* What listens on every address of this machine, against the ports of gateways. */
#include "api/host_ports.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/topology.h"
#include "topology/catalog.h"
#include "topology/validate.h"
#include "util/json.h"

#define STATE_LISTEN 0x0au

/* Mark the ports of one table of the kernel, a bit each. */
static void
mark_listeners(const char *path, unsigned char *ports)
{
	FILE *f = fopen(path, "re");
	char line[512], address[40];
	unsigned port, state;

	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, " %*u: %39[0-9A-F]:%4x %*[0-9A-F]:%*4x %2x", address, &port,
			   &state) != 3)
			continue;
		if (state == STATE_LISTEN && strspn(address, "0") == strlen(address))
			ports[port / 8] |= (unsigned char)(1u << port % 8);
	}
	(void)fclose(f);
}

/* Whether the topology lives on this machine's loopback addresses. 1, 0 or a negative errno. */
static int
shares_ports(struct api_ctx *cx, const struct topo *t)
{
	const char *own = cx->conf->host_name;
	json_t *hosts = NULL;
	const json_t *host;
	size_t i;
	int r = host_list(cx->db, &hosts, cx->e), found = 0;

	if (r < 0)
		return r;
	json_array_foreach(hosts, i, host)
	{
		const char *name = json_get_text(host, "name"),
			   *driver = json_get_text(host, "driver");

		if (name && driver && strcmp(name, own) == 0 && strcmp(driver, "loopback") == 0)
			found = t->target_host[0] == 0 || strcmp(t->target_host, own) == 0;
	}
	json_decref(hosts);
	return found;
}

static void
check_gateway(const struct topo_decky *d, unsigned offset, const unsigned char *taken,
	      json_t *issues)
{
	const json_t *item;
	size_t i;

	json_array_foreach(d->services, i, item)
	{
		const char *service = json_string_value(item);
		unsigned ports[8];
		size_t n = catalog_available(service)
				   ? catalog_tcp_ports(service, ports, ARRAY_LEN(ports))
				   : 0;

		for (size_t p = 0; p < n; p++) {
			unsigned port = ports[p] + offset;

			if (port <= 65535 && taken[port / 8] & 1u << port % 8)
				topo_warn_port(issues, d->name, service, port);
		}
	}
}

int
host_ports_check(struct api_ctx *cx, const struct topo *t, json_t *issues)
{
	unsigned char *taken;
	int r = shares_ports(cx, t);

	if (r <= 0)
		return r;
	taken = calloc(65536 / 8, 1);
	if (!taken)
		return -ENOMEM;
	mark_listeners("/proc/net/tcp", taken);
	mark_listeners("/proc/net/tcp6", taken);
	for (size_t i = 0; i < t->ndeckies; i++) {
		const struct topo_decky *d = &t->deckies[i];
		const struct topo_lan *home = topo_lan_by_id(t, d->home_lan_id);

		if (d->forwards_l3 && home && home->is_dmz)
			check_gateway(d, (unsigned)cx->conf->port_offset, taken, issues);
	}
	free(taken);
	return 0;
}
