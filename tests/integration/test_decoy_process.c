/* SPDX-License-Identifier: Apache-2.0 */
/* The real decnet-decoy between a driver and a resolver that are this test: real clients, its
 * sandbox, readers that die, the ceiling of captures, and the deaths of its own and its parent. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "decoy/capture.h"
#include "decoy/control.h"
#include "util/clock.h"
#include "util/fdpass.h"
#include "util/json.h"
#include "util/limits.h"

#define DEADLINE_MS 60000
#define LINES_MAX   262144

struct world {
	char dir[64];
	int capture[2], control[2]; /* [0] ours, [1] the decoy's */
	pid_t child;
	int64_t n;
	uint64_t source, next, again; /* what came: the next number, those seen before */
	uint64_t hellos;
	char lines[LINES_MAX]; /* the new captures as text */
	size_t lines_n;
	uint64_t deadline_ms;
};

/* -- the process -- */

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/decnet-decoy-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, w->capture), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, w->control), 0);
	w->next = 1;
	w->deadline_ms = clock_mono_ms() + DEADLINE_MS;
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;
	char command[128];

	if (w->child > 0) {
		(void)kill(w->child, SIGKILL);
		(void)waitpid(w->child, NULL, 0);
	}
	for (int i = 0; i < 2; i++) {
		(void)close(w->capture[i]);
		(void)close(w->control[i]);
	}
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", w->dir);
	assert_int_equal(system(command), 0);
	free(w);
	return 0;
}

static void
set_number(const char *name, int n)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%d", n);
	(void)setenv(name, text, 1);
}

static void
become_decoy(const struct world *w, int ready, int death)
{
	const char *dir = getenv("DECNET_BIN_DIR");
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/decnet-decoy", dir ? dir : "src/main");
	(void)fcntl(w->capture[1], F_SETFD, 0);
	(void)fcntl(w->control[1], F_SETFD, 0);
	set_number("DECNET_FD_CAPTURE", w->capture[1]);
	set_number("DECNET_FD_CONTROL", w->control[1]);
	if (ready >= 0)
		set_number("DECNET_READY_FD", ready);
	(void)setenv("DECNET_STATE_DIR", w->dir, 1);
	(void)setenv("DECNET_LOG_LEVEL", "error", 1);
	if (death)
		(void)prctl(PR_SET_PDEATHSIG, death);
	(void)execl(path, path, (char *)NULL);
	_exit(127);
}

static void
start(struct world *w)
{
	int ready[2];
	char text[16];
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		become_decoy(w, ready[1], 0);
	w->child = pid;
	(void)close(ready[1]);
	assert_int_equal(read(ready[0], text, sizeof(text)), 6);
	(void)close(ready[0]);
}

static int
stop(struct world *w, int signo)
{
	int status = 0;

	assert_int_equal(kill(w->child, signo), 0);
	assert_int_equal(waitpid(w->child, &status, 0), w->child);
	w->child = 0;
	return status;
}

/* -- the driver -- */

static json_t *
next_message(struct world *w)
{
	static char text[CONTROL_BYTES_MAX];
	struct pollfd p = {.fd = w->control[0], .events = POLLIN};
	json_t *message = NULL;
	ssize_t n;

	assert_int_equal(poll(&p, 1, 10000), 1);
	n = recv(w->control[0], text, sizeof(text), 0);
	assert_true(n > 0);
	assert_int_equal(json_parse((struct sv){text, (size_t)n}, &message, NULL), 0);
	return message;
}

static void
expect_started(struct world *w)
{
	json_t *m = next_message(w);
	const char *source = json_get_text(m, "source");

	assert_string_equal(json_get_text(m, "op"), "started");
	assert_int_equal(json_integer_value(json_object_get(m, "pid")), w->child);
	assert_non_null(source);
	w->source = strtoull(source, NULL, 16);
	w->next = 1;
	json_decref(m);
}

/* NULL, or the error (to free). */
static char *
order(struct world *w, json_t *own_request, int fd)
{
	json_t *m;
	char *text, *why = NULL;

	assert_int_equal(json_object_set_new(own_request, "n", json_integer(++w->n)), 0);
	text = json_text(own_request);
	assert_non_null(text);
	assert_int_equal(fdpass_send(w->control[0], text, strlen(text), &fd, fd >= 0), 0);
	free(text);
	json_decref(own_request);
	m = next_message(w);
	assert_int_equal(json_integer_value(json_object_get(m, "n")), w->n);
	if (!json_is_true(json_object_get(m, "ok")))
		why = sv_dup(sv_from(json_get_text(m, "error")));
	json_decref(m);
	return why;
}

static json_t *
open_request(const char *service, int port)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:{}, s:s, s:s, s:s}", "op",
			 "open", "listener", service, "topology_id",
			 "0198c0de-0000-7000-8000-000000000001", "decky_uuid",
			 "0198c0de-0000-7000-8000-000000000002", "decky", "web-01", "service",
			 service, "port", port, "proto", "tcp", "config", "hostname", "web-01",
			 "seed", "00112233445566ff", "archetype", "linux-server");
}

static int
listening(uint16_t *ret_port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(addr);
	/* Not O_NONBLOCK: the decoy must not trust the driver for that. */
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 128), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &n), 0);
	*ret_port = ntohs(addr.sin_port);
	return fd;
}

static uint16_t
serve(struct world *w, const char *service, int port)
{
	uint16_t bound;
	int fd = listening(&bound);

	assert_null(order(w, open_request(service, port), fd));
	(void)close(fd);
	return bound;
}

/* -- the resolver -- */

static void
note(struct world *w, const struct capture *c)
{
	size_t room = sizeof(w->lines) - w->lines_n;
	int n;

	assert_true(c->source == w->source);
	if (c->no < w->next) {
		w->again++;
		return;
	}
	assert_int_equal(c->no, w->next);
	w->next++;
	assert_true(sv_eq(c->decky, SV("web-01")));
	assert_true(sv_eq(c->peer_ip, SV("127.0.0.1")));
	assert_int_equal(c->session_id.n, 36);
	n = snprintf(w->lines + w->lines_n, room, "%.*s %s", (int)c->service.n, c->service.p,
		     capture_word(c->type));
	for (unsigned i = 0; i < c->nfields && n >= 0 && (size_t)n < room; i++)
		n += snprintf(w->lines + w->lines_n + n, room - (size_t)n, " %.*s=%.*s",
			      (int)c->fields[i].key.n, c->fields[i].key.p,
			      (int)(c->fields[i].value.n < 60 ? c->fields[i].value.n : 60),
			      c->fields[i].value.p);
	if (n >= 0 && (size_t)n + 1 < room) {
		w->lines_n += (size_t)n;
		w->lines[w->lines_n++] = '\n';
		w->lines[w->lines_n] = '\0';
	} else {
		w->lines_n = 0;
	}
}

/* One message, or nothing within wait_ms. */
static bool
take_message(struct world *w, int wait_ms)
{
	static char text[256 * 1024];
	struct pollfd p = {.fd = w->capture[0], .events = POLLIN};
	struct capture_hello hello;
	struct capture c;
	size_t used = 0;
	struct sv in;
	ssize_t n;

	if (poll(&p, 1, wait_ms) != 1)
		return false;
	n = recv(w->capture[0], text, sizeof(text), 0);
	assert_true(n > 0);
	in = (struct sv){text, (size_t)n};
	if (capture_hello_get(in, &hello) == 0) {
		w->hellos++;
		return true;
	}
	while (in.n) {
		assert_int_equal(capture_get(in, &used, &c), 1);
		note(w, &c);
		in = sv_drop(in, used);
	}
	return true;
}

static void
acknowledge(struct world *w, uint64_t source, uint64_t no)
{
	unsigned char raw[CAPTURE_ACK_BYTES];

	capture_ack_put(&(struct capture_ack){source, no}, raw);
	assert_int_equal(send(w->capture[0], raw, sizeof(raw), 0), sizeof(raw));
}

static void
expect_line(struct world *w, const char *line)
{
	while (!strstr(w->lines, line)) {
		if (!take_message(w, 1000) && clock_mono_ms() > w->deadline_ms)
			fail_msg("no '%s' in:\n%s", line, w->lines);
	}
}

/* -- visitors -- */

static int
visit(uint16_t port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_port = htons(port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

/* Read until the text stands at the end of what came, or the peer is gone. */
static void
wait_for(struct world *w, int fd, const char *text)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char got[8192];
	size_t n = 0;

	while (n < sizeof(got) - 1) {
		ssize_t more;

		if (poll(&p, 1, 10000) != 1 || clock_mono_ms() > w->deadline_ms)
			fail_msg("no '%s' in: %.*s", text, (int)n, got);
		more = recv(fd, got + n, sizeof(got) - 1 - n, 0);
		if (more <= 0)
			fail_msg("no '%s' before the end: %.*s", text, (int)n, got);
		n += (size_t)more;
		got[n] = '\0';
		if (strstr(got, text))
			return;
	}
	fail_msg("no '%s' in 8 KiB", text);
}

static void
say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* What a program prints; the port stands between the two parts of its command line. */
static char *
run(const char *before, unsigned port, const char *after)
{
	static char out[16384];
	char command[768];
	size_t n;
	FILE *f;

	(void)snprintf(command, sizeof(command), "%s%u%s", before, port, after);
	f = popen(command, "r");
	assert_non_null(f);
	n = fread(out, 1, sizeof(out) - 1, f);
	out[n] = '\0';
	(void)pclose(f);
	return out;
}

/* -- the tests -- */

static void
real_clients(void **state)
{
	struct world *w = *state;
	uint16_t http, redis, telnet;
	int fd;

	start(w);
	expect_started(w);
	http = serve(w, "http", 80);
	redis = serve(w, "redis", 6379);
	telnet = serve(w, "telnet", 23);
	assert_non_null(
		strstr(run("curl -s -m 10 -A probe/1 http://127.0.0.1:", http, "/"), "It works!"));
	expect_line(w, "http request method=GET path=/ host=");
	assert_non_null(strstr(
		run("curl -s -m 10 -o /dev/null -w '%{http_code}' http://127.0.0.1:", http, "/x"),
		"404"));
	assert_non_null(strstr(run("redis-cli -p ", redis, " info server"), "redis_version:"));
	expect_line(w, "redis command command=info server");
	fd = visit(telnet);
	wait_for(w, fd, "web-01 login: ");
	say(fd, "root\r\n");
	wait_for(w, fd, "Password: ");
	say(fd, "admin\r\n");
	wait_for(w, fd, "root@web-01:~# ");
	say(fd, "id\r\n");
	wait_for(w, fd, "uid=0(root)");
	say(fd, "exit\r\n");
	expect_line(w, "telnet auth username=root password=admin method=password ok=true");
	expect_line(w, "telnet command command=id");
	expect_line(w, "telnet session_recorded");
	expect_line(w, "telnet disconnect");
	(void)close(fd);
	assert_true(w->hellos > 0);
	acknowledge(w, w->source, w->next - 1);
	assert_int_equal(stop(w, SIGTERM), 0);
	assert_int_equal(w->again, 0);
}

static void
locked_in(void **state)
{
	struct world *w = *state;
	char path[64], line[256], target[256] = "", own[256] = "";
	bool filter = false, privileges = false, capabilities = false;
	FILE *f;

	start(w);
	expect_started(w);
	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)w->child);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		filter |= strcmp(line, "Seccomp:\t2\n") == 0;
		privileges |= strcmp(line, "NoNewPrivs:\t1\n") == 0;
		capabilities |= strcmp(line, "CapEff:\t0000000000000000\n") == 0;
		if (geteuid() == 0 && strncmp(line, "Uid:", 4) == 0)
			assert_null(strstr(line, "\t0\t"));
	}
	(void)fclose(f);
	assert_true(filter && privileges && capabilities);
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)w->child);
	/* Only root may look. */
	if (geteuid() == 0) {
		assert_true(readlink(path, target, sizeof(target) - 1) > 0);
		assert_true(readlink("/proc/self/ns/net", own, sizeof(own) - 1) > 0);
		assert_string_not_equal(target, own);
		(void)snprintf(path, sizeof(path), "/proc/%d/root", (int)w->child);
		assert_true(readlink(path, target, sizeof(target) - 1) > 0);
		assert_non_null(strstr(target, "(deleted)"));
	}
	assert_int_equal(stop(w, SIGTERM), 0);
}

static void
orders(void **state)
{
	struct world *w = *state;
	uint16_t port, other;
	char *why;
	int fd, pair[2];

	start(w);
	expect_started(w);
	port = serve(w, "redis", 6379);
	fd = listening(&other);
	why = order(w, open_request("redis", 6379), fd);
	assert_string_equal(why, "exists");
	free(why);
	why = order(w, open_request("gopher", 70), fd);
	assert_non_null(strstr(why, "not available"));
	free(why);
	(void)close(fd);
	why = order(w, open_request("http", 80), -1);
	assert_non_null(strstr(why, "no descriptor"));
	free(why);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	why = order(w, open_request("http", 80), pair[0]);
	assert_non_null(strstr(why, "no listening socket"));
	free(why);
	(void)close(pair[0]);
	(void)close(pair[1]);
	/* A session ends with its listener. */
	fd = visit(port);
	say(fd, "PING\r\n");
	wait_for(w, fd, "+PONG\r\n");
	assert_null(order(w, json_pack("{s:s, s:s}", "op", "close", "listener", "redis"), -1));
	assert_null(order(w, json_pack("{s:s, s:s}", "op", "close", "listener", "redis"), -1));
	expect_line(w, "reason=listener_closed");
	(void)close(fd);
	assert_int_equal(stop(w, SIGTERM), 0);
}

static void
ask_for_a_list(struct world *w, int n)
{
	json_t *request = json_pack("{s:s, s:i}", "op", "list", "n", n);
	char *text = json_text(request);

	assert_int_equal(fdpass_send(w->control[0], text, strlen(text), NULL, 0), 0);
	free(text);
	json_decref(request);
}

/* Each listener once, in many pieces; the list that a former driver wanted ends, too. */
static void
a_long_list(void **state)
{
	struct world *w = *state;
	bool seen[700] = {false};
	unsigned listed = 0, pieces = 0;
	json_t *m, *request;
	uint16_t port;
	char id[32];

	start(w);
	expect_started(w);
	for (int i = 0; i < 700; i++) {
		int fd = listening(&port);

		(void)snprintf(id, sizeof(id), "many/%d", i);
		request = open_request("redis", 6379);
		assert_int_equal(json_object_set_new(request, "listener", json_string(id)), 0);
		assert_null(order(w, request, fd));
		(void)close(fd);
	}
	ask_for_a_list(w, 9998);
	ask_for_a_list(w, 9999);
	for (bool over = false;; pieces++) {
		const json_t *ids, *one;
		json_int_t n;
		size_t i;

		m = next_message(w);
		n = json_integer_value(json_object_get(m, "n"));
		if (n == 9999 && json_is_true(json_object_get(m, "ok"))) {
			json_decref(m);
			assert_true(over);
			break;
		}
		/* Refused, or told as a whole before the second was read. */
		over |= n == 9998 && json_object_get(m, "ok");
		ids = json_object_get(m, "listeners");
		json_array_foreach(ids, i, one)
		{
			unsigned at = 700;

			assert_int_equal(sscanf(json_string_value(one), "many/%u", &at), 1);
			assert_true(at < 700);
			if (n != 9999)
				continue;
			assert_false(seen[at]);
			seen[at] = true;
			listed++;
		}
		json_decref(m);
	}
	assert_true(pieces > 10);
	assert_int_equal(listed, 700);
	assert_int_equal(stop(w, SIGTERM), 0);
}

/* Readers come and go without a word: nothing is lost, and nothing counts twice. */
static void
readers_that_die(void **state)
{
	struct world *w = *state;
	uint64_t committed = 0;
	uint16_t port;

	start(w);
	expect_started(w);
	port = serve(w, "redis", 6379);
	for (int round = 0; round < 20; round++) {
		int fd = visit(port);
		char line[64];

		(void)snprintf(line, sizeof(line), "ECHO round-%d\r\nQUIT\r\n", round);
		say(fd, line);
		wait_for(w, fd, "+OK\r\n");
		(void)close(fd);
		/* This reader reads a little and commits nothing; the next one asks for all. */
		if (round % 3 == 0)
			(void)take_message(w, 1000);
		if (round % 3 == 1)
			acknowledge(w, 0, 0);
		if (round % 3 == 2 && w->next > 1) {
			committed = w->next - 1;
			acknowledge(w, w->source, committed);
		}
	}
	acknowledge(w, 0, 0);
	expect_line(w, "command=ECHO round-19");
	while (w->next <= 80)
		assert_true(take_message(w, 10000));
	/* connect, two commands, disconnect: four a round, each number once */
	assert_int_equal(w->next, 81);
	acknowledge(w, w->source, 80);
	assert_int_equal(stop(w, SIGTERM), 0);
}

/* Nobody acknowledges: the visitor is no longer read from, and nothing is lost when it goes on. */
static void
the_ceiling_of_captures(void **state)
{
	static char line[4100];
	struct world *w = *state;
	size_t sent = 0, at = 0;
	const size_t commands = 6000;
	uint16_t port;
	int fd;

	memcpy(line, "ECHO ", 5);
	memset(line + 5, 'x', sizeof(line) - 7);
	memcpy(line + sizeof(line) - 2, "\r\n", 2);
	start(w);
	expect_started(w);
	port = serve(w, "redis", 6379);
	fd = visit(port);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	while (sent < commands || w->next <= commands + 1) {
		struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
		char answer[65536];
		ssize_t n;

		assert_true(clock_mono_ms() < w->deadline_ms);
		if (sent == commands)
			p.events = POLLIN;
		(void)poll(&p, 1, 50);
		if (p.revents & POLLIN)
			(void)recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
		if (sent < commands && (p.revents & POLLOUT)) {
			n = send(fd, line + at, sizeof(line) - at, MSG_DONTWAIT | MSG_NOSIGNAL);
			at += n > 0 ? (size_t)n : 0;
			if (at == sizeof(line)) {
				at = 0;
				sent++;
			}
		}
		while (take_message(w, 0))
			continue;
		/* What is kept unacknowledged has its ceiling: then nothing more comes. */
		if (p.revents == 0) {
			assert_true((w->next - 1) * 4096 > LIMIT_CAPTURE_UNACKED_BYTES / 2 ||
				    sent == commands);
			acknowledge(w, w->source, w->next - 1);
		}
	}
	(void)close(fd);
	expect_line(w, "redis disconnect");
	assert_int_equal(w->next, commands + 3);
	acknowledge(w, w->source, w->next - 1);
	assert_int_equal(stop(w, SIGTERM), 0);
	assert_int_equal(w->again, 0);
}

/* A new process says so and gets the sockets again; who connected meanwhile is served. */
static void
another_life(void **state)
{
	struct world *w = *state;
	uint64_t first;
	uint16_t port;
	int socket_fd, fd;

	start(w);
	expect_started(w);
	first = w->source;
	socket_fd = listening(&port);
	assert_null(order(w, open_request("redis", 6379), socket_fd));
	(void)stop(w, SIGKILL);
	fd = visit(port);
	say(fd, "PING\r\n");
	while (take_message(w, 0))
		continue;
	acknowledge(w, first, 3);
	start(w);
	expect_started(w);
	assert_true(w->source != first);
	assert_null(order(w, open_request("redis", 6379), socket_fd));
	wait_for(w, fd, "+PONG\r\n");
	expect_line(w, "redis command command=PING");
	(void)close(fd);
	(void)close(socket_fd);
	expect_line(w, "redis disconnect");
	acknowledge(w, w->source, w->next - 1);
	assert_int_equal(stop(w, SIGTERM), 0);
}

/* The signal for the parent's death survives the change of identity. */
static void
it_dies_with_its_parent(void **state)
{
	struct world *w = *state;
	int ready[2], status = 0;
	char text[16];
	pid_t middle, orphan;

	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	assert_int_equal(pipe(ready), 0);
	middle = fork();
	assert_true(middle >= 0);
	if (middle == 0) {
		if (fork() == 0)
			become_decoy(w, ready[1], SIGTERM);
		(void)pause();
		_exit(0);
	}
	(void)close(ready[1]);
	assert_int_equal(read(ready[0], text, sizeof(text)), 6);
	(void)close(ready[0]);
	(void)kill(middle, SIGKILL);
	assert_int_equal(waitpid(middle, NULL, 0), middle);
	orphan = waitpid(-1, &status, 0);
	assert_true(orphan > 0);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	(void)prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static void
without_channels(void **state)
{
	struct world *w = *state;
	const char *dir = getenv("DECNET_BIN_DIR"), *out;
	char before[640];

	(void)snprintf(before, sizeof(before),
		       "DECNET_STATE_DIR=%s %s/decnet-decoy 2>&1; echo code $? of ", w->dir,
		       dir ? dir : "src/main");
	out = run(before, 0, "");
	assert_non_null(strstr(out, "DECNET_FD_CAPTURE: no capture channel"));
	assert_non_null(strstr(out, "code 2 of"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(real_clients),	TEST(locked_in),
		TEST(orders),		TEST(a_long_list),
		TEST(readers_that_die), TEST(the_ceiling_of_captures),
		TEST(another_life),	TEST(it_dies_with_its_parent),
		TEST(without_channels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
