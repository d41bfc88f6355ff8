/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETD_ALIAS_H
#define NETD_ALIAS_H

/*
 * What a link of the fabric is for, as it is written into its `ifalias`: whoever reads the links
 * knows what there is, also after a crash. It is set last, so a link without one is unfinished.
 * Pure.
 *
 *	decnet1 lan <topology> <lan> 172.16.0.0/24 dmz
 *	decnet1 nic <topology> <decky> <lan> 172.16.0.2/24 00:0c:29:aa:bb:cc 0 1 host 1f00…
 *
 * Place, persona, whether it forwards. The last word of a decky's interfaces is its mark: the
 *driver's digest of all that is not in the other words. It is 0 until everything was set.
 */

#include "netd/request.h"

#define NETD_ALIAS_SIZE 256

/* kind is NETD_LAN or NETD_NIC. */
void netd_alias_put(enum netd_kind kind, const struct netd_thing *t, char dst[NETD_ALIAS_SIZE]);
/* 0, or -EBADMSG when it is none of ours. */
int netd_alias_parse(struct sv text, enum netd_kind *ret_kind, struct netd_thing *ret) A_NODISCARD;

#endif
