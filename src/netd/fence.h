/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETD_FENCE_H
#define NETD_FENCE_H

/*
 * The fence: rules in the fabric that drop whatever a decky begins by itself. Even a taken-over
 * decoy process, whose sockets are in the deckies' namespaces, gets no flow out: answers pass, new
 * flows do not, other addresses than the port's own do not, unless the decky is a declared router,
 * and then only between an attacker and a decky.
 */

#include <stdbool.h>
#include <stdint.h>

#include "util/attr.h"
#include "util/err.h"

struct fence;

/* For the namespace that the thread is in. 0 or a negative errno. */
int fence_new(struct fence **ret, struct err *e) A_NODISCARD;
void fence_free(struct fence *f);

/* Changes are collected, and made by fence_commit all at once or not at all. */
/* Begin anew: the rules, and no deckies. */
void fence_put_rules(struct fence *f);
/* A port of a decky and the address behind it. Adding what is there and removing what is not is
 * fine. `moved`: the address is another port's now. */
void fence_put_port(struct fence *f, const char *port, uint32_t ip, bool router);
void fence_put_router(struct fence *f, const char *port, bool is);
/* Nothing passes the port any more, in either direction; until fence_put_gone. */
void fence_put_silent(struct fence *f, const char *port);
void fence_put_gone(struct fence *f, const char *port, uint32_t ip, bool moved);
/* Whether a port's decky has that address, too: a host with several answers from any of them by the
 * shortest way. */
void fence_put_own(struct fence *f, const char *port, uint32_t ip, bool has);
/* 0 or a negative errno with the reason; what was collected is forgotten either way. */
int fence_commit(struct fence *f, struct err *e) A_NODISCARD;

/* Whether this kernel has what the rules need: puts them into the namespace that the thread is in.
 * 0 or a negative errno. */
int fence_try(struct err *e) A_NODISCARD;

/* Of the namespace that the thread is in: what comes in by the interface goes no further than to
 * whoever takes all of it, as a macvlan does. It stays so. 0 or a negative errno. */
int fence_deafen(const char *interface, struct err *e) A_NODISCARD;

#endif
