/* SPDX-License-Identifier: Apache-2.0 */
/* The journal: appending inside the transaction of the change, reading above a sequence number,
 * retention. */
#include "store/journal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/topic.h"
#include "store/driver.h"
#include "util/json.h"

static void
row_fini(struct journal_row *row)
{
	free(row->topic);
	free(row->family);
	free(row->scope);
	free(row->type);
	free(row->payload);
}

void
journal_rows_fini(struct journal_rows *rows)
{
	for (size_t i = 0; i < rows->n; i++)
		row_fini(&rows->v[i]);
	free(rows->v);
	*rows = (struct journal_rows){0};
}

/* Takes the row over, also on failure. */
static int
rows_push(struct journal_rows *rows, struct journal_row *own_row)
{
	struct journal_row *v = rows->v;

	if (!own_row->topic || !own_row->family || !own_row->scope || !own_row->type ||
	    !own_row->payload)
		goto fail;
	if (rows->n == rows->cap) {
		size_t cap = rows->cap ? rows->cap * 2 : 8;

		v = realloc(v, cap * sizeof(*v));
		if (!v)
			goto fail;
		rows->v = v;
		rows->cap = cap;
	}
	v[rows->n++] = *own_row;
	return 0;
fail:
	row_fini(own_row);
	return -ENOMEM;
}

static int
one_int(struct db_stmt *st, int64_t *ret, struct err *e)
{
	int64_t value = 0;
	int r = db_step(st, e);

	if (r > 0)
		value = db_col_int(st, 0);
	db_reset(st);
	if (r == 0)
		return err_set(e, -EIO, "%s gave no row", db_query_name(st->q));
	if (r < 0)
		return r;
	*ret = value;
	return 0;
}

static int
insert(struct db *db, const struct journal_row *row, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_JOURNAL_INSERT);

	db_bind_int(st, 1, row->seq);
	db_bind_borrowed(st, 2, row->topic);
	db_bind_borrowed(st, 3, row->family);
	db_bind_borrowed(st, 4, row->scope);
	db_bind_borrowed(st, 5, row->type);
	db_bind_int(st, 6, (int64_t)row->ts_ms);
	db_bind_borrowed(st, 7, row->payload);
	return db_exec(st, NULL, e);
}

/* Only the first row of a transaction asks the store. */
static int
next_seq(struct db *db, int64_t *ret, struct err *e)
{
	if (db->pending.n == 0)
		return one_int(db_query(db, Q_JOURNAL_NEXT), ret, e);
	*ret = db->pending.v[db->pending.n - 1].seq + 1;
	return 0;
}

int
journal_flush(struct db *db, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_JOURNAL_SET_HEAD);

	if (db->pending.n < 2)
		return 0;
	db_bind_int(st, 1, db->pending.v[db->pending.n - 1].seq);
	return db_exec(st, NULL, e);
}

int
journal_append(struct db *db, const char *topic, const char *scope, uint64_t ts_ms,
	       const json_t *payload, int64_t *ret_seq, struct err *e)
{
	struct journal_row row = {.ts_ms = ts_ms};
	struct sv view = sv_from(topic);
	int r;

	if (!db->in_transaction || !bus_subject_valid(view, false))
		return err_set(e, -EINVAL, "journal: bad topic or no transaction");
	r = next_seq(db, &row.seq, e);
	if (r < 0)
		return r;
	row.topic = sv_dup(view);
	row.family = sv_dup(bus_topic_family(view));
	row.type = sv_dup(bus_topic_type(view));
	row.scope = sv_dup(sv_from(scope));
	row.payload = json_text(payload);
	if (ret_seq)
		*ret_seq = row.seq;
	r = rows_push(&db->pending, &row);
	if (r < 0)
		return err_set(e, r, "out of memory");
	return insert(db, &db->pending.v[db->pending.n - 1], e);
}

void
journal_take(struct db *db, struct journal_rows *ret_rows)
{
	*ret_rows = db->committed;
	db->committed = (struct journal_rows){0};
}

int
journal_head(struct db *db, int64_t *ret_seq, struct err *e)
{
	if (db->pending.n > 0) {
		*ret_seq = db->pending.v[db->pending.n - 1].seq;
		return 0;
	}
	return one_int(db_query(db, Q_JOURNAL_HEAD), ret_seq, e);
}

int
journal_floor(struct db *db, int64_t *ret_seq, struct err *e)
{
	return one_int(db_query(db, Q_JOURNAL_FLOOR), ret_seq, e);
}

int
journal_check(struct db *db, struct err *e)
{
	int64_t head = 0, floor = 0, last = 0;
	int r = journal_head(db, &head, e);

	if (r == 0)
		r = journal_floor(db, &floor, e);
	if (r == 0)
		r = one_int(db_query(db, Q_JOURNAL_LAST), &last, e);
	if (r == 0 && (floor > head || (head > floor && last != head)))
		return err_set(e, -EIO, "the journal ends at %lld, not at %lld", (long long)last,
			       (long long)head);
	return r;
}

static int
read_row(struct db_stmt *st, struct journal_rows *rows)
{
	struct journal_row row = {
		.seq = db_col_int(st, 0),
		.topic = sv_dup(db_col_sv(st, 1)),
		.family = sv_dup(db_col_sv(st, 2)),
		.scope = sv_dup(db_col_sv(st, 3)),
		.type = sv_dup(db_col_sv(st, 4)),
		.ts_ms = (uint64_t)db_col_int(st, 5),
		.payload = sv_dup(db_col_sv(st, 6)),
	};

	return rows_push(rows, &row);
}

int
journal_read(struct db *db, enum journal_filter filter, const char *scope, int64_t after,
	     unsigned limit, struct journal_rows *rows, struct err *e)
{
	static const enum db_query queries[] = {
		[JOURNAL_ALL] = Q_JOURNAL_AFTER,
		[JOURNAL_IDENTITY] = Q_JOURNAL_AFTER_IDENTITY,
		[JOURNAL_SCOPE] = Q_JOURNAL_AFTER_SCOPE,
	};
	struct db_stmt *st = db_query(db, queries[filter]);
	size_t bytes = 0;
	int at = 1, n = 0, r;

	rows->more = false;
	if (filter == JOURNAL_SCOPE)
		db_bind_text(st, at++, scope);
	db_bind_int(st, at++, after);
	db_bind_int(st, at, limit);
	while ((r = db_step(st, e)) > 0) {
		r = read_row(st, rows);
		if (r < 0) {
			(void)err_set(e, r, "out of memory");
			break;
		}
		n++;
		bytes += strlen(rows->v[rows->n - 1].payload);
		if (rows->max_bytes > 0 && bytes >= rows->max_bytes) {
			rows->more = true;
			break;
		}
	}
	db_reset(st);
	rows->more |= n == (int)limit;
	return r < 0 ? r : n;
}

int
journal_identity_moves(struct db *db, const char *attacker, int64_t upto, journal_move_fn *fn,
		       void *user, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_JOURNAL_IDENTITY_MOVES);
	char like[ID_UUID_SIZE + 2];
	int r;

	if (!id_is_uuid(sv_from(attacker)))
		return err_set(e, -EINVAL, "journal: not an attacker");
	(void)snprintf(like, sizeof(like), "%%%s%%", attacker);
	db_bind_int(st, 1, upto);
	db_bind_text(st, 2, like);
	while ((r = db_step(st, e)) > 0) {
		r = fn(user, db_col_int(st, 0), db_col_sv(st, 1), db_col_sv(st, 2));
		if (r < 0)
			break;
	}
	db_reset(st);
	return r;
}

static int
trim_to(struct db *db, int64_t upto, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_JOURNAL_SET_FLOOR);
	int r;

	db_bind_int(st, 1, upto);
	db_bind_int(st, 2, upto);
	r = db_exec(st, NULL, e);
	if (r < 0)
		return r;
	st = db_query(db, Q_JOURNAL_TRIM);
	db_bind_int(st, 1, upto);
	return db_exec(st, NULL, e);
}

int
journal_trim(struct db *db, uint64_t keep_rows, uint64_t before_ms, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_JOURNAL_SEQ_BEFORE);
	int64_t head = 0, floor = 0, upto = 0;
	int r;

	r = db_begin_write(db, e);
	if (r < 0)
		return r;
	db_bind_int(st, 1, (int64_t)before_ms);
	r = one_int(st, &upto, e);
	if (r == 0)
		r = journal_head(db, &head, e);
	if (r == 0)
		r = journal_floor(db, &floor, e);
	if (r == 0 && (uint64_t)head > keep_rows && head - (int64_t)keep_rows > upto)
		upto = head - (int64_t)keep_rows;
	if (r == 0 && upto > floor)
		r = trim_to(db, upto, e);
	if (r < 0) {
		db_rollback(db);
		return r;
	}
	return db_commit(db, e);
}
