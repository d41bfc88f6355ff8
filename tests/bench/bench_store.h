/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_BENCH_STORE_H
#define BENCH_BENCH_STORE_H

/* What the programs share that measure one transaction after the other. */

#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

/* End the program with 1 and the reason when `r` is negative. */
void bench_must(int r, const struct err *e, const char *what);
/* CLOCK_MONOTONIC, in microseconds. */
uint64_t bench_now_us(void);
/* A line with the quantiles of `n` times, in milliseconds; sorts them. None, no line. */
void bench_print_us(const char *what, uint64_t *us, size_t n);

#endif
