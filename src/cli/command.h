/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

/* The command line as a whole: the table of commands, their arguments and help, exit codes
 * (contract 10). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/attr.h"
#include "util/err.h"

enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,	     /* refused or failed */
	CLI_USAGE = 2,	     /* usage or environment */
	CLI_NOT_FOUND = 3,   /* 404 */
	CLI_DENIED = 4,	     /* 401, 403 */
	CLI_CONFLICT = 5,    /* 409 */
	CLI_UNREACHABLE = 6, /* no answer, 429, 503 */
	CLI_INTERRUPTED = 130,
};

struct cli_command;

struct cli {
	const char *url;   /* --url, or NULL */
	const char *token; /* used instead of the one that is kept, or NULL */
	bool probe;	   /* our own server: no token, and its certificate is not checked */
	bool json, color;
	const struct cli_command *command;
	int argc; /* what follows the words of the command */
	char **argv;
};

typedef int cli_fn(struct cli *c);

struct cli_command {
	const char *words;
	cli_fn *run;
	const char *arguments, *help;
};

#define COMMAND(words, handler, arguments, help) cli_fn handler;
#include "cli/commands.def"
#undef COMMAND

/* Everything after main: find the command, run it; the exit code. */
int cli_main(int argc, char **argv);

enum cli_option_type {
	CLI_FLAG,   /* bool */
	CLI_TEXT,   /* const char * */
	CLI_NUMBER, /* uint64_t */
	CLI_MAYBE,  /* const char *: "" when given without `=value` */
};

struct cli_option {
	const char *name; /* "--timeout" */
	enum cli_option_type type;
	void *value; /* unchanged when the option is not given */
};

/*
 * Read the options of a command, in any order and mixed with its positional arguments (`--x v` and
 * `--x=v`; `--` ends them), and move the positional ones to the front of argv, argc being their
 * number. 0; or the code to exit with: CLI_USAGE was explained on standard error.
 */
int cli_options(struct cli *c, const struct cli_option *options, size_t n, int min_args,
		int max_args) A_NODISCARD;
/* Say on standard error how this command is used; CLI_USAGE. */
int cli_usage(const struct cli *c, const char *why, const char *what);
/* Say on standard error what went wrong; the code. */
int cli_fail(int code, const char *fmt, ...) A_PRINTF(2, 3);

#endif
