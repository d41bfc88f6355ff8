/* SPDX-License-Identifier: Apache-2.0 */
/* Accepting for thousands of deckies. */
#include "netns_accept.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "netd/space.h"

#define CALLERS 4
#define EVENTS	64

/* Written by the callers, each in its place. */
struct tally {
	uint64_t total[CALLERS], wrong[CALLERS];
};

static void
serve_one(int listener, uint32_t decky)
{
	struct sockaddr_in local;
	socklen_t n = sizeof(local);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	(void)getsockname(fd, (struct sockaddr *)&local, &n);
	(void)send(fd, &decky, sizeof(decky), MSG_NOSIGNAL);
	(void)close(fd);
}

static void
serve(const struct netns_accept *what)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	for (size_t i = 0; i < what->n; i++) {
		struct epoll_event e = {.events = EPOLLIN, .data.u64 = i};

		if (epoll_ctl(epoll, EPOLL_CTL_ADD, what->listeners[i], &e) < 0)
			bench_die("epoll: %s", strerror(errno));
	}
	for (;;) {
		struct epoll_event events[EVENTS];
		int n = epoll_wait(epoll, events, EVENTS, -1);

		for (int i = 0; i < n; i++)
			serve_one(what->listeners[events[i].data.u64],
				  (uint32_t)(events[i].data.u64 / what->each));
	}
}

static void
call(const struct netns_accept *what, struct tally *tally, unsigned who)
{
	uint64_t end = bench_now_ns() + (uint64_t)what->seconds * 1000000000u;
	uint32_t state = 77 + who;

	if (space_enter(what->peer_ns) < 0)
		bench_die("the peer's namespace cannot be entered");
	while (bench_now_ns() < end) {
		struct sockaddr_in to = {.sin_family = AF_INET};
		uint32_t decky, told = UINT32_MAX;
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		state = state * 1664525u + 1013904223u;
		decky = (state >> 8) % what->deckies * what->step;
		to.sin_addr.s_addr = htonl(what->address(decky));
		to.sin_port = htons(what->ports[(state >> 4) % what->each]);
		if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ||
		    recv(fd, &told, sizeof(told), MSG_WAITALL) != sizeof(told) || told != decky)
			tally->wrong[who]++;
		tally->total[who]++;
		(void)close(fd);
	}
}

struct netns_accepted
netns_accept(const struct netns_accept *what)
{
	struct tally *tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct netns_accepted result = {0};
	pid_t server, callers[CALLERS];
	uint64_t start;

	if (tally == MAP_FAILED || (server = fork()) < 0)
		bench_die("%s", strerror(errno));
	if (server == 0)
		serve(what);
	start = bench_now_ns();
	for (unsigned i = 0; i < CALLERS; i++) {
		callers[i] = fork();
		if (callers[i] == 0) {
			call(what, tally, i);
			_exit(0);
		}
	}
	for (unsigned i = 0; i < CALLERS; i++) {
		(void)waitpid(callers[i], NULL, 0);
		result.total += tally->total[i];
		result.wrong += tally->wrong[i];
	}
	result.per_s = (double)result.total / ((double)(bench_now_ns() - start) / 1e9);
	(void)kill(server, SIGKILL);
	(void)waitpid(server, NULL, 0);
	(void)munmap(tally, sizeof(*tally));
	return result;
}
