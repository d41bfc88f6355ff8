/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECOY_SERVICE_H
#define DECOY_SERVICE_H

/*
 * The plug-in contract of decoys: one protocol is a handful of pure functions over struct decoy_io.
 * They see no descriptor, no clock, no heap and no log, so they cannot open, wait, allocate or tell
 * anybody but through the two buffers. The engine owns sockets, limits and timers.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "decoy/capture.h"
#include "util/attr.h"
#include "util/buf.h"
#include "util/err.h"
#include "util/sv.h"

/* Captures of one call; a service makes a handful at most. */
#define DECOY_CAPTURES_MAX (4 * 65536)

enum decoy_pause {
#define DECOY_PAUSE(name) DECOY_PAUSE_##name,
#include "decoy/pause.def"
#undef DECOY_PAUSE
	DECOY_PAUSE_COUNT
};

/* Whom the service pretends to be; equal for all services of a decky. */
struct decoy_host {
	const char *hostname;
	const char *archetype; /* "" when not known */
	uint64_t seed;	       /* what does not change from day to day derives from it */
};

/* All that a service may touch. */
struct decoy_io {
	struct buf *out;      /* to the peer; full means -ENOBUFS */
	struct buf *captures; /* what the peer did; decoy_capture() fills it */
	uint64_t now_ms;      /* Unix milliseconds */
	const struct decoy_host *host;
	const void *config; /* the service's own config struct */
	struct sv peer_ip;
	uint16_t peer_port, port; /* port: the service's own one, whatever the socket is bound to */
	enum decoy_pause pause;	  /* set by the service: the output appears after this wait */
	uint32_t idle_ms;	  /* set by the service: from now on instead of its own idle_ms */
	bool datagram; /* the input is one whole datagram; pause and idle_ms have no effect */
};

enum decoy_transport { DECOY_TCP = 1, DECOY_UDP = 2 };

struct decoy_latency {
	uint32_t min_ms, max_ms;
};

/*
 * One protocol. `input` looks at the front of `in` and sets *ret_used to what it is done with (0:
 * it needs more). It handles one unit a call and answers the same however the bytes are cut. 0: go
 * on; 1: the talk is over; -EBADMSG, -EMSGSIZE: the peer is wrong; -ENOBUFS: no room for the
 * answer. What is in `out` is sent in each case. A datagram is shown whole and once; what is left
 * of it is dropped, and a need for more is a malformed one.
 */
struct decoy_service {
	const char *name;
	unsigned transports; /* of enum decoy_transport */
	uint32_t idle_ms;    /* without a unit of input */
	uint32_t life_ms;    /* in all */
	size_t config_size;
	size_t state_size; /* the engine allocates both, zeroed */
	size_t in_max;	   /* a unit that does not fit ends the session */
	size_t out_max;	   /* no call adds more than half of it */
	struct decoy_latency latency[DECOY_PAUSE_COUNT];
	/* The object of the catalogue's fields, already validated; NULL is the empty one. Views
	 * into it stay good for the life of the config. 0, -EINVAL. */
	int (*configure)(void *config, const json_t *object, struct err *e);
	/* The peer is there. May be NULL. Results as for input. */
	int (*start)(void *state, struct decoy_io *io);
	int (*input)(void *state, struct decoy_io *io, struct sv in, size_t *ret_used);
	/* The last word, for captures only; called once, at any moment. May be NULL. */
	void (*stop)(void *state, struct decoy_io *io);
};

/* All services, by name. */
extern const struct decoy_service *const decoy_services[];
extern const size_t decoy_services_count;

/* NULL when there is none. */
const struct decoy_service *decoy_service_find(const char *name);

/*
 * Tell what the peer did. Values that are too long together are cut. 0, -ENOBUFS, -ENOMEM. In the
 * buffer it is a frame of decoy/capture.h with type and fields only.
 */
int decoy_capture(struct decoy_io *io, enum capture_type type, const struct capture_field *fields,
		  unsigned n) A_NODISCARD;

#define DECOY_CAPTURE(io, type, ...)                                                               \
	decoy_capture((io), (type), (const struct capture_field[]){__VA_ARGS__},                   \
		      sizeof((const struct capture_field[]){__VA_ARGS__}) /                        \
			      sizeof(struct capture_field))

/* Members of a config object: the text or number, or what it is by default. */
struct sv decoy_config_text(const json_t *object, const char *key, const char *fallback);
int64_t decoy_config_int(const json_t *object, const char *key, int64_t fallback);

#endif
