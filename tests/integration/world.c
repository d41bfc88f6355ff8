/* SPDX-License-Identifier: Apache-2.0 */
/* A decnet-api of its own, and requests to it. */
#include "world.h"

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
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/file.h"
#include "util/sv.h"

#define DEADLINE_MS 20000

static uint16_t
free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	(void)close(fd);
	return ntohs(a.sin_port);
}

static void
set_env(const struct world *w)
{
	char port[8], metrics[32];

	(void)snprintf(port, sizeof(port), "%u", w->port);
	(void)setenv("DECNET_STATE_DIR", w->dir, 1);
	(void)setenv("DECNET_API_PORT", port, 1);
	(void)snprintf(metrics, sizeof(metrics), "127.0.0.1:%u", w->metrics_port);
	(void)setenv("DECNET_METRICS_LISTEN", metrics, 1);
	(void)setenv("DECNET_BUS_ENABLED", "false", 1);
	(void)setenv("DECNET_LOG_LEVEL", "debug", 1);
	(void)setenv("DECNET_CORS_ORIGINS", "https://one.example, https://two.example", 1);
}

/* Start it; what it says is appended to the log. The descriptor becomes readable when it serves,
 * and ends when it ends. */
static int
spawn(struct world *w)
{
	char program[512], fd_text[16];
	int ready[2];

	(void)snprintf(program, sizeof(program), "%s/decnet-api", getenv("DECNET_BIN_DIR"));
	assert_int_equal(pipe(ready), 0);
	w->pid = fork();
	assert_true(w->pid >= 0);
	if (w->pid == 0) {
		char *const argv[] = {program, NULL};
		int log = open(w->log, O_WRONLY | O_CREAT | O_APPEND, 0600);

		(void)dup2(log, STDERR_FILENO);
		(void)close(ready[0]);
		(void)snprintf(fd_text, sizeof(fd_text), "%d", ready[1]);
		(void)setenv("DECNET_READY_FD", fd_text, 1);
		(void)execv(program, argv);
		_exit(127);
	}
	(void)close(ready[1]);
	return ready[0];
}

static int
wait_end(pid_t pid)
{
	uint64_t end = clock_mono_ms() + DEADLINE_MS;
	int status = 0;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (clock_mono_ms() > end) {
			(void)kill(pid, SIGKILL);
			fail_msg("the process does not end");
		}
		(void)poll(NULL, 0, 10);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void
world_start(struct world *w)
{
	struct pollfd p = {.events = POLLIN};
	char byte;

	p.fd = spawn(w);
	if (poll(&p, 1, DEADLINE_MS) != 1 || read(p.fd, &byte, 1) != 1)
		fail_msg("decnet-api does not start, see %s", w->log);
	(void)close(p.fd);
}

void
world_stop(struct world *w)
{
	(void)kill(w->pid, SIGTERM);
	assert_int_equal(wait_end(w->pid), 0);
	w->pid = 0;
}

/* Start with one variable changed; it must refuse with exit code 2 and the variable's name. */
void
world_refuses_to_start(struct world *w, const char *name, const char *value)
{
	char *said = NULL;

	(void)setenv(name, value, 1);
	(void)unlink(w->log);
	(void)close(spawn(w));
	assert_int_equal(wait_end(w->pid), 2);
	w->pid = 0;
	assert_int_equal(file_read(w->log, 65536, &said, NULL), 0);
	if (!strstr(said, name))
		fail_msg("%s: %s", name, said);
	free(said);
	(void)unsetenv(name);
}

static void
talk(uint16_t port, const char *bytes, size_t n, struct answer *a)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval patience = {.tv_sec = DEADLINE_MS / 1000};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t got = 0;
	ssize_t r;

	assert_true(fd >= 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	for (size_t sent = 0; sent < n; sent += (size_t)r) {
		r = send(fd, bytes + sent, n - sent, MSG_NOSIGNAL);
		if (r <= 0)
			break; /* it has refused without reading on */
	}
	while ((r = recv(fd, a->text + got, sizeof(a->text) - 1 - got, 0)) > 0)
		got += (size_t)r;
	(void)close(fd);
	a->text[got] = '\0';
	a->body = strstr(a->text, "\r\n\r\n");
	assert_non_null(a->body);
	a->body += 4;
	assert_int_equal(sscanf(a->text, "HTTP/1.1 %d", &a->status), 1);
	json_decref(a->json);
	a->json = json_loads(a->body, JSON_DECODE_ANY, NULL);
}

/* `headers` are whole lines. The answer is good until the next call. */
struct answer *
world_ask(const struct world *w, const char *method, const char *path, const char *token,
	  const char *headers, const char *body)
{
	static struct answer a;
	static char text[2 * 1024 * 1024];
	size_t n;

	n = (size_t)snprintf(text, sizeof(text),
			     "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s%s%s%s",
			     method, path, token ? "Authorization: Bearer " : "",
			     token ? token : "", token ? "\r\n" : "", headers ? headers : "");
	if (body)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "Content-Length: %zu\r\n",
				      strlen(body));
	n += (size_t)snprintf(text + n, sizeof(text) - n, "\r\n%s", body ? body : "");
	assert_true(n < sizeof(text));
	talk(w->port, text, n, &a);
	return &a;
}

struct answer *
world_get(uint16_t port, const char *path)
{
	static struct answer a;
	char text[256];
	int n = snprintf(text, sizeof(text),
			 "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);

	talk(port, text, (size_t)n, &a);
	return &a;
}

struct answer *
world_call(const struct world *w, const char *method, const char *path, const char *token,
	   const char *body)
{
	char whole[512];

	(void)snprintf(whole, sizeof(whole), "/api/v1%s", path);
	return world_ask(w, method, whole, token,
			 body ? "Content-Type: application/json\r\n" : NULL, body);
}

const char *
answer_member(const struct answer *a, const char *key)
{
	const char *text = json_string_value(json_object_get(a->json, key));

	return text ? text : "";
}

bool
answer_has_header(const struct answer *a, const char *line)
{
	const char *at = strcasestr(a->text, line);

	return at && at < a->body;
}

void
world_login(const struct world *w, const char *name, const char *password, char token[1024])
{
	char body[512];
	const struct answer *a;

	(void)snprintf(body, sizeof(body), "{\"username\":\"%s\",\"password\":\"%s\"}", name,
		       password);
	a = world_call(w, "POST", "/auth/login", NULL, body);
	assert_int_equal(a->status, 200);
	assert_string_equal(answer_member(a, "token_type"), "bearer");
	(void)snprintf(token, 1024, "%s", answer_member(a, "access_token"));
}

void
world_change(const struct world *w, const char *token, const char *old, const char *new)
{
	char body[512];

	(void)snprintf(body, sizeof(body), "{\"old_password\":\"%s\",\"new_password\":\"%s\"}", old,
		       new);
	assert_int_equal(world_call(w, "POST", "/auth/change-password", token, body)->status, 200);
}

int
world_setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	char token[1024];

	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/decnet-api-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	(void)snprintf(w->log, sizeof(w->log), "%s.log", w->dir);
	w->port = free_port();
	w->metrics_port = free_port();
	set_env(w);
	(void)setenv("DECNET_LIMITER_ENABLED", "false", 1);
	(void)setenv("DECNET_ADMIN_PASSWORD", WORLD_FIRST, 1);
	world_start(w);
	world_login(w, "admin", WORLD_FIRST, token);
	world_change(w, token, WORLD_FIRST, WORLD_ADMIN);
	world_login(w, "admin", WORLD_ADMIN, w->admin);
	assert_int_equal(
		world_call(w, "POST", "/config/users", w->admin,
			   "{\"username\":\"viewer\",\"password\":\"password-number-one\"}")
			->status,
		200);
	world_login(w, "viewer", "password-number-one", token);
	world_change(w, token, "password-number-one", WORLD_VIEWER);
	world_login(w, "viewer", WORLD_VIEWER, w->viewer);
	assert_int_equal(world_call(w, "POST", "/config/users", w->admin,
				    "{\"username\":\"fresh\",\"password\":\"password-number-one\","
				    "\"role\":\"admin\"}")
				 ->status,
			 200);
	world_login(w, "fresh", "password-number-one", w->fresh);
	*state = w;
	return 0;
}

int
world_teardown(void **state)
{
	static const char *const names[] = {"decnet.db", "decnet.db-wal", "decnet.db-shm",
					    "jwt.secret"};
	struct world *w = *state;
	char path[128];

	if (w->pid > 0) {
		(void)kill(w->pid, SIGKILL);
		(void)waitpid(w->pid, NULL, 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", w->dir, names[i]);
		(void)unlink(path);
	}
	(void)rmdir(w->dir);
	(void)unlink(w->log);
	free(w);
	return 0;
}
