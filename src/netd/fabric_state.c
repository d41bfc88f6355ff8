/* SPDX-License-Identifier: Apache-2.0 */
/* The life of the fabric, and reading from the kernel what there is. */
#include <errno.h>
#include <linux/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netd/alias.h"
#include "netd/fabric_detail.h"
#include "util/log.h"

/* Above what the kernel hands out by itself in a namespace of a few links. */
#define FIRST_INDEX 1000
/* Links that are marked with one message of the batch each. */
#define GONE_BATCH  200
/* Messages about ports, likewise; of each port there are three. */
#define PORTS_BATCH 90
/* Links that may wait, cut off, for a quiet moment. */
#define SILENT_MAX  32

static void
give_up_link(struct fabric *f, const struct table_entry *entry)
{
	if (!table_add(&f->gone, entry))
		log_plain(LV_WARN, "netd.links.left");
}

void
fabric_give_up(struct fabric *f, struct table_entry *entry)
{
	give_up_link(f, entry);
	table_remove(&f->table, entry);
}

void
fabric_put_nic(struct fabric *f, const struct table_entry *nic)
{
	const struct table_entry *entry = NULL;
	char port[IFNAMSIZ], other[IFNAMSIZ];

	(void)snprintf(port, sizeof(port), "p%d", nic->index);
	while ((entry = table_next_nic(&f->table, &nic->thing.decky, entry))) {
		if (entry->index == nic->index)
			continue;
		(void)snprintf(other, sizeof(other), "p%d", entry->index);
		fence_put_own(f->fence, other, nic->thing.ip, true);
		fence_put_own(f->fence, port, entry->thing.ip, true);
		look_put_own(&f->look, entry->index, nic->thing.ip, &nic->thing.decky);
		look_put_own(&f->look, nic->index, entry->thing.ip, &nic->thing.decky);
	}
	look_put_own(&f->look, nic->index, nic->thing.ip, &nic->thing.decky);
	fence_put_port(f->fence, port, nic->thing.ip, nic->thing.flags & NETD_FORWARD);
}

/* The fence forgets an interface that is gone, unless its address has moved on to another port
 * meanwhile. */
static void
put_gone(struct fabric *f, const struct table_entry *gone)
{
	bool moved = table_has_address(&f->table, gone->thing.ip);
	const struct table *tables[] = {&f->table, &f->gone};
	char port[IFNAMSIZ], other[IFNAMSIZ];

	(void)snprintf(port, sizeof(port), "p%d", gone->index);
	for (size_t k = 0; k < ARRAY_LEN(tables); k++) {
		const struct table_entry *entry = NULL;

		while ((entry = table_next_nic(tables[k], &gone->thing.decky, entry))) {
			if (entry->index == gone->index)
				continue;
			fence_put_own(f->fence, port, entry->thing.ip, false);
			look_put_absent(&f->look, gone->index, entry->thing.ip);
			(void)snprintf(other, sizeof(other), "p%d", entry->index);
			if (moved)
				continue;
			fence_put_own(f->fence, other, gone->thing.ip, false);
			look_put_absent(&f->look, entry->index, gone->thing.ip);
		}
	}
	look_put_absent(&f->look, gone->index, gone->thing.ip);
	fence_put_gone(f->fence, port, gone->thing.ip, moved);
}

/* Its bridge no longer answers for it. */
static void
forget_address(struct fabric *f, const struct table_entry *gone)
{
	const struct table_entry *lan = table_lan(&f->table, &gone->thing.lan);

	if (gone->kind == NETD_NIC && lan && !table_has_address(&f->table, gone->thing.ip))
		nl_put_forget(&f->nl, lan->index, gone->thing.ip);
}

bool
fabric_silence(struct fabric *f, const struct netd_id *decky)
{
	const struct table_entry *entry = NULL;
	char port[IFNAMSIZ];
	struct err e = {0};

	if (f->gone.n > SILENT_MAX)
		return false;
	while ((entry = table_next_nic(&f->gone, decky, entry))) {
		(void)snprintf(port, sizeof(port), "p%d", entry->index);
		fence_put_silent(f->fence, port);
	}
	if (fence_commit(f->fence, &e) < 0) {
		log_event(LV_WARN, "netd.fence", KV_S("why", err_text(&e)));
		return false;
	}
	while ((entry = table_next_nic(&f->gone, decky, entry)))
		forget_address(f, entry);
	/* One that was forgotten before. */
	if (nl_commit(&f->nl, &e) < 0)
		log_event(LV_DEBUG, "netd.address.none", KV_S("why", err_text(&e)));
	return true;
}

/* A link that was never made is gone already. */
static void
send_gone(struct fabric *f)
{
	struct err e = {0};

	if (nl_commit(&f->nl, &e) < 0)
		log_event(LV_DEBUG, "netd.links.none", KV_S("why", err_text(&e)));
}

void
fabric_flush(struct fabric *f)
{
	struct err e = {0};

	if (f->gone.n == 0)
		return;
	/* One after the other, each waits until no processor uses it any more; a group, once. */
	for (size_t i = 0; i < f->gone.n; i++) {
		nl_put_group(&f->nl, f->gone.v[i].index, NL_GROUP_GONE);
		if (f->gone.v[i].trunk)
			nl_put_group(&f->nl, f->gone.v[i].trunk, NL_GROUP_GONE);
		if (f->nl.count >= GONE_BATCH)
			send_gone(f);
	}
	send_gone(f);
	nl_put_delete_group(&f->nl, NL_GROUP_GONE);
	send_gone(f);
	for (size_t i = 0; i < f->gone.n; i++) {
		forget_address(f, &f->gone.v[i]);
		if (f->nl.count >= GONE_BATCH)
			send_gone(f);
	}
	send_gone(f);
	/* Only now: as long as a port is there, it is watched. */
	for (size_t i = 0; i < f->gone.n; i++)
		if (f->gone.v[i].kind == NETD_NIC)
			put_gone(f, &f->gone.v[i]);
	table_clear(&f->gone);
	if (fence_commit(f->fence, &e) < 0)
		log_event(LV_WARN, "netd.fence", KV_S("why", err_text(&e)));
}

/* -- reading -- */

struct scan {
	struct fabric *f;
	struct table table;
	int highest;
	struct table stray;  /* links of ours that belong to nothing */
	struct table trunks; /* the place of the LAN's index is taken by `trunk` */
	bool no_memory;
};

static void
on_space(void *user, const char *name)
{
	struct scan *scan = user;
	struct table_entry decky = {.kind = NETD_DECKY};
	struct sv rest = sv_from(name);

	if (netd_id_parse(sv_cut(&rest, '.'), &decky.thing.topology) < 0 ||
	    netd_id_parse(rest, &decky.thing.decky) < 0)
		return;
	decky.thing.persona = TABLE_PERSONA_UNKNOWN;
	scan->no_memory |= !table_add(&scan->table, &decky);
}

bool
fabric_name_is_ours(const char *name)
{
	uint64_t number;

	return (name[0] == 'p' || name[0] == 'b') &&
	       sv_u64(sv_from(name + 1), INT32_MAX, &number) == 0;
}

static void
add_nic(struct scan *scan, struct table_entry *entry)
{
	struct table_entry *decky = table_decky(&scan->table, &entry->thing.decky);
	struct table_entry *twin = table_nic(&scan->table, &entry->thing.decky, &entry->thing.lan);

	/* A decky whose namespace is gone has no interfaces. */
	if (!decky || !netd_id_eq(&decky->thing.topology, &entry->thing.topology) ||
	    (twin && twin->index != entry->index)) {
		scan->no_memory |= !table_add(&scan->stray, entry);
		return;
	}
	if (twin)
		return;
	decky->thing.persona = entry->thing.persona;
	decky->thing.flags = entry->thing.flags;
	scan->no_memory |= !table_add(&scan->table, entry);
}

static void
on_link(void *user, const struct nl_link *link)
{
	struct scan *scan = user;
	struct table_entry entry = {.index = link->index};

	if (link->index > scan->highest)
		scan->highest = link->index;
	if (uplink_is_trunk(link->name, &entry.trunk))
		scan->no_memory |= !table_add(&scan->trunks, &entry);
	if (!fabric_name_is_ours(link->name))
		return;
	if (netd_alias_parse(sv_from(link->alias), &entry.kind, &entry.thing) < 0)
		scan->no_memory |= !table_add(&scan->stray, &entry);
	else if (entry.kind == NETD_NIC)
		add_nic(scan, &entry);
	else if (!table_lan(&scan->table, &entry.thing.lan))
		scan->no_memory |= !table_add(&scan->table, &entry);
}

/* An interface whose LAN is gone is on no network. */
static void
drop_lost(struct scan *scan)
{
	for (size_t i = scan->table.n; i-- > 0;) {
		struct table_entry *entry = &scan->table.v[i];

		if (entry->kind != NETD_NIC || table_lan(&scan->table, &entry->thing.lan))
			continue;
		scan->no_memory |= !table_add(&scan->stray, entry);
		table_remove(&scan->table, entry);
	}
}

/* LANs get their trunks; those without a LAN go. */
static void
tie_trunks(struct scan *scan)
{
	for (size_t i = 0; i < scan->trunks.n; i++) {
		struct table_entry *trunk = &scan->trunks.v[i];
		bool tied = false;

		for (size_t k = 0; k < scan->table.n; k++) {
			struct table_entry *lan = &scan->table.v[k];

			if (lan->kind != NETD_LAN || lan->index != trunk->trunk)
				continue;
			lan->trunk = trunk->index;
			tied = true;
		}
		trunk->trunk = 0;
		if (!tied)
			scan->no_memory |= !table_add(&scan->stray, trunk);
	}
}

/* A port that has just gone is found missing by the next list. */
static void
send_ports(struct fabric *f)
{
	struct err e = {0};

	if (nl_commit(&f->nl, &e) < 0)
		log_event(LV_WARN, "netd.ports", KV_S("why", err_text(&e)));
}

static void
tell_bridges(struct fabric *f)
{
	for (size_t i = 0; i < f->table.n; i++) {
		if (f->table.v[i].kind == NETD_LAN)
			nl_put_bridge_address(&f->nl, f->table.v[i].index);
		if (f->nl.count >= PORTS_BATCH)
			send_ports(f);
	}
	for (size_t i = 0; i < f->table.n; i++) {
		const struct table_entry *nic = &f->table.v[i], *lan;

		lan = nic->kind == NETD_NIC ? table_lan(&f->table, &nic->thing.lan) : NULL;
		if (lan)
			nl_put_port(&f->nl, nic->index, lan->index, nic->thing.ip, nic->thing.mac,
				    NULL);
		if (f->nl.count >= PORTS_BATCH)
			send_ports(f);
	}
	send_ports(f);
}

bool
fabric_bridges_are_told(struct fabric *f)
{
	int n = nl_addresses(&f->nl);

	for (size_t i = 0; i < f->table.n; i++)
		n -= f->table.v[i].kind == NETD_NIC;
	return n >= 0;
}

/* The fence anew, from the table. */
static int
rebuild_fence(struct fabric *f, struct err *e)
{
	fence_put_rules(f->fence);
	for (size_t i = 0; i < f->table.n; i++)
		if (f->table.v[i].kind == NETD_NIC)
			fabric_put_nic(f, &f->table.v[i]);
	return fence_commit(f->fence, e);
}

int
fabric_tell(struct fabric *f, struct err *e)
{
	tell_bridges(f);
	return rebuild_fence(f, e);
}

/* Programs at the links that lack one, or, with `all`, this version's at every one. */
static int
hang_programs(struct fabric *f, bool all, struct err *e)
{
	struct nl_hooked *links = NULL;
	size_t n = 0, at = 0;
	int r;

	if (!f->look.on)
		return 0;
	r = look_check(&f->look, e);
	links = calloc(f->table.n + 1, sizeof(*links));
	if (!links)
		return err_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < f->table.n; i++)
		if (f->table.v[i].kind == NETD_NIC)
			links[n++] = (struct nl_hooked){f->table.v[i].index, true};
	if (r == 0 && !all)
		r = nl_find_bare(&f->nl, links, n, e);
	for (size_t i = 0; r == 0 && i < f->table.n; i++) {
		const struct table_entry *nic = &f->table.v[i];

		if (nic->kind != NETD_NIC || !links[at++].bare)
			continue;
		look_put_programs(&f->look, &f->nl, nic->index,
				  (enum netd_persona)nic->thing.persona);
		r = nl_commit(&f->nl, e);
		if (r == 0 && !all)
			log_event(LV_WARN, "netd.look.mended", KV_I("link", nic->index));
	}
	free(links);
	return r;
}

/* The table as the kernel has it. What is unfinished or belongs to nothing goes. 1 when it was not
 * what we thought, 0, or a negative errno. */
static int
scan(struct fabric *f, struct err *e)
{
	struct scan scan = {.f = f};
	int r = space_each(&f->space, on_space, &scan, e);

	if (r == 0)
		r = nl_links(&f->nl, on_link, &scan, e);
	drop_lost(&scan);
	tie_trunks(&scan);
	if (r == 0 && scan.no_memory)
		r = err_set(e, -ENOBUFS, "more networks than fit");
	if (r == 0) {
		for (size_t i = 0; i < scan.stray.n; i++)
			give_up_link(f, &scan.stray.v[i]);
		if (scan.stray.n > 0)
			log_event(LV_WARN, "netd.strays", KV_U("links", scan.stray.n));
		if (scan.highest >= f->next_index)
			f->next_index = scan.highest + 1;
		/* Marks and personas are only read from here: the comparison is of what is
		 * there. */
		r = table_equal(&scan.table, &f->table) ? 0 : 1;
		table_fini(&f->table);
		f->table = scan.table;
		scan.table = (struct table){0};
		fabric_flush(f);
	}
	table_fini(&scan.table);
	table_fini(&scan.stray);
	table_fini(&scan.trunks);
	return r;
}

int
fabric_read(struct fabric *f, struct err *e)
{
	int r = scan(f, e);

	if (r > 0 || (r == 0 && !fabric_bridges_are_told(f)))
		r = fabric_tell(f, e);
	return r;
}

int
fabric_hang_programs(struct fabric *f, struct err *e)
{
	return hang_programs(f, false, e);
}

bool
fabric_prepare(struct fabric *f)
{
	return space_fill(&f->space);
}

/* -- life -- */

/* DMZ LANs that are older than the uplink. */
static int
tie_lans(struct fabric *f, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && f->uplink.on && i < f->table.n; i++) {
		struct table_entry *lan = &f->table.v[i];

		if (lan->kind != NETD_LAN || lan->trunk || !(lan->thing.flags & NETD_DMZ))
			continue;
		uplink_put_trunk(&f->uplink, &f->nl, lan->index, &f->next_index, &lan->trunk);
		r = nl_commit(&f->nl, e);
	}
	return r;
}

int
fabric_new(const char *dir, const char *uplink, struct fabric **ret, struct err *e)
{
	struct fabric *f = calloc(1, sizeof(*f));
	struct err why = {0};
	int r;

	if (!f)
		return err_set(e, -ENOMEM, "out of memory");
	f->nl.fd = f->inner.fd = -1;
	f->next_index = FIRST_INDEX;
	f->space.home = -1;
	r = uplink_open(&f->uplink, uplink, e);
	if (r == 0)
		r = uplink_deafen(&f->uplink, e);
	if (look_open(&f->look, &why) < 0)
		log_event(LV_WARN, "netd.look.settings_only", KV_S("why", err_text(&why)));
	if (r == 0)
		r = space_open(&f->space, dir, e);
	f->space.own_clock = f->look.on;
	if (r == 0)
		r = nl_open(&f->nl, e);
	if (r == 0)
		r = fence_new(&f->fence, e);
	if (r == 0)
		r = scan(f, e);
	/* The rules of this version, whatever was there. */
	if (r >= 0 && !fabric_bridges_are_told(f))
		tell_bridges(f);
	if (r >= 0)
		r = rebuild_fence(f, e);
	if (r == 0)
		r = hang_programs(f, true, e);
	if (r == 0)
		r = uplink_join(&f->uplink, &f->nl, f->space.home, &f->next_index, e);
	if (r == 0)
		r = tie_lans(f, e);
	if (r < 0) {
		fabric_free(f);
		return r;
	}
	*ret = f;
	return 0;
}

void
fabric_free(struct fabric *f)
{
	if (!f)
		return;
	fabric_list_stop(f);
	fence_free(f->fence);
	look_close(&f->look);
	nl_close(&f->nl);
	uplink_close(&f->uplink);
	table_fini(&f->table);
	table_fini(&f->gone);
	space_close(&f->space);
	free(f);
}

void
fabric_remove(struct fabric *f)
{
	struct err e = {0};

	/* First: without names all of it ends with this process, also if that is not given the time
	 * for the rest. */
	space_unname(&f->space);
	fabric_flush(f);
	nl_put_delete_group(&f->nl, NL_GROUP_LIVE);
	/* -ENODEV: there is none. */
	if (nl_commit(&f->nl, &e) < 0)
		log_event(LV_DEBUG, "netd.remove", KV_S("why", err_text(&e)));
	space_remove(&f->space);
	fabric_free(f);
}
