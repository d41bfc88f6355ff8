/* SPDX-License-Identifier: Apache-2.0 */
/* Deckies by bare netlink. */
#include "netns_floor.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "netd/nl.h"
#include "netd/space.h"

#define BITS	    20
#define FIRST_PORT  20
#define FIRST_INDEX 10000
/* Pairs of one batch. */
#define PAIRS	    24

struct floor {
	struct nl fabric, inner;
	int home;
	int *spaces, *sockets;
	size_t nsockets;
};

static int
own_space(void)
{
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		bench_die("namespace: %s", strerror(errno));
	return fd;
}

static void
must(int r, const char *what)
{
	if (r < 0)
		bench_die("floor: %s: %s", what, strerror(-r));
}

static void
make_pairs(struct floor *f, unsigned from, unsigned to, unsigned lans)
{
	must(space_enter(f->home), "fabric");
	for (unsigned i = from; i < to; i++) {
		uint8_t mac[6] = {2, 0, 0, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
		char name[16];

		(void)snprintf(name, sizeof(name), "p%u", i);
		nl_put_veth(&f->fabric, (int)(FIRST_INDEX + i), name, (int)(100 + i % lans), 2,
			    "eth0", mac, f->spaces[i]);
		nl_put_up(&f->fabric, (int)(FIRST_INDEX + i));
	}
	must(nl_commit(&f->fabric, NULL), "veth");
}

static void
open_sockets(struct floor *f, unsigned n)
{
	for (unsigned k = 0; k < n; k++) {
		struct sockaddr_in any = {.sin_family = AF_INET,
					  .sin_port = htons((uint16_t)(FIRST_PORT + k))};
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 ||
		    listen(fd, 128) < 0)
			bench_die("floor: socket: %s", strerror(errno));
		f->sockets[f->nsockets++] = fd;
	}
}

static void
create(struct floor *f, unsigned n, unsigned lans, unsigned sockets)
{
	for (unsigned from = 0; from < n; from += PAIRS) {
		unsigned to = from + PAIRS < n ? from + PAIRS : n;

		for (unsigned i = from; i < to; i++) {
			if (unshare(CLONE_NEWNET) < 0)
				bench_die("floor: namespace: %s", strerror(errno));
			f->spaces[i] = own_space();
		}
		make_pairs(f, from, to, lans);
		for (unsigned i = from; i < to; i++) {
			must(space_enter(f->spaces[i]), "namespace");
			must(nl_open(&f->inner, NULL), "netlink");
			nl_put_up(&f->inner, 1);
			nl_put_up(&f->inner, 2);
			nl_put_address(&f->inner, 2,
				       0x0a000000u + (i % lans << (32 - BITS)) + 2 + i / lans,
				       BITS);
			must(nl_commit(&f->inner, NULL), "address");
			nl_close(&f->inner);
			open_sockets(f, sockets);
		}
	}
}

static void
on_link(void *user, const struct nl_link *link)
{
	*(unsigned *)user += link->index >= FIRST_INDEX;
}

static unsigned
links_left(struct floor *f)
{
	unsigned n = 0;

	must(nl_links(&f->fabric, on_link, &n, NULL), "links");
	return n;
}

static struct netns_floor
run(unsigned n, unsigned lans, unsigned sockets)
{
	struct floor *f = calloc(1, sizeof(*f));
	struct netns_floor result = {0};
	struct rusage used;
	uint64_t start;

	if (!f || unshare(CLONE_NEWNET) < 0)
		bench_die("floor: %s", strerror(errno));
	f->spaces = calloc(n, sizeof(*f->spaces));
	f->sockets = calloc((size_t)n * sockets, sizeof(*f->sockets));
	f->home = own_space();
	must(nl_open(&f->fabric, NULL), "netlink");
	for (unsigned k = 0; k < lans; k++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "b%u", k);
		nl_put_bridge(&f->fabric, (int)(100 + k), name);
	}
	must(nl_commit(&f->fabric, NULL), "bridge");
	start = bench_now_ns();
	create(f, n, lans, sockets);
	result.create_ms = (double)(bench_now_ns() - start) / 1e6 / n;
	(void)getrusage(RUSAGE_SELF, &used);
	result.cpu_ms = ((double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e3 +
			 (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e3) /
			n;
	must(space_enter(f->home), "fabric");
	start = bench_now_ns();
	for (size_t i = 0; i < f->nsockets; i++)
		(void)close(f->sockets[i]);
	for (unsigned i = 0; i < n; i++)
		(void)close(f->spaces[i]);
	while (links_left(f) > 0)
		(void)poll(NULL, 0, 5);
	result.teardown_s = (double)(bench_now_ns() - start) / 1e9;
	return result;
}

struct netns_floor
netns_floor(unsigned deckies, unsigned lans, unsigned sockets)
{
	struct netns_floor result = {0};
	int pipes[2], status = 0;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC) < 0 || (pid = fork()) < 0)
		bench_die("floor: %s", strerror(errno));
	if (pid == 0) {
		result = run(deckies, lans, sockets);
		_exit(write(pipes[1], &result, sizeof(result)) == sizeof(result) ? 0 : 1);
	}
	(void)close(pipes[1]);
	if (read(pipes[0], &result, sizeof(result)) != sizeof(result))
		bench_die("floor: it ended early");
	(void)close(pipes[0]);
	(void)waitpid(pid, &status, 0);
	return result;
}
