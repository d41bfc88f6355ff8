/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_NETNS_ACCEPT_H
#define BENCH_NETNS_ACCEPT_H

/* How many connections a second one process accepts that serves all deckies: each is accepted, told
 * the number of its decky, and closed, while others connect to deckies at random. */

#include <stddef.h>
#include <stdint.h>

struct netns_accept {
	const int *listeners; /* of decky i from i * each on */
	size_t n;
	unsigned each;
	const uint16_t *ports; /* of a decky's listeners */
	int peer_ns;	       /* where connections come from */
	/* The deckies that are reached from there are first, first + step, …, and their addresses.
	 */
	unsigned deckies, step;
	uint32_t (*address)(unsigned decky);
	unsigned seconds;
};

struct netns_accepted {
	double per_s;
	uint64_t total, wrong; /* told another decky's number, or none */
};

/* Ends the program when it cannot be measured. */
struct netns_accepted netns_accept(const struct netns_accept *what);

#endif
