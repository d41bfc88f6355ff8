/* SPDX-License-Identifier: Apache-2.0 */
/* The rule set: what joins two observations, what speaks against it, who wins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "identity/rule.h"

#define T IDENTITY_CLASS_TLS
#define S IDENTITY_CLASS_SSH
#define P IDENTITY_CLASS_PAYLOAD
#define C IDENTITY_CLASS_C2
#define K IDENTITY_CLASS_CREDENTIAL

struct given {
	enum identity_class class;
	const char *slot, *value;
	bool common;
};

static struct identity_observation
observation(const char *uuid, const char *identity, const struct given *v)
{
	struct identity_observation o = {.uuid = uuid, .identity = identity};

	for (; v && v->slot; v++)
		o.signals[o.nsignals++] = (struct identity_signal){v->class, sv_from(v->slot),
								   sv_from(v->value), v->common};
	return o;
}

static void
comparisons(void **state)
{
	static const struct {
		struct given a[5], b[5];
		bool link;
		const char *first; /* first evidence, or NULL */
	} rows[] = {
		/* Nothing, or nothing in common. */
		{{{0}}, {{0}}, false, NULL},
		{{{T, "tls.ja3", "x", false}}, {{0}}, false, NULL},
		{{{T, "tls.ja3", "x", false}}, {{S, "ssh.hassh", "x", false}}, false, NULL},
		{{{T, "tls.ja3", "x", false}}, {{T, "tls.ja3", "y", false}}, false, "tls"},
		/* One strong signal. */
		{{{T, "tls.ja3", "x", false}}, {{T, "tls.ja3", "x", false}}, true, "tls"},
		{{{S, "ssh.hassh", "x", false}}, {{S, "ssh.hassh", "x", false}}, true, "ssh"},
		{{{P, "payload.sha256", "x", false}},
		 {{P, "payload.sha256", "x", false}},
		 true,
		 "payload"},
		{{{C, "c2.endpoint", "x", false}}, {{C, "c2.endpoint", "x", false}}, true, "c2"},
		{{{K, "credential", "u:p", false}},
		 {{K, "credential", "u:p", false}},
		 true,
		 "credential"},
		/* A value that is everybody's. */
		{{{K, "credential", "u:p", true}}, {{K, "credential", "u:p", false}}, false, NULL},
		{{{T, "tls.ja3", "x", true}}, {{T, "tls.ja3", "x", false}}, false, NULL},
		/* Any value of a slot may agree; a JA4 stands for its JA3. */
		{{{T, "tls.ja3", "x", false}, {T, "tls.ja3", "y", false}},
		 {{T, "tls.ja3", "y", false}, {T, "tls.ja3", "z", false}},
		 true,
		 "tls"},
		{{{T, "tls.ja3", "x", false}, {T, "tls.ja4", "q", false}},
		 {{T, "tls.ja3", "y", false}, {T, "tls.ja4", "q", false}},
		 true,
		 "tls"},
		/* One stack agrees, the other does not; a payload outweighs that. */
		{{{T, "tls.ja3", "x", false}, {S, "ssh.hassh", "1", false}},
		 {{T, "tls.ja3", "x", false}, {S, "ssh.hassh", "2", false}},
		 false,
		 "tls"},
		{{{T, "tls.ja3", "x", false}, {P, "payload.sha256", "1", false}},
		 {{T, "tls.ja3", "y", false}, {P, "payload.sha256", "1", false}},
		 true,
		 "tls"},
		/* Both stacks are one piece of evidence. */
		{{{T, "tls.ja3", "x", false}, {S, "ssh.hassh", "1", false}},
		 {{T, "tls.ja3", "x", false}, {S, "ssh.hassh", "1", false}},
		 true,
		 "tls+ssh"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct identity_observation a = observation("a", "A", rows[i].a);
		struct identity_observation b = observation("b", "B", rows[i].b);
		struct identity_evidence why[IDENTITY_EVIDENCE_MAX], back[IDENTITY_EVIDENCE_MAX];
		size_t n = 0, m = 0;
		double bits = identity_compare(&a, &b, why, &n), sum = 0;

		assert_true(bits == identity_compare(&b, &a, back, &m));
		assert_int_equal(n, m);
		for (size_t k = 0; k < n; k++)
			sum += why[k].weight;
		assert_true(sum == bits);
		if ((bits >= IDENTITY_LINK_BITS) != rows[i].link)
			fail_msg("row %zu: %f", i, bits);
		assert_string_equal(n ? why[0].signal : "-", rows[i].first ? rows[i].first : "-");
	}
}

static const struct given ja3[] = {{T, "tls.ja3", "x", false}, {0}};
static const struct given both[] = {
	{T, "tls.ja3", "x", false}, {C, "c2.endpoint", "e", false}, {0}};
static const struct given other[] = {{T, "tls.ja3", "y", false}, {0}};

static void
decisions(void **state)
{
	struct identity_change v[IDENTITY_CHANGES_MAX];
	struct identity_observation fresh = observation("n", NULL, both);
	struct identity_observation mine = observation("n", "M", both);
	struct identity_observation c[] = {
		observation("a", "Z", ja3),  observation("b", "B", ja3),
		observation("c", "B", both), observation("d", "C", other),
		observation("e", NULL, ja3),
	};

	(void)state;
	assert_int_equal(identity_decide(&fresh, NULL, 0, v), 1);
	assert_int_equal(v[0].kind, IDENTITY_FORM);
	assert_int_equal(identity_decide(&mine, NULL, 0, v), 0);
	/* Only one that is not like it, and one without an identity. */
	assert_int_equal(identity_decide(&fresh, &c[3], 2, v), 1);
	assert_int_equal(v[0].kind, IDENTITY_FORM);

	/* It joins the oldest; the others are merged into that; the strongest candidate is named.
	 */
	assert_int_equal(identity_decide(&fresh, c, ARRAY_LEN(c), v), 2);
	assert_int_equal(v[0].kind, IDENTITY_LINK);
	assert_string_equal(v[0].identity, "B");
	assert_int_equal(v[0].candidate, 2);
	assert_int_equal(v[1].kind, IDENTITY_MERGE);
	assert_string_equal(v[1].identity, "B");
	assert_string_equal(v[1].other, "Z");

	/* With an identity of its own that one is merged too. */
	assert_int_equal(identity_decide(&mine, c, ARRAY_LEN(c), v), 2);
	assert_string_equal(v[0].identity, "B");
	assert_string_equal(v[0].other, "M");
	assert_string_equal(v[1].other, "Z");
	mine.identity = "A";
	assert_int_equal(identity_decide(&mine, c, ARRAY_LEN(c), v), 2);
	assert_string_equal(v[0].identity, "A");
	assert_string_equal(v[1].identity, "A");
	mine.identity = "B";
	assert_int_equal(identity_decide(&mine, c, ARRAY_LEN(c), v), 1);
	assert_string_equal(v[0].other, "Z");
}

static void
tables(void **state)
{
	(void)state;
	for (unsigned p = 0; p < IDENTITY_SIGNAL_COUNT; p++) {
		const char *name = identity_primitive_name((enum identity_primitive)p);

		assert_int_equal(identity_primitive_find(sv_from(name)), p);
	}
	assert_int_equal(identity_primitive_find(SV("no.such")), IDENTITY_SIGNAL_COUNT);
	assert_string_equal(identity_primitive_rollup(IDENTITY_SIGNAL_TLS_JA3), "ja3_hashes");
	assert_null(identity_primitive_rollup(IDENTITY_SIGNAL_SSH_BANNER));
	assert_true(identity_credential_common(SV("Root"), SV("123456")));
	assert_false(identity_credential_common(SV("root"), SV("correct horse")));
	assert_true(identity_probability(0) == 0.5);
	assert_true(identity_probability(4) > 0.9 && identity_probability(4) < 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comparisons),
		cmocka_unit_test(decisions),
		cmocka_unit_test(tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
