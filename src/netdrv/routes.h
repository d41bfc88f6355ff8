/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETDRV_ROUTES_H
#define NETDRV_ROUTES_H

/* The ways between LANs through deckies that forward. Pure; see netdrv/wanted.h. */

#include "netdrv/wanted.h"

/* Fill w->routes from the other parts. 0 or -ENOMEM. */
int routes_fill(struct wanted *w) A_NODISCARD;

#endif
