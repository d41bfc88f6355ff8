/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_FIELD_H
#define HTTP_FIELD_H

/* What single header fields may hold, whatever version of the protocol brought them. Pure. */

#include <stdbool.h>

#include "util/sv.h"

/*
 * Whether it names a server: a name of letters, digits, `-`, `_`, `~` and single dots, an IPv4
 * address, or an IPv6 address in brackets; then perhaps a colon and at most five digits. Stricter
 * than RFC 3986, 3.2.2: no escapes and no sub-delimiters, which no name in use has. The empty text
 * is none.
 */
bool http_host_valid(struct sv host);
/* Whether a request may have it only once: two recipients could each obey another one. Any case. */
bool http_field_single(struct sv name);

#endif
