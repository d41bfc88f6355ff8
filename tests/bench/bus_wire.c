/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing the units of the two wires. */
#include "bus_wire.h"

#include <stdio.h>
#include <string.h>

/* The number that ends before `end`, behind a blank or one of the marks of redis. */
static size_t
number_before(const char *begin, const char *end)
{
	size_t value = 0, place = 1;

	for (const char *at = end - 1; at >= begin && *at >= '0' && *at <= '9'; at--) {
		value += (size_t)(*at - '0') * place;
		place *= 10;
	}
	return value;
}

static long
nats_read(const char *p, size_t n, struct bus_msg *ret_msg)
{
	const char *lf = memchr(p, '\n', n);
	size_t head_n, payload_n;

	ret_msg->payload = NULL;
	if (!lf)
		return 0;
	head_n = (size_t)(lf - p) + 1;
	if (head_n < 6 || memcmp(p, "MSG ", 4) != 0)
		return p[0] == '-' ? -1 : (long)head_n;
	payload_n = number_before(p, lf - 1);
	if (n < head_n + payload_n + 2)
		return 0;
	*ret_msg = (struct bus_msg){p + head_n, payload_n};
	return (long)(head_n + payload_n + 2);
}

/* An array of `left` strings, or a single line. */
static long
redis_read(const char *p, size_t n, struct bus_msg *ret_msg)
{
	size_t at = 0, left = 1, items = 0;

	*ret_msg = (struct bus_msg){0};
	if (n > 0 && p[0] == '-')
		return -1;
	while (left > 0) {
		const char *lf = n > at ? memchr(p + at, '\n', n - at) : NULL;
		size_t value;

		if (!lf)
			return 0;
		value = number_before(p + at, lf - 1);
		if (p[at] == '*') {
			left = items = value;
			at = (size_t)(lf - p) + 1;
			continue;
		}
		if (p[at] == '$') {
			at = (size_t)(lf - p) + 1;
			if (n < at + value + 2)
				return 0;
			*ret_msg = (struct bus_msg){p + at, value};
			at += value + 2;
		} else {
			/* A count ends the confirmation of a subscription. */
			*ret_msg = (struct bus_msg){0};
			at = (size_t)(lf - p) + 1;
		}
		left--;
	}
	if (items < 3)
		*ret_msg = (struct bus_msg){0};
	return (long)at;
}

long
bus_wire_read(enum bus_wire wire, const char *p, size_t n, struct bus_msg *ret_msg)
{
	return wire == BUS_WIRE_NATS ? nats_read(p, n, ret_msg) : redis_read(p, n, ret_msg);
}

static char *
put(char *dst, const void *p, size_t n)
{
	memcpy(dst, p, n);
	return dst + n;
}

static char *
put_text(char *dst, const char *text)
{
	return put(dst, text, strlen(text));
}

static char *
put_number(char *dst, size_t value)
{
	char digits[24];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + value % 10);
	while ((value /= 10) > 0);
	return put(dst, digits + at, sizeof(digits) - at);
}

size_t
bus_wire_publish(enum bus_wire wire, char *dst, const char *topic, const char *payload,
		 size_t payload_n)
{
	char *at = dst;

	if (wire == BUS_WIRE_NATS) {
		at = put_text(put(at, "PUB ", 4), topic);
		at = put_number(put(at, " ", 1), payload_n);
	} else {
		at = put_number(put_text(at, "*3\r\n$7\r\nPUBLISH\r\n$"), strlen(topic));
		at = put_text(put(at, "\r\n", 2), topic);
		at = put_number(put_text(at, "\r\n$"), payload_n);
	}
	at = put(put(at, "\r\n", 2), payload, payload_n);
	return (size_t)(put(at, "\r\n", 2) - dst);
}

size_t
bus_wire_subscribe(enum bus_wire wire, char *dst, const char *pattern, unsigned sid)
{
	size_t n = strlen(pattern);
	bool wild = n > 0 && pattern[n - 1] == '>';

	if (wire == BUS_WIRE_NATS)
		return (size_t)sprintf(dst, "SUB %s %u\r\n", pattern, sid);
	return (size_t)sprintf(dst, "*2\r\n$%d\r\n%s\r\n$%zu\r\n%.*s%s\r\n", wild ? 10 : 9,
			       wild ? "PSUBSCRIBE" : "SUBSCRIBE", n, (int)(n - wild), pattern,
			       wild ? "*" : "");
}
