/* SPDX-License-Identifier: Apache-2.0 */
/* Which rows of a topology operations look at. */
#include "topology/part.h"

#include <errno.h>

#include "util/json.h"

/* Of deckies: each is looked for by itself. */
#define NAMED_MAX 64

int
topo_part_init(struct topo_part *p)
{
	*p = (struct topo_part){.deckies = json_object(), .lans = json_object()};
	return p->deckies && p->lans ? 0 : -ENOMEM;
}

void
topo_part_fini(struct topo_part *p)
{
	json_decref(p->deckies);
	json_decref(p->lans);
	*p = (struct topo_part){0};
}

int
topo_part_add_decky(struct topo_part *p, const char *name)
{
	if (json_object_set_new(p->deckies, name, json_true()) < 0)
		return -ENOMEM;
	p->whole |= json_object_size(p->deckies) > NAMED_MAX;
	return 0;
}

/* A LAN whose addresses count. */
static int
add_lan(struct topo_part *p, const char *name, bool deckies)
{
	if (!deckies && json_object_get(p->lans, name))
		return 0;
	return json_object_set_new(p->lans, name, json_boolean(deckies)) < 0 ? -ENOMEM : 0;
}

int
topo_part_add(struct topo_part *p, enum topo_op op, const json_t *payload)
{
	const char *name = json_get_text(payload, "name"), *decky = json_get_text(payload, "decky"),
		   *lan = json_get_text(payload, "lan");
	int r = 0;

	p->subnets |= topo_op_takes_subnet(op);
	switch (op) {
	case TOPO_OP_ADD_DECKY:
		r = topo_part_add_decky(p, name);
		return r < 0 ? r : add_lan(p, lan, false);
	case TOPO_OP_ATTACH_DECKY:
		r = topo_part_add_decky(p, decky);
		return r < 0 ? r : add_lan(p, lan, false);
	case TOPO_OP_DETACH_DECKY:
	case TOPO_OP_REMOVE_DECKY:
	case TOPO_OP_UPDATE_DECKY:
	case TOPO_OP_SERVICE_ADD:
	case TOPO_OP_SERVICE_REMOVE:
	case TOPO_OP_SERVICE_CONFIG: return topo_part_add_decky(p, decky);
	case TOPO_OP_REMOVE_LAN: return add_lan(p, name, true);
	case TOPO_OP_UPDATE_LAN:
		/* What is named after it may be stored under the old name. */
		p->whole |= json_object_get(json_object_get(payload, "patch"), "name") != NULL;
		break;
	case TOPO_OP_ADD_LAN:
	case TOPO_OP_COUNT: break;
	}
	return 0;
}
