/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUS_TOPIC_H
#define BUS_TOPIC_H

/* Subjects, patterns and the table of our topics (contract 4.3 and 4.5). Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/attr.h"
#include "util/sv.h"

#define BUS_SUBJECT_MAX 255
#define BUS_TOKENS_MAX	16

enum bus_topic {
#define TOPIC(name, family, variable, tail, journal, viewer_route) BUS_TOPIC_##name,
#include "bus/topics.def"
#undef TOPIC
	BUS_TOPIC_COUNT
};

/* Whether it is a subject (without a wildcard token), or with `pattern` a pattern (`*` one token,
 * `>` the rest). */
bool bus_subject_valid(struct sv subject, bool pattern);
/* Both valid. Linear. */
bool bus_subject_match(struct sv pattern, struct sv subject);
/* For tables of subjects and tokens; without the seed its values cannot be foreseen. */
uint64_t bus_hash(uint64_t seed, struct sv text);
/* Whether it may stand as the variable segment of one of our topics. */
bool bus_token_valid(struct sv token);

/* Write `family[.variable].tail`, terminated. 0, -EINVAL (bad or missing variable), -ENOBUFS. */
int bus_topic_build(enum bus_topic t, const char *variable,
		    char dst[BUS_SUBJECT_MAX + 1]) A_NODISCARD;
/* The row a topic belongs to, or BUS_TOPIC_COUNT. */
enum bus_topic bus_topic_find(struct sv topic);
/* First token. */
struct sv bus_topic_family(struct sv topic);
/* Without its family and its variable token: `mutation.applied`, `state`, `observation.linked`,
 * `session.ended`, `health`. */
struct sv bus_topic_type(struct sv topic);
/* The event name on a stream of its family (contract 3.3): `mutation.applied`, `decky.state`,
 * `formed`; any other topic whole. */
int bus_topic_event_name(struct sv topic, char dst[BUS_SUBJECT_MAX + 1]) A_NODISCARD;
/* Whether a journal row stands behind every event of this topic. */
bool bus_topic_journaled(enum bus_topic t);
/* The route that shows a viewer the same, below the API's root, with {} for keys; "" when there is
 * none. */
const char *bus_topic_route(enum bus_topic t);

#endif
