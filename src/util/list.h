/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UTIL_LIST_H
#define UTIL_LIST_H

/* An intrusive doubly linked ring. The head and every node are struct list; an unlinked node points
 * at itself. */

#include <stdbool.h>

#include "util/attr.h"

struct list {
	struct list *prev, *next;
};

static inline void
list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool
list_empty(const struct list *head)
{
	return head->next == head;
}

/* Append before the head, so at the end. */
static inline void
list_append(struct list *head, struct list *node)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

/* Unlinking an unlinked node does nothing. */
static inline void
list_unlink(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

/* All nodes of one head go to another, which is empty or not initialised. */
static inline void
list_move(struct list *from, struct list *to)
{
	list_init(to);
	while (!list_empty(from)) {
		struct list *first = from->next;

		list_unlink(first);
		list_append(to, first);
	}
}

/* Walk; the node in hand may be unlinked and freed inside. */
#define LIST_FOR(it, head)                                                                         \
	for (struct list *it = (head)->next, *it##_next_ = it->next; it != (head);                 \
	     it = it##_next_, it##_next_ = it->next)

#endif
