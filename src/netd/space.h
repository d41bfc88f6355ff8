/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETD_SPACE_H
#define NETD_SPACE_H

/*
 * Network namespaces: made, set up, kept by a name in a directory (a bind mount, so that they
 * outlive this process), entered and left. One of them, the fabric, is where the thread is at home
 * and where the bridges are. New ones come from a small stock that is filled while nothing else is
 * to be done.
 */

#include <stdbool.h>

#include "netd/request.h"
#include "netd/setting.h"
#include "util/attr.h"
#include "util/err.h"

#define SPACE_STOCK	32
#define SPACE_PATH_SIZE 1024
#define SPACE_FABRIC	"fabric"

struct space {
	char dir[SPACE_PATH_SIZE - 128];
	int home; /* the fabric */
	int stock[SPACE_STOCK];
	unsigned nstock;
	struct settings settings;
	bool own_clock; /* the time stamps of deckies are made their own on the way out */
};

/* `<topology>.<decky>`: the name of a decky's namespace. */
#define SPACE_NAME_SIZE (2 * ID_UUID_SIZE)
void space_name(const struct netd_id *topology, const struct netd_id *decky,
		char dst[SPACE_NAME_SIZE]);

/* Find or make the fabric in `dir`, which is made if it is missing, and enter it. 0 or a negative
 * errno; -EPERM: the privilege is missing. */
int space_open(struct space *s, const char *dir, struct err *e) A_NODISCARD;
/* Leaves everything as it is. */
void space_close(struct space *s);
/* Take all names away, the fabric's, too: what is not in use ends with this process. */
void space_unname(struct space *s);
/* After space_unname: forget the fabric and the stock; without links and sockets they end. */
void space_remove(struct space *s);

/* A namespace with the persona's settings under that name, the one that is there or a new one; its
 * descriptor, or a negative errno. */
int space_make(struct space *s, const char *name, enum netd_persona persona,
	       struct err *e) A_NODISCARD;
/* The descriptor of the namespace of that name; -ENOENT. */
int space_find(const struct space *s, const char *name) A_NODISCARD;
/* Whether there is a namespace of that name. */
bool space_there(const struct space *s, const char *name);
/* How many names there are, the fabric's not counted, whatever they hold; or a negative errno. */
int space_count(const struct space *s) A_NODISCARD;
/* Take its name away. What is still in use of it lives on without one. */
void space_drop(const struct space *s, const char *name);
typedef void space_each_fn(void *user, const char *name);
/* Every name but the fabric's; names that hold nothing any more are removed. 0 or a negative errno.
 */
int space_each(const struct space *s, space_each_fn *fn, void *user, struct err *e) A_NODISCARD;
/* One more for the stock. True when it is full, or when none can be made now. */
bool space_fill(struct space *s);

/* Go into a namespace and come back home; between the two nothing may return early. */
int space_enter(int ns_fd) A_NODISCARD;
void space_home(const struct space *s);
/* Write a setting of the namespace that the thread is in, `net/ipv4/ip_forward`. 0 or a negative
 * errno. */
int space_set(struct space *s, const char *key, const char *value, struct err *e) A_NODISCARD;

#endif
