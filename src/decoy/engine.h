/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECOY_ENGINE_H
#define DECOY_ENGINE_H

/* The decoy process but for its sandbox: listeners by order of the control channel, connections to
 * sessions, captures to the capture channel. */

#include <stdbool.h>

#include "decoy/session.h"
#include "util/attr.h"
#include "util/err.h"
#include "util/loop.h"

#define ENGINE_STOP_MS 1500 /* at most, for the last acknowledgements */

struct engine;

/* Both descriptors are taken over, also on failure. With `datagrams` it serves those and no
 * connections. 0 or a negative errno. */
int engine_new(struct loop *l, int own_capture_fd, int own_control_fd,
	       const struct session_limits *limits, bool datagrams, struct engine **ret,
	       struct err *e) A_NODISCARD;
/* Say `started` to the driver and hello to the resolver. 0 or -ENOMEM. */
int engine_start(struct engine *en) A_NODISCARD;
/* End every session, wait a moment for the resolver, then stop the loop. */
void engine_stop(struct engine *en);
void engine_free(struct engine *en);

#endif
