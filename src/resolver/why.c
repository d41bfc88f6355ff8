/* SPDX-License-Identifier: Apache-2.0 */
/* Which pair of observations is behind a change, and how it is said. */
#include "resolver/why.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "identity/feature.h"
#include "util/id.h"
#include "util/limits.h"

#define VALUE_BYTES_MAX 80
#define TRIM_EVERY	1024 /* rows between two looks at the ceiling */

/* A row that left an identity, or an identity that a pair is about: sorted, to be found. */
struct entry {
	uint32_t key, value;
};

struct entries {
	struct entry *v;
	size_t n;
};

struct writing {
	struct why *why;
	struct identity_engine *engine;
	struct db *db;
	uint64_t now_ms;
	int64_t *seq;
	struct entries left;	 /* row: the identity that it carried */
	struct entries of;	 /* row: a pair that came together */
	struct entries about[2]; /* identity: a pair that parted, that came together */
};

void
why_term(struct why_text *t, const char *signal, double bits, const char *value)
{
	size_t n = value ? strlen(value) : 0, room = sizeof(t->text) - t->n;
	int used;

	if (n > VALUE_BYTES_MAX)
		for (n = VALUE_BYTES_MAX; n > 0 && (value[n] & 0xc0) == 0x80;)
			n--;
	used = snprintf(t->text + t->n, room, "%s%s %+.2f%s%.*s", t->n ? "; " : "", signal, bits,
			n ? " " : "", (int)n, n ? value : "");
	if (used < 0 || (size_t)used >= room)
		t->text[t->n] = '\0';
	else
		t->n += (size_t)used;
}

void
why_fini(struct why *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->v[i].text);
	free(w->v);
	*w = (struct why){0};
}

int
why_add(struct why *w, const struct identity_reason *reason, double bits, const struct why_text *t)
{
	if (w->n == w->cap) {
		size_t cap = w->cap ? 2 * w->cap : 64;
		struct why_pair *v = realloc(w->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		w->v = v;
		w->cap = cap;
	}
	w->v[w->n] =
		(struct why_pair){reason->a, reason->b, reason->together, bits, strdup(t->text)};
	return w->v[w->n++].text ? 0 : -ENOMEM;
}

static int
by_key(const void *x, const void *y)
{
	const struct entry *a = x, *b = y;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return a->value < b->value ? -1 : a->value > b->value;
}

/* The first entry of the key, or NULL. */
static const struct entry *
find(const struct entries *s, uint32_t key)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (s->v[mid].key < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->n && s->v[lo].key == key ? &s->v[lo] : NULL;
}

static void
sort(struct entries *s)
{
	if (s->n > 0)
		qsort(s->v, s->n, sizeof(*s->v), by_key);
}

static int
make_indexes(struct writing *w, const struct identity_changes *c)
{
	w->left.v = calloc(c->n + 1, sizeof(*w->left.v));
	for (size_t k = 0; k < 2; k++)
		w->about[k].v = calloc(2 * w->why->n + 1, sizeof(*w->about[k].v));
	w->of.v = calloc(2 * w->why->n + 1, sizeof(*w->of.v));
	if (!w->left.v || !w->of.v || !w->about[0].v || !w->about[1].v)
		return -ENOMEM;
	for (size_t i = 0; i < c->n; i++)
		if (c->v[i].kind == IDENTITY_UNLINKED)
			w->left.v[w->left.n++] = (struct entry){c->v[i].row, c->v[i].identity};
	for (size_t i = 0; i < w->why->n; i++) {
		const struct why_pair *p = &w->why->v[i];
		uint32_t x = identity_engine_row_of(w->engine, p->a);
		uint32_t y = identity_engine_row_of(w->engine, p->b);
		struct entries *to = &w->about[p->together];

		if (p->together) {
			w->of.v[w->of.n++] = (struct entry){p->a, (uint32_t)i};
			w->of.v[w->of.n++] = (struct entry){p->b, (uint32_t)i};
		}
		if (x == y || x == IDENTITY_NONE || y == IDENTITY_NONE)
			continue;
		to->v[to->n++] = (struct entry){x, (uint32_t)i};
		to->v[to->n++] = (struct entry){y, (uint32_t)i};
	}
	sort(&w->left);
	sort(&w->of);
	sort(&w->about[0]);
	sort(&w->about[1]);
	return 0;
}

/* The strongest pair of the row that was named with its values, in the identity `final`; or NULL.
 */
static const struct why_pair *
find_pair(const struct writing *w, uint32_t row, uint32_t final)
{
	const struct entry *x = find(&w->of, row);
	const struct why_pair *best = NULL;

	for (; x && x < w->of.v + w->of.n && x->key == row; x++) {
		const struct why_pair *p = &w->why->v[x->value];
		uint32_t other = p->a == row ? p->b : p->a;

		if (identity_engine_final(w->engine, identity_engine_row_of(w->engine, other)) ==
			    final &&
		    (!best || p->bits > best->bits))
			best = p;
	}
	return best;
}

/* The pair without its values in words. */
static double
say(struct identity_engine *engine, uint32_t a, uint32_t b, struct why_text *t)
{
	struct identity_explanation x;

	identity_engine_explain(engine, a, b, &x);
	for (size_t i = 0; i < x.n; i++)
		if (x.terms[i].bits != 0)
			why_term(t, identity_value_signal(x.terms[i].class), x.terms[i].bits, NULL);
	return x.bits;
}

static int
append(struct writing *w, struct er_decision *d, double bits, struct err *e)
{
	d->half_bits = d->scored ? (int64_t)floor(2 * fmax(-1000, fmin(1000, bits))) : 0;
	return er_decision_add(w->db, ++*w->seq, w->now_ms, d, e);
}

/* A row came to an identity: because of a pair that was named for it, or the
 * one in that identity that it is linked to most. */
static int
write_row(struct writing *w, const struct identity_change *c, struct err *e)
{
	char identity[ID_UUID_SIZE], row[ID_UUID_SIZE], other[ID_UUID_SIZE], via[ID_UUID_SIZE];
	uint32_t near = identity_engine_nearest(w->engine, c->row);
	const struct entry *left = find(&w->left, c->row);
	struct er_decision d = {.kind = ER_LINKED, .identity = identity, .observation = row};
	uint32_t final = identity_engine_final(w->engine, c->identity);
	const struct why_pair *p = find_pair(w, c->row, final);
	struct why_text t = {.n = 0};
	double bits = 0;

	id_uuid_text(identity_engine_uuid(w->engine, c->identity), identity);
	id_uuid_text(identity_engine_row_id(w->engine, c->row), row);
	if (left) {
		d.kind = ER_MOVED;
		d.other = other;
		id_uuid_text(identity_engine_uuid(w->engine, left->value), other);
	}
	if (p) {
		near = p->a == c->row ? p->b : p->a;
		bits = p->bits;
	} else if (near != IDENTITY_NONE) {
		bits = say(w->engine, c->row, near, &t);
	}
	if (near != IDENTITY_NONE) {
		id_uuid_text(identity_engine_row_id(w->engine, near), via);
		d.via = via;
		d.scored = true;
		d.evidence = p ? p->text : t.text;
	}
	return append(w, &d, bits, e);
}

/* Two identities became one, or two: because of a pair of which one row is of the younger. */
static int
write_pair(struct writing *w, const struct identity_change *c, struct err *e)
{
	bool merged = c->kind == IDENTITY_MERGED;
	uint32_t younger = merged ? c->other : c->identity;
	char identity[ID_UUID_SIZE], other[ID_UUID_SIZE], row[ID_UUID_SIZE], via[ID_UUID_SIZE];
	struct er_decision d = {
		.kind = merged ? ER_MERGED : ER_UNMERGED, .identity = identity, .other = other};
	const struct entry *x = find(&w->about[merged], younger);
	const struct why_pair *p = x ? &w->why->v[x->value] : NULL;

	id_uuid_text(identity_engine_uuid(w->engine, c->identity), identity);
	id_uuid_text(identity_engine_uuid(w->engine, c->other), other);
	if (p) {
		bool first = identity_engine_row_of(w->engine, p->a) == younger;

		id_uuid_text(identity_engine_row_id(w->engine, first ? p->a : p->b), row);
		id_uuid_text(identity_engine_row_id(w->engine, first ? p->b : p->a), via);
		d.observation = row;
		d.via = via;
		d.scored = true;
		d.evidence = p->text;
	}
	return append(w, &d, p ? p->bits : 0, e);
}

static int
write_formed(struct writing *w, const struct identity_change *c, struct err *e)
{
	char identity[ID_UUID_SIZE], row[ID_UUID_SIZE];
	struct er_decision d = {.kind = ER_FORMED, .identity = identity, .observation = row};

	id_uuid_text(identity_engine_uuid(w->engine, c->identity), identity);
	id_uuid_text(identity_engine_row_id(w->engine, c->row), row);
	return append(w, &d, 0, e);
}

static int
write_one(struct writing *w, const struct identity_change *c, struct err *e)
{
	switch (c->kind) {
	case IDENTITY_FORMED: return write_formed(w, c, e);
	case IDENTITY_JOINED:
		/* For the one that it was formed for nothing more is to be said, unless it was
		 * somebody else's. */
		if (c->row == identity_engine_anchor(w->engine, c->identity) &&
		    !find(&w->left, c->row))
			return 0;
		return write_row(w, c, e);
	case IDENTITY_LINKED: return write_row(w, c, e);
	case IDENTITY_MERGED:
	case IDENTITY_UNMERGED: return write_pair(w, c, e);
	case IDENTITY_UNLINKED:
	case IDENTITY_CHANGED: return 0;
	}
	return 0;
}

int
why_write(struct why *why, struct identity_engine *engine, const struct identity_changes *c,
	  struct db *db, uint64_t now_ms, int64_t *seq, struct err *e)
{
	struct writing w = {.why = why, .engine = engine, .db = db, .now_ms = now_ms, .seq = seq};
	int64_t before = *seq;
	int r = make_indexes(&w, c);

	if (r < 0)
		(void)err_set(e, r, "out of memory");
	for (size_t i = 0; r == 0 && i < c->n; i++)
		r = write_one(&w, &c->v[i], e);
	if (r == 0 && *seq / TRIM_EVERY != before / TRIM_EVERY)
		r = er_decision_trim(db, *seq, e);
	free(w.left.v);
	free(w.of.v);
	free(w.about[0].v);
	free(w.about[1].v);
	return r;
}
