/* SPDX-License-Identifier: Apache-2.0 */
/* Counting rows for the metrics page. */
#include "store/metric.h"

#include <string.h>

int
metric_mutations(struct db *db, struct metric_mutations *ret, unsigned max, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_METRIC_MUTATIONS);
	unsigned n = 0;
	int r;

	db_bind_int(st, 1, max);
	while ((r = db_step(st, e)) == 1 && n < max) {
		struct metric_mutations *m = &ret[n];

		memset(m, 0, sizeof(*m));
		if (sv_copy(db_col_sv(st, 0), m->op, sizeof(m->op)) < 0 ||
		    sv_copy(db_col_sv(st, 1), m->state, sizeof(m->state)) < 0)
			continue;
		m->n = db_col_int(st, 2);
		m->took_ms = db_col_int(st, 3);
		n++;
	}
	db_reset(st);
	return r < 0 ? r : (int)n;
}

int
metric_identities(struct db *db, int64_t *ret_n, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_IDENTITY_COUNT);
	int r = db_step(st, e);

	if (r == 1)
		*ret_n = db_col_int(st, 0);
	db_reset(st);
	return r < 0 ? r : 0;
}
