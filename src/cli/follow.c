/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of a stream: cuts it into frames, and connects again where it was cut off. */
#include "cli/follow.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/rest.h"
#include "cli/term.h"
#include "util/json.h"

#define FRAME_MAX 67108864u
#define PAUSE_MS  1000

static volatile sig_atomic_t interrupted;

static void
on_interrupt(int signo)
{
	(void)signo;
	/* Asked twice: not even the second that the reader takes to notice. */
	if (interrupted)
		_exit(CLI_INTERRUPTED);
	interrupted = 1;
}

void
follow_print(struct follow *w, const struct follow_frame *f)
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
		term_printf("%s\n", text ? text : "{}");
		free(text);
		json_decref(line);
	} else {
		term_printf("%-8.*s %-28.*s %.*s\n", (int)f->id.n, f->id.p ? f->id.p : "",
			    (int)f->event.n, f->event.p, (int)f->data.n, f->data.p);
	}
	(void)fflush(stdout);
}

/* After a shutdown the server may come back; a topology that was deleted has come to its end. */
static void
on_bye(struct follow *w, struct sv data)
{
	w->ended = sv_search(data, SV("\"shutdown\"")) == SIZE_MAX;
	if (w->ended && sv_search(data, SV("\"topology_deleted\"")) == SIZE_MAX)
		w->code = cli_fail(CLI_DENIED, "access has ended: %.*s", (int)data.n, data.p);
}

static void
on_frame(struct follow *w, struct sv text)
{
	struct follow_frame f = {0};

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
	w->show(w, &f);
	w->seen = true;
	if (sv_eq(f.event, SV("bye")))
		on_bye(w, f.data);
	if (w->left != UINT64_MAX && --w->left == 0)
		w->ended = true;
}

static int
on_bytes(void *user, struct sv bytes)
{
	struct follow *w = user;
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
refused(struct follow *w, long status)
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
follow(struct follow *w, const char *path)
{
	for (;;) {
		struct err e = {0};
		long status = 0;
		int r = rest_stream(w->cli, path, w->last_id, on_bytes, w, &status, &e);

		if (interrupted)
			return CLI_INTERRUPTED;
		if (w->ended)
			return w->code;
		/* A gateway that was killed holds its viewers' slots for some seconds. */
		if (r == 0 && status != 200 && ((status != 503 && status != 429) || !w->seen))
			return refused(w, status);
		if (!w->seen && r < 0)
			return cli_fail(CLI_UNREACHABLE, "%s", err_text(&e));
		buf_reset(&w->in);
		/* Seen something already: whatever cut it, go on from there. */
		(void)poll(NULL, 0, PAUSE_MS);
		if (interrupted)
			return CLI_INTERRUPTED;
	}
}

int
follow_stream(struct follow *w, const char *path)
{
	struct sigaction action = {.sa_handler = on_interrupt};
	int code;

	(void)sigaction(SIGINT, &action, NULL);
	if (w->left == 0)
		w->left = UINT64_MAX;
	buf_init(&w->in, FRAME_MAX);
	code = follow(w, path);
	buf_fini(&w->in);
	return code;
}
