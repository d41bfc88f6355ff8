/* SPDX-License-Identifier: Apache-2.0 */
/* `decnet bus sub` and `bus pub`: straight on the bus, without the API. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/client.h"
#include "bus/event.h"
#include "bus/topic.h"
#include "cli/command.h"
#include "cli/term.h"
#include "util/clock.h"
#include "util/conf.h"
#include "util/id.h"
#include "util/json.h"
#include "util/limits.h"
#include "util/log.h"
#include "util/loop.h"

#define CONNECT_MS   3000
#define ANSWER_MS    5000
#define PATTERNS_MAX 64

struct session {
	const struct cli *cli;
	struct conf conf;
	struct loop *loop;
	struct bus_client *bus;
	struct loop_timer deadline;
	int code;
	uint64_t left; /* messages still wanted; UINT64_MAX: all */
	/* To publish: */
	const char *subject;
	char *payload;
	char inbox[64];
};

static void
end(struct session *s, int code)
{
	s->code = code;
	loop_stop(s->loop);
}

static void
on_deadline(struct loop_timer *t)
{
	end(t->user, cli_fail(CLI_UNREACHABLE, "the bus does not answer"));
}

static void
on_signal(void *user, int signo)
{
	(void)signo;
	end(user, CLI_INTERRUPTED);
}

/* Say one message on a line of its own. */
static void
print_message(const struct session *s, struct sv subject, struct sv payload)
{
	json_t *data = NULL, *line;
	char *text;

	if (!s->cli->json) {
		term_printf("%.*s %.*s\n", (int)subject.n, subject.p, (int)payload.n, payload.p);
		(void)fflush(stdout);
		return;
	}
	if (json_parse(payload, &data, NULL) < 0)
		data = json_view(payload);
	line = json_pack("{s:o,s:o}", "subject", json_view(subject), "data", data);
	text = json_text(line);
	term_printf("%s\n", text ? text : "{}");
	(void)fflush(stdout);
	free(text);
	json_decref(line);
}

static void
on_message(void *user, struct sv subject, struct sv payload)
{
	struct session *s = user;

	print_message(s, subject, payload);
	if (s->left != UINT64_MAX && --s->left == 0)
		end(s, CLI_OK);
}

static int
open_session(struct session *s, bus_state_fn *on_state)
{
	static const int signals[] = {SIGINT, SIGTERM, 0};
	struct err e = {0};
	int r = conf_load(&s->conf, &e);

	if (r < 0)
		return cli_fail(CLI_USAGE, "%s", err_text(&e));
	/* What the client library says about its connection is not for standard output's reader. */
	log_setup("decnet", LV_ERR, false);
	if (strcmp(s->conf.bus_type, "null") == 0)
		return cli_fail(CLI_UNREACHABLE, "the bus is disabled");
	r = loop_new(&s->loop, &e);
	if (r == 0)
		r = loop_signals(s->loop, signals, on_signal, s);
	if (r == 0)
		r = bus_client_new(s->loop, &s->conf, "cli", on_state, s, &s->bus, &e);
	if (r == 0)
		r = loop_timer_set(s->loop, &s->deadline, CONNECT_MS, on_deadline, s);
	return r < 0 ? cli_fail(CLI_FAILED, "%s", err_text(&e)) : 0;
}

static void
close_session(struct session *s)
{
	if (s->loop)
		loop_timer_clear(&s->deadline);
	bus_client_free(s->bus);
	loop_free(s->loop);
	conf_fini(&s->conf);
	free(s->payload);
}

static int
run_session(struct session *s)
{
	int r = loop_run(s->loop);

	return r < 0 ? cli_fail(CLI_FAILED, "%s", strerror(-r)) : s->code;
}

static void
on_state_sub(void *user, bool connected)
{
	struct session *s = user;

	loop_timer_clear(&s->deadline);
	if (!connected)
		(void)fprintf(stderr, "decnet: the bus is away; trying again\n");
}

int
cmd_bus_sub(struct cli *c)
{
	uint64_t count = UINT64_MAX;
	const char *queue = NULL;
	const struct cli_option options[] = {{"--count", CLI_NUMBER, &count},
					     {"--queue", CLI_TEXT, &queue}};
	struct session s = {.cli = c};
	struct bus_sub *sub;
	int r = cli_options(c, options, ARRAY_LEN(options), 1, PATTERNS_MAX);

	if (r != 0)
		return r;
	if (count == 0)
		return cli_usage(c, "--count: at least 1", NULL);
	s.left = count;
	r = open_session(&s, on_state_sub);
	for (int i = 0; r == 0 && i < c->argc; i++)
		if (bus_subscribe(s.bus, c->argv[i], queue, on_message, &s, &sub) < 0)
			r = cli_usage(c, "not a pattern or queue", c->argv[i]);
	if (r == 0)
		r = run_session(&s);
	close_session(&s);
	return r;
}

/* Our own message to ourselves has come back: the broker has dealt with the one before it. */
static void
on_echo(void *user, struct sv subject, struct sv payload)
{
	struct session *s = user;
	struct bus_client_stats stats;

	(void)subject;
	(void)payload;
	bus_client_stats(s->bus, &stats);
	if (stats.refused > 0)
		end(s, cli_fail(CLI_DENIED, "the broker refused %s", s->subject));
	else
		end(s, CLI_OK);
}

static void
on_state_pub(void *user, bool connected)
{
	struct session *s = user;
	int r;

	if (!connected) {
		end(s, cli_fail(CLI_UNREACHABLE, "the bus was lost"));
		return;
	}
	r = bus_publish(s->bus, s->subject, sv_from(s->payload));
	if (r == 0)
		r = bus_publish(s->bus, s->inbox, SV("done"));
	if (r == 0)
		r = loop_timer_set(s->loop, &s->deadline, ANSWER_MS, on_deadline, s);
	if (r < 0)
		end(s, cli_fail(CLI_FAILED, "%s: %s", s->subject, strerror(-r)));
}

/* The text of the argument, or all of standard input for `-`. Heap. */
static char *
read_payload(const char *arg)
{
	size_t max = LIMIT_BUS_PAYLOAD_BYTES, n = 0;
	char *text;

	if (!arg || strcmp(arg, "-") != 0)
		return strdup(arg ? arg : "");
	text = malloc(max + 2);
	while (text && n <= max) {
		ssize_t got = read(STDIN_FILENO, text + n, max + 1 - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	if (text)
		text[n] = '\0';
	return text;
}

/* Put the payload into an envelope of now. NULL: it is no JSON object. */
static char *
wrap(const char *subject, const char *payload)
{
	struct sv type = bus_topic_type(sv_from(subject));
	char name[BUS_SUBJECT_MAX + 1], *compact, *event = NULL;
	json_t *object = NULL;

	if (json_parse(*payload ? sv_from(payload) : SV("{}"), &object, NULL) < 0 ||
	    !json_is_object(object) || sv_copy(type, name, sizeof(name)) < 0) {
		json_decref(object);
		return NULL;
	}
	compact = json_text(object);
	if (compact)
		event = bus_event_encode(subject, name, clock_unix_ms(), 0, compact);
	free(compact);
	json_decref(object);
	return event;
}

int
cmd_bus_pub(struct cli *c)
{
	bool raw = false;
	const struct cli_option options[] = {{"--raw", CLI_FLAG, &raw}};
	struct session s = {.cli = c};
	struct bus_sub *sub;
	char *text, id[ID_HEX32_SIZE];
	int r = cli_options(c, options, ARRAY_LEN(options), 1, 2);

	if (r != 0)
		return r;
	s.subject = c->argv[0];
	if (!bus_subject_valid(sv_from(s.subject), false))
		return cli_usage(c, "not a subject", s.subject);
	text = read_payload(c->argc > 1 ? c->argv[1] : NULL);
	if (text)
		s.payload = raw ? TAKE(text) : wrap(s.subject, text);
	free(text);
	if (!s.payload)
		return cli_usage(c, "the payload is not a JSON object; --raw sends any text", NULL);
	id_hex32(id);
	(void)snprintf(s.inbox, sizeof(s.inbox), "_INBOX.%s", id);
	r = open_session(&s, on_state_pub);
	if (r == 0 && bus_subscribe(s.bus, s.inbox, NULL, on_echo, &s, &sub) < 0)
		r = cli_fail(CLI_FAILED, "out of memory");
	if (r == 0)
		r = run_session(&s);
	close_session(&s);
	return r;
}
