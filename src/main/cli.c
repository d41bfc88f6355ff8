/* SPDX-License-Identifier: Apache-2.0 */
/* decnet: the command line; `decnet up` is the supervisor. */
#include <signal.h>

#include "cli/command.h"

int
main(int argc, char **argv)
{
	(void)signal(SIGPIPE, SIG_IGN);
	return cli_main(argc, argv);
}
