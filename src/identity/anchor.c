/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identities: each has an anchor, the row it was formed for. A cluster is the identity of smallest
 * uuid among those anchored in it; the others are merged into that one. So nothing has to be
 * remembered to undo a merge: when the anchors part, so do the identities.
 */
#include <errno.h>

#include "identity/state.h"

/* A cluster while it is looked at. */
struct cluster {
	uint32_t eldest, first, size; /* first: row of lowest number of arrival */
	uint64_t sum;
};

static bool
older(const struct identity_engine *e, uint32_t a, uint32_t b)
{
	return memcmp(e->idents[a].uuid, e->idents[b].uuid, IDENTITY_ID_BYTES) < 0;
}

uint32_t
anchor_final(const struct identity_engine *e, uint32_t ident)
{
	for (unsigned i = 0; i < 64 && e->idents[ident].into != NONE; i++)
		ident = e->idents[ident].into;
	return ident;
}

static bool
together(const struct identity_engine *e, uint32_t a, uint32_t b)
{
	return e->rows[a].comp == e->rows[b].comp && e->rows[a].part == e->rows[b].part;
}

int
anchor_suspect(struct identity_engine *e, uint32_t ident)
{
	if (e->idents[ident].flags & IDENT_SUSPECT)
		return 0;
	e->idents[ident].flags |= IDENT_SUSPECT;
	return list_push(&e->suspects, ident);
}

static int
flag(struct identity_engine *e, uint32_t ident, uint16_t f)
{
	bool listed = (e->idents[ident].flags & (IDENT_NEW | IDENT_LOST | IDENT_WINNER)) != 0;

	e->idents[ident].flags |= f;
	return listed ? 0 : list_push(&e->told, ident);
}

static int
change(struct identity_engine *e, enum identity_change_kind kind, uint32_t identity, uint32_t other,
       uint32_t row)
{
	if (table_grow((void **)&e->changes, &e->cchanges, e->nchanges + 1, sizeof(*e->changes)) <
	    0)
		return -ENOMEM;
	e->changes[e->nchanges++] = (struct identity_change){
		.kind = kind, .identity = identity, .other = other, .row = row};
	return 0;
}

/* -- who is the eldest -- */

/* By an analyst's word it gives way to one that is anchored in the same cluster. */
static bool
gives_way(const struct identity_engine *e, uint32_t ident)
{
	uint32_t y = e->idents[ident].yields;

	return y != NONE && e->idents[y].anchor != NONE &&
	       together(e, e->idents[y].anchor, e->idents[ident].anchor);
}

static int
mint(struct identity_engine *e, uint32_t row, uint32_t *ret)
{
	const struct rest *r = &e->rest[row];
	struct sv parts[3] = {SV("identity"), {(const char *)r->id, sizeof(r->id)}, {NULL, 0}};
	uint8_t uuid[IDENTITY_ID_BYTES];
	uint64_t again = 0;

	do {
		uint64_t h[2], salt[2] = {again++, 0};

		for (unsigned i = 0; i < 2; i++) {
			salt[1] = i;
			parts[2] = (struct sv){(const char *)salt, sizeof(salt)};
			h[i] = identity_hash(&e->secret, parts, ARRAY_LEN(parts));
		}
		for (unsigned i = 0; i < 6; i++)
			uuid[i] = (uint8_t)(e->time_ms >> (40 - 8 * i));
		memcpy(uuid + 6, &h[0], 2);
		memcpy(uuid + 8, &h[1], 8);
		uuid[6] = (uint8_t)(0x70 | (uuid[6] & 0x0f)); /* version 7 */
		uuid[8] = (uint8_t)(0x80 | (uuid[8] & 0x3f)); /* RFC 9562 variant */
	} while (table_find_ident(e, uuid) != NONE);
	if (table_ident(e, uuid, ret) < 0)
		return -ENOMEM;
	e->idents[*ret].anchor = row;
	e->rest[row].anchored = *ret;
	forest_ring_add(e, e->rows[row].comp, *ret);
	if (flag(e, *ret, IDENT_NEW) < 0)
		return -ENOMEM;
	return change(e, IDENTITY_FORMED, *ret, NONE, row);
}

/* -- rows and their identity -- */

static int
check_row(struct identity_engine *e, uint32_t row, uint32_t eldest)
{
	struct row *r = &e->rows[row];
	uint32_t was = r->literal;

	if (was != NONE && e->idents[was].anchor != NONE && together(e, e->idents[was].anchor, row))
		return 0;
	if (was != NONE &&
	    (flag(e, was, IDENT_LOST) < 0 || change(e, IDENTITY_UNLINKED, was, NONE, row) < 0))
		return -ENOMEM;
	r->literal = eldest;
	return change(e, e->idents[eldest].flags & IDENT_NEW ? IDENTITY_JOINED : IDENTITY_LINKED,
		      eldest, was, row);
}

/* -- merges -- */

static int
point(struct identity_engine *e, uint32_t ident, uint32_t eldest)
{
	struct ident *x = &e->idents[ident], *w = &e->idents[eldest];

	if (x->into != NONE && flag(e, x->into, IDENT_LOST) < 0)
		return -ENOMEM;
	x->into = eldest;
	if (w->height < x->height + 1)
		w->height = (uint16_t)(x->height + 1);
	if (flag(e, eldest, IDENT_WINNER) < 0)
		return -ENOMEM;
	return change(e, IDENTITY_MERGED, eldest, ident, NONE);
}

static int
check_ident(struct identity_engine *e, uint32_t ident, uint32_t eldest)
{
	struct ident *x = &e->idents[ident];
	uint32_t was = x->into;

	if (ident == eldest) {
		if (was == NONE)
			return 0;
		x->into = NONE;
		if (flag(e, was, IDENT_LOST) < 0 || flag(e, ident, IDENT_LOST) < 0)
			return -ENOMEM;
		return change(e, IDENTITY_UNMERGED, ident, was, NONE);
	}
	/* Whatever it points at in its own cluster leads to the eldest, for that one does. */
	if (was != NONE && e->idents[was].anchor != NONE &&
	    together(e, e->idents[was].anchor, x->anchor))
		return 0;
	/* Whoever follows the changes from the middle knows of the merge only where it ended. */
	if (was != NONE && change(e, IDENTITY_UNMERGED, ident, was, NONE) < 0)
		return -ENOMEM;
	return point(e, ident, eldest);
}

/* Too long a way: everybody of the cluster points at the eldest itself. */
static int
flatten(struct identity_engine *e, uint32_t eldest)
{
	uint32_t x = eldest;

	if (e->idents[eldest].height <= IDENTITY_HOPS_MAX)
		return 0;
	e->idents[eldest].height = 0;
	do {
		struct ident *i = &e->idents[x];
		bool ours = together(e, i->anchor, e->idents[eldest].anchor);

		if (ours)
			i->height = 0;
		if (ours && x != eldest && i->into != eldest) {
			i->into = NONE;
			if (point(e, x, eldest) < 0)
				return -ENOMEM;
		}
		x = i->next;
	} while (x != eldest);
	e->idents[eldest].height = 1;
	return 0;
}

/* -- clusters -- */

static int
tell_cluster(struct identity_engine *e, const struct cluster *c)
{
	struct identity_change *last;

	if (change(e, IDENTITY_CHANGED, c->eldest, NONE, NONE) < 0)
		return -ENOMEM;
	last = &e->changes[e->nchanges - 1];
	last->size = c->size;
	last->confidence = c->size > 1 ? (double)c->sum / c->size / 1e6 : 1;
	return 0;
}

static void
consider(const struct identity_engine *e, struct cluster *c, uint32_t ident)
{
	if ((c->eldest == NONE || older(e, ident, c->eldest)) && !gives_way(e, ident))
		c->eldest = ident;
}

static int
settle_contested(struct identity_engine *e, uint32_t comp)
{
	uint32_t head = e->comps[comp].head, row = head, n = 0, x;
	struct cluster *v;
	int r = cut_component(e, comp, &n);

	e->comps[comp].flags |= COMP_CUT;
	v = r == 0 ? malloc(n * sizeof(*v)) : NULL;
	if (!v)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		v[i] = (struct cluster){.eldest = NONE, .first = NONE};
	do {
		const struct row *k = &e->rows[row];
		const struct rest *rest = &e->rest[row];
		struct cluster *c = &v[k->part];

		if (rest->anchored != NONE)
			consider(e, c, rest->anchored);
		if (c->first == NONE || rest->seq < e->rest[c->first].seq)
			c->first = row;
		c->size++;
		c->sum += forest_certainty(k->best);
		row = rest->next;
	} while (row != head);
	for (uint32_t i = 0; r == 0 && i < n; i++)
		if (v[i].eldest == NONE)
			r = mint(e, v[i].first, &v[i].eldest);
	do {
		if (r == 0)
			r = check_row(e, row, v[e->rows[row].part].eldest);
		row = e->rest[row].next;
	} while (row != head);
	x = e->comps[comp].identities;
	do {
		if (r == 0)
			r = check_ident(e, x, v[e->rows[e->idents[x].anchor].part].eldest);
		x = e->idents[x].next;
	} while (x != e->comps[comp].identities);
	for (uint32_t i = 0; r == 0 && i < n; i++) {
		r = flatten(e, v[i].eldest);
		if (r == 0)
			r = tell_cluster(e, &v[i]);
	}
	free(v);
	return r;
}

/* Every row of an uncontested component, when an anchor left it or it was contested before. */
static int
check_all(struct identity_engine *e, uint32_t comp)
{
	struct comp *c = &e->comps[comp];
	uint32_t row = c->head, x = c->identities;

	if (c->flags & COMP_CUT)
		do {
			e->rows[row].part = 0;
			row = e->rest[row].next;
		} while (row != c->head);
	do {
		if (check_row(e, row, c->eldest) < 0)
			return -ENOMEM;
		row = e->rest[row].next;
	} while (row != c->head);
	do {
		if (anchor_suspect(e, x) < 0)
			return -ENOMEM;
		x = e->idents[x].next;
	} while (x != c->identities);
	return 0;
}

static int
find_eldest(struct identity_engine *e, uint32_t comp)
{
	struct comp *c = &e->comps[comp];
	struct cluster k = {.eldest = NONE};
	uint32_t x = c->identities, row = c->head, first = c->head;

	if (x != NONE) {
		do {
			consider(e, &k, x);
			x = e->idents[x].next;
		} while (x != c->identities);
		c->eldest = k.eldest;
		return anchor_suspect(e, c->eldest);
	}
	do {
		if (e->rest[row].seq < e->rest[first].seq)
			first = row;
		row = e->rest[row].next;
	} while (row != c->head);
	return mint(e, first, &c->eldest);
}

static int
settle_comp(struct identity_engine *e, uint32_t comp)
{
	struct comp *c = &e->comps[comp];
	bool full = (c->flags & (COMP_CUT | COMP_LOST)) != 0;
	struct cluster k = {.size = c->size, .sum = c->sum};

	if ((c->size > 1 && c->decided > 0) || stack_contested(e, comp)) {
		c->eldest = NONE;
		return settle_contested(e, comp);
	}
	if (c->flags & COMP_CUT) {
		uint32_t row = c->head;

		c->eldest = NONE;
		do {
			e->rows[row].part = 0;
			row = e->rest[row].next;
		} while (row != c->head);
	}
	if (c->eldest == NONE && find_eldest(e, comp) < 0)
		return -ENOMEM;
	if (full && check_all(e, comp) < 0)
		return -ENOMEM;
	c->flags &= (uint16_t) ~(COMP_CUT | COMP_LOST);
	k.eldest = c->eldest;
	return tell_cluster(e, &k);
}

/* -- rows that go -- */

int
anchor_row_gone(struct identity_engine *e, uint32_t row)
{
	uint32_t ident = e->rest[row].anchored, comp = e->rows[row].comp, other, heir = NONE;

	if (ident == NONE)
		return 0;
	for (other = e->rest[row].next; other != row; other = e->rest[other].next)
		if (e->rows[other].literal == ident && e->rest[other].anchored == NONE &&
		    (heir == NONE || e->rest[other].seq < e->rest[heir].seq))
			heir = other;
	e->rest[row].anchored = NONE;
	e->idents[ident].anchor = heir;
	if (heir != NONE) {
		e->rest[heir].anchored = ident;
		return 0;
	}
	forest_ring_remove(e, comp, ident);
	e->comps[comp].eldest = NONE;
	e->comps[comp].flags |= COMP_LOST;
	e->idents[ident].flags |= IDENT_DEAD;
	return 0;
}

/* -- the end of a batch -- */

static unsigned
rank(const struct identity_engine *e, const struct identity_change *c)
{
	switch (c->kind) {
	case IDENTITY_UNLINKED: return 0;
	case IDENTITY_FORMED:
	case IDENTITY_JOINED: return 1;
	case IDENTITY_LINKED: return 2;
	case IDENTITY_UNMERGED:
		return e->idents[c->identity].flags & IDENT_WINNER ||
				       e->idents[c->identity].into != NONE
			       ? 3
			       : 5;
	case IDENTITY_MERGED: return 4;
	case IDENTITY_CHANGED: return 6;
	}
	return 7;
}

/* What changes are ordered by, beside each other in memory. */
struct order {
	uint64_t uuid[2]; /* as numbers */
	uint32_t at;
	uint32_t rank;
};

static uint64_t
big_endian(const uint8_t *p)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

/* Changes of one kind of one identity. */
static int
by_other(const struct identity_engine *e, const struct identity_change *a,
	 const struct identity_change *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->row != b->row)
		return e->rest[a->row].seq < e->rest[b->row].seq ? -1 : 1;
	return a->other != b->other && a->other != NONE && b->other != NONE
		       ? memcmp(e->idents[a->other].uuid, e->idents[b->other].uuid,
				IDENTITY_ID_BYTES)
		       : 0;
}

static int
by_rank(const void *x, const void *y, void *user)
{
	const struct identity_engine *e = user;
	const struct order *a = x, *b = y;

	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	for (unsigned i = 0; i < 2; i++)
		if (a->uuid[i] != b->uuid[i])
			return a->uuid[i] < b->uuid[i] ? -1 : 1;
	return by_other(e, &e->changes[a->at], &e->changes[b->at]);
}

static int
sort_changes(struct identity_engine *e)
{
	struct order *v = malloc((e->nchanges + 1) * sizeof(*v));
	struct identity_change *sorted = malloc((e->nchanges + 1) * sizeof(*sorted));

	if (!v || !sorted) {
		free(v);
		free(sorted);
		return -ENOMEM;
	}
	for (size_t i = 0; i < e->nchanges; i++) {
		const uint8_t *uuid = e->idents[e->changes[i].identity].uuid;

		v[i] = (struct order){{big_endian(uuid), big_endian(uuid + 8)},
				      (uint32_t)i,
				      rank(e, &e->changes[i])};
	}
	if (e->nchanges > 0)
		qsort_r(v, e->nchanges, sizeof(*v), by_rank, e);
	for (size_t i = 0; i < e->nchanges; i++)
		sorted[i] = e->changes[v[i].at];
	free(v);
	free(e->changes);
	e->changes = sorted;
	e->cchanges = e->nchanges + 1;
	return 0;
}

/* Everything that somebody left is collected anew: say so of what it belongs to now. */
static void
spread_losses(struct identity_engine *e)
{
	for (size_t i = 0, n = e->told.n; i < n; i++) {
		uint32_t x = e->told.v[i], final;

		if (!(e->idents[x].flags & IDENT_LOST))
			continue;
		final = anchor_final(e, x);
		if (flag(e, final, IDENT_LOST) < 0)
			e->failed = true;
	}
	for (size_t i = 0; i < e->nchanges; i++) {
		struct identity_change *c = &e->changes[i];

		if (c->kind == IDENTITY_CHANGED)
			c->lost = e->idents[c->identity].flags & IDENT_LOST;
	}
}

int
anchor_drain(struct identity_engine *e)
{
	e->nchanges = 0;
	for (size_t i = 0; i < e->touched.n; i++) {
		uint32_t comp = e->touched.v[i];

		if (!(e->comps[comp].flags & COMP_TOUCHED))
			continue;
		e->comps[comp].flags &= (uint16_t)~COMP_TOUCHED;
		if (e->comps[comp].size > 0 && settle_comp(e, comp) < 0)
			return -ENOMEM;
	}
	e->touched.n = 0;
	for (size_t i = 0; i < e->check.n; i++) {
		const struct row *r = &e->rows[e->check.v[i]];

		e->flags[e->check.v[i]] &= (uint8_t)~ROW_CHECK;
		if (r->alive && !(e->comps[r->comp].flags & COMP_CUT) &&
		    check_row(e, e->check.v[i], e->comps[r->comp].eldest) < 0)
			return -ENOMEM;
	}
	e->check.n = 0;
	for (size_t i = 0; i < e->suspects.n; i++) {
		struct ident *x = &e->idents[e->suspects.v[i]];
		const struct comp *c;

		x->flags &= (uint16_t)~IDENT_SUSPECT;
		if (x->anchor == NONE)
			continue;
		c = &e->comps[e->rows[x->anchor].comp];
		if (c->flags & COMP_CUT)
			continue;
		if (check_ident(e, e->suspects.v[i], c->eldest) < 0 || flatten(e, c->eldest) < 0)
			return -ENOMEM;
	}
	e->suspects.n = 0;
	spread_losses(e);
	if (sort_changes(e) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < e->told.n; i++)
		e->idents[e->told.v[i]].flags &=
			(uint16_t) ~(IDENT_NEW | IDENT_LOST | IDENT_WINNER);
	e->told.n = 0;
	return 0;
}
