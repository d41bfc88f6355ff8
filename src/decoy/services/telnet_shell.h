/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECOY_SERVICES_TELNET_SHELL_H
#define DECOY_SERVICES_TELNET_SHELL_H

/* A shell that is a table: it knows what a small Debian server would answer, and runs nothing.
 * Pure. */

#include <stdbool.h>

#include "decoy/service.h"

struct telnet_config {
	char password[256], user[256], user_password[256], hostname[256];
};

struct shell {
	bool root;
	char cwd[128];
	char home[80];
	const char *user;     /* in the configuration */
	const char *hostname; /* in the configuration or the engine's */
	const char *someone;  /* the ordinary user, whoever we are; in the configuration */
};

void shell_init(struct shell *sh, bool root, const struct telnet_config *c, const char *hostname);
/* The directory as the prompt shows it (`~` for home). */
const char *shell_shown_cwd(const struct shell *sh);
/* Run a line (`;`, `&&`, `||` and `|` part commands). 0, 1 (exit), -ENOBUFS. May set io->pause.
 */
int shell_run(struct shell *sh, struct decoy_io *io, struct sv line) A_NODISCARD;

#endif
