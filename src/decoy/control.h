/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECOY_CONTROL_H
#define DECOY_CONTROL_H

/*
 * The control channel: a SOCK_SEQPACKET socket pair between the network driver (in the mutator) and
 * the decoy process. One JSON object a message, at most CONTROL_BYTES_MAX; `open` carries one
 * listening (or, with "proto":"udp", datagram) descriptor. Each decoy process, that of connections
 * and that of datagrams, has a channel of its own and opens only what it serves. The driver speaks,
 *the decoy answers each request with its number:
 *
 *	{"n":7,"op":"open","listener":"<id>","topology_id":…,"decky_uuid":…,"decky":…,
 *	 "service":"http","port":80,"proto":"tcp","config":{…},"hostname":"web-01",
 *	 "seed":"<16 hex>","archetype":"linux-server"}   + fd
 *		-> {"n":7,"ok":true} or {"n":7,"ok":false,"error":"…"}
 *	{"n":8,"op":"close","listener":"<id>"}     its listener closes, its sessions end
 *		-> {"n":8,"ok":true}   (also when it was not there)
 *	{"n":9,"op":"list"}
 *		-> {"n":9,"listeners":["<id>",…]} as often as it takes, then {"n":9,"ok":true};
 *		   other requests may be answered in between
 *
 * `port` is the service's own port (80), whatever port the socket is bound to. `open` of an id that
 * is there replaces nothing: {"ok":false,"error":"exists"}. When the decoy process starts it says
 * {"op":"started","source":"<16 hex>","pid":n}; the driver then hands it every listener again.
 * Listener ids are 1..160 characters of [A-Za-z0-9_./:-].
 */

#include <jansson.h>
#include <stdint.h>

#include "util/attr.h"
#include "util/buf.h"
#include "util/err.h"
#include "util/id.h"
#include "util/sv.h"

#define CONTROL_BYTES_MAX    131072
#define CONTROL_ANSWER_MAX   1024
#define CONTROL_LIST_MAX     16384
#define CONTROL_LISTENER_MAX 160
#define CONTROL_NAME_MAX     64

enum control_op { CONTROL_OPEN, CONTROL_CLOSE, CONTROL_LIST };

struct control {
	int64_t n;
	enum control_op op;
	char listener[CONTROL_LISTENER_MAX + 1]; /* "" for CONTROL_LIST */
	/* CONTROL_OPEN only: */
	char topology_id[ID_UUID_SIZE], decky_uuid[ID_UUID_SIZE];
	char decky[CONTROL_NAME_MAX + 1], service[CONTROL_NAME_MAX + 1];
	char archetype[CONTROL_NAME_MAX + 1];
	char hostname[256];
	uint16_t port;
	bool udp; /* its socket is one of datagrams */
	uint64_t seed;
	json_t *config; /* an object of its own; control_fini drops it */
};

/*
 * Read one request. 0; -EBADMSG with a text, and ret->n is the number to answer, or -1 when not
 * even that could be read; -ENOMEM. control_fini it in each case.
 */
int control_parse(struct sv text, struct control *ret, struct err *e) A_NODISCARD;
void control_fini(struct control *c);

/* Answers: one message each, appended to an empty buffer. 0, -ENOBUFS, -ENOMEM. A piece of a list
 * is one of ids and the end; an id that would make it longer than CONTROL_LIST_MAX is -ENOBUFS, and
 * the piece is as it was. */
int control_put_ok(struct buf *b, int64_t n) A_NODISCARD;
int control_put_error(struct buf *b, int64_t n, const char *text) A_NODISCARD;
int control_put_listener(struct buf *b, int64_t n, const char *id) A_NODISCARD;
int control_end_listeners(struct buf *b) A_NODISCARD;
int control_put_started(struct buf *b, uint64_t source, int64_t pid) A_NODISCARD;

#endif
