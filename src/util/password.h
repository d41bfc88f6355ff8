/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UTIL_PASSWORD_H
#define UTIL_PASSWORD_H

/* How passwords are kept: argon2id, with a salt of their own, as one line of text. */

#include <stdbool.h>

#include "util/attr.h"
#include "util/sv.h"

#define PASSWORD_MIN	   12 /* bytes of UTF-8 */
#define PASSWORD_MAX	   128
#define PASSWORD_HASH_SIZE 160 /* the line and its terminator */

/* Long and short enough for a new password. */
bool password_good(struct sv password);
/* The line for a password; takes a tenth of a second, so never on a loop, and 64 MiB. 0, -ENOMEM,
 * or -EIO without randomness. */
int password_hash(struct sv password, char ret_hash[PASSWORD_HASH_SIZE]) A_NODISCARD;

#endif
