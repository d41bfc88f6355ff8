/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_STREAM_SPEC_H
#define API_STREAM_SPEC_H

/* What a stream carries (contract 3.1, 3.6, 3.7): read from the request, asked about every event.
 * Pure. */

#include <jansson.h>
#include <stdbool.h>

#include "api/api.h"
#include "api/router.h"
#include "store/log.h"
#include "stream/frame.h"
#include "stream/hub.h"
#include "util/id.h"
#include "util/sv.h"

#define STREAM_PATTERNS_MAX 16

struct stream_spec {
	enum hub_kind kind;
	char id[ID_UUID_SIZE];			/* topology or attacker; "" for other kinds */
	char *key;				/* streams with the same kind and key are one */
	struct sv pattern[STREAM_PATTERNS_MAX]; /* EVENTS; views into `key` */
	unsigned npatterns;
	struct log_filter filter; /* LOGS */
	/* ATTACKER, on the loop only: whose the attacker is after journal row `seq`. */
	char identity[ID_UUID_SIZE];
	int64_t seq;
};

/*
 * Read path and query. 0 and *ret_spec; or *res is the 404 or 422 and *ret_spec is NULL; or
 * -ENOMEM.
 */
int stream_spec_new(enum api_stream stream, const struct api_req *req, struct api_res *res,
		    struct stream_spec **ret_spec) A_NODISCARD;
void stream_spec_free(struct stream_spec *s);

/* An event on its way to viewers. */
struct stream_event {
	int64_t seq; /* 0: no journal row stands behind it */
	struct sv topic;
	uint64_t ts_ms;
	struct sv text;	 /* the payload */
	json_t *payload; /* the same, parsed when somebody asks (stream_event_payload) */
};

/* NULL when it cannot be parsed. */
const json_t *stream_event_payload(struct stream_event *ev);
void stream_event_fini(struct stream_event *ev);
/* Whether it belongs to the stream. For ATTACKER `identity` is followed (spec->identity or the
 * caller's own). */
bool stream_spec_carries(const struct stream_spec *s, struct stream_event *ev,
			 char identity[ID_UUID_SIZE]);
/* The topology an event is about, or "": the second token, or the payload's topology_id. */
struct sv stream_event_topology(struct stream_event *ev);
/* The frame; that of a topology's deletion ends streams of kind TOPOLOGY. As frame_new_event. */
int stream_event_frame(const struct stream_event *ev, bool full_name,
		       struct frame **ret_frame) A_NODISCARD;
/* Whether a family (first token) is among the patterns of an EVENTS stream. */
bool stream_spec_family(const struct stream_spec *s, const char *family);
/* The literal second token of pattern i if its family is topology; else p is NULL. */
struct sv stream_spec_topology(const struct stream_spec *s, unsigned i);

#endif
