/* SPDX-License-Identifier: Apache-2.0 */
/* `decnet watch`: follow a stream and come back to it by itself. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/rest.h"
#include "util/buf.h"
#include "util/json.h"

#define FRAME_MAX 67108864u
#define PAUSE_MS  1000

struct watch {
	const struct cli *cli;
	struct buf in;
	uint64_t last_id, left;
	bool ended; /* the server said bye, or enough was seen */
};

static volatile sig_atomic_t interrupted;

static void
on_interrupt(int signo)
{
	(void)signo;
	interrupted = 1;
}

struct frame {
	struct sv event, id, data;
};

static void
print_frame(struct watch *w, const struct frame *f)
{
	json_t *data = NULL, *line;
	char *text;

	if (w->cli->json) {
		if (json_parse(f->data, &data, NULL) < 0)
			data = json_view(f->data);
		line = json_pack("{s:o, s:o, s:o}", "id",
				 f->id.n ? json_integer((json_int_t)w->last_id) : json_null(),
				 "event", json_view(f->event), "data", data);
		text = json_text(line);
		(void)printf("%s\n", text ? text : "{}");
		free(text);
		json_decref(line);
	} else {
		(void)printf("%-8.*s %-28.*s %.*s\n", (int)f->id.n, f->id.p ? f->id.p : "",
			     (int)f->event.n, f->event.p, (int)f->data.n, f->data.p);
	}
	(void)fflush(stdout);
}

static void
on_frame(struct watch *w, struct sv text)
{
	struct frame f = {0};

	while (text.n) {
		struct sv line = sv_cut(&text, '\n');

		if (sv_starts(line, SV("event: ")))
			f.event = sv_drop(line, 7);
		else if (sv_starts(line, SV("id: ")))
			f.id = sv_drop(line, 4);
		else if (sv_starts(line, SV("data: ")))
			f.data = sv_drop(line, 6);
	}
	if (f.event.n == 0)
		return;
	if (f.id.n)
		(void)sv_u64(f.id, INT64_MAX, &w->last_id);
	print_frame(w, &f);
	if (sv_eq(f.event, SV("bye")) && sv_search(f.data, SV("shutdown")) == SIZE_MAX)
		w->ended = true;
	if (w->left != UINT64_MAX && --w->left == 0)
		w->ended = true;
}

static int
on_bytes(void *user, struct sv bytes)
{
	struct watch *w = user;
	size_t end;

	if (interrupted || buf_put(&w->in, bytes) < 0)
		return 1;
	while (!w->ended && (end = sv_search(buf_sv(&w->in), SV("\n\n"))) != SIZE_MAX) {
		on_frame(w, (struct sv){w->in.p, end});
		buf_drop(&w->in, end + 2);
	}
	return w->ended;
}

static int
refused(struct watch *w, long status)
{
	struct rest_answer a = {.status = status};
	int code;

	if (json_parse(buf_sv(&w->in), &a.json, NULL) < 0)
		a.json = NULL;
	code = rest_refused(&a);
	rest_fini(&a);
	return code;
}

static int
follow(struct watch *w, const char *path)
{
	for (;;) {
		struct err e = {0};
		long status = 0;
		int r = rest_stream(w->cli, path, w->last_id, on_bytes, w, &status, &e);

		if (interrupted)
			return CLI_INTERRUPTED;
		if (w->ended)
			return CLI_OK;
		if (r == 0 && status != 200 && status != 503)
			return refused(w, status);
		if (w->last_id == 0 && r < 0)
			return cli_fail(CLI_UNREACHABLE, "%s", err_text(&e));
		buf_reset(&w->in);
		/* Seen something already: whatever cut it, go on from there. */
		(void)poll(NULL, 0, PAUSE_MS);
		if (interrupted)
			return CLI_INTERRUPTED;
	}
}

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
	uint64_t last_id = 0, count = UINT64_MAX;
	const struct cli_option options[] = {{"--topics", CLI_TEXT, &topics},
					     {"--last-event-id", CLI_NUMBER, &last_id},
					     {"--count", CLI_NUMBER, &count}};
	struct sigaction action = {.sa_handler = on_interrupt};
	struct watch w = {.cli = c};
	char path[2048];
	int code = cli_options(c, options, ARRAY_LEN(options), 0, 2);

	if (code == 0)
		code = make_path(c, topics, path, sizeof(path));
	if (code != 0)
		return code;
	(void)sigaction(SIGINT, &action, NULL);
	w.last_id = last_id;
	w.left = count ? count : UINT64_MAX;
	buf_init(&w.in, FRAME_MAX);
	code = follow(&w, path);
	buf_fini(&w.in);
	return code;
}
