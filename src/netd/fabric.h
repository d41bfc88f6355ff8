/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETD_FABRIC_H
#define NETD_FABRIC_H

/*
 * The decoy networks as the kernel has them: LANs are bridges in the fabric's namespace, each decky
 * has a namespace of its own with one veth end for each LAN that it is on. All of it is read back
 * from the kernel at start. Every operation finds out first whether what it is to bring about is
 * there already; one that fails leaves nothing half done.
 */

#include <stdbool.h>
#include <stddef.h>

#include "netd/request.h"
#include "util/attr.h"
#include "util/err.h"

struct fabric;

/* Open what is there under `dir`, or begin with nothing. `uplink` is the interface, of the
 * namespace that the thread is in, that DMZ LANs are joined to, or NULL. 0, -EINVAL (the uplink is
 * of no use), or another negative errno. */
int fabric_new(const char *dir, const char *uplink, struct fabric **ret, struct err *e) A_NODISCARD;
/* The networks stay. */
void fabric_free(struct fabric *f);
/* Every namespace, link and name goes; then as fabric_free. */
void fabric_remove(struct fabric *f);

/*
 * Carry out one request, but for HELLO and LIST. 0: done; 1: it is done when fabric_settled says
 * so; a negative errno with a text. LISTEN sets *ret_fd, which is the caller's.
 */
int fabric_do(struct fabric *f, const struct netd_request *q, int *ret_fd,
	      struct err *e) A_NODISCARD;
/* Whether a request that fabric_do answered with 1 is done: 1, or 0 for not yet, or a negative
 * errno. */
int fabric_settled(struct fabric *f, const struct netd_request *q) A_NODISCARD;
/* Take away the links that requests have given up, all at once, which takes some 20 ms; to be
 * called soon after them. */
void fabric_flush(struct fabric *f);
/* Use a quiet moment for the flush, and to keep namespaces in stock. True when there is nothing to
 * do any more. */
bool fabric_prepare(struct fabric *f);

/*
 * Compare with the kernel and tell everything that is there: begin, then more until it does not say
 * 1. In between, requests may be carried out; what is told is how it is at the end. Whatever is
 * there against the table is read anew then. A new one ends one that is under way.
 *
 * 0 or a negative errno; more: 1, there is more to do; 0, all was told; a negative errno. A decky's
 * mark is that of its interfaces when they agree, else 0.
 */
typedef void fabric_list_fn(void *user, enum netd_kind kind, const struct netd_thing *t);
int fabric_list_begin(struct fabric *f, struct err *e) A_NODISCARD;
int fabric_list_more(struct fabric *f, fabric_list_fn *fn, void *user, struct err *e) A_NODISCARD;
void fabric_list_stop(struct fabric *f);

#endif
