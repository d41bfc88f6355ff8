/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many viewers of one event stream. Every viewer counts every event and checks that their numbers
 * follow one another; latency is from the moment at which an event was due to be published.
 * Commands on standard input, one JSON line each on standard output; see README.md.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "sse_feed.h"

#define READ_BYTES   (256 * 1024)
#define SLOW_RCVBUF  4096
#define HEADERS_MAX  4096
#define EVENTS_BATCH 512

struct viewer {
	int fd; /* -1: closed */
	bool slow, connected;
	struct sse_feed feed;
	uint64_t next; /* number of the next event */
};

static struct {
	struct sockaddr_in to;
	const char *path;
	char headers[HEADERS_MAX];
	unsigned viewers, slow, sources, in_flight;
	uint64_t open_s, drain_s, settle_ms, first;
	struct bench_pids pids;
} opt = {.viewers = 1,
	 .in_flight = 256,
	 .open_s = 120,
	 .drain_s = 60,
	 .settle_ms = 1000,
	 .first = 1,
	 .path = "/"};

static struct {
	int ep;
	struct viewer *v;
	unsigned started, answered, open, refused, broken;
	int last_status;
	char *in, request[HEADERS_MAX + 1024];
	int request_n;
	size_t hint;
	uint64_t read_ns; /* when the bytes at hand were read */
	uint64_t anon_before_kb;
	/* All there was. */
	uint64_t deliveries, lost, doubled, late;
	/* Since the last mark. */
	uint64_t mark_ns, mark_deliveries, mark_cpu_ns, mark_own_ns;
	struct bench_hist lat, lat_all;
	/* After `end`. */
	bool ending;
	uint64_t last, behind, end_ns;
	char command[128];
	size_t command_n;
} st;

static uint64_t
own_cpu_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void
watch(struct viewer *v, int op, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = v};

	if (epoll_ctl(st.ep, op, v->fd, &ev) < 0)
		bench_die("epoll_ctl: %m");
}

static void
viewer_start(struct viewer *v, unsigned index)
{
	int one = 1, rcvbuf = SLOW_RCVBUF;

	v->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (v->fd < 0)
		bench_die("socket: %m");
	v->slow = index < opt.slow;
	v->next = opt.first;
	if (v->slow)
		(void)setsockopt(v->fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf));
	if (opt.sources > 0) {
		struct sockaddr_in from = {.sin_family = AF_INET};

		from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + index % opt.sources);
		(void)setsockopt(v->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
		if (bind(v->fd, (const struct sockaddr *)&from, sizeof(from)) < 0)
			bench_die("bind: %m");
	}
	if (connect(v->fd, (const struct sockaddr *)&opt.to, sizeof(opt.to)) < 0 &&
	    errno != EINPROGRESS)
		bench_die("connect: %m");
	watch(v, EPOLL_CTL_ADD, EPOLLOUT);
	st.started++;
}

static void
viewer_close(struct viewer *v)
{
	bool was_open = v->feed.status == 200;

	if (v->fd < 0)
		return;
	(void)close(v->fd);
	v->fd = -1;
	sse_feed_fini(&v->feed);
	if (was_open) {
		st.open--;
		st.broken++;
	} else {
		st.answered++;
		st.refused++;
	}
	if (st.ending && v->next <= st.last && !v->slow)
		st.behind--;
}

/* One `data:` line of a viewer. */
static void
on_data(void *user, const char *p, size_t n)
{
	struct viewer *v = user;
	struct bench_stamp stamp;

	if (!bench_stamp_find(p, n, &st.hint, &stamp))
		return;
	if (stamp.n < v->next) {
		st.doubled++;
		return;
	}
	st.lost += stamp.n - v->next;
	if (st.ending && v->next <= st.last && stamp.n >= st.last)
		st.behind--;
	v->next = stamp.n + 1;
	st.deliveries++;
	if (st.read_ns > stamp.t) {
		bench_hist_add(&st.lat, st.read_ns - stamp.t);
		bench_hist_add(&st.lat_all, st.read_ns - stamp.t);
	}
}

static void
viewer_read(struct viewer *v)
{
	ssize_t n = recv(v->fd, st.in, READ_BYTES, 0);
	bool was_open = v->feed.status == 200;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		viewer_close(v);
		return;
	}
	st.read_ns = bench_now_ns();
	if (sse_feed(&v->feed, st.in, (size_t)n, on_data, v) < 0)
		bench_die("that is no event stream: %.*s", (int)(n < 200 ? n : 200), st.in);
	if (v->feed.state != SSE_HEAD && !was_open) {
		st.last_status = v->feed.status;
		if (v->feed.status != 200) {
			viewer_close(v);
			return;
		}
		st.answered++;
		st.open++;
		if (v->slow)
			watch(v, EPOLL_CTL_MOD, EPOLLHUP);
	}
	if (v->feed.state == SSE_OVER)
		viewer_close(v);
}

static void
viewer_event(struct viewer *v, uint32_t events)
{
	if (v->fd < 0)
		return;
	if (!v->connected && (events & EPOLLOUT) && !(events & EPOLLERR)) {
		v->connected = true;
		if (send(v->fd, st.request, (size_t)st.request_n, MSG_NOSIGNAL) != st.request_n) {
			viewer_close(v);
			return;
		}
		watch(v, EPOLL_CTL_MOD, EPOLLIN);
		return;
	}
	if (v->slow && v->feed.status == 200)
		viewer_close(v);
	else if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		viewer_read(v);
}

static void
print_mark(void)
{
	uint64_t now = bench_now_ns(), cpu = bench_cpu_ns(&opt.pids), own = own_cpu_ns();
	uint64_t n = st.deliveries - st.mark_deliveries;
	double s = (double)(now - st.mark_ns) / 1e9, cpu_s = (double)(cpu - st.mark_cpu_ns) / 1e9;

	printf("{\"mark\":true,\"s\":%.3f,\"open\":%u,\"deliveries\":%" PRIu64
	       ",\"per_s\":%.0f,\"cpu_s\":%.3f,\"cpu_s_per_million\":%.3f,\"loader_busy\":%.2f,"
	       "\"anon_kb\":%" PRIu64 ",\"tcp_kb\":%" PRIu64 ",",
	       s, st.open, n, (double)n / s, cpu_s, n ? cpu_s * 1e6 / (double)n : 0,
	       (double)(own - st.mark_own_ns) / 1e9 / s, bench_anon_kb(&opt.pids), bench_tcp_kb());
	bench_hist_print(stdout, "lat_us", &st.lat);
	printf("}\n");
	(void)fflush(stdout);
	memset(&st.lat, 0, sizeof(st.lat));
	st.mark_deliveries = st.deliveries;
	st.mark_ns = bench_now_ns();
	st.mark_cpu_ns = cpu;
	st.mark_own_ns = own_cpu_ns();
}

static void
print_end(void)
{
	uint64_t slow_open = 0;

	for (unsigned i = 0; i < opt.slow; i++)
		slow_open += st.v[i].fd >= 0;
	printf("{\"end\":true,\"open\":%u,\"slow_open\":%" PRIu64
	       ",\"broken\":%u,\"behind\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"doubled\":%" PRIu64
	       ",\"deliveries\":%" PRIu64 ",\"drain_s\":%.2f,",
	       st.open, slow_open, st.broken, st.behind, st.lost, st.doubled, st.deliveries,
	       (double)(bench_now_ns() - st.end_ns) / 1e9);
	bench_hist_print(stdout, "lat_us", &st.lat_all);
	printf("}\n");
	(void)fflush(stdout);
}

static void
command(const char *text)
{
	if (strcmp(text, "mark") == 0) {
		print_mark();
	} else if (strncmp(text, "end ", 4) == 0) {
		st.last = bench_number("end", text + 4, UINT64_MAX - 1);
		st.ending = true;
		st.end_ns = bench_now_ns();
		for (unsigned i = opt.slow; i < opt.viewers; i++)
			st.behind += st.v[i].fd >= 0 && st.v[i].next <= st.last;
	} else {
		bench_die("unknown command: %s", text);
	}
}

/* False when there will be no more. */
static bool
read_commands(void)
{
	ssize_t n = read(STDIN_FILENO, st.command + st.command_n,
			 sizeof(st.command) - 1 - st.command_n);
	char *lf;

	if (n <= 0)
		return false;
	st.command_n += (size_t)n;
	st.command[st.command_n] = '\0';
	while ((lf = strchr(st.command, '\n')) != NULL) {
		*lf = '\0';
		command(st.command);
		st.command_n -= (size_t)(lf + 1 - st.command);
		memmove(st.command, lf + 1, st.command_n + 1);
	}
	return st.command_n < sizeof(st.command) - 1;
}

/* One turn; false when standard input has ended. */
static bool
turn(int wait_ms)
{
	static struct epoll_event ev[EVENTS_BATCH];
	int n = epoll_wait(st.ep, ev, EVENTS_BATCH, wait_ms);

	for (int i = 0; i < n; i++) {
		if (ev[i].data.ptr)
			viewer_event(ev[i].data.ptr, ev[i].events);
		else if (!read_commands())
			return false;
	}
	return true;
}

static void
open_all(void)
{
	uint64_t began = bench_now_ns(), deadline = began + opt.open_s * 1000000000u, until;

	while (st.answered < opt.viewers) {
		while (st.started < opt.viewers && st.started - st.answered < opt.in_flight) {
			viewer_start(&st.v[st.started], st.started);
		}
		if (!turn(100))
			exit(1);
		if (bench_now_ns() > deadline)
			bench_die("only %u of %u viewers were answered in %" PRIu64 " s",
				  st.answered, opt.viewers, opt.open_s);
	}
	if (st.refused > 0)
		bench_die("%u of %u viewers were refused, the last with status %d", st.refused,
			  opt.viewers, st.last_status);
	printf("{\"open\":%u,\"open_s\":%.2f", st.open, (double)(bench_now_ns() - began) / 1e9);
	until = bench_now_ns() + opt.settle_ms * 1000000u;
	while (bench_now_ns() < until)
		if (!turn(10))
			exit(1);
	printf(",\"anon_before_kb\":%" PRIu64 ",\"anon_kb\":%" PRIu64 ",\"tcp_kb\":%" PRIu64
	       ",\"bytes_per_viewer\":%.0f,\"ready\":true}\n",
	       st.anon_before_kb, bench_anon_kb(&opt.pids), bench_tcp_kb(),
	       ((double)bench_anon_kb(&opt.pids) - (double)st.anon_before_kb) * 1024 / opt.viewers);
	(void)fflush(stdout);
}

static void
add_header(const char *text)
{
	size_t n = strlen(opt.headers);

	if (n + strlen(text) + 3 > sizeof(opt.headers))
		bench_die("too many headers");
	(void)snprintf(opt.headers + n, sizeof(opt.headers) - n, "%s\r\n", text);
}

static void
set_target(const char *text)
{
	const char *colon = strrchr(text, ':');
	char host[64];

	if (!colon || (size_t)(colon - text) >= sizeof(host))
		bench_die("--to: HOST:PORT");
	(void)snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
	opt.to.sin_family = AF_INET;
	opt.to.sin_port = htons((uint16_t)bench_number("--to", colon + 1, UINT16_MAX));
	if (inet_pton(AF_INET, host, &opt.to.sin_addr) != 1)
		bench_die("--to: not an IPv4 address: %s", host);
}

static void
options(int argc, char **argv)
{
	static const struct option longs[] = {
		{"to", 1, NULL, 't'},	     {"path", 1, NULL, 'p'},  {"header", 1, NULL, 'h'},
		{"viewers", 1, NULL, 'n'},   {"slow", 1, NULL, 's'},  {"sources", 1, NULL, 'a'},
		{"in-flight", 1, NULL, 'f'}, {"open", 1, NULL, 'o'},  {"drain", 1, NULL, 'd'},
		{"settle", 1, NULL, 'w'},    {"first", 1, NULL, '1'}, {"pid", 1, NULL, 'P'},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		switch (c) {
		case 't': set_target(optarg); break;
		case 'p': opt.path = optarg; break;
		case 'h': add_header(optarg); break;
		case 'n': opt.viewers = (unsigned)bench_number("--viewers", optarg, 1000000); break;
		case 's': opt.slow = (unsigned)bench_number("--slow", optarg, 1000000); break;
		case 'a': opt.sources = (unsigned)bench_number("--sources", optarg, 250); break;
		case 'f':
			opt.in_flight = (unsigned)bench_number("--in-flight", optarg, 100000);
			break;
		case 'o': opt.open_s = bench_number("--open", optarg, 86400); break;
		case 'd': opt.drain_s = bench_number("--drain", optarg, 86400); break;
		case 'w': opt.settle_ms = bench_number("--settle", optarg, 86400000); break;
		case '1': opt.first = bench_number("--first", optarg, UINT32_MAX); break;
		case 'P': bench_pids_add(&opt.pids, optarg); break;
		default: bench_die("unknown option; see README.md");
		}
	}
	if (opt.to.sin_port == 0 || opt.viewers == 0 || opt.in_flight == 0 ||
	    opt.slow > opt.viewers)
		bench_die("--to HOST:PORT and --viewers are needed; --slow is a part of them");
}

int
main(int argc, char **argv)
{
	struct epoll_event ev = {.events = EPOLLIN};

	options(argc, argv);
	(void)signal(SIGPIPE, SIG_IGN);
	bench_descriptors(opt.viewers + 16);
	st.request_n = snprintf(st.request, sizeof(st.request),
				"GET %s HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n%s"
				"\r\n",
				opt.path, opt.headers);
	st.v = calloc(opt.viewers, sizeof(*st.v));
	st.in = malloc(READ_BYTES);
	st.ep = epoll_create1(EPOLL_CLOEXEC);
	if (!st.v || !st.in || st.ep < 0 || (size_t)st.request_n >= sizeof(st.request))
		bench_die("no memory");
	if (epoll_ctl(st.ep, EPOLL_CTL_ADD, STDIN_FILENO, &ev) < 0)
		bench_die("standard input must be a pipe: %m");
	st.anon_before_kb = bench_anon_kb(&opt.pids);
	open_all();
	st.mark_ns = bench_now_ns();
	st.mark_cpu_ns = bench_cpu_ns(&opt.pids);
	st.mark_own_ns = own_cpu_ns();
	while (!st.ending ||
	       (st.behind > 0 && bench_now_ns() < st.end_ns + opt.drain_s * 1000000000u))
		if (!turn(st.ending ? 20 : 1000))
			return 1;
	print_end();
	return 0;
}
