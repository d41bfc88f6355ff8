/* SPDX-License-Identifier: Apache-2.0 */
/* What is stored of identities: told to an engine at a restart, and when somebody else changed it.
 */
#include <errno.h>

#include "identity/state.h"

/* The component of a row at which an identity came or went: all of it is looked at. */
static void
disturb(struct identity_engine *e, uint32_t row)
{
	struct comp *c = &e->comps[e->rows[row].comp];

	c->eldest = NONE;
	c->flags |= COMP_LOST;
	if (forest_touch(e, e->rows[row].comp) < 0)
		e->failed = true;
}

static void
stand_on(struct identity_engine *e, uint32_t ident, uint32_t row)
{
	e->idents[ident].anchor = row;
	e->rest[row].anchored = ident;
	forest_ring_add(e, e->rows[row].comp, ident);
}

int
identity_engine_restore(struct identity_engine *e, const uint8_t uuid[IDENTITY_ID_BYTES],
			uint32_t anchor, uint32_t *ret_identity)
{
	uint32_t i;

	if (e->failed)
		return -ENOMEM;
	if (table_find_ident(e, uuid) != NONE)
		return -EEXIST;
	if (table_ident(e, uuid, &i) < 0) {
		e->failed = true;
		return -ENOMEM;
	}
	*ret_identity = i;
	if (anchor == NONE || e->rest[anchor].anchored != NONE)
		return 0;
	stand_on(e, i, anchor);
	e->rows[anchor].literal = i;
	return 0;
}

void
identity_engine_release(struct identity_engine *e, uint32_t identity)
{
	struct ident *i = &e->idents[identity];

	if (i->anchor != NONE) {
		forest_ring_remove(e, e->rows[i->anchor].comp, identity);
		e->rest[i->anchor].anchored = NONE;
		disturb(e, i->anchor);
	}
	i->anchor = i->into = i->yields = NONE;
	i->height = 0;
	if (anchor_suspect(e, identity) < 0)
		e->failed = true;
}

void
identity_engine_restore_anchor(struct identity_engine *e, uint32_t identity, uint32_t row)
{
	if (e->rest[row].anchored != NONE)
		return;
	stand_on(e, identity, row);
	disturb(e, row);
}

void
identity_engine_restore_merge(struct identity_engine *e, uint32_t loser, uint32_t winner)
{
	uint16_t height = e->idents[loser].height;

	e->idents[loser].into = winner;
	/* Heights add up along the way, however the merges are given. */
	for (uint32_t x = winner; x != NONE && e->idents[x].height < height + 1 && height < 64;
	     x = e->idents[x].into)
		e->idents[x].height = ++height;
}

void
identity_engine_yield(struct identity_engine *e, uint32_t loser, uint32_t winner)
{
	uint32_t x = winner;

	/* The later word counts: whoever was to give way to the loser does so no more. */
	for (unsigned i = 0; i < 64 && x != NONE; i++) {
		uint32_t next = e->idents[x].yields;

		if (next == loser)
			e->idents[x].yields = NONE;
		x = next;
	}
	e->idents[loser].yields = winner;
	e->yielding = true;
	for (unsigned i = 0; i < 2; i++) {
		uint32_t anchor = e->idents[i ? loser : winner].anchor;

		if (anchor == NONE)
			continue;
		e->comps[e->rows[anchor].comp].eldest = NONE;
		if (forest_touch(e, e->rows[anchor].comp) < 0 ||
		    anchor_suspect(e, i ? loser : winner) < 0)
			e->failed = true;
	}
}

void
identity_engine_restore_row(struct identity_engine *e, uint32_t row, uint32_t identity)
{
	const struct ident *i = &e->idents[identity];

	e->rows[row].literal = identity;
	if (i->anchor == NONE && e->rest[row].anchored == NONE)
		stand_on(e, identity, row);
	if (forest_check_row(e, row) < 0)
		e->failed = true;
}

uint64_t
identity_engine_time(const struct identity_engine *e)
{
	return e->time_ms;
}

void
identity_engine_set_time(struct identity_engine *e, uint64_t now_ms)
{
	if (now_ms > e->time_ms)
		e->time_ms = now_ms;
}
