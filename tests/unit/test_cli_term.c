/* SPDX-License-Identifier: Apache-2.0 */
/* What of a text a terminal would obey. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/term.h"

static void
escapes(void **state)
{
	static const struct {
		struct sv in, out;
	} rows[] = {
		{SV(""), SV("")},
		{SV("plain\ttext\n"), SV("plain\ttext\n")},
		{SV("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x8d"),
		 SV("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x8d")},
		{SV("\x1b[2J"), SV("\\u001b[2J")},
		{SV("a\rb\bc\0d\x7f"), SV("a\\u000db\\u0008c\\u0000d\\u007f")},
		{SV("\xc2\x9b"
		    "2J\xc2\x85\xc2\xa0"),
		 SV("\\u009b2J\\u0085\xc2\xa0")},
		{SV("\x9b"
		    "2J\xff"),
		 SV("\\u009b2J\\u00ff")},
		{SV("\xe2\x80\xaegnp.exe\xe2\x81\xa6\xe2\x80\xa8\xd8\x9c"),
		 SV("\\u202egnp.exe\\u2066\\u2028\\u061c")},
		{SV("\xc3"), SV("\\u00c3")},
		{SV("\xe2\x82"), SV("\\u00e2\\u0082")},
		{SV("\xc0\x9b"), SV("\\u00c0\\u009b")},
		{SV("\xed\xa0\x80"), SV("\\u00ed\\u00a0\\u0080")},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b;

		buf_init(&b, 1000);
		assert_int_equal(term_escape(rows[i].in, &b), 0);
		if (!sv_eq(buf_sv(&b), rows[i].out))
			fail_msg("row %zu: %.*s", i, (int)b.n, b.p);
		buf_fini(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(escapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
