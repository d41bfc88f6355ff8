/* SPDX-License-Identifier: Apache-2.0 */
/* Rate limits and tickets, with time as an argument. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "api/auth.h"
#include "api/limiter.h"
#include "api/ticket.h"
#include "util/attr.h"

static void
an_address_of_ipv6_counts_by_its_network(void **state)
{
	static const struct {
		const char *peer, *key;
	} rows[] = {
		{"192.0.2.7", "192.0.2.7"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		{"2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"},
		{"2001:db8:1:3::1", "2001:db8:1:3::/64"},
		{"::1", "::/64"},
		{"fe80::1", "fe80::/64"},
		{"", ""},
		{"no address", "no address"},
		{"one that is longer than any address can be, whatever its form", ""},
	};
	char key[LIMITER_ADDRESS_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		limiter_address(sv_from(rows[i].peer), key);
		assert_string_equal(key, rows[i].key);
	}
}

static struct auth_claims
claims_of(const char *uuid)
{
	struct auth_claims c = {.iat_ms = 1, .exp_ms = 2};

	(void)snprintf(c.uuid, sizeof(c.uuid), "%s", uuid);
	(void)snprintf(c.jti, sizeof(c.jti), "j-%s", uuid);
	return c;
}

static void
a_ticket_is_used_once(void **state)
{
	struct ticket_table *t = ticket_table_new(100, 1000);
	struct auth_claims c = claims_of("u"), got;
	char ticket[TICKET_SIZE];
	struct sv text;

	(void)state;
	assert_int_equal(ticket_mint(t, &c, 1000, ticket), 0);
	text = sv_from(ticket);
	assert_int_equal(text.n, 43);
	assert_int_equal(
		strspn(ticket, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
		43);

	assert_int_equal(ticket_reserve(t, text, 1001, &got), 0);
	assert_memory_equal(&got, &c, sizeof(c));
	/* Two requests at once: one of them. */
	assert_int_equal(ticket_reserve(t, text, 1001, &got), -EACCES);
	/* Refused: as before. */
	ticket_release(t, text);
	assert_int_equal(ticket_reserve(t, text, 1002, &got), 0);
	ticket_spend(t, text);
	assert_int_equal(ticket_reserve(t, text, 1003, &got), -EACCES);
	ticket_release(t, text);
	ticket_spend(t, text);
	assert_int_equal(ticket_reserve(t, text, 1003, &got), -EACCES);
	assert_int_equal(ticket_count(t), 0);
	ticket_table_free(t);
}

static void
a_ticket_ends(void **state)
{
	struct ticket_table *t = ticket_table_new(100, 1000);
	struct auth_claims c = claims_of("u"), got;
	char one[TICKET_SIZE], two[TICKET_SIZE], wrong[TICKET_SIZE];

	(void)state;
	assert_int_equal(ticket_mint(t, &c, 1000, one), 0);
	assert_int_equal(ticket_mint(t, &c, 1000, two), 0);
	assert_string_not_equal(one, two);
	assert_int_equal(ticket_reserve(t, sv_from(one), 60999, &got), 0);
	assert_int_equal(ticket_reserve(t, sv_from(two), 61000, &got), -EACCES);
	/* It was good when it was reserved; released after its end it is no longer. */
	ticket_release(t, sv_from(one));
	assert_int_equal(ticket_reserve(t, sv_from(one), 61000, &got), -EACCES);
	assert_int_equal(ticket_count(t), 0);

	assert_int_equal(ticket_mint(t, &c, 1000, one), 0);
	memcpy(wrong, one, sizeof(wrong));
	wrong[0] = wrong[0] == 'A' ? 'B' : 'A';
	assert_int_equal(ticket_reserve(t, sv_from(wrong), 1000, &got), -EACCES);
	assert_int_equal(ticket_reserve(t, (struct sv){one, 42}, 1000, &got), -EACCES);
	assert_int_equal(ticket_reserve(t, (struct sv){NULL, 0}, 1000, &got), -EACCES);
	ticket_table_free(t);
}

static void
tickets_are_bounded(void **state)
{
	struct ticket_table *t = ticket_table_new(3, 5);
	struct auth_claims u = claims_of("u"), v = claims_of("v"), got;
	char k[5][TICKET_SIZE], of_v[TICKET_SIZE];

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(ticket_mint(t, &u, 1000, k[i]), 0);
	/* The first is held by a request and does not count as unspent. */
	assert_int_equal(ticket_reserve(t, sv_from(k[0]), 1001, &got), 0);
	assert_int_equal(ticket_mint(t, &u, 1002, k[3]), 0);
	assert_int_equal(ticket_dropped(t), 0);
	assert_int_equal(ticket_mint(t, &u, 1003, k[4]), 0);
	assert_int_equal(ticket_dropped(t), 1);
	assert_int_equal(ticket_reserve(t, sv_from(k[1]), 1004, &got), -EACCES);
	assert_int_equal(ticket_reserve(t, sv_from(k[2]), 1004, &got), 0);
	assert_int_equal(ticket_count(t), 4);
	/* Another user's come on top, up to the ceiling of all. */
	assert_int_equal(ticket_mint(t, &v, 1005, of_v), 0);
	assert_int_equal(ticket_mint(t, &v, 1005, of_v), 0);
	assert_int_equal(ticket_count(t), 5);
	assert_int_equal(ticket_reserve(t, sv_from(of_v), 1006, &got), 0);
	assert_string_equal(got.uuid, "v");
	ticket_table_free(t);
}

struct told {
	unsigned n;
	char text[4][TICKET_SIZE];
	uint64_t left_ms[4];
};

static int
note(void *user, const struct auth_claims *claims, struct sv text, uint64_t left_ms)
{
	struct told *told = user;

	if (told->n == ARRAY_LEN(told->text))
		return -ENOMEM;
	assert_string_equal(claims->uuid, "u");
	(void)sv_copy(text, told->text[told->n], TICKET_SIZE);
	told->left_ms[told->n++] = left_ms;
	return 0;
}

static void
a_table_of_tickets_is_shared(void **state)
{
	struct ticket_table *t = ticket_table_new(100, 1000);
	struct auth_claims c = claims_of("u"), got;
	char held[TICKET_SIZE], one[TICKET_SIZE], two[TICKET_SIZE];
	struct told told = {0};

	(void)state;
	assert_int_equal(ticket_mint(t, &c, 1000, held), 0);
	assert_int_equal(ticket_mint(t, &c, 2000, one), 0);
	assert_int_equal(ticket_reserve(t, sv_from(held), 2000, &got), 0);
	assert_int_equal(ticket_table_share(t, note, &told, 3000), 0);
	assert_int_equal(told.n, 1);
	assert_string_equal(told.text[0], one);
	assert_int_equal(told.left_ms[0], 59000);
	/* Not yet stored, and no longer ours alone. */
	assert_int_equal(ticket_reserve(t, sv_from(one), 3000, &got), -EAGAIN);
	ticket_table_shared(t);
	assert_int_equal(ticket_count(t), 1);
	assert_int_equal(ticket_mint(t, &c, 3000, two), -EAGAIN);
	assert_int_equal(ticket_reserve(t, sv_from(one), 3000, &got), -EAGAIN);
	assert_int_equal(ticket_reserve(t, (struct sv){one, 42}, 3000, &got), -EACCES);
	/* What a request held is still used once, here. */
	assert_int_equal(ticket_reserve(t, sv_from(held), 3000, &got), -EACCES);
	ticket_release(t, sv_from(held));
	assert_int_equal(ticket_reserve(t, sv_from(held), 3000, &got), 0);
	ticket_spend(t, sv_from(held));
	assert_int_equal(ticket_reserve(t, sv_from(held), 3000, &got), -EAGAIN);
	/* Alone again: the store is asked as long as a ticket may be there. */
	ticket_table_unshare(t, 4000);
	assert_int_equal(ticket_mint(t, &c, 4000, two), 0);
	assert_int_equal(ticket_reserve(t, sv_from(two), 4000, &got), 0);
	assert_int_equal(ticket_reserve(t, sv_from(two), 4000, &got), -EACCES);
	assert_int_equal(ticket_reserve(t, sv_from(one), 63999, &got), -EAGAIN);
	assert_int_equal(ticket_reserve(t, sv_from(one), 64000, &got), -EACCES);
	/* A failure is told, and the table is shared all the same. */
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(ticket_mint(t, &c, 64000, two), 0);
	told.n = 0;
	assert_int_equal(ticket_table_share(t, note, &told, 64000), -ENOMEM);
	assert_int_equal(ticket_reserve(t, sv_from(two), 64000, &got), -EAGAIN);
	ticket_table_free(t);
}

static int
setup(void **state)
{
	(void)state;
	return sodium_init() < 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_of_ipv6_counts_by_its_network),
		cmocka_unit_test(a_ticket_is_used_once),
		cmocka_unit_test(a_ticket_ends),
		cmocka_unit_test(tickets_are_bounded),
		cmocka_unit_test(a_table_of_tickets_is_shared),
	};

	return cmocka_run_group_tests_name("api_limits", tests, setup, NULL);
}
