/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_BUS_WIRE_H
#define BENCH_BUS_WIRE_H

/* The two wires that brokers are spoken to with: the NATS client protocol and redis's. Pure. */

#include <stdbool.h>
#include <stddef.h>

enum bus_wire { BUS_WIRE_NATS, BUS_WIRE_REDIS };

/* A broker's message to a subscriber; views into the caller's bytes. */
struct bus_msg {
	const char *payload;
	size_t payload_n;
};

/*
 * The unit at the front of what has come. Bytes used, 0: not whole yet, -1: not of this wire.
 * *ret_msg has a NULL payload if it is not a message (an answer, a greeting).
 */
long bus_wire_read(enum bus_wire wire, const char *p, size_t n, struct bus_msg *ret_msg);

/* What publishes `payload` on a topic, or subscribes; the number of bytes. `dst` is large enough
 * for all of it and 128 more. */
size_t bus_wire_publish(enum bus_wire wire, char *dst, const char *topic, const char *payload,
			size_t payload_n);
/* A pattern ends in `.>`, and is written as the wire has it. `sid` tells subscriptions of one
 * connection apart. */
size_t bus_wire_subscribe(enum bus_wire wire, char *dst, const char *pattern, unsigned sid);

#endif
