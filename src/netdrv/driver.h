/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETDRV_DRIVER_H
#define NETDRV_DRIVER_H

/*
 * What the mutator asks of a network: addresses for deckies and listening sockets in the hands of
 * the decoy process. Every request is answered later on the loop; several may be under way at once.
 * A driver keeps what it opened open through a restart of the decoy process.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "decoy/control.h"
#include "topology/model.h"
#include "util/attr.h"
#include "util/id.h"

#define NETDRV_ADDRESS_SIZE 46
/* Control channels: to the decoys of connections, and to those of datagrams. */
#define NETDRV_CHANNELS	    2

/* One listening socket that a running decky has. */
struct netdrv_listener {
	/* <topology>/<decky uuid>/<service>/<port>, with /udp behind it for datagrams */
	char id[CONTROL_LISTENER_MAX + 1];
	char topology_id[ID_UUID_SIZE];
	char decky_uuid[ID_UUID_SIZE];
	char decky[65];
	char service[65];
	char archetype[65]; /* "" when it has none */
	uint16_t port;	    /* the service's own */
	bool udp;	    /* a socket of datagrams */
	json_t *config;	    /* object, owned */
};

/* 0 (or a count), or a negative errno and a text for people. */
typedef void netdrv_done_fn(void *user, int r, const char *why);
/* The ids that the decoy process has open; r < 0: the decoy did not answer. */
typedef void netdrv_list_fn(void *user, int r, const char *const *ids, size_t n);
/* The decoy process has (re-)started and was handed every listener again; or it is gone. */
typedef void netdrv_state_fn(void *user, bool up);

/* Whether the store knows a topology of this id that may hold something. */
typedef bool netdrv_known_fn(void *user, const char *topology_id);

struct netdrv;

struct netdrv_ops {
	const char *name; /* "loopback", "netns" */
	void (*free)(struct netdrv *d);
	/*
	 * Bring the network of a topology to what it wants (NULL: nothing of it is to be left):
	 * LANs, deckies, addresses, routes. Done tells how much had to be changed. A failure may
	 * leave a part; going back is the same call with what was before. NULL: the driver has no
	 * networks.
	 */
	void (*network)(struct netdrv *d, const char *topology_id, const struct topo *wanted,
			netdrv_done_fn *done, void *user);
	/* The process id of the driver's privileged half, if it has lately given an answer, else 0;
	 * and ask it for the next one. NULL: the driver has none. */
	int64_t (*helper)(struct netdrv *d);
	/* Begin to remove the network of a topology that is not known, if there is one; to be
	 * called after each list. NULL without networks. */
	void (*orphans)(struct netdrv *d, netdrv_known_fn *known, void *user);
	/*
	 * assign, adopt and release are NULL where a decky has the addresses of its LANs.
	 * The address of a decky, the one it has or the lowest free one. 0, -EADDRNOTAVAIL when
	 * none is left, -ENOMEM.
	 */
	int (*assign)(struct netdrv *d, const char *decky_uuid, char dst[NETDRV_ADDRESS_SIZE]);
	/* Take over an assignment that the store remembers. 0, -EADDRINUSE when another decky has
	 * it, -EINVAL. */
	int (*adopt)(struct netdrv *d, const char *decky_uuid, const char *address);
	void (*release)(struct netdrv *d, const char *decky_uuid);
	/* The port that a service's port becomes on that address. */
	uint16_t (*port)(const struct netdrv *d, uint16_t service_port);
	/* Open is done when the decoy serves it; opening what is open is done at once. The listener
	 * is copied. */
	void (*open)(struct netdrv *d, const struct netdrv_listener *l, netdrv_done_fn *done,
		     void *user);
	/*
	 * Take over a listener that the decoy process has from our former life; the driver has no
	 * descriptor of it until that process restarts. Of one that is open here the description is
	 * replaced, for its next start. 0, -ENOMEM.
	 */
	int (*learn)(struct netdrv *d, const struct netdrv_listener *l);
	/* Closing what is not open is done, too. */
	void (*close)(struct netdrv *d, const char *id, netdrv_done_fn *done, void *user);
	void (*list)(struct netdrv *d, netdrv_list_fn *done, void *user);
	/* Whether this driver has the listener open. */
	bool (*has)(const struct netdrv *d, const char *id);
};

/* First member of each driver. */
struct netdrv {
	const struct netdrv_ops *ops;
};

/* Copy with a reference to the config; 0 or -ENOMEM. */
int netdrv_listener_copy(const struct netdrv_listener *src,
			 struct netdrv_listener *dst) A_NODISCARD;
/* Whether nothing of it differs. */
bool netdrv_listener_same(const struct netdrv_listener *a, const struct netdrv_listener *b);
void netdrv_listener_fini(struct netdrv_listener *l);
/* Close those of the descriptors that are not -1. */
void netdrv_close_channels(const int fds[NETDRV_CHANNELS]);

#endif
