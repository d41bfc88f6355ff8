/* SPDX-License-Identifier: Apache-2.0 */
/* Look-ups in the tables of signals, classes and common credentials. */
#include "identity/signal.h"

#include "util/attr.h"

static const struct {
	const char *name, *rollup;
	double confidence;
} primitives[IDENTITY_SIGNAL_COUNT] = {
#define SIGNAL(name, primitive, rollup, confidence) {primitive, rollup, confidence},
#include "identity/signal.def"
#undef SIGNAL
};

static const struct {
	struct sv username, password;
} common[] = {
#define COMMON(username, password)                                                                 \
	{{username, sizeof(username) - 1}, {password, sizeof(password) - 1}},
#include "identity/common.def"
#undef COMMON
};

enum identity_primitive
identity_primitive_find(struct sv name)
{
	unsigned i = 0;

	while (i < IDENTITY_SIGNAL_COUNT && !sv_eq(name, sv_from(primitives[i].name)))
		i++;
	return (enum identity_primitive)i;
}

const char *
identity_primitive_name(enum identity_primitive p)
{
	return primitives[p].name;
}

const char *
identity_primitive_rollup(enum identity_primitive p)
{
	return *primitives[p].rollup ? primitives[p].rollup : NULL;
}

double
identity_primitive_confidence(enum identity_primitive p)
{
	return primitives[p].confidence;
}

bool
identity_credential_common(struct sv username, struct sv password)
{
	for (size_t i = 0; i < ARRAY_LEN(common); i++)
		if (sv_eq_ci(username, common[i].username) &&
		    sv_eq_ci(password, common[i].password))
			return true;
	return false;
}
