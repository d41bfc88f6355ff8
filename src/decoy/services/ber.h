/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECOY_SERVICES_BER_H
#define DECOY_SERVICES_BER_H

/* The part of BER (ITU-T X.690) that SNMP uses: one-byte tags, definite lengths. Pure. */

#include <stddef.h>
#include <stdint.h>

#include "util/attr.h"
#include "util/sv.h"

#define BER_INTEGER  0x02
#define BER_OCTETS   0x04
#define BER_NULL     0x05
#define BER_OID	     0x06
#define BER_SEQUENCE 0x30

#define BER_ARCS_MAX 48

struct ber_oid {
	uint32_t arc[BER_ARCS_MAX];
	unsigned n;
};

/* Cut one value from the front of *in. 1 with its tag and contents; 0: the rest of it is missing;
 * -EBADMSG. */
int ber_get(struct sv *in, uint8_t *ret_tag, struct sv *ret_value);
/* The same where it must be whole and have this tag. 0 or -EBADMSG. */
int ber_expect(struct sv *in, uint8_t tag, struct sv *ret_value) A_NODISCARD;
/* A signed integer of at most 8 bytes. 0 or -EBADMSG. */
int ber_integer(struct sv *in, int64_t *ret) A_NODISCARD;
/* The arcs of an object identifier. 0; -EBADMSG, also for more than BER_ARCS_MAX arcs. */
int ber_arcs(struct sv value, struct ber_oid *ret) A_NODISCARD;
/* As memcmp. */
int ber_oid_cmp(const struct ber_oid *a, const struct ber_oid *b);
/* Arcs of a dotted text that is known to be right. */
struct ber_oid ber_oid_of(const char *dotted);

/* A message is written from its end to its front, so that every length is known when it is due. */
struct ber_out {
	unsigned char *base;
	size_t at;  /* what lies from here on is written; begins as the size */
	int failed; /* it did not fit; nothing is written any more */
};

void ber_put_bytes(struct ber_out *o, struct sv bytes);
/* Tag and length in front of everything from `at` up to `end`. */
void ber_put_head(struct ber_out *o, uint8_t tag, size_t end);
void ber_put_octets(struct ber_out *o, uint8_t tag, struct sv bytes);
void ber_put_integer(struct ber_out *o, uint8_t tag, int64_t value);
void ber_put_oid(struct ber_out *o, const struct ber_oid *oid);

#endif
