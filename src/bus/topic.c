/* SPDX-License-Identifier: Apache-2.0 */
/* Subjects, patterns and the table of our topics. Everything here is linear in the text and
 * allocates nothing. */
#include "bus/topic.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FAMILY_TOPOLOGY "topology"
#define FAMILY_DECKY	"decky"
#define FAMILY_SYSTEM	"system"

static const struct {
	const char *family;
	bool variable;
	const char *tail;
	bool journal;
	const char *viewer_route;
} topics[BUS_TOPIC_COUNT] = {
#define TOPIC(name, fam, var, tl, jrn, route) [BUS_TOPIC_##name] = {fam, var, tl, jrn, route},
#include "bus/topics.def"
#undef TOPIC
};

static bool
text_byte(unsigned char c)
{
	return c > ' ' && c != 0x7f;
}

bool
bus_subject_valid(struct sv subject, bool pattern)
{
	size_t tokens = 1, start = 0;

	if (subject.n == 0 || subject.n > BUS_SUBJECT_MAX)
		return false;
	for (size_t i = 0; i <= subject.n; i++) {
		if (i < subject.n && subject.p[i] != '.') {
			if (!text_byte((unsigned char)subject.p[i]))
				return false;
			continue;
		}
		if (i == start)
			return false;
		if (i - start == 1 && (subject.p[start] == '*' || subject.p[start] == '>'))
			if (!pattern || (subject.p[start] == '>' && i != subject.n))
				return false;
		if (i < subject.n && ++tokens > BUS_TOKENS_MAX)
			return false;
		start = i + 1;
	}
	return true;
}

bool
bus_subject_match(struct sv pattern, struct sv subject)
{
	while (pattern.n && subject.n) {
		struct sv p = sv_cut(&pattern, '.');
		struct sv s = sv_cut(&subject, '.');

		if (p.n == 1 && p.p[0] == '>')
			return true;
		if (!(p.n == 1 && p.p[0] == '*') && !sv_eq(p, s))
			return false;
	}
	return pattern.n == 0 && subject.n == 0;
}

uint64_t
bus_hash(uint64_t seed, struct sv text)
{
	uint64_t h = seed ^ (text.n * 0x9e3779b97f4a7c15u), word = 0;
	const char *p = text.p;
	size_t n = text.n;

	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&word, p, 8);
		h = (h ^ word) * 0xff51afd7ed558ccdu;
		h ^= h >> 32;
	}
	for (word = 0; n > 0; n--, p++)
		word = word << 8 | (unsigned char)*p;
	h = (h ^ word) * 0xff51afd7ed558ccdu;
	h ^= h >> 29;
	h *= seed | 1;
	return h ^ h >> 32;
}

bool
bus_token_valid(struct sv token)
{
	if (token.n == 0 || token.n > BUS_SUBJECT_MAX)
		return false;
	for (size_t i = 0; i < token.n; i++)
		if (!text_byte((unsigned char)token.p[i]) || token.p[i] == '.' ||
		    token.p[i] == '*' || token.p[i] == '>')
			return false;
	return true;
}

int
bus_topic_build(enum bus_topic t, const char *variable, char dst[BUS_SUBJECT_MAX + 1])
{
	int n;

	if ((unsigned)t >= BUS_TOPIC_COUNT)
		return -EINVAL;
	if (topics[t].variable) {
		if (!variable || !bus_token_valid(sv_from(variable)))
			return -EINVAL;
		n = snprintf(dst, BUS_SUBJECT_MAX + 1, "%s.%s.%s", topics[t].family, variable,
			     topics[t].tail);
	} else {
		n = snprintf(dst, BUS_SUBJECT_MAX + 1, "%s.%s", topics[t].family, topics[t].tail);
	}
	return n < 0 || n > BUS_SUBJECT_MAX ? -ENOBUFS : 0;
}

enum bus_topic
bus_topic_find(struct sv topic)
{
	struct sv tail = topic, family = sv_cut(&tail, '.'), short_tail = tail;
	struct sv variable = sv_cut(&short_tail, '.');
	enum bus_topic found = BUS_TOPIC_COUNT;

	for (unsigned t = 0; t < BUS_TOPIC_COUNT; t++) {
		if (!sv_eq(family, sv_from(topics[t].family)))
			continue;
		if (!topics[t].variable && sv_eq(tail, sv_from(topics[t].tail)))
			return (enum bus_topic)t;
		if (topics[t].variable && bus_token_valid(variable) &&
		    sv_eq(short_tail, sv_from(topics[t].tail)))
			found = (enum bus_topic)t;
	}
	return found;
}

struct sv
bus_topic_family(struct sv topic)
{
	return sv_cut(&topic, '.');
}

struct sv
bus_topic_type(struct sv topic)
{
	struct sv family = sv_cut(&topic, '.');

	if (sv_eq(family, SV(FAMILY_TOPOLOGY)) || sv_eq(family, SV(FAMILY_DECKY)) ||
	    (sv_eq(family, SV(FAMILY_SYSTEM)) && sv_find(topic, '.') < topic.n))
		(void)sv_cut(&topic, '.');
	return topic;
}

int
bus_topic_event_name(struct sv topic, char dst[BUS_SUBJECT_MAX + 1])
{
	struct sv family = bus_topic_family(topic), type = bus_topic_type(topic);
	int n;

	if (type.n == 0)
		return sv_copy(topic, dst, BUS_SUBJECT_MAX + 1);
	if (sv_eq(family, SV(FAMILY_DECKY))) {
		n = snprintf(dst, BUS_SUBJECT_MAX + 1, FAMILY_DECKY ".%.*s",
			     type.n > BUS_SUBJECT_MAX ? BUS_SUBJECT_MAX : (int)type.n, type.p);
		return n < 0 || n > BUS_SUBJECT_MAX ? -ENOBUFS : 0;
	}
	if (sv_eq(family, SV("identity")) || sv_eq(family, SV(FAMILY_TOPOLOGY)))
		return sv_copy(type, dst, BUS_SUBJECT_MAX + 1);
	return sv_copy(topic, dst, BUS_SUBJECT_MAX + 1);
}

bool
bus_topic_journaled(enum bus_topic t)
{
	return (unsigned)t < BUS_TOPIC_COUNT && topics[t].journal;
}

const char *
bus_topic_route(enum bus_topic t)
{
	return (unsigned)t < BUS_TOPIC_COUNT ? topics[t].viewer_route : "";
}
