/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UTIL_CLOCK_H
#define UTIL_CLOCK_H

/* Wall-clock time as the product shows it: `2026-01-31T08:15:00.250Z`, and as it is stored: Unix
 * milliseconds. */

#include <stdint.h>

#include "util/sv.h"

#define CLOCK_ISO_SIZE 25 /* 24 characters and the terminator */

uint64_t clock_unix_ms(void);
uint64_t clock_mono_ms(void);
void clock_iso(uint64_t unix_ms, char dst[CLOCK_ISO_SIZE]);
/*
 * ISO-8601: date, or date and time with `T` or a blank, optional seconds and fraction, optional
 * zone (`Z`, `±hh:mm`, `±hhmm`, `±hh`); without a zone it is UTC. 0 or -EBADMSG (malformed, no such
 * day, before 1970).
 */
int clock_parse_iso(struct sv s, uint64_t *ret_unix_ms);

#endif
