/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOPOLOGY_OPS_H
#define TOPOLOGY_OPS_H

/*
 * Operations on a topology (contract 5.6): payload checks, and applying one to a model. Pure: what
 * an operation may see of the outside is struct topo_world. Used when an operation is enqueued (on
 * a copy), when it is applied, and by direct edits, so that all three agree.
 */

#include <jansson.h>

#include "topology/addr.h"
#include "topology/model.h"

enum topo_op {
#define OP(NAME, word, by_hand) TOPO_OP_##NAME,
#include "topology/ops.def"
#undef OP
	TOPO_OP_COUNT
};

const char *topo_op_word(enum topo_op op);
/* The operation of that word, or TOPO_OP_COUNT. */
enum topo_op topo_op_find(const char *word);
/* Whether a client may enqueue it by its name. */
bool topo_op_by_hand(enum topo_op op);

/* Whether it gives a LAN its subnet, so that the subnets of other topologies matter. */
bool topo_op_takes_subnet(enum topo_op op);

/* Called for each key of a payload that does not pass; `field` as `payload.lan`,
 * `payload.services.2`. */
typedef void topo_bad_fn(void *user, const char *field, const char *text);
/* Types, ranges, names, services and configurations of a payload. Returns how many fields were
 * reported. */
unsigned topo_op_check(enum topo_op op, const json_t *payload, topo_bad_fn *bad, void *user);

/* Why an operation was refused. */
struct topo_refusal {
	int status;	/* 409, or 422 for a value that only the store could show to be wrong */
	char field[64]; /* 422: the field, `payload.ip` */
	char text[512];
	json_t *issues; /* owned; validation found errors, else NULL */
};
void topo_refusal_fini(struct topo_refusal *r);

/*
 * Apply a payload that topo_op_check has passed to *t, in place, and validate the result. 0;
 * -EPERM: refused, *ret_refusal says why and *t is undefined (apply to a copy); -ENOMEM. Services
 * that must restart although they stay are noted in *ret_restart ("<decky uuid>/<service>" texts, a
 * new array) unless it is NULL.
 */
int topo_op_apply(struct topo *t, enum topo_op op, const json_t *payload,
		  const struct topo_world *w, struct topo_refusal *ret_refusal,
		  json_t **ret_restart) A_NODISCARD;
/* Likewise without the validation: for an operation that was accepted before, when what follows
 * validates the whole. */
int topo_op_change(struct topo *t, enum topo_op op, const json_t *payload,
		   const struct topo_world *w, struct topo_refusal *ret_refusal) A_NODISCARD;
/* Validate after an edit: 0 or -EPERM with the contract's text `post-apply validation failed for
 * <id>: <codes>` and the issues. */
int topo_op_validate(const struct topo *t, const struct topo_world *w,
		     struct topo_refusal *ret_refusal) A_NODISCARD;

/* Shared with direct edits: put a decky on a LAN. `ip` may be NULL (the lowest free one). The first
 * edge becomes home. 0 or -EPERM, -ENOMEM. */
int topo_join(struct topo *t, const char *decky_uuid, const char *lan_id, const char *ip,
	      bool is_bridge, bool forwards_l3, struct topo_refusal *ret_refusal,
	      struct topo_edge **ret_edge) A_NODISCARD;
/* Shared with direct edits: the subnet of a new LAN, given or the next free one. 0 or -EPERM. */
int topo_choose_subnet(const struct topo *t, const struct topo_world *w, const char *given,
		       char dst[TOPO_CIDR_SIZE], struct topo_refusal *ret_refusal) A_NODISCARD;
/* Check names of services (array) as contract 5.7 does; reports `<field>.<i>`. Returns how many
 * were reported. */
unsigned topo_check_services(const json_t *services, const char *field, topo_bad_fn *bad,
			     void *user);
/* Check {service: {key: value}}; reports `<field>.<service>.<key>`. Returns how many were reported.
 */
unsigned topo_check_service_config(const json_t *config, const char *field, topo_bad_fn *bad,
				   void *user);

#endif
