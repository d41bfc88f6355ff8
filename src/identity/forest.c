/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Components under links that come and go. A spanning forest is kept: a link outside it costs
 * nothing to take away; when one of the forest goes, both sides are walked in step, and only the
 * smaller one is searched for another link across.
 */
#include <errno.h>
#include <math.h>

#include "identity/state.h"

uint64_t
forest_certainty(uint16_t score)
{
	return score ? (uint64_t)llround(1e6 / (1 + exp2(-score / 1000.0))) : 0;
}

static uint64_t
certainty_of(const struct row *r)
{
	return forest_certainty(r->best);
}

int
forest_touch(struct identity_engine *e, uint32_t comp)
{
	struct comp *c = &e->comps[comp];

	if (c->flags & COMP_TOUCHED)
		return 0;
	c->flags |= COMP_TOUCHED;
	return list_push(&e->touched, comp);
}

int
forest_check_row(struct identity_engine *e, uint32_t row)
{
	if (e->flags[row] & ROW_CHECK)
		return 0;
	e->flags[row] |= ROW_CHECK;
	return list_push(&e->check, row);
}

/* -- rings -- */

static void
row_ring_add(struct identity_engine *e, uint32_t comp, uint32_t row)
{
	struct comp *c = &e->comps[comp];
	struct rest *r = &e->rest[row];

	if (c->head == NONE) {
		c->head = r->next = r->prev = row;
		return;
	}
	r->next = c->head;
	r->prev = e->rest[c->head].prev;
	e->rest[r->prev].next = row;
	e->rest[c->head].prev = row;
}

static void
row_ring_remove(struct identity_engine *e, uint32_t comp, uint32_t row)
{
	struct comp *c = &e->comps[comp];
	struct rest *r = &e->rest[row];

	if (c->head == row)
		c->head = r->next == row ? NONE : r->next;
	e->rest[r->prev].next = r->next;
	e->rest[r->next].prev = r->prev;
}

void
forest_ring_add(struct identity_engine *e, uint32_t comp, uint32_t ident)
{
	struct comp *c = &e->comps[comp];
	struct ident *x = &e->idents[ident];

	if (c->identities == NONE) {
		c->identities = x->next = x->prev = ident;
		return;
	}
	x->next = c->identities;
	x->prev = e->idents[c->identities].prev;
	e->idents[x->prev].next = ident;
	e->idents[c->identities].prev = ident;
}

void
forest_ring_remove(struct identity_engine *e, uint32_t comp, uint32_t ident)
{
	struct comp *c = &e->comps[comp];
	struct ident *x = &e->idents[ident];

	if (c->identities == ident)
		c->identities = x->next == ident ? NONE : x->next;
	e->idents[x->prev].next = x->next;
	e->idents[x->next].prev = x->prev;
	x->next = x->prev = ident;
}

/* -- components -- */

static int
comp_new(struct identity_engine *e, uint32_t *ret)
{
	uint32_t at;

	if (e->free_comps.n > 0) {
		at = e->free_comps.v[--e->free_comps.n];
	} else {
		if (table_grow((void **)&e->comps, &e->ccomps, e->ncomps + 1, sizeof(*e->comps)) <
		    0)
			return -ENOMEM;
		at = (uint32_t)e->ncomps++;
	}
	e->comps[at] = (struct comp){
		.head = NONE, .identities = NONE, .eldest = NONE, .most = {NONE, NONE}};
	*ret = at;
	return forest_touch(e, at);
}

/* The row, with the identity that was formed for it, becomes a member. */
static void
enter(struct identity_engine *e, uint32_t comp, uint32_t row)
{
	struct comp *c = &e->comps[comp];
	struct row *r = &e->rows[row];

	row_ring_add(e, comp, row);
	r->comp = comp;
	c->size++;
	c->sum += certainty_of(r);
	c->decided += (e->flags[row] & ROW_DECIDED) != 0;
	if (e->rest[row].anchored != NONE)
		forest_ring_add(e, comp, e->rest[row].anchored);
	stack_enter(e, row);
}

static void
leave(struct identity_engine *e, uint32_t row)
{
	struct row *r = &e->rows[row];
	struct comp *c = &e->comps[r->comp];

	row_ring_remove(e, r->comp, row);
	stack_leave(e, row);
	c->size--;
	c->sum -= certainty_of(r);
	c->decided -= (e->flags[row] & ROW_DECIDED) != 0;
	if (e->rest[row].anchored != NONE) {
		forest_ring_remove(e, r->comp, e->rest[row].anchored);
		c->flags |= COMP_LOST;
		c->eldest = NONE;
	}
}

int
forest_add_row(struct identity_engine *e, uint32_t row)
{
	uint32_t comp;

	if (comp_new(e, &comp) < 0)
		return -ENOMEM;
	enter(e, comp, row);
	return forest_check_row(e, row);
}

int
forest_remove_row(struct identity_engine *e, uint32_t row)
{
	uint32_t comp = e->rows[row].comp;

	leave(e, row);
	return e->comps[comp].size == 0 ? list_push(&e->free_comps, comp) : 0;
}

static int
join_identities(struct identity_engine *e, struct comp *into, struct comp *from)
{
	uint32_t x = into->identities, y = from->identities, xl, yl;

	/* Which of the two eldest ones gives way is found later. */
	if (from->eldest != NONE && anchor_suspect(e, from->eldest) < 0)
		return -ENOMEM;
	if (into->eldest != NONE && anchor_suspect(e, into->eldest) < 0)
		return -ENOMEM;
	if (x == NONE) {
		into->identities = y;
		into->eldest = from->eldest;
		return 0;
	}
	xl = e->idents[x].prev;
	yl = e->idents[y].prev;
	e->idents[xl].next = y;
	e->idents[y].prev = xl;
	e->idents[yl].next = x;
	e->idents[x].prev = yl;
	if (into->eldest == NONE || from->eldest == NONE || e->yielding)
		into->eldest = NONE;
	else if (memcmp(e->idents[from->eldest].uuid, e->idents[into->eldest].uuid,
			IDENTITY_ID_BYTES) < 0)
		into->eldest = from->eldest;
	return 0;
}

/* Both stay in e->touched; the one that is gone has size 0 there. */
static int
join(struct identity_engine *e, uint32_t a, uint32_t b)
{
	struct comp *into = &e->comps[a], *from = &e->comps[b];
	uint32_t row, last;

	if (into->size < from->size)
		return join(e, b, a);
	row = from->head;
	do {
		e->rows[row].comp = a;
		row = e->rest[row].next;
	} while (row != from->head);
	last = e->rest[from->head].prev;
	e->rest[last].next = into->head;
	e->rest[from->head].prev = e->rest[into->head].prev;
	e->rest[e->rest[into->head].prev].next = from->head;
	e->rest[into->head].prev = last;
	if (from->identities != NONE && join_identities(e, into, from) < 0)
		return -ENOMEM;
	stack_join(into, from);
	into->size += from->size;
	into->sum += from->sum;
	into->decided += from->decided;
	into->flags |= from->flags & (COMP_CUT | COMP_LOST);
	from->size = 0;
	from->head = from->identities = NONE;
	from->flags &= COMP_TOUCHED;
	return forest_touch(e, a) < 0 ? -ENOMEM : list_push(&e->free_comps, b);
}

/* -- halves -- */

static void
swap(struct identity_engine *e, struct row *r, uint32_t i, uint32_t k)
{
	struct half x = r->halves[i];

	if (i == k)
		return;
	r->halves[i] = r->halves[k];
	r->halves[k] = x;
	e->rows[r->halves[i].other].halves[r->halves[i].twin].twin = i;
	e->rows[x.other].halves[x.twin].twin = k;
}

struct half *
forest_find(const struct identity_engine *e, uint32_t a, uint32_t b)
{
	const struct row *x = &e->rows[a], *y = &e->rows[b];

	if (x->nhalves <= y->nhalves) {
		for (uint32_t i = 0; i < x->nhalves; i++)
			if (x->halves[i].other == b)
				return &x->halves[i];
		return NULL;
	}
	for (uint32_t i = 0; i < y->nhalves; i++)
		if (y->halves[i].other == a)
			return &x->halves[y->halves[i].twin];
	return NULL;
}

/* Room for a list of that many: an eighth more, and as much as a block of memory holds anyway. */
static uint32_t
room_for(uint32_t n)
{
	return (n + n / 8 + 1) / 4 * 4 + 2;
}

static int
resize(struct row *r, uint32_t cap)
{
	struct half *v = realloc(r->halves, cap * sizeof(*v));

	if (!v)
		return -ENOMEM;
	r->halves = v;
	r->chalves = cap;
	return 0;
}

static int
append(struct row *r, const struct half *h)
{
	if (r->nhalves == r->chalves && resize(r, room_for(r->nhalves + 1)) < 0)
		return -ENOMEM;
	r->halves[r->nhalves++] = *h;
	return 0;
}

/* Move one half to the end of the forest's part of the list; where it is then. */
static uint32_t
into_tree(struct identity_engine *e, struct row *r, uint32_t at)
{
	swap(e, r, at, r->ntree);
	return r->ntree++;
}

static void
drop(struct identity_engine *e, struct row *r, uint32_t at)
{
	if (at < r->ntree) {
		swap(e, r, at, r->ntree - 1);
		at = --r->ntree;
	}
	swap(e, r, at, r->nhalves - 1);
	r->nhalves--;
	/* Whoever represents a value no longer may lose thousands. Without memory it stays. */
	if (r->chalves > 16 && r->nhalves < r->chalves / 2)
		(void)resize(r, room_for(r->nhalves));
}

static uint16_t
flip(uint16_t flags)
{
	uint16_t rest = flags & (uint16_t) ~(HALF_MINE | HALF_THEIRS);

	return (uint16_t)(rest | (flags & HALF_MINE ? HALF_THEIRS : 0) |
			  (flags & HALF_THEIRS ? HALF_MINE : 0));
}

/* The row's strongest link may be another one now; without links it is 0. */
static void
set_best(struct identity_engine *e, struct row *r, uint16_t gone, uint16_t come)
{
	uint16_t was = r->best;

	if (come >= r->best) {
		r->best = come;
	} else if (gone == r->best) {
		uint16_t best = 0;

		for (uint32_t i = 0; i < r->nhalves && best < gone; i++)
			if (r->halves[i].score > best)
				best = r->halves[i].score;
		r->best = best;
	}
	if (was != r->best)
		e->comps[r->comp].sum += forest_certainty(r->best) - forest_certainty(was);
}

static int
reason(struct identity_engine *e, uint32_t a, uint32_t b, bool together)
{
	if (table_grow((void **)&e->reasons, &e->creasons, e->nreasons + 1, sizeof(*e->reasons)) <
	    0)
		return -ENOMEM;
	e->reasons[e->nreasons++] = (struct identity_reason){
		.a = a,
		.b = b,
		.together = together,
		.known = !together || (e->rows[a].literal != NONE && e->rows[b].literal != NONE)};
	return 0;
}

static int
make_tree(struct identity_engine *e, uint32_t a, uint32_t at)
{
	uint32_t b = e->rows[a].halves[at].other;
	uint32_t mine = into_tree(e, &e->rows[a], at);

	(void)into_tree(e, &e->rows[b], e->rows[a].halves[mine].twin);
	return reason(e, a, b, true);
}

int
forest_link(struct identity_engine *e, uint32_t a, uint32_t b, uint16_t score, uint16_t flags)
{
	struct row *x = &e->rows[a], *y = &e->rows[b];
	struct half h = {b, y->nhalves, score, flags}, k = {a, x->nhalves, score, flip(flags)};

	if (append(x, &h) < 0 || append(y, &k) < 0)
		return -ENOMEM;
	e->links++;
	set_best(e, x, 0, score);
	set_best(e, y, 0, score);
	if (forest_touch(e, x->comp) < 0)
		return -ENOMEM;
	if (x->comp == y->comp)
		return 0;
	if (make_tree(e, a, x->nhalves - 1) < 0)
		return -ENOMEM;
	return join(e, x->comp, y->comp);
}

void
forest_rescore(struct identity_engine *e, uint32_t a, struct half *h, uint16_t score,
	       uint16_t flags)
{
	struct row *x = &e->rows[a], *y = &e->rows[h->other];
	struct half *k = &y->halves[h->twin];
	uint16_t gone = h->score;

	if (gone == score && ((h->flags ^ flags) & HALF_HANDS) == 0) {
		h->flags = flags;
		k->flags = flip(flags);
		return;
	}
	h->score = k->score = score;
	h->flags = flags;
	k->flags = flip(flags);
	set_best(e, x, gone, score);
	set_best(e, y, gone, score);
	/* Out of memory shows at the next link; what is lost here is one look at the component. */
	if (forest_touch(e, x->comp) < 0)
		e->failed = true;
}

/* -- taking a link of the forest away -- */

struct walk {
	struct list32 *rows;
	size_t at;     /* row whose links are being followed */
	uint32_t half; /* the next one of it */
	uint32_t mark;
};

static int
walk_start(struct identity_engine *e, struct walk *w, struct list32 *rows, uint32_t row)
{
	*w = (struct walk){.rows = rows, .mark = table_new_mark(e)};
	rows->n = 0;
	e->marks[row] = w->mark;
	return list_push(rows, row);
}

/* One link further. 1: there may be more, 0: the side is known whole, -ENOMEM. */
static int
walk_step(struct identity_engine *e, struct walk *w)
{
	const struct row *r = &e->rows[w->rows->v[w->at]];
	uint32_t other;

	while (w->half == r->ntree) {
		if (++w->at == w->rows->n)
			return 0;
		r = &e->rows[w->rows->v[w->at]];
		w->half = 0;
	}
	other = r->halves[w->half++].other;
	if (e->marks[other] == w->mark)
		return 1;
	e->marks[other] = w->mark;
	return list_push(w->rows, other) < 0 ? -ENOMEM : 1;
}

/* Another link from the walked side to the rest. 1: found, and of the forest now. */
static int
reconnect(struct identity_engine *e, const struct walk *w)
{
	for (size_t i = 0; i < w->rows->n; i++) {
		const struct row *r = &e->rows[w->rows->v[i]];

		for (uint32_t k = r->ntree; k < r->nhalves; k++)
			if (e->marks[r->halves[k].other] != w->mark)
				return make_tree(e, w->rows->v[i], k) < 0 ? -ENOMEM : 1;
	}
	return 0;
}

static int
split(struct identity_engine *e, const struct walk *w)
{
	uint32_t from = e->rows[w->rows->v[0]].comp, comp, first;

	first = e->comps[from].identities;
	/* Everybody's pointers are looked at when somebody that others point to may have gone. */
	if (first != NONE) {
		uint32_t x = first;

		do {
			if (anchor_suspect(e, x) < 0)
				return -ENOMEM;
			x = e->idents[x].next;
		} while (x != first);
	}
	if (comp_new(e, &comp) < 0)
		return -ENOMEM;
	e->comps[comp].flags |= e->comps[from].flags & COMP_CUT;
	for (size_t i = 0; i < w->rows->n; i++) {
		leave(e, w->rows->v[i]);
		enter(e, comp, w->rows->v[i]);
		if (forest_check_row(e, w->rows->v[i]) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int
separate(struct identity_engine *e, uint32_t a, uint32_t b)
{
	struct walk w[2];
	unsigned turn = 0;
	int r = walk_start(e, &w[0], &e->walk[0], a);

	if (r == 0)
		r = walk_start(e, &w[1], &e->walk[1], b);
	if (r < 0)
		return r;
	while ((r = walk_step(e, &w[turn])) > 0)
		turn = !turn;
	if (r < 0)
		return r;
	r = reconnect(e, &w[turn]);
	if (r != 0)
		return r < 0 ? r : 0;
	return split(e, &w[turn]);
}

int
forest_unlink(struct identity_engine *e, uint32_t a, uint32_t at)
{
	struct row *x = &e->rows[a], *y = &e->rows[x->halves[at].other];
	uint32_t b = x->halves[at].other, twin = x->halves[at].twin;
	uint16_t score = x->halves[at].score;
	bool tree = at < x->ntree;

	drop(e, x, at);
	drop(e, y, twin);
	e->links--;
	set_best(e, x, score, 0);
	set_best(e, y, score, 0);
	if (forest_touch(e, x->comp) < 0)
		return -ENOMEM;
	if (!tree)
		return 0;
	return reason(e, a, b, false) < 0 ? -ENOMEM : separate(e, a, b);
}
