/* SPDX-License-Identifier: Apache-2.0 */
/* `decnet services` and `decnet archetypes`: what a decky can be made of. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/rest.h"
#include "util/buf.h"
#include "util/json.h"

#define PATH_MAX_BYTES 1024u

static const char *
text_of(const json_t *object, const char *key)
{
	const char *text = json_get_text(object, key);

	return text ? text : "";
}

static void
print_ports(const json_t *ports, const char *suffix)
{
	const json_t *one;
	size_t i;

	json_array_foreach(ports, i, one)(void)
		printf(" %lld%s", (long long)json_integer_value(one), suffix);
}

static void
print_service(const json_t *s)
{
	(void)printf("%-16s %-14s", text_of(s, "name"),
		     json_is_true(json_object_get(s, "available")) ? "available" : "not available");
	print_ports(json_object_get(s, "tcp_ports"), "/tcp");
	print_ports(json_object_get(s, "udp_ports"), "/udp");
	(void)printf("\n");
}

static void
print_field(const json_t *f)
{
	const json_t *words = json_object_get(f, "enum"), *one;
	size_t i;

	(void)printf("  %-24s %-12s %s", text_of(f, "key"), text_of(f, "type"), text_of(f, "help"));
	json_array_foreach(words, i, one)(void)
		printf("%s%s", i ? ", " : " One of: ", json_string_value(one));
	(void)printf("\n");
}

static int
ask_schema(struct cli *c, struct rest_answer *ret)
{
	struct buf path;
	int code = CLI_FAILED;

	buf_init(&path, PATH_MAX_BYTES);
	if (buf_put(&path, SV("/topologies/services/")) < 0 ||
	    rest_put_escaped(&path, c->argv[0]) < 0 || buf_put(&path, SV("/schema")) < 0 ||
	    buf_putc(&path, '\0') < 0)
		(void)cli_fail(CLI_FAILED, "the name is too long");
	else
		code = rest_do(c, "GET", path.p, NULL, ret);
	buf_fini(&path);
	return code;
}

int
cmd_services(struct cli *c)
{
	struct rest_answer a = {0};
	const json_t *one;
	size_t i;
	int code = cli_options(c, NULL, 0, 0, 1);

	if (code != 0)
		return code;
	if (c->argc == 0) {
		code = rest_do(c, "GET", "/topologies/services", NULL, &a);
		json_array_foreach(json_object_get(a.json, "services"), i, one) if (!c->json)
			print_service(one);
	} else {
		code = ask_schema(c, &a);
		if (code == 0 && !c->json) {
			print_service(a.json);
			json_array_foreach(json_object_get(a.json, "fields"), i, one)
				print_field(one);
		}
	}
	rest_fini(&a);
	return code;
}

static void
print_archetype(const json_t *one)
{
	const json_t *s;
	size_t i;

	(void)printf("%-20s %-16s", text_of(one, "slug"), text_of(one, "nmap_os"));
	json_array_foreach(json_object_get(one, "services"), i, s)(void)
		printf("%s%s", i ? "," : "", json_string_value(s));
	(void)printf("  %s\n", text_of(one, "description"));
}

int
cmd_archetypes(struct cli *c)
{
	struct rest_answer a = {0};
	const json_t *one, *found = NULL;
	size_t i;
	bool json;
	int code = cli_options(c, NULL, 0, 0, 1);

	json = c->json;
	/* One of them has no route of its own; what is printed is cut out of the list. */
	if (c->argc > 0)
		c->json = false;
	if (code == 0)
		code = rest_do(c, "GET", "/topologies/archetypes", NULL, &a);
	json_array_foreach(json_object_get(a.json, "archetypes"), i, one)
	{
		if (c->argc > 0 && strcmp(text_of(one, "slug"), c->argv[0]) != 0)
			continue;
		found = one;
		if (!json)
			print_archetype(one);
	}
	if (code == 0 && c->argc > 0 && !found)
		code = cli_fail(CLI_NOT_FOUND, "no archetype is named '%s'", c->argv[0]);
	else if (code == 0 && c->argc > 0 && json)
		rest_print(found);
	rest_fini(&a);
	return code;
}
