/* SPDX-License-Identifier: Apache-2.0 */
/* A real decnet-bus on a temporary socket, our client library and raw clients against it; deadlines
 * with a clock that the test moves. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus/client.h"
#include "bus/event.h"
#include "bus/server.h"
#include "util/clock.h"
#include "util/limits.h"

#define DEADLINE_MS 20000
#define TOKEN	    "a-token-of-sixteen"

struct world {
	char dir[64], socket[128], listen[32];
	pid_t broker;
	struct loop *loop;
	struct conf conf;
};

struct inbox {
	unsigned n, connects, losses;
	bool up;
	char last[512];
};

/* ---- the broker ---- */

static void
spawn_broker(struct world *w)
{
	char program[512];

	(void)snprintf(program, sizeof(program), "%s/decnet-bus", getenv("DECNET_BIN_DIR"));
	w->broker = fork();
	assert_true(w->broker >= 0);
	if (w->broker == 0) {
		(void)setenv("DECNET_BUS_SOCKET", w->socket, 1);
		(void)setenv("DECNET_STATE_DIR", w->dir, 1);
		(void)setenv("DECNET_LOG_LEVEL", "error", 1);
		(void)setenv("DECNET_BUS_LISTEN", w->listen, 1);
		(void)setenv("DECNET_BUS_TOKEN", TOKEN, 1);
		(void)execl(program, program, (char *)NULL);
		_exit(127);
	}
}

static int
end_broker(struct world *w, int signo)
{
	int status = 0;

	(void)kill(w->broker, signo);
	assert_int_equal(waitpid(w->broker, &status, 0), w->broker);
	w->broker = 0;
	return status;
}

/* A port that was free a moment ago. */
static unsigned
free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	(void)close(fd);
	return ntohs(a.sin_port);
}

static char bus_unix[] = "unix", bus_nats[] = "nats", bus_null[] = "null";

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/decnet-bus-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	(void)snprintf(w->socket, sizeof(w->socket), "%s/bus.sock", w->dir);
	(void)snprintf(w->listen, sizeof(w->listen), "127.0.0.1:%u", free_port());
	assert_int_equal(loop_new(&w->loop, NULL), 0);
	w->conf.bus_type = bus_unix;
	w->conf.bus_socket = w->socket;
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	if (w->broker > 0)
		(void)end_broker(w, SIGKILL);
	loop_free(w->loop);
	(void)unlink(w->socket);
	(void)rmdir(w->dir);
	free(w);
	return 0;
}

/* ---- our client ---- */

static void
on_state(void *user, bool connected)
{
	struct inbox *in = user;

	in->up = connected;
	*(connected ? &in->connects : &in->losses) += 1;
}

static void
on_message(void *user, struct sv subject, struct sv payload)
{
	struct inbox *in = user;

	(void)subject;
	in->n++;
	(void)snprintf(in->last, sizeof(in->last), "%.*s", (int)(payload.n < 500 ? payload.n : 500),
		       payload.p);
}

static struct bus_client *
open_client(struct world *w, const char *role, struct inbox *in)
{
	struct bus_client *c = NULL;

	assert_int_equal(bus_client_new(w->loop, &w->conf, role, on_state, in, &c, NULL), 0);
	return c;
}

static struct bus_sub *
listen_to(struct bus_client *c, const char *pattern, const char *queue, struct inbox *in)
{
	struct bus_sub *s = NULL;

	assert_int_equal(bus_subscribe(c, pattern, queue, on_message, in, &s), 0);
	return s;
}

/* Turn the loop until the counter has reached `want`; fails at the deadline. */
static void
turn_until(struct world *w, const unsigned *counter, unsigned want)
{
	uint64_t end = clock_mono_ms() + DEADLINE_MS;

	while (*counter < want) {
		if (clock_mono_ms() > end)
			fail_msg("deadline: %u of %u", *counter, want);
		assert_int_equal(loop_turn(w->loop, 50), 0);
	}
}

/* ---- a raw client ---- */

static int
dial(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	uint64_t end = clock_mono_ms() + DEADLINE_MS;
	int fd;

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	for (;;) {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
			return fd;
		(void)close(fd);
		if (clock_mono_ms() > end)
			fail_msg("no broker on %s", path);
		(void)poll(NULL, 0, 10);
	}
}

static void
say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Read until the text has come; the buffer is terminated. */
static void
expect(int fd, const char *text, char *got, size_t size)
{
	uint64_t end = clock_mono_ms() + DEADLINE_MS;
	size_t n = 0;

	got[0] = '\0';
	while (!strstr(got, text)) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t r;

		if (clock_mono_ms() > end)
			fail_msg("no '%s' in '%s'", text, got);
		if (poll(&p, 1, 100) <= 0)
			continue;
		r = recv(fd, got + n, size - 1 - n, 0);
		if (r <= 0)
			fail_msg("closed before '%s': '%s'", text, got);
		n += (size_t)r;
		got[n] = '\0';
	}
}

static void
expect_end(int fd)
{
	char rest[4096];
	struct pollfd p = {.fd = fd, .events = POLLIN};

	do
		assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
	while (recv(fd, rest, sizeof(rest), 0) > 0);
	(void)close(fd);
}

/* ---- the tests ---- */

static void
carries_between_clients(void **state)
{
	struct world *w = *state;
	struct inbox a = {0}, b = {0};
	struct bus_client *api, *mutator;
	struct bus_client_stats stats;
	struct bus_sub *s;

	spawn_broker(w);
	(void)close(dial(w->socket));
	api = open_client(w, "api", &a);
	mutator = open_client(w, "mutator", &b);
	assert_false(bus_client_connected(api));
	s = listen_to(api, "topology.*.mutation.>", NULL, &a);
	assert_int_equal(bus_publish(mutator, "topology.x.status", SV("{}")), -ENOTCONN);
	turn_until(w, &a.connects, 1);
	turn_until(w, &b.connects, 1);
	assert_int_equal(bus_publish_event(mutator, "topology.x.mutation.applied", 1769847300250, 7,
					   "{\"op\":\"add_lan\"}"),
			 0);
	turn_until(w, &a.n, 1);
	assert_non_null(strstr(a.last, "\"type\":\"mutation.applied\""));
	assert_non_null(strstr(a.last, "\"seq\":7"));
	assert_int_equal(bus_publish(mutator, "topology.*.x", SV("")), -EINVAL);
	/* Not its to say: refused by the broker, and nobody hears it. */
	assert_int_equal(bus_publish(mutator, "identity.formed", SV("{}")), 0);
	bus_unsubscribe(s);
	s = listen_to(api, ">", NULL, &b);
	b.n = 0;
	assert_int_equal(bus_publish(api, "topology.x.created", SV("last")), 0);
	turn_until(w, &b.n, 1);
	assert_string_equal(b.last, "last");
	bus_client_stats(mutator, &stats);
	assert_int_equal(stats.not_connected, 1);
	assert_int_equal(stats.refused, 1);
	bus_client_free(api);
	bus_client_free(mutator);
	assert_int_equal(end_broker(w, SIGTERM), 0);
	assert_int_equal(access(w->socket, F_OK), -1);
}

static void
survives_a_killed_broker(void **state)
{
	struct world *w = *state;
	struct inbox in = {0};
	struct bus_client_stats stats;
	struct bus_client *c;

	/* There is no broker yet: nobody fails, it comes later. */
	c = open_client(w, "cli", &in);
	(void)listen_to(c, "ext.>", NULL, &in);
	assert_int_equal(loop_turn(w->loop, 0), 0);
	assert_int_equal(bus_publish(c, "ext.a", SV("1")), -ENOTCONN);
	for (unsigned i = 1; i <= 2; i++) {
		spawn_broker(w);
		turn_until(w, &in.connects, i);
		assert_int_equal(bus_publish(c, "ext.a", SV("2")), 0);
		turn_until(w, &in.n, i);
		(void)end_broker(w, SIGKILL);
		assert_int_equal(access(w->socket, F_OK), 0);
		turn_until(w, &in.losses, i);
		assert_int_equal(bus_publish(c, "ext.a", SV("3")), -ENOTCONN);
	}
	bus_client_stats(c, &stats);
	assert_int_equal(stats.reconnects, 1);
	assert_int_equal(stats.not_connected, 3);
	bus_client_free(c);
}

static void
shares_a_queue(void **state)
{
	struct world *w = *state;
	struct inbox worker[3] = {{0}}, pub = {0};
	struct bus_client *c[3], *p;
	unsigned sum = 0;

	spawn_broker(w);
	(void)close(dial(w->socket));
	for (int i = 0; i < 3; i++) {
		c[i] = open_client(w, "x", &worker[i]);
		(void)listen_to(c[i], "ext.jobs", "workers", &worker[i]);
		turn_until(w, &worker[i].connects, 1);
	}
	p = open_client(w, "p", &pub);
	(void)listen_to(p, "ext.jobs", NULL, &pub);
	turn_until(w, &pub.connects, 1);
	for (int i = 0; i < 30; i++)
		assert_int_equal(bus_publish(p, "ext.jobs", SV("job")), 0);
	turn_until(w, &pub.n, 30);
	for (int i = 0; i < 3; i++)
		turn_until(w, &worker[i].n, 10);
	for (int i = 0; i < 3; i++) {
		sum += worker[i].n;
		bus_client_free(c[i]);
	}
	assert_int_equal(sum, 30);
	bus_client_free(p);
}

/* Read to the end mark: whole messages, rising numbers. Number of messages. */
static unsigned
read_numbers(int fd, unsigned last)
{
	static char got[16 * 1024 * 1024];
	unsigned n = 0, before = 0;
	char mark[32];

	(void)snprintf(mark, sizeof(mark), "\r\n#%07u", last);
	expect(fd, mark, got, sizeof(got));
	for (char *at = strstr(got, "MSG ext.flood 1 "); at;
	     at = strstr(at + 1, "MSG ext.flood 1 ")) {
		char *body = strstr(at, "\r\n#");
		unsigned number = (unsigned)strtoul(body + 3, NULL, 10);

		assert_true(number > before);
		before = number;
		n++;
	}
	return n;
}

static void
drops_for_the_slow_only(void **state)
{
	enum { FLOOD = 20000, BODY = 1000 };
	struct world *w = *state;
	struct inbox in = {0};
	char got[4096], body[BODY + 1];
	struct bus_client *c;
	unsigned heard;
	int slow;

	spawn_broker(w);
	slow = dial(w->socket);
	say(slow, "CONNECT {\"verbose\":false,\"name\":\"sleepy\"}\r\nSUB ext.flood 1\r\nPING\r\n");
	expect(slow, "PONG\r\n", got, sizeof(got));
	c = open_client(w, "cli", &in);
	(void)listen_to(c, "system.bus.dropped", NULL, &in);
	turn_until(w, &in.connects, 1);
	memset(body, 'x', BODY);
	body[BODY] = '\0';
	for (unsigned i = 1; i <= FLOOD; i++) {
		(void)snprintf(body, sizeof(body), "#%07u", i);
		body[8] = 'x';
		while (bus_publish(c, "ext.flood", (struct sv){body, BODY}) == -ENOBUFS)
			assert_int_equal(loop_turn(w->loop, 10), 0);
	}
	turn_until(w, &in.n, 1);
	assert_non_null(strstr(in.last, "\"name\":\"sleepy\",\"role\":\"guest\",\"dropped\":"));
	/* The newest ones have waited for it. */
	heard = read_numbers(slow, FLOOD);
	assert_true(heard >= LIMIT_BUS_PENDING_MSGS && heard < FLOOD);
	(void)close(slow);
	bus_client_free(c);
}

static void
knows_a_live_broker(void **state)
{
	struct world *w = *state;
	struct stat st;
	pid_t first;
	int status = 0;

	spawn_broker(w);
	(void)close(dial(w->socket));
	assert_int_equal(stat(w->socket, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	first = w->broker;
	spawn_broker(w);
	assert_int_equal(waitpid(w->broker, &status, 0), w->broker);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
	w->broker = first;
	(void)close(dial(w->socket));
	assert_int_equal(end_broker(w, SIGINT), 0);
	assert_int_equal(access(w->socket, F_OK), -1);
}

static void
speaks_nats_over_tcp(void **state)
{
	struct world *w = *state;
	struct inbox in = {0}, wrong = {0};
	char url[128], bad_url[128];
	struct bus_client *c, *bad;

	spawn_broker(w);
	(void)close(dial(w->socket));
	(void)snprintf(url, sizeof(url), "nats://" TOKEN "@%s", w->listen);
	(void)snprintf(bad_url, sizeof(bad_url), "nats://wrong@%s", w->listen);
	w->conf.bus_type = bus_nats;
	w->conf.bus_url = bad_url;
	bad = open_client(w, "cli", &wrong);
	w->conf.bus_url = url;
	c = open_client(w, "cli", &in);
	(void)listen_to(bad, ">", NULL, &wrong);
	(void)listen_to(c, "ext.>", NULL, &in);
	turn_until(w, &in.connects, 1);
	assert_int_equal(bus_publish(c, "topology.x.status", SV("no")), 0);
	assert_int_equal(bus_publish(c, "ext.a", SV("yes")), 0);
	turn_until(w, &in.n, 1);
	assert_string_equal(in.last, "yes");
	assert_int_equal(wrong.connects, 0);
	bus_client_free(c);
	bus_client_free(bad);
}

static void
does_nothing_on_the_null_bus(void **state)
{
	struct world *w = *state;
	struct inbox in = {0};
	struct bus_client *c;

	w->conf.bus_type = bus_null;
	c = open_client(w, "cli", &in);
	(void)listen_to(c, ">", NULL, &in);
	assert_true(bus_client_null(c));
	assert_int_equal(bus_publish(c, "ext.a", SV("x")), 0);
	assert_int_equal(loop_turn(w->loop, 0), 0);
	assert_int_equal(in.connects + in.n, 0);
	bus_client_free(c);
}

static uint64_t
test_clock(void *user)
{
	return *(uint64_t *)user;
}

/* Let the server see what has come and write what it has to say. */
static void
turns(struct world *w)
{
	for (int i = 0; i < 5; i++)
		assert_int_equal(loop_turn(w->loop, 1), 0);
}

static void
keeps_deadlines(void **state)
{
	struct world *w = *state;
	uint64_t now = 1000;
	char got[4096];
	struct bus_server *server = NULL;
	int mute, silent, wrong;

	loop_set_clock(w->loop, test_clock, &now);
	assert_int_equal(bus_server_open(w->loop, &w->conf, &server, NULL), 0);
	mute = dial(w->socket);
	silent = dial(w->socket);
	wrong = dial(w->socket);
	turns(w);
	say(silent, "CONNECT {}\r\n");
	say(wrong, "CONNECT {}\r\nPUB a 1048577\r\n");
	turns(w);
	expect(wrong, "-ERR 'Maximum Payload Violation'\r\n", got, sizeof(got));
	now += 4999;
	turns(w);
	assert_int_equal(recv(mute, got, sizeof(got), MSG_DONTWAIT) > 0, 1);
	assert_int_equal(recv(mute, got, sizeof(got), MSG_DONTWAIT), -1);
	now += 1;
	turns(w);
	expect(mute, "-ERR 'Authentication Timeout'\r\n", got, sizeof(got));
	now += 30000;
	turns(w);
	expect(silent, "+OK\r\nPING\r\n", got, sizeof(got));
	say(silent, "PONG\r\n");
	turns(w);
	for (int i = 0; i < 2; i++) {
		now += 30000;
		turns(w);
		expect(silent, "PING\r\n", got, sizeof(got));
	}
	now += 30000;
	turns(w);
	expect(silent, "-ERR 'Stale Connection'\r\n", got, sizeof(got));
	now += 2000;
	turns(w);
	expect_end(mute);
	expect_end(silent);
	expect_end(wrong);
	bus_server_close(server);
}

static void
bounds_answers_that_wait(void **state)
{
	enum { PINGS = 200000 };
	static char pings[PINGS * 6 + 1], got[PINGS * 6 + 4096];
	struct world *w = *state;
	size_t done = 0;
	int fd;

	spawn_broker(w);
	fd = dial(w->socket);
	say(fd, "CONNECT {\"verbose\":false}\r\n");
	for (int i = 0; i < PINGS; i++)
		memcpy(pings + (size_t)i * 6, "PING\r\n", 6);
	/* It stops reading from us at some time, and goes on when we have read. */
	while (done < PINGS * 6) {
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		ssize_t n = send(fd, pings + done, PINGS * 6 - done, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && poll(&p, 1, 300) == 0)
			break;
		done += n > 0 ? (size_t)n : 0;
	}
	if (done < PINGS * 6) {
		char chunk[65536];
		size_t sum = 0;

		assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
		while (done < PINGS * 6 || sum < PINGS * 6) {
			struct pollfd p = {
				.fd = fd,
				.events = (short)(POLLIN | (done < PINGS * 6 ? POLLOUT : 0))};
			ssize_t n;

			assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
			n = recv(fd, chunk, sizeof(chunk), 0);
			sum += n > 0 ? (size_t)n : 0;
			n = done < PINGS * 6
				    ? send(fd, pings + done, PINGS * 6 - done, MSG_NOSIGNAL)
				    : 0;
			done += n > 0 ? (size_t)n : 0;
		}
	} else {
		say(fd, "PUB bad..one 0\r\n\r\n");
		expect(fd, "-ERR 'Invalid Publish Subject'\r\n", got, sizeof(got));
	}
	(void)close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(carries_between_clients, setup, teardown),
		cmocka_unit_test_setup_teardown(survives_a_killed_broker, setup, teardown),
		cmocka_unit_test_setup_teardown(shares_a_queue, setup, teardown),
		cmocka_unit_test_setup_teardown(drops_for_the_slow_only, setup, teardown),
		cmocka_unit_test_setup_teardown(knows_a_live_broker, setup, teardown),
		cmocka_unit_test_setup_teardown(speaks_nats_over_tcp, setup, teardown),
		cmocka_unit_test_setup_teardown(does_nothing_on_the_null_bus, setup, teardown),
		cmocka_unit_test_setup_teardown(keeps_deadlines, setup, teardown),
		cmocka_unit_test_setup_teardown(bounds_answers_that_wait, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
