/* SPDX-License-Identifier: Apache-2.0 */
/* A queue under a mutex, and an eventfd that is rung when it stops being empty. */
#include "util/inbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct inbox {
	pthread_mutex_t lock;
	struct inbox_item *first, **last;
	struct loop_wake wake;
};

/* What is posted meanwhile waits for the next turn, so that nobody can keep the loop here. */
void
inbox_run(struct inbox *b)
{
	struct inbox_item *item, *next;

	(void)pthread_mutex_lock(&b->lock);
	item = b->first;
	b->first = NULL;
	b->last = &b->first;
	(void)pthread_mutex_unlock(&b->lock);
	for (; item; item = next) {
		next = item->next;
		item->fn(item);
	}
}

static void
on_wake(struct loop_wake *w)
{
	inbox_run(w->user);
}

int
inbox_new(struct inbox **ret_inbox, struct err *e)
{
	struct inbox *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return err_set(e, -ENOMEM, "out of memory");
	b->last = &b->first;
	r = loop_wake_open(&b->wake);
	if (r < 0) {
		free(b);
		return err_set(e, r, "cannot make an eventfd: %s", strerror(-r));
	}
	(void)pthread_mutex_init(&b->lock, NULL);
	*ret_inbox = b;
	return 0;
}

int
inbox_serve(struct inbox *b, struct loop *l)
{
	return loop_wake_serve(l, &b->wake, on_wake, b);
}

int
inbox_fd(const struct inbox *b)
{
	return b->wake.fd;
}

void
inbox_post(struct inbox *b, struct inbox_item *item)
{
	bool first;

	item->next = NULL;
	(void)pthread_mutex_lock(&b->lock);
	first = !b->first;
	*b->last = item;
	b->last = &item->next;
	/* Under the lock: once the item can be taken its function may lead to the inbox's end. */
	if (first)
		loop_wake_ring(&b->wake);
	(void)pthread_mutex_unlock(&b->lock);
}

void
inbox_leave(struct inbox *b)
{
	loop_io_clear(&b->wake.io);
}

void
inbox_free(struct inbox *b)
{
	if (!b)
		return;
	loop_wake_fini(&b->wake);
	(void)pthread_mutex_destroy(&b->lock);
	free(b);
}
