/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SUPERVISOR_H
#define CLI_SUPERVISOR_H

/* Starts the processes of the suite in order, restarts one that ends, stops them in order. */

#include <stdbool.h>

#include "util/attr.h"
#include "util/conf.h"
#include "util/err.h"
#include "util/loop.h"

struct supervisor;

struct supervisor_ops {
	/* Both are called from the loop only. Every process serves for the first time: */
	void (*up)(void *user);
	/* All have ended: 0 after supervisor_stop, else the negative errno and text of a start that
	 * failed (-EINVAL: unusable environment). */
	void (*ended)(void *user, int r, const struct err *e);
	void *user;
};

/*
 * Migrate the store, make the channels and begin to start the processes of `set` (bits of enum
 * process). Programs are looked for beside our own executable, then in the libexec directory.
 * Signals of children (SIGCHLD) must be given to supervisor_on_child. 0 or a negative errno.
 */
int supervisor_new(struct loop *l, const struct conf *conf, unsigned set,
		   const struct supervisor_ops *ops, struct supervisor **ret_supervisor,
		   struct err *e) A_NODISCARD;
/* Processes that still run are killed. NULL is fine. */
void supervisor_free(struct supervisor *s);
/* Stop all in order; a second call kills what is left. `ended` tells when it is done. */
void supervisor_stop(struct supervisor *s);
/*
 * A pipe to whoever started us and waits (lent; -1: there is none): what the server must say once,
 * and no log may keep, goes there instead of to standard error.
 */
void supervisor_set_notice(struct supervisor *s, int fd);
/* Let the server read certificate and key again. */
void supervisor_reload(struct supervisor *s);
/* A child has changed its state. */
void supervisor_on_child(struct supervisor *s);

#endif
