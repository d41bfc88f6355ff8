/* SPDX-License-Identifier: Apache-2.0 */
/* Slots and tickets of several gateways: when they are in the store, and how they get there. */
#include "api/peers.h"

#include <errno.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/state.h"
#include "store/gateway.h"
#include "util/clock.h"
#include "util/limits.h"
#include "util/log.h"

#define HASH_BYTES   32
#define HASH_SIZE    (2 * HASH_BYTES + 1)
#define ADDRESS_SIZE 384
#define LOOK_MS	     20

struct peers {
	struct api_state *state;
	char id[ID_HEX32_SIZE];
	char address[ADDRESS_SIZE];
	atomic_bool shares;
	atomic_bool publishing; /* tables are shared already, and the store does not show it yet */
	atomic_bool anew;	/* something could not be written: publish everything again */

	/* The beat's. */
	uint64_t others_ms; /* monotonic: when another one was last seen */
	uint64_t renew_ms;

	/* Slots that were given back: from any thread to the main thread to a store thread. */
	atomic_bool posted;
	struct inbox_item dropped;
	struct pool_job job;
	bool writing, again;
	struct err err;
	int r;
};

/* What a table told, to be written when it is no longer locked. */
struct noted {
	struct {
		char user[ID_UUID_SIZE];
		unsigned held;
	} * slots;
	struct {
		char hash[HASH_SIZE];
		struct gateway_ticket t;
	} * tickets;
	size_t nslots, cap_slots, ntickets, cap_tickets;
	uint64_t now_ms;
};

static void
noted_fini(struct noted *n)
{
	free(n->slots);
	free(n->tickets);
	*n = (struct noted){0};
}

static int
grow(void **v, size_t n, size_t *cap, size_t size)
{
	size_t more = *cap ? *cap * 2 : 64;
	void *bigger;

	if (n < *cap)
		return 0;
	bigger = realloc(*v, more * size);
	if (!bigger)
		return -ENOMEM;
	*v = bigger;
	*cap = more;
	return 0;
}

static int
note_slots(void *user, const char *of, unsigned held)
{
	struct noted *n = user;
	void *v = n->slots;
	int r = grow(&v, n->nslots, &n->cap_slots, sizeof(*n->slots));

	n->slots = v;
	if (r < 0)
		return r;
	(void)snprintf(n->slots[n->nslots].user, ID_UUID_SIZE, "%s", of);
	n->slots[n->nslots++].held = held;
	return 0;
}

static void
hash_of(struct sv ticket, char ret_hash[HASH_SIZE])
{
	unsigned char hash[HASH_BYTES];

	(void)crypto_generichash(hash, sizeof(hash), (const unsigned char *)ticket.p, ticket.n,
				 NULL, 0);
	id_hex(hash, sizeof(hash), ret_hash);
}

static struct gateway_ticket
row_of(const struct auth_claims *c, uint64_t ends_ms)
{
	struct gateway_ticket t = {.iat_ms = c->iat_ms, .exp_ms = c->exp_ms, .ends_ms = ends_ms};

	memcpy(t.user, c->uuid, sizeof(t.user));
	memcpy(t.jti, c->jti, sizeof(t.jti));
	return t;
}

static int
note_ticket(void *user, const struct auth_claims *claims, struct sv text, uint64_t left_ms)
{
	struct noted *n = user;
	void *v = n->tickets;
	int r = grow(&v, n->ntickets, &n->cap_tickets, sizeof(*n->tickets));

	n->tickets = v;
	if (r < 0)
		return r;
	hash_of(text, n->tickets[n->ntickets].hash);
	n->tickets[n->ntickets++].t = row_of(claims, n->now_ms + left_ms);
	return 0;
}

static int
write_slots(struct peers *p, struct db *db, const struct noted *n, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < n->nslots && r == 0; i++)
		r = gateway_slots_put(db, p->id, n->slots[i].user, n->slots[i].held, e);
	return r;
}

/* ---- slots that were given back ---- */

static void
run_dropped(struct pool_job *job, void *thread_state)
{
	struct peers *p = job->user;
	struct db *db = thread_state;
	struct noted n = {0};

	/* The lock first: what is noted is then written before anybody else may count. */
	p->r = db_begin_write(db, &p->err);
	if (p->r == 0)
		p->r = gateway_turn(db, &p->err);
	if (p->r == 0)
		p->r = slots_changed(p->state->slots, note_slots, &n);
	if (p->r == 0)
		p->r = write_slots(p, db, &n, &p->err);
	if (p->r == 0)
		p->r = db_commit(db, &p->err);
	db_rollback(db);
	noted_fini(&n);
	if (p->r < 0)
		atomic_store(&p->anew, true);
}

static void write_dropped(struct peers *p);

static void
done_dropped(struct pool_job *job)
{
	struct peers *p = job->user;

	p->writing = false;
	if (p->r < 0)
		log_event(LV_WARN, "api.peers", KV_S("why", err_text(&p->err)));
	if (p->again)
		write_dropped(p);
}

static void
write_dropped(struct peers *p)
{
	if (p->writing) {
		p->again = true;
		return;
	}
	p->again = false;
	p->err.msg[0] = '\0';
	p->job = (struct pool_job){.run = run_dropped, .done = done_dropped, .user = p};
	p->writing = pool_submit(p->state->pool, &p->job) == 0;
	if (!p->writing)
		atomic_store(&p->anew, true);
}

/* Main thread. */
static void
take_dropped(struct inbox_item *item)
{
	struct peers *p = CONTAINER_OF(item, struct peers, dropped);

	/* Before looking: who drops from here on posts anew. */
	atomic_store(&p->posted, false);
	write_dropped(p);
}

static void
on_drop(void *user)
{
	struct peers *p = user;

	if (!atomic_exchange(&p->posted, true))
		inbox_post(p->state->inbox, &p->dropped);
}

/* ---- sharing ---- */

/* In a write transaction: everything that this gateway holds goes to the store. */
static int
publish(struct peers *p, struct db *db, struct err *e)
{
	struct noted n = {.now_ms = clock_unix_ms()};
	struct api_state *s = p->state;
	int r = gateway_slots_clear(db, p->id, e);

	atomic_store(&p->publishing, true);
	/* Without a cap nothing is counted. */
	if (r == 0 && s->conf->sse_max_per_user > 0)
		r = slots_share(s->slots, note_slots, &n, on_drop, p);
	if (r == 0)
		r = write_slots(p, db, &n, e);
	if (r == 0)
		r = ticket_table_share(s->tickets, note_ticket, &n, n.now_ms);
	for (size_t i = 0; i < n.ntickets && r == 0; i++)
		r = gateway_ticket_add(db, n.tickets[i].hash, &n.tickets[i].t,
				       LIMIT_TICKETS_PER_USER, NULL, e);
	noted_fini(&n);
	return r;
}

static void
end_sharing(struct peers *p)
{
	slots_unshare(p->state->slots);
	ticket_table_unshare(p->state->tickets, clock_unix_ms());
	atomic_store(&p->shares, false);
}

/* The transaction that may have published has ended. */
static void
settle(struct peers *p, bool published, bool shares, bool stored)
{
	bool shared = atomic_load(&p->shares);

	if (stored && published)
		ticket_table_shared(p->state->tickets);
	if (stored && shares)
		atomic_store(&p->shares, true);
	if (stored ? shared && !shares : published && !shared)
		end_sharing(p);
	atomic_store(&p->publishing, false);
	if (!stored)
		atomic_store(&p->anew, true);
	else if (shared != shares)
		log_event(LV_INFO, "api.peers", KV_S("state", shares ? "sharing" : "alone"));
}

static struct gateway_row
own_row(const struct peers *p, uint64_t now_ms, bool shares)
{
	return (struct gateway_row){
		.id = p->id,
		.address = p->address,
		.started_at = p->state->started_ms,
		.lease_until = now_ms + (shares ? PEERS_LEASE_MS : PEERS_ALONE_MS),
		.shares = shares,
	};
}

/* Whether to share, given how many others there are. */
static bool
wanted(struct peers *p, int64_t others)
{
	uint64_t mono_ms = clock_mono_ms();

	if (others > 0)
		p->others_ms = mono_ms;
	return others > 0 || (atomic_load(&p->shares) && mono_ms - p->others_ms < PEERS_LINGER_MS);
}

/* In a write transaction. */
static int
renew(struct peers *p, struct db *db, bool *ret_shares, bool *ret_published, struct err *e)
{
	uint64_t now_ms = clock_unix_ms();
	struct gateway_living living = {0};
	struct gateway_row row;
	int r = gateway_turn(db, e), known;

	if (r == 0)
		r = gateway_sweep(db, now_ms, e);
	if (r == 0)
		r = gateway_look(db, p->id, now_ms, &living, e);
	if (r < 0)
		return r;
	*ret_shares = wanted(p, living.others);
	row = own_row(p, now_ms, *ret_shares);
	known = gateway_set(db, &row, e);
	if (known == 0)
		r = gateway_add(db, &row, e);
	if (known < 0 || r < 0)
		return known < 0 ? known : r;
	*ret_published = *ret_shares && (known == 0 || !atomic_load(&p->shares) ||
					 atomic_exchange(&p->anew, false));
	if (*ret_published)
		return publish(p, db, e);
	return *ret_shares ? 0 : gateway_slots_clear(db, p->id, e);
}

int
peers_beat(struct peers *p, struct db *db, struct err *e)
{
	bool shares = false, published = false;
	struct gateway_living living = {0};
	int r = gateway_look(db, p->id, clock_unix_ms(), &living, e);

	if (r < 0)
		return r;
	/* Alone: a look is all it costs. (Who was started at this address by mistake has taken the
	 * row away.) */
	if (!wanted(p, living.others) && !atomic_load(&p->shares) && living.self &&
	    clock_mono_ms() < p->renew_ms)
		return 0;
	r = db_begin_write(db, e);
	if (r == 0)
		r = renew(p, db, &shares, &published, e);
	if (r == 0)
		r = db_commit(db, e);
	db_rollback(db);
	settle(p, published, shares, r == 0);
	if (r == 0)
		p->renew_ms = clock_mono_ms() + PEERS_RENEW_MS;
	return r;
}

bool
peers_share(const struct peers *p)
{
	return atomic_load(&p->shares);
}

/* ---- coming and going ---- */

struct peers *
peers_new(struct api_state *s)
{
	struct peers *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->state = s;
	p->dropped.fn = take_dropped;
	id_hex32(p->id);
	(void)snprintf(p->address, sizeof(p->address), "%s %s:%u", s->conf->host_name,
		       s->conf->api_host, (unsigned)s->conf->api_port);
	return p;
}

void
peers_free(struct peers *p)
{
	free(p);
}

static int
enter(struct peers *p, struct db *db, struct gateway_living *ret, struct err *e)
{
	uint64_t now_ms = clock_unix_ms();
	bool shares = false, published = false;
	struct gateway_row row;
	int r = db_begin_write(db, e);

	if (r == 0)
		r = gateway_turn(db, e);
	if (r == 0)
		r = gateway_sweep(db, now_ms, e);
	/* First the row: who was at this address is no other gateway. */
	row = own_row(p, now_ms + PEERS_JOIN_MS, false);
	if (r == 0)
		r = gateway_add(db, &row, e);
	if (r == 0)
		r = gateway_look(db, p->id, now_ms, ret, e);
	shares = r == 0 && wanted(p, ret->others);
	row = own_row(p, now_ms + PEERS_JOIN_MS, shares);
	if (shares) {
		r = gateway_set(db, &row, e);
		published = r == 1;
		if (published)
			r = publish(p, db, e);
	}
	if (r == 0)
		r = db_commit(db, e);
	db_rollback(db);
	settle(p, published, shares, r == 0);
	return r;
}

int
peers_join(struct peers *p, struct db *db, struct err *e)
{
	const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000};
	uint64_t until_ms = clock_mono_ms() + PEERS_JOIN_MS;
	struct gateway_living living = {0};
	int r = enter(p, db, &living, e);

	while (r == 0 && living.silent > 0 && clock_mono_ms() < until_ms) {
		(void)nanosleep(&pause, NULL);
		r = gateway_look(db, p->id, clock_unix_ms(), &living, e);
	}
	if (r == 0 && living.silent > 0)
		log_event(LV_WARN, "api.peers", KV_S("why", "a gateway does not answer"));
	return r;
}

int
peers_leave(struct peers *p, struct db *db, struct err *e)
{
	return gateway_remove(db, p->id, e);
}

/* ---- for those who ask ---- */

int
peers_slot_take(struct peers *p, struct db *db, const char *user, unsigned max,
		struct slot **ret_slot, struct err *e)
{
	struct slots *slots = p->state->slots;
	struct slot *slot = NULL;
	uint64_t now_ms = clock_unix_ms();
	int64_t n = 0;
	int r = gateway_slots_elsewhere(db, p->id, user, now_ms, &n, e);

	if (r < 0)
		return r;
	/* Who has too many anyway costs nobody the write lock. */
	if (n + slots_held(slots, user) >= max)
		return slot_take_shared(slots, user, max, max, ret_slot);
	r = db_begin_write(db, e);
	if (r == 0)
		r = gateway_turn(db, e);
	if (r == 0)
		r = gateway_slots_elsewhere(db, p->id, user, now_ms, &n, e);
	if (r == 0)
		r = slot_take_shared(slots, user, max, n < max ? (unsigned)n : max, &slot);
	if (r == 0)
		r = gateway_slots_put(db, p->id, user, slots_held(slots, user), e);
	if (r == 0)
		r = db_commit(db, e);
	db_rollback(db);
	if (r < 0) {
		slot_drop(slot);
		return r;
	}
	*ret_slot = slot;
	return 0;
}

static int
ticket_put(struct peers *p, struct db *db, struct sv ticket, const struct auth_claims *claims,
	   uint64_t ends_ms, struct err *e)
{
	const struct gateway_ticket t = row_of(claims, ends_ms);
	char hash[HASH_SIZE];
	int64_t dropped = 0;
	int r = db_begin_write(db, e);

	hash_of(ticket, hash);
	if (r == 0)
		r = gateway_ticket_add(db, hash, &t, LIMIT_TICKETS_PER_USER, &dropped, e);
	if (r == 0)
		r = db_commit(db, e);
	db_rollback(db);
	if (r == 0 && dropped > 0)
		ticket_note_dropped(p->state->tickets, (uint64_t)dropped);
	return r;
}

int
peers_ticket_mint(struct peers *p, struct db *db, const struct auth_claims *claims, uint64_t now_ms,
		  char ret_ticket[TICKET_SIZE], struct err *e)
{
	ticket_text(ret_ticket);
	return ticket_put(p, db, (struct sv){ret_ticket, TICKET_SIZE - 1}, claims,
			  now_ms + TICKET_LIFE_MS, e);
}

int
peers_ticket_take(struct peers *p, struct db *db, struct sv ticket, uint64_t now_ms,
		  struct auth_claims *ret_claims, uint64_t *ret_ends_ms, struct err *e)
{
	/* In this order: when it is not being published, what was is there to be read. */
	bool publishing = atomic_load(&p->publishing);
	struct gateway_ticket t = {0};
	char hash[HASH_SIZE];
	int r = 1;

	hash_of(ticket, hash);
	/* Who guesses costs nobody the write lock. */
	if (!publishing)
		r = gateway_ticket_known(db, hash, now_ms, e);
	if (r != 1)
		return r;
	r = db_begin_write(db, e);
	if (r == 0)
		r = gateway_ticket_take(db, hash, now_ms, &t, e);
	if (r == 1)
		r = db_commit(db, e) < 0 ? -EIO : 1;
	db_rollback(db);
	if (r != 1)
		return r;
	memset(ret_claims, 0, sizeof(*ret_claims));
	memcpy(ret_claims->uuid, t.user, sizeof(ret_claims->uuid));
	memcpy(ret_claims->jti, t.jti, sizeof(ret_claims->jti));
	ret_claims->iat_ms = t.iat_ms;
	ret_claims->exp_ms = t.exp_ms;
	*ret_ends_ms = t.ends_ms;
	return 1;
}

int
peers_ticket_return(struct peers *p, struct db *db, struct sv ticket,
		    const struct auth_claims *claims, uint64_t ends_ms, struct err *e)
{
	return ticket_put(p, db, ticket, claims, ends_ms, e);
}
