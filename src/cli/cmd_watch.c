/* SPDX-License-Identifier: Apache-2.0 */
/* `decnet watch`: follow a stream and come back to it by itself. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/follow.h"
#include "cli/rest.h"
#include "util/buf.h"
#include "util/sv.h"

#define ALL_TOPICS     "topology.>,decky.>,attacker.>,identity.>,credential.>"
#define PATH_BYTES_MAX 4000

/* The path of the stream that the arguments name. 0 or the exit code. */
static int
put_path(struct cli *c, const char *topics, struct buf *path)
{
	const char *what = c->argc > 0 ? c->argv[0] : "events",
		   *which = c->argc > 1 ? c->argv[1] : NULL;
	bool named = strcmp(what, "topology") == 0 || strcmp(what, "attacker") == 0;
	char id[37];
	int r;

	if (named != (which != NULL))
		return cli_usage(c, named ? "which one" : "one word too many",
				 named ? what : which);
	if (topics && strcmp(what, "events") != 0)
		return cli_usage(c, "--topics is for events only, not", what);
	if (strcmp(what, "events") == 0) {
		r = buf_put(path, SV("/events"));
		if (r == 0)
			r = rest_put_arg(path, "topics", topics ? topics : ALL_TOPICS);
	} else if (strcmp(what, "identities") == 0) {
		r = buf_put(path, SV("/identities/events"));
	} else if (strcmp(what, "log") == 0) {
		r = buf_put(path, SV("/stream"));
	} else if (strcmp(what, "topology") == 0) {
		r = rest_topology_id(c, which, id);
		if (r != 0)
			return r;
		r = buf_printf(path, "/topologies/%s/events", id);
	} else if (strcmp(what, "attacker") == 0) {
		r = buf_put(path, SV("/attackers/"));
		if (r == 0)
			r = rest_put_escaped(path, which);
		if (r == 0)
			r = buf_put(path, SV("/events"));
	} else {
		return cli_usage(c, "no such stream", what);
	}
	return r < 0 ? cli_fail(CLI_USAGE, "too long") : 0;
}

int
cmd_watch(struct cli *c)
{
	const char *topics = NULL;
	uint64_t last_id = 0, count = UINT64_MAX;
	const struct cli_option options[] = {{"--topics", CLI_TEXT, &topics},
					     {"--last-event-id", CLI_NUMBER, &last_id},
					     {"--count", CLI_NUMBER, &count}};
	struct follow w = {.cli = c, .show = follow_print};
	struct buf path;
	int code = cli_options(c, options, ARRAY_LEN(options), 0, 2);

	if (code != 0)
		return code;
	if (count == 0)
		return cli_usage(c, "--count: at least 1", NULL);
	buf_init(&path, PATH_BYTES_MAX);
	code = put_path(c, topics, &path);
	if (code == 0 && buf_putc(&path, '\0') < 0)
		code = cli_fail(CLI_USAGE, "too long");
	w.last_id = last_id;
	w.left = count;
	if (code == 0)
		code = follow_stream(&w, path.p);
	buf_fini(&path);
	return code;
}
