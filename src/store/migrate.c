/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing the schema up to date. */
#include "store/migrate.h"

#include <errno.h>
#include <stdio.h>

#include "store/db.h"
#include "store/driver.h"
#include "util/clock.h"

unsigned
db_migrations(void)
{
	return migrations_count;
}

const char *
db_migration_sql(unsigned i, const char **ret_name)
{
	if (ret_name)
		*ret_name = migrations[i].name;
	return migrations[i].sql;
}

static int
migrate(struct db *db, struct err *e)
{
	const struct db_driver *d = db->driver;
	int64_t have = 0;
	char mark[256];
	int r;

	/* The write lock first: of several processes that start at once, one migrates and the
	 * others then find it done. */
	r = db_begin_write(db, e);
	if (r < 0)
		return r;
	r = d->run(db,
		   "CREATE TABLE IF NOT EXISTS schema_migrations (number BIGINT PRIMARY KEY, name "
		   "TEXT NOT NULL,"
		   " applied_at BIGINT NOT NULL)",
		   e);
	if (r == 0)
		r = d->scalar(db, "SELECT max(number) FROM schema_migrations", 0, &have, e);
	if (r == 0 && have > (int64_t)migrations_count)
		r = err_set(e, -ESTALE,
			    "the store's schema (%lld) is newer than this program's (%u)",
			    (long long)have, migrations_count);
	for (unsigned i = (unsigned)have; r == 0 && i < migrations_count; i++) {
		r = d->run(db, migrations[i].sql, e);
		(void)snprintf(mark, sizeof(mark),
			       "INSERT INTO schema_migrations VALUES (%u, '%s', %llu)", i + 1,
			       migrations[i].name, (unsigned long long)clock_unix_ms());
		if (r == 0)
			r = d->run(db, mark, e);
		if (r < 0)
			err_wrap(e, "migration %s", migrations[i].name);
	}
	if (r < 0) {
		db_rollback(db);
		return r;
	}
	return db_commit(db, e);
}

int
db_migrate(const char *url, struct err *e)
{
	const struct db_driver *driver = db_driver_of(url);
	struct db *db = NULL;
	int r;

	if (!driver)
		return err_set(e, -EINVAL, "no store driver in this build for this URL");
	r = driver->connect(url, DB_READ_WRITE, &db, e);
	if (r < 0)
		return r;
	r = migrate(db, e);
	db_close(db);
	return r;
}
