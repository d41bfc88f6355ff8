/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETD_SETTING_H
#define NETD_SETTING_H

/*
 * The settings of network namespaces, as files under /proc/sys/net. Every namespace has its own of
 * the same names, and the kernel's cache of names keeps all of those in one chain, which is walked
 * to its end for each namespace that is new: with thousands of them that takes longer than all the
 * rest. So the names are looked up in many procfs of our own, each with a share of the namespaces.
 */

#include <stddef.h>

#include "util/attr.h"
#include "util/err.h"

#define SETTING_VIEWS 128

struct settings {
	int views[SETTING_VIEWS]; /* the directory `sys` of each */
	unsigned n, next;
};

struct setting {
	const char *key; /* net/ipv4/ip_forward */
	const char *value;
};

/* Before the filter of system calls is closed. In a user namespace whose process ids are another
 * one's no procfs can be mounted; then the machine's serves alone. 0 or a negative errno. */
int settings_open(struct settings *s, struct err *e) A_NODISCARD;
void settings_close(struct settings *s);
/* Write all of them in the namespace that the thread is in. What the kernel does not have at all,
 * other than of IPv4, needs no setting. 0 or a negative errno with the key. */
int settings_put(struct settings *s, const struct setting *all, size_t n,
		 struct err *e) A_NODISCARD;

#endif
