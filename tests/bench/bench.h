/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

/* What the load programs share: the clock, a histogram, what a server has used, stamps in events,
 * sockets. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "util/attr.h"

/* CLOCK_MONOTONIC. */
uint64_t bench_now_ns(void);
/* Sleep until then; returns at once when it is past. */
void bench_sleep_until(uint64_t at_ns);
/* Say what is wrong and end the program with 1. */
void bench_die(const char *fmt, ...) A_PRINTF(1, 2) A_NORETURN;
/* A number of an option, 0 <= value <= max, or the program ends. */
uint64_t bench_number(const char *name, const char *text, uint64_t max);
/* Raise the ceiling of descriptors to `n`, or the program ends. */
void bench_descriptors(uint64_t n);

/* Values with an error of at most 1/64. */
#define BENCH_HIST_SUB	   64
#define BENCH_HIST_BUCKETS (64 * BENCH_HIST_SUB)

struct bench_hist {
	uint64_t n, max;
	uint64_t bucket[BENCH_HIST_BUCKETS];
};

void bench_hist_add(struct bench_hist *h, uint64_t value);
/* The value that a share `q` of all values does not exceed; 0 when there are none. */
uint64_t bench_hist_at(const struct bench_hist *h, double q);
/* `"name":{"n":..,"p50":..,"p90":..,"p99":..,"max":..}` in microseconds of nanoseconds held. */
void bench_hist_print(FILE *out, const char *name, const struct bench_hist *h);

#define BENCH_PIDS_MAX 16

struct bench_pids {
	pid_t pid[BENCH_PIDS_MAX];
	unsigned n;
};

/* Another process to account; ends the program when there are too many. */
void bench_pids_add(struct bench_pids *p, const char *text);
/* Processor time of all threads of all of them. */
uint64_t bench_cpu_ns(const struct bench_pids *p);
/* Memory of their own (anonymous pages), in KiB. */
uint64_t bench_anon_kb(const struct bench_pids *p);
/* Pages that TCP sockets of this network namespace hold in the kernel, in KiB. */
uint64_t bench_tcp_kb(void);

/* The number and the birth of an event: `"n":<n>,"t":<ns>` in its JSON. */
struct bench_stamp {
	uint64_t n, t;
};

/*
 * Find them in the text. `hint` is where they stood the last time (start with 0), so that the whole
 * text is searched only when they have moved. False: there are none.
 */
bool bench_stamp_find(const char *p, size_t n, size_t *hint, struct bench_stamp *ret_stamp);
/* `{"n":..,"t":..,"pad":"..."}` of exactly `size` bytes if it can be, with a terminator; its
 * length. `dst` holds size + 128 bytes. */
size_t bench_stamp_put(char *dst, struct bench_stamp stamp, size_t size);

/* Connect, blocking, no delay. A descriptor, or the program ends. `where` is `unix:PATH` or
 * `HOST:PORT` with an IPv4 address. */
int bench_connect(const char *where);
/* Write all of it to a blocking socket, or the program ends. */
void bench_send(int fd, const char *p, size_t n);

#endif
