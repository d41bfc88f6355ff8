/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TERM_H
#define CLI_TERM_H

/* Text of others on the operator's terminal: what visitors of decoys and guests of the bus have
 * chosen must not be obeyed by it. */

#include "util/attr.h"
#include "util/buf.h"
#include "util/sv.h"

/*
 * Append the text with everything that a terminal obeys as \uXXXX, which is also how JSON writes
 * it: control characters but for tab and line feed (C0, DEL, C1 in UTF-8), marks that turn the
 * direction of writing, line separators of Unicode, and bytes that are no UTF-8. 0, -ENOBUFS,
 * -ENOMEM.
 */
int term_escape(struct sv text, struct buf *out) A_NODISCARD;
/* printf to standard output; escaped when that is a terminal, else to the byte. */
void term_printf(const char *fmt, ...) A_PRINTF(1, 2);

#endif
