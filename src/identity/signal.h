/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IDENTITY_SIGNAL_H
#define IDENTITY_SIGNAL_H

/* The signals by which the same hands are recognised behind different addresses. Plain data, pure.
 */

#include <stdbool.h>
#include <stdint.h>

#include "util/sv.h"

enum identity_primitive {
#define SIGNAL(name, primitive, rollup, confidence) IDENTITY_SIGNAL_##name,
#include "identity/signal.def"
#undef SIGNAL
	IDENTITY_SIGNAL_COUNT
};

#define IDENTITY_VALUE_MAX 256 /* longest value of a signal, bytes */

/* The row of this primitive, or IDENTITY_SIGNAL_COUNT. */
enum identity_primitive identity_primitive_find(struct sv name);
const char *identity_primitive_name(enum identity_primitive p);
/* The list of the identity row that collects the value, or NULL. */
const char *identity_primitive_rollup(enum identity_primitive p);
/* How sure a decoy can be of such a value, 0..1. */
double identity_primitive_confidence(enum identity_primitive p);

/* Whether the pair is one that half the world tries: it tells nothing about hands. */
bool identity_credential_common(struct sv username, struct sv password);

#endif
