/* SPDX-License-Identifier: Apache-2.0 */
/* A pattern and a subject, parted by a blank: the matcher agrees with a plain definition by tokens.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bus/topic.h"

#define TEXT_MAX 600

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static unsigned
split(struct sv s, struct sv *tokens)
{
	unsigned count = 0;

	for (;;) {
		size_t dot = sv_find(s, '.');

		if (count == BUS_TOKENS_MAX)
			return count + 1;
		tokens[count++] = (struct sv){s.p, dot};
		if (dot == s.n)
			return count;
		s = sv_drop(s, dot + 1);
	}
}

static bool
reference(struct sv pattern, struct sv subject)
{
	struct sv p[BUS_TOKENS_MAX], s[BUS_TOKENS_MAX];
	unsigned np = split(pattern, p), ns = split(subject, s);

	for (unsigned i = 0; i < np; i++) {
		if (sv_eq(p[i], SV(">")))
			return ns > i;
		if (i >= ns || (!sv_eq(p[i], SV("*")) && !sv_eq(p[i], s[i])))
			return false;
	}
	return np == ns;
}

static void
check_names(struct sv subject)
{
	char name[BUS_SUBJECT_MAX + 1];
	struct sv family = bus_topic_family(subject), type = bus_topic_type(subject);

	if (family.n == 0 || family.n + type.n > subject.n)
		abort();
	if (bus_topic_event_name(subject, name) != 0 || name[0] == '\0')
		abort();
	(void)bus_topic_find(subject);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sv subject = {(const char *)data, n < TEXT_MAX ? n : TEXT_MAX}, pattern;

	pattern = sv_cut(&subject, ' ');
	if (!bus_subject_valid(pattern, true) && bus_subject_valid(pattern, false))
		abort();
	if (bus_token_valid(pattern) && !bus_subject_valid(pattern, false))
		abort();
	if (!bus_subject_valid(subject, false))
		return 0;
	check_names(subject);
	if (bus_subject_valid(pattern, true) &&
	    bus_subject_match(pattern, subject) != reference(pattern, subject))
		abort();
	return 0;
}
