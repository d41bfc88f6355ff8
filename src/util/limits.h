/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UTIL_LIMITS_H
#define UTIL_LIMITS_H

/* LIMIT_<NAME> for each row of limits.def. */

enum limit {
#define LIMIT(name, value, at) LIMIT_##name = (value),
#include "util/limits.def"
#undef LIMIT
};

#endif
