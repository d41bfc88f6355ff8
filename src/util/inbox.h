/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UTIL_INBOX_H
#define UTIL_INBOX_H

/*
 * What other threads want done on a loop's thread, in the order in which they asked. Items belong
 * to whoever posts them, so the inbox has no ceiling of its own: each sender has as many items as
 * it may have on the way.
 */

#include "util/attr.h"
#include "util/err.h"
#include "util/loop.h"

struct inbox;
struct inbox_item;

/* Runs on the loop's thread; may free the object that embeds the item, or post it on. */
typedef void inbox_fn(struct inbox_item *item);

struct inbox_item {
	inbox_fn *fn;
	struct inbox_item *next; /* the inbox's */
};

/*
 * Makes the inbox and its descriptor; items may be posted from here on. A thread that gives itself
 * a descriptor table of its own inherits the descriptor, so this comes first. 0 or a negative
 * errno.
 */
int inbox_new(struct inbox **ret_inbox, struct err *e) A_NODISCARD;
/* Thread of the loop: run items on it. 0 or a negative errno. */
int inbox_serve(struct inbox *b, struct loop *l) A_NODISCARD;
/* The descriptor to keep. */
int inbox_fd(const struct inbox *b);
/* Any thread. The item must not be in an inbox already. */
void inbox_post(struct inbox *b, struct inbox_item *item);
/* Thread of the loop: run what is there now, before the loop would. */
void inbox_run(struct inbox *b);
/* Thread of the loop: it is served no longer; what is posted waits for inbox_run. */
void inbox_leave(struct inbox *b);
/* Nobody posts any more and nobody serves it. Items that are left are forgotten. NULL is fine. */
void inbox_free(struct inbox *b);

#endif
