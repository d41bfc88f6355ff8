/* SPDX-License-Identifier: Apache-2.0 */
/* Rows as JSON arrays, JSON values as columns. */
#include "store/rows.h"

#include <errno.h>
#include <stdlib.h>

#include "store/driver.h"
#include "util/json.h"

int
rows_collect(struct db *db, struct db_stmt *st, rows_fn *fn, json_t **ret_list, struct err *e)
{
	json_t *list = json_array();
	int r = list ? 1 : err_set(e, -ENOMEM, "out of memory");

	while (r > 0 && (r = db_step(st, e)) > 0) {
		json_t *row;

		db->failed = 0;
		row = fn(db, st, e);
		/* A row that is left out would be a silent lie. */
		if (!row && db->failed < 0)
			r = db->failed;
		else if (json_array_append_new(list, row) != 0)
			r = err_set(e, -ENOMEM, "out of memory");
	}
	db_reset(st);
	if (r < 0) {
		json_decref(list);
		return r;
	}
	*ret_list = list;
	return 0;
}

int
rows_bind_json(struct db_stmt *st, int at, const json_t *value)
{
	char *text = json_text(value);

	if (!text)
		return -ENOMEM;
	db_bind_text(st, at, text);
	free(text);
	return 0;
}
