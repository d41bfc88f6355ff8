/* SPDX-License-Identifier: Apache-2.0 */
/* Two gateways on one store, without their servers: rate limits, stream slots and tickets count for
 * both, at any moment of one's coming and going. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/auth.h"
#include "api/peers.h"
#include "api/state.h"
#include "scratch.h"
#include "store/gateway.h"
#include "store/threads.h"
#include "stream/slots.h"
#include "util/clock.h"

#define CAP 3

struct gate {
	struct conf conf;
	struct api_state state;
	struct db *db;
	struct slot *held[4 * CAP]; /* by the tests that take one after the other */
};

struct world {
	struct scratch at;
	struct gate a, b;
};

static void
gate_start(struct world *w, struct gate *g, uint64_t port)
{
	struct api_state *s = &g->state;
	static char host[] = "host", address[] = "127.0.0.1";
	struct err e = {0};

	memset(g, 0, sizeof(*g));
	g->conf.host_name = host;
	g->conf.api_host = address;
	g->conf.api_port = port;
	g->conf.sse_max_per_user = CAP;
	s->conf = &g->conf;
	s->started_ms = clock_unix_ms();
	s->tickets = ticket_table_new(100, 1000);
	s->peers = peers_new(s);
	assert_non_null(s->peers);
	assert_int_equal(slots_new(&s->slots), 0);
	if (loop_new(&s->loop, &e) < 0 || inbox_new(&s->inbox, &e) < 0 ||
	    inbox_serve(s->inbox, s->loop) < 0 ||
	    store_threads_new(s->loop, w->at.url, 1, 64, &s->pool, &e) < 0 ||
	    db_open(w->at.url, DB_READ_WRITE, &g->db, &e) < 0)
		fail_msg("%s", err_text(&e));
}

/* As if it had been killed: what it wrote stays. */
static void
gate_kill(struct gate *g)
{
	struct api_state *s = &g->state;

	for (size_t i = 0; i < ARRAY_LEN(g->held); i++)
		slot_drop(g->held[i]);
	pool_free(s->pool);
	db_close(g->db);
	inbox_leave(s->inbox);
	inbox_free(s->inbox);
	loop_free(s->loop);
	peers_free(s->peers);
	ticket_table_free(s->tickets);
	slots_free(s->slots);
}

static void
beat(struct gate *g)
{
	struct err e = {0};

	if (peers_beat(g->state.peers, g->db, &e) < 0)
		fail_msg("%s", err_text(&e));
}

static void
join(struct gate *g)
{
	struct err e = {0};

	if (peers_join(g->state.peers, g->db, &e) < 0)
		fail_msg("%s", err_text(&e));
}

struct looker {
	pthread_t id;
	struct gate *gate;
	atomic_bool done;
};

static void *
look(void *arg)
{
	struct looker *l = arg;

	while (!atomic_load(&l->done)) {
		beat(l->gate);
		(void)usleep(10000);
	}
	return NULL;
}

/* `g` comes to `other`, which looks about as it does in life. */
static void
join_with(struct gate *g, struct gate *other)
{
	struct looker l = {.gate = other};
	uint64_t began_ms = clock_mono_ms();

	assert_int_equal(pthread_create(&l.id, NULL, look, &l), 0);
	join(g);
	atomic_store(&l.done, true);
	assert_int_equal(pthread_join(l.id, NULL), 0);
	assert_true(clock_mono_ms() - began_ms < PEERS_JOIN_MS);
	assert_true(peers_share(g->state.peers));
	assert_true(peers_share(other->state.peers));
}

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	assert_int_equal(auth_setup(), 0);
	scratch_make(&w->at);
	gate_start(w, &w->a, 1);
	gate_start(w, &w->b, 2);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	gate_kill(&w->a);
	gate_kill(&w->b);
	scratch_remove(&w->at);
	free(w);
	return 0;
}

/* ---- rate limits ---- */

static unsigned
hit(struct limiter *l, struct db *db, enum limiter_rule rule, const char *key, uint64_t at_ms)
{
	struct err e = {0};
	unsigned wait = 0;

	if (limiter_hit(l, db, rule, sv_from(key), at_ms, &wait, &e) < 0)
		fail_msg("%s", err_text(&e));
	assert_false(db_in_transaction(db));
	return wait;
}

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
	struct limiter one = {.max = 100}, two = {.max = 100};
	struct world *w = *state;

	/* Whichever gateway is asked. */
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		unsigned wait = hit(i % 2 ? &one : &two, i % 2 ? w->a.db : w->b.db,
				    LIMITER_CHANGE_PASSWORD, "u", steps[i].at_ms);

		if (wait != steps[i].wait)
			fail_msg("step %zu: %u", i, wait);
	}
}

static void
keys_and_rules_are_apart(void **state)
{
	struct limiter l = {.max = 100};
	struct world *w = *state;
	struct db *db = w->a.db;

	for (int i = 0; i < 10; i++) {
		assert_int_equal(hit(&l, db, LIMITER_LOGIN_ADDRESS, "a", 1), 0);
		assert_int_equal(hit(&l, db, LIMITER_LOGIN_USER, "a", 1), 0);
	}
	assert_int_equal(hit(&l, db, LIMITER_LOGIN_ADDRESS, "a", 1), 300);
	assert_int_equal(hit(&l, db, LIMITER_LOGIN_USER, "a", 1), 900);
	assert_int_equal(hit(&l, db, LIMITER_LOGIN_ADDRESS, "b", 1), 0);
	assert_int_equal(hit(&l, db, LIMITER_LOGIN_ADDRESS, "", 1), 0);
	assert_string_equal(limiter_words(LIMITER_LOGIN_ADDRESS), "10 per 5 minute");
	assert_string_equal(limiter_words(LIMITER_LOGIN_USER), "10 per 15 minute");
	assert_string_equal(limiter_words(LIMITER_CHANGE_PASSWORD), "5 per 1 minute");
}

/* The clock of a gateway goes back by a day: nobody is locked out for that long. */
static void
a_clock_that_is_set_back_locks_nobody_out(void **state)
{
	const uint64_t day = 86400000, now = 2 * day;
	struct limiter l = {.max = 100};
	struct world *w = *state;

	for (int i = 0; i < 10; i++)
		assert_int_equal(hit(&l, w->a.db, LIMITER_LOGIN_USER, "u", now), 0);
	/* A little is what clocks of two hosts differ by. */
	assert_int_equal(hit(&l, w->b.db, LIMITER_LOGIN_USER, "u", now), 900);
	assert_int_equal(hit(&l, w->b.db, LIMITER_LOGIN_USER, "u", now - day), 0);
}

static void
windows_are_bounded(void **state)
{
	struct limiter l = {.max = 4};
	struct world *w = *state;
	struct db *db = w->a.db;
	char key[16];

	for (int i = 0; i < 10; i++)
		assert_int_equal(hit(&l, db, LIMITER_LOGIN_ADDRESS, "first", 1000), 0);
	for (int i = 1; i <= LIMITER_LOOK_EVERY; i++) {
		(void)snprintf(key, sizeof(key), "k%d", i);
		assert_int_equal(hit(&l, db, LIMITER_LOGIN_ADDRESS, key, 1000 + (uint64_t)i), 0);
	}
	assert_int_equal(atomic_load(&l.forgotten), LIMITER_LOOK_EVERY + 1 - 4);
	/* The oldest went first. */
	assert_int_equal(hit(&l, db, LIMITER_LOGIN_ADDRESS, "first", 2000), 0);
	/* Closed windows make room by themselves. */
	assert_int_equal(db_begin_write(db, NULL), 0);
	assert_int_equal(limiter_tidy(&l, db, 10000000, NULL), 0);
	assert_int_equal(db_commit(db, NULL), 0);
	assert_int_equal(atomic_load(&l.forgotten), LIMITER_LOOK_EVERY + 1 - 4);
	assert_int_equal(hit(&l, db, LIMITER_LOGIN_ADDRESS, "late", 10000000), 0);
}

/* ---- slots ---- */

static int
take(struct gate *g, struct slot **ret_slot)
{
	struct err e = {0};
	int r = slot_take(g->state.slots, "user", CAP, ret_slot);

	if (r == -EAGAIN)
		r = peers_slot_take(g->state.peers, g->db, "user", CAP, ret_slot, &e);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(g->held); i++)
		if (!g->held[i]) {
			g->held[i] = *ret_slot;
			break;
		}
	return r;
}

static void
give_back(struct gate *g, struct slot *slot)
{
	for (size_t i = 0; i < ARRAY_LEN(g->held); i++)
		if (g->held[i] == slot) {
			g->held[i] = NULL;
			slot_drop(slot);
			return;
		}
	fail();
}

static int64_t
stored(struct gate *g, const char *but)
{
	int64_t n = -1;

	assert_int_equal(gateway_slots_elsewhere(g->db, but, "user", clock_unix_ms(), &n, NULL), 0);
	return n;
}

/* Give it back, and wait until the others may know. */
static void
drop(struct gate *g, struct slot *slot, int64_t stored_then)
{
	give_back(g, slot);
	while (stored(g, "") != stored_then)
		assert_int_equal(loop_turn(g->state.loop, 10), 0);
}

static void
the_cap_holds_over_both(void **state)
{
	struct slot *a[CAP] = {NULL}, *b[CAP] = {NULL};
	struct world *w = *state;

	/* Alone: nothing is stored. */
	join(&w->a);
	beat(&w->a);
	assert_false(peers_share(w->a.state.peers));
	assert_int_equal(take(&w->a, &a[0]), 0);
	assert_int_equal(stored(&w->a, ""), 0);
	/* B comes. It waits for A, whose next look tells it; nobody looks here, so it goes on. */
	join(&w->b);
	assert_true(peers_share(w->b.state.peers));
	beat(&w->a);
	assert_true(peers_share(w->a.state.peers));
	assert_int_equal(stored(&w->a, ""), 1);
	assert_int_equal(take(&w->b, &b[0]), 0);
	assert_int_equal(take(&w->a, &a[1]), 0);
	assert_int_equal(take(&w->a, &a[2]), -ENOBUFS);
	assert_int_equal(take(&w->b, &b[1]), -ENOBUFS);
	assert_int_equal(slots_refused(w->a.state.slots) + slots_refused(w->b.state.slots), 2);
	drop(&w->a, a[0], 2);
	assert_int_equal(take(&w->b, &b[1]), 0);
	assert_int_equal(take(&w->a, &a[0]), -ENOBUFS);
	drop(&w->a, a[1], 2);
	drop(&w->b, b[0], 1);
	drop(&w->b, b[1], 0);
}

static void
a_successor_at_the_address_takes_the_place(void **state)
{
	struct slot *a[CAP];
	struct world *w = *state;
	struct gate again;

	join(&w->b);
	join_with(&w->a, &w->b);
	for (int i = 0; i < CAP; i++)
		assert_int_equal(take(&w->a, &a[i]), 0);
	assert_int_equal(take(&w->b, &a[0]), -ENOBUFS);
	/* Killed: its slots count until its lease has ended, or it is there again. */
	gate_start(w, &again, 1);
	join_with(&again, &w->b);
	assert_int_equal(stored(&w->b, ""), 0);
	gate_kill(&again);
}

/* A second server is started on the port by mistake, and cannot stay. */
static void
who_took_the_place_by_mistake_gives_it_back(void **state)
{
	struct world *w = *state;
	struct gate mistake;
	struct gateway_living living = {0};

	join(&w->a);
	beat(&w->a);
	gate_start(w, &mistake, 1);
	join(&mistake);
	assert_int_equal(db_begin_write(mistake.db, NULL), 0);
	assert_int_equal(peers_leave(mistake.state.peers, mistake.db, NULL), 0);
	assert_int_equal(db_commit(mistake.db, NULL), 0);
	gate_kill(&mistake);
	assert_int_equal(gateway_look(w->b.db, "", clock_unix_ms(), &living, NULL), 0);
	assert_int_equal(living.others, 0);
	beat(&w->a);
	assert_int_equal(gateway_look(w->b.db, "", clock_unix_ms(), &living, NULL), 0);
	assert_int_equal(living.others, 1);
	assert_false(living.self);
	assert_false(peers_share(w->a.state.peers));
}

static void
a_lease_that_ends_frees_slots(void **state)
{
	struct world *w = *state;
	struct slot *slot, *mine;
	uint64_t until_ms;

	join(&w->b);
	join_with(&w->a, &w->b);
	for (int i = 0; i < CAP; i++)
		assert_int_equal(take(&w->a, &slot), 0);
	beat(&w->a);
	until_ms = clock_mono_ms() + PEERS_LEASE_MS + 1000;
	/* A looks no more; B does. */
	while (take(&w->b, &mine) == -ENOBUFS) {
		assert_true(clock_mono_ms() < until_ms);
		beat(&w->b);
		(void)usleep(100000);
	}
	/* A was only standing still: what it has counts again from its next look on. */
	beat(&w->a);
	assert_int_equal(stored(&w->a, ""), CAP + 1);
	assert_int_equal(take(&w->b, &slot), -ENOBUFS);
}

#define ROUNDS 150

struct taker {
	pthread_t id;
	struct world *w;
	struct gate *gate;
	struct db *db;
	atomic_int *holders, *worst;
	unsigned won;
};

static void *
take_and_drop(void *arg)
{
	struct taker *t = arg;
	struct api_state *s = &t->gate->state;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct slot *slot = NULL;
		int n, was;

		if (peers_slot_take(s->peers, t->db, "user", CAP, &slot, NULL) < 0)
			continue;
		t->won++;
		n = atomic_fetch_add(t->holders, 1) + 1;
		was = atomic_load(t->worst);
		while (n > was && !atomic_compare_exchange_weak(t->worst, &was, n))
			;
		(void)sched_yield();
		atomic_fetch_sub(t->holders, 1);
		slot_drop(slot);
	}
	return NULL;
}

static void
many_at_once_never_hold_more_than_the_cap(void **state)
{
	atomic_int holders = 0, worst = 0;
	struct taker takers[4] = {0};
	struct world *w = *state;
	unsigned won = 0;

	join(&w->b);
	join_with(&w->a, &w->b);
	for (size_t i = 0; i < ARRAY_LEN(takers); i++) {
		takers[i] = (struct taker){.w = w,
					   .gate = i % 2 ? &w->a : &w->b,
					   .holders = &holders,
					   .worst = &worst};
		assert_int_equal(db_open(w->at.url, DB_READ_WRITE, &takers[i].db, NULL), 0);
		assert_int_equal(pthread_create(&takers[i].id, NULL, take_and_drop, &takers[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(takers); i++) {
		/* What is given back is told by the loops. */
		while (pthread_tryjoin_np(takers[i].id, NULL) != 0) {
			assert_int_equal(loop_turn(w->a.state.loop, 1), 0);
			assert_int_equal(loop_turn(w->b.state.loop, 1), 0);
		}
		won += takers[i].won;
		db_close(takers[i].db);
	}
	assert_true(won > 0);
	assert_in_range(atomic_load(&worst), 1, CAP);
	while (stored(&w->a, "") != 0) {
		assert_int_equal(loop_turn(w->a.state.loop, 10), 0);
		assert_int_equal(loop_turn(w->b.state.loop, 10), 0);
	}
}

/* ---- tickets ---- */

static struct auth_claims
claims(void)
{
	struct auth_claims c = {.iat_ms = 1234567, .exp_ms = 7654000};

	(void)snprintf(c.uuid, sizeof(c.uuid), "%s", "00000000-0000-7000-8000-000000000001");
	(void)snprintf(c.jti, sizeof(c.jti), "%s", "00112233445566778899aabbccddeeff");
	return c;
}

static int
redeem(struct gate *g, const char *ticket, struct auth_claims *ret)
{
	uint64_t now = clock_unix_ms(), ends;
	int r = ticket_reserve(g->state.tickets, sv_from(ticket), now, ret);

	if (r == 0)
		ticket_spend(g->state.tickets, sv_from(ticket));
	if (r == -EAGAIN)
		r = peers_ticket_take(g->state.peers, g->db, sv_from(ticket), now, ret, &ends,
				      NULL) == 1
			    ? 0
			    : -EACCES;
	return r;
}

static void
tickets_go_from_one_to_the_other(void **state)
{
	struct auth_claims c = claims(), got;
	uint64_t now = clock_unix_ms(), ends = 0;
	char before[TICKET_SIZE], then[TICKET_SIZE];
	struct world *w = *state;

	join(&w->a);
	assert_int_equal(ticket_mint(w->a.state.tickets, &c, now, before), 0);
	join(&w->b);
	assert_int_equal(redeem(&w->b, before, &got), -EACCES); /* A has not looked yet */
	beat(&w->a);
	assert_int_equal(redeem(&w->b, before, &got), 0);
	assert_memory_equal(&got, &c, sizeof(c));
	assert_int_equal(redeem(&w->b, before, &got), -EACCES);
	assert_int_equal(redeem(&w->a, before, &got), -EACCES);

	assert_int_equal(ticket_mint(w->a.state.tickets, &c, now, then), -EAGAIN);
	assert_int_equal(peers_ticket_mint(w->a.state.peers, w->a.db, &c, now, then, NULL), 0);
	assert_int_equal(
		peers_ticket_take(w->b.state.peers, w->b.db, sv_from(then), now, &got, &ends, NULL),
		1);
	assert_int_equal(ends, now + TICKET_LIFE_MS);
	/* The stream was refused: it is good again, for as long as before. */
	assert_int_equal(
		peers_ticket_return(w->b.state.peers, w->b.db, sv_from(then), &got, ends, NULL), 0);
	assert_int_equal(peers_ticket_take(w->a.state.peers, w->a.db, sv_from(then), ends, &got,
					   &ends, NULL),
			 0);
	assert_int_equal(redeem(&w->a, then, &got), 0);
	assert_memory_equal(&got, &c, sizeof(c));
}

struct redeemer {
	pthread_t id;
	struct gate *gate;
	struct db *db;
	const char (*tickets)[TICKET_SIZE];
	unsigned won;
	pthread_barrier_t *barrier;
};

#define TICKETS 50

static void *
redeem_all(void *arg)
{
	struct redeemer *r = arg;
	struct auth_claims got;
	uint64_t ends;

	for (unsigned i = 0; i < TICKETS; i++) {
		(void)pthread_barrier_wait(r->barrier);
		if (peers_ticket_take(r->gate->state.peers, r->db, sv_from(r->tickets[i]),
				      clock_unix_ms(), &got, &ends, NULL) == 1)
			r->won++;
	}
	return NULL;
}

static void
of_several_at_once_one_gets_the_ticket(void **state)
{
	static char tickets[TICKETS][TICKET_SIZE];
	struct redeemer redeemers[4] = {0};
	struct auth_claims c = claims();
	struct world *w = *state;
	pthread_barrier_t barrier;
	unsigned won = 0;

	join(&w->b);
	join_with(&w->a, &w->b);
	for (unsigned i = 0; i < TICKETS; i++)
		assert_int_equal(peers_ticket_mint(w->a.state.peers, w->a.db, &c, clock_unix_ms(),
						   tickets[i], NULL),
				 0);
	(void)pthread_barrier_init(&barrier, NULL, ARRAY_LEN(redeemers));
	for (size_t i = 0; i < ARRAY_LEN(redeemers); i++) {
		redeemers[i] = (struct redeemer){.gate = i % 2 ? &w->a : &w->b,
						 .tickets = (const char(*)[TICKET_SIZE])tickets,
						 .barrier = &barrier};
		assert_int_equal(db_open(w->at.url, DB_READ_WRITE, &redeemers[i].db, NULL), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(redeemers); i++)
		assert_int_equal(pthread_create(&redeemers[i].id, NULL, redeem_all, &redeemers[i]),
				 0);
	for (size_t i = 0; i < ARRAY_LEN(redeemers); i++) {
		assert_int_equal(pthread_join(redeemers[i].id, NULL), 0);
		won += redeemers[i].won;
		db_close(redeemers[i].db);
	}
	assert_int_equal(won, TICKETS);
	(void)pthread_barrier_destroy(&barrier);
}

static void
stored_tickets_are_bounded_and_swept(void **state)
{
	static char tickets[103][TICKET_SIZE];
	struct auth_claims c = claims(), got;
	struct world *w = *state;
	uint64_t now = clock_unix_ms();

	join(&w->b);
	join_with(&w->a, &w->b);
	for (unsigned i = 0; i < 103; i++)
		assert_int_equal(
			peers_ticket_mint(w->a.state.peers, w->a.db, &c, now + i, tickets[i], NULL),
			0);
	assert_int_equal(ticket_dropped(w->a.state.tickets), 3);
	assert_int_equal(redeem(&w->b, tickets[2], &got), -EACCES);
	assert_int_equal(redeem(&w->b, tickets[3], &got), 0);
	assert_int_equal(redeem(&w->b, tickets[102], &got), 0);
	assert_int_equal(db_begin_write(w->a.db, NULL), 0);
	assert_int_equal(gateway_sweep(w->a.db, now + TICKET_LIFE_MS + 200, NULL), 0);
	assert_int_equal(db_commit(w->a.db, NULL), 0);
	assert_int_equal(redeem(&w->b, tickets[50], &got), -EACCES);
}

/* The other one has gone: after a while nothing is stored any more, and nothing is lost. */
static void
who_is_alone_again_shares_no_longer(void **state)
{
	struct auth_claims c = claims(), got;
	char ticket[TICKET_SIZE];
	struct world *w = *state;
	struct slot *slot;
	uint64_t until_ms;

	join(&w->b);
	join_with(&w->a, &w->b);
	assert_int_equal(take(&w->a, &slot), 0);
	assert_int_equal(db_begin_write(w->b.db, NULL), 0);
	assert_int_equal(peers_leave(w->b.state.peers, w->b.db, NULL), 0);
	assert_int_equal(db_commit(w->b.db, NULL), 0);
	beat(&w->a);
	/* It may only be starting again. */
	assert_true(peers_share(w->a.state.peers));
	assert_int_equal(
		peers_ticket_mint(w->a.state.peers, w->a.db, &c, clock_unix_ms(), ticket, NULL), 0);
	until_ms = clock_mono_ms() + PEERS_LINGER_MS + 2000;
	while (peers_share(w->a.state.peers)) {
		assert_true(clock_mono_ms() < until_ms);
		(void)usleep(200000);
		beat(&w->a);
	}
	assert_int_equal(stored(&w->a, ""), 0);
	assert_int_equal(slots_held(w->a.state.slots, "user"), 1);
	assert_int_equal(redeem(&w->a, ticket, &got), 0);
	assert_int_equal(redeem(&w->a, ticket, &got), -EACCES);
	give_back(&w->a, slot);
	assert_int_equal(slots_held(w->a.state.slots, "user"), 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(windows_open_and_close),
		TEST(keys_and_rules_are_apart),
		TEST(a_clock_that_is_set_back_locks_nobody_out),
		TEST(windows_are_bounded),
		TEST(the_cap_holds_over_both),
		TEST(a_successor_at_the_address_takes_the_place),
		TEST(who_took_the_place_by_mistake_gives_it_back),
		TEST(a_lease_that_ends_frees_slots),
		TEST(many_at_once_never_hold_more_than_the_cap),
		TEST(tickets_go_from_one_to_the_other),
		TEST(of_several_at_once_one_gets_the_ticket),
		TEST(stored_tickets_are_bounded_and_swept),
		TEST(who_is_alone_again_shares_no_longer),
	};

	return cmocka_run_group_tests_name("api_peers", tests, NULL, NULL);
}
