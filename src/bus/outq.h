/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUS_OUTQ_H
#define BUS_OUTQ_H

/*
 * What waits to be written to one client of the broker: whole messages, of which the oldest may be
 * dropped as long as none of its bytes are on their way, and control lines, which never are. Bytes
 * are copied in once and leave by writev. Pure. Zeroed memory is an empty queue.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "bus/proto.h"
#include "util/attr.h"
#include "util/buf.h"

/* Entries of bus_outq_peek. */
#define BUS_OUTQ_IOV 3

struct bus_outq {
	struct buf begun;     /* leaves first: the rest of a message that was begun, control lines
				 without a message before them */
	size_t begun_at;      /* bytes of it that have left */
	size_t begun_control; /* bytes of control lines put into it since it was empty */
	char *ring;	      /* whole units behind it */
	size_t ring_cap, ring_head, ring_n;
	uint32_t *units; /* ring of lengths; the top bit marks control lines */
	size_t units_cap, units_head, units_n;
	size_t messages, message_bytes, control_bytes; /* of `units` */
	uint64_t dropped;
};

void bus_outq_fini(struct bus_outq *q);
/* Give back the memory of an empty queue. */
void bus_outq_trim(struct bus_outq *q);
/*
 * Append a message (verb MSG; its headers make it HMSG), dropping the oldest ones while
 * LIMIT_BUS_PENDING_MSGS or LIMIT_BUS_PENDING_BYTES would be passed. Number of dropped messages, or
 * -ENOMEM (then the message itself is dropped and counted).
 */
int bus_outq_message(struct bus_outq *q, const struct bus_ev *ev);
/* Append a control line. 0, -ENOMEM. */
int bus_outq_control(struct bus_outq *q, const struct bus_ev *ev) A_NODISCARD;
/* Whether one more message of n bytes would pass a limit. */
bool bus_outq_full(const struct bus_outq *q, size_t n);
bool bus_outq_empty(const struct bus_outq *q);
/* Bytes that wait, begun ones included. */
size_t bus_outq_bytes(const struct bus_outq *q);
/* Bytes of control lines that wait, at most too high by some that have just left; whoever causes
 * too many of them is not read from until they have left. */
size_t bus_outq_control_bytes(const struct bus_outq *q);
/* The bytes to write next, in order; number of entries. Good until the next call on this queue. */
unsigned bus_outq_peek(const struct bus_outq *q, struct iovec iov[BUS_OUTQ_IOV]);
/* The first n of them have left. 0, or -ENOMEM: the rest of a begun message is lost, the connection
 * must end. */
int bus_outq_sent(struct bus_outq *q, size_t n) A_NODISCARD;

#endif
