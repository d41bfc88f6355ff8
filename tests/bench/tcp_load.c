/* SPDX-License-Identifier: Apache-2.0 */
/* The plainest load on TCP between two namespaces: connections one after the other, or bytes.
 *   tcp_load serve PORT            accepts; who says a byte gets bytes until he goes
 *   tcp_load connect IP PORT MS    connections a second, as one line of JSON
 *   tcp_load pull IP PORT MS       megabytes a second */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

#define PIECE	 65536
#define PORT_MAX 65535
#define MS_MAX	 600000

static struct sockaddr_in
place(const char *ip, const char *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET};

	at.sin_port = htons((uint16_t)bench_number("PORT", port, PORT_MAX));
	if (ip && inet_pton(AF_INET, ip, &at.sin_addr) != 1)
		bench_die("%s is no address", ip);
	return at;
}

/* True when the peer is to get bytes. */
static bool
speaks(int fd)
{
	char byte;

	return recv(fd, &byte, 1, 0) == 1;
}

static void
serve(const char *port)
{
	static const char piece[PIECE];
	struct sockaddr_in at = place(NULL, port);
	int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);

	(void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(listener, 4096) < 0)
		bench_die("port %s: %m", port);
	(void)printf("ready\n");
	(void)fflush(stdout);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			continue;
		if (speaks(fd))
			while (send(fd, piece, sizeof(piece), MSG_NOSIGNAL) > 0)
				;
		(void)close(fd);
	}
}

static int
connected(const struct sockaddr_in *at)
{
	/* The port is free again at once: a reset instead of a long good-bye. */
	const struct linger none = {1, 0};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)at, sizeof(*at)) < 0)
		bench_die("connect: %m");
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	return fd;
}

static void
connect_many(const struct sockaddr_in *at, uint64_t ns)
{
	uint64_t start = bench_now_ns(), end = start + ns, n = 0;

	while (bench_now_ns() < end) {
		(void)close(connected(at));
		n++;
	}
	(void)printf("{\"per_s\":%.0f}\n", (double)n * 1e9 / (double)(bench_now_ns() - start));
}

static void
pull(const struct sockaddr_in *at, uint64_t ns)
{
	static char piece[PIECE];
	uint64_t start = bench_now_ns(), end = start + ns, bytes = 0;
	int fd = connected(at);

	if (send(fd, "x", 1, 0) != 1)
		bench_die("send: %m");
	while (bench_now_ns() < end) {
		ssize_t n = recv(fd, piece, sizeof(piece), 0);

		if (n <= 0)
			bench_die("recv: %m");
		bytes += (uint64_t)n;
	}
	(void)close(fd);
	(void)printf("{\"mb_per_s\":%.0f}\n",
		     (double)bytes * 1e3 / (double)(bench_now_ns() - start));
}

int
main(int argc, char **argv)
{
	struct sockaddr_in at;
	uint64_t ns;

	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		serve(argv[2]);
	if (argc != 5)
		bench_die("usage: tcp_load serve PORT | connect IP PORT MS | pull IP PORT MS");
	at = place(argv[2], argv[3]);
	ns = bench_number("MS", argv[4], MS_MAX) * 1000000;
	if (strcmp(argv[1], "connect") == 0)
		connect_many(&at, ns);
	else
		pull(&at, ns);
	return 0;
}
