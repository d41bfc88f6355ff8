/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bus/broker.h"
#include "util/attr.h"
#include "util/limits.h"

#define GOT_MAX 16384

static unsigned ready_calls, flush_calls;

static void
on_ready(struct bus_peer *p)
{
	(void)p;
	ready_calls++;
}

static void
on_flush(struct bus_peer *p)
{
	(void)p;
	flush_calls++;
}

static const struct bus_broker_ops ops = {on_ready, on_flush};

/* Feed protocol text; the first code that is not 0. */
static int
say(struct bus_peer *p, const char *text)
{
	struct sv in = sv_from(text);
	struct bus_parser ps;
	struct bus_ev ev;
	size_t used;
	int r = 0;

	bus_parser_init(&ps, BUS_SIDE_CLIENT);
	while (r == 0 && in.n) {
		assert_int_equal(bus_parse(&ps, in, &used, &ev), 1);
		in = sv_drop(in, used);
		r = bus_broker_event(p, &ev);
	}
	return r;
}

/* All that waits for this client, as text. */
static const char *
heard(struct bus_peer *p)
{
	static char got[GOT_MAX];
	struct iovec iov[BUS_OUTQ_IOV];
	unsigned count = bus_outq_peek(&p->out, iov);
	size_t n = 0;

	for (unsigned i = 0; i < count; i++) {
		assert_true(iov[i].iov_len < GOT_MAX - n);
		memcpy(got + n, iov[i].iov_base, iov[i].iov_len);
		n += iov[i].iov_len;
	}
	got[n] = '\0';
	assert_int_equal(bus_broker_sent(p, n), 0);
	return got;
}

/* A quiet client of this name whose INFO was read. */
static struct bus_peer *
join(struct bus_broker *b, const char *name, const char *more)
{
	struct bus_peer *p = NULL;
	char line[256];

	assert_int_equal(bus_broker_attach(b, NULL, BUS_ROLE_ALL, NULL, &p), 0);
	(void)snprintf(line, sizeof(line), "CONNECT {\"verbose\":false,\"name\":\"%s\"%s}\r\n",
		       name, more);
	assert_int_equal(say(p, line), 0);
	assert_non_null(strstr(heard(p), "INFO {"));
	return p;
}

static void
routes_patterns(void **state)
{
	struct bus_broker *b = bus_broker_new(7, &ops);
	struct bus_peer *cli = join(b, "decnet-cli", ""), *sub = join(b, "x", "");

	(void)state;
	assert_int_equal(say(sub, "SUB topology.> 1\r\nSUB topology.*.status 2\r\nSUB a 3\r\n"), 0);
	assert_int_equal(say(cli, "PUB topology.abc.status r.1 2\r\nhi\r\nPUB none 1\r\nx\r\n"), 0);
	const char *got = heard(sub);

	assert_non_null(strstr(got, "MSG topology.abc.status 1 r.1 2\r\nhi\r\n"));
	assert_non_null(strstr(got, "MSG topology.abc.status 2 r.1 2\r\nhi\r\n"));
	assert_null(strstr(got, " 3 "));
	assert_string_equal(heard(cli), "");
	assert_int_equal(say(sub, "UNSUB 1\r\nUNSUB nosuch\r\n"), 0);
	assert_int_equal(say(cli, "PUB topology.abc.status 2\r\nhi\r\n"), 0);
	assert_string_equal(heard(sub), "MSG topology.abc.status 2 2\r\nhi\r\n");
	bus_broker_free(b);
}

/* What one client did with a subject is no licence for the next, nor is it true for ever. */
static void
asks_again_for_each(void **state)
{
	static const char pub[] = "PUB topology.a.status 2\r\nhi\r\n";
	struct bus_broker *b = bus_broker_new(7, &ops);
	struct bus_peer *cli = join(b, "decnet-cli", ""), *guest = join(b, "x", "");
	struct bus_peer *api = join(b, "decnet-api", ""), *sub = join(b, "y", "");

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(say(cli, pub), 0);
		assert_int_equal(say(api, pub), 0);
		assert_int_equal(say(guest, pub), 0);
		assert_string_equal(heard(cli), "");
		assert_string_equal(heard(api), "");
		assert_non_null(strstr(heard(guest), "Permissions Violation"));
	}
	assert_int_equal(say(sub, "SUB topology.> 1\r\n"), 0);
	assert_int_equal(say(cli, pub), 0);
	assert_int_equal(say(sub, "SUB *.a.status 2\r\nUNSUB 1 2\r\n"), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(say(cli, pub), 0);
	assert_string_equal(heard(sub), "MSG topology.a.status 1 2\r\nhi\r\n"
					"MSG topology.a.status 1 2\r\nhi\r\n"
					"MSG topology.a.status 2 2\r\nhi\r\n"
					"MSG topology.a.status 2 2\r\nhi\r\n");
	bus_broker_detach(sub);
	assert_int_equal(say(cli, pub), 0);
	bus_broker_free(b);
}

static void
answers_when_verbose(void **state)
{
	struct bus_broker *b = bus_broker_new(7, &ops);
	struct bus_peer *p = NULL;

	(void)state;
	assert_int_equal(bus_broker_attach(b, NULL, BUS_ROLE_ALL, NULL, &p), 0);
	(void)heard(p);
	assert_int_equal(say(p, "CONNECT {}\r\nSUB ext.a 1\r\nPING\r\nPUB ext.a 0\r\n\r\n"
				"UNSUB 1\r\nPONG\r\n"),
			 0);
	assert_string_equal(heard(p), "+OK\r\n+OK\r\nPONG\r\n+OK\r\nMSG ext.a 1 0\r\n\r\n+OK\r\n");
	assert_int_equal(p->role, BUS_ROLE_GUEST);
	bus_broker_free(b);
}

static void
counts_unsub_from_the_sub(void **state)
{
	struct bus_broker *b = bus_broker_new(7, &ops);
	struct bus_peer *p = join(b, "g", "");

	(void)state;
	assert_int_equal(say(p, "SUB ext.a 1\r\nPUB ext.a 1\r\na\r\nUNSUB 1 3\r\n"
				"PUB ext.a 1\r\nb\r\nPUB ext.a 1\r\nc\r\nPUB ext.a 1\r\nd\r\n"),
			 0);
	assert_string_equal(heard(p), "MSG ext.a 1 1\r\na\r\nMSG ext.a 1 1\r\nb\r\n"
				      "MSG ext.a 1 1\r\nc\r\n");
	assert_int_equal(p->nsubs, 0);
	assert_int_equal(say(p, "SUB ext.a 2\r\nPUB ext.a 1\r\na\r\nUNSUB 2 1\r\n"
				"PUB ext.a 1\r\nb\r\n"),
			 0);
	assert_string_equal(heard(p), "MSG ext.a 2 1\r\na\r\n");
	bus_broker_free(b);
}

static void
shares_queues(void **state)
{
	struct bus_broker *b = bus_broker_new(7, &ops);
	struct bus_peer *pub = join(b, "p", ""), *w[3];
	unsigned counts[3] = {0};

	(void)state;
	for (int i = 0; i < 3; i++)
		w[i] = join(b, "w", "");
	/* One queue over two patterns; the third subscribes twice. */
	assert_int_equal(say(w[0], "SUB ext.> work 1\r\n"), 0);
	assert_int_equal(say(w[1], "SUB ext.a work 1\r\n"), 0);
	assert_int_equal(say(w[2], "SUB ext.a other 1\r\nSUB ext.* work 2\r\n"), 0);
	for (int i = 0; i < 30; i++)
		assert_int_equal(say(pub, "PUB ext.a 1\r\nx\r\n"), 0);
	for (int i = 0; i < 3; i++) {
		counts[i] = (unsigned)w[i]->messages_out;
		assert_true(counts[i] >= 10);
	}
	assert_int_equal(counts[0] + counts[1] + counts[2], 60);
	bus_broker_detach(w[1]);
	assert_int_equal(say(pub, "PUB ext.a 1\r\nx\r\n"), 0);
	assert_int_equal(w[0]->messages_out + w[2]->messages_out, counts[0] + counts[2] + 2);
	bus_broker_free(b);
}

static void
keeps_echo_away(void **state)
{
	struct bus_broker *b = bus_broker_new(7, &ops);
	struct bus_peer *quiet = join(b, "q", ",\"echo\":false"), *other = join(b, "o", "");

	(void)state;
	assert_int_equal(say(quiet, "SUB ext.a 1\r\nSUB ext.a q 2\r\n"), 0);
	assert_int_equal(say(other, "SUB ext.a q 1\r\n"), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(say(quiet, "PUB ext.a 1\r\nx\r\n"), 0);
	assert_string_equal(heard(quiet), "");
	assert_int_equal(other->messages_out, 4);
	bus_broker_free(b);
}

static void
strips_headers(void **state)
{
	struct bus_broker *b = bus_broker_new(7, &ops);
	struct bus_peer *bare = join(b, "b", ",\"headers\":false"), *full = join(b, "f", "");

	(void)state;
	assert_int_equal(say(bare, "SUB ext.a 1\r\n"), 0);
	assert_int_equal(say(full, "SUB ext.a 1\r\nHPUB ext.a 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi"
				   "\r\n"),
			 0);
	assert_string_equal(heard(bare), "MSG ext.a 1 2\r\nhi\r\n");
	assert_string_equal(heard(full), "HMSG ext.a 1 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n");
	bus_broker_free(b);
}

static void
refuses_and_stays(void **state)
{
	static const struct {
		const char *line, *answer;
	} rows[] = {
		{"SUB a..b 1\r\n", "-ERR 'Invalid Subject'\r\n"},
		{"SUB a.>.b 1\r\n", "-ERR 'Invalid Subject'\r\n"},
		{"PUB ext.* 0\r\n\r\n", "-ERR 'Invalid Publish Subject'\r\n"},
		{"PUB ext. 0\r\n\r\n", "-ERR 'Invalid Publish Subject'\r\n"},
		{"PUB ext.a a..b 0\r\n\r\n", "-ERR 'Invalid Publish Subject'\r\n"},
		{"PUB topology.a.status 0\r\n\r\n",
		 "-ERR 'Permissions Violation for Publish to \"topology.a.status\"'\r\n"},
	};
	struct bus_broker *b = bus_broker_new(7, &ops);
	struct bus_peer *p = join(b, "decnet-nobody", "");
	char line[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(say(p, rows[i].line), 0);
		assert_string_equal(heard(p), rows[i].answer);
	}
	assert_int_equal(p->denied, 1);
	for (int i = 0; i < LIMIT_BUS_SUBS_PER_CLIENT; i++) {
		(void)snprintf(line, sizeof(line), "SUB a %d\r\n", i);
		assert_int_equal(say(p, line), 0);
	}
	assert_string_equal(heard(p), "");
	assert_int_equal(say(p, "SUB a more\r\nSUB a 1\r\n"), 0);
	assert_string_equal(heard(p), "-ERR 'Maximum Subscriptions Exceeded'\r\n");
	bus_broker_free(b);
}

static void
asks_for_the_token(void **state)
{
	struct bus_broker *b = bus_broker_new(7, &ops);
	struct bus_peer *p[5];

	(void)state;
	for (int i = 0; i < 5; i++) {
		assert_int_equal(bus_broker_attach(b, NULL, 0, "sixteen-letters!", &p[i]), 0);
		assert_non_null(strstr(heard(p[i]), "\"auth_required\":true"));
	}
	assert_int_equal(say(p[0], "PING\r\n"), -EACCES);
	assert_string_equal(heard(p[0]), "-ERR 'Authorization Violation'\r\n");
	assert_int_equal(say(p[1], "CONNECT {\"auth_token\":\"sixteen-letters?\"}\r\n"), -EACCES);
	assert_int_equal(say(p[2], "CONNECT {\"auth_token\":\"sixteen-letters!\","
				   "\"name\":\"decnet-cli\",\"verbose\":false}\r\n"),
			 0);
	assert_int_equal(p[2]->role, BUS_ROLE_GUEST);
	assert_int_equal(say(p[3], "CONNECT [1]\r\n"), -EBADMSG);
	assert_string_equal(heard(p[3]), "-ERR 'Parser Error'\r\n");
	assert_int_equal(say(p[4], "CONNECT {\"auth_token\":\"sixteen-letters!\\u0000x\"}\r\n"),
			 -EACCES);
	bus_broker_free(b);
}

static void
bounds_clients(void **state)
{
	struct bus_broker *b = bus_broker_new(7, &ops);
	struct bus_broker_stats stats;
	struct bus_peer *p = NULL;

	(void)state;
	for (int i = 0; i < LIMIT_BUS_CLIENTS; i++)
		assert_int_equal(bus_broker_attach(b, NULL, 0, NULL, &p), 0);
	assert_int_equal(bus_broker_attach(b, NULL, 0, NULL, &p), -EUSERS);
	bus_broker_stats(b, &stats);
	assert_int_equal(stats.clients, LIMIT_BUS_CLIENTS);
	assert_int_equal(stats.refused, 1);
	bus_broker_free(b);
}

static void
reports_the_slow(void **state)
{
	struct bus_broker *b = bus_broker_new(7, &ops);
	struct bus_peer *slow = join(b, "slow\\\"", ""), *watch = join(b, "w", "");
	struct bus_broker_stats stats;

	(void)state;
	assert_int_equal(say(slow, "SUB ext.> 1\r\n"), 0);
	assert_int_equal(say(watch, "SUB system.bus.dropped 1\r\n"), 0);
	assert_false(bus_broker_lossy(b));
	flush_calls = 0;
	for (int i = 0; i < LIMIT_BUS_PENDING_MSGS + 5; i++)
		assert_int_equal(say(watch, "PUB ext.a 1\r\nx\r\n"), 0);
	assert_int_equal(flush_calls, 5);
	assert_true(bus_broker_lossy(b));
	assert_int_equal(bus_broker_report(b, 1700000000500), 1);
	const char *got = heard(watch);

	assert_non_null(strstr(got, "\"name\":\"slow\\\"\""));
	assert_non_null(strstr(got, "\"dropped\":5,\"dropped_total\":5,"));
	assert_int_equal(bus_broker_report(b, 1700000001500), 0);
	bus_broker_stats(b, &stats);
	assert_int_equal(stats.dropped, 5);
	bus_broker_free(b);
}

static void
grants_by_role(void **state)
{
	static const struct {
		enum bus_role role;
		const char *subject;
		int may;
	} rows[] = {
		{BUS_ROLE_API, "topology.a.created", 1},
		{BUS_ROLE_API, "topology.a.mutation.applied", 0},
		{BUS_ROLE_API, "identity.merged", 1},
		{BUS_ROLE_API, "system.mutator.control", 1},
		{BUS_ROLE_API, "system.mutator.health", 0},
		{BUS_ROLE_MUTATOR, "decky.web.state", 1},
		{BUS_ROLE_MUTATOR, "topology.a.mutation.applied", 1},
		{BUS_ROLE_MUTATOR, "topology.a.created", 0},
		{BUS_ROLE_MUTATOR, "system.netd.health", 1},
		{BUS_ROLE_RESOLVER, "attacker.session.ended", 1},
		{BUS_ROLE_RESOLVER, "decky.web.traffic", 1},
		{BUS_ROLE_RESOLVER, "decky.web.state", 0},
		{BUS_ROLE_CLI, "anything.at.all", 1},
		{BUS_ROLE_GUEST, "ext.a", 1},
		{BUS_ROLE_GUEST, "ext", 0},
		{BUS_ROLE_GUEST, "topology.a.ext.b", 1},
		{BUS_ROLE_GUEST, "topology.a.status", 0},
		{BUS_ROLE_GUEST, "attacker.ext.x", 1},
		{BUS_ROLE_GUEST, "attacker.observed", 0},
		{BUS_ROLE_GUEST, "system.bus.health", 0},
		{BUS_ROLE_GUEST, "_INBOX.1.2", 1},
		{BUS_ROLE_API, "_INBOX.1", 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (bus_role_may(rows[i].role, sv_from(rows[i].subject)) != rows[i].may)
			fail_msg("%s %s", bus_role_word(rows[i].role), rows[i].subject);
	assert_int_equal(bus_role_of_name(SV("decnet-api"), BUS_ROLE_ALL), BUS_ROLE_API);
	assert_int_equal(bus_role_of_name(SV("decnet-api"), 0), BUS_ROLE_GUEST);
	assert_int_equal(bus_role_of_name(SV("api"), BUS_ROLE_ALL), BUS_ROLE_GUEST);
	assert_int_equal(bus_role_of_name(SV("decnet-root"), BUS_ROLE_ALL), BUS_ROLE_GUEST);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(routes_patterns),	cmocka_unit_test(asks_again_for_each),
		cmocka_unit_test(answers_when_verbose), cmocka_unit_test(counts_unsub_from_the_sub),
		cmocka_unit_test(shares_queues),	cmocka_unit_test(keeps_echo_away),
		cmocka_unit_test(strips_headers),	cmocka_unit_test(refuses_and_stays),
		cmocka_unit_test(asks_for_the_token),	cmocka_unit_test(bounds_clients),
		cmocka_unit_test(reports_the_slow),	cmocka_unit_test(grants_by_role),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
