/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_USER_H
#define API_USER_H

/* What a user name and a password may be. Pure. */

#include <stdbool.h>

#include "util/password.h"
#include "util/sv.h"

/* 12..128 bytes. */
bool user_password_good(struct sv password);
/* 1..64 characters of UTF-8, no control characters, no outer blanks. */
bool user_name_good(struct sv name);

#endif
