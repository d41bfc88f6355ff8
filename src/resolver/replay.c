/* SPDX-License-Identifier: Apache-2.0 */
/* A recorded stream into a store, through the same engine and the same tables as live captures. */
#include "resolver/replay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "resolver/linker.h"
#include "resolver/record.h"
#include "store/attacker.h"
#include "store/identity_tx.h"
#include "store/journal.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/limits.h"

#define BATCH_DEFAULT  256
#define BATCH_MAX      65536
#define EVENTS_AT_ONCE 1000
#define PLACE	       "replay"

/* Known to everybody, so that runs can be compared: a replayed store keeps no secret. */
static const struct identity_secret fixed = {"per-deployment secret",
					     sizeof("per-deployment secret") - 1};

struct run {
	const struct replay *what;
	struct db *db;
	struct linker *linker;
	FILE *in;
	json_t *revisions; /* id as given -> rev of what is stored */
	json_t *names;	   /* uuid -> id as given, where they differ */
	struct record *records;
	size_t n, batch;
	int64_t line;
	uint64_t newest_ms, started_ms;
	char *text;
	size_t text_cap;
};

static int
no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

/* -- reading -- */

/* Whether the line is to be taken: no newer revision was. Remembers it. 1, 0 or -ENOMEM. */
static int
is_news(struct run *run, const struct record *r)
{
	json_t *have = json_object_get(run->revisions, r->id);

	if (have && json_integer_value(have) > r->rev)
		return 0;
	if (json_object_set_new(run->revisions, r->id, json_integer(r->rev)) != 0)
		return -ENOMEM;
	if (strcmp(r->id, r->uuid_text) != 0 &&
	    json_object_set_new(run->names, r->uuid_text, json_string(r->id)) != 0)
		return -ENOMEM;
	return 1;
}

/* 1: a record, 0: the end, or a failure. A line that is old news is no record: *ret_news false. */
static int
next_record(struct run *run, struct record *ret, bool *ret_news, struct err *e)
{
	ssize_t n = getline(&run->text, &run->text_cap, run->in);
	int r;

	if (n <= 0)
		return ferror(run->in)
			       ? err_set(e, -EIO, "%s: %s", run->what->file, strerror(errno))
			       : 0;
	run->line++;
	r = record_parse((struct sv){run->text, (size_t)n}, ret, e);
	if (r < 0) {
		err_wrap(e, "%s:%" PRId64, run->what->file, run->line);
		return r;
	}
	r = is_news(run, ret);
	*ret_news = r > 0;
	if (r <= 0)
		record_fini(ret);
	return r < 0 ? no_memory(e) : 1;
}

static int
read_batch(struct run *run, struct err *e)
{
	size_t lines = 0;
	bool news = false;
	int r = 1;

	for (; r > 0 && lines < run->batch; lines++) {
		r = next_record(run, &run->records[run->n], &news, e);
		run->n += r > 0 && news;
	}
	return r < 0 ? r : lines > 1 || r > 0;
}

static void
clear_batch(struct run *run)
{
	for (size_t i = 0; i < run->n; i++)
		record_fini(&run->records[i]);
	run->n = 0;
}

/* -- one observation -- */

/* Two observations of one address: the later one gets a name that says so. */
static int
open_row(struct run *run, const struct record *r, struct attacker *ret, struct err *e)
{
	char ip[ATTACKER_IP_SIZE];
	int x;

	(void)snprintf(ip, sizeof(ip), "%.39s", r->ip ? r->ip : r->uuid_text);
	x = attacker_open(run->db, ip, ret, e);
	if (x == 0 && !ret->is_new && strcmp(ret->uuid, r->uuid_text) != 0) {
		attacker_fini(ret);
		(void)snprintf(ip, sizeof(ip), "%.15s#%.29s", r->ip ? r->ip : "", r->uuid_text);
		x = attacker_open(run->db, ip, ret, e);
	}
	if (x == 0 && ret->is_new)
		memcpy(ret->uuid, r->uuid_text, sizeof(ret->uuid));
	return x;
}

static int
add_signals(struct run *run, const struct record *r, struct attacker *a,
	    const struct attacker_place *at, struct err *e)
{
	const struct {
		enum identity_primitive p;
		const char *value;
	} one[] = {
		{IDENTITY_SIGNAL_TLS_JA3, r->ja3},
		{IDENTITY_SIGNAL_TLS_JA4, r->ja4},
		{IDENTITY_SIGNAL_SSH_HASSH, r->hassh},
		{IDENTITY_SIGNAL_SSH_BANNER, r->hassh ? r->banner : NULL},
		{IDENTITY_SIGNAL_MOTOR_DIGRAPH_SIMHASH, r->keystroke},
	};
	const struct {
		enum identity_primitive p;
		const char *key;
	} many[] = {{IDENTITY_SIGNAL_PAYLOAD_SHA256, "payloads"},
		    {IDENTITY_SIGNAL_C2_ENDPOINT, "c2"}};
	json_t *item;
	size_t i;
	int x = 0;

	for (size_t k = 0; x >= 0 && k < ARRAY_LEN(one); k++)
		if (one[k].value)
			x = attacker_signal_add(run->db, a, at, one[k].p, one[k].value, e);
	for (size_t k = 0; k < ARRAY_LEN(many); k++) {
		json_array_foreach(json_object_get(r->json, many[k].key), i, item)
		{
			if (x >= 0)
				x = attacker_signal_add(run->db, a, at, many[k].p,
							json_string_value(item), e);
		}
	}
	return x < 0 ? x : 0;
}

static int
write_rows(struct run *run, const struct record *r, struct attacker *a, struct err *e)
{
	struct attacker_place at = {
		.decky = PLACE, .service = PLACE, .ts_ms = r->ts_ms, .now_ms = run->newest_ms};
	int x;

	if (attacker_note(a, &at, true) < 0)
		return no_memory(e);
	x = add_signals(run, r, a, &at, e);
	if (r->last_ms > a->last_seen)
		a->last_seen = r->last_ms;
	return x < 0 ? x : attacker_save(run->db, a, &at, "connect", e);
}

static int
store_record(struct run *run, struct identity_tx *tx, const struct record *r, struct err *e)
{
	struct attacker a = {.is_new = false};
	struct identity_features f;
	char identity[ID_UUID_SIZE];
	int x = open_row(run, r, &a, e);

	if (x == 0)
		x = write_rows(run, r, &a, e);
	if (x == 0)
		x = identity_tx_observed(tx, &a, e);
	record_features(r, linker_secret(run->linker), &f);
	if (x == 0 && !a.is_new) {
		linker_identity(run->linker, a.uuid, identity);
		if (identity[0])
			x = identity_tx_touch(tx, identity, a.first_seen, a.last_seen, e);
		if (x == 0 && identity[0])
			x = identity_tx_signals(tx, identity, a.uuid, e);
	}
	if (x == 0)
		x = linker_put(run->linker, run->db, r->uuid_text,
			       record_hash(r, linker_secret(run->linker)), &f, e);
	attacker_fini(&a);
	return x;
}

/* -- a batch -- */

static int
in_transaction(struct run *run, struct err *e)
{
	struct identity_tx *tx = NULL;
	int r = identity_tx_new(run->db, run->newest_ms, "engine", &tx, e);

	if (r == 0)
		r = linker_open(run->linker, run->db, tx, e);
	for (size_t i = 0; r == 0 && i < run->n; i++)
		r = store_record(run, tx, &run->records[i], e);
	if (r == 0) {
		linker_set_position(run->linker, run->line);
		r = linker_settle(run->linker, run->db, tx, run->newest_ms, e);
	}
	if (r == 0)
		r = identity_tx_finish(tx, e);
	identity_tx_free(tx);
	return r;
}

static int
commit_batch(struct run *run, struct err *e)
{
	struct journal_rows rows = {0};
	int r;

	run->newest_ms = 0;
	for (size_t i = 0; i < run->n; i++)
		if (run->records[i].ts_ms > run->newest_ms)
			run->newest_ms = run->records[i].ts_ms;
	r = db_begin_write(run->db, e);
	if (r < 0)
		return r;
	r = in_transaction(run, e);
	if (r < 0) {
		db_rollback(run->db);
		return r;
	}
	r = db_commit(run->db, e);
	if (r == 0)
		journal_take(run->db, &rows);
	journal_rows_fini(&rows);
	return r;
}

static void
keep_rate(const struct run *run, int64_t lines)
{
	uint64_t due, now = clock_unix_ms();
	struct timespec pause;

	if (run->what->rate == 0)
		return;
	due = run->started_ms + (uint64_t)lines * 1000 / run->what->rate;
	if (due <= now)
		return;
	pause = (struct timespec){(time_t)((due - now) / 1000),
				  (long)((due - now) % 1000) * 1000000};
	(void)nanosleep(&pause, NULL);
}

/* What an earlier run committed: only who is known by which revision is learnt from it again. */
static int
skip_done(struct run *run, int64_t position, struct err *e)
{
	struct record r;
	bool news = false;
	int x = 1;

	while (x > 0 && run->line < position) {
		x = next_record(run, &r, &news, e);
		if (x > 0 && news)
			record_fini(&r);
	}
	return x == 0 && run->line < position
		       ? err_set(e, -EEXIST,
				 "%s has fewer lines than were replayed into this store",
				 run->what->file)
	       : x < 0 ? x
		       : 0;
}

static int
check_store(struct run *run, struct err *e)
{
	struct er_state state;
	int64_t attackers = 0, seq = 0;
	struct db_stmt *st = db_query(run->db, Q_COUNTER_GET);
	int r = db_begin_write(run->db, e);

	if (r < 0)
		return r;
	r = er_state_open(run->db, &fixed, &state, e);
	db_bind_text(st, 1, "attackers_total");
	if (r == 0)
		r = db_one_int(st, &attackers, e) < 0 ? -EIO : er_seq_last(run->db, &seq, e);
	if (r == 0 &&
	    (state.secret.n != fixed.n || memcmp(state.secret.key, fixed.key, fixed.n) != 0 ||
	     (state.position == 0 && attackers > 0)))
		r = err_set(
			e, -EEXIST,
			"the store holds observations that are not of a replay; DECNET_STATE_DIR "
			"or DECNET_DB_URL must name a new one");
	if (r == 0)
		r = db_commit(run->db, e);
	else
		db_rollback(run->db);
	return r < 0 ? r : skip_done(run, state.position, e);
}

static int
feed(struct run *run, struct err *e)
{
	int64_t first = run->line;
	int r;

	run->started_ms = clock_unix_ms();
	do {
		r = read_batch(run, e);
		/* Without news too, once: then the engine is there for the answers. */
		if (r > 0 || (r == 0 && !linker_engine(run->linker))) {
			int x = commit_batch(run, e);

			r = x < 0 ? x : r;
		}
		clear_batch(run);
		keep_rate(run, run->line - first);
	} while (r > 0);
	if (r == 0) {
		uint64_t ms = clock_unix_ms() - run->started_ms;

		(void)fprintf(stderr,
			      "%" PRId64 " lines in %" PRIu64 ".%03" PRIu64 " s, %.0f a second\n",
			      run->line - first, ms / 1000, ms % 1000,
			      (double)(run->line - first) * 1000 / (double)(ms + (ms == 0)));
	}
	return r;
}

/* -- answers -- */

static const char *
given_name(const struct run *run, const char *uuid)
{
	const char *name = json_string_value(json_object_get(run->names, uuid));

	return name ? name : uuid;
}

static int
print_line(FILE *f, json_t *own)
{
	int r = own ? json_dumpf(own, f, JSON_COMPACT) : -1;

	json_decref(own);
	return r < 0 || putc('\n', f) == EOF ? -EIO : 0;
}

static int
write_partition(struct run *run, FILE *f)
{
	struct identity_engine *engine = linker_engine(run->linker);
	char row[ID_UUID_SIZE], identity[ID_UUID_SIZE];
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < identity_engine_rows(engine); i++) {
		id_uuid_text(identity_engine_row_id(engine, i), row);
		linker_identity(run->linker, row, identity);
		r = print_line(f, json_pack("{s:s, s:s}", "id", given_name(run, row), "cluster",
					    identity));
	}
	return r;
}

/* Names as the stream has them. */
static void
rename_all(const struct run *run, json_t *event)
{
	json_t *list = json_object_get(event, "observation_uuids"), *item;
	const char *one = json_get_text(event, "observation_uuid");
	size_t i;

	if (one)
		(void)json_object_set_new(event, "observation_uuid",
					  json_string(given_name(run, one)));
	json_array_foreach(list, i, item)(void)
		json_array_set_new(list, i, json_string(given_name(run, json_string_value(item))));
}

static int
write_event(struct run *run, FILE *f, const struct journal_row *row)
{
	json_t *event, *payload;
	char type[64];
	int r;

	if (strcmp(row->type, "updated") == 0 || strcmp(row->type, "observation.unlinked") == 0)
		return 0;
	event = json_object();
	payload = json_stored(row->payload, "{}");
	(void)snprintf(type, sizeof(type), "identity.%s", row->type);
	r = !event || !payload || json_object_set_new(event, "type", json_string(type)) != 0 ||
			    json_object_update(event, payload) != 0
		    ? -ENOMEM
		    : 0;
	json_decref(payload);
	if (r < 0) {
		json_decref(event);
		return r;
	}
	rename_all(run, event);
	return print_line(f, event);
}

static int
write_events(struct run *run, FILE *f)
{
	struct journal_rows rows = {0};
	int64_t after = 0;
	int n, r = 0;

	do {
		n = journal_read(run->db, JOURNAL_IDENTITY, NULL, after, EVENTS_AT_ONCE, &rows,
				 NULL);
		for (size_t i = 0; r == 0 && i < rows.n; i++) {
			after = rows.v[i].seq;
			r = write_event(run, f, &rows.v[i]);
		}
		journal_rows_fini(&rows);
	} while (n > 0 && r == 0);
	return n < 0 ? n : r;
}

static int
write_file(struct run *run, const char *path, int (*fn)(struct run *run, FILE *f), struct err *e)
{
	FILE *f = fopen(path, "we");
	int r;

	if (!f)
		return err_set(e, -errno, "%s: %s", path, strerror(errno));
	r = fn(run, f);
	if (fclose(f) != 0 && r == 0)
		r = -errno;
	return r < 0 ? err_set(e, r, "%s: %s", path, strerror(-r)) : 0;
}

/* -- all of it -- */

static int
open_run(struct run *run, const struct conf *conf, struct err *e)
{
	int r;

	run->batch = run->what->batch ? run->what->batch : BATCH_DEFAULT;
	if (run->batch > BATCH_MAX)
		return err_set(e, -EINVAL, "a batch has at most %d lines", BATCH_MAX);
	run->in = fopen(run->what->file, "re");
	if (!run->in)
		return err_set(e, -errno, "%s: %s", run->what->file, strerror(errno));
	run->records = calloc(run->batch, sizeof(*run->records));
	run->revisions = json_object();
	run->names = json_object();
	if (!run->records || !run->revisions || !run->names || linker_new(&fixed, &run->linker) < 0)
		return no_memory(e);
	r = db_migrate(conf->db_url, e);
	if (r == 0)
		r = db_open(conf->db_url, DB_READ_WRITE, &run->db, e);
	if (r == 0)
		db_cache(run->db, LIMIT_RESOLVER_CACHE_KIB);
	return r;
}

int
replay_run(const struct conf *conf, const struct replay *what, struct err *e)
{
	struct run run = {.what = what};
	int r = open_run(&run, conf, e);

	if (r == 0)
		r = check_store(&run, e);
	if (r == 0)
		r = feed(&run, e);
	if (r == 0)
		r = write_file(&run, what->out, write_partition, e);
	if (r == 0 && what->events)
		r = write_file(&run, what->events, write_events, e);
	clear_batch(&run);
	linker_free(run.linker);
	db_close(run.db);
	json_decref(run.revisions);
	json_decref(run.names);
	free(run.records);
	free(run.text);
	if (run.in)
		(void)fclose(run.in);
	return r;
}
