/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECOY_SERVICES_SNMP_MIB_H
#define DECOY_SERVICES_SNMP_MIB_H

/* What the management agent of a decky knows. Pure: values derive from the host and the clock. */

#include "decoy/service.h"
#include "decoy/services/ber.h"

/* The row of exactly this object, or -1. */
int mib_find(const struct ber_oid *oid);
/* The first row behind it, or -1 at the end of the tree. */
int mib_next(const struct ber_oid *oid);
/* Whether an object of that name has instances, though not this one. */
bool mib_has_object(const struct ber_oid *oid);
struct ber_oid mib_oid(int row);
/* Write the value of a row. */
void mib_put_value(struct ber_out *o, int row, const struct decoy_io *io);

#endif
