/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine alone, driven by lines of JSON: what tests in other languages compare with.
 *
 *	engine_lines SECRET < LINES
 *
 * A line is an observation (see resolver/record.h) or {"op": …}: remove (id), decide (apart, sides:
 * two lists of ids), drain (ms: time; quiet: no partition), explain (a, b), stats. Drain answers
 * with one line: the partition as {id: cluster} and the changes in the words of the journal.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "identity/engine.h"
#include "resolver/record.h"
#include "util/id.h"

struct world {
	struct identity_engine *engine;
	struct identity_secret secret;
	json_t *ids; /* uuid text -> id as given */
};

static void
fail(const char *what)
{
	(void)fprintf(stderr, "engine_lines: %s\n", what);
	exit(1);
}

static const char *
uuid_of(const uint8_t *raw, char dst[ID_UUID_SIZE])
{
	id_uuid_text(raw, dst);
	return dst;
}

static const char *
given(const struct world *w, uint32_t row)
{
	char text[ID_UUID_SIZE];

	return json_string_value(
		json_object_get(w->ids, uuid_of(identity_engine_row_id(w->engine, row), text)));
}

static json_t *
name(const struct world *w, uint32_t identity)
{
	char text[ID_UUID_SIZE];

	return json_string(uuid_of(identity_engine_uuid(w->engine, identity), text));
}

static json_t *
event(const struct world *w, const struct identity_change *c)
{
	switch (c->kind) {
	case IDENTITY_UNLINKED:
		return json_pack("{s:s, s:o, s:s}", "type", "identity.observation.unlinked",
				 "identity_uuid", name(w, c->identity), "observation_uuid",
				 given(w, c->row));
	case IDENTITY_FORMED:
		return json_pack("{s:s, s:o, s:[]}", "type", "identity.formed", "identity_uuid",
				 name(w, c->identity), "observation_uuids");
	case IDENTITY_JOINED: return NULL;
	case IDENTITY_LINKED:
		return json_pack("{s:s, s:o, s:s}", "type", "identity.observation.linked",
				 "identity_uuid", name(w, c->identity), "observation_uuid",
				 given(w, c->row));
	case IDENTITY_UNMERGED:
		return json_pack("{s:s, s:o, s:o}", "type", "identity.unmerged", "resurrected_uuid",
				 name(w, c->identity), "former_winner_uuid", name(w, c->other));
	case IDENTITY_MERGED:
		return json_pack("{s:s, s:o, s:o}", "type", "identity.merged", "winner_uuid",
				 name(w, c->identity), "loser_uuid", name(w, c->other));
	case IDENTITY_CHANGED:
		return json_pack("{s:s, s:o, s:i, s:f}", "type", "identity.updated",
				 "identity_uuid", name(w, c->identity), "observation_count",
				 (int)c->size, "confidence", c->confidence);
	}
	return NULL;
}

static json_t *
events(const struct world *w, const struct identity_changes *v)
{
	json_t *list = json_array(), *one;

	for (size_t i = 0; i < v->n; i++) {
		if (v->v[i].kind == IDENTITY_JOINED) {
			one = json_array_get(list, json_array_size(list) - 1);
			(void)json_array_append_new(json_object_get(one, "observation_uuids"),
						    json_string(given(w, v->v[i].row)));
			continue;
		}
		(void)json_array_append_new(list, event(w, &v->v[i]));
	}
	return list;
}

static json_t *
partition(const struct world *w)
{
	json_t *map = json_object();

	for (uint32_t i = 0; i < identity_engine_rows(w->engine); i++) {
		uint32_t x = identity_engine_row_of(w->engine, i);

		if (x != IDENTITY_NONE)
			(void)json_object_set_new(map, given(w, i),
						  name(w, identity_engine_final(w->engine, x)));
	}
	return map;
}

static void
print(json_t *own)
{
	(void)json_dumpf(own, stdout, JSON_COMPACT);
	(void)putchar('\n');
	(void)fflush(stdout);
	json_decref(own);
}

static void
raw_id(const json_t *id, uint8_t dst[16])
{
	struct record r;
	char line[256];

	(void)snprintf(line, sizeof(line), "{\"id\":\"%s\"}", json_string_value(id));
	if (record_parse(sv_from(line), &r, NULL) < 0)
		fail("bad id");
	memcpy(dst, r.uuid, 16);
	record_fini(&r);
}

static void
decide(struct world *w, const json_t *op)
{
	static uint64_t no;
	uint8_t ids[1024][16], side[1024];
	json_t *list, *id;
	size_t n = 0, s, i;

	json_array_foreach(json_object_get(op, "sides"), s, list)
	{
		json_array_foreach(list, i, id)
		{
			if (n == ARRAY_LEN(ids))
				fail("too many rows of a decision");
			side[n] = (uint8_t)s;
			raw_id(id, ids[n++]);
		}
	}
	if (identity_engine_decide(w->engine, ++no, json_is_true(json_object_get(op, "apart")),
				   (const uint8_t(*)[16])ids, side, n) < 0)
		fail("out of memory");
}

static void
explain(struct world *w, const json_t *op)
{
	struct identity_explanation x;
	uint8_t a[16], b[16];
	json_t *terms = json_array();

	raw_id(json_object_get(op, "a"), a);
	raw_id(json_object_get(op, "b"), b);
	identity_engine_explain(w->engine, identity_engine_find(w->engine, a),
				identity_engine_find(w->engine, b), &x);
	for (size_t i = 0; i < x.n; i++)
		(void)json_array_append_new(
			terms, json_pack("[s, b, f]", identity_value_signal(x.terms[i].class),
					 x.terms[i].agrees, x.terms[i].bits));
	print(json_pack("{s:f, s:b, s:o}", "bits", x.bits, "together", x.together, "terms", terms));
}

static void
run(struct world *w, const json_t *op)
{
	const char *what = json_string_value(json_object_get(op, "op"));
	struct identity_changes changes;
	struct identity_stats stats;
	uint8_t id[16];

	if (strcmp(what, "remove") == 0) {
		raw_id(json_object_get(op, "id"), id);
		if (identity_engine_remove(w->engine, id) < 0)
			fail("out of memory");
	} else if (strcmp(what, "decide") == 0) {
		decide(w, op);
	} else if (strcmp(what, "explain") == 0) {
		explain(w, op);
	} else if (strcmp(what, "stats") == 0) {
		identity_engine_stats(w->engine, &stats);
		print(json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "rows",
				(json_int_t)stats.rows, "values", (json_int_t)stats.values, "links",
				(json_int_t)stats.links, "identities", (json_int_t)stats.identities,
				"contested", (json_int_t)stats.contested, "bytes",
				(json_int_t)stats.bytes, "scores", (json_int_t)stats.scores,
				"levels", (json_int_t)stats.levels));
	} else {
		if (identity_engine_drain(w->engine,
					  (uint64_t)json_integer_value(json_object_get(op, "ms")),
					  &changes) < 0)
			fail("out of memory");
		if (!json_is_true(json_object_get(op, "quiet")))
			print(json_pack("{s:o, s:o}", "partition", partition(w), "events",
					events(w, &changes)));
	}
}

static void
take(struct world *w, struct sv line)
{
	struct err e = {0};
	struct identity_features f;
	struct record r;
	uint32_t row;
	json_t *op = json_loadb(line.p, line.n, 0, NULL);

	if (op && json_object_get(op, "op")) {
		run(w, op);
		json_decref(op);
		return;
	}
	json_decref(op);
	if (record_parse(line, &r, &e) < 0)
		fail(err_text(&e));
	record_features(&r, &w->secret, &f);
	(void)json_object_set_new(w->ids, r.uuid_text, json_string(r.id));
	if (identity_engine_put(w->engine, r.uuid, record_hash(&r, &w->secret), &f, &row) < 0)
		fail("out of memory");
	record_fini(&r);
}

int
main(int argc, char **argv)
{
	struct world w = {.ids = json_object()};
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	if (argc != 2 || strlen(argv[1]) > sizeof(w.secret.key))
		fail("usage: engine_lines SECRET < LINES");
	w.secret.n = strlen(argv[1]);
	memcpy(w.secret.key, argv[1], w.secret.n);
	if (identity_engine_new(&w.secret, &w.engine) < 0)
		fail("out of memory");
	while ((n = getline(&line, &cap, stdin)) > 0)
		take(&w, (struct sv){line, (size_t)n});
	free(line);
	identity_engine_free(w.engine);
	json_decref(w.ids);
	return 0;
}
