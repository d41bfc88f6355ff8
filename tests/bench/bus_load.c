/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One publisher and many subscribers of a broker, in one thread. Either as fast as a window of
 * messages that not all have received yet lets it, or at a fixed rate with the latency from the
 * time at which a message was due. Every subscriber checks the numbers of what it gets.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "bus_wire.h"

#define SCRATCH_BYTES (512 * 1024)
#define OUT_BYTES     (4 * 1024 * 1024)
#define PAYLOAD_MAX   4096
#define TOPIC_MAX     64
#define WARMUP_S      1
#define PATIENCE_NS   5000000000u

struct peer {
	int fd;
	uint64_t sent, got; /* messages to it, from it */
	char *rest;	    /* bytes of a unit that is not whole */
	size_t rest_n;
};

static struct {
	const char *to, *token;
	enum bus_wire wire;
	unsigned subs, patterns;
	uint64_t rate, window, seconds, size;
	struct bench_pids pids;
} opt = {.subs = 1, .window = 1000, .seconds = 4, .size = 200};

static struct {
	int ep, timer;
	struct peer pub, *sub;
	char *scratch, *out;
	size_t out_at, out_n;
	bool blocked;
	char (*topics)[TOPIC_MAX];
	uint64_t published, got, lost, doubled, read_ns;
	uint64_t seed;
	size_t hint;
	struct bench_hist lat;
	bool counting;
} st;

/* ---- setting up, blocking ---- */

static void
nats_hello(int fd)
{
	char text[512];
	int n = snprintf(
		text, sizeof(text),
		"CONNECT {\"verbose\":false,\"pedantic\":false,\"name\":\"bench\"%s%s%s}\r\n",
		opt.token ? ",\"auth_token\":\"" : "", opt.token ? opt.token : "",
		opt.token ? "\"" : "");

	bench_send(fd, text, (size_t)n);
}

/* Everything that was sent so far has been taken in. */
static void
settle(int fd)
{
	char in[65536];
	size_t n = 0;

	bench_send(fd, "PING\r\n", 6);
	for (;;) {
		ssize_t got = recv(fd, in + n, sizeof(in) - n, 0);

		if (got <= 0)
			bench_die("the broker does not answer: %.*s", (int)n, in);
		n += (size_t)got;
		if (memmem(in, n, "PONG", 4) || memmem(in, n, "pong", 4))
			return;
		/* A word of the answer may stand across two reads. */
		memmove(in, in + n - (n < 16 ? n : 16), n < 16 ? n : 16);
		n = n < 16 ? n : 16;
	}
}

/* What is published on; with patterns one topic below each. */
static void
make_topics(void)
{
	unsigned n = opt.patterns > 0 ? opt.patterns : 1;

	st.topics = calloc(n, sizeof(*st.topics));
	if (!st.topics)
		bench_die("no memory");
	for (unsigned i = 0; i < n; i++)
		if (opt.patterns > 0)
			(void)snprintf(st.topics[i], TOPIC_MAX, "ext.%08u.changed", i);
		else
			(void)snprintf(st.topics[i], TOPIC_MAX, "ext.bench.all");
}

static void
open_peer(struct peer *p)
{
	const struct timeval patience = {.tv_sec = 30};

	p->fd = bench_connect(opt.to);
	(void)setsockopt(p->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (opt.wire == BUS_WIRE_NATS)
		nats_hello(p->fd);
}

static void
subscribe_all(void)
{
	char pattern[TOPIC_MAX], line[TOPIC_MAX + 128];
	unsigned n = opt.patterns > 0 ? opt.patterns : opt.subs;

	for (unsigned i = 0; i < n; i++) {
		struct peer *p = &st.sub[i % opt.subs];

		if (opt.patterns > 0)
			(void)snprintf(pattern, sizeof(pattern), "ext.%08u.>", i);
		else
			(void)snprintf(pattern, sizeof(pattern), "%s", st.topics[0]);
		bench_send(p->fd, line, bus_wire_subscribe(opt.wire, line, pattern, i + 1));
		/* Confirmations must not pile up. */
		if (opt.wire == BUS_WIRE_REDIS && i % 256 == 255)
			while (recv(p->fd, st.scratch, SCRATCH_BYTES, MSG_DONTWAIT) > 0)
				;
	}
	for (unsigned i = 0; i < opt.subs; i++)
		settle(st.sub[i].fd);
	settle(st.pub.fd);
}

static void
watch(int fd, int op, uint32_t events, void *ptr)
{
	struct epoll_event ev = {.events = events, .data.ptr = ptr};

	if (epoll_ctl(st.ep, op, fd, &ev) < 0)
		bench_die("epoll_ctl: %m");
}

static void
open_all(void)
{
	st.sub = calloc(opt.subs, sizeof(*st.sub));
	st.scratch = malloc(SCRATCH_BYTES);
	st.out = malloc(OUT_BYTES);
	st.ep = epoll_create1(EPOLL_CLOEXEC);
	st.timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (!st.sub || !st.scratch || !st.out || st.ep < 0 || st.timer < 0)
		bench_die("no memory");
	make_topics();
	open_peer(&st.pub);
	for (unsigned i = 0; i < opt.subs; i++)
		open_peer(&st.sub[i]);
	subscribe_all();
	for (unsigned i = 0; i < opt.subs; i++) {
		(void)fcntl(st.sub[i].fd, F_SETFL, O_NONBLOCK);
		watch(st.sub[i].fd, EPOLL_CTL_ADD, EPOLLIN, &st.sub[i]);
	}
	(void)fcntl(st.pub.fd, F_SETFL, O_NONBLOCK);
	watch(st.pub.fd, EPOLL_CTL_ADD, EPOLLIN, &st.pub);
	watch(st.timer, EPOLL_CTL_ADD, EPOLLIN, NULL);
}

/* ---- receiving ---- */

static void
take(struct peer *p, const struct bus_msg *m)
{
	struct bench_stamp stamp;

	if (!bench_stamp_find(m->payload, m->payload_n, &st.hint, &stamp))
		return;
	if (stamp.n <= p->got) {
		st.doubled++;
		return;
	}
	st.lost += stamp.n - p->got - 1;
	p->got = stamp.n;
	st.got++;
	if (opt.rate > 0 && st.counting && st.read_ns > stamp.t)
		bench_hist_add(&st.lat, st.read_ns - stamp.t);
}

static void
keep(struct peer *p, const char *rest, size_t n)
{
	if (n > 0 && !p->rest && !(p->rest = malloc(PAYLOAD_MAX * 2)))
		bench_die("no memory");
	if (n > PAYLOAD_MAX * 2)
		bench_die("a unit is too long");
	if (n > 0)
		memcpy(p->rest, rest, n);
	p->rest_n = n;
}

static void
receive(struct peer *p)
{
	struct bus_msg m;
	ssize_t n;
	size_t at = 0, all;

	if (p->rest_n > 0)
		memcpy(st.scratch, p->rest, p->rest_n);
	n = recv(p->fd, st.scratch + p->rest_n, SCRATCH_BYTES - p->rest_n, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		bench_die("the broker closed a connection: %.*s", (int)p->rest_n, p->rest);
	st.read_ns = bench_now_ns();
	all = p->rest_n + (size_t)n;
	while (at < all) {
		long used = bus_wire_read(opt.wire, st.scratch + at, all - at, &m);

		if (used < 0)
			bench_die("the broker says: %.*s", (int)(all - at < 200 ? all - at : 200),
				  st.scratch + at);
		if (used == 0)
			break;
		if (m.payload)
			take(p, &m);
		else if (opt.wire == BUS_WIRE_NATS && st.scratch[at] == 'P' &&
			 st.scratch[at + 1] == 'I')
			bench_send(p->fd, "PONG\r\n", 6);
		at += (size_t)used;
	}
	keep(p, st.scratch + at, all - at);
}

/* ---- publishing ---- */

/* How many messages have not been received by all who get them. */
static uint64_t
underway(void)
{
	uint64_t least = UINT64_MAX;

	if (opt.patterns > 0)
		return st.published - st.got - st.lost;
	for (unsigned i = 0; i < opt.subs; i++)
		if (st.sub[i].got < least)
			least = st.sub[i].got;
	return st.published - least;
}

static uint64_t
random_next(void)
{
	st.seed ^= st.seed << 13;
	st.seed ^= st.seed >> 7;
	st.seed ^= st.seed << 17;
	return st.seed;
}

static void
add_message(uint64_t due_ns)
{
	static char payload[PAYLOAD_MAX + 256];
	struct bench_stamp stamp = {.n = ++st.published, .t = due_ns};
	unsigned pattern = 0;
	size_t n;

	if (opt.patterns > 0) {
		pattern = (unsigned)(random_next() % opt.patterns);
		stamp.n = ++st.sub[pattern % opt.subs].sent;
	}
	n = bench_stamp_put(payload, stamp, opt.size);
	st.out_n += bus_wire_publish(opt.wire, st.out + st.out_n, st.topics[pattern], payload, n);
}

static void
push(void)
{
	ssize_t n = send(st.pub.fd, st.out + st.out_at, st.out_n - st.out_at, MSG_NOSIGNAL);
	bool blocked;

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		bench_die("send: %m");
	if (n > 0)
		st.out_at += (size_t)n;
	if (st.out_at == st.out_n)
		st.out_at = st.out_n = 0;
	blocked = st.out_n > 0;
	if (blocked != st.blocked)
		watch(st.pub.fd, EPOLL_CTL_MOD, blocked ? EPOLLIN | EPOLLOUT : EPOLLIN, &st.pub);
	st.blocked = blocked;
}

static void
publish_window(void)
{
	uint64_t now = bench_now_ns(), busy = underway();

	for (; busy < opt.window && OUT_BYTES - st.out_n > 2 * PAYLOAD_MAX; busy++)
		add_message(now);
}

static void
set_timer(uint64_t at_ns)
{
	const struct itimerspec when = {.it_value = {.tv_sec = (time_t)(at_ns / 1000000000u),
						     .tv_nsec = (long)(at_ns % 1000000000u)}};

	if (timerfd_settime(st.timer, TFD_TIMER_ABSTIME, &when, NULL) < 0)
		bench_die("timerfd_settime: %m");
}

static void
publish_due(uint64_t began)
{
	for (;;) {
		uint64_t due = began + st.published * 1000000000u / opt.rate;

		if (due > bench_now_ns()) {
			set_timer(due);
			return;
		}
		add_message(due);
	}
}

/* ---- the run ---- */

static void
turn(int wait_ms)
{
	struct epoll_event ev[256];
	int n = epoll_wait(st.ep, ev, 256, wait_ms);
	uint64_t count;

	for (int i = 0; i < n; i++) {
		struct peer *p = ev[i].data.ptr;

		if (!p)
			(void)!read(st.timer, &count, sizeof(count));
		else if (ev[i].events & ~(uint32_t)EPOLLOUT)
			receive(p);
	}
}

static void
run_until(uint64_t began, uint64_t end_ns)
{
	while (bench_now_ns() < end_ns) {
		if (opt.rate > 0)
			publish_due(began);
		else
			publish_window();
		if (st.out_n > 0)
			push();
		/* A load that sleeps measures how fast it is woken. */
		turn(opt.rate > 0 ? 100 : 0);
	}
}

static void
drain(void)
{
	uint64_t deadline = bench_now_ns() + PATIENCE_NS;

	while (underway() > 0 && bench_now_ns() < deadline) {
		if (st.out_n > 0)
			push();
		turn(10);
	}
}

static void
options(int argc, char **argv)
{
	static const struct option longs[] = {
		{"to", 1, NULL, 't'},	  {"wire", 1, NULL, 'w'},     {"token", 1, NULL, 'T'},
		{"subs", 1, NULL, 's'},	  {"patterns", 1, NULL, 'p'}, {"rate", 1, NULL, 'r'},
		{"window", 1, NULL, 'W'}, {"seconds", 1, NULL, 'S'},  {"size", 1, NULL, 'z'},
		{"pid", 1, NULL, 'P'},	  {NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		switch (c) {
		case 't': opt.to = optarg; break;
		case 'w':
			opt.wire = strcmp(optarg, "redis") == 0 ? BUS_WIRE_REDIS : BUS_WIRE_NATS;
			break;
		case 'T': opt.token = optarg; break;
		case 's': opt.subs = (unsigned)bench_number("--subs", optarg, 1000); break;
		case 'p':
			opt.patterns = (unsigned)bench_number("--patterns", optarg, 1000000);
			break;
		case 'r': opt.rate = bench_number("--rate", optarg, 10000000); break;
		case 'W': opt.window = bench_number("--window", optarg, 1000000); break;
		case 'S': opt.seconds = bench_number("--seconds", optarg, 86400); break;
		case 'z': opt.size = bench_number("--size", optarg, PAYLOAD_MAX); break;
		case 'P': bench_pids_add(&opt.pids, optarg); break;
		default: bench_die("unknown option; see README.md");
		}
	}
	if (!opt.to || opt.subs == 0 || opt.window == 0 ||
	    (opt.patterns && opt.patterns < opt.subs))
		bench_die("--to and --subs are needed; no fewer --patterns than --subs");
}

static uint64_t
own_ns(void)
{
	return bench_cpu_ns(&(struct bench_pids){.pid = {getpid()}, .n = 1});
}

int
main(int argc, char **argv)
{
	uint64_t began, from, got, cpu, own, published;
	double s, deliveries;

	options(argc, argv);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)prctl(PR_SET_TIMERSLACK, 1);
	st.seed = 88172645463325252u;
	bench_descriptors(opt.subs + 16);
	open_all();
	began = bench_now_ns();
	run_until(began, began + WARMUP_S * 1000000000u);
	st.counting = true;
	from = bench_now_ns();
	got = st.got;
	published = st.published;
	cpu = bench_cpu_ns(&opt.pids);
	own = own_ns();
	run_until(began, from + opt.seconds * 1000000000u);
	s = (double)(bench_now_ns() - from) / 1e9;
	deliveries = (double)(st.got - got);
	cpu = bench_cpu_ns(&opt.pids) - cpu;
	own = own_ns() - own;
	published = st.published - published;
	drain();
	printf("{\"published_per_s\":%.0f,\"deliveries_per_s\":%.0f,\"cpu_s_per_million\":%.3f,"
	       "\"server_busy\":%.2f,\"loader_busy\":%.2f,\"published\":%" PRIu64
	       ",\"deliveries\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"doubled\":%" PRIu64
	       ",\"behind\":%" PRIu64 ",",
	       (double)published / s, deliveries / s,
	       deliveries > 0 ? (double)cpu / 1e3 / deliveries : 0, (double)cpu / 1e9 / s,
	       (double)own / 1e9 / s, st.published, st.got, st.lost, st.doubled, underway());
	bench_hist_print(stdout, "lat_us", &st.lat);
	printf("}\n");
	return 0;
}
