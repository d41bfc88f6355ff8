/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETD_REQUEST_H
#define NETD_REQUEST_H

/*
 * What travels between the network driver and decnet-netd, on a SOCK_SEQPACKET socket pair that the
 * supervisor makes and keeps: requests and answers of fixed size, little-endian. Pure.
 *
 * Every request is idempotent: asked again, it finds what it wants and says 0. So after a restart
 * of decnet-netd, which it tells by NETD_STARTED, whatever was not answered is asked again. Each
 * request gets one NETD_DONE with its number; `list` before it one NETD_LAN, NETD_DECKY or NETD_NIC
 * for each thing that is there, `hello` one NETD_SELF; the NETD_DONE of a `listen` carries the
 * listening socket.
 */

#include <stdbool.h>
#include <stdint.h>

#include "util/attr.h"
#include "util/id.h"
#include "util/sv.h"

#define NETD_REQUEST_SIZE 112
#define NETD_ANSWER_SIZE  224
#define NETD_TEXT_MAX	  103

/* Fields of a request, for ops.def. */
#define NETD_T 0x001u
#define NETD_D 0x002u
#define NETD_L 0x004u
#define NETD_A 0x008u
#define NETD_V 0x010u
#define NETD_M 0x020u
#define NETD_S 0x040u
#define NETD_P 0x080u
#define NETD_O 0x100u
#define NETD_K 0x200u

/* Flags. */
#define NETD_DMZ     0x1u /* LAN_ADD: the one that attackers enter by */
#define NETD_FORWARD 0x2u /* FORWARD: passes on what others send; without it, does not */
#define NETD_UDP     0x4u /* LISTEN: a datagram socket */

/* Interfaces of one decky. */
#define NETD_SLOTS 256

enum netd_op {
#define NETD_OP(name, word, fields) NETD_OP_##name,
#include "netd/ops.def"
#undef NETD_OP
	NETD_OP_COUNT
};

enum netd_persona {
#define PERSONA(name, ...) NETD_PERSONA_##name,
#include "netd/persona.def"
#undef PERSONA
	NETD_PERSONA_COUNT
};

enum netd_kind {
	NETD_DONE,
	NETD_LAN,
	NETD_DECKY,
	NETD_NIC,
	NETD_SELF, /* of a `hello`: the mark is the process id */
	NETD_STARTED,
	NETD_KIND_COUNT
};

/* A UUID as its 16 bytes; all zero is none. */
struct netd_id {
	uint8_t b[16];
};

/* What both directions can carry of a thing. Addresses are in host order. */
struct netd_thing {
	struct netd_id topology, decky, lan;
	uint32_t ip, via;
	uint8_t bits;
	uint8_t persona; /* enum netd_persona */
	uint8_t slot;
	uint8_t mac[6];
	uint16_t port;
	uint16_t flags;
	uint64_t mark;
};

struct netd_request {
	enum netd_op op;
	uint64_t n;
	struct netd_thing thing;
};

struct netd_answer {
	enum netd_kind kind;
	uint64_t n;
	int32_t r; /* NETD_DONE: 0 or a negative errno, then with a text */
	struct netd_thing thing;
	char text[NETD_TEXT_MAX + 1];
};

const char *netd_op_word(enum netd_op op);
/* The persona of the catalogue's word; linux for one that is not known. */
enum netd_persona netd_persona_find(const char *nmap_os);

bool netd_id_none(const struct netd_id *id);
bool netd_id_eq(const struct netd_id *a, const struct netd_id *b);
/* A lower-case dashed UUID. 0 or -EBADMSG. */
int netd_id_parse(struct sv text, struct netd_id *ret) A_NODISCARD;
void netd_id_text(const struct netd_id *id, char dst[ID_UUID_SIZE]);

/*
 * Read and check one request: exact size, known op, every field that the op has in its range, every
 * other one zero. 0, or -EBADMSG; then ret->n is its number, or 0 when not even that could be read.
 */
int netd_request_parse(struct sv bytes, struct netd_request *ret) A_NODISCARD;
void netd_request_put(const struct netd_request *q, uint8_t dst[NETD_REQUEST_SIZE]);
/* Read one answer. 0 or -EBADMSG. */
int netd_answer_parse(struct sv bytes, struct netd_answer *ret) A_NODISCARD;
void netd_answer_put(const struct netd_answer *a, uint8_t dst[NETD_ANSWER_SIZE]);

/* Whether ip may be a host's address in its subnet: unicast, neither the subnet's own nor its
 * broadcast address. */
bool netd_host_ok(uint32_t ip, unsigned bits);
/* Whether base/bits may be a LAN: unicast, 16 to 29 bits, no host bits. */
bool netd_subnet_ok(uint32_t base, unsigned bits);
uint32_t netd_mask(unsigned bits);

#endif
