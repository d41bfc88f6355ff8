/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The identity engine alone, in memory, over a recorded stream (resolver/record.h):
 *
 *	bench_identity FILE [ROWS A BATCH]
 *
 * Rows a second, time of a decision (one batch: put and drain), and a second engine built at once
 * from the same rows, as after a restart. Numbers only: it passes or fails by nothing.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "identity/engine.h"
#include "resolver/record.h"
#include "util/attr.h"

static const struct identity_secret secret = {"per-deployment secret", 21};

/* A row as the store keeps it. */
struct kept {
	uint8_t uuid[16];
	uint64_t hash;
	char *keys;
};

static double
seconds(void)
{
	struct timespec t;

	/* Of this process: others may be at work on the machine. */
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static long
resident_mb(void)
{
	char line[128];
	long kb = 0;
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "VmRSS:", 6) == 0)
			kb = strtol(line + 6, NULL, 10);
	if (f)
		(void)fclose(f);
	return kb / 1024;
}

static void
fail(const char *what)
{
	(void)fprintf(stderr, "bench_identity: %s\n", what);
	exit(1);
}

static struct kept *
read_all(const char *path, size_t *ret_n)
{
	char *line = NULL, text[IDENTITY_FEATURES_TEXT_MAX];
	size_t cap = 0, n = 0, room = 0;
	struct identity_features f;
	struct kept *v = NULL;
	struct record r;
	FILE *in = fopen(path, "re");
	ssize_t got;

	if (!in)
		fail("cannot read the stream");
	while ((got = getline(&line, &cap, in)) > 0) {
		if (record_parse((struct sv){line, (size_t)got}, &r, NULL) < 0)
			fail("a line is no observation");
		if (n == room) {
			room = room ? 2 * room : 4096;
			v = realloc(v, room * sizeof(*v));
		}
		record_features(&r, &secret, &f);
		identity_features_write(&f, text);
		if (!v || !(v[n].keys = strdup(text)))
			fail("out of memory");
		memcpy(v[n].uuid, r.uuid, 16);
		v[n++].hash = record_hash(&r, &secret);
		record_fini(&r);
	}
	free(line);
	(void)fclose(in);
	*ret_n = n;
	return v;
}

static int
ascending(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void
drain(struct identity_engine *e)
{
	struct identity_changes c;

	if (identity_engine_drain(e, 1, &c) < 0)
		fail("out of memory");
}

static void
put(struct identity_engine *e, const struct kept *k)
{
	struct identity_features f;
	uint32_t row;

	if (identity_features_read(sv_from(k->keys), &f) < 0 ||
	    identity_engine_put(e, k->uuid, k->hash, &f, &row) < 0)
		fail("out of memory");
}

static void
stream(const struct kept *v, size_t n, size_t batch)
{
	double *took = malloc((n / batch + 1) * sizeof(*took)), begun = seconds(), at = 0,
	       last = begun;
	struct identity_engine *e = NULL;
	struct identity_stats s;
	long before = resident_mb();
	size_t k = 0;

	if (!took || identity_engine_new(&secret, &e) < 0)
		fail("out of memory");
	for (size_t i = 0; i < n; i++) {
		at = i % batch == 0 ? seconds() : at;
		put(e, &v[i]);
		if (i % batch != batch - 1 && i + 1 < n)
			continue;
		drain(e);
		took[k++] = seconds() - at;
		if ((i + 1) % (n / 5) < batch) {
			(void)printf("  %zu rows: %.0f a second over the last fifth\n", i + 1,
				     (double)n / 5 / (seconds() - last));
			last = seconds();
		}
	}
	at = seconds() - begun;
	identity_engine_stats(e, &s);
	qsort(took, k, sizeof(*took), ascending);
	(void)printf(
		"stream, %zu a batch: %.0f rows a second; a batch p50 %.3f p99 %.3f p99.9 %.3f max "
		"%.1f ms\n",
		batch, (double)n / at, took[k / 2] * 1e3, took[k * 99 / 100] * 1e3,
		took[k * 999 / 1000] * 1e3, took[k - 1] * 1e3);
	(void)printf(
		"%zu rows, %zu values, %zu links, %zu contested; %.1f pairs scored and %.2f levels "
		"a row; %ld MB resident\n",
		s.rows, s.values, s.links, s.contested, (double)s.scores / (double)s.rows,
		(double)s.levels / (double)s.rows, resident_mb() - before);
	identity_engine_free(e);
	free(took);
}

static void
rebuild(const struct kept *v, size_t n)
{
	struct identity_engine *e = NULL;
	double begun = seconds();

	if (identity_engine_new(&secret, &e) < 0)
		fail("out of memory");
	for (size_t i = 0; i < n; i++)
		put(e, &v[i]);
	drain(e);
	(void)printf("built at once: %zu rows in %.2f s\n", n, seconds() - begun);
	identity_engine_free(e);
}

int
main(int argc, char **argv)
{
	size_t n = 0, batch = argc > 2 ? strtoul(argv[2], NULL, 10) : 256;
	struct kept *v;

	if (argc < 2 || batch == 0)
		fail("usage: bench_identity FILE [ROWS A BATCH]");
	v = read_all(argv[1], &n);
	if (n < 5)
		fail("too few rows");
	stream(v, n, batch);
	rebuild(v, n);
	for (size_t i = 0; i < n; i++)
		free(v[i].keys);
	free(v);
	return 0;
}
