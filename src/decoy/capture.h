/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECOY_CAPTURE_H
#define DECOY_CAPTURE_H

/*
 * What a decoy saw: the only thing that leaves the decoy process. Captures travel on one
 * SOCK_SEQPACKET socket pair (the capture channel), one or more length-prefixed frames a message;
 * the resolver answers with acknowledgements after its commit. Pure encoders and decoders.
 */

#include <stdbool.h>
#include <stdint.h>

#include "util/attr.h"
#include "util/buf.h"
#include "util/sv.h"

#define CAPTURE_FIELDS_MAX 24

enum capture_type {
#define CAPTURE(name, word, interaction, keys) CAPTURE_##name,
#include "decoy/capture.def"
#undef CAPTURE
	CAPTURE_TYPE_COUNT
};

struct capture_field {
	struct sv key, value;
};

struct capture {
	uint64_t source; /* random number of the decoy process's life */
	uint64_t no;	 /* 1, 2, 3, … within it, no gaps */
	uint64_t ts_ms;	 /* Unix milliseconds */
	enum capture_type type;
	struct sv topology_id, decky_uuid, decky, service;
	struct sv session_id; /* uuid text */
	struct sv peer_ip;    /* text */
	uint16_t peer_port, local_port;
	unsigned nfields;
	struct capture_field fields[CAPTURE_FIELDS_MAX];
};

/* The word of contract 7.1 (`connect`, `auth`, …). */
const char *capture_word(enum capture_type t);
/* Whether 7.1 counts it as interaction (not scan). */
bool capture_interaction(enum capture_type t);
/* Append one frame. 0, -EMSGSIZE over LIMIT_CAPTURE_BYTES, -ENOBUFS, -ENOMEM. */
int capture_put(struct buf *b, const struct capture *c) A_NODISCARD;
/* Read one frame from the front of `in`; views lie in `in`. 1 and *ret_used; 0: more bytes needed;
 * -EBADMSG, -EMSGSIZE. */
int capture_get(struct sv in, size_t *ret_used, struct capture *ret) A_NODISCARD;

/* Resolver to decoy: all captures of `source` up to `no` are committed; source 0 asks for
 * everything not yet acknowledged (sent when a resolver starts). */
struct capture_ack {
	uint64_t source, no;
};
#define CAPTURE_ACK_BYTES 20
void capture_ack_put(const struct capture_ack *a, unsigned char dst[CAPTURE_ACK_BYTES]);
int capture_ack_get(struct sv in, struct capture_ack *ret) A_NODISCARD;

/*
 * Decoy to resolver, a message of its own: the decoy process lives. Sent at start and every
 * CAPTURE_HELLO_EVERY_MS; it becomes the heartbeat of the worker `decoy`.
 */
struct capture_hello {
	uint64_t source;
	uint64_t started_ms; /* Unix milliseconds */
	uint32_t pid;
	uint32_t connections; /* open now */
};
#define CAPTURE_HELLO_BYTES    28
#define CAPTURE_HELLO_EVERY_MS 10000
void capture_hello_put(const struct capture_hello *h, unsigned char dst[CAPTURE_HELLO_BYTES]);
/* 0 or -EBADMSG. A message of frames is never taken for a hello. */
int capture_hello_get(struct sv in, struct capture_hello *ret) A_NODISCARD;

#endif
