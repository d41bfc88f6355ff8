/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UTIL_ID_H
#define UTIL_ID_H

/* Identifiers: UUID version 7 (RFC 9562), random hex, and how they are checked. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/sv.h"

#define ID_UUID_SIZE  37 /* 36 characters and the terminator */
#define ID_HEX32_SIZE 33 /* 32 characters and the terminator */

/* Random bytes from the kernel; never fails on Linux (aborts if it did). */
void id_random(void *dst, size_t n);
/* A lower-case version 7 UUID of this moment; text order is age order, also within one millisecond
 * of one thread. */
void id_uuid7(char dst[ID_UUID_SIZE]);
/* 16 random bytes as 32 lower-case hex digits. */
void id_hex32(char dst[ID_HEX32_SIZE]);
/* Whether it is a lower-case dashed UUID text of any version. */
bool id_is_uuid(struct sv s);
/* 16 bytes as a lower-case dashed UUID text. */
void id_uuid_text(const uint8_t raw[16], char dst[ID_UUID_SIZE]);
/* The 16 bytes of a text that id_is_uuid accepts. 0 or -EBADMSG. */
int id_uuid_bytes(struct sv s, uint8_t dst[16]);
/* n bytes as 2n lower-case hex digits and a terminator. */
void id_hex(const void *src, size_t n, char *dst);

#endif
