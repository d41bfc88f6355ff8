/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETD_LOOK_H
#define NETD_LOOK_H

/*
 * The programs of the personas in the kernel, and the table that tells them which addresses are a
 * decky's own. They hang at the deckies' links in the fabric, and stay there when this process
 * ends; the next one puts its own in their place.
 *
 * Where the kernel does not take programs (in a user namespace, above all), a decky has the
 * settings of its persona and nothing else.
 */

#include <stdbool.h>
#include <stdint.h>

#include "netd/nl.h"
#include "netd/request.h"
#include "util/attr.h"
#include "util/err.h"

/* Pairs of link and address. */
#define LOOK_OWN_MAX 65536

struct look {
	bool on;
	int map;
	int out[NETD_PERSONA_COUNT], in[NETD_PERSONA_COUNT];
	int r; /* of the puts */
};

/* Load everything. 0, or a negative errno with the reason: then look->on is false, and every other
 * call does nothing. */
int look_open(struct look *look, struct err *e) A_NODISCARD;
/* What hangs at links stays there. */
void look_close(struct look *look);
/* Whether this process may load a program; the same reasons as look_open's. 0 or a negative errno.
 */
int look_try(struct err *e) A_NODISCARD;

/* The decky speaks at the link `index` with the address `ip`, or does not any more. */
void look_put_own(struct look *look, int index, uint32_t ip, const struct netd_id *decky);
void look_put_absent(struct look *look, int index, uint32_t ip);
/* The first failure of look_put_own since the last call: 0, or -ENOSPC. */
int look_check(struct look *look, struct err *e) A_NODISCARD;
/* Hang the programs of the persona at a link, or put them in place of those that hang there; to be
 * committed. */
void look_put_programs(const struct look *look, struct nl *nl, int index,
		       enum netd_persona persona);

#endif
