/* SPDX-License-Identifier: Apache-2.0 */
/* Whose an attacker is, and whose he was: a stream that is caught up from the journal must follow
 * the same identities that it would have followed live. */
#include <errno.h>
#include <string.h>

#include "api/stream_store.h"
#include "store/identity.h"
#include "store/journal.h"

int
stream_identity_now(struct db *db, const char *attacker, char ret_identity[ID_UUID_SIZE],
		    struct err *e)
{
	struct db_stmt *st = db_query(db, Q_OBSERVATION_IDENTITY);
	char direct[ID_UUID_SIZE] = "";
	int r;

	db_bind_text(st, 1, attacker);
	r = db_step(st, e);
	if (r > 0 && !db_col_null(st, 0) && sv_copy(db_col_sv(st, 0), direct, sizeof(direct)) < 0)
		r = err_set(e, -EIO, "an attacker's identity is no uuid");
	db_reset(st);
	if (r <= 0)
		return r;
	ret_identity[0] = '\0';
	if (direct[0])
		r = identity_final(db, direct, ret_identity, e);
	return r < 0 ? r : 1;
}

struct following {
	struct stream_spec spec;
	char identity[ID_UUID_SIZE];
	bool named;
};

static int
on_move(void *user, int64_t seq, struct sv topic, struct sv payload)
{
	struct following *f = user;
	struct stream_event ev = {.seq = seq, .topic = topic, .text = payload};

	if (stream_spec_carries(&f->spec, &ev, f->identity))
		f->named = true;
	stream_event_fini(&ev);
	return 0;
}

int
stream_identity_at(struct db *db, const char *attacker, int64_t seq,
		   char ret_identity[ID_UUID_SIZE], struct err *e)
{
	struct following f = {.spec.kind = HUB_KIND_ATTACKER};
	int r = sv_copy(sv_from(attacker), f.spec.id, sizeof(f.spec.id));

	if (r == 0)
		r = journal_identity_moves(db, attacker, seq, on_move, &f, e);
	/* What made the attacker somebody's may be older than the journal: nothing has moved him
	 * since. */
	if (r == 0 && !f.named)
		r = stream_identity_now(db, attacker, f.identity, e);
	if (r < 0)
		return r;
	memcpy(ret_identity, f.identity, sizeof(f.identity));
	return 0;
}
