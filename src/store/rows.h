/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_ROWS_H
#define STORE_ROWS_H

/* JSON out of rows, and into them: what every table's functions need. */

#include <jansson.h>

#include "store/db.h"
#include "util/attr.h"
#include "util/err.h"

/* The row that a statement stands on, as JSON. It may ask further statements of `db`; NULL when one
 * of these failed, or without memory. */
typedef json_t *rows_fn(struct db *db, struct db_stmt *st, struct err *e);

/* Every row of a bound statement through the function, as an array of the caller's; resets the
 * statement. 0 or a negative errno. */
int rows_collect(struct db *db, struct db_stmt *st, rows_fn *fn, json_t **ret_list,
		 struct err *e) A_NODISCARD;
/* Bind a value as JSON text. 0 or -ENOMEM. */
int rows_bind_json(struct db_stmt *st, int at, const json_t *value) A_NODISCARD;

#endif
