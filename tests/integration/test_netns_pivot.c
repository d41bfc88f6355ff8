/* SPDX-License-Identifier: Apache-2.0 */
/* A decoy process that was taken over holds sockets in a decky's namespace. Every way out that is
 * known is tried with them: behind the filter of system calls the process ends; with the fence
 * alone nothing arrives; and without both it does, so the test is one. Real decnet-netd. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "netd/alias.h"
#include "netd/nl.h"
#include "netd/request.h"
#include "netd/space.h"
#include "util/fdpass.h"
#include "util/sandbox.h"

#define VICTIM	 0x0ac80003u /* 10.200.0.3 */
#define ATTACKER 0x0ac800c8u /* 10.200.0.200 */
#define DECKY	 0x0ac80002u

struct world {
	char dir[64];
	int channel;
	pid_t netd;
	uint64_t n;
	int listener, datagram; /* of the decky that is taken over */
	int victim_tcp, victim_udp;
	int fabric, attacker; /* namespaces */
	int home;
};

static struct world w;

static struct netd_thing
thing(uint8_t decky)
{
	struct netd_thing t = {.topology = {{1}}, .decky = {{decky}}};

	return t;
}

/* Ask and wait; the descriptor that came along, or -1. */
static int
ask(enum netd_op op, const struct netd_thing *t)
{
	struct netd_request q = {.op = op, .n = ++w.n, .thing = *t};
	uint8_t bytes[NETD_REQUEST_SIZE], answer[NETD_ANSWER_SIZE];
	struct netd_answer a;

	netd_request_put(&q, bytes);
	assert_int_equal(fdpass_send(w.channel, bytes, sizeof(bytes), NULL, 0), 0);
	for (;;) {
		struct pollfd p = {.fd = w.channel, .events = POLLIN};
		unsigned nfds = 0;
		int fd = -1;

		assert_int_equal(poll(&p, 1, 10000), 1);
		assert_int_equal(fdpass_recv(w.channel, answer, sizeof(answer), &fd, 1, &nfds),
				 sizeof(answer));
		assert_int_equal(
			netd_answer_parse((struct sv){(const char *)answer, sizeof(answer)}, &a),
			0);
		if (a.kind != NETD_DONE || a.n != w.n)
			continue;
		if (a.r < 0)
			fail_msg("%s: %s", netd_op_word(op), a.text);
		return nfds ? fd : -1;
	}
}

static int
ask_socket(uint8_t decky, uint16_t port, uint16_t flags)
{
	struct netd_thing t = thing(decky);
	int fd;

	t.port = port;
	t.flags = flags;
	fd = ask(NETD_OP_LISTEN, &t);
	assert_true(fd >= 0);
	return fd;
}

static void
add_decky(uint8_t decky, uint32_t ip)
{
	struct netd_thing t = thing(decky);

	(void)ask(NETD_OP_DECKY_ADD, &t);
	t.lan = (struct netd_id){{9}};
	t.ip = ip;
	t.bits = 24;
	memcpy(t.mac, (const uint8_t[]){0, 0x0c, 0x29, 0, 0, decky}, 6);
	(void)ask(NETD_OP_NIC_ADD, &t);
}

static void
start_netd(void)
{
	const char *bin = getenv("DECNET_BIN_DIR");
	char path[600], number[16];
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	w.channel = pair[0];
	(void)snprintf(path, sizeof(path), "%s/decnet-netd", bin ? bin : ".");
	w.netd = fork();
	if (w.netd == 0) {
		int fd = fcntl(pair[1], F_DUPFD, 3);

		(void)snprintf(number, sizeof(number), "%d", fd);
		(void)setenv("DECNET_FD_NETD", number, 1);
		(void)setenv("DECNET_STATE_DIR", w.dir, 1);
		(void)setenv("DECNET_LOG_LEVEL", "error", 1);
		(void)unsetenv("DECNET_UPLINK");
		(void)execl(path, path, (char *)NULL);
		_exit(127);
	}
	(void)close(pair[1]);
}

static int bridge;

static void
on_link(void *user, const struct nl_link *link)
{
	enum netd_kind kind;
	struct netd_thing t;

	(void)user;
	if (netd_alias_parse(sv_from(link->alias), &kind, &t) == 0 && kind == NETD_LAN)
		bridge = link->index;
}

/* An attacker's namespace on the LAN. */
static void
join_attacker(void)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 9};
	struct nl *nl = calloc(1, sizeof(*nl));
	char path[128];
	int state = 0;

	assert_non_null(nl);
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	w.attacker = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	(void)snprintf(path, sizeof(path), "%s/netns/" SPACE_FABRIC, w.dir);
	w.fabric = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(space_enter(w.fabric), 0);
	assert_int_equal(nl_open(nl, NULL), 0);
	assert_int_equal(nl_links(nl, on_link, NULL, NULL), 0);
	nl_put_veth(nl, 9000, "x9000", bridge, 2, "eth0", mac, w.attacker);
	nl_put_up(nl, 9000);
	assert_int_equal(nl_commit(nl, NULL), 0);
	assert_int_equal(space_enter(w.attacker), 0);
	{
		struct nl *in = calloc(1, sizeof(*in));

		assert_non_null(in);
		assert_int_equal(nl_open(in, NULL), 0);
		nl_put_up(in, 1);
		nl_put_up(in, 2);
		nl_put_address(in, 2, ATTACKER, 24);
		assert_int_equal(nl_commit(in, NULL), 0);
		nl_close(in);
		free(in);
	}
	for (unsigned i = 0; i < 2000 && state != 6; i++) {
		state = nl_operstate(nl, 9000);
		(void)poll(NULL, 0, 1);
	}
	assert_int_equal(state, 6);
	nl_close(nl);
	free(nl);
	assert_int_equal(space_enter(w.home), 0);
}

static int
setup(void **state)
{
	struct netd_thing lan = {
		.topology = {{1}}, .lan = {{9}}, .ip = 0x0ac80000, .bits = 24, .flags = NETD_DMZ};

	(void)state;
	if (geteuid() != 0)
		return 0;
	(void)snprintf(w.dir, sizeof(w.dir), "/tmp/decnet-pivot-XXXXXX");
	if (!mkdtemp(w.dir))
		return -1;
	w.home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	start_netd();
	(void)ask(NETD_OP_LAN_ADD, &lan);
	add_decky(2, DECKY);
	add_decky(3, VICTIM);
	w.listener = ask_socket(2, 22, 0);
	w.datagram = ask_socket(2, 161, NETD_UDP);
	w.victim_tcp = ask_socket(3, 80, 0);
	w.victim_udp = ask_socket(3, 53, NETD_UDP);
	join_attacker();
	return 0;
}

static int
teardown(void **state)
{
	int status = 0;

	(void)state;
	if (geteuid() != 0)
		return 0;
	(void)kill(w.netd, SIGUSR1);
	(void)waitpid(w.netd, &status, 0);
	(void)rmdir(w.dir);
	return 0;
}

static struct sockaddr_in
at(uint32_t ip, uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip)};
}

static int
connect_to(int fd, uint32_t ip, uint16_t port)
{
	struct sockaddr_in to = at(ip, port);

	return connect(fd, (struct sockaddr *)&to, sizeof(to));
}

/* -- the ways -- */

/* A peer that the decky has accepted. */
static int
accepted(void)
{
	struct pollfd p = {.fd = w.listener, .events = POLLIN};
	int fd, peer;

	assert_int_equal(space_enter(w.attacker), 0);
	peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect_to(peer, DECKY, 22), 0);
	assert_int_equal(space_enter(w.home), 0);
	assert_int_equal(poll(&p, 1, 5000), 1);
	fd = accept4(w.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(fd >= 0);
	(void)close(peer);
	return fd;
}

static int used; /* the accepted socket */

static void
by_new_socket(void)
{
	(void)connect_to(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), VICTIM, 80);
}

static void
by_accepted(void)
{
	struct sockaddr none = {.sa_family = AF_UNSPEC};

	(void)connect(used, &none, sizeof(none));
	(void)connect_to(used, VICTIM, 80);
}

static void
by_listener(void)
{
	struct sockaddr none = {.sa_family = AF_UNSPEC};

	(void)shutdown(w.listener, SHUT_RDWR);
	(void)connect(w.listener, &none, sizeof(none));
	(void)connect_to(w.listener, VICTIM, 80);
}

static void
by_fast_open(void)
{
	struct sockaddr_in to = at(VICTIM, 80);

	(void)shutdown(w.listener, SHUT_RDWR);
	(void)sendto(w.listener, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&to, sizeof(to));
}

static void
by_datagram(void)
{
	struct sockaddr_in to = at(VICTIM, 53);

	(void)sendto(w.datagram, "x", 1, 0, (struct sockaddr *)&to, sizeof(to));
}

struct way {
	const char *name;
	void (*go)(void);
	bool of_namespace; /* an own, empty network namespace is enough against it */
};

static const struct way ways[] = {
	{"a new socket", by_new_socket, true},
	{"an accepted socket, taken off and connected elsewhere", by_accepted, false},
	{"a listener, shut down and connected", by_listener, false},
	{"a listener with fast open", by_fast_open, false},
	{"a datagram to an address", by_datagram, false},
};

/* Whether anything has reached the victim within that time; what has is taken away. */
static bool
arrived(int ms)
{
	struct pollfd p[2] = {{.fd = w.victim_tcp, .events = POLLIN},
			      {.fd = w.victim_udp, .events = POLLIN}};
	bool any = poll(p, 2, ms) > 0;
	char byte;
	int fd;

	while ((fd = accept4(w.victim_tcp, NULL, NULL, SOCK_NONBLOCK)) >= 0)
		(void)close(fd);
	while (recv(w.victim_udp, &byte, 1, MSG_DONTWAIT) >= 0)
		;
	return any;
}

/* The way in a child, which may lock itself in before. Its wait status. */
static int
attempt(const struct way *way, bool sealed)
{
	int status = 0;
	pid_t pid;

	used = accepted();
	pid = fork();
	if (pid == 0) {
		struct sandbox_report report;
		struct err e = {0};

		if (sealed &&
		    (sandbox_enter("decnet-decoy", &report, &e) < 0 || sandbox_seal(false, &e) < 0))
			_exit(3);
		if (!sealed && unshare(CLONE_NEWNET) < 0)
			_exit(4);
		way->go();
		/* Long enough for a first packet; it goes on living when the process ends. */
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	(void)close(used);
	return status;
}

/* A listener that was shut down is of no use for the next way. */
static void
renew(void)
{
	(void)close(w.listener);
	(void)close(w.datagram);
	w.listener = ask_socket(2, 22, 0);
	w.datagram = ask_socket(2, 161, NETD_UDP);
}

static void
need_root(void)
{
	if (geteuid() != 0)
		skip();
}

static void
the_filter_ends_whoever_tries(void **state)
{
	(void)state;
	need_root();
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		int status = attempt(&ways[i], true);

		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			fail_msg("%s: status %x", ways[i].name, (unsigned)status);
		assert_false(arrived(50));
		renew();
	}
}

static void
the_fence_alone_lets_nothing_out(void **state)
{
	(void)state;
	need_root();
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		assert_int_equal(attempt(&ways[i], false), 0);
		if (arrived(300))
			fail_msg("%s", ways[i].name);
		renew();
	}
}

/* What a decky answers passes: also datagrams, to whoever has asked, and to nobody else. */
static void
answers_pass(void **state)
{
	struct sockaddr_in asker = {0};
	struct pollfd p = {.events = POLLIN};
	socklen_t size = sizeof(asker);
	char byte;
	int fd;

	(void)state;
	need_root();
	assert_int_equal(space_enter(w.attacker), 0);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect_to(fd, DECKY, 161), 0);
	assert_int_equal(space_enter(w.home), 0);
	assert_int_equal(send(fd, "?", 1, 0), 1);
	p.fd = w.datagram;
	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_int_equal(recvfrom(w.datagram, &byte, 1, 0, (struct sockaddr *)&asker, &size), 1);
	assert_int_equal(ntohl(asker.sin_addr.s_addr), ATTACKER);
	assert_int_equal(sendto(w.datagram, "!", 1, 0, (struct sockaddr *)&asker, size), 1);
	p.fd = fd;
	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_int_equal(recv(fd, &byte, 1, 0), 1);
	(void)close(fd);
}

/* Last: the rules are taken away. */
static void
without_them_the_ways_are_open(void **state)
{
	(void)state;
	need_root();
	assert_int_equal(space_enter(w.fabric), 0);
	assert_int_equal(system("nft delete table bridge decnet"), 0);
	assert_int_equal(space_enter(w.home), 0);
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		assert_int_equal(attempt(&ways[i], false), 0);
		if (arrived(1000) == ways[i].of_namespace)
			fail_msg("%s", ways[i].name);
		renew();
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_filter_ends_whoever_tries),
		cmocka_unit_test(the_fence_alone_lets_nothing_out),
		cmocka_unit_test(answers_pass),
		cmocka_unit_test(without_them_the_ways_are_open),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
