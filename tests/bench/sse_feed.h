/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_SSE_FEED_H
#define BENCH_SSE_FEED_H

/*
 * Reads an answer with an event stream however it is cut: the head, the body with or without
 * chunks, and its lines ended by LF or CRLF. Pure but for the memory of what is not complete yet.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sse_state {
	SSE_HEAD,
	SSE_PLAIN,
	SSE_CHUNK_SIZE,
	SSE_CHUNK_EXTENSION,
	SSE_CHUNK_DATA,
	SSE_CHUNK_END,
	SSE_OVER, /* the last chunk has come */
};

/* Zeroed memory is a feed that waits for its head. */
struct sse_feed {
	char *carry; /* a head or a line of which not all has come */
	uint32_t carry_n, carry_cap;
	uint64_t left; /* of the chunk */
	uint16_t status;
	uint8_t state; /* enum sse_state */
};

/* The value of one `data:` line. */
typedef void sse_data_fn(void *user, const char *p, size_t n);

/* 0, or -1: that is not HTTP, or a line is longer than SSE_LINE_MAX. */
#define SSE_LINE_MAX (4u << 20)
int sse_feed(struct sse_feed *f, const char *p, size_t n, sse_data_fn *fn, void *user);
void sse_feed_fini(struct sse_feed *f);

#endif
