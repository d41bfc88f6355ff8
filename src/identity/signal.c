/* SPDX-License-Identifier: Apache-2.0 */
/* Look-ups in the tables of signals, classes and common credentials. */
#include "identity/signal.h"

#include "util/attr.h"

static const struct {
	const char *name, *rollup;
	enum identity_class class;
	double confidence;
} primitives[IDENTITY_SIGNAL_COUNT] = {
#define SIGNAL(name, primitive, class, rollup, confidence)                                         \
	{primitive, rollup, IDENTITY_CLASS_##class, confidence},
#include "identity/signal.def"
#undef SIGNAL
};

static const struct {
	const char *word;
	double same, differs;
	unsigned holders;
} classes[IDENTITY_CLASS_COUNT] = {
#define CLASS(name, word, same, differs, holders) {word, same, differs, holders},
#include "identity/class.def"
#undef CLASS
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

enum identity_class
identity_primitive_class(enum identity_primitive p)
{
	return primitives[p].class;
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

const char *
identity_class_word(enum identity_class c)
{
	return classes[c].word;
}

unsigned
identity_class_holders(enum identity_class c)
{
	return classes[c].holders;
}

double
identity_class_same(enum identity_class c)
{
	return classes[c].same;
}

double
identity_class_differs(enum identity_class c)
{
	return classes[c].differs;
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
