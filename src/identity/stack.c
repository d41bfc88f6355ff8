/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which stacks the rows of a component have, as far as it says whether a cut could part them.
 *
 * A cut refuses to join two groups when both have three rows or more and their shares of every
 * comparable slot overlap by less than 15 %. So none is refused
 *  - in a component of fewer than six rows;
 *  - where no slot has two values: what is comparable overlaps wholly;
 *  - where all rows but two at most have the same value of a slot: in any group of three somebody
 * has it, and at most two have another, so its share is a third or more in both groups. Such a
 * component is one cluster, whatever its links are, and only counters are kept of it.
 */
#include "identity/state.h"

enum { GROUPS_MIN = 6, ODD_MOST = 2, ODD_MANY = UINT8_MAX };

static uint32_t
value_of(const struct row *r, unsigned slot)
{
	return r->n[slot] ? row_values(r, slot)[0] : NONE;
}

/* ODD_MANY stays: how many they are is not known any more. */
static uint8_t
odd_sum(uint32_t a, uint32_t b)
{
	return a >= ODD_MANY || b >= ODD_MANY - a ? ODD_MANY : (uint8_t)(a + b);
}

void
stack_enter(struct identity_engine *e, uint32_t row)
{
	const struct row *r = &e->rows[row];
	struct comp *c = &e->comps[r->comp];

	for (unsigned s = TLS; s <= SSH; s++) {
		uint32_t v = value_of(r, s);

		if (v != NONE && c->most[s] == NONE)
			c->most[s] = v;
		if (v == NONE || v != c->most[s])
			c->odd[s] = odd_sum(c->odd[s], 1);
		if (v != NONE && v != c->most[s])
			c->flags |= (uint16_t)(COMP_MIXED << s);
	}
}

void
stack_leave(struct identity_engine *e, uint32_t row)
{
	const struct row *r = &e->rows[row];
	struct comp *c = &e->comps[r->comp];

	for (unsigned s = TLS; s <= SSH; s++) {
		uint32_t v = value_of(r, s);

		if ((v == NONE || v != c->most[s]) && c->odd[s] != ODD_MANY)
			c->odd[s]--;
	}
}

/* Rows without the commoner value may be counted twice: never too few. */
void
stack_join(struct comp *into, const struct comp *from)
{
	into->flags |= from->flags & (COMP_MIXED << TLS | COMP_MIXED << SSH);
	for (unsigned s = TLS; s <= SSH; s++) {
		if (into->most[s] == from->most[s]) {
			into->odd[s] = odd_sum(into->odd[s], from->odd[s]);
			continue;
		}
		if (into->most[s] != NONE && from->most[s] != NONE)
			into->flags |= (uint16_t)(COMP_MIXED << s);
		if (into->most[s] == NONE ||
		    (from->most[s] != NONE &&
		     from->size - from->odd[s] > into->size - into->odd[s])) {
			into->most[s] = from->most[s];
			into->odd[s] = odd_sum(into->size, from->odd[s]);
		} else {
			into->odd[s] = odd_sum(into->odd[s], from->size);
		}
	}
}

/* The value that most rows have, if more than half of those with any have one; else some value. */
static uint32_t
vote(const struct identity_engine *e, uint32_t head, unsigned slot)
{
	uint32_t row = head, best = NONE;
	size_t lead = 0;

	do {
		uint32_t v = value_of(&e->rows[row], slot);

		if (v != NONE && lead == 0)
			best = v;
		if (v != NONE)
			lead = v == best ? lead + 1 : lead - 1;
		row = e->rest[row].next;
	} while (row != head);
	return best;
}

static void
recount(struct identity_engine *e, uint32_t comp)
{
	struct comp *c = &e->comps[comp];
	uint32_t row = c->head;

	for (unsigned s = TLS; s <= SSH; s++) {
		c->most[s] = vote(e, c->head, s);
		c->odd[s] = 0;
		c->flags &= (uint16_t) ~(COMP_MIXED << s);
	}
	do {
		stack_enter(e, row);
		row = e->rest[row].next;
	} while (row != c->head);
}

static bool
perhaps(const struct comp *c)
{
	return c->size >= GROUPS_MIN && (c->flags & (COMP_MIXED << TLS | COMP_MIXED << SSH)) != 0 &&
	       c->odd[TLS] > ODD_MOST && c->odd[SSH] > ODD_MOST;
}

bool
stack_contested(struct identity_engine *e, uint32_t comp)
{
	if (!perhaps(&e->comps[comp]))
		return false;
	recount(e, comp);
	return perhaps(&e->comps[comp]);
}
