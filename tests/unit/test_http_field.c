/* SPDX-License-Identifier: Apache-2.0 */
/* Which names of servers are names, and which fields come once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/field.h"
#include "util/attr.h"

static void
knows_hosts(void **state)
{
	static const struct sv good[] = {
		SV("a"),	 SV("a.b"),
		SV("a."),	 SV("localhost:8000"),
		SV("127.0.0.1"), SV("a:"),
		SV("a:0"),	 SV("a:65535"),
		SV("[::1]"),	 SV("[::1]:80"),
		SV("my_host-1"), SV("~a.b:1"),
		SV(".a"),	 SV("[::ffff:127.0.0.1]:8000"),
	};
	static const struct sv bad[] = {
		SV(""),	       SV(":"),	      SV(":80"),	  SV("a..b"),	SV("a b"),
		SV("a,b"),     SV("a/b"),     SV("a\\b"),	  SV("u@a"),	SV("a?b"),
		SV("a#b"),     SV("\"a\""),   SV("a%20b"),	  SV("a:b"),	SV("a:+80"),
		SV("a:80 "),   SV("a:8\0"),   SV("a:123456"),	  SV("a\0b"),	SV("caf\xc3\xa9"),
		SV("[]"),      SV("[:"),      SV("[::1"),	  SV("[::1]x"), SV("[g]"),
		SV("[::1]:x"), SV("a:80:80"), SV("[::1%25eth0]"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		if (!http_host_valid(good[i]))
			fail_msg("refused: %.*s", (int)good[i].n, good[i].p);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (http_host_valid(bad[i]))
			fail_msg("accepted: %.*s", (int)bad[i].n, bad[i].p);
}

static void
knows_what_comes_once(void **state)
{
	(void)state;
	assert_true(http_field_single(SV("Authorization")));
	assert_true(http_field_single(SV("content-LENGTH")));
	assert_true(http_field_single(SV("host")));
	assert_false(http_field_single(SV("Cookie")));
	assert_false(http_field_single(SV("Accept")));
	assert_false(http_field_single(SV("")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_hosts),
		cmocka_unit_test(knows_what_comes_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
