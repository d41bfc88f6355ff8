/* SPDX-License-Identifier: Apache-2.0 */
/* Redis, open to everybody: protocol, replies, and the table of commands. */
#include "decoy/services/redis.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "decoy/persona.h"

#define DEFAULT_VERSION "7.0.15"
#define SHOWN_MAX	4096 /* of a command in a capture */
#define WORDS_SHOWN_MAX 128  /* of an unknown command in its error */

extern const struct decoy_service decoy_service_redis;

/* -- replies -- */

const struct redis_config *
redis_config_of(const struct decoy_io *io)
{
	return io->config;
}

int
redis_say(struct decoy_io *io, const char *text)
{
	return buf_put(io->out, sv_from(text));
}

int
redis_number(struct decoy_io *io, int64_t n)
{
	return buf_printf(io->out, ":%" PRId64 "\r\n", n);
}

int
redis_header(struct decoy_io *io, char mark, uint64_t n)
{
	return buf_printf(io->out, "%c%" PRIu64 "\r\n", mark, n);
}

int
redis_bulk(struct decoy_io *io, struct sv bytes)
{
	int r = redis_header(io, '$', bytes.n);

	if (r == 0)
		r = buf_put(io->out, bytes);
	return r < 0 ? r : redis_say(io, "\r\n");
}

int
redis_nil(const struct redis *s, struct decoy_io *io)
{
	return redis_say(io, s->proto == 3 ? "_\r\n" : "$-1\r\n");
}

int
redis_two(struct decoy_io *io, const char *name, struct sv value)
{
	int r = redis_bulk(io, sv_from(name));

	return r < 0 ? r : redis_bulk(io, value);
}

int
redis_word(struct decoy_io *io, struct sv word, size_t max)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < word.n && i < max; i++) {
		char c = word.p[i];

		r = buf_putc(io->out, c);
		if (r == 0 && (c == '\r' || c == '\n'))
			io->out->p[io->out->n - 1] = ' ';
	}
	return r;
}

int
redis_wrap(struct decoy_io *io, size_t start)
{
	size_t body = io->out->n - start, n;
	char head[32];
	int r;

	(void)snprintf(head, sizeof(head), "$%zu\r\n", body);
	n = strlen(head);
	r = buf_reserve(io->out, n + 2);
	if (r < 0)
		return r;
	memmove(io->out->p + start + n, io->out->p + start, body);
	memcpy(io->out->p + start, head, n);
	io->out->n += n;
	return redis_say(io, "\r\n");
}

/* -- small commands -- */

static int
run_ping(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	(void)s;
	return c->argc == 2 ? redis_bulk(io, c->argv[1]) : redis_say(io, "+PONG\r\n");
}

static int
run_echo(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	(void)s;
	return redis_bulk(io, c->argv[1]);
}

static int
run_quit(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	(void)c;
	s->over = true;
	return redis_say(io, "+OK\r\n");
}

static int
run_select(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	uint64_t db;

	if (sv_u64(c->argv[1], INT32_MAX, &db) < 0)
		return redis_say(io, "-ERR value is not an integer or out of range\r\n");
	if (db >= REDIS_DATABASES)
		return redis_say(io, "-ERR DB index is out of range\r\n");
	s->db = (uint8_t)db;
	return redis_say(io, "+OK\r\n");
}

static int
run_time(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	char seconds[24], micros[24];
	int r = redis_header(io, '*', 2);

	(void)s;
	(void)c;
	(void)snprintf(seconds, sizeof(seconds), "%" PRIu64, io->now_ms / 1000);
	(void)snprintf(micros, sizeof(micros), "%" PRIu64, io->now_ms % 1000 * 1000 + 417);
	return r < 0 ? r : redis_two(io, seconds, sv_from(micros));
}

static int
run_lastsave(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	(void)s;
	(void)c;
	return redis_number(io, (int64_t)(persona_boot_ms(io->host->seed, io->now_ms) / 1000) + 9);
}

static int
run_info(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	size_t start = io->out->n;
	int r = redis_info(s, io, c->argv + 1, c->argc - 1);

	return r < 0 ? r : redis_wrap(io, start);
}

static int
run_role(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	struct sv port = sv_from(s->master), host = sv_cut(&port, ' ');
	int r;

	(void)c;
	if (!s->master[0])
		return redis_say(io, "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
	r = redis_say(io, "*5\r\n$5\r\nslave\r\n");
	if (r == 0)
		r = redis_bulk(io, host);
	if (r == 0)
		r = buf_printf(io->out, ":%.*s\r\n", (int)port.n, port.p);
	return r < 0 ? r : redis_say(io, "$7\r\nconnect\r\n:-1\r\n");
}

/* -- the table -- */

static const struct command {
	const char *name;
	unsigned min, max; /* words; max 0: no ceiling */
	redis_run_fn *run; /* NULL: `canned` is the answer */
	const char *canned;
} commands[] = {
#define COMMAND(name, min, max, run, canned) {name, min, max, run, canned},
#include "decoy/services/redis_commands.def"
#undef COMMAND
};

static const struct command *
find_command(struct sv name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (sv_eq_ci(name, sv_from(commands[i].name)))
			return &commands[i];
	return NULL;
}

static int
unknown(struct decoy_io *io, const struct resp_command *c)
{
	bool new = redis_config_of(io)->major >= 7;
	const char *open = new ? "'" : "`", *close = new ? "' " : "`, ";
	size_t shown = 0;
	int r = buf_printf(io->out, "-ERR unknown command %s", open);

	if (r == 0)
		r = redis_word(io, c->argv[0], WORDS_SHOWN_MAX);
	if (r == 0)
		r = buf_printf(io->out, "%s, with args beginning with: ", new ? "'" : "`");
	for (unsigned i = 1; r == 0 && i < c->argc && shown < WORDS_SHOWN_MAX; i++) {
		r = redis_say(io, open);
		if (r == 0)
			r = redis_word(io, c->argv[i], WORDS_SHOWN_MAX - shown);
		if (r == 0)
			r = redis_say(io, close);
		shown += c->argv[i].n + 3;
	}
	return r < 0 ? r : redis_say(io, "\r\n");
}

static int
wrong_number(struct decoy_io *io, const struct command *cmd)
{
	return buf_printf(io->out, "-ERR wrong number of arguments for '%s' command\r\n",
			  cmd->name);
}

/* -- what it was -- */

struct line {
	char text[SHOWN_MAX];
	size_t n;
};

static void
put(struct line *l, const char *text, size_t n)
{
	for (size_t i = 0; i < n && l->n < sizeof(l->text); i++)
		l->text[l->n++] = text[i];
}

static void
put_argument(struct line *l, struct sv arg)
{
	bool quoted = arg.n == 0;
	char code[8];

	for (size_t i = 0; i < arg.n; i++)
		quoted |= arg.p[i] <= ' ' || arg.p[i] > '~' || arg.p[i] == '"';
	if (!quoted) {
		put(l, arg.p, arg.n);
		return;
	}
	put(l, "\"", 1);
	for (size_t i = 0; i < arg.n && l->n < sizeof(l->text); i++) {
		unsigned char c = (unsigned char)arg.p[i];

		if (c == '"' || c == '\\')
			put(l, (const char[]){'\\', (char)c}, 2);
		else if (c == '\n')
			put(l, "\\n", 2);
		else if (c == '\r')
			put(l, "\\r", 2);
		else if (c >= ' ' && c <= '~')
			put(l, arg.p + i, 1);
		else
			put(l, code, (size_t)snprintf(code, sizeof(code), "\\x%02x", c));
	}
	put(l, "\"", 1);
}

/* Logins are told as such, without their words. */
static int
tell(struct decoy_io *io, const struct resp_command *c)
{
	struct line l = {.n = 0};

	if (sv_eq_ci(c->argv[0], SV("AUTH")))
		return 0;
	for (unsigned i = 0; i < c->argc; i++) {
		if (sv_eq_ci(c->argv[0], SV("HELLO")) && sv_eq_ci(c->argv[i], SV("AUTH")))
			break;
		if (i > 0)
			put(&l, " ", 1);
		put_argument(&l, c->argv[i]);
	}
	return DECOY_CAPTURE(io, CAPTURE_COMMAND, {SV("command"), {l.text, l.n}});
}

static int
obey(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	const struct command *cmd = find_command(c->argv[0]);
	int r;

	/* The words of an HTTP request: the real one takes it for an attack by a browser. */
	if (sv_eq_ci(c->argv[0], SV("POST")) || sv_eq_ci(c->argv[0], SV("Host:")))
		return 1;
	if (!cmd)
		return unknown(io, c);
	if (c->total < cmd->min || (cmd->max > 0 && c->total > cmd->max))
		return wrong_number(io, cmd);
	r = cmd->run ? cmd->run(s, io, c) : redis_say(io, cmd->canned);
	return r < 0 ? r : s->over;
}

/* -- the service -- */

static int
redis_configure(void *config, const json_t *object, struct err *e)
{
	struct redis_config *c = config;
	struct sv version = decoy_config_text(object, "version", DEFAULT_VERSION);
	uint64_t major = 7;

	(void)e;
	if (sv_copy(version, c->version, sizeof(c->version)) < 0)
		memcpy(c->version, DEFAULT_VERSION, sizeof(DEFAULT_VERSION));
	version = sv_from(c->version);
	(void)sv_u64(sv_cut(&version, '.'), 1000, &major);
	c->major = (unsigned)major;
	c->os = decoy_config_text(object, "os_string", "Linux 6.1.0-18-amd64 x86_64");
	return 0;
}

static int
redis_start(void *state, struct decoy_io *io)
{
	struct redis *s = state;

	s->proto = 2;
	/* Numbers go up with the server's age. */
	s->client_id = (io->now_ms - persona_boot_ms(io->host->seed, io->now_ms)) / 4000000 + 3;
	return 0;
}

static int
redis_input(void *state, struct decoy_io *io, struct sv in, size_t *ret_used)
{
	struct redis *s = state;
	struct resp_command c;
	char why[64];
	int r = resp_parse(&s->parser, in, ret_used, &c, why);

	if (r == 0)
		return 0;
	if (r < 0) {
		r = buf_printf(io->out, "-ERR Protocol error: %s\r\n", why);
		return r < 0 ? r : -EBADMSG;
	}
	if (c.argc == 0)
		return 0;
	s->commands++;
	io->pause = DECOY_PAUSE_COMMAND;
	r = tell(io, &c);
	return r < 0 ? r : obey(s, io, &c);
}

const struct decoy_service decoy_service_redis = {
	.name = "redis",
	.transports = DECOY_TCP,
	.idle_ms = 300 * 1000,
	.life_ms = 3600 * 1000,
	.config_size = sizeof(struct redis_config),
	.state_size = sizeof(struct redis),
	.in_max = 64 * 1024,
	.out_max = 128 * 1024,
	.latency = {[DECOY_PAUSE_AUTH] = {1, 2}, [DECOY_PAUSE_AUTH_FAILED] = {1, 2}},
	.configure = redis_configure,
	.start = redis_start,
	.input = redis_input,
};
