/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telling what there is. Of thousands of deckies the kernel takes its time to say it, and requests
 * must not wait for that: so it is asked piece by piece whether all is as the table has it, and
 * only where it is not, all is read at once.
 */
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "netd/alias.h"
#include "netd/fabric_detail.h"
#include "util/log.h"

/* Names of one piece. */
#define PIECE_NAMES 64
/* Links of one piece whose programs are asked for. */
#define PIECE_LINKS 32
/* Links that were not as expected when they were told: changed meanwhile, or by somebody else. With
 * more of them reading all is cheaper than asking for each. */
#define DOUBTS_MAX  128

enum phase { PHASE_NAMES, PHASE_LINKS, PHASE_PROGRAMS, PHASE_END };

struct fabric_check {
	enum phase phase;
	size_t at;	 /* in the table, of the names or of the links' programs */
	bool differs;	 /* something is not as the table has it */
	uint8_t *linked; /* a bit for each link that is as it should be */
	bool bare;	 /* a link lacks a program */
	int end;	 /* links from this one on came later */
	int doubts[DOUBTS_MAX];
	size_t ndoubts;
	struct fabric *f;
	struct nl nl;
};

static void
set_bit(uint8_t *bits, int end, int index)
{
	if (index > 0 && index < end)
		bits[index / 8] |= (uint8_t)(1u << index % 8);
}

static bool
has_bit(const uint8_t *bits, int index)
{
	return bits[index / 8] & 1u << index % 8;
}

/* The entry of what the alias says, if all of it is as the table has it. */
static const struct table_entry *
find_entry(const struct table *t, int index, const char *alias)
{
	char expected[NETD_ALIAS_SIZE];
	const struct table_entry *entry;
	struct netd_thing thing;
	enum netd_kind kind;

	if (netd_alias_parse(sv_from(alias), &kind, &thing) < 0)
		return NULL;
	entry = kind == NETD_LAN ? table_lan(t, &thing.lan)
				 : table_nic(t, &thing.decky, &thing.lan);
	if (!entry || entry->index != index)
		return NULL;
	netd_alias_put(kind, &entry->thing, expected);
	return strcmp(alias, expected) == 0 ? entry : NULL;
}

static void
on_link(void *user, const struct nl_link *link)
{
	struct fabric_check *c = user;
	int lan;

	/* The trunk of a LAN is looked for with the LAN. */
	if (uplink_is_trunk(link->name, &lan) ||
	    (fabric_name_is_ours(link->name) && find_entry(&c->f->table, link->index, link->alias)))
		set_bit(c->linked, c->end, link->index);
	else if (fabric_name_is_ours(link->name) && c->ndoubts < DOUBTS_MAX)
		c->doubts[c->ndoubts++] = link->index;
	else if (fabric_name_is_ours(link->name))
		c->differs = true;
}

static void
check_names(struct fabric_check *c)
{
	const struct table *t = &c->f->table;
	char name[SPACE_NAME_SIZE];

	/* One that moves in the table meanwhile is looked at again, or the next time. */
	for (unsigned n = 0; n < PIECE_NAMES && c->at < t->n; c->at++) {
		const struct table_entry *entry = &t->v[c->at];

		if (entry->kind != NETD_DECKY)
			continue;
		space_name(&entry->thing.topology, &entry->thing.decky, name);
		c->differs |= !space_there(&c->f->space, name);
		n++;
	}
}

/* 0 or a negative errno. */
static int
check_programs(struct fabric_check *c)
{
	const struct table *t = &c->f->table;
	struct nl_hooked links[PIECE_LINKS];
	size_t n = 0;
	int r;

	/* One that moves in the table meanwhile is asked for the next time. */
	for (; n < PIECE_LINKS && c->at < t->n; c->at++)
		if (t->v[c->at].kind == NETD_NIC && t->v[c->at].index < c->end)
			links[n++].index = t->v[c->at].index;
	r = nl_find_bare(&c->nl, links, n, NULL);
	for (size_t i = 0; r == 0 && i < n; i++)
		c->bare |= links[i].bare;
	return r;
}

/* -- at the end, with nothing in between -- */

struct one_link {
	const struct table *table;
	bool as_expected;
};

static void
on_one(void *user, const struct nl_link *link)
{
	struct one_link *one = user;

	one->as_expected = find_entry(one->table, link->index, link->alias);
}

/* How the link is now: 1 as in the table, 0 not so, -ENODEV not there, another negative errno. */
static int
ask(struct fabric_check *c, int index)
{
	struct one_link one = {.table = &c->f->table};
	int r = nl_link(&c->nl, index, on_one, &one);

	return r < 0 ? r : one.as_expected;
}

/* What was told while it changed, and what was not told at all. */
static bool
settle_doubts(struct fabric_check *c)
{
	const struct table *t = &c->f->table;
	size_t asked = 0, deckies = 0;

	for (size_t i = 0; i < c->ndoubts; i++) {
		int r = ask(c, c->doubts[i]);

		if (r != 1 && r != -ENODEV)
			return false;
		if (r == 1)
			set_bit(c->linked, c->end, c->doubts[i]);
	}
	for (size_t i = 0; i < t->n; i++) {
		const struct table_entry *entry = &t->v[i];

		deckies += entry->kind == NETD_DECKY;
		if (entry->kind == NETD_DECKY || entry->index >= c->end ||
		    (has_bit(c->linked, entry->index) &&
		     (entry->trunk >= c->end || !entry->trunk || has_bit(c->linked, entry->trunk))))
			continue;
		if (++asked > DOUBTS_MAX || ask(c, entry->index) != 1 ||
		    (entry->trunk && ask(c, entry->trunk) == -ENODEV))
			return false;
	}
	return space_count(&c->f->space) == (int)deckies;
}

static void
check_free(struct fabric_check *c)
{
	if (!c)
		return;
	nl_close(&c->nl);
	free(c->linked);
	free(c);
}

/* The mark of all interfaces of a decky, or 0 when they differ or there are none. */
static uint64_t
mark_of(const struct table *t, const struct netd_id *decky)
{
	const struct table_entry *nic = NULL;
	uint64_t mark = 0;
	bool first = true;

	while ((nic = table_next_nic(t, decky, nic))) {
		if (!first && nic->thing.mark != mark)
			return 0;
		mark = nic->thing.mark;
		first = false;
	}
	return mark;
}

static int
end_list(struct fabric *f, fabric_list_fn *fn, void *user, struct err *e)
{
	struct fabric_check *c = TAKE(f->check);
	bool same, bare;
	int r = 0;

	fabric_flush(f);
	same = !c->differs && !f->doubtful && settle_doubts(c);
	bare = c->bare;
	check_free(c);
	if (!same) {
		log_plain(LV_INFO, "netd.differs");
		r = fabric_read(f, e);
	} else if (!fabric_bridges_are_told(f))
		r = fabric_tell(f, e);
	if (r == 0)
		f->doubtful = false;
	if (r == 0 && (!same || bare))
		r = fabric_hang_programs(f, e);
	for (size_t i = 0; r == 0 && i < f->table.n; i++) {
		struct table_entry *entry = &f->table.v[i];

		if (entry->kind == NETD_DECKY)
			entry->thing.mark = mark_of(&f->table, &entry->thing.decky);
		fn(user, entry->kind, &entry->thing);
	}
	return r;
}

int
fabric_list_begin(struct fabric *f, struct err *e)
{
	struct fabric_check *c = calloc(1, sizeof(*c));
	size_t bytes = (size_t)f->next_index / 8 + 1;
	int r;

	check_free(TAKE(f->check));
	if (!c)
		return err_set(e, -ENOMEM, "out of memory");
	c->f = f;
	c->nl.fd = -1;
	c->end = f->next_index;
	c->linked = calloc(bytes, 1);
	r = c->linked ? nl_open(&c->nl, e) : err_set(e, -ENOMEM, "out of memory");
	if (r < 0) {
		check_free(c);
		return r;
	}
	f->check = c;
	return 0;
}

/* The next piece. 1: there are more; 0; a negative errno. */
static int
next_piece(struct fabric_check *c)
{
	int r;

	switch (c->phase) {
	case PHASE_NAMES:
		check_names(c);
		if (c->at < c->f->table.n)
			return 1;
		c->phase = PHASE_LINKS;
		r = nl_links_begin(&c->nl);
		return r < 0 ? r : 1;
	case PHASE_LINKS:
		r = nl_links_more(&c->nl, on_link, c);
		if (r != 0)
			return r;
		c->phase = c->f->look.on ? PHASE_PROGRAMS : PHASE_END;
		c->at = 0;
		return 1;
	case PHASE_PROGRAMS:
		r = check_programs(c);
		if (c->at >= c->f->table.n)
			c->phase = PHASE_END;
		return r < 0 ? r : 1;
	case PHASE_END: break;
	}
	return 0;
}

int
fabric_list_more(struct fabric *f, fabric_list_fn *fn, void *user, struct err *e)
{
	int r = next_piece(f->check);

	if (r > 0)
		return 1;
	/* Whatever ails the pieces, the whole may still be read. */
	if (r < 0)
		f->check->differs = true;
	return end_list(f, fn, user, e);
}

void
fabric_list_stop(struct fabric *f)
{
	check_free(TAKE(f->check));
}
