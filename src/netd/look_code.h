/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETD_LOOK_CODE_H
#define NETD_LOOK_CODE_H

/*
 * The programs that make a decky's packets look like those of its persona: one for what leaves it,
 * one for what comes to it. Only instructions are made here; no call of the kernel.
 *
 * Both begin with the packet's address and let pass as it is whatever is not the decky's own: what
 * a router of the networks passes on, fragments, anything but IPv4.
 */

#include <stdint.h>

#include "netd/ebpf.h"
#include "netd/request.h"

/* The window scale comes second among the options of a SYN-ACK, not last. */
#define LOOK_SCALE_SECOND 0x01u
/* The identification of IP is one counter for all packets. */
#define LOOK_COUNTS	  0x02u
/* A reset that acknowledges nothing has a number in the field all the same. */
#define LOOK_RESET_ACK	  0x04u
/* The code of an echo reply is zero, whatever was asked; errors have no precedence. */
#define LOOK_PLAIN_ICMP	  0x08u
/* Open ports, too, reset segments with no flags, or with SYN and FIN. */
#define LOOK_ODD_RESETS	  0x10u
/* Packets may be broken up on their way. */
#define LOOK_NEVER_DF	  0x20u

/* What the kernel's table holds of each address at each link in the fabric. */
struct look_key {
	uint32_t index;
	uint8_t ip[4]; /* as on the wire */
};

struct look_own {
	uint32_t clock; /* is added to the time stamps of TCP */
	uint32_t count; /* of packets sent, where the persona counts them */
};

/* The program for what the decky sends. 0, or ebpf_finish's. */
int look_code_out(enum netd_persona persona, int map_fd, struct ebpf *ret,
		  struct err *e) A_NODISCARD;
/* The program for what comes to it. 0, or ebpf_finish's. */
int look_code_in(enum netd_persona persona, int map_fd, struct ebpf *ret,
		 struct err *e) A_NODISCARD;

/* The clock and the counter's start of a decky: always the same, and nothing that an attacker can
 * work out. */
struct look_own look_own_of(const struct netd_id *decky);

#endif
