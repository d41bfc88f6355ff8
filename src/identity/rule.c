/* SPDX-License-Identifier: Apache-2.0 */
/* The rule set: one shared strong value joins, a differing stack speaks against it. */
#include "identity/rule.h"

#include <math.h>
#include <string.h>

struct agreement {
	bool same, differs;
	struct sv value; /* the smallest shared one */
};

static bool
sv_less(struct sv a, struct sv b)
{
	int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

	return c != 0 ? c < 0 : a.n < b.n;
}

/* Do they share a value of this class; or do both have one in a common slot and share none? */
static struct agreement
agree(const struct identity_observation *a, const struct identity_observation *b,
      enum identity_class class)
{
	struct agreement g = {0};
	bool comparable = false, shared = false;

	for (size_t i = 0; i < a->nsignals; i++) {
		const struct identity_signal *x = &a->signals[i];

		for (size_t k = 0; x->class == class && k < b->nsignals; k++) {
			const struct identity_signal *y = &b->signals[k];

			if (y->class != class || !sv_eq(x->slot, y->slot))
				continue;
			comparable = true;
			if (!sv_eq(x->value, y->value))
				continue;
			if (x->common || y->common) {
				shared = true;
				continue;
			}
			if (!g.same || sv_less(x->value, g.value))
				g.value = x->value;
			g.same = true;
		}
	}
	g.differs = comparable && !g.same && !shared;
	return g;
}

double
identity_compare(const struct identity_observation *a, const struct identity_observation *b,
		 struct identity_evidence *ret, size_t *ret_n)
{
	double bits = 0;
	size_t n = 0;

	for (unsigned c = 0; c < IDENTITY_CLASS_COUNT; c++) {
		enum identity_class class = (enum identity_class)c;
		struct agreement g;
		double weight;

		if (class == IDENTITY_CLASS_NONE)
			continue;
		g = agree(a, b, class);
		weight = g.same	     ? identity_class_same(class)
			 : g.differs ? identity_class_differs(class)
				     : 0;
		if (weight == 0)
			continue;
		bits += weight;
		/* Both stacks the same is one piece of evidence, not two. */
		if (class == IDENTITY_CLASS_SSH && g.same && n > 0 &&
		    strcmp(ret[n - 1].signal, "tls") == 0 && ret[n - 1].weight > 0) {
			ret[n - 1].signal = "tls+ssh";
			ret[n - 1].weight += weight;
			continue;
		}
		ret[n++] = (struct identity_evidence){identity_class_word(class), g.value, weight};
	}
	*ret_n = n;
	return bits;
}

double
identity_probability(double bits)
{
	return round(1e4 / (1.0 + exp2(-bits))) / 1e4;
}

/* The change for this identity, or NULL. */
static struct identity_change *
find(struct identity_change *v, size_t n, const char *identity)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(v[i].other, identity) == 0)
			return &v[i];
	return NULL;
}

/* One entry in v for every identity among the candidates that `self` belongs with, strongest
 * candidate kept. */
static size_t
collect(const struct identity_observation *self, const struct identity_observation *candidates,
	size_t n, struct identity_change *v)
{
	struct identity_evidence why[IDENTITY_EVIDENCE_MAX];
	size_t found = 0, nwhy;

	for (size_t i = 0; i < n && i < IDENTITY_CANDIDATES_MAX; i++) {
		const struct identity_observation *c = &candidates[i];
		struct identity_change *have;
		double bits;

		if (!c->identity || strcmp(c->uuid, self->uuid) == 0)
			continue;
		bits = identity_compare(self, c, why, &nwhy);
		if (bits < IDENTITY_LINK_BITS)
			continue;
		have = find(v, found, c->identity);
		if (have && bits <= have->bits)
			continue;
		if (!have)
			have = &v[found++];
		*have = (struct identity_change){
			.kind = IDENTITY_MERGE, .other = c->identity, .candidate = i, .bits = bits};
	}
	return found;
}

size_t
identity_decide(const struct identity_observation *self,
		const struct identity_observation *candidates, size_t n,
		struct identity_change *ret)
{
	struct identity_change v[IDENTITY_CHANGES_MAX];
	size_t found = collect(self, candidates, n, v), oldest = 0, out = 0;
	const char *winner = self->identity;

	if (found == 0) {
		if (self->identity)
			return 0;
		ret[0] = (struct identity_change){.kind = IDENTITY_FORM};
		return 1;
	}
	for (size_t i = 0; i < found; i++) {
		if (strcmp(v[i].other, v[oldest].other) < 0)
			oldest = i;
	}
	if (!winner || strcmp(v[oldest].other, winner) < 0)
		winner = v[oldest].other;
	if (!self->identity)
		ret[out++] = (struct identity_change){.kind = IDENTITY_LINK,
						      .identity = winner,
						      .candidate = v[oldest].candidate,
						      .bits = v[oldest].bits};
	else if (strcmp(winner, self->identity) != 0)
		ret[out++] = (struct identity_change){.kind = IDENTITY_MERGE,
						      .identity = winner,
						      .other = self->identity,
						      .candidate = v[oldest].candidate,
						      .bits = v[oldest].bits};
	for (size_t i = 0; i < found; i++) {
		if (strcmp(v[i].other, winner) == 0 ||
		    (self->identity && strcmp(v[i].other, self->identity) == 0))
			continue;
		v[i].identity = winner;
		ret[out++] = v[i];
	}
	return out;
}
