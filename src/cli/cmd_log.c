/* SPDX-License-Identifier: Apache-2.0 */
/* `decnet log`: what the decoys saw, as it is kept and as it comes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/follow.h"
#include "cli/rest.h"
#include "cli/term.h"
#include "util/buf.h"
#include "util/json.h"

#define PATH_MAX_BYTES 4096u
#define LIMIT_DEFAULT  50

struct log_query {
	const struct cli *cli;
	const char *search, *since, *until;
	uint64_t limit;
	int code; /* of a question asked on the way */
};

static void
print_row(const json_t *row)
{
	const char *line = json_get_text(row, "raw_line");

	term_printf("%s\n", line ? line : "");
}

/* The filter as a query string; `path` has none yet. 0 or a negative errno. */
static int
put_filter(struct buf *path, const struct log_query *q)
{
	const struct {
		const char *key, *value;
	} parts[] = {{"search", q->search}, {"start_time", q->since}, {"end_time", q->until}};
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(parts) && r == 0; i++)
		if (parts[i].value)
			r = rest_put_arg(path, parts[i].key, parts[i].value);
	return r;
}

/* Print the newest rows up to row `last`, oldest first. The exit code. */
static int
print_kept(const struct log_query *q, uint64_t last)
{
	struct cli quiet = *q->cli;
	struct rest_answer a = {0};
	const json_t *rows, *row;
	struct buf path;
	char limit[24];
	int code = CLI_FAILED;

	buf_init(&path, PATH_MAX_BYTES);
	(void)snprintf(limit, sizeof(limit), "%llu", (unsigned long long)q->limit);
	if (last != UINT64_MAX)
		quiet.json = false;
	if (buf_put(&path, SV("/logs")) < 0 || rest_put_arg(&path, "limit", limit) < 0 ||
	    put_filter(&path, q) < 0 || buf_putc(&path, '\0') < 0)
		(void)cli_fail(CLI_FAILED, "the filter is too long");
	else
		code = rest_do(&quiet, "GET", path.p, NULL, &a);
	rows = json_object_get(a.json, "data");
	for (size_t i = json_array_size(rows); i-- > 0 && !quiet.json;) {
		row = json_array_get(rows, i);
		if (json_integer_value(json_object_get(row, "id")) <= (json_int_t)last ||
		    last == UINT64_MAX)
			print_row(row);
	}
	rest_fini(&a);
	buf_fini(&path);
	return code;
}

static void
print_logs(const json_t *data)
{
	const char *type = json_get_text(data, "type");
	const json_t *row;
	size_t i;

	if (!type || strcmp(type, "logs") != 0)
		return;
	json_array_foreach(json_object_get(data, "data"), i, row) print_row(row);
}

static void
on_frame(struct follow *w, const struct follow_frame *f)
{
	struct log_query *q = w->user;
	json_t *data = NULL;
	const char *reason;

	if (json_parse(f->data, &data, NULL) < 0)
		return;
	reason = json_get_text(data, "reason");
	if (!sv_eq(f->event, SV("snapshot"))) {
		print_logs(data);
	} else if (reason && strcmp(reason, "connect") != 0) {
		(void)fprintf(stderr, "decnet: rows are missing here (%s)\n", reason);
	} else {
		/* The stream goes on behind its watermark: what lies before is read once. */
		q->code = print_kept(
			q, (uint64_t)json_integer_value(json_object_get(data, "watermark")));
		if (q->code != 0)
			w->ended = true;
	}
	json_decref(data);
	(void)fflush(stdout);
}

static int
follow_log(struct log_query *q)
{
	struct follow w = {
		.cli = q->cli, .show = q->cli->json ? follow_print : on_frame, .user = q};
	struct buf path;
	int code;

	buf_init(&path, PATH_MAX_BYTES);
	if (buf_put(&path, SV("/stream")) < 0 || put_filter(&path, q) < 0 ||
	    buf_putc(&path, '\0') < 0)
		code = cli_fail(CLI_FAILED, "the filter is too long");
	else
		code = follow_stream(&w, path.p);
	buf_fini(&path);
	return code == 0 ? q->code : code;
}

int
cmd_log(struct cli *c)
{
	struct log_query q = {.cli = c, .limit = LIMIT_DEFAULT};
	bool follow = false;
	const struct cli_option options[] = {
		{"--search", CLI_TEXT, &q.search}, {"--since", CLI_TEXT, &q.since},
		{"--until", CLI_TEXT, &q.until},   {"--limit", CLI_NUMBER, &q.limit},
		{"--follow", CLI_FLAG, &follow},
	};
	int code = cli_options(c, options, ARRAY_LEN(options), 0, 0);

	if (code != 0)
		return code;
	return follow ? follow_log(&q) : print_kept(&q, UINT64_MAX);
}
