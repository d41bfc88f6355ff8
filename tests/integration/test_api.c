/* SPDX-License-Identifier: Apache-2.0 */
/* The real decnet-api on a free port with a state directory of its own: access, users, errors in
 * their order, and every route's refusals. */
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
#include <jansson.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/router.h"
#include "util/clock.h"
#include "util/file.h"
#include "util/sv.h"

#define DEADLINE_MS 20000
#define FIRST	    "password-of-the-first-start"
#define ADMIN	    "password-of-the-admin"
#define VIEWER	    "password-of-the-viewer"
#define ANSWER_MAX  (256 * 1024)

struct world {
	char dir[64], log[96];
	pid_t pid;
	uint16_t port;
	char admin[1024], viewer[1024], fresh[1024]; /* tokens; `fresh` must change its password */
};

struct answer {
	int status;
	char text[ANSWER_MAX]; /* head and body */
	const char *body;
	json_t *json;
};

/* ---- the process ---- */

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
	char port[8];

	(void)snprintf(port, sizeof(port), "%u", w->port);
	(void)setenv("DECNET_STATE_DIR", w->dir, 1);
	(void)setenv("DECNET_API_PORT", port, 1);
	(void)setenv("DECNET_METRICS_LISTEN", "", 1);
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

static void
start(struct world *w)
{
	struct pollfd p = {.events = POLLIN};
	char byte;

	p.fd = spawn(w);
	if (poll(&p, 1, DEADLINE_MS) != 1 || read(p.fd, &byte, 1) != 1)
		fail_msg("decnet-api does not start, see %s", w->log);
	(void)close(p.fd);
}

static void
stop(struct world *w)
{
	(void)kill(w->pid, SIGTERM);
	assert_int_equal(wait_end(w->pid), 0);
	w->pid = 0;
}

/* Start with one variable changed; it must refuse with exit code 2 and the variable's name. */
static void
refuses_to_start(struct world *w, const char *name, const char *value)
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

/* ---- requests ---- */

static void
talk(const struct world *w, const char *bytes, size_t n, struct answer *a)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_port = htons(w->port),
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
static struct answer *
ask(const struct world *w, const char *method, const char *path, const char *token,
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
	talk(w, text, n, &a);
	return &a;
}

static struct answer *
call(const struct world *w, const char *method, const char *path, const char *token,
     const char *body)
{
	char whole[512];

	(void)snprintf(whole, sizeof(whole), "/api/v1%s", path);
	return ask(w, method, whole, token, body ? "Content-Type: application/json\r\n" : NULL,
		   body);
}

static const char *
member(const struct answer *a, const char *key)
{
	const char *text = json_string_value(json_object_get(a->json, key));

	return text ? text : "";
}

#define EXPECT(a, want_status, want_detail)                                                        \
	do {                                                                                       \
		const struct answer *a_ = (a);                                                     \
		if (a_->status != (want_status) ||                                                 \
		    strcmp(member(a_, "detail"), (want_detail)) != 0)                              \
			fail_msg("line %d: %d %s", __LINE__, a_->status, a_->body);                \
	} while (0)

static bool
has_header(const struct answer *a, const char *line)
{
	const char *at = strcasestr(a->text, line);

	return at && at < a->body;
}

static void
login(const struct world *w, const char *name, const char *password, char token[1024])
{
	char body[512];
	const struct answer *a;

	(void)snprintf(body, sizeof(body), "{\"username\":\"%s\",\"password\":\"%s\"}", name,
		       password);
	a = call(w, "POST", "/auth/login", NULL, body);
	assert_int_equal(a->status, 200);
	assert_string_equal(member(a, "token_type"), "bearer");
	(void)snprintf(token, 1024, "%s", member(a, "access_token"));
}

static void
change(const struct world *w, const char *token, const char *old, const char *new)
{
	char body[512];

	(void)snprintf(body, sizeof(body), "{\"old_password\":\"%s\",\"new_password\":\"%s\"}", old,
		       new);
	assert_int_equal(call(w, "POST", "/auth/change-password", token, body)->status, 200);
}

/* ---- tests ---- */

static void
serves_what_is_open(void **state)
{
	struct world *w = *state;
	struct answer *a = ask(w, "GET", "/healthz", NULL, NULL, NULL);
	char etag[128];
	const char *at;

	assert_string_equal(a->body, "{\"status\":\"ok\"}");
	assert_true(has_header(a, "Cache-Control: no-store"));
	assert_true(has_header(a, "X-Content-Type-Options: nosniff"));
	assert_true(has_header(a, "Referrer-Policy: no-referrer"));
	a = ask(w, "GET", "/readyz/", NULL, NULL, NULL);
	assert_string_equal(a->body, "{\"status\":\"ready\",\"checks\":{\"store\":\"ok\","
				     "\"schema\":\"ok\",\"journal\":\"ok\"}}");
	a = ask(w, "GET", "/openapi.json", NULL, NULL, NULL);
	assert_string_equal(member(a, "openapi"), "3.1.0");
	for (size_t i = 0; i < router_count; i++)
		assert_non_null(
			json_object_get(json_object_get(a->json, "paths"), router_table[i].path));
	a = ask(w, "GET", "/docs", NULL, NULL, NULL);
	assert_true(has_header(a, "Content-Type: text/html"));
	assert_non_null(strstr(a->body, "/api/v1/auth/login"));

	a = ask(w, "GET", "/", NULL, NULL, NULL);
	assert_int_equal(a->status, 200);
	assert_true(has_header(a, "Content-Security-Policy: default-src 'self'"));
	at = strcasestr(a->text, "ETag: ");
	assert_non_null(at);
	(void)snprintf(etag, sizeof(etag), "If-None-Match: %.*s\r\n", (int)strcspn(at + 6, "\r"),
		       at + 6);
	a = ask(w, "GET", "/index.html", NULL, etag, NULL);
	assert_int_equal(a->status, 304);
	assert_string_equal(a->body, "");
	assert_int_equal(
		ask(w, "GET", "/some/page", NULL, "Accept: text/html,*/*\r\n", NULL)->status, 200);
	EXPECT(ask(w, "GET", "/some/page", NULL, NULL, NULL), 404, "Not Found");
	EXPECT(ask(w, "GET", "/api/v1/page", NULL, "Accept: text/html\r\n", NULL), 404,
	       "Not Found");
	EXPECT(ask(w, "POST", "/some/page", NULL, "Accept: text/html\r\n", NULL), 404, "Not Found");
}

static void
answers_methods(void **state)
{
	struct world *w = *state;
	struct answer *a = ask(w, "HEAD", "/healthz", NULL, NULL, NULL);

	assert_int_equal(a->status, 200);
	assert_true(has_header(a, "Content-Length: 15"));
	assert_string_equal(a->body, "");
	assert_int_equal(call(w, "HEAD", "/config", w->viewer, NULL)->status, 200);
	assert_int_equal(call(w, "HEAD", "/config", NULL, NULL)->status, 401);
	a = call(w, "OPTIONS", "/config", NULL, NULL);
	assert_int_equal(a->status, 204);
	assert_true(has_header(a, "Allow: GET, HEAD, OPTIONS\r\n"));
	a = call(w, "DELETE", "/config", NULL, NULL);
	EXPECT(a, 405, "Method Not Allowed");
	assert_true(has_header(a, "Allow: GET, HEAD, OPTIONS\r\n"));
	a = ask(w, "POST", "/", NULL, NULL, NULL);
	EXPECT(a, 405, "Method Not Allowed");
	assert_true(has_header(a, "Allow: GET, HEAD, OPTIONS\r\n"));
}

static void
shares_with_known_origins_only(void **state)
{
	struct world *w = *state;
	struct answer *a = ask(w, "GET", "/healthz", NULL, "Origin: https://two.example\r\n", NULL);

	assert_true(has_header(a, "Access-Control-Allow-Origin: https://two.example\r\n"));
	assert_true(
		has_header(a, "Access-Control-Expose-Headers: Decnet-Watermark, Retry-After\r\n"));
	assert_true(has_header(a, "Vary: Origin\r\n"));
	assert_false(has_header(a, "Access-Control-Allow-Credentials"));
	a = ask(w, "OPTIONS", "/api/v1/config", NULL,
		"Origin: https://one.example\r\nAccess-Control-Request-Method: GET\r\n", NULL);
	assert_int_equal(a->status, 204);
	assert_true(has_header(
		a, "Access-Control-Allow-Methods: GET, POST, PUT, PATCH, DELETE, OPTIONS\r\n"));
	assert_true(has_header(
		a, "Access-Control-Allow-Headers: Authorization, Content-Type, Last-Event-ID\r\n"));
	a = ask(w, "GET", "/healthz", NULL, "Origin: https://three.example\r\n", NULL);
	assert_false(has_header(a, "Access-Control-Allow-Origin"));
	a = ask(w, "GET", "/healthz", NULL, "Origin: https://two.example.evil\r\n", NULL);
	assert_false(has_header(a, "Access-Control-Allow-Origin"));
}

static void
refuses_in_order(void **state)
{
	struct world *w = *state;
	static char big[1024 * 1024 + 2];
	struct answer *a;

	memset(big, ' ', sizeof(big) - 1);
	/* 401 before everything that is wrong with the body, 403 after it. */
	EXPECT(call(w, "POST", "/config/users", NULL, big), 401, "Could not validate credentials");
	EXPECT(call(w, "POST", "/config/users", "not.a.token", "{"), 401,
	       "Could not validate credentials");
	EXPECT(call(w, "POST", "/config/users", w->viewer, "{}"), 403, "Insufficient permissions");
	EXPECT(call(w, "POST", "/config/users", w->viewer, big), 403, "Insufficient permissions");
	EXPECT(ask(w, "POST", "/api/v1/config/users", w->viewer, NULL, "x"), 403,
	       "Insufficient permissions");
	EXPECT(call(w, "GET", "/config", w->fresh, NULL), 403,
	       "Password change required before accessing this resource");
	a = call(w, "GET", "/config", NULL, NULL);
	assert_true(has_header(a, "WWW-Authenticate: Bearer\r\n"));

	EXPECT(call(w, "POST", "/config/users", w->admin, big), 413, "Request body too large");
	EXPECT(ask(w, "POST", "/api/v1/config/users", w->admin, "Content-Type: text/plain\r\n",
		   "{}"),
	       415, "Unsupported media type: expected application/json");
	EXPECT(ask(w, "POST", "/api/v1/config/users", w->admin, NULL, "{}"), 415,
	       "Unsupported media type: expected application/json");
	EXPECT(ask(w, "POST", "/api/v1/config/users", w->admin,
		   "Content-Type: Application/JSON; charset=utf-8\r\n", "{"),
	       400, "Malformed JSON body");
	EXPECT(call(w, "POST", "/config/users", w->admin, "{\"a\":1,\"a\":2}"), 400,
	       "Malformed JSON body");
	EXPECT(call(w, "POST", "/config/users", w->admin, "[]"), 400,
	       "Request body must be a JSON object");
	EXPECT(call(w, "POST", "/config/users", w->admin, "{}"), 422, "Invalid request parameters");
	EXPECT(call(w, "POST", "/config/users", w->admin, NULL), 422, "Invalid request parameters");
	EXPECT(call(w, "POST", "/auth/logout", w->admin, "{\"x\":1}"), 422,
	       "Invalid request parameters");
	EXPECT(call(w, "GET", "/config?a=%zz", w->admin, NULL), 422, "Invalid request parameters");
	EXPECT(call(w, "PUT", "/config/users/nobody/role", w->admin, "{}"), 422,
	       "Invalid request parameters");
	EXPECT(call(w, "PUT", "/config/users/nobody/role", w->admin, "{\"role\":\"viewer\"}"), 404,
	       "User not found");
}

static void
accepts_tokens_in_one_form(void **state)
{
	struct world *w = *state;
	char header[1100];

	(void)snprintf(header, sizeof(header), "authorization: bEARER %s\r\n", w->viewer);
	assert_int_equal(ask(w, "GET", "/api/v1/config", NULL, header, NULL)->status, 200);
	(void)snprintf(header, sizeof(header), "Authorization: Bearer  %s\r\n", w->viewer);
	assert_int_equal(ask(w, "GET", "/api/v1/config", NULL, header, NULL)->status, 401);
	(void)snprintf(header, sizeof(header), "Authorization: %s\r\n", w->viewer);
	assert_int_equal(ask(w, "GET", "/api/v1/config", NULL, header, NULL)->status, 401);
	/* Only streams take it from the query. */
	(void)snprintf(header, sizeof(header), "/config?token=%s", w->viewer);
	if (strlen(header) < 500)
		assert_int_equal(call(w, "GET", header, NULL, NULL)->status, 401);
}

/* A path for the row, with something in the place of each parameter. */
static void
example(const char *pattern, char *dst)
{
	while (*pattern) {
		if (*pattern == '{') {
			dst += sprintf(dst, "01a1fd30-529f-7218-8c42-4a08862a687c");
			pattern += strcspn(pattern, "}") + 1;
		} else {
			*dst++ = *pattern++;
		}
	}
	*dst = '\0';
}

static void
every_route_refuses(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < router_count; i++) {
		const struct route *r = &router_table[i];
		struct answer *a;
		char path[512];

		if (r->role == API_OPEN)
			continue;
		example(r->path, path);
		a = ask(w, r->method, path, NULL, NULL, NULL);
		if (a->status != 401 ||
		    strcmp(member(a, "detail"), "Could not validate credentials") != 0)
			fail_msg("%s %s without a token: %d", r->method, path, a->status);
		if (r->role == API_SELF)
			continue;
		a = ask(w, r->method, path, w->fresh, NULL, NULL);
		if (a->status != 403)
			fail_msg("%s %s with must-change: %d", r->method, path, a->status);
		if (r->role != API_ADMIN)
			continue;
		a = ask(w, r->method, path, w->viewer, "Content-Type: application/json\r\n", "{}");
		if (a->status != 403 ||
		    strcmp(member(a, "detail"), "Insufficient permissions") != 0)
			fail_msg("%s %s as a viewer: %d", r->method, path, a->status);
		/* The path is known, and an admin gets further than the role. */
		a = ask(w, "OPTIONS", path, NULL, NULL, NULL);
		assert_int_equal(a->status, 204);
	}
}

static void
manages_users(void **state)
{
	struct world *w = *state;
	char bob[64], path[128], token[1024], own[64];
	struct answer *a;

	(void)snprintf(own, sizeof(own), "%s",
		       member(call(w, "GET", "/config", w->admin, NULL), "uuid"));
	a = call(w, "POST", "/config/users", w->admin,
		 "{\"username\":\"bob\",\"password\":\"password-of-bob\"}");
	assert_int_equal(a->status, 200);
	assert_string_equal(member(a, "role"), "viewer");
	assert_true(json_is_true(json_object_get(a->json, "must_change_password")));
	(void)snprintf(bob, sizeof(bob), "%s", member(a, "uuid"));
	EXPECT(call(w, "POST", "/config/users", w->admin,
		    "{\"username\":\"bob\",\"password\":\"password-of-bob\"}"),
	       409, "Username already exists");
	EXPECT(call(w, "POST", "/config/users", w->admin,
		    "{\"username\":\" bob\",\"password\":\"password-of-bob\"}"),
	       422, "Invalid request parameters");

	/* A change of role ends the tokens, and counts from the next request on. */
	login(w, "bob", "password-of-bob", token);
	change(w, token, "password-of-bob", "password-two-of-bob");
	login(w, "bob", "password-two-of-bob", token);
	assert_int_equal(call(w, "GET", "/config", token, NULL)->status, 200);
	(void)snprintf(path, sizeof(path), "/config/users/%s/role", bob);
	a = call(w, "PUT", path, w->admin, "{\"role\":\"admin\"}");
	assert_string_equal(member(a, "message"), "User role updated");
	assert_int_equal(call(w, "GET", "/config", token, NULL)->status, 401);
	login(w, "bob", "password-two-of-bob", token);
	a = call(w, "GET", "/config", token, NULL);
	assert_string_equal(member(a, "role"), "admin");
	assert_true(json_is_array(json_object_get(a->json, "users")));
	assert_null(json_object_get(call(w, "GET", "/config", w->viewer, NULL)->json, "users"));

	(void)snprintf(path, sizeof(path), "/config/users/%s/reset-password", bob);
	EXPECT(call(w, "PUT", path, w->admin, "{\"new_password\":\"short\"}"), 422,
	       "Invalid request parameters");
	a = call(w, "PUT", path, w->admin, "{\"new_password\":\"password-three-bob\"}");
	assert_string_equal(member(a, "message"), "Password reset successfully");
	assert_int_equal(call(w, "GET", "/config", token, NULL)->status, 401);
	login(w, "bob", "password-three-bob", token);
	EXPECT(call(w, "GET", "/config", token, NULL), 403,
	       "Password change required before accessing this resource");

	(void)snprintf(path, sizeof(path), "/config/users/%s", own);
	EXPECT(call(w, "DELETE", path, w->admin, NULL), 403, "Cannot delete your own account");
	(void)snprintf(path, sizeof(path), "/config/users/%s/role", own);
	EXPECT(call(w, "PUT", path, w->admin, "{\"role\":\"viewer\"}"), 403,
	       "Cannot change your own role");
	(void)snprintf(path, sizeof(path), "/config/users/%s", bob);
	a = call(w, "DELETE", path, w->admin, NULL);
	assert_string_equal(member(a, "message"), "User deleted");
	EXPECT(call(w, "DELETE", path, w->admin, NULL), 404, "User not found");
	EXPECT(call(w, "POST", "/auth/logout", token, NULL), 401, "Could not validate credentials");
}

static void
ends_access(void **state)
{
	struct world *w = *state;
	char one[1024], two[1024];
	struct answer *a;

	EXPECT(call(w, "POST", "/auth/login", NULL,
		    "{\"username\":\"admin\",\"password\":\"wrong\"}"),
	       401, "Incorrect username or password");
	EXPECT(call(w, "POST", "/auth/login", NULL, "{\"username\":\"nobody\",\"password\":\"x\"}"),
	       401, "Incorrect username or password");
	EXPECT(call(w, "POST", "/auth/login", NULL, "{\"username\":\"\",\"password\":\"\"}"), 422,
	       "Invalid request parameters");
	login(w, "admin", ADMIN, one);
	a = call(w, "POST", "/auth/logout", one, NULL);
	assert_string_equal(member(a, "message"), "Logged out");
	EXPECT(call(w, "POST", "/auth/logout", one, NULL), 401, "Could not validate credentials");
	assert_int_equal(call(w, "GET", "/config", w->admin, NULL)->status, 200);

	login(w, "viewer", VIEWER, one);
	EXPECT(call(w, "POST", "/auth/change-password", one,
		    "{\"old_password\":\"wrong-wrong-wrong\",\"new_password\":\"password-"
		    "password\"}"),
	       401, "Incorrect old password");
	EXPECT(call(w, "POST", "/auth/change-password", one,
		    "{\"old_password\":\"" VIEWER "\",\"new_password\":\"" VIEWER "\"}"),
	       422, "Invalid request parameters");
	change(w, one, VIEWER, "another-password-of-the-viewer");
	assert_int_equal(call(w, "GET", "/config", one, NULL)->status, 401);
	assert_int_equal(call(w, "GET", "/config", w->viewer, NULL)->status, 401);
	/* A token of the same second, but after the change, is good. */
	login(w, "viewer", "another-password-of-the-viewer", two);
	assert_int_equal(call(w, "GET", "/config", two, NULL)->status, 200);
	change(w, two, "another-password-of-the-viewer", VIEWER);
	login(w, "viewer", VIEWER, w->viewer);
}

static void
gives_tickets(void **state)
{
	struct world *w = *state;
	struct answer *a = call(w, "POST", "/auth/sse-ticket", w->viewer, NULL);

	assert_int_equal(a->status, 200);
	assert_int_equal(strlen(member(a, "ticket")), 43);
	assert_int_equal(json_integer_value(json_object_get(a->json, "expires_in")), 60);
}

static void
tells_of_health(void **state)
{
	struct world *w = *state;
	struct answer *a = call(w, "GET", "/health", w->viewer, NULL);
	json_t *c;

	EXPECT(a, 503, "unhealthy");
	assert_string_equal(member(a, "status"), "unhealthy");
	c = json_object_get(a->json, "components");
	assert_int_equal(json_object_size(c), 6);
	assert_string_equal(json_string_value(json_object_get(json_object_get(c, "bus"), "detail")),
			    "disabled");
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(c, "mutator"), "detail")),
		"not started");
	a = call(w, "GET", "/workers", w->viewer, NULL);
	assert_int_equal(json_array_size(json_object_get(a->json, "workers")), 6);
	assert_true(json_is_false(json_object_get(a->json, "bus_connected")));
	EXPECT(call(w, "POST", "/workers/nobody/stop", w->admin, NULL), 404,
	       "Unknown worker: 'nobody'");
	EXPECT(call(w, "POST", "/workers/bus/stop", w->admin, NULL), 503, "bus unavailable");
	a = call(w, "POST", "/workers/start-all", w->admin, NULL);
	assert_int_equal(a->status, 200);
	assert_true(json_array_size(json_object_get(a->json, "failed")) > 0);
}

static void
keeps_its_secret(void **state)
{
	struct world *w = *state;
	char path[128];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/jwt.secret", w->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	stop(w);
	start(w);
	assert_int_equal(call(w, "GET", "/config", w->admin, NULL)->status, 200);
}

static void
says_no_secret_in_its_log(void **state)
{
	struct world *w = *state;
	const char *secrets[] = {w->admin, w->viewer, w->fresh, ADMIN, VIEWER, FIRST};
	char path[2048], *said = NULL;

	(void)snprintf(path, sizeof(path), "/healthz?token=%s&ticket=%.40s", w->admin, w->viewer);
	assert_int_equal(ask(w, "GET", path, NULL, NULL, NULL)->status, 200);
	assert_int_equal(file_read(w->log, 16 * 1024 * 1024, &said, NULL), 0);
	assert_non_null(strstr(said, "api.request"));
	for (size_t i = 0; i < ARRAY_LEN(secrets); i++)
		assert_null(strstr(said, secrets[i]));
	free(said);
}

/* Last: with another server, which counts. */
static void
limits_rates(void **state)
{
	static const char *const wrong = "{\"username\":\"nobody\",\"password\":\"x\"}";
	struct world *w = *state;
	struct answer *a;

	stop(w);
	(void)setenv("DECNET_LIMITER_ENABLED", "true", 1);
	start(w);
	for (int i = 0; i < 5; i++)
		assert_int_equal(call(w, "POST", "/auth/change-password", w->fresh, "{}")->status,
				 422);
	a = call(w, "POST", "/auth/change-password", w->fresh, "{");
	EXPECT(a, 429, "Rate limit exceeded: 5 per 1 minute");
	assert_true(has_header(a, "Retry-After: "));
	for (int i = 0; i < 10; i++)
		EXPECT(call(w, "POST", "/auth/login", NULL, wrong), 401,
		       "Incorrect username or password");
	/* Before the body is looked at, and whatever is in it. */
	EXPECT(call(w, "POST", "/auth/login", NULL, "{"), 429,
	       "Rate limit exceeded: 10 per 5 minute");
	EXPECT(ask(w, "POST", "/api/v1/auth/login", NULL, "X-Forwarded-For: 10.9.8.7\r\n", NULL),
	       429, "Rate limit exceeded: 10 per 5 minute");
	assert_int_equal(call(w, "GET", "/config", w->admin, NULL)->status, 200);
	(void)setenv("DECNET_LIMITER_ENABLED", "false", 1);
}

static void
refuses_unusable_settings(void **state)
{
	struct world *w = *state;

	stop(w);
	refuses_to_start(w, "DECNET_JWT_SECRET", "too short");
	refuses_to_start(w, "DECNET_CORS_ORIGINS", "https://a.example,*");
	refuses_to_start(w, "DECNET_ADMIN_PASSWORD", "short");
}

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	char token[1024];

	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/decnet-api-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	(void)snprintf(w->log, sizeof(w->log), "%s.log", w->dir);
	w->port = free_port();
	set_env(w);
	(void)setenv("DECNET_LIMITER_ENABLED", "false", 1);
	(void)setenv("DECNET_ADMIN_PASSWORD", FIRST, 1);
	start(w);
	login(w, "admin", FIRST, token);
	change(w, token, FIRST, ADMIN);
	login(w, "admin", ADMIN, w->admin);
	assert_int_equal(call(w, "POST", "/config/users", w->admin,
			      "{\"username\":\"viewer\",\"password\":\"password-number-one\"}")
				 ->status,
			 200);
	login(w, "viewer", "password-number-one", token);
	change(w, token, "password-number-one", VIEWER);
	login(w, "viewer", VIEWER, w->viewer);
	assert_int_equal(call(w, "POST", "/config/users", w->admin,
			      "{\"username\":\"fresh\",\"password\":\"password-number-one\","
			      "\"role\":\"admin\"}")
				 ->status,
			 200);
	login(w, "fresh", "password-number-one", w->fresh);
	*state = w;
	return 0;
}

static int
teardown(void **state)
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

/* A second world, where nobody has set a password. */
static void
prints_a_password_once(void **state)
{
	struct world *w = *state;
	char path[160], password[64], token[1024], *said = NULL;
	const char *at;

	(void)unsetenv("DECNET_ADMIN_PASSWORD");
	(void)snprintf(path, sizeof(path), "%s/decnet.db", w->dir);
	(void)unlink(path);
	(void)unlink(w->log);
	start(w);
	assert_int_equal(file_read(w->log, 65536, &said, NULL), 0);
	at = strstr(said, "password ");
	assert_non_null(at);
	assert_int_equal(sscanf(at, "password %63s", password), 1);
	login(w, "admin", password, token);
	EXPECT(call(w, "GET", "/config", token, NULL), 403,
	       "Password change required before accessing this resource");
	free(said);
	stop(w);
	/* While must-change is set, a password of the settings replaces it. */
	(void)unlink(w->log);
	(void)setenv("DECNET_ADMIN_PASSWORD", FIRST, 1);
	start(w);
	assert_int_equal(call(w, "GET", "/config", token, NULL)->status, 401);
	login(w, "admin", FIRST, token);
	assert_int_equal(file_read(w->log, 65536, &said, NULL), 0);
	assert_null(strstr(said, "password"));
	free(said);
	stop(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(serves_what_is_open),
		cmocka_unit_test(answers_methods),
		cmocka_unit_test(shares_with_known_origins_only),
		cmocka_unit_test(refuses_in_order),
		cmocka_unit_test(accepts_tokens_in_one_form),
		cmocka_unit_test(every_route_refuses),
		cmocka_unit_test(manages_users),
		cmocka_unit_test(ends_access),
		cmocka_unit_test(gives_tickets),
		cmocka_unit_test(tells_of_health),
		cmocka_unit_test(keeps_its_secret),
		cmocka_unit_test(says_no_secret_in_its_log),
		cmocka_unit_test(limits_rates),
		cmocka_unit_test(refuses_unusable_settings),
		cmocka_unit_test(prints_a_password_once),
	};

	return cmocka_run_group_tests_name("api", tests, setup, teardown);
}
