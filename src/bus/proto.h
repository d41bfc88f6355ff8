/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUS_PROTO_H
#define BUS_PROTO_H

/* The NATS client protocol (contract 4.2), both directions. Pure: bytes in, events out, and back.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/attr.h"
#include "util/buf.h"
#include "util/sv.h"

/* Longest subscription id; they are kept per subscription, so the control line is no bound. */
#define BUS_SID_MAX		 64
/* Control lines of a broker we are a client of: INFO of a cluster lists every server. */
#define BUS_LINE_MAX_FROM_BROKER 65536

enum bus_verb {
#define VERB(name, word, client, broker, shape) BUS_VERB_##name,
#include "bus/verbs.def"
#undef VERB
	BUS_VERB_COUNT
};

/* Why a broker refuses; bus_error_code is what the parser and the broker return for it. */
enum bus_error {
#define BUS_ERROR(name, code, text, closes) BUS_ERROR_##name,
#include "bus/errors.def"
#undef BUS_ERROR
	BUS_ERROR_COUNT
};

/* Whose bytes are read. */
enum bus_side { BUS_SIDE_CLIENT, BUS_SIDE_BROKER };

/* Views into the caller's bytes, good until the caller drops them. Absent fields are empty. */
struct bus_ev {
	enum bus_verb verb;
	struct sv text;	   /* CONNECT, INFO: the JSON; -ERR: the text without quotes */
	struct sv subject; /* not yet checked */
	struct sv reply;
	struct sv queue;
	struct sv sid;
	uint64_t max; /* UNSUB; 0: at once */
	struct sv headers;
	struct sv payload; /* without the headers */
};

struct bus_parser {
	enum bus_side side;
	size_t line_max;
	size_t scanned; /* where the end of the line is, or how far it was looked for */
};

void bus_parser_init(struct bus_parser *ps, enum bus_side side);
/*
 * Read one event from the front of `in`, the bytes not yet consumed.
 * 1: *ret_ev is set and *ret_used bytes may be dropped; 0: more bytes are needed. A peer that is
 * wrong, nothing is set and the connection cannot go on: -EOPNOTSUPP (no such verb), -EBADMSG
 * (malformed line, size or end of payload), -E2BIG (line too long), -EMSGSIZE (payload over
 * LIMIT_BUS_PAYLOAD_BYTES).
 */
int bus_parse(struct bus_parser *ps, struct sv in, size_t *ret_used,
	      struct bus_ev *ret_ev) A_NODISCARD;

/* The negative errno of an error, its text, and whether it ends the connection. */
int bus_error_code(enum bus_error err);
const char *bus_error_text(enum bus_error err);
bool bus_error_closes(enum bus_error err);
/* The error whose code this negative errno is, or BUS_ERROR_COUNT. */
enum bus_error bus_error_of(int code);

/*
 * Append one whole event. Only the fields of its verb are used; headers make PUB and MSG to HPUB
 * and HMSG. All or nothing: 0, -ENOBUFS, -ENOMEM.
 */
int bus_proto_put(struct buf *b, const struct bus_ev *ev) A_NODISCARD;
/* The control line of a message for one subscriber, written to dst; its length. dst holds
 * bus_proto_head_max(ev) bytes. */
size_t bus_proto_head_max(const struct bus_ev *ev);
size_t bus_proto_head(char *dst, const struct bus_ev *ev);

#endif
