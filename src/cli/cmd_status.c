/* SPDX-License-Identifier: Apache-2.0 */
/* `decnet status`: health, workers and topologies in one look. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/rest.h"
#include "util/json.h"

static const char *
text_of(const json_t *object, const char *key)
{
	const char *text = json_get_text(object, key);

	return text ? text : "-";
}

static void
print_health(const json_t *health)
{
	const json_t *components = json_object_get(health, "components"), *one;
	const char *name;

	(void)printf("health: %s\n", text_of(health, "status"));
	json_object_foreach((json_t *)(uintptr_t)components, name, one)
	{
		const char *detail = json_get_text(one, "detail");

		(void)printf("  %-10s %s%s%s\n", name, text_of(one, "status"), detail ? "  " : "",
			     detail ? detail : "");
	}
}

static void
print_workers(const json_t *answer)
{
	const json_t *workers = json_object_get(answer, "workers"), *one;
	size_t i;

	(void)printf("workers:\n");
	json_array_foreach(workers, i, one)
	{
		const json_t *since = json_object_get(one, "seconds_since");

		(void)printf("  %-10s %s", text_of(one, "name"), text_of(one, "status"));
		if (json_is_number(since))
			(void)printf("  heard %.0f s ago", json_number_value(since));
		(void)printf("\n");
	}
}

static void
print_topologies(const json_t *answer)
{
	const json_t *rows = json_object_get(answer, "data"), *one;
	size_t i;

	(void)printf("topologies: %lld\n",
		     (long long)json_integer_value(json_object_get(answer, "total")));
	json_array_foreach(rows, i, one)(void) printf("  %s  %-12s %s\n", text_of(one, "id"),
						      text_of(one, "status"), text_of(one, "name"));
}

int
cmd_status(struct cli *c)
{
	static const struct {
		const char *key, *path;
		void (*print)(const json_t *);
	} parts[] = {
		{"health", "/health", print_health},
		{"workers", "/workers", print_workers},
		{"topologies", "/topologies?limit=100", print_topologies},
	};
	json_t *all = json_object();
	int code = cli_options(c, NULL, 0, 0, 0);

	for (size_t i = 0; code == 0 && i < ARRAY_LEN(parts); i++) {
		struct rest_answer a = {0};
		struct err e = {0};
		/* An unhealthy suite answers 503 with all that it knows. */
		bool known;

		if (rest_call(c, "GET", parts[i].path, NULL, &a, &e) < 0) {
			code = cli_fail(CLI_UNREACHABLE, "%s", err_text(&e));
			break;
		}
		known = a.status == 200 || (i == 0 && json_object_get(a.json, "components"));
		if (!known)
			code = rest_refused(&a);
		else if (c->json)
			(void)json_object_set(all, parts[i].key, a.json);
		else
			parts[i].print(a.json);
		rest_fini(&a);
	}
	if (code == 0 && c->json) {
		char *text = json_text(all);

		(void)printf("%s\n", text ? text : "{}");
		free(text);
	}
	json_decref(all);
	return code;
}
