/* SPDX-License-Identifier: Apache-2.0 */
/* The table of roles and of what each may publish. */
#include "bus/role.h"

#include "bus/topic.h"

#define NAME_PREFIX "decnet-"
#define INBOX	    "_INBOX.>"

static const char *const words[BUS_ROLE_COUNT] = {
#define BUS_ROLE(name, word) [BUS_ROLE_##name] = word,
#define BUS_MAY(role, pattern)
#include "bus/roles.def"
#undef BUS_ROLE
#undef BUS_MAY
};

static const struct {
	enum bus_role role;
	struct sv pattern;
} grants[] = {
#define BUS_ROLE(name, word)
#define BUS_MAY(rl, pat) {BUS_ROLE_##rl, {pat, sizeof(pat) - 1}},
#include "bus/roles.def"
#undef BUS_ROLE
#undef BUS_MAY
};

const char *
bus_role_word(enum bus_role role)
{
	return words[role];
}

enum bus_role
bus_role_find(struct sv word)
{
	for (unsigned i = 0; i < BUS_ROLE_COUNT; i++)
		if (sv_eq(word, sv_from(words[i])))
			return (enum bus_role)i;
	return BUS_ROLE_COUNT;
}

enum bus_role
bus_role_of_name(struct sv name, unsigned granted)
{
	enum bus_role role = BUS_ROLE_COUNT;

	if (sv_starts(name, SV(NAME_PREFIX)))
		role = bus_role_find(sv_drop(name, sizeof(NAME_PREFIX) - 1));
	return role != BUS_ROLE_COUNT && (granted & BUS_ROLE_BIT(role)) ? role : BUS_ROLE_GUEST;
}

bool
bus_role_may(enum bus_role role, struct sv subject)
{
	if (bus_subject_match(SV(INBOX), subject))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(grants); i++)
		if (grants[i].role == role && bus_subject_match(grants[i].pattern, subject))
			return true;
	return false;
}
