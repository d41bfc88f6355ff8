/* SPDX-License-Identifier: Apache-2.0 */
/* `decnet version`. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/command.h"
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

int
cmd_version(struct cli *c)
{
	int r = cli_options(c, NULL, 0, 0, 0);
	json_t *o;
	char *text;

	if (r != 0)
		return r;
	if (!c->json) {
		(void)printf("decnet %s (%s, %s)\n", DECNET_VERSION, COMPILER, FLAVOUR);
		return CLI_OK;
	}
	o = json_pack("{s:s,s:s,s:s}", "version", DECNET_VERSION, "compiler", COMPILER, "build",
		      FLAVOUR);
	text = json_text(o);
	(void)printf("%s\n", text ? text : "{}");
	free(text);
	json_decref(o);
	return CLI_OK;
}
