/* SPDX-License-Identifier: Apache-2.0 */
/* The process itself: what is open, methods, origins, health, its secret, its log, its start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/router.h"
#include "util/attr.h"
#include "util/file.h"
#include "world.h"

static void
serves_what_is_open(void **state)
{
	struct world *w = *state;
	struct answer *a = world_ask(w, "GET", "/healthz", NULL, NULL, NULL);
	char etag[128];
	const char *at;
	const json_t *login;

	assert_string_equal(a->body, "{\"status\":\"ok\"}");
	assert_true(answer_has_header(a, "Cache-Control: no-store"));
	assert_true(answer_has_header(a, "X-Content-Type-Options: nosniff"));
	assert_true(answer_has_header(a, "Referrer-Policy: no-referrer"));
	a = world_ask(w, "GET", "/readyz/", NULL, NULL, NULL);
	assert_string_equal(a->body, "{\"status\":\"ready\",\"checks\":{\"store\":\"ok\","
				     "\"schema\":\"ok\",\"journal\":\"ok\"}}");
	a = world_ask(w, "GET", "/openapi.json", NULL, NULL, NULL);
	assert_string_equal(answer_member(a, "openapi"), "3.1.0");
	for (size_t i = 0; i < router_count; i++)
		assert_non_null(
			json_object_get(json_object_get(a->json, "paths"), router_table[i].path));
	/* A client made from it can log in. */
	login = json_object_get(
		json_object_get(json_object_get(a->json, "paths"), "/api/v1/auth/login"), "post");
	assert_non_null(json_object_get(login, "requestBody"));
	assert_int_equal(json_array_size(json_object_get(login, "security")), 0);
	a = world_ask(w, "GET", "/docs", NULL, NULL, NULL);
	assert_true(answer_has_header(a, "Content-Type: text/html"));
	assert_non_null(strstr(a->body, "/api/v1/auth/login"));

	a = world_ask(w, "GET", "/", NULL, NULL, NULL);
	assert_int_equal(a->status, 200);
	assert_true(answer_has_header(a, "Content-Security-Policy: default-src 'self'"));
	at = strcasestr(a->text, "ETag: ");
	assert_non_null(at);
	(void)snprintf(etag, sizeof(etag), "If-None-Match: %.*s\r\n", (int)strcspn(at + 6, "\r"),
		       at + 6);
	a = world_ask(w, "GET", "/index.html", NULL, etag, NULL);
	assert_int_equal(a->status, 304);
	assert_string_equal(a->body, "");
	assert_int_equal(
		world_ask(w, "GET", "/some/page", NULL, "Accept: text/html,*/*\r\n", NULL)->status,
		200);
	EXPECT(world_ask(w, "GET", "/some/page", NULL, NULL, NULL), 404, "Not Found");
	EXPECT(world_ask(w, "GET", "/api/v1/page", NULL, "Accept: text/html\r\n", NULL), 404,
	       "Not Found");
	EXPECT(world_ask(w, "POST", "/some/page", NULL, "Accept: text/html\r\n", NULL), 404,
	       "Not Found");
}

static void
answers_methods(void **state)
{
	struct world *w = *state;
	struct answer *a = world_ask(w, "HEAD", "/healthz", NULL, NULL, NULL);

	assert_int_equal(a->status, 200);
	assert_true(answer_has_header(a, "Content-Length: 15"));
	assert_string_equal(a->body, "");
	assert_int_equal(world_call(w, "HEAD", "/config", w->viewer, NULL)->status, 200);
	assert_int_equal(world_call(w, "HEAD", "/config", NULL, NULL)->status, 401);
	a = world_call(w, "OPTIONS", "/config", NULL, NULL);
	assert_int_equal(a->status, 204);
	assert_true(answer_has_header(a, "Allow: GET, HEAD, OPTIONS\r\n"));
	a = world_call(w, "DELETE", "/config", NULL, NULL);
	EXPECT(a, 405, "Method Not Allowed");
	assert_true(answer_has_header(a, "Allow: GET, HEAD, OPTIONS\r\n"));
	a = world_ask(w, "POST", "/", NULL, NULL, NULL);
	EXPECT(a, 405, "Method Not Allowed");
	assert_true(answer_has_header(a, "Allow: GET, HEAD, OPTIONS\r\n"));
}

static void
shares_with_known_origins_only(void **state)
{
	struct world *w = *state;
	struct answer *a =
		world_ask(w, "GET", "/healthz", NULL, "Origin: https://two.example\r\n", NULL);

	assert_true(answer_has_header(a, "Access-Control-Allow-Origin: https://two.example\r\n"));
	assert_true(answer_has_header(
		a, "Access-Control-Expose-Headers: Decnet-Watermark, Retry-After\r\n"));
	assert_true(answer_has_header(a, "Vary: Origin\r\n"));
	assert_false(answer_has_header(a, "Access-Control-Allow-Credentials"));
	a = world_ask(w, "OPTIONS", "/api/v1/config", NULL,
		      "Origin: https://one.example\r\nAccess-Control-Request-Method: GET\r\n",
		      NULL);
	assert_int_equal(a->status, 204);
	assert_true(answer_has_header(
		a, "Access-Control-Allow-Methods: GET, POST, PUT, PATCH, DELETE, OPTIONS\r\n"));
	assert_true(answer_has_header(
		a, "Access-Control-Allow-Headers: Authorization, Content-Type, Last-Event-ID\r\n"));
	a = world_ask(w, "GET", "/healthz", NULL, "Origin: https://three.example\r\n", NULL);
	assert_false(answer_has_header(a, "Access-Control-Allow-Origin"));
	a = world_ask(w, "GET", "/healthz", NULL, "Origin: https://two.example.evil\r\n", NULL);
	assert_false(answer_has_header(a, "Access-Control-Allow-Origin"));
}

static void
tells_of_health(void **state)
{
	struct world *w = *state;
	struct answer *a = world_call(w, "GET", "/health", w->viewer, NULL);
	json_t *c;

	EXPECT(a, 503, "unhealthy");
	assert_string_equal(answer_member(a, "status"), "unhealthy");
	c = json_object_get(a->json, "components");
	assert_int_equal(json_object_size(c), 6);
	assert_string_equal(json_string_value(json_object_get(json_object_get(c, "bus"), "detail")),
			    "disabled");
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(c, "mutator"), "detail")),
		"not started");
	a = world_call(w, "GET", "/workers", w->viewer, NULL);
	assert_int_equal(json_array_size(json_object_get(a->json, "workers")), 6);
	assert_true(json_is_false(json_object_get(a->json, "bus_connected")));
	EXPECT(world_call(w, "POST", "/workers/nobody/stop", w->admin, NULL), 404,
	       "Unknown worker: 'nobody'");
	EXPECT(world_call(w, "POST", "/workers/bus/stop", w->admin, NULL), 503, "bus unavailable");
	a = world_call(w, "POST", "/workers/start-all", w->admin, NULL);
	assert_int_equal(a->status, 200);
	assert_true(json_array_size(json_object_get(a->json, "failed")) > 0);
}

static void
shows_metrics(void **state)
{
	static const char *const names[] = {
		"decnet_http_requests_total{route=\"/healthz\",method=\"GET\",status=\"200\"} ",
		"decnet_http_seconds_count{route=\"/healthz\"} ",
		"\ndecnet_journal_seq ",
		"\ndecnet_journal_rows ",
		"\ndecnet_bus_connected 0\n",
		"decnet_bus_messages_total{direction=\"in\"} ",
		"\ndecnet_bus_dropped_total ",
		"\ndecnet_identities 0\n",
		"\ndecnet_store_queue_depth ",
		"\ndecnet_store_seconds_count ",
		"decnet_limit_hits_total{limit=\"body\"} ",
		"decnet_limit_hits_total{limit=\"users\"} 0\n",
	};
	struct world *w = *state;
	struct answer *a = world_get(w->metrics_port, "/metrics");

	assert_int_equal(a->status, 200);
	assert_true(answer_has_header(a, "Content-Type: text/plain; version=0.0.4"));
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strstr(a->body, names[i]))
			fail_msg("%s", names[i]);
	assert_int_equal(world_get(w->metrics_port, "/healthz")->status, 404);
	assert_int_equal(world_get(w->port, "/metrics")->status, 404);
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
	world_stop(w);
	world_start(w);
	assert_int_equal(world_call(w, "GET", "/config", w->admin, NULL)->status, 200);
}

static void
says_no_secret_in_its_log(void **state)
{
	struct world *w = *state;
	const char *secrets[] = {w->admin,    w->viewer,    w->fresh,
				 WORLD_ADMIN, WORLD_VIEWER, WORLD_FIRST};
	char path[2048], *said = NULL;

	(void)snprintf(path, sizeof(path), "/healthz?token=%s&ticket=%.40s", w->admin, w->viewer);
	assert_int_equal(world_ask(w, "GET", path, NULL, NULL, NULL)->status, 200);
	assert_int_equal(file_read(w->log, 16 * 1024 * 1024, &said, NULL), 0);
	assert_non_null(strstr(said, "api.request"));
	for (size_t i = 0; i < ARRAY_LEN(secrets); i++)
		assert_null(strstr(said, secrets[i]));
	free(said);
}

static void
refuses_unusable_settings(void **state)
{
	struct world *w = *state;

	world_stop(w);
	world_refuses_to_start(w, "DECNET_JWT_SECRET", "too short");
	world_refuses_to_start(w, "DECNET_CORS_ORIGINS", "https://a.example,*");
	world_refuses_to_start(w, "DECNET_ADMIN_PASSWORD", "short");
	world_refuses_to_start(w, "DECNET_API_HOST", "192.0.2.1");
	world_refuses_to_start(w, "DECNET_METRICS_LISTEN", "192.0.2.1:9109");
	world_refuses_to_start(w, "DECNET_DB_URL", "sqlite:/nowhere/decnet.db");
	world_refuses_to_start(w, "DECNET_POOL", "10.0.0.1/8");
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
	world_start(w);
	assert_int_equal(file_read(w->log, 65536, &said, NULL), 0);
	at = strstr(said, "password ");
	assert_non_null(at);
	assert_int_equal(sscanf(at, "password %63s", password), 1);
	world_login(w, "admin", password, token);
	EXPECT(world_call(w, "GET", "/config", token, NULL), 403,
	       "Password change required before accessing this resource");
	free(said);
	world_stop(w);
	/* While must-change is set, a password of the settings replaces it. */
	(void)unlink(w->log);
	(void)setenv("DECNET_ADMIN_PASSWORD", WORLD_FIRST, 1);
	world_start(w);
	assert_int_equal(world_call(w, "GET", "/config", token, NULL)->status, 401);
	world_login(w, "admin", WORLD_FIRST, token);
	assert_int_equal(file_read(w->log, 65536, &said, NULL), 0);
	assert_null(strstr(said, "password"));
	free(said);
	world_stop(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(serves_what_is_open),
		cmocka_unit_test(answers_methods),
		cmocka_unit_test(shares_with_known_origins_only),
		cmocka_unit_test(tells_of_health),
		cmocka_unit_test(shows_metrics),
		cmocka_unit_test(keeps_its_secret),
		cmocka_unit_test(says_no_secret_in_its_log),
		cmocka_unit_test(refuses_unusable_settings),
		cmocka_unit_test(prints_a_password_once),
	};

	return cmocka_run_group_tests_name("api_process", tests, world_setup, world_teardown);
}
