/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UTIL_SV_H
#define UTIL_SV_H

/*
 * A view of bytes that somebody else owns. Bytes from outside stay views until they are
 * validated; a view is not terminated and may hold any byte.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sv {
	const char *p;
	size_t n;
};

/* A view of a string literal. */
#define SV(lit) ((struct sv){"" lit, sizeof(lit) - 1})

/* A view of a C string; NULL is the empty view. */
struct sv sv_from(const char *text);
bool sv_eq(struct sv a, struct sv b);
/* ASCII letters compare without case. */
bool sv_eq_ci(struct sv a, struct sv b);
bool sv_starts(struct sv s, struct sv prefix);
bool sv_ends(struct sv s, struct sv suffix);
/* The view without its first n bytes; empty when it has fewer. */
struct sv sv_drop(struct sv s, size_t n);
/* Cut off and return what stands before the first `sep`; *s keeps what follows it. Without `sep`
 * all of *s. */
struct sv sv_cut(struct sv *s, char sep);
/* Without outer blanks and tabs. */
struct sv sv_trim(struct sv s);
/* Index of the byte, or s.n. */
size_t sv_find(struct sv s, char c);
/* Index of the first occurrence of `needle`, or SIZE_MAX. The empty needle is found at 0. */
size_t sv_search(struct sv s, struct sv needle);
/* Digits only, no sign, at least one, value <= max. 0, or -EBADMSG (not a number), -ERANGE. */
int sv_u64(struct sv s, uint64_t max, uint64_t *ret);
/* The value of a hexadecimal digit of either case, or -1. */
int sv_hex(char c);
/* Copy with a terminator. 0, -ENOBUFS when it does not fit, -EBADMSG when it holds a NUL. */
int sv_copy(struct sv s, char *dst, size_t dst_size);
/* A heap copy with a terminator, or NULL. */
char *sv_dup(struct sv s);
/* Whether the bytes are well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool sv_utf8(struct sv s);

#endif
