/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_MUTATE_H
#define CLI_MUTATE_H

/* What the commands of topologies and of their changes share. */

#include <jansson.h>
#include <stdint.h>

#include "cli/command.h"
#include "util/attr.h"

#define CLI_WAIT_DEFAULT_S 60

/* The seconds that --wait asks for (`wait` as CLI_MAYBE gives it; NULL and "" are the default). 0,
 * or CLI_USAGE, explained. */
int cli_wait_seconds(struct cli *c, const char *wait, uint64_t *ret_seconds) A_NODISCARD;
/* `a,b` as a JSON list of texts, a new reference; an empty text is an empty list. NULL without
 * memory. */
json_t *cli_words(const char *text);

#endif
