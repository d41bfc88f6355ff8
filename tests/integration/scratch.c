/* SPDX-License-Identifier: Apache-2.0 */
/* A store of its own for a test program. */
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

void
scratch_make(struct scratch *s)
{
	struct err e = {0};

	(void)snprintf(s->dir, sizeof(s->dir), "/tmp/decnet-test-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	(void)snprintf(s->url, sizeof(s->url), "sqlite:%s/decnet.db", s->dir);
	if (db_migrate(s->url, &e) < 0)
		fail_msg("%s", err_text(&e));
}

struct db *
scratch_open(const struct scratch *s)
{
	struct db *db = NULL;
	struct err e = {0};

	if (db_open(s->url, DB_READ_WRITE, &db, &e) < 0)
		fail_msg("%s", err_text(&e));
	return db;
}

void
scratch_remove(const struct scratch *s)
{
	char command[96];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", s->dir);
	assert_int_equal(system(command), 0);
}
