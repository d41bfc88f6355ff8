/* SPDX-License-Identifier: Apache-2.0 */
/* `decnet mutate`: changes of a live topology, and its queue. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/mutate.h"
#include "cli/rest.h"
#include "topology/catalog.h"
#include "util/buf.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/limits.h"

#define LOOK_MS	       100
#define PATH_MAX_BYTES 2048u
#define PAGE	       500u

static const char *
text_of(const json_t *object, const char *key)
{
	const char *text = json_get_text(object, key);

	return text ? text : "-";
}

json_t *
cli_words(const char *text)
{
	struct sv rest = sv_from(text);
	json_t *list = json_array();

	while (rest.n)
		(void)json_array_append_new(list, json_view(sv_cut(&rest, ',')));
	return list;
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
	if (json_object_get(payload, key))
		return -EEXIST;
	if (strcmp(key, "services") == 0 && eq[1] != '[')
		value = cli_words(eq + 1);
	else if (json_parse(sv_from(eq + 1), &value, NULL) < 0)
		value = json_view(sv_from(eq + 1));
	return json_object_set_new(payload, key, value);
}

/* All of standard input, up to what the server takes; to be freed. NULL: said what is wrong. */
static char *
read_input(size_t *ret_n)
{
	char *text = malloc(LIMIT_BODY_BYTES + 1);

	if (!text) {
		(void)cli_fail(CLI_FAILED, "out of memory");
		return NULL;
	}
	*ret_n = fread(text, 1, LIMIT_BODY_BYTES + 1, stdin);
	if (*ret_n <= LIMIT_BODY_BYTES)
		return text;
	(void)cli_fail(CLI_FAILED, "the payload is longer than 1 MiB");
	free(text);
	return NULL;
}

static int
read_payload(struct cli *c, const char *text, json_t **ret)
{
	char *input = NULL;
	struct sv bytes = sv_from(text);
	struct err e = {0};
	int code = 0;

	if (strcmp(text, "-") == 0) {
		input = read_input(&bytes.n);
		if (!input)
			return CLI_FAILED;
		bytes.p = input;
	}
	if (json_parse(bytes, ret, &e) < 0 || !json_is_object(*ret))
		code = cli_usage(c, "the payload is no JSON object", *ret ? NULL : err_text(&e));
	free(input);
	return code;
}

/* The services of the archetype, where none are named. 0, or the exit code. */
static int
fill_services(struct cli *c, const char *op, json_t *payload)
{
	const char *slug = json_get_text(payload, "archetype");
	const json_t *all, *item;
	json_t *some;
	size_t i;

	if (strcmp(op, "add_decky") != 0 || !slug || json_object_get(payload, "services"))
		return 0;
	all = json_object_get(catalog_archetype(slug), "services");
	if (!all)
		return 0; /* the server says that it does not know the archetype */
	some = json_array();
	json_array_foreach(all, i, item)
	{
		const char *name = json_string_value(item);

		if (catalog_available(name))
			(void)json_array_append_new(some, json_string(name));
		else if (!c->json)
			(void)fprintf(stderr,
				      "decnet: service '%s' of %s is not available in this build\n",
				      name, slug);
	}
	return json_object_set_new(payload, "services", some) < 0 ? CLI_FAILED : 0;
}

/* The row of the queue with this id, a new reference, or NULL; the exit code. */
static int
find_mutation(struct cli *c, const char *topology, const char *id, json_t **ret_row)
{
	struct cli quiet = *c;
	uint64_t offset = 0, total = 1;

	quiet.json = false;
	*ret_row = NULL;
	for (; !*ret_row && offset < total; offset += PAGE) {
		struct rest_answer a = {0};
		json_t *row;
		char path[160];
		size_t i;
		int code;

		(void)snprintf(path, sizeof(path), "/topologies/%s/mutations?limit=%u&offset=%llu",
			       topology, PAGE, (unsigned long long)offset);
		code = rest_do(&quiet, "GET", path, NULL, &a);
		if (code != 0)
			return code;
		total = (uint64_t)json_integer_value(json_object_get(a.json, "total"));
		json_array_foreach(json_object_get(a.json, "data"), i, row)
		{
			if (!*ret_row && strcmp(text_of(row, "id"), id) == 0)
				*ret_row = json_incref(row);
		}
		rest_fini(&a);
	}
	return 0;
}

/* Look until it has ended, at most so long. The exit code. */
static int
wait_for(struct cli *c, const char *topology, const char *id, uint64_t seconds)
{
	uint64_t end = clock_mono_ms() + seconds * 1000;

	for (;;) {
		json_t *row = NULL;
		int code = find_mutation(c, topology, id, &row);
		const char *state = text_of(row, "state");
		bool open = strcmp(state, "pending") == 0 || strcmp(state, "applying") == 0;

		if (code == 0 && !row)
			code = cli_fail(CLI_NOT_FOUND, "mutation %s is gone", id);
		else if (code == 0 && open && clock_mono_ms() >= end)
			code = cli_fail(CLI_FAILED, "still %s after %llu s", state,
					(unsigned long long)seconds);
		else if (code == 0 && !open && strcmp(state, "applied") != 0)
			code = cli_fail(CLI_FAILED, "it is %s: %s", state, text_of(row, "reason"));
		else if (code == 0 && !open && !c->json)
			(void)printf("%s  %s\n", id, state);
		json_decref(row);
		if (code != 0 || !open)
			return code;
		(void)poll(NULL, 0, LOOK_MS);
	}
}

static int
enqueue(struct cli *c, const char *id, const char *given, uint64_t expected, const char *wait)
{
	json_t *payload = NULL, *body;
	struct rest_answer a = {0};
	uint64_t seconds = 0;
	char path[160], *mutation;
	int code = cli_wait_seconds(c, wait, &seconds);

	if (code == 0 && given)
		code = read_payload(c, given, &payload);
	else if (code == 0)
		payload = json_object();
	for (int i = 2; code == 0 && i < c->argc; i++) {
		int r = add_pair(payload, c->argv[i]);

		if (r < 0)
			code = cli_usage(c, r == -EEXIST ? "given twice" : "expected KEY=VALUE",
					 c->argv[i]);
	}
	if (code == 0)
		code = fill_services(c, c->argv[1], payload);
	if (code != 0) {
		json_decref(payload);
		return code;
	}
	body = json_pack("{s:o, s:o}", "op", json_view(sv_from(c->argv[1])), "payload", payload);
	if (expected != UINT64_MAX)
		(void)json_object_set_new(body, "expected_version",
					  json_integer((json_int_t)expected));
	(void)snprintf(path, sizeof(path), "/topologies/%s/mutations", id);
	code = rest_do(c, "POST", path, body, &a);
	json_decref(body);
	mutation = code == 0 ? strdup(text_of(a.json, "mutation_id")) : NULL;
	if (code == 0 && !wait && !c->json)
		(void)printf("%s  %s\n", mutation, text_of(a.json, "state"));
	rest_fini(&a);
	if (code == 0 && wait)
		code = mutation ? wait_for(c, id, mutation, seconds)
				: cli_fail(CLI_FAILED, "out of memory");
	free(mutation);
	return code;
}

/* A path below the topology's queue. 0, or the exit code. */
static int
put_path(struct cli *c, struct buf *path, const char *id, const char *segment)
{
	if (buf_printf(path, "/topologies/%s/mutations%s", id, segment ? "/" : "") < 0 ||
	    (segment && rest_put_escaped(path, segment) < 0))
		return cli_usage(c, "too long", segment);
	return 0;
}

static int
print_queue(struct cli *c, const char *id, const char *state, uint64_t limit)
{
	struct rest_answer a = {0};
	const json_t *one;
	struct buf path;
	char number[24];
	size_t i;
	int code;

	buf_init(&path, PATH_MAX_BYTES);
	(void)snprintf(number, sizeof(number), "%llu", (unsigned long long)limit);
	code = put_path(c, &path, id, NULL);
	if (code == 0 &&
	    (rest_put_arg(&path, "limit", number) < 0 ||
	     (state && rest_put_arg(&path, "state", state) < 0) || buf_putc(&path, '\0') < 0))
		code = cli_usage(c, "too long", state);
	if (code == 0)
		code = rest_do(c, "GET", path.p, NULL, &a);
	buf_fini(&path);
	json_array_foreach(json_object_get(a.json, "data"), i, one) if (!c->json)(void) printf(
		"%s  %-10s %-14s %s\n", text_of(one, "id"), text_of(one, "state"),
		text_of(one, "op"),
		json_is_string(json_object_get(one, "reason")) ? text_of(one, "reason") : "");
	rest_fini(&a);
	return code;
}

static int
cancel(struct cli *c, const char *id, const char *mutation)
{
	struct rest_answer a = {0};
	struct buf path;
	int code;

	if (!*mutation)
		return cli_usage(c, "--cancel wants the id of a mutation", NULL);
	buf_init(&path, PATH_MAX_BYTES);
	code = put_path(c, &path, id, mutation);
	if (code == 0 && buf_putc(&path, '\0') < 0)
		code = CLI_FAILED;
	if (code == 0)
		code = rest_do(c, "DELETE", path.p, NULL, &a);
	buf_fini(&path);
	if (code == 0 && !c->json)
		(void)printf("cancelled\n");
	rest_fini(&a);
	return code;
}

int
cmd_mutate(struct cli *c)
{
	const char *payload = NULL, *wait = NULL, *mutation = NULL, *state = NULL;
	uint64_t expected = UINT64_MAX, limit = UINT64_MAX;
	bool list = false, look;
	const struct cli_option options[] = {
		{"--payload", CLI_TEXT, &payload}, {"--expected-version", CLI_NUMBER, &expected},
		{"--wait", CLI_MAYBE, &wait},	   {"--list", CLI_FLAG, &list},
		{"--cancel", CLI_TEXT, &mutation}, {"--state", CLI_TEXT, &state},
		{"--limit", CLI_NUMBER, &limit}};
	char id[37];
	int code = cli_options(c, options, ARRAY_LEN(options), 1, 64);

	if (code != 0)
		return code;
	look = list || mutation;
	if (!look && c->argc < 2)
		return cli_usage(c, "an operation is expected", c->argv[0]);
	if (look &&
	    (c->argc > 1 || payload || wait || expected != UINT64_MAX || (list && mutation)))
		return cli_usage(c, "--list and --cancel stand alone", NULL);
	if (!list && (state || limit != UINT64_MAX))
		return cli_usage(c, "--state and --limit belong to --list", NULL);
	code = rest_topology_id(c, c->argv[0], id);
	if (code != 0)
		return code;
	if (list)
		return print_queue(c, id, state, limit == UINT64_MAX ? 50 : limit);
	return mutation ? cancel(c, id, mutation) : enqueue(c, id, payload, expected, wait);
}
