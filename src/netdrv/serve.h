/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETDRV_SERVE_H
#define NETDRV_SERVE_H

/*
 * Handing listening sockets to the decoy process, for any driver: which are open, duplicates of
 * them that outlive a restart of that process, and the control channel. Where a socket comes from
 * is the driver's matter.
 */

#include "netdrv/driver.h"
#include "util/err.h"
#include "util/loop.h"

struct serve;

/* fd: the listening socket, now the receiver's; or a negative errno, perhaps with a text. */
typedef void serve_bound_fn(void *user, int fd, const char *why);

struct serve_source {
	/* Bind the socket of a listener and answer, at once or later. */
	void (*bind)(void *owner, const struct netdrv_listener *l, serve_bound_fn *done,
		     void *user);
	/* The decoy process has (re-)started. */
	netdrv_state_fn *on_state;
	void *owner, *user; /* for bind; for on_state */
};

/* Takes the control channels' descriptors over; the second may be -1, then there are no datagrams.
 * 0 or a negative errno. */
int serve_new(struct loop *l, const int own_control_fds[NETDRV_CHANNELS],
	      const struct serve_source *source, struct serve **ret, struct err *e) A_NODISCARD;
/* Closes every socket that is held here. */
void serve_free(struct serve *s);

/* As the operations of the same names in netdrv/driver.h say. */
void serve_open(struct serve *s, const struct netdrv_listener *l, netdrv_done_fn *done, void *user);
int serve_learn(struct serve *s, const struct netdrv_listener *l) A_NODISCARD;
void serve_close(struct serve *s, const char *id, netdrv_done_fn *done, void *user);
void serve_list(struct serve *s, netdrv_list_fn *done, void *user);
/* Close every listener of a decky, whose sockets have become useless. */
void serve_forget(struct serve *s, const char *decky_uuid, netdrv_done_fn *done, void *user);
bool serve_has(const struct serve *s, const char *id);

#endif
