/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The score of a pair: log2 odds that both rows are the same hands. The best single value sets the
 * base, for its reliability is such odds already; every other class adds or takes a bounded amount,
 * because what one attacker shows in several classes is one fact, not several.
 */
#include "identity/state.h"

static const double slot_differs = -2.5, both_differ = -5.0;
static const double differs[CLASSES] = {[C2] = -.5, [CREDENTIAL] = -2.0, [COMMAND] = -1.5};
static const double typing_alike = 1.4, typing_differs = -4.0;
enum { TYPING_NEAR = 10, TYPING_FAR = 16, RARE_ENOUGH = 3, LIST_SIZE = 4 };

/* Ties of two classes: by the word that is hashed with their values. */
static const uint8_t rank[CLASSES] = {
	[C2] = 0,	 [COMMAND] = 1, [CREDENTIAL] = 2, [STACK] = 3,
	[KEYSTROKE] = 4, [PAYLOAD] = 5, [SSH] = 6,	  [TLS] = 7,
};

struct agreement {
	double bits;
	uint8_t class;
	unsigned distance;
	uint32_t value; /* NONE: several */
};

static int
level_of(const struct value *v)
{
	return v->level < LEVEL_LOW ? LEVEL_LOW : v->level;
}

static void
note_shared(const struct identity_engine *e, struct shared *s, uint32_t value)
{
	const struct value *v = &e->values[value];

	s->n++;
	if (s->best == NONE || v->level > e->values[s->best].level)
		s->best = value;
	if (v->flags & VALUE_GOOD) {
		s->good++;
		if (s->best_good == NONE || v->level > e->values[s->best_good].level)
			s->best_good = value;
	}
	if (v->flags & VALUE_RARE)
		s->rare++;
}

static unsigned
slot_of(uint32_t value)
{
	return (value * 0x9E3779B1U) >> 23;
}

void
score_sweep(const struct identity_engine *e, uint32_t row, struct sweep *ret)
{
	const struct row *r = &e->rows[row];
	unsigned n = row_nvalues(r), mask = sizeof(ret->slots) - 1;

	ret->row = row;
	memset(ret->slots, 0, sizeof(ret->slots));
	for (unsigned i = 0; i < n; i++) {
		const struct value *v = &e->values[r->values[i]];
		unsigned at = slot_of(r->values[i]);

		while (ret->slots[at])
			at = (at + 1) & mask;
		ret->slots[at] = (uint8_t)(i + 1);
		ret->of[i].value = r->values[i];
		ret->of[i].class = v->class;
		ret->of[i].generates = pair_generates(v);
		ret->of[i].few = v->n <= REP_MAX;
		ret->of[i].represented = ret->of[i].generates && posting_in_rep(v, row);
	}
}

void
score_overlap(const struct identity_engine *e, const struct sweep *a, uint32_t b,
	      struct overlap *ret)
{
	const struct row *y = &e->rows[b];
	const uint32_t *q = y->values, *end = q + row_nvalues(y);
	unsigned mask = sizeof(a->slots) - 1;

	ret->flags = 0;
	for (unsigned c = 0; c < CLASSES; c++)
		ret->of[c] = (struct shared){.best = NONE, .best_good = NONE};
	for (; q < end; q++) {
		unsigned at = slot_of(*q), i;

		while (a->slots[at] && a->of[a->slots[at] - 1].value != *q)
			at = (at + 1) & mask;
		if (!a->slots[at])
			continue;
		i = a->slots[at] - 1U;
		note_shared(e, &ret->of[a->of[i].class], *q);
		if (a->of[i].represented)
			ret->flags |= HALF_THEIRS;
		if (a->of[i].generates && !(ret->flags & HALF_MINE) &&
		    (a->of[i].few || posting_in_rep(&e->values[*q], b)))
			ret->flags |= HALF_MINE;
	}
}

/* One side tries several credentials, all of them public; the other has a list of its own. */
static bool
plain(const struct row *a, const struct row *b)
{
	return (a->own[0] == 0 && a->n[CREDENTIAL] >= LIST_SIZE && b->own[0] >= 2) ||
	       (b->own[0] == 0 && b->n[CREDENTIAL] >= LIST_SIZE && a->own[0] >= 2);
}

int
score_agree(const struct identity_engine *e, unsigned class, const struct view *a,
	    const struct view *b)
{
	const uint32_t *x = a->v, *y = b->v, *xend = x + a->row->n[class],
		       *yend = y + b->row->n[class];
	unsigned own = class == COMMAND, rare = 0;

	if (class == KEYSTROKE)
		return __builtin_popcountll(a->row->keystroke ^ b->row->keystroke) <= TYPING_NEAR;
	if (class <= SSH)
		return *x == *y;
	while (x < xend && y < yend) {
		uint32_t p = *x, q = *y;

		if (p == q) {
			if (!is_token(class) || (e->values[p].flags & VALUE_GOOD))
				return 1;
			rare += (e->values[p].flags & VALUE_RARE) != 0;
		}
		x += p <= q;
		y += q <= p;
	}
	if (!is_token(class))
		return 0;
	if (rare >= RARE_ENOUGH)
		return 1;
	if (a->row->own[own] && b->row->own[own])
		return 0;
	return class == CREDENTIAL && plain(a->row, b->row) ? 0 : -1;
}

/* A pair while its score is found. */
struct pair {
	const struct row *a, *b;
	const struct overlap *o;
	struct agreement v[CLASSES];
	unsigned n;
	double against;
	bool veto;
	struct identity_explanation *why;
};

static void
agrees(struct pair *p, unsigned class, double bits, uint32_t value)
{
	p->v[p->n++] = (struct agreement){.bits = bits, .class = (uint8_t) class, .value = value};
}

static void
explain(struct pair *p, const struct identity_term *t)
{
	if (p->why && p->why->n < IDENTITY_TERMS_MAX)
		p->why->terms[p->why->n++] = *t;
}

static void
speaks_against(struct pair *p, unsigned class, double bits, unsigned distance)
{
	p->against += bits;
	explain(p, &(struct identity_term){.class = (enum identity_value_class) class,
					   .bits = bits,
					   .distance = distance});
}

static void
compare_stacks(const struct identity_engine *e, struct pair *p)
{
	unsigned differ = 0, fair = 0;

	for (unsigned c = TLS; c <= STACK; c++) {
		uint32_t x = p->o->of[c].best;

		if (p->a->n[c] == 0 || p->b->n[c] == 0)
			continue;
		if (x != NONE) {
			agrees(p, c, level_of(&e->values[x]) * .5, x);
			fair += (e->values[x].flags & VALUE_FAIR) != 0;
		} else if (c != STACK) {
			differ++;
			explain(p, &(struct identity_term){.class = (enum identity_value_class)c,
							   .bits = slot_differs});
		}
	}
	p->against += differ == 2 ? both_differ : slot_differs * differ;
	/* Shared infrastructure behind different stacks is a campaign, not a person. */
	p->veto = differ > 0 && fair == 0;
}

static void
compare_infrastructure(const struct identity_engine *e, struct pair *p)
{
	for (unsigned c = PAYLOAD; c <= C2; c++) {
		const struct shared *s = &p->o->of[c];

		if (p->a->n[c] == 0 || p->b->n[c] == 0)
			continue;
		if (s->n == 0)
			speaks_against(p, c, differs[c], 0);
		else if (!p->veto)
			agrees(p, c, level_of(&e->values[s->best]) * .5, s->best);
	}
}

static void
compare_tokens(const struct identity_engine *e, struct pair *p)
{
	for (unsigned c = CREDENTIAL; c <= COMMAND; c++) {
		const struct shared *s = &p->o->of[c];
		unsigned own = c == COMMAND;
		double more;

		if (p->a->n[c] == 0 || p->b->n[c] == 0)
			continue;
		if (s->good > 0) {
			more = .5 * (s->good - 1);
			agrees(p, c, e->values[s->best_good].level * .5 + (more < 2 ? more : 2),
			       s->best_good);
		} else if (s->rare >= RARE_ENOUGH) {
			more = .5 + .5 * s->rare;
			agrees(p, c, more < 4 ? more : 4, NONE);
		} else if ((p->a->own[own] >= 2 && p->b->own[own] >= 2) ||
			   (c == CREDENTIAL && plain(p->a, p->b))) {
			speaks_against(p, c, differs[c], 0);
		}
	}
}

static void
compare_typing(struct pair *p)
{
	unsigned distance;

	if (!p->a->has_keystroke || !p->b->has_keystroke)
		return;
	distance = (unsigned)__builtin_popcountll(p->a->keystroke ^ p->b->keystroke);
	if (distance <= TYPING_NEAR) {
		/* Never enough alone: typing rhythm is a noisy measure. */
		agrees(p, KEYSTROKE, typing_alike, NONE);
		p->v[p->n - 1].distance = distance;
	} else if (distance > TYPING_FAR) {
		speaks_against(p, KEYSTROKE, typing_differs, distance);
	}
}

static double
increment(const struct agreement *g)
{
	if (g->class == KEYSTROKE)
		return 4.0 - .2 * g->distance;
	return g->bits >= 3 ? 4.0 : g->bits >= 0 ? 3.0 : g->bits >= -3 ? 1.0 : .3;
}

static void
sort(struct pair *p)
{
	for (unsigned i = 1; i < p->n; i++) {
		struct agreement g = p->v[i];
		unsigned at = i;

		for (; at > 0 &&
		       (p->v[at - 1].bits < g.bits ||
			(p->v[at - 1].bits == g.bits && rank[p->v[at - 1].class] > rank[g.class]));
		     at--)
			p->v[at] = p->v[at - 1];
		p->v[at] = g;
	}
}

static void
tell(const struct identity_engine *e, struct pair *p, const struct agreement *g, double bits)
{
	const struct value *v = g->value == NONE ? NULL : &e->values[g->value];

	explain(p, &(struct identity_term){.class = (enum identity_value_class)g->class,
					   .agrees = true,
					   .key = v ? v->key : 0,
					   .bits = bits,
					   .common = v ? v->n : 0,
					   .distance = g->distance});
}

void
score_pair(struct identity_engine *e, uint32_t a, uint32_t b, const struct overlap *o,
	   struct score *ret, struct identity_explanation *why)
{
	A_UNINIT struct pair p;
	bool stack;

	p.a = &e->rows[a];
	p.b = &e->rows[b];
	p.o = o;
	p.why = why;
	p.n = 0;
	p.against = 0;

	e->scores++;
	*ret = (struct score){.bits = -99};
	compare_stacks(e, &p);
	compare_infrastructure(e, &p);
	compare_tokens(e, &p);
	compare_typing(&p);
	if (p.n == 0)
		return;
	sort(&p);
	stack = p.v[0].class == STACK;
	ret->bits = p.v[0].bits + p.against;
	tell(e, &p, &p.v[0], p.v[0].bits);
	for (unsigned i = 1; i < p.n; i++) {
		unsigned c = p.v[i].class;

		/* Both stacks together are one fact, told once. */
		if (c == STACK || (stack && c <= SSH))
			continue;
		ret->bits += increment(&p.v[i]);
		tell(e, &p, &p.v[i], increment(&p.v[i]));
	}
	for (unsigned i = 0; i < p.n; i++)
		ret->hands |= is_token(p.v[i].class) || p.v[i].class == KEYSTROKE;
}
