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
windows_open_and_close(void **state)
{
	/* One key; each step: time, and the answer. */
	static const struct {
		uint64_t at_ms;
		unsigned wait;
	} steps[] = {
		{1000, 0},   {1000, 0},	  {1000, 0},   {30000, 0},  {60999, 0}, {60999, 1},
		{61000, 0},  {61001, 0},  {61002, 0},  {61003, 0},  {61004, 0}, {61005, 60},
		{61999, 60}, {62000, 59}, {120999, 1}, {121000, 0},
	};
	struct limiter *l = limiter_new(100);

	(void)state;
	assert_non_null(l);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		unsigned wait = limiter_hit(l, LIMITER_CHANGE_PASSWORD, SV("u"), steps[i].at_ms);

		if (wait != steps[i].wait)
			fail_msg("step %zu: %u", i, wait);
	}
	limiter_free(l);
}

static void
keys_and_rules_are_apart(void **state)
{
	struct limiter *l = limiter_new(100);

	(void)state;
	for (int i = 0; i < 10; i++) {
		assert_int_equal(limiter_hit(l, LIMITER_LOGIN_ADDRESS, SV("a"), 0), 0);
		assert_int_equal(limiter_hit(l, LIMITER_LOGIN_USER, SV("a"), 0), 0);
	}
	assert_int_equal(limiter_hit(l, LIMITER_LOGIN_ADDRESS, SV("a"), 0), 300);
	assert_int_equal(limiter_hit(l, LIMITER_LOGIN_USER, SV("a"), 0), 900);
	assert_int_equal(limiter_hit(l, LIMITER_LOGIN_ADDRESS, SV("b"), 0), 0);
	assert_int_equal(limiter_hit(l, LIMITER_LOGIN_ADDRESS, SV(""), 0), 0);
	assert_string_equal(limiter_words(LIMITER_LOGIN_ADDRESS), "10 per 5 minute");
	assert_string_equal(limiter_words(LIMITER_LOGIN_USER), "10 per 15 minute");
	assert_string_equal(limiter_words(LIMITER_CHANGE_PASSWORD), "5 per 1 minute");
	limiter_free(l);
}

static void
the_table_of_windows_is_bounded(void **state)
{
	struct limiter *l = limiter_new(4);
	char key[8];

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_int_equal(limiter_hit(l, LIMITER_LOGIN_ADDRESS, SV("first"), 0), 0);
	assert_true(limiter_hit(l, LIMITER_LOGIN_ADDRESS, SV("first"), 1) > 0);
	for (int i = 0; i < 3; i++) {
		(void)snprintf(key, sizeof(key), "k%d", i);
		assert_int_equal(limiter_hit(l, LIMITER_LOGIN_ADDRESS, sv_from(key), 2), 0);
	}
	assert_int_equal(limiter_forgotten(l), 0);
	assert_true(limiter_hit(l, LIMITER_LOGIN_ADDRESS, SV("first"), 3) > 0);
	assert_int_equal(limiter_hit(l, LIMITER_LOGIN_USER, SV("one more"), 4), 0);
	assert_int_equal(limiter_forgotten(l), 1);
	/* It was the oldest. */
	assert_int_equal(limiter_hit(l, LIMITER_LOGIN_ADDRESS, SV("first"), 5), 0);
	assert_int_equal(limiter_forgotten(l), 2);
	/* Closed windows make room by themselves. */
	assert_int_equal(limiter_hit(l, LIMITER_LOGIN_ADDRESS, SV("late"), 10000000), 0);
	assert_int_equal(limiter_forgotten(l), 2);
	limiter_free(l);
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
		cmocka_unit_test(windows_open_and_close),
		cmocka_unit_test(keys_and_rules_are_apart),
		cmocka_unit_test(the_table_of_windows_is_bounded),
		cmocka_unit_test(a_ticket_is_used_once),
		cmocka_unit_test(a_ticket_ends),
		cmocka_unit_test(tickets_are_bounded),
	};

	return cmocka_run_group_tests_name("api_limits", tests, setup, NULL);
}
