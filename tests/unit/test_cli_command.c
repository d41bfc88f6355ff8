/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/command.h"
#include "cli/rest.h"

#define ARGS_MAX 12

struct values {
	bool flag;
	const char *text, *maybe;
	uint64_t number;
};

/* Split at blanks and read; the code of cli_options. */
static int
parse(struct cli *c, struct values *v, const char *line)
{
	static char copy[256], *argv[ARGS_MAX];
	const struct cli_option options[] = {{"--flag", CLI_FLAG, &v->flag},
					     {"--text", CLI_TEXT, &v->text},
					     {"--number", CLI_NUMBER, &v->number},
					     {"--wait", CLI_MAYBE, &v->maybe}};
	char *save = NULL;

	(void)strncpy(copy, line, sizeof(copy) - 1);
	*c = (struct cli){.argv = argv, .color = true};
	*v = (struct values){.number = 7};
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		argv[c->argc++] = w;
	return cli_options(c, options, ARRAY_LEN(options), 1, 2);
}

static void
reads_options_anywhere(void **state)
{
	struct values v;
	struct cli c;

	(void)state;
	assert_int_equal(parse(&c, &v, "one --flag --text a --json two --number=5 --wait --url=u"),
			 0);
	assert_int_equal(c.argc, 2);
	assert_string_equal(c.argv[1], "two");
	assert_true(v.flag && c.json);
	assert_string_equal(v.text, "a");
	assert_string_equal(v.maybe, "");
	assert_string_equal(c.url, "u");
	assert_int_equal(v.number, 5);
	assert_int_equal(parse(&c, &v, "--wait=9 -- --flag -"), 0);
	assert_int_equal(c.argc, 2);
	assert_string_equal(c.argv[0], "--flag");
	assert_string_equal(v.maybe, "9");
	assert_false(v.flag);
	assert_int_equal(v.number, 7);
}

static void
refuses_bad_ones(void **state)
{
	static const char *const rows[] = {"",
					   "a b c",
					   "a --nosuch",
					   "a --text",
					   "a --number x",
					   "a --number=-1",
					   "a --flag=yes",
					   "a -x"};
	struct values v;
	struct cli c;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (parse(&c, &v, rows[i]) != CLI_USAGE)
			fail_msg("%s", rows[i]);
}

static void
exits_by_status(void **state)
{
	static const struct {
		long status;
		int code;
	} rows[] = {{200, 0}, {202, 0}, {204, 0}, {400, 1}, {401, 4}, {403, 4}, {404, 3},
		    {409, 5}, {422, 1}, {429, 6}, {500, 1}, {502, 1}, {503, 6}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(rest_exit(rows[i].status), rows[i].code);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_options_anywhere),
		cmocka_unit_test(refuses_bad_ones),
		cmocka_unit_test(exits_by_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
