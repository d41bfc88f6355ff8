/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's rows in the store. */
#include "store/er.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "identity/signal.h"
#include "util/limits.h"

#define ROWS_AT_ONCE 5000

static int
no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

static int
read_secret(struct sv hex, struct identity_secret *ret)
{
	ret->n = hex.n / 2;
	if (hex.n % 2 || ret->n > sizeof(ret->key))
		return -EIO;
	for (size_t i = 0; i < hex.n; i++) {
		char c = hex.p[i];
		unsigned v = (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);

		if (v > 15)
			return -EIO;
		ret->key[i / 2] = (unsigned char)(i % 2 ? ret->key[i / 2] | v : v << 4);
	}
	return 0;
}

int
er_state_open(struct db *db, const struct identity_secret *first, struct er_state *ret,
	      struct err *e)
{
	struct db_stmt *st = db_query(db, Q_ER_STATE_ADD);
	char hex[2 * IDENTITY_SECRET_MAX + 1];
	int r;

	id_hex(first->key, first->n, hex);
	db_bind_text(st, 1, hex);
	r = db_exec(st, NULL, e);
	if (r < 0)
		return r;
	st = db_query(db, Q_ER_STATE_GET);
	r = db_step(st, e);
	if (r > 0) {
		ret->time_ms = (uint64_t)db_col_int(st, 0);
		ret->position = db_col_int(st, 1);
		r = read_secret(db_col_sv(st, 2), &ret->secret);
		if (r < 0)
			(void)err_set(e, r, "bad secret of the identity engine");
	}
	db_reset(st);
	return r;
}

int
er_state_put(struct db *db, const struct er_state *s, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_ER_STATE_PUT);

	db_bind_int(st, 1, (int64_t)s->time_ms);
	db_bind_int(st, 2, s->position);
	return db_exec(st, NULL, e);
}

int
er_row_get(struct db *db, const char *observation, struct identity_features *ret, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_ER_ROW_GET);
	int r;

	identity_features_init(ret);
	db_bind_borrowed(st, 1, observation);
	r = db_step(st, e);
	if (r > 0 && identity_features_read(db_col_sv(st, 0), ret) < 0)
		r = err_set(e, -EIO, "bad keys of observation %s", observation);
	db_reset(st);
	return r;
}

int
er_row_put(struct db *db, const char *observation, int64_t seq, uint64_t hash,
	   const struct identity_features *f, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_ER_ROW_PUT);
	char text[IDENTITY_FEATURES_TEXT_MAX];

	identity_features_write(f, text);
	db_bind_borrowed(st, 1, observation);
	db_bind_int(st, 2, seq);
	db_bind_int(st, 3, (int64_t)hash);
	db_bind_borrowed(st, 4, text);
	return db_exec(st, NULL, e);
}

int
er_seq_last(struct db *db, int64_t *ret, struct err *e)
{
	int r = db_one_int(db_query(db, Q_ER_SEQ_LAST), ret, e);

	return r < 0 ? r : 0;
}

int
er_rows(struct db *db, er_row_fn *fn, void *user, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_ER_ROWS_AFTER);
	struct identity_features f;
	int64_t after = 0;
	unsigned n;
	int r;

	do {
		db_bind_int(st, 1, after);
		db_bind_int(st, 2, ROWS_AT_ONCE);
		for (n = 0; (r = db_step(st, e)) > 0; n++) {
			after = db_col_int(st, 0);
			r = identity_features_read(db_col_sv(st, 2), &f);
			if (r < 0)
				(void)err_set(e, -EIO, "bad keys of an observation");
			else
				r = fn(user, db_col_text(st, 1), (uint64_t)db_col_int(st, 4), &f,
				       db_col_text(st, 3), e);
			if (r < 0)
				break;
		}
		db_reset(st);
	} while (r == 0 && n == ROWS_AT_ONCE);
	return r;
}

static void
read_uuid(struct db_stmt *st, int at, char dst[ID_UUID_SIZE])
{
	dst[0] = '\0';
	if (!db_col_null(st, at) && sv_copy(db_col_sv(st, at), dst, ID_UUID_SIZE) < 0)
		dst[0] = '\0';
}

static void
read_identity(struct db_stmt *st, struct er_identity *i)
{
	read_uuid(st, 0, i->uuid);
	read_uuid(st, 1, i->anchor);
	read_uuid(st, 2, i->points_to);
	read_uuid(st, 3, i->yields_to);
}

int
er_identities(struct db *db, er_identity_fn *fn, void *user, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_ER_IDENTITIES_AFTER);
	struct er_identity i = {.uuid = ""};
	unsigned n;
	int r;

	do {
		db_bind_text(st, 1, i.uuid);
		db_bind_int(st, 2, ROWS_AT_ONCE);
		for (n = 0; (r = db_step(st, e)) > 0; n++) {
			read_identity(st, &i);
			r = fn(user, &i, e);
			if (r < 0)
				break;
		}
		db_reset(st);
	} while (r == 0 && n == ROWS_AT_ONCE);
	return r;
}

int
er_decided_identities(struct db *db, int64_t after, er_identity_fn *fn, void *user, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_ER_DECIDED_IDENTITIES);
	struct er_identity i;
	int r;

	db_bind_int(st, 1, after);
	while ((r = db_step(st, e)) > 0) {
		read_identity(st, &i);
		r = fn(user, &i, e);
		if (r < 0)
			break;
	}
	db_reset(st);
	return r;
}

int
er_decided_rows(struct db *db, int64_t after, er_decided_row_fn *fn, void *user, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_ER_DECIDED_ROWS);
	int r;

	db_bind_int(st, 1, after);
	while ((r = db_step(st, e)) > 0) {
		r = fn(user, db_col_text(st, 0), db_col_text(st, 1), e);
		if (r < 0)
			break;
	}
	db_reset(st);
	return r;
}

struct side {
	uint8_t (*observations)[16];
	uint8_t *sides;
	size_t n, cap;
};

static int
side_add(struct side *s, struct sv uuid, int64_t side)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 64;
		void *v = realloc(s->observations, cap * sizeof(*s->observations));
		uint8_t *w;

		if (!v)
			return -ENOMEM;
		s->observations = v;
		w = realloc(s->sides, cap);
		if (!w)
			return -ENOMEM;
		s->sides = w;
		s->cap = cap;
	}
	if (id_uuid_bytes(uuid, s->observations[s->n]) == 0)
		s->sides[s->n++] = side != 0;
	return 0;
}

static int
decision(struct db *db, int64_t id, bool apart, struct side *s, er_decision_fn *fn, void *user,
	 struct err *e)
{
	struct db_stmt *st = db_query(db, Q_ER_DECISION_SIDES);
	int r;

	s->n = 0;
	db_bind_int(st, 1, id);
	while ((r = db_step(st, e)) > 0) {
		if (side_add(s, db_col_sv(st, 0), db_col_int(st, 1)) < 0) {
			r = no_memory(e);
			break;
		}
	}
	db_reset(st);
	return r < 0 ? r
		     : fn(user, id, apart, (const uint8_t(*)[16])s->observations, s->sides, s->n,
			  e);
}

int
er_decisions(struct db *db, int64_t after, er_decision_fn *fn, void *user, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_ER_DECISIONS);
	struct side s = {.n = 0};
	int r;

	db_bind_int(st, 1, after);
	while ((r = db_step(st, e)) > 0) {
		r = decision(db, db_col_int(st, 0), sv_eq(db_col_sv(st, 1), SV("split")), &s, fn,
			     user, e);
		if (r < 0)
			break;
	}
	db_reset(st);
	free(s.observations);
	free(s.sides);
	return r;
}

/* -- from signals to keys -- */

static void
add_typing(struct sv hex, struct identity_features *f)
{
	uint64_t v = 0;

	for (size_t i = 0; i < hex.n; i++) {
		char c = hex.p[i];
		unsigned d = (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);

		if (d > 15)
			return;
		v = v << 4 | d;
	}
	if (hex.n == 16)
		identity_features_keystroke(f, v);
}

/* The command as it is compared; `to` holds LIMIT_COMMAND_BYTES. */
static struct sv
comparable(struct sv command, char *to)
{
	size_t n = command.n;

	/* As attacker_command_add cuts it: not in the middle of a character. */
	if (n > LIMIT_COMMAND_BYTES)
		for (n = LIMIT_COMMAND_BYTES; n > 0 && (command.p[n] & 0xc0) == 0x80;)
			n--;
	if (n > 0)
		memcpy(to, command.p, n);
	for (size_t i = 0; i < n; i++) {
		if (to[i] >= 'A' && to[i] <= 'Z')
			to[i] = (char)(to[i] | 0x20);
		else if (to[i] != '_' && (to[i] < 'a' || to[i] > 'z'))
			break;
	}
	return (struct sv){to, n};
}

void
er_features_command(struct identity_features *f, const struct identity_secret *secret,
		    struct sv command)
{
	char text[LIMIT_COMMAND_BYTES];

	identity_features_command(f, secret, comparable(command, text));
}

int
er_project_stack(struct db *db, const char *observation, const struct identity_secret *secret,
		 struct identity_features *f, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_ATTACKER_SIGNALS_CURRENT);
	char ja3[IDENTITY_VALUE_MAX + 1] = "", ja4[IDENTITY_VALUE_MAX + 1] = "";
	char hassh[IDENTITY_VALUE_MAX + 1] = "", banner[IDENTITY_VALUE_MAX + 1] = "";
	int r;

	f->n[IDENTITY_VALUE_TLS] = f->n[IDENTITY_VALUE_SSH] = f->n[IDENTITY_VALUE_STACK] = 0;
	f->has_keystroke = false;
	f->keystroke = 0;
	db_bind_text(st, 1, observation);
	while ((r = db_step(st, e)) > 0) {
		enum identity_primitive p = identity_primitive_find(db_col_sv(st, 0));
		struct sv value = db_col_sv(st, 1);
		char *to = p == IDENTITY_SIGNAL_TLS_JA3	     ? ja3
			   : p == IDENTITY_SIGNAL_TLS_JA4    ? ja4
			   : p == IDENTITY_SIGNAL_SSH_HASSH  ? hassh
			   : p == IDENTITY_SIGNAL_SSH_BANNER ? banner
							     : NULL;

		if (to && value.n <= IDENTITY_VALUE_MAX)
			(void)sv_copy(value, to, IDENTITY_VALUE_MAX + 1);
		if (p == IDENTITY_SIGNAL_MOTOR_DIGRAPH_SIMHASH)
			add_typing(value, f);
	}
	db_reset(st);
	if (r == 0)
		identity_features_stack(f, secret, sv_from(ja4[0] ? ja4 : ja3), sv_from(hassh),
					sv_from(banner));
	return r;
}

int
er_project(struct db *db, const char *observation, const struct identity_secret *secret,
	   struct identity_features *ret, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_ATTACKER_SIGNALS);
	int r;

	identity_features_init(ret);
	db_bind_text(st, 1, observation);
	while ((r = db_step(st, e)) > 0) {
		enum identity_primitive p = identity_primitive_find(db_col_sv(st, 0));

		if (p == IDENTITY_SIGNAL_PAYLOAD_SHA256)
			identity_features_payload(ret, secret, db_col_sv(st, 1));
		else if (p == IDENTITY_SIGNAL_C2_ENDPOINT)
			identity_features_c2(ret, secret, db_col_sv(st, 1));
	}
	db_reset(st);
	if (r < 0)
		return r;
	st = db_query(db, Q_ER_CREDENTIALS);
	db_bind_text(st, 1, observation);
	while ((r = db_step(st, e)) > 0)
		identity_features_credential(ret, secret, db_col_sv(st, 0), db_col_sv(st, 1));
	db_reset(st);
	if (r < 0)
		return r;
	st = db_query(db, Q_ER_COMMANDS);
	db_bind_text(st, 1, observation);
	db_bind_int(st, 2, LIMIT_ATTACKER_COMMANDS);
	while ((r = db_step(st, e)) > 0)
		er_features_command(ret, secret, db_col_sv(st, 0));
	db_reset(st);
	return r < 0 ? r : er_project_stack(db, observation, secret, ret, e);
}

/* -- and back -- */

static int
text_of_stack(struct db *db, const char *observation, enum identity_value_class class,
	      char **ret_text, struct err *e)
{
	struct db_stmt *st = db_query(db, Q_ATTACKER_SIGNALS_CURRENT);
	char tls[IDENTITY_VALUE_MAX + 1] = "", hassh[IDENTITY_VALUE_MAX + 1] = "";
	bool ja4 = false;
	int r;

	db_bind_text(st, 1, observation);
	while ((r = db_step(st, e)) > 0) {
		enum identity_primitive p = identity_primitive_find(db_col_sv(st, 0));

		if (p == IDENTITY_SIGNAL_SSH_HASSH)
			(void)sv_copy(db_col_sv(st, 1), hassh, sizeof(hassh));
		if (p == IDENTITY_SIGNAL_TLS_JA4 || (p == IDENTITY_SIGNAL_TLS_JA3 && !ja4))
			(void)sv_copy(db_col_sv(st, 1), tls, sizeof(tls));
		ja4 |= p == IDENTITY_SIGNAL_TLS_JA4;
	}
	db_reset(st);
	if (r < 0)
		return r;
	if (asprintf(ret_text, "%s%s%s", class == IDENTITY_VALUE_SSH ? "" : tls,
		     class == IDENTITY_VALUE_STACK ? " " : "",
		     class == IDENTITY_VALUE_TLS ? "" : hassh) < 0)
		return no_memory(e);
	return 1;
}

/* Go through the rows of a bound statement until one has the key. */
static int
search(struct db_stmt *st, const struct identity_secret *secret, enum identity_value_class class,
       uint64_t key, char **ret_text, struct err *e)
{
	bool pair = class == IDENTITY_VALUE_CREDENTIAL;
	int at = class == IDENTITY_VALUE_PAYLOAD || class == IDENTITY_VALUE_C2, r;
	char text[LIMIT_COMMAND_BYTES];

	while ((r = db_step(st, e)) > 0) {
		struct sv parts[2] = {db_col_sv(st, at), pair ? db_col_sv(st, 1) : SV("")};
		struct sv seen[2] = {class == IDENTITY_VALUE_COMMAND ? comparable(parts[0], text)
								     : parts[0],
				     parts[1]};

		if (identity_key_of(secret, class, seen, pair ? 2 : 1) != key)
			continue;
		if (asprintf(ret_text, "%.*s%s%.*s", (int)parts[0].n, parts[0].p, pair ? ":" : "",
			     pair ? 16 : 0, pair ? parts[1].p : "") < 0)
			r = no_memory(e);
		break;
	}
	db_reset(st);
	return r;
}

int
er_value_text(struct db *db, const char *observation, const struct identity_secret *secret,
	      enum identity_value_class class, uint64_t key, char **ret_text, struct err *e)
{
	struct db_stmt *st = NULL;

	switch (class) {
	case IDENTITY_VALUE_TLS:
	case IDENTITY_VALUE_SSH:
	case IDENTITY_VALUE_STACK: return text_of_stack(db, observation, class, ret_text, e);
	case IDENTITY_VALUE_PAYLOAD:
	case IDENTITY_VALUE_C2: st = db_query(db, Q_ATTACKER_SIGNALS); break;
	case IDENTITY_VALUE_CREDENTIAL: st = db_query(db, Q_ER_CREDENTIALS); break;
	case IDENTITY_VALUE_COMMAND:
		st = db_query(db, Q_ER_COMMANDS);
		db_bind_int(st, 2, LIMIT_ATTACKER_COMMANDS);
		break;
	case IDENTITY_VALUE_KEYSTROKE:
	case IDENTITY_VALUE_COUNT: return 0;
	}
	db_bind_text(st, 1, observation);
	return search(st, secret, class, key, ret_text, e);
}
