/* SPDX-License-Identifier: Apache-2.0 */
/* The ingest transaction: log rows, attacker rows and what hangs on them, identities, sources. */
#include "resolver/ingest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/attacker.h"
#include "store/identity_tx.h"
#include "store/log.h"

#define SOURCE_SIZE 17

struct source {
	uint64_t id;
	int64_t stored, last;
};

/* One attacker of the batch. */
struct visitor {
	struct attacker row;
	bool new_signal;
	bool known, stack; /* something that identifies was seen; of the current values too */
};

struct batch {
	struct db *db;
	struct linker *linker;
	uint64_t now_ms;
	const struct sighting **v; /* the new ones, in order */
	struct log_row *logs;	   /* one each */
	size_t *visitor_of;	   /* one each */
	size_t n;
	struct visitor *visitors;
	size_t nvisitors;
	struct source sources[INGEST_SOURCES_MAX];
	size_t nsources;
};

static void
source_text(uint64_t id, char dst[SOURCE_SIZE])
{
	(void)snprintf(dst, SOURCE_SIZE, "%016" PRIx64, id);
}

static int
source_of(struct batch *b, uint64_t id, struct source **ret, struct err *e)
{
	struct source *s = &b->sources[b->nsources];
	char text[SOURCE_SIZE];
	int r;

	for (size_t i = 0; i < b->nsources; i++) {
		if (b->sources[i].id == id) {
			*ret = &b->sources[i];
			return 0;
		}
	}
	if (b->nsources == INGEST_SOURCES_MAX)
		return err_set(e, -ENOBUFS, "too many decoy processes in one batch");
	source_text(id, text);
	s->id = id;
	r = capture_source_get(b->db, text, &s->stored, e);
	if (r < 0)
		return r;
	s->last = s->stored;
	b->nsources++;
	*ret = s;
	return 0;
}

/* Keep what comes next; numbers of one source rise by one. */
static int
select_new(struct batch *b, const struct sighting *v, size_t n, const struct capture_ack *start,
	   struct ingest_result *res, struct err *e)
{
	struct source *s = NULL;
	int r;

	for (size_t i = 0; i < n; i++) {
		if (v[i].no == 0)
			continue;
		r = source_of(b, v[i].source, &s, e);
		if (r < 0)
			return r;
		if (v[i].no <= s->last) {
			res->repeated++;
			continue;
		}
		if (v[i].no > s->last + 1 &&
		    !(start && start->source == v[i].source && start->no == (uint64_t)v[i].no)) {
			res->early++;
			if (res->gap.no == 0 ||
			    (res->gap.source == v[i].source && (uint64_t)v[i].no < res->gap.no))
				res->gap = (struct capture_ack){v[i].source, (uint64_t)v[i].no};
			continue;
		}
		s->last = v[i].no;
		if (!v[i].rejected)
			b->v[b->n++] = &v[i];
	}
	return 0;
}

static int
open_visitors(struct batch *b, struct err *e)
{
	int r;

	for (size_t i = 0; i < b->n; i++) {
		size_t k = 0;

		while (k < b->nvisitors && strcmp(b->visitors[k].row.ip, b->v[i]->ip) != 0)
			k++;
		if (k == b->nvisitors) {
			r = attacker_open(b->db, b->v[i]->ip, &b->visitors[k].row, e);
			if (r < 0)
				return r;
			b->nvisitors++;
		}
		b->visitor_of[i] = k;
	}
	return 0;
}

static const char *
text_or_null(const char *text)
{
	return text[0] ? text : NULL;
}

static int
write_logs(struct batch *b, struct err *e)
{
	for (size_t i = 0; i < b->n; i++) {
		const struct sighting *s = b->v[i];

		b->logs[i] = (struct log_row){
			.ts_ms = s->ts_ms,
			.topology_id = text_or_null(s->topology_id),
			.decky = s->decky,
			.service = s->service,
			.event_type = capture_word(s->type),
			.attacker_ip = s->ip,
			.attacker_uuid = b->visitors[b->visitor_of[i]].row.uuid,
			.raw_line = s->raw_line,
			.fields = s->fields,
			.msg = s->msg,
		};
	}
	return log_append(b->db, b->logs, b->n, e);
}

static struct attacker_place
place_of(const struct batch *b, size_t i)
{
	const struct sighting *s = b->v[i];
	struct attacker_place at = {
		.topology_id = text_or_null(s->topology_id),
		.decky_id = text_or_null(s->decky_id),
		.decky = s->decky,
		.service = s->service,
		.ts_ms = s->ts_ms,
		.now_ms = b->now_ms,
		.log_id = b->logs[i].id,
		.session_id = s->session_id,
	};

	source_text(s->source, at.source);
	return at;
}

/* One kind of thing that a capture can mean; run over all captures of one attacker. */
typedef int pass_fn(struct batch *b, struct visitor *who, const struct sighting *s,
		    const struct attacker_place *at, struct err *e);

static int
pass_start(struct batch *b, struct visitor *who, const struct sighting *s,
	   const struct attacker_place *at, struct err *e)
{
	if (attacker_note(&who->row, at, capture_interaction(s->type)) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	return s->type == CAPTURE_CONNECT ? attacker_session_start(b->db, &who->row, at, e) : 0;
}

static int
pass_command(struct batch *b, struct visitor *who, const struct sighting *s,
	     const struct attacker_place *at, struct err *e)
{
	if (s->type == CAPTURE_FILE_CAPTURED)
		attacker_file_add(&who->row);
	who->known |= s->type == CAPTURE_COMMAND;
	return s->type == CAPTURE_COMMAND
		       ? attacker_command_add(b->db, &who->row, at, sv_from(s->command), e)
		       : 0;
}

static int
pass_end(struct batch *b, struct visitor *who, const struct sighting *s,
	 const struct attacker_place *at, struct err *e)
{
	return s->type == CAPTURE_DISCONNECT ? attacker_session_end(b->db, &who->row, at, e) : 0;
}

/* Once in a batch for a session that goes on. */
static int
pass_seen(struct batch *b, struct visitor *who, const struct sighting *s,
	  const struct attacker_place *at, struct err *e)
{
	size_t next = 0;

	if (s->type == CAPTURE_CONNECT || s->type == CAPTURE_DISCONNECT)
		return 0;
	while (b->v[next] != s)
		next++;
	for (next++; next < b->n; next++)
		if (strcmp(b->v[next]->session_id, s->session_id) == 0)
			return 0;
	return attacker_session_seen(b->db, &who->row, at, e);
}

static int
pass_signal(struct batch *b, struct visitor *who, const struct sighting *s,
	    const struct attacker_place *at, struct err *e)
{
	int r;

	if (s->primitive == IDENTITY_SIGNAL_COUNT)
		return 0;
	who->known = who->stack = true;
	r = attacker_signal_add(b->db, &who->row, at, s->primitive, s->value, e);
	who->new_signal |= r > 0;
	return r < 0 ? r : 0;
}

static int
pass_credential(struct batch *b, struct visitor *who, const struct sighting *s,
		const struct attacker_place *at, struct err *e)
{
	const struct attacker_credential c = {
		.username = s->username,
		.secret_sha256 = s->secret_sha256,
		.kind = s->secret_kind,
		.common = s->secret_common,
	};
	int r;

	if (!s->username)
		return 0;
	who->known = true;
	r = attacker_credential_add(b->db, &who->row, at, &c, e);
	return r < 0 ? r : 0;
}

/* In the order of the journal rows: started, ended, fingerprinted, captured, then the row itself.
 */
static int
write_visitor(struct batch *b, size_t k, struct err *e)
{
	static pass_fn *const passes[] = {pass_start, pass_command, pass_end,
					  pass_seen,  pass_signal,  pass_credential};
	struct visitor *who = &b->visitors[k];
	struct attacker_place at;
	size_t last = 0;
	int r = 0;

	for (size_t p = 0; p < ARRAY_LEN(passes); p++) {
		for (size_t i = 0; r == 0 && i < b->n; i++) {
			if (b->visitor_of[i] != k)
				continue;
			at = place_of(b, i);
			r = passes[p](b, who, b->v[i], &at, e);
			last = i;
		}
	}
	if (r < 0)
		return r;
	at = place_of(b, last);
	return attacker_save(b->db, &who->row, &at, capture_word(b->v[last]->type), e);
}

static void
add_values(const struct batch *b, size_t k, struct identity_features *f)
{
	const struct identity_secret *secret = linker_secret(b->linker);

	for (size_t i = 0; i < b->n; i++) {
		const struct sighting *s = b->v[i];

		if (b->visitor_of[i] != k)
			continue;
		if (s->primitive == IDENTITY_SIGNAL_PAYLOAD_SHA256)
			identity_features_payload(f, secret, sv_from(s->value));
		else if (s->primitive == IDENTITY_SIGNAL_C2_ENDPOINT)
			identity_features_c2(f, secret, sv_from(s->value));
		if (s->username)
			identity_features_credential(f, secret, sv_from(s->username),
						     sv_from(s->secret_sha256));
		if (s->type == CAPTURE_COMMAND)
			er_features_command(f, secret, sv_from(s->command));
	}
}

/* What the engine gets to know of the visitor: everything so far and what this batch adds. */
static int
give_visitor(struct batch *b, size_t k, struct err *e)
{
	const struct visitor *who = &b->visitors[k];
	const char *uuid = who->row.uuid;
	struct identity_features f;
	int r;

	if (!who->row.is_new && !who->known)
		return 0;
	r = er_row_get(b->db, uuid, &f, e);
	if (r >= 0)
		add_values(b, k, &f);
	if (r >= 0 && who->stack)
		r = er_project_stack(b->db, uuid, linker_secret(b->linker), &f, e);
	return r < 0 ? r : linker_put(b->linker, b->db, uuid, linker_hash(b->linker, uuid), &f, e);
}

/* Those who were known already: when they were seen, and what they showed. */
static int
keep_current(struct batch *b, struct identity_tx *tx, struct err *e)
{
	char identity[ID_UUID_SIZE];
	int r = 0;

	for (size_t k = 0; r == 0 && k < b->nvisitors; k++) {
		const struct visitor *who = &b->visitors[k];

		linker_identity(b->linker, who->row.uuid, identity);
		if (!identity[0] || who->row.is_new)
			continue;
		r = identity_tx_touch(tx, identity, who->row.first_seen, who->row.last_seen, e);
		if (r == 0 && who->new_signal)
			r = identity_tx_signals(tx, identity, who->row.uuid, e);
	}
	return r;
}

static int
write_identities(struct batch *b, struct err *e)
{
	struct identity_tx *tx = NULL;
	uint64_t newest_ms = 0;
	int r = identity_tx_new(b->db, b->now_ms, "engine", &tx, e);

	for (size_t i = 0; i < b->n; i++)
		if (b->v[i]->ts_ms > newest_ms)
			newest_ms = b->v[i]->ts_ms;
	for (size_t k = 0; r == 0 && k < b->nvisitors; k++) {
		r = give_visitor(b, k, e);
		if (r == 0)
			r = identity_tx_observed(tx, &b->visitors[k].row, e);
	}
	if (r == 0)
		r = linker_settle(b->linker, b->db, tx, newest_ms, e);
	if (r == 0)
		r = keep_current(b, tx, e);
	if (r == 0)
		r = identity_tx_finish(tx, e);
	identity_tx_free(tx);
	return r;
}

/* Before any row is written: what the engine knows is what is stored. */
static int
open_linker(struct batch *b, struct err *e)
{
	struct identity_tx *tx = NULL;
	int r = identity_tx_new(b->db, b->now_ms, "engine", &tx, e);

	if (r == 0)
		r = linker_open(b->linker, b->db, tx, e);
	if (r == 0)
		r = identity_tx_finish(tx, e);
	identity_tx_free(tx);
	return r;
}

static int
write_sources(struct batch *b, struct err *e)
{
	char text[SOURCE_SIZE];
	int r = 0;

	for (size_t i = 0; r == 0 && i < b->nsources; i++) {
		const struct source *s = &b->sources[i];

		if (s->last == s->stored)
			continue;
		source_text(s->id, text);
		r = capture_source_put(b->db, text, s->last, b->now_ms, e);
	}
	return r;
}

static int
write_all(struct batch *b, const struct sighting *v, size_t n, const struct capture_ack *start,
	  struct ingest_result *res, struct err *e)
{
	int r = select_new(b, v, n, start, res, e);

	if (r == 0)
		r = open_linker(b, e);
	if (r == 0)
		r = open_visitors(b, e);
	if (r == 0)
		r = write_logs(b, e);
	for (size_t k = 0; r == 0 && k < b->nvisitors; k++)
		r = write_visitor(b, k, e);
	if (r == 0 && b->nvisitors > 0)
		r = write_identities(b, e);
	return r < 0 ? r : write_sources(b, e);
}

static int
batch_init(struct batch *b, size_t n)
{
	n += n == 0;
	b->v = calloc(n, sizeof(const struct sighting *));
	b->logs = calloc(n, sizeof(*b->logs));
	b->visitor_of = calloc(n, sizeof(*b->visitor_of));
	b->visitors = calloc(n, sizeof(*b->visitors));
	return b->v && b->logs && b->visitor_of && b->visitors ? 0 : -ENOMEM;
}

static void
batch_fini(struct batch *b)
{
	for (size_t k = 0; k < b->nvisitors; k++)
		attacker_fini(&b->visitors[k].row);
	free(b->v);
	free(b->logs);
	free(b->visitor_of);
	free(b->visitors);
}

static void
set_result(const struct batch *b, struct ingest_result *res)
{
	res->flushed = b->n;
	res->position = b->n ? b->logs[b->n - 1].id : 0;
	for (size_t i = 0; i < b->nsources; i++) {
		if (b->sources[i].last > 0)
			res->acks[res->nacks++] = (struct capture_ack){
				b->sources[i].id, (uint64_t)b->sources[i].last};
	}
	journal_take(b->db, &res->rows);
}

int
ingest_batch(struct db *db, struct linker *linker, const struct sighting *v, size_t n,
	     uint64_t now_ms, const struct capture_ack *start, struct ingest_result *ret,
	     struct err *e)
{
	struct batch b = {.db = db, .linker = linker, .now_ms = now_ms};
	struct ingest_result result = {0};
	int r = batch_init(&b, n);

	if (r < 0) {
		(void)err_set(e, r, "out of memory");
		goto out;
	}
	r = db_begin_write(db, e);
	if (r < 0)
		goto out;
	r = write_all(&b, v, n, start, &result, e);
	if (r == 0)
		r = db_commit(db, e);
	else
		db_rollback(db);
	if (r < 0) {
		linker_forget(linker);
		goto out;
	}
	set_result(&b, &result);
	*ret = result;
out:
	batch_fini(&b);
	return r;
}
