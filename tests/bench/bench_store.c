/* SPDX-License-Identifier: Apache-2.0 */
/* Times of transactions, and their end when one fails. */
#include "bench_store.h"

#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

void
bench_must(int r, const struct err *e, const char *what)
{
	if (r < 0)
		bench_die("%s: %s", what, err_text(e));
}

uint64_t
bench_now_us(void)
{
	return bench_now_ns() / 1000;
}

static int
by_size(const void *x, const void *y)
{
	uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;

	return a < b ? -1 : a > b;
}

void
bench_print_us(const char *what, uint64_t *us, size_t n)
{
	if (n == 0)
		return;
	qsort(us, n, sizeof(*us), by_size);
	(void)printf("%-44s p50 %8.2f ms  p99 %8.2f ms  max %8.2f ms  (%zu)\n", what,
		     (double)us[n / 2] / 1e3, (double)us[n * 99 / 100] / 1e3,
		     (double)us[n - 1] / 1e3, n);
}
