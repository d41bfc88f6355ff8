/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MUTATOR_ADDRESS_H
#define MUTATOR_ADDRESS_H

/* The driver's addresses of the deckies of one work. */

#include "mutator/work.h"
#include "util/attr.h"

/* Each decky of the work gets the address that the store remembers, or a new one, which is marked
 * as given. 0, -EADDRNOTAVAIL when none is left, -ENOMEM; what was given by then stays marked. */
int address_assign(struct netdrv *d, struct work *w) A_NODISCARD;
/* The work came to nothing: what address_assign gave is free again. */
void address_release(struct netdrv *d, const struct work *w);

#endif
