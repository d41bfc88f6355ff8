/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UTIL_KV_H
#define UTIL_KV_H

/* Typed, escaped fields of log lines. */

#include <stdbool.h>
#include <stdint.h>

#include "util/buf.h"
#include "util/sv.h"

enum kv_type { KV_TYPE_END, KV_TYPE_TEXT, KV_TYPE_INT, KV_TYPE_UINT };

struct kv {
	const char *key;
	enum kv_type type;
	struct sv text;
	int64_t i;
	uint64_t u;
};

#define KV_S(k, cstr) ((struct kv){.key = (k), .type = KV_TYPE_TEXT, .text = sv_from(cstr)})
#define KV_V(k, view) ((struct kv){.key = (k), .type = KV_TYPE_TEXT, .text = (view)})
#define KV_I(k, num)  ((struct kv){.key = (k), .type = KV_TYPE_INT, .i = (num)})
#define KV_U(k, num)  ((struct kv){.key = (k), .type = KV_TYPE_UINT, .u = (num)})
#define KV_END	      ((struct kv){.type = KV_TYPE_END})

/*
 * Append ` key=value` for each field. Texts that hold anything but plain printable characters are
 * quoted, and every control byte, quote and byte over 0x7e in them is escaped (\n, \xNN), so a line
 * stays a line. 0, -ENOBUFS, -ENOMEM.
 */
int kv_put_text(struct buf *b, const struct kv *fields) A_NODISCARD;
/* Append `,"key":value` for each field; bytes above 0x7e become U+FFFD. */
int kv_put_json(struct buf *b, const struct kv *fields) A_NODISCARD;

#endif
