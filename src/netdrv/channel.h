/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETDRV_CHANNEL_H
#define NETDRV_CHANNEL_H

/*
 * The driver's end of the control channel (decoy/control.h): numbered requests, their answers, a
 * deadline for each. The socket pair outlives both processes, so a request may be read by the
 * decoy's next life and an answer by ours; numbers begin anew at random.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/attr.h"
#include "util/err.h"
#include "util/loop.h"

/* At the ceiling a call fails with -EBUSY. */
#define CHANNEL_CALLS_MAX   65536
#define CHANNEL_DEADLINE_MS 10000

struct channel;

/* The answers of one request: r 0 and a message for each (the last one has `final`), or r < 0 and a
 * text. */
typedef void channel_answer_fn(void *user, int r, const json_t *message, bool final,
			       const char *why);
typedef void channel_started_fn(void *user, const json_t *message);

/* Takes the descriptor over. 0 or a negative errno. */
int channel_new(struct loop *l, int own_fd, channel_started_fn *on_started, void *user,
		struct channel **ret_channel, struct err *e) A_NODISCARD;
/* What is under way ends with -ECANCELED. */
void channel_free(struct channel *c);
/* `request` is consumed and gets its "n"; fd (or -1) stays the caller's. The answer comes later,
 * also when this fails at once. */
void channel_call(struct channel *c, json_t *own_request, int fd, channel_answer_fn *fn,
		  void *user);

#endif
