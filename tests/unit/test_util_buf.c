/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "util/buf.h"

static void
grows_up_to_its_ceiling(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	assert_int_equal(buf_put(&b, SV("12345")), 0);
	assert_int_equal(buf_put(&b, SV("123456")), -ENOBUFS);
	assert_int_equal(b.n, 5);
	assert_int_equal(buf_printf(&b, "%d", 12345), 0);
	assert_int_equal(buf_putc(&b, 'x'), -ENOBUFS);
	assert_true(sv_eq(buf_sv(&b), SV("1234512345")));
	buf_fini(&b);
}

static void
drops_from_the_front(void **state)
{
	struct buf b;
	char *text;

	(void)state;
	buf_init(&b, 100);
	assert_int_equal(buf_put(&b, SV("hello world")), 0);
	buf_drop(&b, 6);
	assert_true(sv_eq(buf_sv(&b), SV("world")));
	text = buf_take(&b);
	assert_string_equal(text, "world");
	assert_int_equal(b.n, 0);
	buf_fini(&b);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows_up_to_its_ceiling),
		cmocka_unit_test(drops_from_the_front),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
