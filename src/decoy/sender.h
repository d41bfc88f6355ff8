/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECOY_SENDER_H
#define DECOY_SENDER_H

/*
 * The decoy's end of the capture channel: keeps every frame until it is acknowledged, sends again
 * what a new resolver asks for, and says when the ceiling of what may be kept is reached.
 */

#include <stdbool.h>
#include <stdint.h>

#include "decoy/capture.h"
#include "util/err.h"
#include "util/loop.h"

struct sender;

/* The ceiling was reached (full), or there is room again. */
typedef void sender_full_fn(void *user, bool full);

/* Takes the descriptor over. 0 or a negative errno. */
int sender_new(struct loop *l, int own_fd, uint64_t source, sender_full_fn *on_full, void *user,
	       struct sender **ret_sender, struct err *e) A_NODISCARD;
void sender_free(struct sender *s);
/* A buffer of whole frames, the last of them numbered last_no; its content is taken over and the
 * buffer is left empty. 0 or -ENOMEM (then the frames stay in the buffer). */
int sender_put(struct sender *s, struct buf *frames, uint64_t last_no) A_NODISCARD;
/* Say that the process lives. */
void sender_hello(struct sender *s, const struct capture_hello *hello);
bool sender_full(const struct sender *s);

#endif
