/* SPDX-License-Identifier: Apache-2.0 */
/* `decnet version`. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/command.h"
#include "topology/catalog.h"
#include "util/json.h"

#if defined(__clang__)
#define COMPILER __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif

#if defined(__SANITIZE_ADDRESS__)
#define FLAVOUR "address sanitizer"
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FLAVOUR "address sanitizer"
#endif
#endif
#ifndef FLAVOUR
#define FLAVOUR "release"
#endif

/* Names of the services that deckies of this build can serve, a new reference. */
static json_t *
available(void)
{
	json_t *names = json_array();
	const json_t *one;
	size_t i;

	json_array_foreach(catalog_services(), i, one)
	{
		const char *name = json_get_text(one, "name");

		if (name && catalog_available(name))
			(void)json_array_append_new(names, json_string(name));
	}
	return names;
}

int
cmd_version(struct cli *c)
{
	int r = cli_options(c, NULL, 0, 0, 0);
	json_t *o, *names;
	char *text;
	size_t i;

	if (r != 0)
		return r;
	if (!c->json) {
		names = available();
		(void)printf("decnet %s (%s, %s)\nservices:", DECNET_VERSION, COMPILER, FLAVOUR);
		for (i = 0; i < json_array_size(names); i++)
			(void)printf(" %s", json_string_value(json_array_get(names, i)));
		(void)printf("\n");
		json_decref(names);
		return CLI_OK;
	}
	o = json_pack("{s:s,s:s,s:s,s:o}", "version", DECNET_VERSION, "compiler", COMPILER, "build",
		      FLAVOUR, "services", available());
	text = json_text(o);
	(void)printf("%s\n", text ? text : "{}");
	free(text);
	json_decref(o);
	return CLI_OK;
}
