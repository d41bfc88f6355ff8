/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECOY_SERVICE_H
#define DECOY_SERVICE_H

/*
 * The plug-in contract of a decoy service. A service is pure: it sees the bytes of its peer and
 * struct decoy_io, and has no descriptor, clock, heap or log. It executes, resolves, opens and
 * connects to nothing on behalf of a peer. services.def is the table of all.
 */

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "decoy/capture.h"
#include "util/buf.h"
#include "util/sv.h"

/* All that a service may touch. */
struct decoy_io {
	struct buf *out;	      /* to the peer; full is -ENOBUFS */
	struct buf *captures;	      /* frames; only decoy_capture writes here */
	const struct capture *common; /* what all captures of the session have */
	uint64_t *next_no;
	uint64_t now_ms;      /* Unix milliseconds */
	const char *hostname; /* whom we pretend to be */
	uint64_t seed;	      /* the same decky always looks the same */
	uint16_t port;	      /* the service's own port */
	uint32_t delay_ms;    /* set it to have `out` sent only after this time; no input is given
				 until then */
};

/*
 * One protocol. Its configuration and its state are fixed-size and made by the engine, zeroed.
 * `input` looks at the front of `in` and sets *ret_used to what it is done with: 0 go on (0 used:
 * more bytes are needed), 1 the talk is over once `out` is sent, -EBADMSG (not the protocol),
 * -EMSGSIZE, -ENOBUFS (ends it).
 */
struct decoy_service {
	const char *name;
	uint32_t idle_ms;
	size_t config_size, state_size;
	size_t in_max, out_max;
	/* From the checked configuration object of contract 5.7; may be NULL. 0 or a negative
	 * errno. */
	int (*configure)(void *config, const json_t *object);
	int (*start)(void *state, const void *config, struct decoy_io *io);
	int (*input)(void *state, const void *config, struct decoy_io *io, struct sv in,
		     size_t *ret_used);
	/* The last word before `disconnect`; may be NULL. Nothing that it writes to `out` is sent.
	 */
	void (*end)(void *state, const void *config, struct decoy_io *io);
};

extern const struct decoy_service *const decoy_services[];
extern const size_t decoy_services_count;
/* NULL when there is none. */
const struct decoy_service *decoy_service_find(const char *name);

/* Record what the peer did: at most CAPTURE_FIELDS_MAX fields; values are cut so that the frame
 * fits. 0, -ENOBUFS, -ENOMEM. */
int decoy_capture(struct decoy_io *io, enum capture_type type, const struct capture_field *fields,
		  unsigned n) A_NODISCARD;

/* A number of this decky: the same for the same seed and purpose, 0 <= x < below. */
uint64_t decoy_number(uint64_t seed, uint64_t purpose, uint64_t below);
/* When the decky seems to have been started: 2 to 90 days ago. */
uint64_t decoy_boot_ms(const struct decoy_io *io);

#endif
