/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_NETNS_FLOOR_H
#define BENCH_NETNS_FLOOR_H

/* What the kernel itself takes for so many deckies: namespaces, veth pairs on bridges, addresses
 * and listening sockets by netlink, in batches, and nothing else: no settings, names, fence,
 * records of what is for whom, or waiting. */

struct netns_floor {
	double create_ms, cpu_ms; /* of each */
	double teardown_s;	  /* until the last link is gone */
};

/* In a process of its own; ends the program when it fails. */
struct netns_floor netns_floor(unsigned deckies, unsigned lans, unsigned sockets);

#endif
