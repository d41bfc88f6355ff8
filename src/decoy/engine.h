/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECOY_ENGINE_H
#define DECOY_ENGINE_H

/*
 * The decoy process's core: listening sockets that were handed over, the sessions on them, and
 * their limits. It knows no protocol; services (service.h) know nothing else.
 */

#include "util/attr.h"
#include "util/err.h"
#include "util/loop.h"

struct engine;

/* Takes both descriptors over: the control channel and the capture channel. Says `started` on the
 * control channel. 0 or a negative errno. */
int engine_new(struct loop *l, int own_control_fd, int own_capture_fd, struct engine **ret_engine,
	       struct err *e) A_NODISCARD;
/* End every session (their last captures are sent) and close everything. */
void engine_free(struct engine *g);

#endif
