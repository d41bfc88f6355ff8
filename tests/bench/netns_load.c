/* SPDX-License-Identifier: Apache-2.0 */
/* What networks cost: many deckies through a real decnet-netd, then changes with all of them
 * present, each until a peer on the LAN sees it. As root. One line of JSON. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "netd/alias.h"
#include "netd/nl.h"
#include "netd/request.h"
#include "netd/space.h"
#include "netns_accept.h"
#include "netns_floor.h"
#include "util/fdpass.h"

#define LAN_DECKIES 1000
#define ACCEPT_S    3
#define SOCKETS	    3
#define CHANGES	    200
#define LISTS	    50
#define WINDOW	    256 /* requests under way */
#define BITS	    20

static const uint16_t ports[SOCKETS] = {22, 80, 6379};

static struct {
	char dir[64];
	int channel, home, attacker, bridge;
	pid_t netd;
	uint64_t n;
	unsigned under_way;
	int *sockets;
	size_t nsockets;
	int last_fd;
} w;

static void
receive(void)
{
	uint8_t bytes[NETD_ANSWER_SIZE];
	struct pollfd p = {.fd = w.channel, .events = POLLIN};
	struct netd_answer a;
	unsigned nfds = 0;
	int fd = -1;

	if (poll(&p, 1, 60000) != 1 ||
	    fdpass_recv(w.channel, bytes, sizeof(bytes), &fd, 1, &nfds) != sizeof(bytes) ||
	    netd_answer_parse((struct sv){(const char *)bytes, sizeof(bytes)}, &a) < 0)
		bench_die("decnet-netd does not answer");
	if (a.kind != NETD_DONE)
		return;
	if (a.r < 0)
		bench_die("decnet-netd: %s", a.text);
	w.under_way--;
	w.last_fd = nfds ? fd : -1;
	if (nfds)
		w.sockets[w.nsockets++] = fd;
}

static void
ask(enum netd_op op, const struct netd_thing *t)
{
	struct netd_request q = {.op = op, .n = ++w.n, .thing = *t};
	uint8_t bytes[NETD_REQUEST_SIZE];

	netd_request_put(&q, bytes);
	while (w.under_way >= WINDOW ||
	       fdpass_send(w.channel, bytes, sizeof(bytes), NULL, 0) == -EAGAIN)
		receive();
	w.under_way++;
}

static void
wait_all(void)
{
	while (w.under_way > 0)
		receive();
}

static struct netd_thing
decky(unsigned i)
{
	struct netd_thing t = {.topology = {{1}}, .decky = {{2}}};

	memcpy(t.decky.b + 4, &i, sizeof(i));
	return t;
}

static struct netd_thing
lan(unsigned k)
{
	struct netd_thing t = {.topology = {{1}}, .lan = {{3}}};

	memcpy(t.lan.b + 4, &k, sizeof(k));
	t.ip = 0x0a000000u + (k << (32 - BITS));
	t.bits = BITS;
	return t;
}

static uint32_t
ip_of(unsigned i, unsigned lans)
{
	return lan(i % lans).ip + 2 + i / lans;
}

static void
listen_on(unsigned i, uint16_t port)
{
	struct netd_thing t = decky(i);

	t.port = port;
	ask(NETD_OP_LISTEN, &t);
}

static void
add(unsigned i, unsigned lans)
{
	struct netd_thing t = decky(i), mark = t;

	ask(NETD_OP_DECKY_ADD, &t);
	t.lan = lan(i % lans).lan;
	t.ip = ip_of(i, lans);
	t.bits = BITS;
	memcpy(t.mac, "\x00\x0c\x29", 3);
	t.mac[3] = (uint8_t)(i >> 16);
	t.mac[4] = (uint8_t)(i >> 8);
	t.mac[5] = (uint8_t)i;
	ask(NETD_OP_NIC_ADD, &t);
	mark.mark = 1;
	ask(NETD_OP_MARK, &mark);
	for (unsigned k = 0; k < SOCKETS; k++)
		listen_on(i, ports[k]);
}

static void
start_netd(const char *path)
{
	char number[16];
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		bench_die("%s", strerror(errno));
	w.channel = pair[0];
	w.netd = fork();
	if (w.netd == 0) {
		(void)snprintf(number, sizeof(number), "%d", fcntl(pair[1], F_DUPFD, 3));
		(void)setenv("DECNET_FD_NETD", number, 1);
		(void)setenv("DECNET_STATE_DIR", w.dir, 1);
		(void)setenv("DECNET_LOG_LEVEL", "warning", 1);
		(void)execl(path, path, (char *)NULL);
		_exit(127);
	}
	(void)close(pair[1]);
}

/* As if it had been killed: until a new one has told all there is. Milliseconds. */
static double
restart_netd(const char *path, struct bench_pids *pids)
{
	const struct netd_thing none = {0};
	uint64_t start = bench_now_ns();

	(void)kill(w.netd, SIGKILL);
	(void)waitpid(w.netd, NULL, 0);
	(void)close(w.channel);
	/* The machine's own settings are only seen from there. */
	if (space_enter(w.home) < 0)
		bench_die("there is no way back");
	start_netd(path);
	pids->pid[0] = w.netd;
	ask(NETD_OP_LIST, &none);
	wait_all();
	return (double)(bench_now_ns() - start) / 1e6;
}

static void
on_link(void *user, const struct nl_link *link)
{
	enum netd_kind kind;
	struct netd_thing t, first = lan(0);

	(void)user;
	if (netd_alias_parse(sv_from(link->alias), &kind, &t) == 0 && kind == NETD_LAN &&
	    netd_id_eq(&t.lan, &first.lan))
		w.bridge = link->index;
}

/* A peer on the first LAN. */
static void
join(void)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 9};
	struct nl *nl = calloc(2, sizeof(*nl));
	char path[128];
	int fabric;

	(void)snprintf(path, sizeof(path), "%s/netns/" SPACE_FABRIC, w.dir);
	fabric = open(path, O_RDONLY | O_CLOEXEC);
	if (!nl || unshare(CLONE_NEWNET) < 0)
		bench_die("namespace: %s", strerror(errno));
	w.attacker = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (space_enter(fabric) < 0 || nl_open(&nl[0], NULL) < 0 ||
	    nl_links(&nl[0], on_link, NULL, NULL) < 0)
		bench_die("the fabric cannot be entered");
	nl_put_veth(&nl[0], 900000, "x900000", w.bridge, 2, "eth0", mac, w.attacker);
	nl_put_up(&nl[0], 900000);
	if (nl_commit(&nl[0], NULL) < 0 || space_enter(w.attacker) < 0 || nl_open(&nl[1], NULL) < 0)
		bench_die("the peer cannot be joined");
	nl_put_up(&nl[1], 2);
	nl_put_address(&nl[1], 2, lan(0).ip + 4000, BITS);
	if (nl_commit(&nl[1], NULL) < 0)
		bench_die("the peer cannot be joined");
	(void)poll(NULL, 0, 1000);
	free(nl);
}

/* The peer stays where it is; the others are reached by descriptors. */
static void
connect_to(uint32_t ip, uint16_t port)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		bench_die("connect: %s", strerror(errno));
	(void)close(fd);
}

/* Of the whole machine, in KiB. */
struct memory {
	double available, slab, percpu, netd;
};

static struct memory
memory(const struct bench_pids *netd)
{
	struct memory m = {.netd = (double)bench_anon_kb(netd)};
	char line[128];
	FILE *f = fopen("/proc/meminfo", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %lf", &m.available) != 1 &&
		    sscanf(line, "Slab: %lf", &m.slab) != 1)
			(void)sscanf(line, "Percpu: %lf", &m.percpu);
	if (f)
		(void)fclose(f);
	return m;
}

static unsigned lans_of_all;

static uint32_t
address_of(unsigned decky)
{
	return ip_of(decky, lans_of_all);
}

static void
accept_all(unsigned n, unsigned lans)
{
	const struct netns_accept what = {.listeners = w.sockets,
					  .n = w.nsockets,
					  .each = SOCKETS,
					  .ports = ports,
					  .peer_ns = w.attacker,
					  .deckies = n / lans,
					  .step = lans,
					  .address = address_of,
					  .seconds = ACCEPT_S};
	struct netns_accepted done;

	lans_of_all = lans;
	done = netns_accept(&what);
	(void)printf("\"accept_per_s\":%.0f,\"accepted\":%llu,\"wrong\":%llu,", done.per_s,
		     (unsigned long long)done.total, (unsigned long long)done.wrong);
}

static void
changes(unsigned n, unsigned lans)
{
	struct bench_hist answered = {0}, added = {0}, service = {0}, removed = {0};

	for (unsigned i = 0; i < CHANGES; i++) {
		unsigned which = (n / lans + 1 + i) * lans; /* on the first LAN */
		struct netd_thing gone = decky(which);
		size_t from = w.nsockets;
		uint64_t start = bench_now_ns();

		add(which, lans);
		wait_all();
		bench_hist_add(&answered, bench_now_ns() - start);
		connect_to(ip_of(which, lans), 22);
		bench_hist_add(&added, bench_now_ns() - start);
		start = bench_now_ns();
		listen_on(which, 8080);
		wait_all();
		connect_to(ip_of(which, lans), 8080);
		bench_hist_add(&service, bench_now_ns() - start);
		while (w.nsockets > from)
			(void)close(w.sockets[--w.nsockets]);
		start = bench_now_ns();
		ask(NETD_OP_DECKY_DEL, &gone);
		wait_all();
		bench_hist_add(&removed, bench_now_ns() - start);
		/* The stock is filled while nothing else is to be done. */
		(void)poll(NULL, 0, 40);
	}
	bench_hist_print(stdout, "answer", &answered);
	(void)printf(",");
	bench_hist_print(stdout, "add", &added);
	(void)printf(",");
	bench_hist_print(stdout, "service", &service);
	(void)printf(",");
	bench_hist_print(stdout, "remove", &removed);
}

/* What a pass of the reconcile asks. */
static void
lists(void)
{
	const struct netd_thing none = {0};
	struct bench_hist told = {0};

	for (unsigned i = 0; i < LISTS; i++) {
		uint64_t start = bench_now_ns();

		ask(NETD_OP_LIST, &none);
		wait_all();
		bench_hist_add(&told, bench_now_ns() - start);
	}
	bench_hist_print(stdout, "list", &told);
	(void)printf(",");
}

int
main(int argc, char **argv)
{
	struct memory before, after;
	struct netns_floor floor;
	unsigned n, lans;
	uint64_t start, made, cpu;
	struct bench_pids pids = {0};

	if (argc != 3)
		bench_die("usage: bench_netns_load NETD DECKIES");
	n = (unsigned)bench_number("deckies", argv[2], 10000);
	lans = n <= LAN_DECKIES ? 1 : n / LAN_DECKIES + 1;
	bench_descriptors((uint64_t)n * (SOCKETS + 1) + 2000);
	w.sockets = calloc((size_t)n * SOCKETS + 4096, sizeof(*w.sockets));
	w.home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	(void)snprintf(w.dir, sizeof(w.dir), "/tmp/decnet-bench-XXXXXX");
	if (!mkdtemp(w.dir))
		bench_die("%s", strerror(errno));
	start_netd(argv[1]);
	pids.pid[pids.n++] = w.netd;
	for (unsigned k = 0; k < lans; k++) {
		struct netd_thing t = lan(k);

		ask(NETD_OP_LAN_ADD, &t);
	}
	wait_all();
	/* The stock is full then. */
	(void)poll(NULL, 0, 500);
	before = memory(&pids);
	cpu = bench_cpu_ns(&pids);
	start = bench_now_ns();
	for (unsigned i = 0; i < n; i++)
		add(i, lans);
	wait_all();
	made = bench_now_ns() - start;
	cpu = bench_cpu_ns(&pids) - cpu;
	(void)poll(NULL, 0, 3000);
	after = memory(&pids);
	join();
	(void)printf("{\"deckies\":%u,\"lans\":%u,\"create_ms\":%.3f,\"cpu_ms\":%.3f,", n, lans,
		     (double)made / 1e6 / n, (double)cpu / 1e6 / n);
	(void)printf("\"kib\":{\"available\":%.1f,\"slab\":%.1f,\"percpu\":%.1f,\"netd\":%.2f},",
		     (before.available - after.available) / n, (after.slab - before.slab) / n,
		     (after.percpu - before.percpu) / n, (after.netd - before.netd) / n);
	accept_all(n, lans);
	lists();
	changes(n, lans);
	(void)printf(",\"restart_ms\":%.1f", restart_netd(argv[1], &pids));
	start = bench_now_ns();
	for (size_t i = 0; i < w.nsockets; i++)
		(void)close(w.sockets[i]);
	(void)kill(w.netd, SIGUSR1);
	(void)waitpid(w.netd, NULL, 0);
	(void)printf(",\"teardown_s\":%.3f", (double)(bench_now_ns() - start) / 1e9);
	(void)rmdir(w.dir);
	floor = netns_floor(n, lans, SOCKETS);
	(void)printf(",\"floor\":{\"create_ms\":%.3f,\"cpu_ms\":%.3f,\"teardown_s\":%.3f}}\n",
		     floor.create_ms, floor.cpu_ms, floor.teardown_s);
	return 0;
}
