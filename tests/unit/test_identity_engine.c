/* SPDX-License-Identifier: Apache-2.0 */
/* The engine on handfuls of rows: what joins, what does not, what comes apart again, who wins. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "identity/engine.h"

static const struct identity_secret secret = {{'k'}, 1};

/* An observation by its signals, NULL where there is none. */
struct seen {
	const char *tls, *hassh, *payload, *c2, *user, *password, *command;
};

static struct identity_features
features(const struct seen *s)
{
	struct identity_features f;

	identity_features_init(&f);
	identity_features_stack(&f, &secret, sv_from(s->tls), sv_from(s->hassh), SV("SSH-2.0-x"));
	if (s->payload)
		identity_features_payload(&f, &secret, sv_from(s->payload));
	if (s->c2)
		identity_features_c2(&f, &secret, sv_from(s->c2));
	if (s->user)
		identity_features_credential(&f, &secret, sv_from(s->user), sv_from(s->password));
	if (s->command)
		identity_features_command(&f, &secret, sv_from(s->command));
	return f;
}

static void
id_of(unsigned n, uint8_t id[16])
{
	memset(id, 0, 16);
	id[0] = (uint8_t)(n >> 8);
	id[1] = (uint8_t)n;
}

static uint32_t
put(struct identity_engine *e, unsigned n, const struct identity_features *f)
{
	uint8_t id[16];
	struct sv name = {(const char *)id, sizeof(id)};
	uint32_t row;

	id_of(n, id);
	assert_true(identity_engine_put(e, id, identity_hash(&secret, &name, 1), f, &row) >= 0);
	return row;
}

static uint32_t
put_seen(struct identity_engine *e, unsigned n, const struct seen *s)
{
	struct identity_features f = features(s);

	return put(e, n, &f);
}

static struct identity_changes
drain(struct identity_engine *e, uint64_t ms)
{
	struct identity_changes c;

	assert_int_equal(identity_engine_drain(e, ms, &c), 0);
	return c;
}

static size_t
count(const struct identity_changes *c, enum identity_change_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n; i++)
		n += c->v[i].kind == kind;
	return n;
}

static uint32_t
identity(const struct identity_engine *e, uint32_t row)
{
	return identity_engine_final(e, identity_engine_row_of(e, row));
}

static struct identity_engine *
engine(void)
{
	struct identity_engine *e = NULL;

	assert_int_equal(identity_engine_new(&secret, &e), 0);
	return e;
}

static void
pairs(void **state)
{
	static const struct {
		struct seen a, b;
		bool together;
	} rows[] = {
		/* Nothing, or nothing in common. */
		{{0}, {0}, false},
		{{.tls = "x"}, {0}, false},
		{{.tls = "x"}, {.hassh = "x"}, false},
		{{.tls = "x"}, {.tls = "y"}, false},
		/* One strong signal on a handful of rows. */
		{{.tls = "x"}, {.tls = "x"}, true},
		{{.hassh = "x"}, {.hassh = "x"}, true},
		{{.payload = "x"}, {.payload = "x"}, true},
		{{.c2 = "x:1"}, {.c2 = "x:1"}, true},
		/* What everybody may have. */
		{{.user = "root", .password = "1"}, {.user = "root", .password = "1"}, false},
		{{.command = "wget http://x/y"}, {.command = "wget http://x/y"}, false},
		/* Different stacks: shared infrastructure is a campaign. */
		{{.tls = "x", .payload = "p"}, {.tls = "y", .payload = "p"}, false},
		{{.tls = "x", .c2 = "c:1"}, {.tls = "y", .c2 = "c:1"}, false},
		{{.tls = "x", .hassh = "a"}, {.tls = "x", .hassh = "b"}, false},
		{{.tls = "x", .hassh = "a", .payload = "p"},
		 {.tls = "x", .hassh = "b", .payload = "p"},
		 true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct identity_engine *e = engine();
		uint32_t a = put_seen(e, 1, &rows[i].a), b = put_seen(e, 2, &rows[i].b);

		(void)drain(e, 1);
		if ((identity(e, a) == identity(e, b)) != rows[i].together)
			fail_msg("pair %zu", i);
		identity_engine_free(e);
	}
}

static void
stock_commands(void **state)
{
	static const struct {
		const char *text;
		bool stock;
	} rows[] = {
		{"uname -a", true},
		{"ls -la /tmp", true},
		{"enable", true},
		{"/bin/busybox ECCHI; x http://1.2.3.4/a", true},
		{"cat /proc/cpuinfo", true},
		{"history -c", true},
		{"", false},
		{"ls ", false},
		{"Uname", false},
		{"wget http://1.2.3.4/x.sh", false},
		{"chmod 777 .a1b2", false},
		{"cat abcdefghijklm", false},
		{"cat -abcdefghijkl", true},
		{"cat --abcdefghijkl", true},
		{"cat ---abcdefghijk", true},
		{"cat ---abcdefghijkl", false},
		{"cat /a /b", false},
		{"echo 'x' >> ~/.ssh/authorized_keys", false},
		{"ls\n", true},
		{"ls\nls", false},
		{"ls \xff", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (identity_command_stock(sv_from(rows[i].text)) != rows[i].stock)
			fail_msg("%s", rows[i].text);
}

static void
comes_apart(void **state)
{
	struct identity_engine *e = engine();
	struct identity_changes c;
	uint32_t a, b, bridge, first;

	(void)state;
	a = put_seen(e, 1, &(struct seen){.tls = "x"});
	b = put_seen(e, 2, &(struct seen){.hassh = "y"});
	c = drain(e, 1000);
	assert_int_equal(count(&c, IDENTITY_FORMED), 2);
	first = identity(e, a);
	bridge = put_seen(e, 3, &(struct seen){.tls = "x", .hassh = "y"});
	c = drain(e, 2000);
	assert_int_equal(count(&c, IDENTITY_MERGED), 1);
	assert_int_equal(count(&c, IDENTITY_LINKED), 1);
	assert_int_equal(count(&c, IDENTITY_FORMED), 0);
	assert_int_equal(identity(e, a), identity(e, b));
	assert_int_equal(identity(e, a), identity(e, bridge));
	/* The smaller uuid is the winner. */
	for (size_t i = 0; i < c.n; i++)
		if (c.v[i].kind == IDENTITY_MERGED)
			assert_true(memcmp(identity_engine_uuid(e, c.v[i].identity),
					   identity_engine_uuid(e, c.v[i].other), 16) < 0);
	/* It was misread: the bridge goes, so does the merge. */
	(void)put_seen(e, 3, &(struct seen){.tls = "x"});
	c = drain(e, 3000);
	assert_int_equal(count(&c, IDENTITY_UNMERGED), 1);
	assert_int_not_equal(identity(e, a), identity(e, b));
	assert_int_equal(identity(e, a), identity(e, bridge));
	assert_int_equal(identity(e, a), first);
	/* Nothing changed: nothing is said. */
	(void)put_seen(e, 3, &(struct seen){.tls = "x"});
	c = drain(e, 4000);
	assert_int_equal(c.n, 0);
	identity_engine_free(e);
}

static void
decisions(void **state)
{
	static const uint8_t sides[] = {0, 1, 1};
	struct identity_engine *e = engine();
	uint8_t ids[3][16];
	uint32_t rows[3], kept;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		rows[i] = put_seen(e, i + 1, &(struct seen){.tls = "x"});
		id_of(i + 1, ids[i]);
	}
	(void)drain(e, 1);
	kept = identity(e, rows[0]);
	assert_int_equal(kept, identity(e, rows[2]));
	assert_int_equal(identity_engine_decide(e, 1, true, (const uint8_t(*)[16])ids, sides, 3),
			 0);
	(void)put_seen(e, 4, &(struct seen){.tls = "x"});
	(void)drain(e, 2);
	assert_int_not_equal(identity(e, rows[0]), identity(e, rows[1]));
	assert_int_equal(identity(e, rows[1]), identity(e, rows[2]));
	/* The later word counts. */
	assert_int_equal(identity_engine_decide(e, 2, false, (const uint8_t(*)[16])ids, sides, 3),
			 0);
	(void)drain(e, 3);
	assert_int_equal(identity(e, rows[0]), identity(e, rows[1]));
	/* Also of rows that have nothing in common. */
	(void)put_seen(e, 2, &(struct seen){.hassh = "z"});
	(void)drain(e, 4);
	assert_int_equal(identity(e, rows[0]), identity(e, rows[1]));
	identity_engine_free(e);
}

static void
text(void **state)
{
	struct identity_features f, g;
	char line[IDENTITY_FEATURES_TEXT_MAX];

	(void)state;
	f = features(&(struct seen){"t", "h", "p", "c:1", "root", "x", "wget http://x/y"});
	identity_features_keystroke(&f, 7);
	identity_features_write(&f, line);
	assert_int_equal(identity_features_read(sv_from(line), &g), 0);
	assert_true(identity_features_equal(&f, &g));
	assert_int_equal(identity_features_read(SV("t0"), &g), -EBADMSG);
	assert_int_equal(identity_features_read(SV("z0000000000000000"), &g), -EBADMSG);
}

static void
hostile(void **state)
{
	struct identity_engine *e = engine();
	struct identity_features f;
	struct identity_stats s;
	char name[32];

	(void)state;
	for (unsigned row = 0; row < 40; row++) {
		identity_features_init(&f);
		for (unsigned i = 0; i < 20000; i++) {
			(void)snprintf(name, sizeof(name), "%u\xff\xfe%u", row, i);
			identity_features_credential(&f, &secret, SV("root"), sv_from(name));
			identity_features_command(&f, &secret, sv_from(name));
			identity_features_payload(&f, &secret, sv_from(name));
			identity_features_c2(&f, &secret, sv_from(name));
		}
		assert_int_equal(f.n[IDENTITY_VALUE_CREDENTIAL], 64);
		assert_int_equal(f.n[IDENTITY_VALUE_COMMAND], 64);
		assert_int_equal(f.n[IDENTITY_VALUE_PAYLOAD], 16);
		assert_int_equal(f.n[IDENTITY_VALUE_C2], 16);
		(void)put(e, row, &f);
	}
	(void)drain(e, 1);
	identity_engine_stats(e, &s);
	assert_int_equal(s.rows, 40);
	assert_int_equal(s.values, 40 * 160);
	assert_int_equal(s.links, 0);
	identity_engine_free(e);
}

/* A value that all rows have: few pairs are compared, however many rows there are. */
static void
everybodys(void **state)
{
	struct identity_engine *e = engine();
	struct identity_stats s;

	(void)state;
	for (unsigned i = 0; i < 5000; i++) {
		char own[16];

		(void)snprintf(own, sizeof(own), "p%u", i);
		(void)put_seen(e, i, &(struct seen){.hassh = "go", .payload = own});
		if (i % 64 == 0)
			(void)drain(e, i);
	}
	(void)drain(e, 5000);
	identity_engine_stats(e, &s);
	assert_true(s.scores < 5000UL * 400);
	identity_engine_free(e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pairs),       cmocka_unit_test(stock_commands),
		cmocka_unit_test(comes_apart), cmocka_unit_test(decisions),
		cmocka_unit_test(text),	       cmocka_unit_test(hostile),
		cmocka_unit_test(everybodys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
