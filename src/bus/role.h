/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUS_ROLE_H
#define BUS_ROLE_H

/* Who may publish what (contract 4.4). Pure. */

#include <stdbool.h>
#include <stdint.h>

#include "util/attr.h"
#include "util/sv.h"

enum bus_role {
#define BUS_ROLE(name, word) BUS_ROLE_##name,
#define BUS_MAY(role, pattern)
#include "bus/roles.def"
#undef BUS_ROLE
#undef BUS_MAY
	BUS_ROLE_COUNT
};

/* A set of roles. */
#define BUS_ROLE_BIT(role) (1u << (role))
#define BUS_ROLE_ALL	   (BUS_ROLE_BIT(BUS_ROLE_COUNT) - 1u)

const char *bus_role_word(enum bus_role role);
/* The role of this word, or BUS_ROLE_COUNT. */
enum bus_role bus_role_find(struct sv word);
/* The role that a CONNECT name (`decnet-<role>`) asks for, if `granted` has it; else guest. */
enum bus_role bus_role_of_name(struct sv name, unsigned granted);
/* Whether the role may publish on this valid subject. */
bool bus_role_may(enum bus_role role, struct sv subject);

#endif
