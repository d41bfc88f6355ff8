/* SPDX-License-Identifier: Apache-2.0 */
/* `decnet topology …`: networks as a whole. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/mutate.h"
#include "cli/rest.h"
#include "util/buf.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/sv.h"

#define LOOK_MS	       100
#define PATH_MAX_BYTES 1024u

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
	struct buf path;
	size_t i;
	int code = cli_options(c, options, ARRAY_LEN(options), 0, 0);

	if (code != 0)
		return code;
	buf_init(&path, PATH_MAX_BYTES);
	if (buf_put(&path, SV("/topologies?limit=500")) < 0 ||
	    (status && rest_put_arg(&path, "status", status) < 0) || buf_putc(&path, '\0') < 0) {
		buf_fini(&path);
		return cli_usage(c, "too long", status);
	}
	code = rest_do(c, "GET", path.p, NULL, &a);
	buf_fini(&path);
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
	body = json_pack("{s:o}", "name", json_view(sv_from(c->argv[0])));
	if (host) {
		(void)json_object_set_new(body, "mode", json_string("agent"));
		(void)json_object_set_new(body, "target_host", json_view(sv_from(host)));
	}
	code = rest_do(c, "POST", "/topologies/blank", body, &a);
	json_decref(body);
	if (code == 0 && !c->json)
		(void)printf("%s\n", text_of(a.json, "id"));
	rest_fini(&a);
	return code;
}

int
cli_wait_seconds(struct cli *c, const char *wait, uint64_t *ret_seconds)
{
	*ret_seconds = CLI_WAIT_DEFAULT_S;
	if (wait && *wait && sv_u64(sv_from(wait), 86400, ret_seconds) < 0)
		return cli_usage(c, "not a number of seconds up to 86400", wait);
	return 0;
}

/* Look until the status is another than this word, at most so long. The exit code; the last word in
 * dst. */
static int
wait_while(struct cli *c, const char *path, const char *through, uint64_t seconds, char dst[32])
{
	uint64_t end = clock_mono_ms() + seconds * 1000;
	struct cli quiet = *c;

	quiet.json = false;
	for (;;) {
		struct rest_answer a = {0};
		int code = rest_do(&quiet, "GET", path, NULL, &a);

		if (code != 0)
			return code;
		(void)snprintf(dst, 32, "%s",
			       text_of(json_object_get(a.json, "topology"), "status"));
		rest_fini(&a);
		if (strcmp(dst, through) != 0)
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
	uint64_t seconds = 0;
	int code = cli_options(c, options, ARRAY_LEN(options), 1, 1);

	if (code == 0)
		code = cli_wait_seconds(c, wait, &seconds);
	if (code == 0)
		code = ask(c, "POST", tail, &a);
	if (code == 0 && wait) {
		(void)snprintf(path, sizeof(path), "/topologies/%s", text_of(a.json, "id"));
		code = wait_while(c, path, through, seconds, status);
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

int
cmd_topology_events(struct cli *c)
{
	uint64_t limit = 100;
	const struct cli_option options[] = {{"--limit", CLI_NUMBER, &limit}};
	struct rest_answer a = {0};
	const json_t *one;
	char tail[64];
	size_t i;
	int code = cli_options(c, options, ARRAY_LEN(options), 1, 1);

	(void)snprintf(tail, sizeof(tail), "/status-events?limit=%llu", (unsigned long long)limit);
	if (code == 0)
		code = ask(c, "GET", tail, &a);
	json_array_foreach(a.json, i, one) if (!c->json)(void)
		printf("%s  %-12s -> %-12s %s\n", text_of(one, "at"), text_of(one, "from_status"),
		       text_of(one, "to_status"),
		       json_get_text(one, "reason") ? json_get_text(one, "reason") : "");
	rest_fini(&a);
	return code;
}

/* What `topology create` was given, as texts. */
struct plan {
	const char *deckies, *services, *cross, *forward, *host;
	uint64_t depth, branching, seed;
};

/* A share of 1, as the generator takes it. 0, or the exit code. */
static int
put_share(struct cli *c, json_t *body, const char *key, const char *text)
{
	json_t *value = NULL;

	if (!text)
		return 0;
	if (json_parse(sv_from(text), &value, NULL) < 0 || !json_is_number(value)) {
		json_decref(value);
		return cli_usage(c, "not a number", text);
	}
	return json_object_set_new(body, key, value) < 0 ? CLI_FAILED : 0;
}

/* MIN-MAX, or one number for both. 0, or the exit code. */
static int
put_deckies(struct cli *c, json_t *body, const char *text)
{
	struct sv max = sv_from(text ? text : ""), min;
	uint64_t a, b;

	if (!text)
		return 0;
	min = sv_cut(&max, '-');
	if (!strchr(text, '-'))
		max = min;
	if (sv_u64(min, 1000, &a) < 0 || sv_u64(max, 1000, &b) < 0)
		return cli_usage(c, "expected MIN-MAX", text);
	(void)json_object_set_new(body, "deckies_per_lan_min", json_integer((json_int_t)a));
	(void)json_object_set_new(body, "deckies_per_lan_max", json_integer((json_int_t)b));
	return 0;
}

static int
make_body(struct cli *c, const struct plan *p, json_t *body)
{
	int code = put_deckies(c, body, p->deckies);

	(void)json_object_set_new(body, "depth", json_integer((json_int_t)p->depth));
	(void)json_object_set_new(body, "branching_factor", json_integer((json_int_t)p->branching));
	if (p->services) {
		(void)json_object_set_new(body, "services_explicit", cli_words(p->services));
		(void)json_object_set_new(body, "randomize_services", json_false());
	}
	if (p->seed != UINT64_MAX)
		(void)json_object_set_new(body, "seed", json_integer((json_int_t)p->seed));
	if (p->host) {
		(void)json_object_set_new(body, "mode", json_string("agent"));
		(void)json_object_set_new(body, "target_host", json_view(sv_from(p->host)));
	}
	if (code == 0)
		code = put_share(c, body, "cross_edge_probability", p->cross);
	if (code == 0)
		code = put_share(c, body, "bridge_forward_probability", p->forward);
	return code;
}

int
cmd_topology_create(struct cli *c)
{
	struct plan p = {.depth = UINT64_MAX, .branching = UINT64_MAX, .seed = UINT64_MAX};
	const struct cli_option options[] = {
		{"--depth", CLI_NUMBER, &p.depth},   {"--branching", CLI_NUMBER, &p.branching},
		{"--deckies", CLI_TEXT, &p.deckies}, {"--services", CLI_TEXT, &p.services},
		{"--seed", CLI_NUMBER, &p.seed},     {"--cross", CLI_TEXT, &p.cross},
		{"--forward", CLI_TEXT, &p.forward}, {"--host", CLI_TEXT, &p.host},
	};
	struct rest_answer a = {0};
	json_t *body;
	int code = cli_options(c, options, ARRAY_LEN(options), 1, 1);

	if (code != 0)
		return code;
	if (p.depth == UINT64_MAX || p.branching == UINT64_MAX)
		return cli_usage(c, "--depth and --branching are needed", NULL);
	body = json_pack("{s:o}", "name", json_view(sv_from(c->argv[0])));
	code = body ? make_body(c, &p, body) : CLI_FAILED;
	if (code == 0)
		code = rest_do(c, "POST", "/topologies", body, &a);
	json_decref(body);
	if (code == 0 && !c->json)
		(void)printf("%s\n", text_of(a.json, "id"));
	rest_fini(&a);
	return code;
}
