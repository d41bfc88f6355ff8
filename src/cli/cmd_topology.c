/* SPDX-License-Identifier: Apache-2.0 */
/* `decnet topology …` and `decnet mutate`: networks and their changes. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/rest.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/sv.h"

#define WAIT_DEFAULT_S 60
#define LOOK_MS	       100

static const char *
text_of(const json_t *object, const char *key)
{
	const char *text = json_get_text(object, key);

	return text ? text : "-";
}

int
cmd_topology_list(struct cli *c)
{
	const char *status = NULL;
	const struct cli_option options[] = {{"--status", CLI_TEXT, &status}};
	struct rest_answer a = {0};
	const json_t *one;
	char path[128];
	size_t i;
	int code = cli_options(c, options, ARRAY_LEN(options), 0, 0);

	if (code != 0)
		return code;
	(void)snprintf(path, sizeof(path), "/topologies?limit=500%s%.32s", status ? "&status=" : "",
		       status ? status : "");
	code = rest_do(c, "GET", path, NULL, &a);
	json_array_foreach(json_object_get(a.json, "data"), i, one) if (!c->json)(void)
		printf("%s  %-12s v%-5lld %s\n", text_of(one, "id"), text_of(one, "status"),
		       (long long)json_integer_value(json_object_get(one, "version")),
		       text_of(one, "name"));
	rest_fini(&a);
	return code;
}

static void
print_deckies(const json_t *detail)
{
	const json_t *d, *e;
	size_t i, k;

	json_array_foreach(json_object_get(detail, "deckies"), i, d)
	{
		(void)printf("  decky %-20s %-12s %s\n", text_of(d, "name"), text_of(d, "state"),
			     text_of(d, "ip"));
		json_array_foreach(json_object_get(d, "endpoints"), k, e)(void)
			printf("    %-8s %s:%lld\n", text_of(e, "service"), text_of(e, "address"),
			       (long long)json_integer_value(json_object_get(e, "port")));
	}
}

/* Commands of the form `topology <verb> T`: the path's tail. 0 and the answer, or the exit code. */
static int
ask(struct cli *c, const char *method, const char *tail, struct rest_answer *ret)
{
	char id[37], path[128];
	int code = rest_topology_id(c, c->argv[0], id);

	if (code != 0)
		return code;
	(void)snprintf(path, sizeof(path), "/topologies/%s%s", id, tail);
	return rest_do(c, method, path, NULL, ret);
}

int
cmd_topology_show(struct cli *c)
{
	struct rest_answer a = {0};
	const json_t *one, *t;
	size_t i;
	int code = cli_options(c, NULL, 0, 1, 1);

	if (code == 0)
		code = ask(c, "GET", "", &a);
	if (code == 0 && !c->json) {
		t = json_object_get(a.json, "topology");
		(void)printf("%s  %s  version %lld\n", text_of(t, "name"), text_of(t, "status"),
			     (long long)json_integer_value(json_object_get(t, "version")));
		json_array_foreach(json_object_get(a.json, "lans"), i, one)(void)
			printf("  LAN   %-20s %s%s\n", text_of(one, "name"), text_of(one, "subnet"),
			       json_is_true(json_object_get(one, "is_dmz")) ? "  DMZ" : "");
		print_deckies(a.json);
	}
	rest_fini(&a);
	return code;
}

int
cmd_topology_issues(struct cli *c)
{
	struct rest_answer a = {0};
	const json_t *one;
	size_t i;
	int code = cli_options(c, NULL, 0, 1, 1);

	if (code == 0)
		code = ask(c, "GET", "/issues", &a);
	json_array_foreach(json_object_get(a.json, "issues"), i, one) if (!c->json)(void)
		printf("%-8s %-22s %s\n", text_of(one, "severity"), text_of(one, "code"),
		       text_of(one, "message"));
	rest_fini(&a);
	return code;
}

int
cmd_topology_blank(struct cli *c)
{
	const char *host = NULL;
	const struct cli_option options[] = {{"--host", CLI_TEXT, &host}};
	struct rest_answer a = {0};
	json_t *body;
	int code = cli_options(c, options, ARRAY_LEN(options), 1, 1);

	if (code != 0)
		return code;
	body = json_pack("{s:s}", "name", c->argv[0]);
	if (host) {
		(void)json_object_set_new(body, "mode", json_string("agent"));
		(void)json_object_set_new(body, "target_host", json_string(host));
	}
	code = rest_do(c, "POST", "/topologies/blank", body, &a);
	json_decref(body);
	if (code == 0 && !c->json)
		(void)printf("%s\n", text_of(a.json, "id"));
	rest_fini(&a);
	return code;
}

/* Seconds of --wait: none is 0. */
static uint64_t
wait_seconds(const char *wait)
{
	uint64_t seconds = WAIT_DEFAULT_S;

	if (!wait)
		return 0;
	if (*wait && sv_u64(sv_from(wait), 86400, &seconds) < 0)
		seconds = WAIT_DEFAULT_S;
	return seconds;
}

/* Look until the member `key` of GET `path` is none of the two words, at most so long. The exit
 * code; the last word in dst. */
static int
wait_while(struct cli *c, const char *path, const char *key, const char *one, const char *other,
	   uint64_t seconds, char dst[32])
{
	uint64_t end = clock_mono_ms() + seconds * 1000;
	struct cli quiet = *c;

	quiet.json = false;
	for (;;) {
		struct rest_answer a = {0};
		const json_t *row;
		int code = rest_do(&quiet, "GET", path, NULL, &a);

		if (code != 0)
			return code;
		row = json_object_get(a.json, "topology")
			      ? json_object_get(a.json, "topology")
			      : json_array_get(json_object_get(a.json, "data"), 0);
		(void)snprintf(dst, 32, "%s", text_of(row, key));
		rest_fini(&a);
		if (strcmp(dst, one) != 0 && strcmp(dst, other) != 0)
			return CLI_OK;
		if (clock_mono_ms() >= end)
			return cli_fail(CLI_FAILED, "still %s after %llu s", dst,
					(unsigned long long)seconds);
		(void)poll(NULL, 0, LOOK_MS);
	}
}

static int
transition(struct cli *c, const char *tail, const char *through, const char *goal)
{
	const char *wait = NULL;
	const struct cli_option options[] = {{"--wait", CLI_MAYBE, &wait}};
	struct rest_answer a = {0};
	char path[128], status[32] = "";
	int code = cli_options(c, options, ARRAY_LEN(options), 1, 1);

	if (code == 0)
		code = ask(c, "POST", tail, &a);
	if (code == 0 && wait) {
		(void)snprintf(path, sizeof(path), "/topologies/%s", text_of(a.json, "id"));
		code = wait_while(c, path, "status", through, through, wait_seconds(wait), status);
		if (code == 0 && strcmp(status, goal) != 0)
			code = cli_fail(CLI_FAILED, "it is %s now", status);
	}
	if (code == 0 && !c->json)
		(void)printf("%s\n", *status ? status : text_of(a.json, "status"));
	rest_fini(&a);
	return code;
}

int
cmd_topology_deploy(struct cli *c)
{
	return transition(c, "/deploy", "deploying", "active");
}

int
cmd_topology_teardown(struct cli *c)
{
	return transition(c, "/teardown", "tearing_down", "torn_down");
}

int
cmd_topology_delete(struct cli *c)
{
	struct rest_answer a = {0};
	int code = cli_options(c, NULL, 0, 1, 1);

	if (code == 0)
		code = ask(c, "DELETE", "", &a);
	if (code == 0 && !c->json)
		(void)printf("deleted\n");
	rest_fini(&a);
	return code;
}

/* KEY=VALUE: a value that is JSON is taken as such, `services=a,b` as a list, any other as text. */
static int
add_pair(json_t *payload, const char *pair)
{
	const char *eq = strchr(pair, '=');
	char key[65];
	json_t *value = NULL;

	if (!eq || eq == pair || (size_t)(eq - pair) >= sizeof(key))
		return -EINVAL;
	memcpy(key, pair, (size_t)(eq - pair));
	key[eq - pair] = 0;
	if (strcmp(key, "services") == 0 && eq[1] != '[') {
		struct sv rest = sv_from(eq + 1);

		value = json_array();
		while (rest.n)
			(void)json_array_append_new(value, json_view(sv_cut(&rest, ',')));
	} else if (json_parse(sv_from(eq + 1), &value, NULL) < 0) {
		value = json_string(eq + 1);
	}
	return json_object_set_new(payload, key, value);
}

static int
read_payload(struct cli *c, const char *text, json_t **ret)
{
	char from_input[65536];
	struct err e = {0};
	size_t n;

	if (strcmp(text, "-") == 0) {
		n = fread(from_input, 1, sizeof(from_input) - 1, stdin);
		from_input[n] = 0;
		text = from_input;
	}
	if (json_parse(sv_from(text), ret, &e) < 0 || !json_is_object(*ret))
		return cli_usage(c, "the payload is no JSON object", err_text(&e));
	return 0;
}

static int
print_queue(struct cli *c, const char *path)
{
	struct rest_answer a = {0};
	const json_t *one;
	size_t i;
	int code = rest_do(c, "GET", path, NULL, &a);

	json_array_foreach(json_object_get(a.json, "data"), i, one) if (!c->json)(void) printf(
		"%s  %-10s %-14s %s\n", text_of(one, "id"), text_of(one, "state"),
		text_of(one, "op"),
		json_is_string(json_object_get(one, "reason")) ? text_of(one, "reason") : "");
	rest_fini(&a);
	return code;
}

static int
enqueue(struct cli *c, const char *id, const char *given, uint64_t expected, const char *wait)
{
	json_t *payload = NULL, *body;
	struct rest_answer a = {0};
	char path[160], state[32] = "";
	int code = given ? read_payload(c, given, &payload) : 0;

	if (!given)
		payload = json_object();
	for (int i = 2; code == 0 && i < c->argc; i++)
		if (add_pair(payload, c->argv[i]) < 0)
			code = cli_usage(c, "expected KEY=VALUE", c->argv[i]);
	if (code != 0) {
		json_decref(payload);
		return code;
	}
	body = json_pack("{s:s, s:o}", "op", c->argv[1], "payload", payload);
	if (expected != UINT64_MAX)
		(void)json_object_set_new(body, "expected_version",
					  json_integer((json_int_t)expected));
	(void)snprintf(path, sizeof(path), "/topologies/%s/mutations", id);
	code = rest_do(c, "POST", path, body, &a);
	json_decref(body);
	if (code == 0 && wait) {
		/* Ours is the newest, or behind newer ones: the queue is in order, so the newest
		 * ends last. */
		(void)snprintf(path, sizeof(path), "/topologies/%s/mutations?limit=1", id);
		code = wait_while(c, path, "state", "pending", "applying", wait_seconds(wait),
				  state);
		if (code == 0 && strcmp(state, "applied") != 0)
			code = cli_fail(CLI_FAILED, "it is %s: decnet mutate %s --list", state,
					c->argv[0]);
	}
	if (code == 0 && !c->json)
		(void)printf("%s  %s\n", text_of(a.json, "mutation_id"),
			     *state ? state : text_of(a.json, "state"));
	rest_fini(&a);
	return code;
}

int
cmd_mutate(struct cli *c)
{
	const char *payload = NULL, *wait = NULL, *cancel = NULL, *state = NULL;
	uint64_t expected = UINT64_MAX, limit = 50;
	bool list = false;
	const struct cli_option options[] = {
		{"--payload", CLI_TEXT, &payload}, {"--expected-version", CLI_NUMBER, &expected},
		{"--wait", CLI_MAYBE, &wait},	   {"--list", CLI_FLAG, &list},
		{"--cancel", CLI_TEXT, &cancel},   {"--state", CLI_TEXT, &state},
		{"--limit", CLI_NUMBER, &limit}};
	struct rest_answer a = {0};
	char id[37], path[192];
	int code = cli_options(c, options, ARRAY_LEN(options), 1, 64);

	if (code != 0)
		return code;
	if (!list && !cancel && c->argc < 2)
		return cli_usage(c, "an operation is expected", c->argv[0]);
	code = rest_topology_id(c, c->argv[0], id);
	if (code != 0)
		return code;
	if (list) {
		(void)snprintf(path, sizeof(path), "/topologies/%s/mutations?limit=%llu%s%.32s", id,
			       (unsigned long long)limit, state ? "&state=" : "",
			       state ? state : "");
		return print_queue(c, path);
	}
	if (!cancel)
		return enqueue(c, id, payload, expected, wait);
	(void)snprintf(path, sizeof(path), "/topologies/%s/mutations/%.64s", id, cancel);
	code = rest_do(c, "DELETE", path, NULL, &a);
	if (code == 0 && !c->json)
		(void)printf("cancelled\n");
	rest_fini(&a);
	return code;
}
