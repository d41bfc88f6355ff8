/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishes numbered, stamped events at a fixed rate: POST requests on one connection, a window of
 * them without an answer, or messages on the bus. An event carries the time at which it was due, so
 * that a server which holds up its publisher does not look fast.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

#define SIZE_MAX_BYTES 65536
#define ANSWER_S       30

static struct {
	const char *to, *path, *topic;
	uint64_t rate, seconds, size, first, window;
} opt = {.rate = 1, .seconds = 10, .size = 150, .first = 1, .window = 64};

static struct {
	int fd;
	uint64_t answers, bad;
	size_t matched; /* of the word that is looked for in the answers */
	bool status_next;
} st;

/* Count the answers among bytes that may be cut anywhere. */
static void
scan(const char *p, size_t n)
{
	const char *word = opt.path ? "HTTP/1.1 " : "PONG\r\n";

	for (size_t i = 0; i < n; i++) {
		if (st.status_next) {
			st.bad += p[i] != '2';
			st.answers++;
			st.status_next = false;
		}
		st.matched = p[i] == word[st.matched] ? st.matched + 1 : p[i] == word[0];
		if (!word[st.matched]) {
			st.matched = 0;
			if (opt.path)
				st.status_next = true;
			else
				st.answers++;
		}
	}
}

static bool
take_answers(bool wait)
{
	char in[16384];
	ssize_t n = recv(st.fd, in, sizeof(in), wait ? 0 : MSG_DONTWAIT);

	if (n > 0)
		scan(in, (size_t)n);
	else if (n == 0)
		bench_die("the server closed the publisher's connection after %" PRIu64 " answers",
			  st.answers);
	return n > 0;
}

static void
publish(struct bench_stamp stamp)
{
	static char data[SIZE_MAX_BYTES + 256], out[SIZE_MAX_BYTES + 1024];
	size_t n = bench_stamp_put(data, stamp, opt.size);
	int len;

	if (opt.path)
		len = snprintf(out, sizeof(out),
			       "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Length: %zu\r\n\r\n%s",
			       opt.path, n, data);
	else
		len = snprintf(
			out, sizeof(out),
			"PUB %s %zu\r\n{\"v\":1,\"type\":\"bench\",\"ts\":1.5,\"payload\":%s}\r\n",
			opt.topic,
			n + sizeof("{\"v\":1,\"type\":\"bench\",\"ts\":1.5,\"payload\":}") - 1,
			data);
	bench_send(st.fd, out, (size_t)len);
}

static void
options(int argc, char **argv)
{
	static const struct option longs[] = {
		{"to", 1, NULL, 't'},	 {"path", 1, NULL, 'p'},    {"topic", 1, NULL, 'T'},
		{"rate", 1, NULL, 'r'},	 {"seconds", 1, NULL, 'c'}, {"size", 1, NULL, 's'},
		{"first", 1, NULL, '1'}, {"window", 1, NULL, 'w'},  {NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		switch (c) {
		case 't': opt.to = optarg; break;
		case 'p': opt.path = optarg; break;
		case 'T': opt.topic = optarg; break;
		case 'r': opt.rate = bench_number("--rate", optarg, 1000000); break;
		case 'c': opt.seconds = bench_number("--seconds", optarg, 86400); break;
		case 'w': opt.window = bench_number("--window", optarg, UINT32_MAX); break;
		case 's': opt.size = bench_number("--size", optarg, SIZE_MAX_BYTES); break;
		case '1': opt.first = bench_number("--first", optarg, UINT32_MAX); break;
		default: bench_die("unknown option; see README.md");
		}
	}
	if (!opt.to || !opt.path == !opt.topic || opt.rate == 0 || opt.window == 0)
		bench_die("--to, --rate and one of --path and --topic are needed");
}

/* Wait until the server has answered everything. */
static void
finish(uint64_t published)
{
	uint64_t want = opt.path ? published : st.answers + 1;

	if (opt.topic)
		bench_send(st.fd, "PING\r\n", 6);
	while (st.answers < want && take_answers(true))
		;
	if (st.answers < want || st.bad > 0)
		bench_die("%" PRIu64 " of %" PRIu64 " answers, %" PRIu64 " of them bad", st.answers,
			  want, st.bad);
}

int
main(int argc, char **argv)
{
	const struct timeval patience = {.tv_sec = ANSWER_S};
	uint64_t began, end, late = 0, n = 0, now;

	options(argc, argv);
	(void)prctl(PR_SET_TIMERSLACK, 1);
	st.fd = bench_connect(opt.to);
	(void)setsockopt(st.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (opt.topic)
		bench_send(st.fd, "CONNECT {\"verbose\":false,\"name\":\"bench\"}\r\n", 42);
	began = now = bench_now_ns();
	end = began + opt.seconds * 1000000000u;
	for (; n < opt.rate * opt.seconds && now < end; n++) {
		struct bench_stamp stamp = {opt.first + n, began + n * 1000000000u / opt.rate};

		bench_sleep_until(stamp.t);
		while (take_answers(false))
			;
		while (opt.path && n - st.answers >= opt.window && take_answers(true))
			;
		publish(stamp);
		now = bench_now_ns();
		if (now - stamp.t > late)
			late = now - stamp.t;
	}
	finish(n);
	printf("{\"published\":%" PRIu64 ",\"last\":%" PRIu64 ",\"s\":%.2f,\"late_ms\":%.2f}\n", n,
	       opt.first + n - 1, (double)(bench_now_ns() - began) / 1e9, (double)late / 1e6);
	(void)close(st.fd);
	return 0;
}
