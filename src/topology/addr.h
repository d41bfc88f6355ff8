/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOPOLOGY_ADDR_H
#define TOPOLOGY_ADDR_H

/* IPv4 subnets and addresses of LANs (contract 5.11). Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "topology/model.h"

struct cidr {
	uint32_t base; /* host order */
	unsigned bits;
};

/* `a.b.c.d/n`, strictly: no leading zeros, host bits zero, min <= n <= max. 0 or -EBADMSG. */
int cidr_parse(const char *text, unsigned min_bits, unsigned max_bits,
	       struct cidr *ret) A_NODISCARD;
/* The subnet of a LAN: /16 to /29, of addresses that a host may have (not of 0/8, 127/8, or from
 * 224/8 on). 0 or -EBADMSG. */
int cidr_parse_lan(const char *text, struct cidr *ret) A_NODISCARD;
void cidr_text(struct cidr c, char dst[TOPO_CIDR_SIZE]);
bool cidr_overlap(struct cidr a, struct cidr b);
bool cidr_holds(struct cidr c, uint32_t ip);
int ip_parse(const char *text, uint32_t *ret) A_NODISCARD;
void ip_text(uint32_t ip, char dst[TOPO_IP_SIZE]);

/* A LAN of another topology that is not torn down. */
struct topo_used {
	struct cidr subnet;
	char lan[TOPO_LABEL_SIZE];
	char topology[TOPO_NAME_SIZE];
};

/* What a topology shares with the others: the pool and the subnets taken. */
struct topo_world {
	struct cidr pool;
	struct topo_used *used;
	size_t nused;
};

/* The lowest /24 of `base` that hosts may live in and that overlaps neither `used` nor a LAN of t
 * (which may be NULL). 0 or -EADDRNOTAVAIL. */
int topo_next_subnet(const struct topo_world *w, const struct topo *t, struct cidr base,
		     struct cidr *ret) A_NODISCARD;
/* The lowest free host address of the LAN after its gateway. 0 or -EADDRNOTAVAIL. */
int topo_next_ip(const struct topo *t, const struct topo_lan *lan,
		 char dst[TOPO_IP_SIZE]) A_NODISCARD;

#endif
