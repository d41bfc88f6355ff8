/* SPDX-License-Identifier: Apache-2.0 */
/* Which command is meant, what its options are, and help at every level. */
#include "cli/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/sv.h"

static const struct cli_command commands[] = {
#define COMMAND(words, handler, arguments, help) {words, handler, arguments, help},
#include "cli/commands.def"
#undef COMMAND
};

static const char globals[] = "usage: decnet [--url U] [--json] [--no-color] COMMAND ...\n";

int
cli_fail(int code, const char *fmt, ...)
{
	va_list ap;

	(void)fputs("decnet: ", stderr);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
	return code;
}

static void
print_usage(FILE *out, const struct cli_command *cmd)
{
	(void)fprintf(out, "usage: decnet %s%s%s\n", cmd->words, *cmd->arguments ? " " : "",
		      cmd->arguments);
}

int
cli_usage(const struct cli *c, const char *why, const char *what)
{
	(void)cli_fail(CLI_USAGE, "%s%s%s", why, what ? ": " : "", what ? what : "");
	if (c->command)
		print_usage(stderr, c->command);
	else
		(void)fputs(globals, stderr);
	return CLI_USAGE;
}

/* Number of words when the arguments begin with the words of this command, else 0. */
static int
words_match(const struct cli_command *cmd, int argc, char **argv)
{
	struct sv rest = sv_from(cmd->words);
	int n = 0;

	while (rest.n) {
		struct sv word = sv_cut(&rest, ' ');

		if (n == argc || !sv_eq(word, sv_from(argv[n])))
			return 0;
		n++;
	}
	return n;
}

/* The command with the most words in front of the arguments. */
static const struct cli_command *
find_command(int argc, char **argv, int *ret_words)
{
	const struct cli_command *found = NULL;

	*ret_words = 0;
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		int n = words_match(&commands[i], argc, argv);

		if (n > *ret_words) {
			*ret_words = n;
			found = &commands[i];
		}
	}
	return found;
}

/* Help for everything, or for the commands that begin with this word. Number of commands. */
static int
print_help(FILE *out, const char *word)
{
	int n = 0, width = 0;

	for (int pass = 0; pass < 2; pass++) {
		if (pass == 1 && n > 0 && !word)
			(void)fputs(globals, out);
		for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
			const struct cli_command *cmd = &commands[i];
			struct sv rest = sv_from(cmd->words);

			if (word && !sv_eq(sv_cut(&rest, ' '), sv_from(word)))
				continue;
			if (pass == 1)
				(void)fprintf(out, "  %-*s  %s\n", width, cmd->words, cmd->help);
			else if ((int)strlen(cmd->words) > width)
				width = (int)strlen(cmd->words);
			n += pass == 0;
		}
	}
	if (n > 0)
		(void)fputs("decnet COMMAND --help says more about one.\n", out);
	return n;
}

static bool
is_help(const char *arg)
{
	return strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0;
}

static int
unknown(int argc, char **argv)
{
	/* The first word of several commands, alone or with --help, is a question. */
	if (argc >= 1 && (argc == 1 || is_help(argv[1])) &&
	    print_help(argc > 1 ? stdout : stderr, argv[0]) > 0)
		return argc > 1 ? CLI_OK : CLI_USAGE;
	(void)cli_fail(CLI_USAGE, "unknown command: %s", argv[0]);
	(void)fputs(globals, stderr);
	return CLI_USAGE;
}

/* Options before the command. The index of the first other argument, or -1 after a usage error. */
static int
read_globals(struct cli *c, int argc, char **argv)
{
	int i = 1;

	for (; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			c->json = true;
		} else if (strcmp(argv[i], "--no-color") == 0) {
			c->color = false;
		} else if (strcmp(argv[i], "--url") == 0 && i + 1 < argc) {
			c->url = argv[++i];
		} else if (strncmp(argv[i], "--url=", 6) == 0) {
			c->url = argv[i] + 6;
		} else if (is_help(argv[i]) || strcmp(argv[i], "--version") == 0) {
			break;
		} else {
			(void)cli_usage(c, "unknown option", argv[i]);
			return -1;
		}
	}
	return i;
}

static bool
asks_for_help(const struct cli *c)
{
	for (int i = 0; i < c->argc && strcmp(c->argv[i], "--") != 0; i++)
		if (is_help(c->argv[i]))
			return true;
	return false;
}

int
cli_main(int argc, char **argv)
{
	struct cli c = {.color = isatty(STDOUT_FILENO) == 1 && !getenv("NO_COLOR")};
	int at = read_globals(&c, argc, argv), words;

	if (at < 0)
		return CLI_USAGE;
	if (at == argc) {
		(void)print_help(stderr, NULL);
		return CLI_USAGE;
	}
	if (is_help(argv[at])) {
		(void)print_help(stdout, NULL);
		return CLI_OK;
	}
	if (strcmp(argv[at], "--version") == 0)
		return cmd_version(&c);
	c.command = find_command(argc - at, argv + at, &words);
	if (!c.command)
		return unknown(argc - at, argv + at);
	c.argc = argc - at - words;
	c.argv = argv + at + words;
	if (asks_for_help(&c)) {
		print_usage(stdout, c.command);
		(void)printf("%s\n", c.command->help);
		return CLI_OK;
	}
	return c.command->run(&c);
}

/* The globals are understood behind the command, too. */
static const struct cli_option *
find_option(const struct cli_option *options, size_t n, struct sv name)
{
	for (size_t i = 0; i < n; i++)
		if (sv_eq(name, sv_from(options[i].name)))
			return &options[i];
	return NULL;
}

static int
store_option(struct cli *c, const struct cli_option *o, const char *value)
{
	uint64_t number;

	switch (o->type) {
	case CLI_FLAG:
		if (value)
			return cli_usage(c, "takes no value", o->name);
		*(bool *)o->value = true;
		return 0;
	case CLI_MAYBE: *(const char **)o->value = value ? value : ""; return 0;
	case CLI_TEXT:
	case CLI_NUMBER: break;
	}
	if (!value)
		return cli_usage(c, "needs a value", o->name);
	if (o->type == CLI_TEXT) {
		*(const char **)o->value = value;
		return 0;
	}
	if (sv_u64(sv_from(value), INT64_MAX, &number) < 0)
		return cli_usage(c, "not a number", value);
	*(uint64_t *)o->value = number;
	return 0;
}

static int
read_option(struct cli *c, const struct cli_option *options, size_t n, int *at)
{
	bool no_color = false;
	const struct cli_option common[] = {{"--url", CLI_TEXT, &c->url},
					    {"--json", CLI_FLAG, &c->json},
					    {"--no-color", CLI_FLAG, &no_color}};
	char *arg = c->argv[*at], *equals = strchr(arg, '=');
	struct sv name = {arg, equals ? (size_t)(equals - arg) : strlen(arg)};
	const struct cli_option *o = find_option(options, n, name);
	const char *value = equals ? equals + 1 : NULL;
	int r;

	if (!o)
		o = find_option(common, ARRAY_LEN(common), name);
	if (!o)
		return cli_usage(c, "unknown option", arg);
	if (!value && (o->type == CLI_TEXT || o->type == CLI_NUMBER) && *at + 1 < c->argc)
		value = c->argv[++*at];
	r = store_option(c, o, value);
	if (no_color)
		c->color = false;
	return r;
}

int
cli_options(struct cli *c, const struct cli_option *options, size_t n, int min_args, int max_args)
{
	bool only_args = false;
	int args = 0, r;

	for (int i = 0; i < c->argc; i++) {
		char *arg = c->argv[i];

		if (!only_args && strcmp(arg, "--") == 0) {
			only_args = true;
		} else if (only_args || arg[0] != '-' || arg[1] == '\0') {
			c->argv[args++] = arg;
		} else {
			r = read_option(c, options, n, &i);
			if (r != 0)
				return r;
		}
	}
	c->argc = args;
	if (args < min_args)
		return cli_usage(c, "missing argument", NULL);
	if (args > max_args)
		return cli_usage(c, "too many arguments", c->argv[max_args]);
	return 0;
}
