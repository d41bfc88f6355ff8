/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETD_FABRIC_DETAIL_H
#define NETD_FABRIC_DETAIL_H

/* Between fabric.c, fabric_list.c and fabric_state.c only. */

#include "netd/fabric.h"
#include "netd/fence.h"
#include "netd/look.h"
#include "netd/nl.h"
#include "netd/space.h"
#include "netd/table.h"
#include "netd/uplink.h"

#define FABRIC_OPER_UP 6 /* IF_OPER_UP, RFC 2863 */

struct fabric {
	struct space space;
	struct fence *fence;
	struct look look;
	struct uplink uplink;
	struct table table;
	int next_index; /* of links; never used twice in one life, since old names live a while */
	struct table gone;	    /* links that wait for the flush */
	struct nl nl;		    /* in the fabric */
	struct nl inner;	    /* opened in a decky's namespace for a moment */
	bool doubtful;		    /* a request failed: the table may not be what the kernel has */
	struct fabric_check *check; /* a list under way, or NULL */
};

/* Let a LAN's or interface's link go with the next flush, and forget the entry. */
void fabric_give_up(struct fabric *f, struct table_entry *entry);
/* Off the wire at once: what was given up of the decky is cut off, so that the flush may come when
 * nobody waits for it. False when that failed or too much has been given up: then it is off the
 * wire with the flush. */
bool fabric_silence(struct fabric *f, const struct netd_id *decky);

/* Tell the fence and the programs of an interface of the table, of its decky's other ones as well;
 * to be committed and checked. */
void fabric_put_nic(struct fabric *f, const struct table_entry *nic);

/* Names that only we give links: a letter and a number. */
bool fabric_name_is_ours(const char *name);

/* The table as the kernel has it, all at once; what is unfinished or belongs to nothing goes, and
 * bridges and fence hear of it. 0 or a negative errno. */
int fabric_read(struct fabric *f, struct err *e) A_NODISCARD;
/* Whether no bridge has been made to forget whom it answers for. */
bool fabric_bridges_are_told(struct fabric *f);
/* What the bridges know of their ports, and the fence, anew from the table. 0 or a negative errno.
 */
int fabric_tell(struct fabric *f, struct err *e) A_NODISCARD;
/* Programs at the links that lack one. 0 or a negative errno. */
int fabric_hang_programs(struct fabric *f, struct err *e) A_NODISCARD;

#endif
