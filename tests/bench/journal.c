/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishes numbered, stamped events as the suite does what viewers must not miss: a journal row in
 * a transaction of its own, then the hint on the bus. The same options and output as bench_publish,
 * with --db in place of --path.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"
#include "store/db.h"
#include "store/journal.h"
#include "util/clock.h"

#define SIZE_MAX_BYTES 65536

static struct {
	const char *to, *topic, *db;
	uint64_t rate, seconds, size, first;
} opt = {.rate = 1, .seconds = 10, .size = 150, .first = 1};

static void
fail_if(int r, const char *what, const struct err *e)
{
	if (r < 0)
		bench_die("%s: %s", what, err_text(e));
}

static int64_t
append(struct db *db, struct bench_stamp stamp)
{
	static char text[SIZE_MAX_BYTES + 256];
	struct err e = {0};
	int64_t seq = 0;
	json_t *payload;

	(void)bench_stamp_put(text, stamp, opt.size);
	payload = json_loads(text, 0, NULL);
	if (!payload)
		bench_die("no memory");
	fail_if(db_begin_write(db, &e), "begin", &e);
	fail_if(journal_append(db, opt.topic, NULL, clock_unix_ms(), payload, &seq, &e), "append",
		&e);
	fail_if(db_commit(db, &e), "commit", &e);
	json_decref(payload);
	return seq;
}

static void
hint(int fd, int64_t seq)
{
	char body[256], out[512];
	int n = snprintf(
		body, sizeof(body),
		"{\"v\":1,\"type\":\"bench\",\"ts\":1.5,\"payload\":{},\"seq\":%" PRId64 "}", seq);

	n = snprintf(out, sizeof(out), "PUB %s %d\r\n%s\r\n", opt.topic, n, body);
	bench_send(fd, out, (size_t)n);
	while (recv(fd, out, sizeof(out), MSG_DONTWAIT) > 0)
		;
}

static void
options(int argc, char **argv)
{
	static const struct option longs[] = {
		{"to", 1, NULL, 't'},	 {"topic", 1, NULL, 'T'},   {"db", 1, NULL, 'd'},
		{"rate", 1, NULL, 'r'},	 {"seconds", 1, NULL, 'c'}, {"size", 1, NULL, 's'},
		{"first", 1, NULL, '1'}, {NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		switch (c) {
		case 't': opt.to = optarg; break;
		case 'T': opt.topic = optarg; break;
		case 'd': opt.db = optarg; break;
		case 'r': opt.rate = bench_number("--rate", optarg, 1000000); break;
		case 'c': opt.seconds = bench_number("--seconds", optarg, 86400); break;
		case 's': opt.size = bench_number("--size", optarg, SIZE_MAX_BYTES); break;
		case '1': opt.first = bench_number("--first", optarg, UINT32_MAX); break;
		default: bench_die("unknown option; see README.md");
		}
	}
	if (!opt.to || !opt.topic || !opt.db || opt.rate == 0)
		bench_die("--to, --topic, --db and --rate are needed");
}

int
main(int argc, char **argv)
{
	static const char hello[] = "CONNECT {\"verbose\":false,\"name\":\"bench\"}\r\n";
	uint64_t began, end, late = 0, n = 0, now;
	struct db *db = NULL;
	struct err e = {0};
	int fd;

	options(argc, argv);
	(void)prctl(PR_SET_TIMERSLACK, 1);
	fail_if(db_open(opt.db, DB_READ_WRITE, &db, &e), opt.db, &e);
	fd = bench_connect(opt.to);
	bench_send(fd, hello, sizeof(hello) - 1);
	began = now = bench_now_ns();
	end = began + opt.seconds * 1000000000u;
	for (; n < opt.rate * opt.seconds && now < end; n++) {
		struct bench_stamp stamp = {opt.first + n, began + n * 1000000000u / opt.rate};

		bench_sleep_until(stamp.t);
		hint(fd, append(db, stamp));
		now = bench_now_ns();
		if (now - stamp.t > late)
			late = now - stamp.t;
	}
	printf("{\"published\":%" PRIu64 ",\"last\":%" PRIu64 ",\"s\":%.2f,\"late_ms\":%.2f}\n", n,
	       opt.first + n - 1, (double)(bench_now_ns() - began) / 1e9, (double)late / 1e6);
	(void)close(fd);
	db_close(db);
	return 0;
}
