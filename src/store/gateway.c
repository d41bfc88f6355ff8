/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of gateways, of the slots of their users, and of tickets. */
#include "store/gateway.h"

#include <errno.h>
#include <string.h>

int
gateway_turn(struct db *db, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_COUNTER_ADD);
	int64_t n;
	int r;

	db_bind_int(st, 1, 1);
	db_bind_text(st, 2, "gateways");
	r = db_one_int(st, &n, e);
	if (r == 0)
		return err_set(e, -EIO, "no counter gateways");
	return r < 0 ? r : 0;
}

static int
sweep_slots(struct db *db, struct err *e)
{
	return db_exec(db_query(db, Q_SLOT_SWEEP), NULL, e);
}

int
gateway_add(struct db *db, const struct gateway_row *row, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_GATEWAY_REPLACE);
	int r;

	db_bind_text(st, 1, row->address);
	db_bind_text(st, 2, row->id);
	r = db_exec(st, NULL, e);
	if (r < 0)
		return r;
	st = db_query(db, Q_GATEWAY_ADD);
	db_bind_text(st, 1, row->id);
	db_bind_text(st, 2, row->address);
	db_bind_int(st, 3, (int64_t)row->started_at);
	db_bind_int(st, 4, (int64_t)row->lease_until);
	db_bind_int(st, 5, row->shares);
	r = db_exec(st, NULL, e);
	return r < 0 ? r : sweep_slots(db, e);
}

int
gateway_set(struct db *db, const struct gateway_row *row, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_GATEWAY_SET);
	int64_t n = 0;
	int r;

	db_bind_int(st, 1, (int64_t)row->lease_until);
	db_bind_int(st, 2, row->shares);
	db_bind_text(st, 3, row->id);
	r = db_exec(st, &n, e);
	return r < 0 ? r : n > 0;
}

int
gateway_remove(struct db *db, const char *id, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_GATEWAY_REMOVE);
	int r;

	db_bind_text(st, 1, id);
	r = db_exec(st, NULL, e);
	return r < 0 ? r : sweep_slots(db, e);
}

int
gateway_sweep(struct db *db, uint64_t now_ms, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_GATEWAY_SWEEP);
	int r;

	db_bind_int(st, 1, (int64_t)now_ms);
	r = db_exec(st, NULL, e);
	if (r == 0)
		r = sweep_slots(db, e);
	if (r < 0)
		return r;
	st = db_query(db, Q_TICKET_SWEEP);
	db_bind_int(st, 1, (int64_t)now_ms);
	return db_exec(st, NULL, e);
}

int
gateway_look(struct db *db, const char *id, uint64_t now_ms, struct gateway_living *ret,
	     struct err *e)
{
	struct db_stmt *st = db_query(db, Q_GATEWAY_OTHERS);
	int r;

	db_bind_text(st, 1, id);
	db_bind_int(st, 2, (int64_t)now_ms);
	r = db_step(st, e);
	if (r == 1) {
		ret->others = db_col_int(st, 0);
		ret->silent = db_col_int(st, 1);
		ret->self = db_col_int(st, 2) > 0;
	}
	db_reset(st);
	return r < 0 ? r : 0;
}

int
gateway_slots_elsewhere(struct db *db, const char *id, const char *user, uint64_t now_ms,
			int64_t *ret_n, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_SLOT_OTHERS);
	int r;

	*ret_n = 0;
	db_bind_text(st, 1, user);
	db_bind_text(st, 2, id);
	db_bind_int(st, 3, (int64_t)now_ms);
	r = db_one_int(st, ret_n, e);
	return r < 0 ? r : 0;
}

int
gateway_slots_put(struct db *db, const char *id, const char *user, unsigned n, struct err *e)
{
	struct db_stmt *st = db_query(db, n > 0 ? Q_SLOT_PUT : Q_SLOT_REMOVE);

	db_bind_text(st, 1, user);
	db_bind_text(st, 2, id);
	if (n > 0)
		db_bind_int(st, 3, n);
	return db_exec(st, NULL, e);
}

int
gateway_slots_clear(struct db *db, const char *id, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_SLOT_CLEAR);

	db_bind_text(st, 1, id);
	return db_exec(st, NULL, e);
}

int
gateway_ticket_add(struct db *db, const char *hash, const struct gateway_ticket *t,
		   unsigned per_user, int64_t *ret_dropped, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_TICKET_OLDEST);
	int r;

	db_bind_text(st, 1, t->user);
	db_bind_int(st, 2, INT32_MAX);
	db_bind_int(st, 3, per_user > 0 ? per_user - 1 : 0);
	r = db_exec(st, ret_dropped, e);
	if (r < 0)
		return r;
	st = db_query(db, Q_TICKET_ADD);
	db_bind_text(st, 1, hash);
	db_bind_text(st, 2, t->user);
	db_bind_text(st, 3, t->jti);
	db_bind_int(st, 4, (int64_t)t->iat_ms);
	db_bind_int(st, 5, (int64_t)t->exp_ms);
	db_bind_int(st, 6, (int64_t)t->ends_ms);
	return db_exec(st, NULL, e);
}

int
gateway_ticket_known(struct db *db, const char *hash, uint64_t now_ms, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_TICKET_KNOWN);
	int64_t one;

	db_bind_text(st, 1, hash);
	db_bind_int(st, 2, (int64_t)now_ms);
	return db_one_int(st, &one, e);
}

int
gateway_ticket_take(struct db *db, const char *hash, uint64_t now_ms, struct gateway_ticket *ret,
		    struct err *e)
{
	struct db_stmt *st = db_query(db, Q_TICKET_TAKE);
	struct gateway_ticket t = {0};
	int r;

	db_bind_text(st, 1, hash);
	db_bind_int(st, 2, (int64_t)now_ms);
	r = db_step(st, e);
	if (r == 1) {
		if (sv_copy(db_col_sv(st, 0), t.user, sizeof(t.user)) < 0 ||
		    sv_copy(db_col_sv(st, 1), t.jti, sizeof(t.jti)) < 0)
			r = err_set(e, -EIO, "a ticket row does not fit");
		t.iat_ms = (uint64_t)db_col_int(st, 2);
		t.exp_ms = (uint64_t)db_col_int(st, 3);
		t.ends_ms = (uint64_t)db_col_int(st, 4);
	}
	db_reset(st);
	if (r == 1)
		*ret = t;
	return r;
}
