/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UTIL_JSON_H
#define UTIL_JSON_H

/* jansson with our rules: strict input, compact output in insertion order, times as text. */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/attr.h"
#include "util/err.h"
#include "util/sv.h"

#define JSON_DEPTH_MAX	32
/* Numbers from here on are not told apart. */
#define JSON_NUMBER_END 9e307

/*
 * Parse a whole text: UTF-8, one value, no duplicate keys, no NUL escapes in keys, nesting of at
 * most JSON_DEPTH_MAX. An integer beyond 64 bits is a real, and a number beyond JSON_NUMBER_END is
 * that one. 0 and *ret_value (a new reference), -EBADMSG with the place in `e`, -ENOMEM.
 */
int json_parse(struct sv text, json_t **ret_value, struct err *e) A_NODISCARD;
/* Whether it is a number below JSON_NUMBER_END. */
bool json_is_finite(const json_t *value);
/* Compact text, keys in insertion order, numbers with at most 15 digits (0.1 stays 0.1), heap,
 * terminated; NULL without memory. */
char *json_text(const json_t *value);
/* A time as the contract shows it; 0 is null. Never NULL but without memory. */
json_t *json_time(uint64_t unix_ms);
/* A text, or null for NULL. Bytes that are not UTF-8 are replaced by U+FFFD. */
json_t *json_text_or_null(const char *text);
json_t *json_view(struct sv bytes);
/* The member as text, or NULL when it is missing or of another type. */
const char *json_get_text(const json_t *object, const char *key);
/* Parse our own stored text (a row's JSON column); `fallback` is "[]" or "{}", used when the text
 * is NULL or broken. */
json_t *json_stored(const char *text, const char *fallback);

#endif
