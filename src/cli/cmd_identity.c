/* SPDX-License-Identifier: Apache-2.0 */
/* `decnet identity …`: who is behind several addresses, why, and what an analyst decides. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/child.h"
#include "cli/command.h"
#include "cli/rest.h"
#include "cli/term.h"
#include "util/buf.h"
#include "util/json.h"

#define PATH_BYTES_MAX	512u
#define NOTE_BYTES_MAX	65536u /* the API says what is too long */
#define REPLAY_ARGS_MAX 12

static const char *
text_of(const json_t *object, const char *key)
{
	const char *text = json_get_text(object, key);

	return text ? text : "-";
}

static long long
number_of(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

/* Whether the argument can be a name: without one the path would be that of the list. */
static bool
is_named(const char *uuid)
{
	return !uuid || *uuid;
}

/* Ask for /identities, then /<uuid> and the tail; `limit` may be NULL. 0 or the exit code. */
static int
ask(struct cli *c, const char *uuid, const char *tail, const uint64_t *limit,
    struct rest_answer *ret)
{
	struct buf path;
	char number[24];
	int code = CLI_FAILED, r;

	if (!is_named(uuid))
		return cli_fail(CLI_USAGE, "the identity's name is empty");
	buf_init(&path, PATH_BYTES_MAX);
	(void)snprintf(number, sizeof(number), "%llu", limit ? (unsigned long long)*limit : 0);
	r = buf_put(&path, SV("/identities"));
	if (r == 0 && uuid) {
		r = buf_putc(&path, '/');
		if (r == 0)
			r = rest_put_escaped(&path, uuid);
	}
	if (r == 0)
		r = buf_put(&path, sv_from(tail));
	if (r == 0 && limit)
		r = rest_put_arg(&path, "limit", number);
	if (r == 0)
		r = buf_putc(&path, '\0');
	code = r < 0 ? cli_fail(CLI_USAGE, "the identity's name is too long")
		     : rest_do(c, "GET", path.p, NULL, ret);
	buf_fini(&path);
	return code;
}

static void
print_identity(const json_t *row)
{
	(void)printf("%s  %5lld observations  confidence %.2f  last seen %s\n",
		     text_of(row, "uuid"), number_of(row, "observation_count"),
		     json_number_value(json_object_get(row, "confidence")),
		     text_of(row, "last_seen_at"));
}

typedef void print_row_fn(const json_t *row);

/* A command that prints the rows of a list: of all identities, or (`of_one`) of the named one. */
static int
list_command(struct cli *c, bool of_one, const char *tail, print_row_fn *print)
{
	uint64_t limit = 50;
	const struct cli_option options[] = {{"--limit", CLI_NUMBER, &limit}};
	struct rest_answer a = {0};
	const json_t *row;
	size_t i;
	int code = cli_options(c, options, ARRAY_LEN(options), of_one, of_one);

	if (code == 0)
		code = ask(c, of_one ? c->argv[0] : NULL, tail, &limit, &a);
	if (code == 0 && !c->json)
		json_array_foreach(json_object_get(a.json, "data"), i, row) print(row);
	rest_fini(&a);
	return code;
}

int
cmd_identity_list(struct cli *c)
{
	return list_command(c, false, "", print_identity);
}

static void
print_list(const json_t *row, const char *key)
{
	const json_t *list = json_object_get(row, key), *value;
	size_t i;

	if (json_array_size(list) == 0)
		return;
	(void)printf("  %-20s", key);
	json_array_foreach(list, i, value) term_printf(" %s", json_string_value(value));
	(void)printf("\n");
}

int
cmd_identity_show(struct cli *c)
{
	static const char *const lists[] = {"ja3_hashes",      "hassh_hashes", "http_versions_seen",
					    "tls_cert_sha256", "c2_endpoints", "merged_from"};
	struct rest_answer a = {0};
	int code = cli_options(c, NULL, 0, 1, 1);

	if (code == 0)
		code = ask(c, c->argv[0], "", NULL, &a);
	if (code == 0 && !c->json) {
		print_identity(a.json);
		(void)printf("  first seen           %s\n", text_of(a.json, "first_seen_at"));
		for (size_t i = 0; i < ARRAY_LEN(lists); i++)
			print_list(a.json, lists[i]);
		if (json_get_text(a.json, "notes"))
			term_printf("%s\n", json_get_text(a.json, "notes"));
	}
	rest_fini(&a);
	return code;
}

static void
print_observation(const json_t *row)
{
	(void)printf("%s  %-39s %6lld events  last seen %s\n", text_of(row, "uuid"),
		     text_of(row, "ip"), number_of(row, "event_count"), text_of(row, "last_seen"));
}

int
cmd_identity_observations(struct cli *c)
{
	return list_command(c, true, "/observations", print_observation);
}

static void
print_evidence(const json_t *row)
{
	const json_t *weight = json_object_get(row, "weight");
	char bits[24] = "     -";

	if (json_is_number(weight))
		(void)snprintf(bits, sizeof(bits), "%+6.2f", json_number_value(weight));
	term_printf("%s  %-10s %s  %s  %s\n", bits, text_of(row, "signal"), text_of(row, "a"),
		    text_of(row, "b"), text_of(row, "value"));
}

int
cmd_identity_evidence(struct cli *c)
{
	return list_command(c, true, "/evidence", print_evidence);
}

/* One line a change: what, about whom, because of whom, and why. */
static void
print_decision(const json_t *row)
{
	const json_t *score = json_object_get(row, "score");
	char bits[24] = "     -";

	if (json_is_number(score))
		(void)snprintf(bits, sizeof(bits), "%+6.1f", json_number_value(score));
	term_printf("%s  %-8s %s  %s  %s  %s  %s  %s\n", text_of(row, "at"), text_of(row, "kind"),
		    bits, text_of(row, "identity_uuid"), text_of(row, "other_uuid"),
		    text_of(row, "observation_uuid"), text_of(row, "via_uuid"),
		    text_of(row, "evidence"));
}

int
cmd_identity_decisions(struct cli *c)
{
	return list_command(c, true, "/decisions", print_decision);
}

/* POST to /identities/<uuid><tail>, or to /identities<tail> without uuid. 0 or the exit code. */
static int
post(struct cli *c, const char *uuid, const char *tail, json_t *own_body, struct rest_answer *ret)
{
	struct buf path;
	int code, r;

	if (!is_named(uuid)) {
		json_decref(own_body);
		return cli_fail(CLI_USAGE, "the identity's name is empty");
	}
	buf_init(&path, PATH_BYTES_MAX);
	r = buf_put(&path, SV("/identities/"));
	if (r == 0 && uuid)
		r = rest_put_escaped(&path, uuid);
	if (r == 0)
		r = buf_put(&path, sv_from(tail));
	if (r == 0)
		r = buf_putc(&path, '\0');
	code = r < 0 || !own_body ? cli_fail(CLI_USAGE, "the arguments are too long, or no UTF-8")
				  : rest_do(c, "POST", path.p, own_body, ret);
	json_decref(own_body);
	buf_fini(&path);
	return code;
}

/* The text of standard input without the line end that a terminal or echo puts behind it. 0 or the
 * exit code. */
static int
read_note(char text[NOTE_BYTES_MAX])
{
	size_t n = fread(text, 1, NOTE_BYTES_MAX, stdin);

	if (n == NOTE_BYTES_MAX)
		return cli_fail(CLI_USAGE, "the text is longer than any note can be");
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	text[n] = '\0';
	if (strlen(text) != n)
		return cli_fail(CLI_USAGE, "the text holds a NUL");
	return 0;
}

int
cmd_identity_note(struct cli *c)
{
	char line[NOTE_BYTES_MAX] = "";
	const char *text = line;
	struct rest_answer a = {0};
	int code = cli_options(c, NULL, 0, 1, 2);

	if (code == 0 && c->argc > 1)
		text = c->argv[1];
	else if (code == 0)
		code = read_note(line);
	if (code != 0)
		return code;
	if (!text[0])
		return cli_fail(CLI_USAGE,
				"a text is expected, as an argument or on standard input");
	code = post(c, c->argv[0], "/notes", json_pack("{s:s}", "text", text), &a);
	if (code == 0 && !c->json)
		(void)printf("noted\n");
	rest_fini(&a);
	return code;
}

int
cmd_identity_split(struct cli *c)
{
	struct rest_answer a = {0};
	json_t *list;
	int code = cli_options(c, NULL, 0, 2, 1001);

	if (code != 0)
		return code;
	list = json_array();
	for (int i = 1; i < c->argc; i++)
		(void)json_array_append_new(list, json_string(c->argv[i]));
	code = post(c, c->argv[0], "/split", json_pack("{s:o}", "observation_uuids", list), &a);
	if (code == 0 && !c->json)
		(void)printf("%s\n", text_of(a.json, "new_identity_uuid"));
	rest_fini(&a);
	return code;
}

int
cmd_identity_merge(struct cli *c)
{
	struct rest_answer a = {0};
	int code = cli_options(c, NULL, 0, 2, 2);

	if (code != 0)
		return code;
	code = post(c, NULL, "merge",
		    json_pack("{s:s, s:s}", "winner_uuid", c->argv[0], "loser_uuid", c->argv[1]),
		    &a);
	if (code == 0 && !c->json)
		(void)printf("%s is of %s now\n", text_of(a.json, "loser_uuid"),
			     text_of(a.json, "winner_uuid"));
	rest_fini(&a);
	return code;
}

/* The resolver's program does it: the engine and the tables are its own. */
int
cmd_identity_replay(struct cli *c)
{
	const char *out = NULL, *events = NULL, *args[REPLAY_ARGS_MAX + 1];
	uint64_t batch = 0, rate = 0;
	const struct cli_option options[] = {{"--out", CLI_TEXT, &out},
					     {"--events", CLI_TEXT, &events},
					     {"--batch", CLI_NUMBER, &batch},
					     {"--rate", CLI_NUMBER, &rate}};
	char path[1200], number[2][24];
	struct err e = {0};
	int n = 0, code = cli_options(c, options, ARRAY_LEN(options), 1, 1);

	if (code != 0)
		return code;
	if (!out)
		return cli_usage(c, "an option is missing", "--out");
	if (child_find("decnet-resolver", path, sizeof(path), &e) < 0)
		return cli_fail(CLI_FAILED, "%s", err_text(&e));
	args[n++] = path;
	args[n++] = "--replay";
	args[n++] = c->argv[0];
	args[n++] = "--out";
	args[n++] = out;
	if (events) {
		args[n++] = "--events";
		args[n++] = events;
	}
	for (unsigned i = 0; i < 2; i++) {
		uint64_t value = i ? rate : batch;

		if (value == 0)
			continue;
		(void)snprintf(number[i], sizeof(number[i]), "%llu", (unsigned long long)value);
		args[n++] = i ? "--rate" : "--batch";
		args[n++] = number[i];
	}
	args[n] = NULL;
	(void)execv(path, (char **)(uintptr_t)args);
	return cli_fail(CLI_FAILED, "%s: %s", path, strerror(errno));
}
