/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RESOLVER_RECORD_H
#define RESOLVER_RECORD_H

/*
 * An observation as one line of JSON, the form in which recorded streams are kept: id, rev, ts,
 * last (epoch seconds), ip, ja3, ja4, hassh, banner (or null), payloads, c2, creds ([user,
 * password]), cmds (lists by kind), kd (16 hex digits or null). Pure.
 */

#include <jansson.h>
#include <stdint.h>

#include "identity/feature.h"
#include "util/attr.h"
#include "util/err.h"
#include "util/id.h"

#define RECORD_ID_MAX 128

struct record {
	json_t *json;
	const char *id; /* as given */
	uint8_t uuid[16];
	char uuid_text[ID_UUID_SIZE]; /* of the id itself if it ends in one, else made from it */
	int64_t rev;
	uint64_t ts_ms, last_ms;
	const char *ip;
	const char *tls;				    /* JA4, else JA3; NULL */
	const char *ja3, *ja4, *hassh, *banner, *keystroke; /* NULL: none */
};

/* 0 (record_fini it), -EBADMSG with the reason in *e, or -ENOMEM. */
int record_parse(struct sv line, struct record *ret, struct err *e) A_NODISCARD;
void record_fini(struct record *r);
/* Its keys; `secret` as for identity_hash. */
void record_features(const struct record *r, const struct identity_secret *secret,
		     struct identity_features *ret);
uint64_t record_hash(const struct record *r, const struct identity_secret *secret);

#endif
