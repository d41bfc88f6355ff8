/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reliability of a value: of two rows that share it, how often are they the same hands? Estimated
 * from the agreement of other classes over a sample of its rows. In two strata, so that there is no
 * cycle: tokens first, from stacks, infrastructure and typing; then these, also from tokens.
 */
#include <errno.h>
#include <math.h>

#include "identity/state.h"

/* What agreement of a class is worth: with the same hands, by chance, and in the estimate. */
static const struct {
	double same, chance, weight;
} evidence[CLASSES] = {
	[TLS] = {.85, 0, 1}, /* by chance: the share of rows that have the value */
	[SSH] = {.85, 0, 1},	     [PAYLOAD] = {.15, .002, 4}, [C2] = {.35, .002, 2},
	[CREDENTIAL] = {.5, .02, 1}, [COMMAND] = {.5, .02, 1},	 [KEYSTROKE] = {.9, .001, 2},
};

/* What is taken when nothing can be compared: at most `a`, and b over the number of rows. */
static const struct {
	double a, b;
} prior[CLASSES] = {
	[TLS] = {.97, 5},  [SSH] = {.97, 5},	   [STACK] = {.2, .6},	  [PAYLOAD] = {.95, 40},
	[C2] = {.98, 400}, [CREDENTIAL] = {.3, 1}, [COMMAND] = {.4, 1.5}, [KEYSTROKE] = {0, 0},
};

static const double prior_weight = 2;
static const double good = .6, fair = .3, rare = .2;
static const double least = .0005, most = .995;
static const double tool_cap = .3, evidence_cap = 6, pairs_worth = 40;
static const uint32_t rare_rows = 8;

#define END CLASSES
static const uint8_t of_token[] = {TLS, SSH, PAYLOAD, C2, KEYSTROKE, END};
static const uint8_t of_stack[] = {PAYLOAD, C2, CREDENTIAL, COMMAND, KEYSTROKE, END};
static const uint8_t of_tls[] = {SSH, PAYLOAD, C2, CREDENTIAL, COMMAND, KEYSTROKE, END};
static const uint8_t of_ssh[] = {TLS, PAYLOAD, C2, CREDENTIAL, COMMAND, KEYSTROKE, END};
static const uint8_t of_payload[] = {TLS, SSH, C2, CREDENTIAL, COMMAND, KEYSTROKE, END};
static const uint8_t of_c2[] = {TLS, SSH, PAYLOAD, CREDENTIAL, COMMAND, KEYSTROKE, END};
static const uint8_t *const witnesses[CLASSES] = {
	[TLS] = of_tls, [SSH] = of_ssh,		 [STACK] = of_stack,   [PAYLOAD] = of_payload,
	[C2] = of_c2,	[CREDENTIAL] = of_token, [COMMAND] = of_token, [KEYSTROKE] = NULL,
};

/* -- what is to do -- */

int
level_queue(struct identity_engine *e, uint32_t v, bool anew)
{
	struct value *value = &e->values[v];

	if (value->n > SAMPLE_MAX && anew)
		value->big->settled = false;
	if (value->class == KEYSTROKE || (value->flags & VALUE_QUEUED))
		return 0;
	value->flags |= VALUE_QUEUED;
	return list_push(is_token(value->class) ? &e->tokens : &e->others, v);
}

/* `from`: leave out the values that this class is no witness for. */
static int
queue_values_of(struct identity_engine *e, uint32_t row, unsigned from, bool tokens_too)
{
	const struct row *r = &e->rows[row];
	unsigned n = row_nvalues(r);

	for (unsigned i = 0; i < n; i++) {
		const struct value *value = &e->values[r->values[i]];

		if (value->class == KEYSTROKE || value->class == from || value->n < 2 ||
		    (is_token(value->class) && !tokens_too))
			continue;
		if ((value->flags & VALUE_QUEUED) &&
		    (value->n <= SAMPLE_MAX || !value->big->settled))
			continue;
		if (!posting_in_sample(value, row))
			continue;
		if (level_queue(e, r->values[i], true) < 0)
			return -ENOMEM;
	}
	return 0;
}

int
level_queue_row(struct identity_engine *e, uint32_t row)
{
	return queue_values_of(e, row, CLASSES, true);
}

/* -- shares of stack values -- */

/* Exponent of the smallest power of two that is no less than n/total; 5 and more are alike. */
static uint8_t
share_of(uint32_t n, uint32_t total)
{
	uint8_t s = 0;

	while (s < 5 && (uint64_t)n << (s + 1) <= total)
		s++;
	return s;
}

double
level_share(const struct value *v)
{
	return 1.0 / (double)(1U << v->share);
}

int
level_watch(struct identity_engine *e, uint32_t v)
{
	struct value *value = &e->values[v];
	unsigned class = value->class;

	if (value->class > SSH || (value->flags & VALUE_WATCHED) ||
	    (uint64_t)value->n * 64 <= e->totals[class])
		return 0;
	value->flags |= VALUE_WATCHED;
	return list_push(&e->watched[class], v);
}

void
level_total(struct identity_engine *e, unsigned class, int by)
{
	e->totals[class] = (uint32_t)((int64_t)e->totals[class] + by);
	if (e->totals[class] > e->highest[class])
		e->highest[class] = e->totals[class];
}

/* The value's share moved: whatever it was a witness for has to be estimated again. */
static int
share_changed(struct identity_engine *e, uint32_t v, uint8_t share)
{
	struct value *value = &e->values[v];
	const uint32_t *rows = posting_rows(value);

	value->share = share;
	for (uint32_t i = 0; i < value->n; i++)
		if (queue_values_of(e, rows[i], value->class, true) < 0)
			return -ENOMEM;
	return 0;
}

static int
settle_shares(struct identity_engine *e, unsigned class)
{
	struct list32 *w = &e->watched[class];
	size_t kept = 0;

	/* So many rows went that a value may have become frequent without a new row. */
	if ((uint64_t)e->totals[class] * 2 < e->highest[class]) {
		e->highest[class] = e->totals[class];
		for (size_t v = 0; v < e->nvalues; v++)
			if (e->values[v].n > 0 && e->values[v].class == class &&
			    level_watch(e, (uint32_t)v) < 0)
				return -ENOMEM;
	}
	for (size_t i = 0; i < w->n; i++) {
		struct value *value = &e->values[w->v[i]];
		uint8_t share = share_of(value->n, e->totals[class]);

		if (value->n > 0 && share != value->share && share_changed(e, w->v[i], share) < 0)
			return -ENOMEM;
		if (value->n > 0 && (uint64_t)value->n * 64 > e->totals[class])
			w->v[kept++] = w->v[i];
		else
			value->flags &= (uint8_t)~VALUE_WATCHED;
	}
	w->n = kept;
	return 0;
}

/* -- the estimate -- */

/* The rows of the sample that have something of the class; their number. */
static uint32_t
called(const struct identity_engine *e, const struct value *v, unsigned class, struct view *ret)
{
	uint32_t n, k = 0;
	const uint32_t *sample = posting_sample(v, &n);

	for (uint32_t i = 0; i < n; i++) {
		const struct row *x = &e->rows[sample[i]];

		if (class == KEYSTROKE ? !x->has_keystroke : x->n[class] == 0)
			continue;
		ret[k] = (struct view){.row = x, .v = row_values(x, class)};
		if (class <= SSH)
			ret[k].share = level_share(&e->values[*ret[k].v]);
		k++;
	}
	return k;
}

/* One class over all pairs of the sample: estimate and weight. False: nothing to compare. */
static bool
testify(const struct identity_engine *e, const struct value *v, unsigned class, double term[2])
{
	A_UNINIT struct view of[SAMPLE_MAX];
	uint32_t n = v->n < SAMPLE_MAX ? v->n : SAMPLE_MAX, k = called(e, v, class, of);
	double sum[2] = {0, 0}, square[2] = {0, 0}, all, cap = evidence_cap, worth;
	unsigned pairs = n * (n - 1) / 2;

	for (uint32_t i = 1; i < k; i++) {
		for (uint32_t j = 0; j < i; j++) {
			double u = evidence[class].chance, d;
			int g = score_agree(e, class, &of[i], &of[j]);

			if (g < 0)
				continue;
			if (class <= SSH)
				u = (of[i].share + of[j].share) / 2;
			d = evidence[class].same - u;
			if (d <= 0)
				continue;
			sum[g] += evidence[class].weight * d * ((double)g - u);
			square[g] += evidence[class].weight * d * d;
		}
	}
	all = square[1] + square[0];
	if (all == 0)
		return false;
	/* One public tool shows the same TLS and SSH stack everywhere: agreement of the other slot
	 * speaks softly, disagreement in full. */
	if (class <= SSH && v->class <= STACK)
		cap = tool_cap + evidence_cap * square[0] / all;
	/* Pairs of one sample are not independent. */
	worth = pairs_worth / pairs < 1 ? pairs_worth / pairs : 1;
	term[0] = (sum[1] + sum[0]) / all;
	term[0] = term[0] < 0 ? 0 : term[0] > 1 ? 1 : term[0];
	term[1] = worth * all < cap ? worth * all : cap;
	return true;
}

static uint8_t
estimate(struct identity_engine *e, const struct value *v, double terms[TERMS_MAX][2])
{
	uint8_t n = 0;

	uint32_t k;
	const uint32_t *sample = posting_sample(v, &k);

	for (uint32_t i = 0; i < k; i++)
		__builtin_prefetch(&e->rows[sample[i]]);
	for (uint32_t i = 0; i < k; i++)
		__builtin_prefetch(e->rows[sample[i]].values);
	e->levels++;
	for (const uint8_t *c = witnesses[v->class]; *c != END; c++)
		if (testify(e, v, *c, terms[n]))
			n++;
	return n;
}

static double
reliability(struct identity_engine *e, struct value *v)
{
	double scratch[TERMS_MAX][2], (*terms)[2] = scratch, p0 = prior[v->class].b / v->n, num,
				      den;
	uint8_t n = 0;

	if (v->n > SAMPLE_MAX) {
		terms = v->big->term;
		if (!v->big->settled)
			v->big->nterms = estimate(e, v, terms);
		v->big->settled = true;
		n = v->big->nterms;
	} else if (v->n > 1) {
		n = estimate(e, v, terms);
	}
	p0 = prior[v->class].a < p0 ? prior[v->class].a : p0;
	num = prior_weight * p0;
	den = prior_weight;
	for (uint8_t i = 0; i < n; i++) {
		num += terms[i][0] * terms[i][1];
		den += terms[i][1];
	}
	p0 = num / den;
	return p0 < least ? least : p0 > most ? most : p0;
}

/* -- news -- */

/* Of few rows the pairs are compared one by one; more rows are looked at with all they have. */
static int
tell(struct identity_engine *e, uint32_t v)
{
	if (e->values[v].n > SAMPLE_MAX)
		e->values[v].flags |= VALUE_NEWS;
	return list_push(&e->news, v);
}

static unsigned
category(unsigned own)
{
	return own < 2 ? own : 2;
}

static int
token_changed(struct identity_engine *e, uint32_t v, uint8_t was)
{
	struct value *value = &e->values[v];
	const uint32_t *rows = posting_rows(value);
	bool state = ((was ^ value->flags) & (VALUE_GOOD | VALUE_RARE)) != 0;
	int by = (value->flags & VALUE_GOOD ? 1 : 0) - (was & VALUE_GOOD ? 1 : 0);

	if (tell(e, v) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < value->n; i++) {
		struct row *r = &e->rows[rows[i]];
		uint8_t *own = &r->own[value->class == COMMAND];
		unsigned before = category(*own);

		*own = (uint8_t)(*own + by);
		if ((value->n > SAMPLE_MAX || before != category(*own)) &&
		    pair_row_dirty(e, rows[i], before != category(*own)) < 0)
			return -ENOMEM;
		if (state && queue_values_of(e, rows[i], CLASSES, false) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int
settle_token(struct identity_engine *e, uint32_t v)
{
	struct value *value = &e->values[v];
	uint8_t was = value->flags;
	int8_t level = value->level;
	double r = reliability(e, value);

	value->reliability = (float)r;
	value->level = (int8_t)floor(2 * log2(r / (1 - r)));
	value->flags &= (uint8_t) ~(VALUE_GOOD | VALUE_RARE);
	if (r >= good)
		value->flags |= VALUE_GOOD;
	else if (r >= rare && value->n <= rare_rows)
		value->flags |= VALUE_RARE;
	if (((was ^ value->flags) & (VALUE_GOOD | VALUE_RARE)) == 0 &&
	    (level == value->level || !(value->flags & VALUE_GOOD)))
		return 0;
	return token_changed(e, v, was);
}

static int
settle_other(struct identity_engine *e, uint32_t v)
{
	struct value *value = &e->values[v];
	uint8_t was = value->flags;
	int level = value->level;
	double r = reliability(e, value);
	const uint32_t *rows = posting_rows(value);

	value->reliability = (float)r;
	value->level = (int8_t)floor(2 * log2(r / (1 - r)));
	value->flags &= (uint8_t)~VALUE_FAIR;
	if (value->class <= SSH && r >= fair)
		value->flags |= VALUE_FAIR;
	if (value->n < 2)
		return 0;
	level = level < LEVEL_LOW ? LEVEL_LOW : level;
	if (was == value->flags && level == (value->level < LEVEL_LOW ? LEVEL_LOW : value->level))
		return 0;
	if (tell(e, v) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; value->n > SAMPLE_MAX && i < value->n; i++)
		if (pair_row_dirty(e, rows[i], false) < 0)
			return -ENOMEM;
	return 0;
}

static int
settle(struct identity_engine *e, struct list32 *queue,
       int (*fn)(struct identity_engine *e, uint32_t v))
{
	for (size_t i = 0; i < queue->n; i++) {
		uint32_t v = queue->v[i];

		if (i + 4 < queue->n)
			__builtin_prefetch(&e->values[queue->v[i + 4]]);
		if (i + 2 < queue->n)
			posting_fetch(&e->values[queue->v[i + 2]]);
		e->values[v].flags &= (uint8_t)~VALUE_QUEUED;
		if (e->values[v].n > 0 && fn(e, v) < 0)
			return -ENOMEM;
	}
	queue->n = 0;
	return 0;
}

int
level_drain(struct identity_engine *e)
{
	if (settle_shares(e, TLS) < 0 || settle_shares(e, SSH) < 0 ||
	    settle(e, &e->tokens, settle_token) < 0)
		return -ENOMEM;
	return settle(e, &e->others, settle_other);
}
