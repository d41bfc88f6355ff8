/* SPDX-License-Identifier: Apache-2.0 */
/* `decnet watch`: follow a stream and come back to it by itself. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/follow.h"
#include "cli/rest.h"
#include "util/sv.h"

static int
make_path(struct cli *c, const char *topics, char *dst, size_t size)
{
	const char *what = c->argc > 0 ? c->argv[0] : "events",
		   *which = c->argc > 1 ? c->argv[1] : NULL;
	char id[37];
	int code;

	if (strcmp(what, "events") == 0) {
		(void)snprintf(dst, size, "/events?topics=%s", topics);
	} else if (strcmp(what, "identities") == 0) {
		(void)snprintf(dst, size, "/identities/events");
	} else if (strcmp(what, "log") == 0) {
		(void)snprintf(dst, size, "/stream");
	} else if (strcmp(what, "topology") == 0 && which) {
		code = rest_topology_id(c, which, id);
		if (code != 0)
			return code;
		(void)snprintf(dst, size, "/topologies/%s/events", id);
	} else if (strcmp(what, "attacker") == 0 && which) {
		(void)snprintf(dst, size, "/attackers/%.64s/events", which);
	} else {
		return cli_usage(c, "no such stream", what);
	}
	return 0;
}

int
cmd_watch(struct cli *c)
{
	const char *topics = "topology.>,decky.>,attacker.>,identity.>,credential.>";
	uint64_t last_id = 0, count = 0;
	const struct cli_option options[] = {{"--topics", CLI_TEXT, &topics},
					     {"--last-event-id", CLI_NUMBER, &last_id},
					     {"--count", CLI_NUMBER, &count}};
	struct follow w = {.cli = c, .show = follow_print};
	char path[2048];
	int code = cli_options(c, options, ARRAY_LEN(options), 0, 2);

	if (code == 0)
		code = make_path(c, topics, path, sizeof(path));
	if (code != 0)
		return code;
	w.last_id = last_id;
	w.left = count;
	return follow_stream(&w, path);
}
